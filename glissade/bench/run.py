"""One race after the other: a rule on a model, beside its peers and beside its floor."""

from __future__ import annotations

import gc
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch

from .. import registry
from ..optimizer import Optimizer
from ..plan import SIZES
from ..registry import Entry
from . import memory, parity
from .case import Case, Timed
from .floor import Stream, Streams, Traffic, traffic
from .inputs import fed
from .peers import COLUMNS, COMPILED, Peer, PeerError, peer
from .settings import FLOAT32, Precision, Settings
from .shapes import MODELS, Model
from .timing import Contestant, race, ratio

LR = 1e-6  # parameters stay as they are however many steps are timed; kernels are the same for any
ITEM = 4  # bytes of a float32
WATCHED = 1 << 20  # elements from which the memory of a step can be told from noise
UNFUSED = "matrix products or sorting, in torch: no kernel"
COMPILES = (COMPILED, "optax")  # at their first step
Parameters = Mapping[str, Sequence[torch.Tensor]]  # by dtype


@dataclass
class Lane:
    """A rule in one precision, warmed up."""

    case: Case
    moves: Traffic
    contestant: Contestant
    peak: int | None


class Bench:
    """Runs races; `tell` hears what is being timed."""

    def __init__(self, settings: Settings, tell: Callable[[str], None] = lambda line: None) -> None:
        self.settings = settings
        self.tell = tell
        self._verdicts: dict[tuple[str, Precision], str] = {}  # of the parity check

    def measure(self, shape: str) -> list[Case]:
        """All cases on one model, by precision."""
        choice, model = self.settings, MODELS[shape]
        rules = choice.rules(shape)
        asked = {rule: choice.numbers(rule, shape) for rule in rules}
        lacking = shortage(model, choice)
        if lacking:
            return [_case(rule, shape, x, lacking) for rule in rules for x in asked[rule]]
        dtypes = dict.fromkeys(x.dtype for some in asked.values() for x in some)
        params = {dtype: model.parameters(dtype, choice.device) for dtype in dtypes}
        streams = Streams(model.elements, choice.device, choice.backend)
        cases = []
        for rule in rules:
            self.tell(f"{shape}: {rule}")
            cases += self._race(registry.lookup(rule), model, params, streams)
            gc.collect()  # each optimizer's state goes before the next one's comes
        order = list(dict.fromkeys((*choice.precisions, *(case.precision for case in cases))))
        return sorted(cases, key=lambda case: order.index(case.precision))

    def _race(self, entry: Entry, model: Model, params: Parameters, streams: Streams) -> list[Case]:
        """A rule in all its precisions, its peers and the streams, in the same rounds."""
        lanes, cases = [], []
        for precision in self.settings.numbers(entry.name, model.name):
            found = self._lane(entry, model, precision, params[precision.dtype])
            cases.append(found if isinstance(found, Case) else found.case)
            if not isinstance(found, Case):
                lanes.append(found)
        peers = {}
        for lane in lanes:
            dtype = lane.case.dtype
            if dtype not in peers:
                peers[dtype] = self._peers(lane, params[dtype])
        # With many peers a round takes long: ours and its floor stand next to each other.
        contestants, wait = {}, self._wait
        for lane in lanes:
            contestants[lane.contestant.name] = lane.contestant
            for stream in lane.moves.streams:
                table = streams.table(stream)
                table.run()
                name = f"stream {stream}"
                contestants.setdefault(name, Contestant(name, table.run, wait=wait))
        for dtype, some in peers.items():
            for form, (other, _) in some.items():
                name = f"{dtype} {form}"
                contestants[name] = Contestant(name, other.step, wait=wait)
        if lanes:
            choice = self.settings
            times, busy = race(
                [*contestants.values()], choice.rounds, choice.seconds, choice.patience
            )
            for lane in lanes:
                lane.case.busy_cores_of_others = busy
                handed = lane.case.host_us = lane.contestant.handing_over()
                if handed is not None:
                    lane.case.notes.append(f"a step is handed to the device in {handed:.1f} µs")
                _fill(lane, times, peers[lane.case.dtype])
        return cases

    def _lane(
        self, entry: Entry, model: Model, precision: Precision, params: Sequence[torch.Tensor]
    ) -> Lane | Case:
        """Our optimizer; or the case with the reason why there is none to time."""
        case = _case(entry.name, model.name, precision)
        if entry.rule().matrix:
            case.error = UNFUSED
            return case
        try:
            moves = traffic(entry.bind(), model, precision.dtype, precision.asked)
            case.error = self._parity(entry, moves, precision)
            if case.error:
                return case
            rule = entry.bind(LR)
            backend = self.settings.backend
            ours = Optimizer(params, rule, backend=backend, state_dtype=precision.asked)
        except (TypeError, ValueError, RuntimeError) as error:
            case.error = f"refused: {next(iter(str(error).splitlines()), repr(error))}"
            return case
        case.bytes_per_parameter, case.state_bytes = moves.bytes, moves.state
        case.bytes_moved = case.bytes_per_parameter * model.elements
        case.passes = {str(s): share for s, share in sorted(moves.streams.items())}

        def warm() -> None:
            fed(ours)
            for _ in range(_warm(moves)):
                ours.step()

        if model.elements >= WATCHED:
            held = memory.kept(warm, self.settings.device)
            case.held_bytes = None if held is None else held / model.elements
        else:
            warm()
        peak = self._peak(ours.step, model, 3)
        contestant = Contestant(str(precision), ours.step, moves.cycle, self._wait)
        return Lane(case, moves, contestant, peak)

    @property
    def _wait(self) -> Callable[[], object] | None:
        return None if self.settings.device == "cpu" else torch.cuda.synchronize

    def _peak(self, step: Callable[[], object], model: Model, times: int) -> int | None:
        if model.elements < WATCHED:
            return None
        return memory.peak(step, times, self.settings.device)

    def _parity(self, entry: Entry, moves: Traffic, precision: Precision) -> str:
        key = entry.name, precision
        if key not in self._verdicts:
            steps = moves.settled + moves.cycle
            where = self.settings.device, self.settings.backend
            wrong = parity.mismatch(entry, steps, precision.dtype, precision.asked, *where)
            self._verdicts[key] = f"parity failed: {wrong}" if wrong else ""
        return self._verdicts[key]

    def _peers(
        self, lane: Lane, params: Sequence[torch.Tensor]
    ) -> dict[str, tuple[Peer, int | None]]:
        """Those that run here, and what their steps take for a moment; the rest gets a note."""
        rule, shape = lane.case.rule, lane.case.shape
        found = {}
        for form in self.settings.forms(rule, shape, lane.case.dtype):
            self.tell(f"{shape}: {rule}, {form}")
            try:
                other = peer(rule, form, params, LR, _warm(lane.moves))
            except PeerError as error:
                lane.case.notes.append(str(error))
                continue
            found[form] = other, self._peak(other.step, MODELS[shape], 1)
        return found


def _case(rule: str, shape: str, precision: Precision, error: str = "") -> Case:
    return Case(rule, shape, precision.dtype, precision.state_dtype, error=error)


def _warm(moves: Traffic) -> int:
    return max(2, moves.settled + 1)


def _fill(
    lane: Lane,
    times: Mapping[str, Sequence[float]],
    peers: Mapping[str, tuple[Peer, int | None]],
) -> None:
    """Put what the race has shown into the case."""
    case = lane.case
    own = times[lane.contestant.name]
    case.ours = Timed.of(own, own)
    case.ours.peak_bytes = lane.peak
    case.floor = Timed.of(_mixed(times, lane.moves.streams), own)
    for form in sorted(peers, key=COLUMNS.index):
        other, peak = peers[form]
        timed = Timed.of(times[f"{case.dtype} {form}"], own)
        timed.peak_bytes = peak
        timed.first_step_s = other.first_step_s if form in COMPILES else None
        case.peers[form] = timed
    if str(FLOAT32) in times:
        case.over_float32 = ratio(times[str(FLOAT32)], own)


def _mixed(times: Mapping[str, Sequence[float]], streams: Mapping[Stream, float]) -> list[float]:
    """The floor of each round: its streams' times, as often as a step needs them."""
    each = [[n * t for t in times[f"stream {s}"]] for s, n in streams.items()]
    return [sum(turn) for turn in zip(*each, strict=True)]


def shortage(model: Model, settings: Settings) -> str:
    """Why a model does not fit into memory, in words; empty if it does."""
    have, need = memory.available(settings.device), 0.0
    for rule in settings.rules(model.name):
        precisions = settings.numbers(rule, model.name)
        size = 4.0 * 6  # bytes for each parameter: streams
        for dtype in dict.fromkeys(x.dtype for x in precisions):
            forms = len(settings.forms(rule, model.name, dtype))
            size += SIZES[dtype] * (2 + 3 * forms)  # with gradients; theirs have up to 3 states
        size += sum(3 * SIZES.get(x.state_dtype, 1) for x in precisions)
        need = max(need, size * model.elements)
    if have is not None and have < need:
        return f"needs {need / 1e9:.0f} GB of memory, {have / 1e9:.0f} GB are available"
    return ""
