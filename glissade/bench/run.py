"""One case after the other: a rule on a model, beside torch and beside its floor."""

from __future__ import annotations

import gc
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import torch

from .. import registry
from ..optimizer import Optimizer
from ..registry import Entry
from . import memory, parity
from .floor import Stream, Streams, Traffic, traffic
from .inputs import fed
from .peers import COLUMNS, COMPILED, PeerError, forms, peer
from .shapes import MODELS, Model
from .timing import Contestant, quartiles, race, ratio

LR = 1e-6  # parameters stay as they are however many steps are timed; kernels are the same for any
ITEM = 4  # bytes of a float32
HEAVY = ("gpt2", "many")  # with --quick few rules are timed on these
QUICK_ON_HEAVY = ("adamw", "lamb", "adafactor")
WATCHED = 1 << 20  # elements from which the memory of a step can be told from noise
UNFUSED = "matrix products or sorting, in torch: no kernel"
COMPILABLE = 1000  # tensors: torch.compile takes minutes for hundreds


@dataclass(frozen=True)
class Settings:
    """What is timed and how long."""

    optimizers: tuple[str, ...]
    shapes: tuple[str, ...]
    rounds: int = 9
    seconds: float = 0.1  # of a turn
    patience: int = 3  # times as many rounds while others disturb them
    quick: bool = False
    compile: bool = False
    alone: bool = False  # without torch's optimizers beside them
    dtype: str = "float32"  # of parameters and gradients
    state_dtype: str | None = None  # of our states; torch's are as the parameters

    def rules(self, shape: str) -> tuple[str, ...]:
        """The optimizers that are timed on a model."""
        if not self.quick or shape not in HEAVY:
            return self.optimizers
        few = tuple(name for name in self.optimizers if name in QUICK_ON_HEAVY)
        return few or self.optimizers[:1]

    def forms(self, rule: str, shape: str) -> tuple[str, ...]:
        """The forms of torch's optimizer beside it."""
        have = () if self.alone else forms(rule)
        if not self.compile or MODELS[shape].tensors > COMPILABLE:
            have = tuple(form for form in have if form != COMPILED)
        if self.quick and shape in HEAVY:
            have = ("default", "fused") if "fused" in have else ()
        return have


@dataclass
class Timed:
    """Microseconds a step: median and the middle half of the rounds."""

    us: float
    low: float
    high: float
    ratio: float  # to ours: the median of the rounds' ratios
    peak_bytes: int | None = None  # that a step takes for a moment
    first_step_s: float | None = None

    @staticmethod
    def of(times: Mapping[str, Sequence[float]], name: str) -> Timed:
        """The figures of one contestant."""
        own = times[name]
        return Timed(statistics.median(own), *quartiles(own), ratio(own, times["ours"]))


@dataclass
class Case:
    """The figures of one rule on one model."""

    rule: str
    shape: str
    bytes_per_parameter: float = 0.0
    bytes_moved: float = 0.0
    passes: dict[str, float] = field(default_factory=dict)  # how often each mix runs in a step
    ours: Timed | None = None
    floor: Timed | None = None
    peers: dict[str, Timed] = field(default_factory=dict)
    busy_cores_of_others: float | None = None
    notes: list[str] = field(default_factory=list)
    error: str = ""

    @property
    def gb_per_s(self) -> float:
        """What a step moves, over its time."""
        return self.bytes_moved / self.ours.us / 1e3 if self.ours else 0.0

    @property
    def floor_percent(self) -> float:
        """100 when a step takes no longer than its streams."""
        return 100 * self.floor.ratio if self.floor else 0.0

    def record(self) -> dict[str, Any]:
        """For JSON."""
        return {**asdict(self), "gb_per_s": self.gb_per_s, "floor_percent": self.floor_percent}


class Bench:
    """Runs cases; `tell` hears what is being timed."""

    def __init__(self, settings: Settings, tell: Callable[[str], None] = lambda line: None) -> None:
        self.settings = settings
        self.tell = tell
        self._verdicts: dict[str, str] = {}  # of the parity check, by rule

    def measure(self, shape: str) -> list[Case]:
        """All cases on one model."""
        rules = self.settings.rules(shape)
        model = MODELS[shape]
        lacking = shortage(model)
        if lacking:
            return [Case(rule, shape, error=lacking) for rule in rules]
        params, streams = model.parameters(self.settings.dtype), Streams(model.elements)
        cases = []
        for rule in rules:
            self.tell(f"{shape}: {rule}")
            cases.append(self._case(rule, model, params, streams))
            gc.collect()  # each optimizer's state goes before the next one's comes
        return cases

    def _parity(self, entry: Entry, moves: Traffic) -> str:
        if entry.name not in self._verdicts:
            how = self.settings.dtype, self.settings.state_dtype
            wrong = parity.mismatch(entry, moves.settled + moves.cycle, *how)
            self._verdicts[entry.name] = f"parity failed: {wrong}" if wrong else ""
        return self._verdicts[entry.name]

    def _case(
        self, rule: str, model: Model, params: Sequence[torch.Tensor], streams: Streams
    ) -> Case:
        entry = registry.lookup(rule)
        if entry.rule().matrix:
            return Case(rule, model.name, error=UNFUSED)
        dtype, state_dtype = self.settings.dtype, self.settings.state_dtype
        moves = traffic(entry.bind(), model, dtype, state_dtype)
        case = Case(rule, model.name, error=self._parity(entry, moves))
        if case.error:
            return case
        case.bytes_per_parameter = moves.bytes
        case.bytes_moved = case.bytes_per_parameter * model.elements
        case.passes = {str(s): share for s, share in sorted(moves.streams.items())}
        warm = max(2, moves.settled + 1)
        ours = Optimizer(params, entry.bind(LR), backend="cpu", state_dtype=state_dtype)
        step = fed(ours).step
        for _ in range(warm):
            step()
        peaks = {"ours": _peak(step, model, 3)}
        contestants = [Contestant("ours", step, moves.cycle)]
        first_steps = {}
        for form in self.settings.forms(rule, model.name):
            self.tell(f"{model.name}: {rule}, torch {form}")
            try:
                other = peer(rule, form, params, LR, warm)
            except PeerError as error:
                case.notes.append(str(error))
                continue
            peaks[form] = _peak(other.step, model, 1)
            first_steps[form] = other.first_step_s
            contestants.append(Contestant(form, other.step))
        for stream in moves.streams:
            table = streams.table(stream)
            table.run()
            contestants.append(Contestant(f"stream {stream}", table.run))
        rounds = self.settings.rounds
        times, case.busy_cores_of_others = race(
            contestants, rounds, self.settings.seconds, self.settings.patience
        )
        times["floor"] = _mixed(times, moves.streams, rounds)
        case.ours = Timed.of(times, "ours")
        case.floor = Timed.of(times, "floor")
        case.peers = {form: Timed.of(times, form) for form in COLUMNS if form in times}
        case.ours.peak_bytes = peaks["ours"]
        for form, figures in case.peers.items():
            figures.peak_bytes = peaks[form]
            figures.first_step_s = first_steps[form] if form == COMPILED else None
        return case


def _peak(step: Callable[[], object], model: Model, times: int) -> int | None:
    return memory.peak(step, times) if model.elements >= WATCHED else None


def _mixed(
    times: Mapping[str, Sequence[float]], streams: Mapping[Stream, float], rounds: int
) -> list[float]:
    """The floor of each round: its streams' times, as often as a step needs them."""
    return [sum(n * times[f"stream {s}"][i] for s, n in streams.items()) for i in range(rounds)]


def shortage(model: Model) -> str:
    """Why a model does not fit into memory, in words; empty if it does."""
    have = memory.available()
    # Parameters, gradients, up to 6 streams, and up to 3 states of ours and of 3 peers.
    need = ITEM * model.elements * (2 + 6 + 3 + 3 * 2)
    if have is not None and have < need:
        return f"needs {need / 1e9:.0f} GB of memory, {have / 1e9:.0f} GB are available"
    return ""
