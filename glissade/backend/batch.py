"""Parameters that step together in compiled kernels: their tables, kept from step to step."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from ..held import held
from ..plan import Plan
from ..program import Program
from ..settings import Settings
from .member import Member, Moved, in_place
from .tables import Item, Table
from .together import WRITES, Part, Together

LOOK_AHEAD = 256  # leaves that are reached within so many steps are compiled at the first


@dataclass(frozen=True)
class Engine:
    """A backend that compiles plans: by what name, how, and the tables that its kernels take."""

    name: str
    compile: Callable[[Iterable[tuple[Plan, str]]], list[Any]]
    table: type[Table]
    captured: Callable[..., Lane] | None = None  # of groups that are `capturable`


@dataclass
class Bucket:
    """Members of one group that have taken as many steps, and have the same states: they share the
    host's numbers."""

    settings: Settings
    counts: npt.NDArray[np.int64] | None  # the steps of every parameter; None: the device counts
    have: frozenset[str]
    members: list[int]
    first: int = 0  # the index of one among all parameters

    def __post_init__(self) -> None:
        self._clock = None if self.counts is None else self.counts.data

    @property
    def t(self) -> int:
        """Steps taken. Read where they are counted: a step that is interrupted right after it has
        run must not be taken for one that is still to come."""
        return 0 if self._clock is None else int(self._clock[self.first])


class Work:
    """A table with what it takes its numbers from: a leaf, and a bucket for each place."""

    def __init__(
        self, table: Table, program: Program, leaf: int, buckets: list[Bucket], lane: Lane
    ) -> None:
        self.table = table
        self.program = program
        self.leaf = leaf
        self.buckets = buckets
        self.plan = program.plans[leaf]
        self._members = [lane.members[i] for bucket in buckets for i in bucket.members]
        about = program.leaves[leaf]
        self._counts, self._drops, self._shared = about.counts, about.drops, bool(about.shared)
        # Also what is read alone: it may have been brought into another dtype for the kernels.
        there = frozenset(program.states).intersection(*(bucket.have for bucket in buckets))
        self._names = frozenset(about.state) | {"step"} | there
        self._at = np.array([member.index for member in self._members], np.intp)
        self._fresh = not all(member.shows(self._names) for member in self._members)
        # Whether all that is left to do after the kernels is to count the step.
        self.plain = self._counts and not (self._fresh or self._drops or self._shared)

    @property
    def moved(self) -> list[Tensor]:
        """The parameters that it moves."""
        return [member.param for member in self._members] if self._counts else []

    def fill(self) -> None:
        """Fill in the numbers that the host knows before the step."""
        numbers = self.program.numbers[self.leaf]
        for place, bucket in enumerate(self.buckets):
            self.table.fill(place, numbers(bucket.t + 1, bucket.settings.values))

    def part(self) -> Part:
        """The step, but for counting it: see `together`."""
        table, late = self.table, self.program.late[self.leaf]
        known: dict[int, float] = {}
        for k, cut in enumerate(self.plan.breaks):
            if k == self.plan.quiet:
                yield WRITES
            table.run(k)
            known |= yield table.share_of(cut)
            for place, bucket in enumerate(self.buckets):
                numbers, go = late[k](bucket.t + 1, bucket.settings.values, known)
                if not go:
                    return None
                table.fill_late(place, cut, numbers)
        if self.plan.quiet == len(self.plan.breaks):
            yield WRITES
        table.run(len(late))
        return self.shared(known)

    def shared(self, totals: Mapping[int, float]) -> dict[str, Any]:
        """New values of what the optimizer has once, by the first bucket's hyperparameters."""
        if not self._shared:
            return {}
        first = self.buckets[0]
        return self.program.shared[self.leaf](first.t + 1, first.settings.values, totals)

    def done(self) -> None:
        """The kernels have run: count the step, and keep the states that they have written."""
        if self._counts:
            counts = self.buckets[0].counts
            if counts is not None:
                counts[self._at] += 1
        if self._fresh or self._drops:
            for member in self._members:
                member.keep(self._names, self._drops)
                for name in self._drops & self.program.cleared:
                    member.state[name].zero_()
            for bucket in self.buckets:
                bucket.have = (bucket.have | self._names) - self._drops
            self._fresh = not self._counts  # a state that is dropped comes into being again
            self.plain = self._counts and not (self._drops or self._shared)


class Lane:
    """Members that run the same program in the same dtype: nearly always one call a step."""

    def __init__(
        self,
        engine: Engine,
        program: Program,
        dtype: torch.dtype,
        buckets: list[Bucket],
        members: list[Member],
    ) -> None:
        self.engine = engine
        self.program = program
        self.buckets = buckets
        self.members = members
        self.dtype = dtype
        self._work: dict[tuple[int, tuple[int, ...]], Work] = {}
        self._usual: Work | None = None  # what ran last
        # Of torch's GradScaler, where the device decides: found_inf, and the scale if it is not
        # taken out of the gradients yet.
        self.amp: tuple[Tensor, Tensor | None] | None = None
        self._held: list[Tensor] = []  # every state in a table,
        self._held_at: list[int] = []  # and its address

    def leaves(self) -> set[int]:
        """The leaves that are reached soon."""
        found: set[int] = set()
        for bucket in self.buckets:
            calls = self.program.calls(bucket.settings.values, bucket.t, bucket.have)
            found |= set(itertools.islice(calls, LOOK_AHEAD))
        return found

    def choose(self, bucket: Bucket) -> int:
        """The leaf that a bucket takes next."""
        return self.program.choose(bucket.t + 1, bucket.settings.values, bucket.have)

    def kernel(self, leaf: int) -> Any:
        """The kernel of a leaf."""
        key = self.key(leaf)
        if key not in self.program.kernels:
            prepare([(self, leaf)])
        return self.program.kernels[key]

    def key(self, leaf: int) -> tuple[str, str, int]:
        """Where the program keeps the kernel of a leaf."""
        return self.engine.name, str(self.dtype).removeprefix("torch."), leaf

    def ready(self) -> list[Work]:
        """The tables of this step with the host's numbers filled in; changes no parameter."""
        program, buckets = self.program, self.buckets
        if len(buckets) == 1 and self._usual is not None:
            same = self._usual
            if self.choose(buckets[0]) == same.leaf:
                same.fill()
                return [same]
        leaves = [self.choose(bucket) for bucket in buckets]
        work = []
        for leaf in sorted(set(leaves)):
            which = tuple(i for i, x in enumerate(leaves) if x == leaf)
            made = self._work.get((leaf, which))
            if made is None:
                table = self._build(leaf, which)
                made = Work(table, program, leaf, [buckets[i] for i in which], self)
                self._work[(leaf, which)] = made
            made.fill()
            work.append(made)
            self._usual = made
        return work

    def stay(self) -> None:
        """Raise Moved if a state lies elsewhere now: share_memory_() moves a tensor, say."""
        if list(map(Tensor.data_ptr, self._held)) != self._held_at:
            raise Moved

    def _build(self, leaf: int, which: tuple[int, ...]) -> Table:
        plan, kernel = self.program.plans[leaf], self.kernel(leaf)
        return self.engine.table(plan, kernel, self.items(plan, which), len(which), self.dtype)

    def items(self, plan: Plan, which: tuple[int, ...]) -> list[Item]:
        """The tensors of some buckets, for a table."""
        items = []
        for place, i in enumerate(which):
            for index in self.buckets[i].members:
                member = self.members[index]
                for name in plan.states:
                    if name not in member.state:
                        member.fit(name)
                param, state = member.param, member.state
                if not param.numel():
                    continue
                states = tuple(state[name] for name in plan.arrays)
                self._held += states
                self._held_at += map(Tensor.data_ptr, states)
                asked = (param, state["step"])
                items.append(Item(tuple(param.shape), place, states, index, asked))
        return items


def prepare(wanted: Iterable[tuple[Lane, int]]) -> None:
    """Compile the kernels of some leaves, all at once."""
    new = [(lane, leaf) for lane, leaf in wanted if lane.key(leaf) not in lane.program.kernels]
    if not new:
        return
    plans = ((lane.program.plans[leaf], lane.key(leaf)[1]) for lane, leaf in new)
    for (lane, leaf), kernel in zip(new, new[0][0].engine.compile(plans), strict=True):
        lane.program.kernels[lane.key(leaf)] = kernel


class Batch:
    """All of a backend's parameters that have a gradient, from one change of the line-up to the
    next."""

    def __init__(
        self, engine: Engine, members: list[Member], counts: npt.NDArray[np.int64]
    ) -> None:
        self.members = members
        self.params = [m.param for m in members]
        self.lanes = _lanes(engine, members, counts)
        prepare((lane, leaf) for lane in self.lanes for leaf in sorted(lane.leaves()))
        self.copied: set[int] = set()  # members whose memory no kernel can use as it is
        for lane in self.lanes:
            for bucket in lane.buckets:
                self.copied |= {
                    i for i in bucket.members if not in_place(members[i].param, lane.program.flat)
                }
        self.work: list[Work] = []  # of the step at hand
        self._used: list[tuple[Tensor, Tensor]] = []  # by the step at hand: parameter, gradient
        # Whether tables can look for themselves; those of empty tensors have no row to do so.
        self.plain = not self.copied and all(p.numel() for p in self.params)

    def _ready(self) -> list[Work]:
        if len(self.lanes) == 1:
            return self.lanes[0].ready()
        return [work for lane in self.lanes for work in lane.ready()]

    def again(self) -> bool | None:
        """One step, if all is laid out as it was; None, with nothing done, if it is not, and False
        if the rule's guard says that there is no step."""
        if not self.plain:
            return None
        work = self._ready()
        if len(work) == 1 and work[0].table.short:
            # All in one call of machine code: between two instructions of Python's there is none
            # at which the step has run and is not counted.
            return True if work[0].plain and work[0].table.step() else None
        for one in work:
            if not one.plain or not one.table.look():
                return None
        steps = Together(one.part() for one in work)
        if not steps.step:
            return False
        with held():
            steps.write()
            for one in work:
                one.table.count()
        return True

    def parts(self, grads: list[Tensor], check: Callable[[int, Tensor], None]) -> list[Part]:
        """One step with everything asked anew, to be run `together` and then `done`.

        All that can fail comes here, before the first kernel.
        """
        for member in self.members:
            member.stay()
        for lane in self.lanes:
            lane.stay()
        for i, g in enumerate(grads):
            check(i, g)
        self._used = [self._usable(i, g) for i, g in enumerate(grads)]
        params, at = (np.array([x[k].data_ptr() for x in self._used], np.int64) for k in (0, 1))
        self.work = self._ready()
        for one in self.work:
            one.table.point(params[one.table.order], at[one.table.order])
        return [one.part() for one in self.work]

    def done(self) -> None:
        """The parts have run: count the step, also for autograd, and put back what was copied."""
        for one in self.work:
            one.done()
        torch.autograd.graph.increment_version([p for one in self.work for p in one.moved])
        for i in self.copied:
            self.params[i].detach().copy_(self._used[i][0])

    def let_go(self) -> None:
        """Keep no gradient."""
        self._used = []

    def _usable(self, i: int, g: Tensor) -> tuple[Tensor, Tensor]:
        """Parameter and gradient, or copies of them, with memory that a kernel can use."""
        p = self.params[i]
        g = g.resolve_neg()
        if i in self.copied:
            return p.detach().contiguous(), g.contiguous()
        if g.stride() != p.stride() and not (g.is_contiguous() and p.is_contiguous()):
            g = torch.empty_like(p, memory_format=torch.preserve_format).copy_(g)
        if not g.data_ptr() and g.numel():  # zeros that are nowhere: torch._efficientzerotensor
            g = torch.zeros_like(p)
        return p, g


def _lanes(engine: Engine, members: list[Member], counts: npt.NDArray[np.int64]) -> list[Lane]:
    lanes: dict[Any, dict[Any, Bucket]] = {}
    for i, m in enumerate(members):
        captured = bool(m.settings.values["capturable"])
        key = (id(m.program), m.param.dtype, m.param.device, captured)
        t = 0 if captured else int(counts[m.index])  # there the device counts, for each tensor
        buckets = lanes.setdefault(key, {})
        bucket = buckets.setdefault(
            (id(m.settings), t, m.have),
            Bucket(m.settings, None if captured else counts, m.have, [], m.index),
        )
        bucket.members.append(i)
    made = []
    for (_, dtype, _, captured), buckets in lanes.items():
        some = list(buckets.values())
        program = members[some[0].members[0]].program
        assert program is not None  # a matrix rule's is not compiled
        lane = engine.captured if captured else Lane
        assert lane is not None
        made.append(lane(engine, program, dtype, some, members))
    return made
