"""The machine's bandwidth floor: how long memory alone takes for the passes of a rule.

Each pass is held against a stream of its own mix: a kernel of the same backend, on the same
threads, that reads and writes as many arrays of as many elements and computes next to nothing. (A
read-heavy pass gets fewer bytes a second than one that writes back what it read, so one figure for
the machine would not do.)
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from ..backend.cpu.compile import compile_plan
from ..backend.cpu.tables import Item, Table
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
    """How many arrays a pass reads, how many of those it writes back, how many others it writes."""

    reads: int
    updates: int
    fresh: int = 0

    @property
    def arrays(self) -> int:
        """Arrays that it touches."""
        return self.reads + self.fresh

    @property
    def moved(self) -> int:
        """Numbers per element moved to and from memory."""
        return self.reads + self.updates + self.fresh

    def __str__(self) -> str:
        return f"{self.reads}r{self.updates}w" + (f"+{self.fresh}w" if self.fresh else "")


def stream_of(work: Pass) -> Stream:
    """The stream with the mix of a pass."""
    written = {("state", name) for name in work.stores}
    if work.param is not None:
        written.add(("p", ""))
    updates = len(written & set(work.loads))
    return Stream(work.reads, updates, work.writes - updates)


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
    kinds = dict.fromkeys(sorted({*names, *written}), Kind.ELEMENT)
    nothing = Finish(((),), {})
    return Plan((work,), (nothing, nothing), (), (), (), kinds, flat=True, slices_as_rows=False)


class Streams:
    """Streams over arrays of as many elements as a model has, made as they are asked for."""

    def __init__(self, elements: int) -> None:
        self.elements = elements
        self._arrays: list[torch.Tensor] = []
        self._tables: dict[Stream, Table] = {}

    def table(self, stream: Stream) -> Table:
        """What runs the stream: `table(stream).run()`."""
        if stream not in self._tables:
            while len(self._arrays) < stream.arrays:
                self._arrays.append(torch.ones(self.elements))
            plan = stream_plan(stream)
            item = Item((self.elements,), 0, tuple(self._arrays[: stream.arrays]))
            kernel = compile_plan(plan, "float32")
            self._tables[stream] = Table(plan, kernel, [item], 1, torch.float32)
        return self._tables[stream]


@dataclass(frozen=True)
class Traffic:
    """What a rule moves in a step on a model, on average over a cycle of its branches."""

    streams: Mapping[Stream, float]  # how often each runs over all elements
    numbers: float  # per element, to and from memory
    settled: int  # steps before the cycle begins
    cycle: int  # steps: 1, but where a rule does something every k steps


def traffic(rule: Rule, model: Model) -> Traffic:
    """The traffic of a rule, from its plans."""
    programs = Programs(rule)
    hyper: dict[str, Any] = {**rule.hyper, "base_lr": plain(rule.hyper["lr"]), "maximize": False}
    shares: dict[Program, float] = {}
    for ndim, elements in model.ranks.items():
        program = programs.get(hyper, ndim)
        shares[program] = shares.get(program, 0.0) + elements / model.elements
    steps = [[program.choose(t, hyper) for program in shares] for t in range(1, HORIZON + 1)]
    settled, cycle = rhythm(steps)
    streams: dict[Stream, float] = {}
    numbers = 0.0
    for leaves in steps[settled : settled + cycle]:
        for (program, share), leaf in zip(shares.items(), leaves, strict=True):
            plan = program.plans[leaf]
            numbers += share / cycle * plan.numbers_per_element
            for work in plan.passes:
                if work.reads + work.writes:
                    stream = stream_of(work)
                    streams[stream] = streams.get(stream, 0.0) + share / cycle
    return Traffic(streams, numbers, settled, cycle)


def rhythm(steps: Sequence[Any]) -> tuple[int, int]:
    """After how many steps a sequence repeats itself, and every how many."""
    best = (len(steps), 1)
    for cycle in range(1, LONGEST + 1):
        breaks = [i for i in range(len(steps) - cycle) if steps[i] != steps[i + cycle]]
        settled = breaks[-1] + 1 if breaks else 0
        if settled <= len(steps) - 3 * LONGEST and settled < best[0]:
            best = (settled, cycle)
    return best if best[0] < len(steps) else (0, 1)
