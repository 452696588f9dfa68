"""The machine's bandwidth floor: how long memory alone takes for the passes of a rule.

Each pass is held against a stream of its own mix: a kernel of the same backend, on the same
threads, that reads and writes as many arrays of as many elements and computes next to nothing. (A
read-heavy pass gets fewer bytes a second than one that writes back what it read, so one figure for
the machine would not do.)
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from ..backend.engines import engine
from ..backend.tables import Item, Table
from ..checks import plain
from ..graph import Graph, Kind
from ..plan import Finish, Pass, Plan
from ..program import Program, Programs
from ..rule import Rule
from .shapes import Model

LONGEST = 24  # steps: the longest cycle of branches that is looked for
HORIZON = 5 * LONGEST


@dataclass(frozen=True, order=True)
class Stream:
    """How many arrays a pass reads, how many of those it writes back, how many others it writes;
    and how many of each have numbers of two bytes, where the others have four."""

    reads: int
    updates: int
    fresh: int = 0
    low: tuple[int, int, int] = (0, 0, 0)

    @property
    def arrays(self) -> int:
        """Arrays that it touches."""
        return self.reads + self.fresh

    @property
    def moved(self) -> int:
        """Numbers per element moved to and from memory."""
        return self.reads + self.updates + self.fresh

    @property
    def bytes(self) -> int:
        """Bytes per element moved to and from memory."""
        return 4 * self.moved - 2 * sum(self.low)

    @property
    def formats(self) -> tuple[str, ...]:
        """The dtype of each array: first those that are read, of them first those written back."""
        reads, updates, fresh = self.low

        def some(count: int, low: int) -> tuple[str, ...]:
            return (LOW,) * low + ("float32",) * (count - low)

        alone = some(self.reads - self.updates, reads - updates)
        return some(self.updates, updates) + alone + some(self.fresh, fresh)

    def __str__(self) -> str:
        text = f"{self.reads}r{self.updates}w" + (f"+{self.fresh}w" if self.fresh else "")
        if not any(self.low):
            return text
        reads, updates, fresh = self.low
        return (
            f"{text}, of them {reads}r{updates}w" + (f"+{fresh}w" if fresh else "") + " of 2 bytes"
        )


LOW = "bfloat16"


def streams_of(work: Pass, plan: Plan, dtype: str) -> dict[Stream, float]:
    """The streams that stand for a pass, and how often each runs.

    Streams have numbers of four and of two bytes. Two arrays of single bytes count as one of two;
    where one is left over, half of the runs have another array for it and half have none.
    """
    loads, written = set(work.loads), set(work.written)
    parts = (loads & written, loads - written, written - loads)
    sizes = [[plan.size(x, dtype) for x in part] for part in parts]
    bytes_ = [sum(size < 2 for size in part) for part in sizes]
    found: dict[Stream, float] = {}
    for pairs in itertools.product(*((n // 2, n - n // 2) for n in bytes_)):
        low = [sum(size == 2 for size in x) + n for x, n in zip(sizes, pairs, strict=True)]
        updates, alone, fresh = (
            sum(size > 2 for size in x) + n for x, n in zip(sizes, low, strict=True)
        )
        if updates + alone:
            lows = (low[0] + low[1], low[0], low[2])
            stream = Stream(updates + alone, updates, fresh, low=lows)
            found[stream] = found.get(stream, 0.0) + 1 / 8
    return found


@functools.cache
def stream_plan(stream: Stream) -> Plan:
    """A plan of one pass with this mix; one that only reads adds everything up."""
    graph = Graph(1)
    names = [f"a{i}" for i in range(stream.reads)]
    loads = [graph.node("state", value=name, kind=Kind.ELEMENT) for name in names]
    # Their mean, so that nothing grows however often the stream runs.
    total = functools.reduce(lambda x, y: x + y, loads, graph.lift(0.0))
    mean = graph.apply("mul", total, 1 / max(1, stream.reads))
    if mean.kind is not Kind.ELEMENT:
        raise ValueError(f"{stream}: a stream reads at least one array")
    written = names[: stream.updates] + [f"b{i}" for i in range(stream.fresh)]
    sums = () if written else (graph.node("sum", (mean,), value="tensor", kind=Kind.TENSOR),)
    work = Pass(
        sums=sums,
        stores=dict.fromkeys(written, mean),
        param=None,
        known={},
        loads=tuple(("state", name) for name in names),
    )
    every = [*names, *(f"b{i}" for i in range(stream.fresh))]
    kinds = dict.fromkeys(every, Kind.ELEMENT)
    storage = {k: v for k, v in zip(every, stream.formats, strict=True) if v == LOW}
    nothing = Finish(((),), {})
    return Plan(
        (work,), (nothing, nothing), (), (), (), kinds, flat=True, slices_as_rows=False,
        storage=storage,
    )  # fmt: skip


class Streams:
    """Streams over arrays of as many elements as a model has, made as they are asked for."""

    def __init__(self, elements: int, device: str = "cpu", backend: str = "cpu") -> None:
        self.elements = elements
        self._device = device
        self._engine = engine(backend)
        self._arrays: dict[str, list[torch.Tensor]] = {}  # by dtype
        self._tables: dict[Stream, Table] = {}

    def table(self, stream: Stream) -> Table:
        """What runs the stream: `table(stream).run()`."""
        if stream not in self._tables:
            plan = stream_plan(stream)
            item = Item((self.elements,), 0, self._taken(stream.formats))
            (kernel,) = self._engine.compile([(plan, "float32")])
            self._tables[stream] = self._engine.table(plan, kernel, [item], 1, torch.float32)
        return self._tables[stream]

    def _taken(self, formats: Sequence[str]) -> tuple[torch.Tensor, ...]:
        """One array for each format, the same ones for every stream."""
        used: dict[str, int] = {}
        taken = []
        for dtype in formats:
            have = self._arrays.setdefault(dtype, [])
            at = used[dtype] = used.get(dtype, -1) + 1
            if at == len(have):
                kind = getattr(torch, dtype)
                have.append(torch.ones(self.elements, dtype=kind, device=self._device))
            taken.append(have[at])
        return tuple(taken)


@dataclass(frozen=True)
class Traffic:
    """What a rule moves in a step on a model, on average over a cycle of its branches."""

    streams: Mapping[Stream, float]  # how often each runs over all elements
    bytes: float  # per element, to and from memory
    state: float  # bytes per element that are kept from step to step
    settled: int  # steps before the cycle begins
    cycle: int  # steps: 1, but where a rule does something every k steps


def traffic(
    rule: Rule, model: Model, dtype: str = "float32", state_dtype: str | None = None
) -> Traffic:
    """The traffic of a rule, from its plans."""
    programs = Programs(rule)
    hyper: dict[str, Any] = {**rule.hyper, "base_lr": plain(rule.hyper["lr"]), "maximize": False}
    hyper["state_dtype"] = state_dtype
    shares: dict[Program, float] = {}
    for ndim, elements in model.ranks.items():
        program = programs.get(hyper, ndim)
        shares[program] = shares.get(program, 0.0) + elements / model.elements
    calls = [itertools.islice(program.calls(hyper), HORIZON) for program in shares]
    steps = [[*at] for at in zip(*calls, strict=True)]
    settled, cycle = rhythm(steps)
    streams: dict[Stream, float] = {}
    size = 0.0
    for leaves in steps[settled : settled + cycle]:
        for (program, share), leaf in zip(shares.items(), leaves, strict=True):
            plan = program.plans[leaf]
            size += share / cycle * plan.bytes_per_element(dtype)
            for work in plan.passes:
                if work.reads + work.writes:
                    for stream, runs in streams_of(work, plan, dtype).items():
                        streams[stream] = streams.get(stream, 0.0) + runs * share / cycle
    state = 0.0
    for at, (program, share) in enumerate(shares.items()):
        state += share * _state(program, {leaves[at] for leaves in steps}, dtype)
    return Traffic(streams, size, state, settled, cycle)


def _state(program: Program, leaves: set[int], dtype: str) -> float:
    """Bytes of state for each element; rows, columns and single numbers are not counted."""
    plans = [program.plans[leaf] for leaf in leaves]
    sizes = {name: x.size(("state", name), dtype) for x in plans for name in x.states}
    return sum(size for name, size in sizes.items() if program.states[name] is Kind.ELEMENT)


def rhythm(steps: Sequence[Any]) -> tuple[int, int]:
    """After how many steps a sequence repeats itself, and every how many."""
    best = (len(steps), 1)
    for cycle in range(1, LONGEST + 1):
        breaks = [i for i in range(len(steps) - cycle) if steps[i] != steps[i + cycle]]
        settled = breaks[-1] + 1 if breaks else 0
        if settled <= len(steps) - 3 * LONGEST and settled < best[0]:
            best = (settled, cycle)
    return best if best[0] < len(steps) else (0, 1)
