"""The tables that a kernel runs over: one row a tensor, one a chunk, numbers of the host.

What every backend's have in common; how a chunk is cut, and how to run, is the backend's own.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch

from ..graph import Kind
from ..plan import Break, Plan
from . import layout as at
from .layout import Layout

if TYPE_CHECKING:
    from .cpu import look

Chunk = tuple[int, int, int, int]  # as `layout` has it
Words = npt.NDArray[np.int64]


def extents(shape: Sequence[int], slices_as_rows: bool) -> tuple[int, int, int, int]:
    """(A, B, R, C) of a tensor: see `glissade.graph`."""
    if slices_as_rows:
        return 1, 1, shape[0], math.prod(shape[1:])
    *front, r, c = (1, 1, *shape)
    if len(shape) < 3:
        return 1, 1, r, c
    first, *between = front[2:]
    return first, math.prod(between), r, c


def size(kind: Kind, shape: tuple[int, int, int, int]) -> int:
    """How many values of a kind a tensor of these extents has."""
    a, b, r, c = shape
    flags = [(2, a), (4, b), (8, r), (16, c)]
    return math.prod(n for bit, n in flags if kind & bit)


@dataclass(frozen=True)
class Item:
    """One tensor in a table: its shape, which host numbers it takes, its states; and what asks
    `Table.look` where things are (a benchmark's stream has no parameter)."""

    shape: tuple[int, ...]
    bucket: int
    states: tuple[torch.Tensor, ...]  # in the order of plan.arrays
    index: int = 0  # among those that step together
    asked: tuple[torch.Tensor, torch.Tensor] | None = None  # the parameter, its count of steps


class Table:
    """Everything one call of a kernel reads, for tensors that take the same plan."""

    extra = 0  # numbers beside the host's

    def __init__(
        self, plan: Plan, kernel: Any, items: Sequence[Item], buckets: int, dtype: torch.dtype
    ) -> None:
        self.kernel = kernel
        self.dtype = dtype
        self.layout = layout = Layout(plan)
        self.order = [item.index for item in items]
        self.elements = sum(math.prod(item.shape) for item in items)
        count = max(1, len(layout.hosts)) + self.extra
        self.numbers = np.zeros((buckets, count))  # what the host computes, per bucket
        self._pack = struct.Struct(f"{len(plan.hosts)}d").pack_into
        self._places = [row.data for row in self.numbers]
        self.tensors: Words = np.zeros((len(items), layout.words), np.int64)
        self._keep: list[torch.Tensor] = []
        chunks: list[Chunk] = []
        shapes = [extents(item.shape, plan.slices_as_rows) for item in items]
        for i, (item, shape) in enumerate(zip(items, shapes, strict=True)):
            first = len(chunks)
            pieces = self._cut(i, shape, chunks)
            a, b, r, c = shape
            sizes = (a * b * r * c, c, r, b, a, a * b * r, a * b, b * r)
            self.tensors[i, : at.HOST] = (*sizes, first, len(chunks) - first, pieces)
            self.tensors[i, at.HOST] = self._numbers_at(item.bucket)
            states = [x.data_ptr() for x in item.states]
            self.tensors[i, layout.first_state : layout.first_state + len(states)] = states
        self.chunks: Words = np.array(chunks, np.int64).reshape(-1, at.CHUNK_WORDS)
        self._scratch(shapes)
        self.context: Words = np.zeros(at.CONTEXT_WORDS, np.int64)
        self.context[at.CHUNKS] = self.chunks.ctypes.data
        self.context[at.TENSORS] = self.tensors.ctypes.data
        self.partials = self._array(len(chunks) * layout.partial_words, torch.float64)
        self.context[at.PARTIALS] = self.partials.data_ptr()
        self.context[at.ROW_WORDS] = layout.words
        self.address = int(self.context.ctypes.data)
        self._native = self._introduce(items, dtype)

    def _numbers_at(self, bucket: int) -> int:
        """Where a kernel finds the numbers of a bucket."""
        return int(self.numbers[bucket].ctypes.data)

    def _array(self, n: int, dtype: torch.dtype) -> torch.Tensor:
        array = torch.empty(n, dtype=dtype, device="cpu")
        self._keep.append(array)
        return array

    def _cut(self, i: int, shape: tuple[int, int, int, int], chunks: list[Chunk]) -> int:
        """Add the chunks of tensor i; how many pieces each of its matrices is in."""
        raise NotImplementedError

    def run(self, segment: int = 0) -> None:
        """Run what lies between two breaks."""
        raise NotImplementedError

    def _scratch(self, shapes: Sequence[tuple[int, int, int, int]]) -> None:
        """Memory for what is kept between passes: nothing of the size of a parameter."""
        layout, table = self.layout, self.tensors

        def place(column: int, sizes: list[int]) -> None:
            ends = np.cumsum([0, *sizes])
            array = self._array(int(ends[-1]), torch.float64)
            table[:, column] = array.data_ptr() + ends[:-1] * array.element_size()

        if layout.scalars:
            place(at.SCALARS, [len(layout.scalars)] * len(shapes))
            self._scalars = self._keep[-1].reshape(-1, len(layout.scalars))
        for node, column in layout.temps.items():
            place(column, [size(node.kind, s) for s in shapes])
        for column in layout.column_sums.values():
            sizes = [
                size(Kind.COLUMN, s) * int(pieces)
                for s, pieces in zip(shapes, table[:, at.PIECES], strict=True)
            ]
            place(column, sizes)

    def _introduce(self, items: Sequence[Item], dtype: torch.dtype) -> look.Native | None:
        """Fill in what `look` asks; None where it cannot."""
        from .cpu import look  # and with it LLVM: a tenth of a second

        native = look.native()
        asked = [x.asked for x in items if x.asked is not None]
        if native is None or not asked or asked[0][0].device.type not in look.DEVICES:
            return None
        self._items = items  # their Python objects must stay where they are
        forms = [look.form(p) for p, _ in asked]
        ends = np.cumsum([0, *map(len, forms)])
        self._forms: Words = np.array([n for form in forms for n in form], np.int64)
        states = len(self.layout.states)
        self.tensors[:, at.HANDLE] = [native.handle(p) for p, _ in asked]
        self.tensors[:, at.FORM] = self._forms.ctypes.data + 8 * ends[:-1]
        self.tensors[:, at.STEP] = [step.data_ptr() for _, step in asked]
        if states:
            self.tensors[:, -states:] = [[*map(native.handle, x.states)] for x in items]
        device = asked[0][0].device
        self.context[at.ROW_COUNT] = len(items)
        self.context[at.ROW_STATES] = states
        self.context[at.ROW_DTYPE] = look.DTYPES[dtype]
        self.context[at.ROW_DEVICE] = look.DEVICES[device.type]
        self.context[at.ROW_INDEX] = -1 if device.index is None else device.index
        return native

    @property
    def scratch_bytes(self) -> int:
        """Bytes kept between passes."""
        return sum(a.numel() * a.element_size() for a in self._keep)

    def point(self, params: Words, grads: Words) -> None:
        """Take the addresses of parameters and gradients."""
        self.tensors[:, at.PARAM] = params
        self.tensors[:, at.GRAD] = grads

    def look(self) -> bool:
        """Whether everything is plainly there; takes the addresses of parameters and gradients."""
        return self._native is not None and self._native.look(self.address) != 0

    @property
    def short(self) -> bool:
        """Whether `step` may be used: Python's lock is kept for so long only."""
        return False

    def step(self) -> bool:
        """`look`, `run` and `count` in one; False, with nothing changed, if `look` says so."""
        return self._native is not None and self._native.step(self.address) != 0

    def count(self) -> None:
        """Count the step, for each parameter and for autograd; only after `look`."""
        self._native.count(self.address)  # type: ignore[union-attr]

    def fill(self, bucket: int, numbers: tuple[float, ...]) -> None:
        """Take the host's numbers for a bucket of tensors."""
        if numbers:
            self._pack(self._places[bucket], 0, *numbers)

    def share_of(self, cut: Break) -> dict[int, float]:
        """What these tensors add to the totals that are complete at a break."""
        shares = {}
        for i, total in cut.totals.items():
            (share,) = total.args
            values = self._scalars[:, self.layout.scalars[share]]
            shares[i] = float(values.cpu().numpy().sum())
        return shares

    def fill_late(self, bucket: int, cut: Break, numbers: tuple[float, ...]) -> None:
        """Take the numbers that a break made known, for a bucket of tensors."""
        for node, x in zip(cut.numbers, numbers, strict=True):
            self.numbers[bucket, self.layout.hosts[node]] = x
