"""Tables of the triton backend: the same, with a copy of them where the tensors are."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from ...plan import Plan
from .. import layout as at
from .. import tables
from ..select import interpreted
from ..tables import Chunk, Item
from .compile import Kernel
from .emit import BLOCK, ROWS

WARPS = 8
ALIGNMENT = 16  # bytes that a thread reads at once


class Table(tables.Table):
    """Everything one step of a plan reads, for tensors on one device.

    Pointers and numbers are written here, and sent where the kernels run: the pointers when they
    have changed, the numbers each step. Nothing waits for the device, but for a rule's totals over
    all tensors.
    """

    kernel: Kernel
    guarded = False  # whether numbers, and whether there is a step, come from the device

    def __init__(
        self, plan: Plan, kernel: Kernel, items: Sequence[Item], buckets: int, dtype: torch.dtype
    ) -> None:
        # A benchmark's stream has no parameter, but states.
        first = next((x for i in items for x in (*(i.asked or ()), *i.states)), None)
        self.device = None if first is None else first.device
        self._sent_numbers: torch.Tensor | None = None
        super().__init__(plan, kernel, items, buckets, dtype)
        self._sent_chunks = torch.from_numpy(self.chunks).to(self.device)
        self._sent_tensors = torch.empty_like(torch.from_numpy(self.tensors), device=self.device)
        self._pointers: Any = None  # as they were sent
        self._captured: list[torch.Tensor] = []
        states = slice(self.layout.first_state, self.layout.first_state + len(self.layout.states))
        self._states_aligned = not (self.tensors[:, states] % ALIGNMENT).any()
        self._aligned = False

    def _numbers_at(self, bucket: int) -> int:
        if self._sent_numbers is None:
            self._sent_numbers = torch.empty(
                self.numbers.shape, dtype=torch.float64, device=self.device
            )
        return self._sent_numbers[bucket].data_ptr()

    def _array(self, n: int, dtype: torch.dtype) -> torch.Tensor:
        array = torch.empty(n, dtype=dtype, device=self.device)
        self._keep.append(array)
        return array

    def _cut(self, i: int, shape: tuple[int, int, int, int], chunks: list[Chunk]) -> int:
        a, b, r, c = shape
        if self.layout.plan.flat:
            n = a * b * r * c
            chunks += [(i, lo, min(lo + BLOCK, n), 0) for lo in range(0, n, BLOCK)]
            return 1
        rows = a * b * r
        if not self.layout.column_sums:
            chunks += [(i, lo, min(lo + ROWS, rows), 0) for lo in range(0, rows, ROWS)]
            return 1
        for matrix in range(a * b):
            start = matrix * r
            for piece, lo in enumerate(range(0, r, ROWS)):
                chunks.append((i, start + lo, start + min(lo + ROWS, r), piece))
        return -(-r // ROWS)

    def run(self, segment: int = 0) -> None:
        """Launch what lies between two breaks."""
        if self._sent_numbers is None:  # tensors without elements
            return
        with self.here():
            if segment == 0:
                self._send_pointers()
            if not self.guarded:
                self._sent_numbers.copy_(torch.from_numpy(self.numbers), non_blocking=True)
            for stage in self.kernel.stages[self.kernel.segments[segment]]:
                programs = len(self.chunks) if stage.per_chunk else len(self.tensors)
                if programs:
                    stage.run[(programs,)](
                        self._sent_tensors, self._sent_chunks, self.partials, self._aligned,
                        self.guarded, num_warps=WARPS, enable_fp_fusion=False,
                    )  # fmt: skip

    def _send_pointers(self) -> None:
        pointers = self.tensors[:, [at.PARAM, at.GRAD]]
        if capturing(self.device):
            # A graph copies them again in each replay: from memory that nobody else writes to.
            held = torch.from_numpy(self.tensors.copy()).pin_memory()
            self._captured.append(held)
            self._sent_tensors.copy_(held, non_blocking=True)
            self._pointers = None
            self._aligned = self._states_aligned and not (pointers % ALIGNMENT).any()
            return
        if self._pointers is None or not np.array_equal(pointers, self._pointers):
            self._sent_tensors.copy_(torch.from_numpy(self.tensors), non_blocking=True)
            self._pointers = pointers
            self._aligned = self._states_aligned and not (pointers % ALIGNMENT).any()

    @contextlib.contextmanager
    def here(self) -> Any:
        """On the tensors' device; in the interpreter NumPy must not warn of what rules may do."""
        if interpreted():
            with np.errstate(all="ignore"):
                yield
        elif self.device is not None and self.device.type == "cuda":
            with torch.cuda.device(self.device):
                yield
        else:
            yield


def capturing(device: torch.device | None) -> bool:
    """Whether a CUDA graph is being captured."""
    return device is not None and device.type == "cuda" and torch.cuda.is_current_stream_capturing()
