"""Parameters that step together in compiled kernels: their tables, kept from step to step."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..plan import Plan
from ..program import Program
from .member import Member, Moved, in_place
from .tables import Item, Table
from .together import Part, together

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
    """Members of one group that have taken as many steps: they share the host's numbers."""

    group: Mapping[str, Any]
    t: int
    members: list[int]


@dataclass
class Work:
    """A table with what it takes its numbers from: a leaf, and a bucket for each place."""

    table: Table
    program: Program
    leaf: int
    buckets: list[Bucket]

    def fill(self) -> None:
        """Fill in the numbers that the host knows before the step."""
        numbers = self.program.numbers[self.leaf]
        for place, bucket in enumerate(self.buckets):
            self.table.fill(place, numbers(bucket.t + 1, bucket.group))

    def part(self) -> Part:
        """The step: see `together`."""
        table = self.table
        late = self.program.late[self.leaf]
        for k, cut in enumerate(self.program.plans[self.leaf].breaks):
            table.run(k)
            totals = yield table.share_of(cut)
            for place, bucket in enumerate(self.buckets):
                numbers, go = late[k](bucket.t + 1, bucket.group, totals)
                if not go:
                    return False
                table.fill_late(place, cut, numbers)
        table.run(len(late))
        return True


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
        return {
            self.program.choose(t, bucket.group)
            for bucket in self.buckets
            for t in range(bucket.t + 1, bucket.t + LOOK_AHEAD)
        }

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
            if program.choose(buckets[0].t + 1, buckets[0].group) == same.leaf:
                same.fill()
                return [same]
        leaves = [program.choose(b.t + 1, b.group) for b in buckets]
        work = []
        for leaf in sorted(set(leaves)):
            which = tuple(i for i, x in enumerate(leaves) if x == leaf)
            made = self._work.get((leaf, which))
            if made is None:
                table = self._build(leaf, which)
                made = Work(table, program, leaf, [buckets[i] for i in which])
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

    def __init__(self, engine: Engine, members: list[Member]) -> None:
        self.members = members
        self.params = [m.param for m in members]
        self.lanes = _lanes(engine, members)
        prepare((lane, leaf) for lane in self.lanes for leaf in sorted(lane.leaves()))
        self.copied: set[int] = set()  # members whose memory no kernel can use as it is
        for lane in self.lanes:
            for bucket in lane.buckets:
                self.copied |= {
                    i for i in bucket.members if not in_place(members[i].param, lane.program.flat)
                }
        self.buckets = [b for lane in self.lanes for b in lane.buckets]
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
            if not work[0].table.step():
                return None
        else:
            for one in work:
                if not one.table.look():
                    return None
            if not together(one.part() for one in work):
                return False
            for one in work:
                one.table.count()
        for bucket in self.buckets:
            bucket.t += 1
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
        work = self._ready()
        for one in work:
            one.table.point(params[one.table.order], at[one.table.order])
        return [one.part() for one in work]

    def done(self) -> None:
        """The parts have run: count the step, also for autograd, and put back what was copied."""
        for bucket in self.buckets:
            bucket.t += 1
        torch.autograd.graph.increment_version(self.params)
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


def _lanes(engine: Engine, members: list[Member]) -> list[Lane]:
    lanes: dict[Any, dict[Any, Bucket]] = {}
    for i, m in enumerate(members):
        captured = bool(m.group["capturable"])
        key = (id(m.program), m.param.dtype, m.param.device, captured)
        t = 0 if captured else m.t  # there the device counts, for each tensor
        buckets = lanes.setdefault(key, {})
        bucket = buckets.setdefault((id(m.group), t), Bucket(m.group, t, []))
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
