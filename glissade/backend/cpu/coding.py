"""Passes over states in 8 bits: a block's largest number must be known before its first code.

So a block of 256 elements is gone through several times, from the processor's nearest cache: once
for what is to be coded, once for what is to be coded of that, and last for everything else. Chunks
and rows are of whole blocks, but for a tensor's last.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from llvmlite import ir

from ...blocks import BLOCK, CODES, scale_name
from ...graph import Node
from ...plan import Pass
from .stage import Coding, Nest
from .types import F32, I32, I64, PTR

if TYPE_CHECKING:
    from .stage import Stage

Inside = Callable[[ir.Value, "ir.Value | None"], None]


class Coder:
    """What of a pass is in codes, and the loops for it."""

    def __init__(self, stage: Stage, work: Pass) -> None:
        self.stage = stage
        self.storage = stage.layout.plan.storage
        self.stores = work.stores
        self.reads = [
            name for what, name in work.loads
            if what == "state" and self.storage.get(name) in CODES
        ]  # fmt: skip
        self.levels = self._levels(work)

    def _levels(self, work: Pass) -> list[list[Node]]:
        """What is coded in the pass, in the order in which it can be."""
        level: dict[Node, int] = {}
        coded: dict[Node, int] = {}
        outputs = [*(s.args[0] for s in work.sums), *work.stores.values()]
        outputs += [] if work.param is None else [work.param]
        for node in walk_inside(outputs, work):
            below = max((level[a] for a in node.args if a in level), default=0)
            if node.op == "stored" and node.value[0] in CODES:
                coded[node] = below
                below += 1
            level[node] = below
        return [
            [n for n, at in coded.items() if at == k]
            for k in range(max(coded.values(), default=-1) + 1)
        ]

    def blocks(self, nest: Nest, inside: Inside) -> None:
        """inside(i, mask) over the inner loop of a nest, block by block."""
        stage, b = self.stage, self.stage.b
        whole = b.and_(nest.length, I64(-BLOCK))
        stage.loop(
            I64(0), whole, BLOCK, lambda start: self._block(nest, start, I64(BLOCK), inside, True)
        )
        with b.if_then(b.icmp_signed("<", whole, nest.length)):
            self._block(nest, whole, b.sub(nest.length, whole), inside, False)

    def _block(
        self, nest: Nest, start: ir.Value, size: ir.Value, inside: Inside, whole: bool
    ) -> None:
        stage, b, v = self.stage, self.stage.b, self.stage.v
        nest.inner = start
        place = b.udiv(stage.index(nest), I64(BLOCK))

        def scale_at(name: str) -> ir.Value:
            return stage.slot(stage.column(stage.layout.states[scale_name(name)]), place, F32)

        nest.coding, nest.codes = {}, {}
        nest.scales = {x: v.splat(b, b.load(scale_at(x), typ=F32)) for x in self.reads}

        def over(body: Inside) -> None:
            if whole:
                stage.loop(I64(0), size, v.width, lambda i: body(b.add(start, i), None))
            else:
                stage.vectors(size, lambda i, mask: body(b.add(start, i), mask), small=True)

        for level in self.levels:
            scales = self._measure(nest, level, start, over)
            for name, node in self.stores.items():
                if node in scales:
                    b.store(scales[node], scale_at(name))
        over(inside)

    def _measure(
        self, nest: Nest, nodes: list[Node], start: ir.Value, over: Callable[[Inside], None]
    ) -> dict[Node, ir.Value]:
        """Compute what is to be coded next, keep it on the stack, and find its scale."""
        stage, b, v = self.stage, self.stage.b, self.stage.v
        with b.goto_block(stage.top):
            kept = [b.alloca(F32, BLOCK) for _ in nodes]
            largest = [b.alloca(v.of(I32)) for _ in nodes]
        for array in kept:
            array.type = PTR  # of vectors, too
        for place in largest:
            b.store(v.constant(0, I32), place)

        def measure(i: ir.Value, mask: ir.Value | None) -> None:
            nest.inner, nest.mask, nest.at_inner = i, mask, {}
            for node, array, place in zip(nodes, kept, largest, strict=True):
                x = stage.value(node.args[0], nest)
                v.store(b, x, stage.slot(array, b.sub(i, start), F32), None)
                old = b.load(place, typ=v.of(I32))
                b.store(v.larger(b, v.size_bits(b, x, mask), old), place)

        over(measure)
        scales = {}
        for node, array, place in zip(nodes, kept, largest, strict=True):
            most = v.largest(b, b.load(place, typ=v.of(I32)))
            scale, inverse = v.scaling(b, most, CODES[node.value[0]])
            scales[node] = scale
            nest.coding[node] = Coding(array, start, v.splat(b, inverse), v.splat(b, scale))
        return scales


def walk_inside(outputs: list[Node], work: Pass) -> list[Node]:
    """The nodes that a pass computes, arguments first: not those that it finds in memory."""
    seen: set[int] = set()
    for node in work.known:
        seen.add(id(node))
    out: list[Node] = []

    def visit(node: Node) -> None:
        if id(node) in seen:
            return
        seen.add(id(node))
        for arg in node.args:
            visit(arg)
        out.append(node)

    for node in outputs:
        visit(node)
    return out
