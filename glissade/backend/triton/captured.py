"""Steps that a CUDA graph can capture: nothing in them depends on what the host knows.

Every leaf of a rule is launched in every step; the tensors that do not take it return at once.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from ...checks import plain
from ..batch import Lane, Work
from ..tables import Words
from ..together import WRITES, Part
from . import tables
from .begin import HYPER, NUMBERS, STEP, Begin
from .compile import function
from .emit import Text


class Guarded(tables.Table):
    """A table whose numbers are the begin kernel's, a row for each tensor."""

    extra = 2  # whether the leaf is taken, what gradients are multiplied by
    guarded = True

    def numbers_at(self) -> list[int]:
        """Where the numbers of each tensor are."""
        return [self._numbers_at(k) for k in range(len(self.numbers))]


class Steps(Work):
    """The work of a step over the tables of all leaves."""

    def __init__(self, lane: CapturedLane) -> None:
        super().__init__(lane, lane.program, 0, lane.buckets, lane)  # type: ignore[arg-type]
        self.lane = lane
        # Whatever any leaf writes is there from the first step on.
        self._names = frozenset(x for leaf in lane.program.leaves for x in leaf.state) | {"step"}
        self._counts, self._drops, self._shared = True, frozenset(), False
        self.plain = all(member.shows(self._names) for member in self._members)
        self._fresh = not self.plain

    def fill(self) -> None:
        """Nothing: the device has its own numbers."""

    def part(self) -> Part:
        """The step: see `together`."""
        yield WRITES
        self.lane.run()
        return {}


class CapturedLane(Lane):
    """Members whose groups are `capturable`. Its one work stands for its own table, too."""

    short = False

    def leaves(self) -> set[int]:
        """All: which is taken the device will know."""
        return set(range(len(self.program.plans)))

    def ready(self) -> list[Work]:
        """Made at the first step, when it may still wait for the device."""
        self._send_hyper()
        return [self._work_of_all]

    @functools.cached_property
    def _work_of_all(self) -> Work:
        return Steps(self)

    @functools.cached_property
    def tables(self) -> list[Guarded]:
        """One for each leaf, over the same tensors."""
        which = tuple(range(len(self.buckets)))
        made = []
        for leaf, plan in enumerate(self.program.plans):
            items = [replace(x, bucket=k) for k, x in enumerate(self.items(plan, which))]
            made.append(Guarded(plan, self.kernel(leaf), items, len(items), self.dtype))
        return made

    @functools.cached_property
    def _begin(self) -> Begin:
        return Begin(self.program)

    @functools.cached_property
    def _function(self) -> Any:
        return function(Text("begin", self._begin.source, per_chunk=False))

    @functools.cached_property
    def _device(self) -> torch.device:
        return self.members[self.buckets[0].members[0]].param.device

    @functools.cached_property
    def _hyper(self) -> torch.Tensor:
        count = max(1, len(self._begin.hyper))
        return torch.zeros(len(self.buckets), count, dtype=torch.float64, device=self._device)

    @functools.cached_property
    def _amp(self) -> torch.Tensor:
        """Whether a gradient is not finite, and what the loss was multiplied by."""
        return torch.tensor([0.0, 1.0], dtype=torch.float64, device=self._device)

    @functools.cached_property
    def _rows(self) -> torch.Tensor:
        """The begin kernel's table."""
        group_of = {i: k for k, bucket in enumerate(self.buckets) for i in bucket.members}
        rows = np.zeros((len(self.order), self._begin.words), np.int64)
        for row, index in zip(rows, self.order, strict=True):
            row[STEP] = self.members[index].state["step"].data_ptr()
            row[HYPER] = self._hyper[group_of[index]].data_ptr()
            # A state that is there now is there; another is once a step more has been counted.
            taken = int(self.members[index].state["step"])
            have = self.members[index].have if taken else ()
            row[self._begin.has_at :] = [-1 if x in have else taken for x in self._begin.has]
        for k, table in enumerate(self.tables):
            rows[:, NUMBERS + k] = table.numbers_at()
        return torch.from_numpy(rows).to(self._device)

    def _send_hyper(self) -> None:
        """Hyperparameters as they are now: numbers if they have changed, tensors as they lie."""
        for k, bucket in enumerate(self.buckets):
            values = [_found(bucket.settings.group, key, self._device) for key in self._begin.hyper]
            numbers = tuple(x for x in values if not isinstance(x, torch.Tensor))
            for at, x in enumerate(values):
                if isinstance(x, torch.Tensor):
                    self._hyper[k, at].copy_(x.reshape(()), non_blocking=True)
            if self._sent.get(k) != numbers:
                for at, x in enumerate(values):
                    if not isinstance(x, torch.Tensor):
                        self._hyper[k, at] = float(x)
                self._sent[k] = numbers

    @functools.cached_property
    def _sent(self) -> dict[int, tuple[float, ...]]:
        return {}

    def run(self) -> None:
        """Launch everything."""
        found_inf, scale = self.amp or (None, None)
        for at, x, usual in ((0, found_inf, 0.0), (1, scale, 1.0)):
            if x is not None:
                self._amp[at].copy_(x.reshape(()), non_blocking=True)
            elif self._scaled:
                self._amp[at].fill_(usual)
        self._scaled = self.amp is not None
        if not self.order:
            return
        if tables.capturing(self._device):  # a graph needs this memory for as long as it lives
            self.program.kernels.setdefault("captured", []).append(self)
        begin, rows = self._function, len(self.order)
        with self.tables[0].here():
            begin[(rows,)](self._rows, self._amp, num_warps=1, enable_fp_fusion=False)
        for table in self.tables:
            table.run()

    _scaled = False

    # As a table

    @property
    def order(self) -> list[int]:
        """The members, in the order of rows."""
        return self.tables[0].order

    def look(self) -> bool:
        """Whether everything is plainly there, in all tables; each looks for itself."""
        found = [table.look() for table in self.tables]
        return all(found)

    def point(self, params: Words, grads: Words) -> None:
        """Take the addresses of parameters and gradients."""
        for table in self.tables:
            table.point(params, grads)

    def count(self) -> None:
        """Tell autograd; the steps are counted on the device."""
        torch.autograd.graph.increment_version([self.members[i].param for i in self.order])


def _found(group: Mapping[str, Any], key: tuple[Any, ...], device: torch.device) -> Any:
    """A hyperparameter: a number, or the tensor on a device that holds it."""
    value: Any = group
    for part in key:
        value = value[part]
    if isinstance(value, torch.Tensor) and value.device == device:
        return value.detach()
    return plain(value)
