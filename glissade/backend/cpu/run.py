"""Parameters that step together on the cpu backend: their tables, kept from step to step."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ...program import Program
from ..member import Member, Moved
from . import threads
from .compile import Kernel, compile_plans
from .tables import Item, Table

LOOK_AHEAD = 256  # leaves that are reached within so many steps are compiled at the first


@dataclass
class Bucket:
    """Members of one group that have taken as many steps: they share the host's numbers."""

    group: Mapping[str, Any]
    t: int
    members: list[int]


class Lane:
    """Members that run the same program in the same dtype: nearly always one call a step."""

    def __init__(
        self, program: Program, dtype: torch.dtype, buckets: list[Bucket], members: list[Member]
    ) -> None:
        self.program = program
        self.buckets = buckets
        self.members = members
        self.dtype = dtype
        self._tables: dict[tuple[int, tuple[int, ...]], Table] = {}
        self._usual: tuple[int, Table] | None = None  # what ran last
        self._held: list[Tensor] = []  # every state in a table,
        self._held_at: list[int] = []  # and its address

    def leaves(self) -> set[int]:
        """The leaves that are reached soon."""
        return {
            self.program.choose(t, bucket.group)
            for bucket in self.buckets
            for t in range(bucket.t + 1, bucket.t + LOOK_AHEAD)
        }

    def kernel(self, leaf: int) -> Kernel:
        """The kernel of a leaf."""
        key = self.key(leaf)
        if key not in self.program.kernels:
            prepare([(self, leaf)])
        return self.program.kernels[key]  # type: ignore[no-any-return]

    def key(self, leaf: int) -> tuple[str, str, int]:
        """Where the program keeps the kernel of a leaf."""
        return "cpu", str(self.dtype).removeprefix("torch."), leaf

    def ready(self) -> list[Table]:
        """The tables of this step with the host's numbers filled in; changes no parameter."""
        program, buckets = self.program, self.buckets
        if len(buckets) == 1 and self._usual is not None:
            bucket = buckets[0]
            t = bucket.t + 1
            last, same = self._usual
            if program.choose(t, bucket.group) == last:
                same.fill(0, program.numbers[last](t, bucket.group))
                return [same]
        leaves = [program.choose(b.t + 1, b.group) for b in buckets]
        work = []
        for leaf in sorted(set(leaves)):
            which = tuple(i for i, x in enumerate(leaves) if x == leaf)
            made = self._tables.get((leaf, which))
            if made is None:
                made = self._tables[(leaf, which)] = self._build(leaf, which)
            numbers = program.numbers[leaf]
            for place, i in enumerate(which):
                bucket = buckets[i]
                made.fill(place, numbers(bucket.t + 1, bucket.group))
            work.append(made)
            self._usual = (leaf, made)
        return work

    def stay(self) -> None:
        """Raise Moved if a state lies elsewhere now: share_memory_() moves a tensor, say."""
        if list(map(Tensor.data_ptr, self._held)) != self._held_at:
            raise Moved

    def _build(self, leaf: int, which: tuple[int, ...]) -> Table:
        plan, kernel = self.program.plans[leaf], self.kernel(leaf)
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
                states = tuple(state[name] for name in plan.states)
                self._held += states
                self._held_at += map(Tensor.data_ptr, states)
                asked = (param, state["step"])
                items.append(Item(tuple(param.shape), place, states, index, asked))
        return Table(plan, kernel, items, len(which), self.dtype)


def prepare(wanted: Iterable[tuple[Lane, int]]) -> None:
    """Compile the kernels of some leaves, all at once."""
    new = [(lane, leaf) for lane, leaf in wanted if lane.key(leaf) not in lane.program.kernels]
    kernels = compile_plans((lane.program.plans[leaf], lane.key(leaf)[1]) for lane, leaf in new)
    for (lane, leaf), kernel in zip(new, kernels, strict=True):
        lane.program.kernels[lane.key(leaf)] = kernel


def in_place(p: Tensor, flat: bool) -> bool:
    """Whether kernels can run on the parameter's own memory.

    Where only elements matter any dense order will do (channels-last, say): gradient and state
    share it.
    """
    if p.is_contiguous():
        return True
    if not flat:
        return False
    like = torch.empty_like(p, device="meta", memory_format=torch.preserve_format)
    return like.stride() == p.stride()


class Batch:
    """All cpu parameters that have a gradient, from one change of the line-up to the next."""

    def __init__(self, members: list[Member]) -> None:
        self.members = members
        self.params = [m.param for m in members]
        self.lanes = _lanes(members)
        prepare((lane, leaf) for lane in self.lanes for leaf in sorted(lane.leaves()))
        self.copied: set[int] = set()  # members whose memory no kernel can use as it is
        for lane in self.lanes:
            for bucket in lane.buckets:
                self.copied |= {
                    i for i in bucket.members if not in_place(members[i].param, lane.program.flat)
                }
        self.buckets = [b for lane in self.lanes for b in lane.buckets]
        # Whether tables can look for themselves; those of empty tensors have no row to do so.
        self.plain = not self.copied and all(p.numel() for p in self.params)

    def _ready(self) -> list[Table]:
        if len(self.lanes) == 1:
            return self.lanes[0].ready()
        return [table for lane in self.lanes for table in lane.ready()]

    def again(self) -> bool:
        """One step, if all is laid out as it was; else it does nothing and returns False."""
        if not self.plain:
            return False
        tables = self._ready()
        if len(tables) == 1 and tables[0].elements < threads.SMALL:
            if not tables[0].step():
                return False
        else:
            for table in tables:
                if not table.look():
                    return False
            for table in tables:
                table.run()
                table.count()
        for bucket in self.buckets:
            bucket.t += 1
        return True

    def run(self, grads: list[Tensor], check: Callable[[int, Tensor], None]) -> None:
        """One step with everything asked anew. All that can fail comes before the first kernel."""
        for member in self.members:
            member.stay()
        for lane in self.lanes:
            lane.stay()
        for i, g in enumerate(grads):
            check(i, g)
        copies = [self._usable(i, g) for i, g in enumerate(grads)]
        params, at = (np.array([x[k].data_ptr() for x in copies], np.int64) for k in (0, 1))
        tables = self._ready()
        for table in tables:
            table.point(params[table.order], at[table.order])
        for table in tables:
            table.run()
        for bucket in self.buckets:
            bucket.t += 1
        torch.autograd.graph.increment_version(self.params)
        for i in self.copied:
            self.params[i].detach().copy_(copies[i][0])

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


def _lanes(members: list[Member]) -> list[Lane]:
    lanes: dict[Any, dict[Any, Bucket]] = {}
    for i, m in enumerate(members):
        buckets = lanes.setdefault((id(m.program), m.param.dtype), {})
        bucket = buckets.setdefault((id(m.group), m.t), Bucket(m.group, m.t, []))
        bucket.members.append(i)
    made = []
    for buckets in lanes.values():
        some = list(buckets.values())
        first = members[some[0].members[0]]
        made.append(Lane(first.program, first.param.dtype, some, members))
    return made
