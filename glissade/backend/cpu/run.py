"""Parameters that step together on the cpu backend: their tables, kept from step to step."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ...program import Program
from ..member import Member, Moved
from .compile import Kernel, compile_plan
from .tables import Item, Table

ASKED = 256  # states that are asked at each step whether they have moved
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
        self._tables: dict[tuple[int, tuple[int, ...]], tuple[Table, list[int]]] = {}
        self._usual: tuple[int, tuple[Table, list[int]]] | None = None  # what ran last
        self._held: list[Tensor] = []  # every state in a table,
        self._held_at: list[int] = []  # its address,
        self._asked = 0  # and which of them to ask next whether it is still there
        for bucket in buckets:
            for t in range(bucket.t + 1, bucket.t + LOOK_AHEAD):
                self._kernel(program.choose(t, bucket.group))

    def _kernel(self, leaf: int) -> Kernel:
        kernels = self.program.kernels
        name = str(self.dtype).removeprefix("torch.")
        if ("cpu", name, leaf) not in kernels:
            kernels["cpu", name, leaf] = compile_plan(self.program.plans[leaf], name)
        return kernels["cpu", name, leaf]  # type: ignore[no-any-return]

    def ready(self) -> list[tuple[Table, list[int]]]:
        """The tables of this step with the host's numbers filled in; changes no parameter."""
        program, buckets = self.program, self.buckets
        if len(buckets) == 1 and self._usual is not None:
            bucket = buckets[0]
            t = bucket.t + 1
            last, same = self._usual
            if program.choose(t, bucket.group) == last:
                same[0].fill(0, program.numbers[last](t, bucket.group))
                return [same]
        leaves = [program.choose(b.t + 1, b.group) for b in buckets]
        work = []
        for leaf in leaves if len(leaves) == 1 else sorted(set(leaves)):
            which = tuple(i for i, x in enumerate(leaves) if x == leaf)
            made = self._tables.get((leaf, which))
            if made is None:
                made = self._tables[(leaf, which)] = self._build(leaf, which)
            numbers = program.numbers[leaf]
            for place, i in enumerate(which):
                bucket = buckets[i]
                made[0].fill(place, numbers(bucket.t + 1, bucket.group))
            work.append(made)
            self._usual = (leaf, made)
        return work

    def stay(self) -> None:
        """Raise Moved if a state lies elsewhere now: share_memory_() moves a tensor, say.

        Nearly nobody does that between steps, and asking 20,000 tensors costs more than the rest
        of a step: of many states some are asked at each step, in turns.
        """
        lo, hi = self._asked, self._asked + ASKED
        if list(map(Tensor.data_ptr, self._held[lo:hi])) != self._held_at[lo:hi]:
            raise Moved
        self._asked = hi if hi < len(self._held) else 0

    def _build(self, leaf: int, which: tuple[int, ...]) -> tuple[Table, list[int]]:
        plan, kernel = self.program.plans[leaf], self._kernel(leaf)
        items, order = [], []
        for place, i in enumerate(which):
            for index in self.buckets[i].members:
                member = self.members[index]
                for name in plan.states:
                    if name not in member.state:
                        member.fit(name)
                if not member.param.numel():
                    continue
                held = [member.state[name] for name in plan.states]
                states = tuple(map(Tensor.data_ptr, held))
                self._held += held
                self._held_at += states
                items.append(Item(tuple(member.param.shape), place, states))
                order.append(index)
        return Table(plan, kernel, items, len(which), self.dtype), order


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

    def __init__(self, members: list[Member], check: Callable[[int, Tensor], None]) -> None:
        self.members = members
        self.params = [m.param for m in members]
        self.check = check
        self.lanes = _lanes(members)
        self.copied: set[int] = set()  # members whose memory no kernel can use as it is
        for lane in self.lanes:
            for bucket in lane.buckets:
                self.copied |= {
                    i for i in bucket.members if not in_place(members[i].param, lane.program.flat)
                }
        self.plain = all(p.is_contiguous() for p in self.params)
        self.buckets = [b for lane in self.lanes for b in lane.buckets]
        self._params: list[int] = []
        self._grads: list[int] = []
        self._version = 0
        self._pointed: dict[int, int] = {}
        self._last: list[Any] | None = None

    def unchanged(self) -> bool:
        """Whether every parameter and gradient is there and lies as in the last step.

        One walk over the tensors: of thousands, none stays in the cache for a second.
        """
        try:
            return self._last is not None and self._look() == self._last
        except (AttributeError, RuntimeError):  # no gradient, or one without plain memory
            return False

    def _look(self) -> list[Any]:
        return [
            x
            for p in self.params
            for g in (p.grad,)
            for x in (p.data_ptr(), g.data_ptr(), g.is_contiguous())  # type: ignore[union-attr]
        ]

    def again(self) -> None:
        """One step where nothing is changed since the last."""
        for lane in self.lanes:
            lane.stay()
        self._launch([])

    def run(self, grads: list[Tensor]) -> None:
        """One step. Everything that can fail comes before the first kernel."""
        self._last = None
        copies = self._point(grads)
        self._launch(copies)
        if self.plain and not copies:
            self._last = self._look()

    def _launch(self, copies: list[tuple[Tensor, Tensor | None, Tensor]]) -> None:
        work = [made for lane in self.lanes for made in lane.ready()]
        for table, order in work:
            if self._pointed.get(id(table)) != self._version:
                index = np.array(order, np.int64)
                table.point(
                    np.array(self._params, np.int64)[index], np.array(self._grads, np.int64)[index]
                )
                self._pointed[id(table)] = self._version
        for table, _ in work:
            table.run()
        for bucket in self.buckets:
            bucket.t += 1
        # Kernels write behind autograd's back: a graph that saved a parameter must notice.
        torch.autograd.graph.increment_version(self.params)
        for p, copy, _ in copies:
            if copy is not None:
                p.copy_(copy)

    def _point(self, grads: list[Tensor]) -> list[tuple[Tensor, Tensor | None, Tensor]]:
        """Note where parameters and gradients lie now; copies of those that lie otherwise."""
        try:
            at = list(map(Tensor.data_ptr, grads))
        except RuntimeError:  # a gradient without plain memory: the checks say which and why
            for i, g in enumerate(grads):
                self.check(i, g)
            raise
        params = list(map(Tensor.data_ptr, self.params))
        if params != self._params:
            for member in self.members:
                member.stay()
        for lane in self.lanes:
            lane.stay()
        copies: list[tuple[Tensor, Tensor | None, Tensor]] = []
        for i, g in enumerate(grads):
            p = self.params[i]
            self.check(i, g)
            if i in self.copied:
                own, grad = p.detach().contiguous(), g.contiguous()
                copies.append((p.detach(), own, grad))
                params[i], at[i] = own.data_ptr(), grad.data_ptr()
            elif g.stride() != p.stride() and not (g.is_contiguous() and p.is_contiguous()):
                grad = torch.empty_like(p, memory_format=torch.preserve_format).copy_(g)
                copies.append((p, None, grad))
                at[i] = grad.data_ptr()
        if at != self._grads or params != self._params:
            self._grads, self._params = at, params
            self._version += 1
        return copies


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
