"""Tables of the cpu backend: chunks as large as a core's cache, shared out over threads."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import numpy as np
import torch

from ...plan import Plan
from .. import layout as at
from .. import tables
from ..tables import Chunk, Item, Words
from . import team, threads
from .compile import Kernel

CHUNK = 1 << 15  # elements; with the arrays of a rule about the size of a core's own cache
MIN_ROWS = 256  # of a chunk whose columns are summed: each chunk has a row of sums of its own


class Table(tables.Table):
    """Everything one call of a kernel reads, for tensors that take the same plan."""

    kernel: Kernel

    def __init__(
        self, plan: Plan, kernel: Kernel, items: Sequence[Item], buckets: int, dtype: torch.dtype
    ) -> None:
        super().__init__(plan, kernel, items, buckets, dtype)
        self._set(kernel.segments[0])
        self._drivers = team.drivers()
        self.share(1)

    def _cut(self, i: int, shape: tuple[int, int, int, int], chunks: list[Chunk]) -> int:
        a, b, r, c = shape
        plan = self.layout.plan
        if plan.flat:
            n = a * b * r * c
            chunks += [(i, lo, min(lo + CHUNK, n), 0) for lo in range(0, n, CHUNK)]
            return 1
        rows, step = a * b * r, max(1, CHUNK // c)
        if not self.layout.column_sums:
            chunks += [(i, lo, min(lo + step, rows), 0) for lo in range(0, rows, step)]
            return 1
        step = max(step, MIN_ROWS)
        if r <= step:  # whole matrices
            step = step // r * r
            chunks += [(i, lo, min(lo + step, rows), 0) for lo in range(0, rows, step)]
            return 1
        for matrix in range(a * b):
            for piece, lo in enumerate(range(0, r, step)):
                start = matrix * r
                chunks.append((i, start + lo, start + min(lo + step, r), piece))
        return -(-r // step)

    @property
    def short(self) -> bool:
        return self.elements < threads.SMALL and len(self.kernel.segments) == 1

    def share(self, parts: int) -> None:
        """Share out chunks and tensors over this many threads, by elements."""
        self.parts = 0  # a signal may come between any two lines: what is half set is set anew
        sizes = self.chunks[:, at.CHUNK_HI] - self.chunks[:, at.CHUNK_LO]
        if not self.layout.plan.flat:
            sizes = sizes * self.tensors[self.chunks[:, at.CHUNK_TENSOR], at.C]
        self._bounds = [
            _split(sizes, parts),
            _split(self.tensors[:, at.CHUNK_COUNT], parts),
        ]
        self.context[at.CHUNK_BOUNDS] = self._bounds[0].ctypes.data
        self.context[at.TENSOR_BOUNDS] = self._bounds[1].ctypes.data
        self.context[at.PARTS] = parts
        self.parts = parts

    def _set(self, segment: slice) -> None:
        self._segment: slice | None = None
        self.context[at.STAGES] = self.kernel.addresses.ctypes.data + 8 * segment.start
        self.context[at.STAGE_COUNT] = segment.stop - segment.start
        self._segment = segment

    def run(self, segment: int = 0) -> None:
        """Run what lies between two breaks, on as many threads as torch is set to."""
        if self.kernel.segments[segment] != self._segment:
            self._set(self.kernel.segments[segment])
        parts = threads.count(self.elements)
        if parts != self.parts:
            self.share(parts)
        drivers = self._drivers
        if parts == 1:
            drivers.alone(self.address)
        elif drivers.together is not None and threads.team_lives():
            drivers.together(self.address, parts)
        else:
            for stage in self.kernel.stages[self.kernel.segments[segment]]:
                threads.run_parts(partial(drivers.one, stage.address), self.address, parts)


def _split(sizes: Words, parts: int) -> Words:
    """Bounds that cut a list into `parts` runs of about the same total size."""
    ends = np.cumsum(sizes)
    total = int(ends[-1]) if len(ends) else 0
    cuts = [int(np.searchsorted(ends, total * k / parts)) for k in range(parts)]
    bounds = np.array([0, *(c for c in cuts[1:]), len(sizes)], np.int64)
    bounds[1:-1] = np.minimum(bounds[1:-1] + 0, len(sizes))
    return bounds
