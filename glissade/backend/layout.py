"""Where a kernel finds things: the columns of the tensor table, the chunk table, the context.

Everything is an array of 64-bit words built by `tables.py` and read by the code that `emit.py`
writes; this is the one place that knows the order.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TypeVar

from ..graph import Kind, Node
from ..plan import Pass, Plan

Stage = TypeVar("Stage")

# The context, one array per call; what begins with ROW is for `look.py`.
(
    CHUNKS, TENSORS, PARTIALS, CHUNK_BOUNDS, TENSOR_BOUNDS, PARTS, STAGES, STAGE_COUNT,
    ROW_COUNT, ROW_WORDS, ROW_STATES, ROW_DTYPE, ROW_DEVICE, ROW_INDEX,
    CONTEXT_WORDS,
) = range(15)  # fmt: skip

# A chunk: a range of elements (flat plans) or rows of one tensor; `piece` counts the chunks of one
# matrix, so that the partial sums of columns have a place each.
CHUNK_TENSOR, CHUNK_LO, CHUNK_HI, CHUNK_PIECE = range(4)
CHUNK_WORDS = 4

# A tensor: sizes, then pointers, the last of them for `look.py`: the parameter's at::Tensor, the
# form it has, its count of steps. Then what a plan keeps, and last its states: the address of each,
# and each one's at::Tensor.
(
    N, C, R, B, A, ROWS, MATRICES, ROWS_PER_SLICE, CHUNK0, CHUNK_COUNT, PIECES,
    HOST, SCALARS, PARAM, GRAD, HANDLE, FORM, STEP, FIRST_KEPT,
) = range(19)  # fmt: skip


@dataclass(frozen=True)
class Layout:
    """The columns that a plan needs beyond the fixed ones."""

    plan: Plan

    @cached_property
    def kept(self) -> tuple[Node, ...]:
        """Every value that a finish computes."""
        return tuple(n for f in self.plan.finishes for values in f.rounds for n in values)

    @cached_property
    def temps(self) -> dict[Node, int]:
        """Column of the pointer to each kept value that is an array (rows, columns ...)."""
        arrays = [n for n in self.kept if n.kind is not Kind.TENSOR]
        return {n: FIRST_KEPT + i for i, n in enumerate(arrays)}

    @cached_property
    def column_sums(self) -> dict[Node, int]:
        """Column of the pointer to the partial sums of each sum per column, in double."""
        first = FIRST_KEPT + len(self.temps)
        sums = [n for p in self.plan.passes for n in p.sums if n.kind is Kind.COLUMN]
        return {n: first + i for i, n in enumerate(sums)}

    @property
    def first_state(self) -> int:
        """Column of the first state's pointer: after what is kept, so that plans with other states
        may have stages in common."""
        return FIRST_KEPT + len(self.temps) + len(self.column_sums)

    @cached_property
    def states(self) -> dict[str, int]:
        """Column of each state's pointer, and of its scales'."""
        return {name: self.first_state + i for i, name in enumerate(self.plan.arrays)}

    @cached_property
    def scalars(self) -> dict[Node, int]:
        """Slot of each kept value per tensor, in double."""
        return {n: i for i, n in enumerate(x for x in self.kept if x.kind is Kind.TENSOR)}

    @cached_property
    def hosts(self) -> dict[Node, int]:
        """Slot of each number that the host computes, in double."""
        late = (n for cut in self.plan.breaks for n in cut.numbers)
        return {n: i for i, n in enumerate((*self.plan.hosts, *late))}

    @cached_property
    def partials(self) -> dict[Node, int]:
        """Slot of each sum per tensor among the partial sums of a chunk."""
        return {
            n: i
            for p in self.plan.passes
            for i, n in enumerate(x for x in p.sums if x.kind is Kind.TENSOR)
        }

    @property
    def partial_words(self) -> int:
        """Partial sums per chunk."""
        return max(self.partials.values(), default=-1) + 1

    @property
    def words(self) -> int:
        """Columns of the tensor table."""
        return self.first_state + 2 * len(self.states)


def stages(
    plan: Plan,
    finish: Callable[[str, Sequence[Node], Mapping[str, Node]], Stage],
    sweep: Callable[[str, Pass], Stage],
) -> list[list[Stage]]:
    """The stages of a plan in the order they run in, a list for what lies between two breaks.

    Each is made of its name and of what it does: a round of a finish of its values, and of the
    states that it stores; a pass of itself.
    """
    breaks = {cut.after for cut in plan.breaks}
    segments: list[list[Stage]] = [[]]
    for k, one in enumerate(plan.finishes):
        for r, values in enumerate(one.rounds):
            stores = one.stores if r == len(one.rounds) - 1 else {}
            if values or stores:
                segments[-1].append(finish(f"finish_{k}" + (f"_{r}" if r else ""), values, stores))
            if (k, r) in breaks:
                segments.append([])
        if k < len(plan.passes):
            segments[-1].append(sweep(f"pass_{k}", plan.passes[k]))
    return segments
