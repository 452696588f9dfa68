"""What the code of a pass and of a finish have in common: loops, and values inside them."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

from llvmlite import ir

from ...blocks import CODES
from ...graph import Kind, Node, wide_factor
from ...ops import LARGE, PART, SMALL
from ...storage import PARAMETER
from .. import layout as at
from ..layout import Layout
from .code import Code
from .target import Target
from .types import F32, F64, I8, I32, I64, PTR
from .vector import FORMATS, SIZES, Format, Vectors

# How a value of one kind is found inside a loop over another: which column of the tensor table
# divides the outer index (None: 1), and whether the inner index counts.
WHERE: dict[Kind, dict[Kind, tuple[int | None, bool]]] = {
    Kind.ELEMENT: {
        Kind.ELEMENT: (None, True),
        Kind.ROW: (None, False),
        Kind.COLUMN: (at.R, True),
        Kind.MATRIX: (at.R, False),
        Kind.SLICE: (at.ROWS_PER_SLICE, False),
    },
    Kind.ROW: {Kind.ROW: (None, True), Kind.MATRIX: (None, False), Kind.SLICE: (at.B, False)},
    Kind.COLUMN: {Kind.COLUMN: (None, True), Kind.MATRIX: (None, False), Kind.SLICE: (at.B, False)},
    Kind.MATRIX: {Kind.MATRIX: (None, True), Kind.SLICE: (None, False)},
    Kind.SLICE: {Kind.SLICE: (None, True)},
}


@dataclass
class Nest:
    """A loop nest being written over a kind: an outer index (rows, say), vectors of the inner."""

    kind: Kind
    length: ir.Value  # of the inner loop
    once: ir.IRBuilder  # before the outer loop
    per_outer: ir.IRBuilder = None  # before each inner loop
    outer: ir.Value = None
    inner: ir.Value = None
    mask: ir.Value | None = None
    known: Mapping[Node, str] = field(default_factory=dict)
    at_once: dict[Node, ir.Value] = field(default_factory=dict)
    parts: dict[Node, tuple[ir.Value, ...]] = field(default_factory=dict)  # of numbers in at_once
    at_outer: dict[Node, ir.Value] = field(default_factory=dict)
    starts: dict[Kind, ir.Value] = field(default_factory=dict)  # of this outer index, in arrays
    at_inner: dict[Node, ir.Value] = field(default_factory=dict)
    scales: dict[str, ir.Value] = field(default_factory=dict)  # of states, in the block at hand
    coding: dict[Node, Coding] = field(default_factory=dict)  # what is coded in the block at hand
    codes: dict[Node, ir.Value] = field(default_factory=dict)


@dataclass
class Coding:
    """A value that is coded in a block: first computed everywhere, for its scale."""

    kept: ir.Value  # the values, on the stack
    start: ir.Value  # the block's, as the nest counts
    inverse: ir.Value  # of the scale,
    scale: ir.Value  # and itself, in every lane


class Stage(Code):
    """What passes and finishes share: the table, the loops, the values of nodes."""

    in_double = False  # whether arrays are computed in double, whatever they are stored in

    def __init__(
        self, module: ir.Module, name: str, layout: Layout, dtype: str, target: Target
    ) -> None:
        self.layout = layout
        self.form = FORMATS[dtype]  # of parameters and gradients
        self.plain = next(x for x in FORMATS.values() if x.memory == self.form.scalar)
        self._forms = {at.PARAM: self.form, at.GRAD: self.form}
        self._forms |= dict.fromkeys(layout.temps.values(), FORMATS["float64"])
        self._forms |= {layout.states[k]: FORMATS[low] for k, low in layout.plan.storage.items()}
        self._names = {layout.states[name]: name for name in layout.plan.storage}
        scalar = F64 if self.in_double else self.form.scalar
        width = target.vector_bytes // SIZES[scalar]
        self.v = Vectors(module, scalar, width, half=target.half)
        self.one = Vectors(module, F64, 1)  # values per tensor are single doubles
        super().__init__(module, name, [PTR, I64])
        self.context, self.part = self.fn.args
        self._columns: dict[int, ir.Value] = {}  # of the tensor at hand

    # Memory

    @contextlib.contextmanager
    def tensor(self, index: ir.Value) -> Iterator[None]:
        """Code for one tensor: a row of the table. Each of its columns is read at the beginning,
        once: stores could hide from the compiler that it does not change."""
        start = self.b.mul(index, self.word(self.context, at.ROW_WORDS))
        self._row = self.slot(self.word(self.context, at.TENSORS, PTR), start)
        self._columns.clear()
        self._beginning = self.hoisted()
        yield
        self.seal(self._beginning)

    def column(self, index: int) -> ir.Value:
        """An entry of the tensor's row; pointers as pointers."""
        if index not in self._columns:
            b, typ = self._beginning, PTR if index >= at.HOST else I64
            where = b.gep(self._row, [I64(index)], source_etype=I64)
            self._columns[index] = b.load(where, typ=typ)
        return self._columns[index]

    def form_of(self, column: int) -> Format:
        """How the numbers lie in the array of this column."""
        return self._forms.get(column, self.plain)

    def at(self, column: int, index: ir.Value) -> ir.Value:
        """The address of the `index`-th element of the array of this column."""
        return self.slot(self.column(column), index, self.form_of(column).memory)

    # Loops

    def hoisted(self) -> ir.IRBuilder:
        """A builder for code that turns out to be needed here, before a loop that comes next."""
        here = self.fn.append_basic_block("hoist")
        self.b.branch(here)
        after = self.fn.append_basic_block("loop")
        self.b.position_at_end(after)
        return ir.IRBuilder(here)

    def seal(self, builder: ir.IRBuilder) -> None:
        """End what `hoisted` began: go on to the block made right after it."""
        builder.branch(self.fn.blocks[self.fn.blocks.index(builder.block) + 1])

    def accumulator(self) -> ir.Value:
        """A vector of doubles on the stack (the compiler keeps it in registers), set to 0."""
        with self.b.goto_block(self.top):
            place = self.b.alloca(self.v.of(F64))
        self.b.store(self.v.constant(0, F64), place)
        return place

    def accumulate(self, place: ir.Value, op: str, x: ir.Value, mask: ir.Value | None) -> None:
        """Add x (or its square) to an accumulator, in double."""
        wide = self.v.convert(self.b, x, F64)
        if op == "sumsq":
            wide = self.b.fmul(wide, wide, flags=("contract",))
        if mask is not None:
            wide = self.b.select(mask, wide, self.v.constant(0, F64))
        old = self.b.load(place, typ=wide.type)
        self.b.store(self.b.fadd(old, wide, flags=("contract",)), place)

    def vectors(
        self, n: ir.Value, body: Callable[[ir.Value, ir.Value | None], None], *, small: bool = False
    ) -> None:
        """body(i, mask) over 0 <= i < n: whole vectors first, then what is left under a mask.

        Loops that are `small` beside a pass go under a mask all the way: half the code to compile.
        """
        b, width = self.b, self.v.width

        def masked(i: ir.Value) -> None:
            lanes = ir.Constant(ir.VectorType(I32, width), [I32(k) for k in range(width)])
            left = self.v.splat(b, b.trunc(b.sub(n, i), I32))
            body(i, b.icmp_signed("<", lanes, left))

        if width > 1 and small:
            self.loop(I64(0), n, width, masked)
            return
        whole = b.and_(n, I64(-width))
        self.loop(I64(0), whole, width, lambda i: body(i, None))
        if width == 1:
            return
        rest, done = self.fn.append_basic_block("rest"), self.fn.append_basic_block("end")
        b.cbranch(b.icmp_signed("<", whole, n), rest, done)
        b.position_at_end(rest)
        masked(whole)
        b.branch(done)
        b.position_at_end(done)

    def nest(
        self,
        kind: Kind,
        lo: ir.Value,
        hi: ir.Value,
        length: ir.Value,
        body: Callable[[Nest], None],
        *,
        known: Mapping[Node, str] | None = None,
        blocked: bool = False,
        before: Callable[[Nest], None] = lambda nest: None,
        after: Callable[[Nest], None] = lambda nest: None,
    ) -> None:
        """Run `body` for all vectors of rows lo..hi; `before` and `after` around each row."""
        nest = Nest(kind, length, self.hoisted(), known=known or {})

        def row(outer: ir.Value) -> None:
            nest.outer, nest.per_outer = outer, self.hoisted()
            nest.at_outer, nest.starts = {}, {}
            before(nest)

            def inside(i: ir.Value, mask: ir.Value | None) -> None:
                nest.inner, nest.mask, nest.at_inner = i, mask, {}
                body(nest)

            if blocked:
                self.blocks(nest, inside)
            else:
                self.vectors(length, inside, small=kind is not Kind.ELEMENT)
            after(nest)
            self.seal(nest.per_outer)

        self.loop(lo, hi, 1, row)
        self.seal(nest.once)

    def blocks(self, nest: Nest, inside: Callable[[ir.Value, ir.Value | None], None]) -> None:
        """inside(i, mask) over an inner loop in blocks, where states are in 8 bits."""
        raise NotImplementedError

    # Values

    def number(self, node: Node) -> ir.Value:
        """A value per tensor or a number of the host, as one double, at the current place."""
        if node.op == "const":
            return self.one.constant(node.value)
        if node.op == "machine_eps":
            return self.one.constant(self.form.eps)
        if node.kind is Kind.HOST:
            x = self.word(self.column(at.HOST), self.layout.hosts[node], F64)
            return self.b.fcmp_unordered("!=", x, F64(0)) if node.bool_ else x
        if node in self.layout.scalars:
            x = self.word(self.column(at.SCALARS), self.layout.scalars[node], F64)
            return self.b.fcmp_unordered("!=", x, F64(0)) if node.bool_ else x
        if node.op == "state":
            pointer = self.column(self.layout.states[node.value])
            return self.v.convert(self.b, self.b.load(pointer, typ=self.plain.memory), F64)
        return self.one.op(self.b, node.op, [self.number(a) for a in node.args])

    def value(self, node: Node, nest: Nest) -> ir.Value:
        """The vector of a node's values at the current place of a loop nest."""
        if node.kind <= Kind.TENSOR:
            if node not in nest.at_once:
                with writing_at(self, nest.once):
                    x = self.number(node)
                    if not node.bool_:
                        x = self.v.convert(self.b, x, self.v.scalar)
                    nest.at_once[node] = self.v.splat(self.b, x)
            return nest.at_once[node]
        pointer = self._pointer(node, nest)
        if pointer is not None and not WHERE[nest.kind][node.kind][1]:
            if node not in nest.at_outer:
                with writing_at(self, nest.per_outer):
                    memory = self.form_of(pointer).memory
                    x = self.b.load(self.place(node.kind, pointer, nest), typ=memory)
                    x = self.v.convert(self.b, x, self.v.scalar)
                    nest.at_outer[node] = self._truth(node, self.v.splat(self.b, x))
            return nest.at_outer[node]
        if node not in nest.at_inner:
            if node in nest.coding:
                nest.at_inner[node] = self._coded(node, nest)
            elif pointer is not None and self.state_at(pointer) in nest.scales:
                nest.at_inner[node] = self._decoded(pointer, nest)
            elif pointer is not None:
                place = self.place(node.kind, pointer, nest)
                x = self.v.read(self.b, place, self.form_of(pointer), nest.mask)
                x = self.v.convert(self.b, x, self.v.scalar)
                nest.at_inner[node] = self._truth(node, x)
            elif node.op == "noise":
                nest.at_inner[node] = self._noise(node, nest)
            elif node.op == "mul" and (factor := wide_factor(node)) is not None:
                x = self.value(next(a for a in node.args if a is not factor), nest)
                for part in self._parts(factor, nest):
                    x = self.v.op(self.b, "mul", [x, part])
                nest.at_inner[node] = x
            else:
                args = [self.value(a, nest) for a in node.args]
                nest.at_inner[node] = self._computed(node, args)
        return nest.at_inner[node]

    def _parts(self, factor: Node, nest: Nest) -> tuple[ir.Value, ir.Value]:
        """A number of a tensor, a double, as two factors that float32 can hold: see `scaled`."""
        if factor not in nest.parts:
            b, one = self.b, self.one
            with writing_at(self, nest.once):
                b, x = self.b, self.number(factor)
                size = one.call(b, "fabs", x)
                # Ordered comparisons: what is NaN or infinite stays as it is.
                small = b.and_(
                    b.fcmp_ordered(">", size, F64(0)), b.fcmp_ordered("<", size, F64(SMALL))
                )
                large = b.and_(
                    b.fcmp_ordered(">=", size, F64(LARGE)), b.fcmp_ordered("<", size, F64(math.inf))
                )
                part = b.select(large, F64(PART), F64(1 / PART))
                part = b.select(b.fcmp_ordered("<", x, F64(0)), b.fneg(part), part)
                apart = b.or_(small, large)
                first = b.select(apart, part, x)
                second = b.select(apart, b.fdiv(x, first), F64(1))
                nest.parts[factor] = tuple(
                    self.v.splat(b, self.v.convert(b, y, self.v.scalar)) for y in (first, second)
                )
        return nest.parts[factor]

    def _computed(self, node: Node, args: list[ir.Value]) -> ir.Value:
        if node.op == "nearest":
            return self.v.nearest(self.b, args[0], self.form)
        if node.op != "stored":
            # A product less the mean of such products is 0 where there is one of them: not if it is
            # fused with the difference, and never rounded.
            kinds = {a.kind for a in node.args}
            fuse = node.op not in ("add", "sub") or kinds <= {Kind.HOST, node.kind}
            return self.v.op(self.b, node.op, args, fuse=fuse)
        dtype, half = node.value
        form = self.form if dtype == PARAMETER else FORMATS[dtype]
        x, noise = args
        return self.v.stochastic(self.b, x, noise, half) if form.bfloat else x

    def state_at(self, column: int) -> str:
        """The state in the array of this column, or nothing."""
        return self._names.get(column, "")

    def _decoded(self, column: int, nest: Nest) -> ir.Value:
        name = self.state_at(column)
        code = CODES[self.layout.plan.storage[name]]
        codes = self.v.load(self.b, self.place(Kind.ELEMENT, column, nest), I8, nest.mask)
        widen = self.b.sext if code.signed else self.b.zext
        return self.v.decoded(self.b, widen(codes, self.v.of(I32)), nest.scales[name], code)

    def _coded(self, node: Node, nest: Nest) -> ir.Value:
        """A value as its code has it, and that in `nest.codes`."""
        how, (kept, half) = nest.coding[node], node.value
        code, noise = CODES[kept], self.value(node.args[1], nest)
        place = self.slot(how.kept, self.b.sub(nest.inner, how.start), F32)
        x = self.v.load(self.b, place, F32, None)
        codes, y = self.v.encoded(self.b, x, (how.scale, how.inverse), noise, half, code)
        nest.codes[node] = self.b.trunc(codes, self.v.of(I8))
        return y

    def _noise(self, node: Node, nest: Nest) -> ir.Value:
        """32 random bits for each element of a vector: see `glissade.storage`."""
        (key,) = node.args
        if key not in nest.at_once:
            with writing_at(self, nest.once):
                word = self.b.fptoui(self.number(key), I32)
                nest.at_once[key] = self.v.splat(self.b, word)
        return self.v.noise(self.b, self.b.trunc(self.index(nest), I32), nest.at_once[key])

    def index(self, nest: Nest) -> ir.Value:
        """The place of a vector's first element among those of the tensor."""
        return self.b.add(self.b.mul(nest.outer, nest.length), nest.inner)

    def _truth(self, node: Node, x: ir.Value) -> ir.Value:
        """What was kept of a node: truths are kept as 0 and 1."""
        return self.b.fcmp_unordered("!=", x, self.v.constant(0.0)) if node.bool_ else x

    def _pointer(self, node: Node, nest: Nest) -> int | None:
        """The column of the array where a node's values lie, or None if they are computed."""
        if node.op in ("p", "g"):
            return at.PARAM if node.op == "p" else at.GRAD
        if node in nest.known:
            return self.layout.states[nest.known[node]]
        if node.op == "state":
            return self.layout.states[node.value]
        return self.layout.temps.get(node)

    def place(self, kind: Kind, column: int, nest: Nest) -> ir.Value:
        """The address, inside a nest, of the value of some kind in the array of this column."""
        divide, inner = WHERE[nest.kind][kind]
        if kind not in nest.starts:
            with writing_at(self, nest.per_outer):
                index = nest.outer
                if divide is not None:
                    index = self.b.sdiv(index, self.column(divide))
                nest.starts[kind] = self.b.mul(index, nest.length) if inner else index
        index = nest.starts[kind]
        return self.at(column, self.b.add(index, nest.inner) if inner else index)

    def put(self, x: ir.Value, kind: Kind, column: int, nest: Nest) -> None:
        """Store the vector x where the array of this column has its place in the nest."""
        place, form = self.place(kind, column, nest), self.form_of(column)
        self.v.write(self.b, self.v.convert(self.b, x, form.scalar), place, form, nest.mask)


class writing_at:
    """Write what follows with another builder, then go on where we were."""

    def __init__(self, stage: Stage, builder: ir.IRBuilder) -> None:
        self.stage, self.builder, self.back = stage, builder, stage.b

    def __enter__(self) -> None:
        self.stage.b = self.builder

    def __exit__(self, *_: object) -> None:
        self.stage.b = self.back
