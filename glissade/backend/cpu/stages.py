"""The code of a pass over elements and of the finish between two passes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from llvmlite import ir

from ...graph import Kind, Node
from ...plan import Finish, Pass
from . import layout as at
from .layout import Layout
from .vector import F32, F64, I32, I64, PTR, Vectors

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
# The extent of the outer and of the inner loop over a small kind (None: 1).
EXTENT: dict[Kind, tuple[int | None, int]] = {
    Kind.ROW: (at.MATRICES, at.R),
    Kind.COLUMN: (at.MATRICES, at.C),
    Kind.MATRIX: (at.A, at.B),
    Kind.SLICE: (None, at.A),
}
# How many values of a kind a tensor has: a product of columns.
COUNT: dict[Kind, tuple[int, ...]] = {
    Kind.TENSOR: (),
    Kind.SLICE: (at.A,),
    Kind.MATRIX: (at.MATRICES,),
    Kind.ROW: (at.ROWS,),
    Kind.COLUMN: (at.MATRICES, at.C),
    Kind.ELEMENT: (at.N,),
}


@dataclass
class Nest:
    """A loop nest being written: over `kind`, outer index (rows, say), then vectors of the inner."""

    kind: Kind
    length: ir.Value  # of the inner loop
    once: ir.IRBuilder  # before the outer loop
    per_outer: ir.IRBuilder = None  # type: ignore[assignment]  # before each inner loop
    outer: ir.Value = None  # type: ignore[assignment]
    inner: ir.Value = None  # type: ignore[assignment]
    mask: ir.Value | None = None
    known: Mapping[Node, str] = field(default_factory=dict)
    at_once: dict[Node, ir.Value] = field(default_factory=dict)
    at_outer: dict[Node, ir.Value] = field(default_factory=dict)
    starts: dict[Kind, ir.Value] = field(default_factory=dict)  # of this outer index, in arrays
    at_inner: dict[Node, ir.Value] = field(default_factory=dict)


class Stage:
    """What passes and finishes share: the table, the loops, the values of nodes."""

    def __init__(
        self, module: ir.Module, name: str, layout: Layout, scalar: ir.Type, width: int
    ) -> None:
        self.layout = layout
        self.v = Vectors(module, scalar, width)
        self.one = Vectors(module, F64, 1)  # values per tensor are single doubles
        self.fn = ir.Function(module, ir.FunctionType(ir.VoidType(), [PTR, I64]), name)
        self.context, self.part = self.fn.args
        self.b = ir.IRBuilder(self.fn.append_basic_block("entry"))
        self.top = self.b.block
        self.columns: list[ir.Value] = []  # of the tensor at hand

    # Memory

    def word(self, base: ir.Value, index: int | ir.Value, typ: ir.Type = I64) -> ir.Value:
        """The `index`-th word from `base` on."""
        index = I64(index) if isinstance(index, int) else index
        return self.b.load(self.b.gep(base, [index], source_etype=typ), typ=typ)

    def read_columns(self, tensor: ir.Value) -> None:
        """Read the table's row of a tensor, once: stores in loops could hide it from the compiler."""
        b, words = self.b, self.layout.words
        tensors = self.word(self.context, at.TENSORS, PTR)
        row = b.gep(tensors, [b.mul(tensor, I64(words))], source_etype=I64)
        self.columns = [self.word(row, i, PTR if i >= at.HOST else I64) for i in range(words)]

    def column(self, index: int) -> ir.Value:
        """An entry of the tensor's row; pointers as pointers."""
        return self.columns[index]

    def slot(self, base: ir.Value, index: ir.Value, scalar: ir.Type | None = None) -> ir.Value:
        """The address of the `index`-th number from `base` on."""
        return self.b.gep(base, [index], source_etype=scalar or self.v.scalar)

    # Loops

    def loop(self, lo: ir.Value, hi: ir.Value, step: int, body: Callable[[ir.Value], None]) -> None:
        """for (i = lo; i < hi; i += step) body(i)"""
        b = self.b
        start = b.block
        head, inside, done = (self.fn.append_basic_block(n) for n in ("head", "body", "done"))
        b.branch(head)
        b.position_at_end(head)
        i = b.phi(I64)
        i.add_incoming(lo, start)
        b.cbranch(b.icmp_signed("<", i, hi), inside, done)
        b.position_at_end(inside)
        body(i)
        i.add_incoming(b.add(i, I64(step)), b.block)
        b.branch(head)
        b.position_at_end(done)

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

    def vectors(self, n: ir.Value, body: Callable[[ir.Value, ir.Value | None], None]) -> None:
        """body(i, mask) over 0 <= i < n: whole vectors first, then what is left under a mask."""
        b, width = self.b, self.v.width
        whole = b.and_(n, I64(-width))
        self.loop(I64(0), whole, width, lambda i: body(i, None))
        if width == 1:
            return
        rest, done = self.fn.append_basic_block("rest"), self.fn.append_basic_block("end")
        b.cbranch(b.icmp_signed("<", whole, n), rest, done)
        b.position_at_end(rest)
        lanes = ir.Constant(ir.VectorType(I32, width), [I32(i) for i in range(width)])
        left = self.v.splat(b, b.trunc(b.sub(n, whole), I32))
        body(whole, b.icmp_signed("<", lanes, left))
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

            self.vectors(length, inside)
            after(nest)
            self.seal(nest.per_outer)

        self.loop(lo, hi, 1, row)
        self.seal(nest.once)

    # Values

    def number(self, node: Node) -> ir.Value:
        """A value per tensor or a number of the host, as one double, at the current place."""
        if node.op == "const":
            return self.one.constant(node.value)
        if node.op == "machine_eps":
            return self.one.constant(2.0**-23 if self.v.scalar == F32 else 2.0**-52)
        if node.kind is Kind.HOST:
            x = self.word(self.column(at.HOST), self.layout.hosts[node], F64)
            return self.b.fcmp_unordered("!=", x, F64(0)) if node.bool_ else x
        if node in self.layout.scalars:
            x = self.word(self.column(at.SCALARS), self.layout.scalars[node], F64)
            return self.b.fcmp_unordered("!=", x, F64(0)) if node.bool_ else x
        if node.op == "state":
            pointer = self.column(self.layout.states[node.value])
            return self.v.convert(self.b, self.b.load(pointer, typ=self.v.scalar, align=4), F64)
        return self.one.op(self.b, node.op, [self.number(a) for a in node.args])

    def value(self, node: Node, nest: Nest) -> ir.Value:
        """The vector of a node's values at the current place of a loop nest."""
        if node.kind <= Kind.TENSOR:
            if node not in nest.at_once:
                with _at(self, nest.once):
                    x = self.number(node)
                    if not node.bool_:
                        x = self.v.convert(self.b, x, self.v.scalar)
                    nest.at_once[node] = self.v.splat(self.b, x)
            return nest.at_once[node]
        pointer = self._pointer(node, nest)
        if pointer is not None and not WHERE[nest.kind][node.kind][1]:
            if node not in nest.at_outer:
                with _at(self, nest.per_outer):
                    x = self.b.load(self.place(node.kind, pointer, nest), typ=self.v.scalar)
                    nest.at_outer[node] = self.v.splat(self.b, x)
            return nest.at_outer[node]
        if node not in nest.at_inner:
            if pointer is not None:
                place = self.place(node.kind, pointer, nest)
                nest.at_inner[node] = self.v.load(self.b, place, self.v.scalar, nest.mask)
            else:
                args = [self.value(a, nest) for a in node.args]
                nest.at_inner[node] = self.v.op(self.b, node.op, args)
        return nest.at_inner[node]

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
            with _at(self, nest.per_outer):
                index = nest.outer
                if divide is not None:
                    index = self.b.sdiv(index, self.column(divide))
                nest.starts[kind] = self.b.mul(index, nest.length) if inner else index
        index = nest.starts[kind]
        return self.slot(self.column(column), self.b.add(index, nest.inner) if inner else index)

    def put(self, x: ir.Value, kind: Kind, column: int, nest: Nest) -> None:
        """Store the vector x where the array of this column has its place in the nest."""
        self.v.store(self.b, x, self.place(kind, column, nest), nest.mask)


class _at:
    """Write what follows with another builder, then go on where we were."""

    def __init__(self, stage: Stage, builder: ir.IRBuilder) -> None:
        self.stage, self.builder, self.back = stage, builder, stage.b

    def __enter__(self) -> None:
        self.stage.b = self.builder

    def __exit__(self, *_: object) -> None:
        self.stage.b = self.back


class Passing(Stage):
    """One pass: for each chunk of this part, load, compute, store, add up."""

    base: ir.Value = None  # where the chunk begins, in plans without rows

    def emit(self, work: Pass) -> None:
        bounds = self.word(self.context, at.CHUNK_BOUNDS, PTR)
        first = self.word(bounds, self.part)
        last = self.word(bounds, self.b.add(self.part, I64(1)))
        chunks = self.word(self.context, at.CHUNKS, PTR)
        self.loop(first, last, 1, lambda i: self._chunk(work, chunks, i))
        self.b.ret_void()

    def _chunk(self, work: Pass, chunks: ir.Value, i: ir.Value) -> None:
        b = self.b
        entry = b.gep(chunks, [b.mul(i, I64(at.CHUNK_WORDS))], source_etype=I64)
        which, lo, hi, piece = (self.word(entry, k) for k in range(at.CHUNK_WORDS))
        self.read_columns(which)
        per_tensor = {n: self.accumulator() for n in work.sums if n.kind is Kind.TENSOR}
        per_row = {n: self.accumulator() for n in work.sums if n.kind is Kind.ROW}
        per_column = [n for n in work.sums if n.kind is Kind.COLUMN]
        column_sums: dict[Node, ir.Value] = {}

        def before(nest: Nest) -> None:
            for place in per_row.values():
                self.b.store(self.v.constant(0, F64), place)
            for n in per_column:
                column_sums[n] = self._column_sums(n, nest, lo, piece)

        def body(nest: Nest) -> None:
            news = {name: self.value(n, nest) for name, n in work.stores.items()}
            param = None if work.param is None else self.value(work.param, nest)
            terms = [(n, self.value(n.args[0], nest)) for n in work.sums]
            for n, x in terms:
                if n in column_sums:
                    self._add_to_columns(n, x, column_sums[n], nest)
                else:
                    place = per_tensor.get(n) or per_row[n]
                    self.accumulate(place, n.op, x, nest.mask)
            for name, x in news.items():
                self.put(x, Kind.ELEMENT, self.layout.states[name], nest)
            if param is not None:
                self.put(param, Kind.ELEMENT, at.PARAM, nest)

        def after(nest: Nest) -> None:
            for n, place in per_row.items():
                x = self.v.total(self.b, self.b.load(place, typ=self.v.of(F64)))
                x = self.v.convert(self.b, x, self.v.scalar)
                self.b.store(x, self.slot(self.column(self.layout.temps[n]), nest.outer))

        if self.layout.plan.flat:
            self.base = lo  # one row: the chunk itself
            self.nest(Kind.ELEMENT, I64(0), I64(1), b.sub(hi, lo), body, known=work.known)
        else:
            length = self.column(at.C)
            self.nest(
                Kind.ELEMENT, lo, hi, length, body, known=work.known, before=before, after=after
            )
        if per_tensor:
            partials = self.word(self.context, at.PARTIALS, PTR)
            start = self.b.mul(i, I64(self.layout.partial_words))
            for n, place in per_tensor.items():
                x = self.v.total(self.b, self.b.load(place, typ=self.v.of(F64)))
                where = self.b.add(start, I64(self.layout.partials[n]))
                self.b.store(x, self.slot(partials, where, F64))

    def place(self, kind: Kind, column: int, nest: Nest) -> ir.Value:
        if self.base is not None:
            return self.slot(self.column(column), self.b.add(self.base, nest.inner))
        return super().place(kind, column, nest)

    def _column_sums(self, n: Node, nest: Nest, lo: ir.Value, piece: ir.Value) -> ir.Value:
        """Where this row adds to the sums per column; set to 0 by a chunk's or matrix's first."""
        b = self.b
        matrix = b.sdiv(nest.outer, self.column(at.R))
        where = b.add(b.mul(matrix, self.column(at.PIECES)), piece)
        base = self.column(self.layout.column_sums[n])
        base = self.slot(base, b.mul(where, nest.length), F64)
        in_matrix = b.srem(nest.outer, self.column(at.R))
        first = b.or_(b.icmp_signed("==", nest.outer, lo), b.icmp_signed("==", in_matrix, I64(0)))
        with b.if_then(first):
            zero = self.v.constant(0, F64)
            self.vectors(
                nest.length, lambda i, m: self.v.store(self.b, zero, self.slot(base, i, F64), m)
            )
        return base

    def _add_to_columns(self, n: Node, x: ir.Value, base: ir.Value, nest: Nest) -> None:
        wide = self.v.convert(self.b, x, F64)
        if n.op == "sumsq":
            wide = self.b.fmul(wide, wide, flags=("contract",))
        place = self.slot(base, nest.inner, F64)
        old = self.v.load(self.b, place, F64, nest.mask)
        self.v.store(self.b, self.b.fadd(old, wide, flags=("contract",)), place, nest.mask)


class Finishing(Stage):
    """Between passes: complete the sums of each tensor and compute what is smaller than it."""

    def emit(self, work: Finish) -> None:
        bounds = self.word(self.context, at.TENSOR_BOUNDS, PTR)
        first = self.word(bounds, self.part)
        last = self.word(bounds, self.b.add(self.part, I64(1)))
        self.loop(first, last, 1, lambda i: self._tensor(work, i))
        self.b.ret_void()

    def _tensor(self, work: Finish, tensor: ir.Value) -> None:
        self.read_columns(tensor)
        for n in work.values:
            if n.kind is Kind.TENSOR:
                x = self._per_tensor(n)
                if n.bool_:
                    x = self.b.uitofp(x, F64)
                where = I64(self.layout.scalars[n])
                self.b.store(x, self.slot(self.column(at.SCALARS), where, F64))
            elif n.op in ("sum", "sumsq") and n.args[0].kind is Kind.ELEMENT:
                if n.kind is Kind.COLUMN:
                    self._column_totals(n)  # a row's total is complete when its pass ends
            elif n.op in ("sum", "sumsq"):
                self._small_sum(n)
            else:
                column = self.layout.temps[n]
                self.over(n.kind, lambda nest, n=n, c=column: self._keep(n, c, nest))
        for name, n in work.stores.items():
            self._store(name, n)

    def over(
        self, kind: Kind, body: Callable[[Nest], None], **around: Callable[[Nest], None]
    ) -> None:
        """A nest over all values of a small kind."""
        outer, inner = EXTENT[kind]
        hi = I64(1) if outer is None else self.column(outer)
        self.nest(kind, I64(0), hi, self.column(inner), body, **around)

    def _keep(self, n: Node, column: int, nest: Nest) -> None:
        args = [self.value(a, nest) for a in n.args]  # not value(n): that would load it
        self.put(self.v.op(self.b, n.op, args), n.kind, column, nest)

    def _store(self, name: str, n: Node) -> None:
        column = self.layout.states[name]
        kind = self.layout.plan.kinds[name]
        if kind is Kind.TENSOR:
            x = self.v.convert(self.b, self.number(n), self.v.scalar)
            self.b.store(x, self.column(column))
            return
        self.over(kind, lambda nest: self.put(self.value(n, nest), kind, column, nest))

    def _per_tensor(self, n: Node) -> ir.Value:
        if n.op == "count":
            whole, part = (self._count(kind) for kind in n.value)
            return self.b.fdiv(whole, part)
        if n.op not in ("sum", "sumsq"):
            return self.one.op(self.b, n.op, [self.number(a) for a in n.args])
        if n.args[0].kind is not Kind.ELEMENT:
            place = self.accumulator()
            self.over(
                n.args[0].kind,
                lambda nest: self.accumulate(place, n.op, self.value(n.args[0], nest), nest.mask),
            )
            return self.v.total(self.b, self.b.load(place, typ=self.v.of(F64)))
        partials = self.word(self.context, at.PARTIALS, PTR)
        first, count = self.column(at.CHUNK0), self.column(at.CHUNK_COUNT)
        with self.b.goto_block(self.top):
            place = self.b.alloca(F64)
        self.b.store(F64(0), place)

        def add(i: ir.Value) -> None:
            start = self.b.mul(i, I64(self.layout.partial_words))
            where = self.b.add(start, I64(self.layout.partials[n]))
            x = self.b.load(self.slot(partials, where, F64), typ=F64)
            self.b.store(self.b.fadd(self.b.load(place, typ=F64), x), place)

        self.loop(first, self.b.add(first, count), 1, add)
        return self.b.load(place, typ=F64)

    def _count(self, kind: Kind) -> ir.Value:
        n = I64(1)
        for column in COUNT[kind]:
            n = self.b.mul(n, self.column(column))
        return self.b.sitofp(n, F64)

    def _column_totals(self, n: Node) -> None:
        """Add the partial sums of the chunks, in their order, for each column of each matrix."""
        pieces = self.column(at.PIECES)
        source = self.column(self.layout.column_sums[n])
        target = self.layout.temps[n]
        with self.b.goto_block(self.top):
            place = self.b.alloca(self.v.of(F64))

        def body(nest: Nest) -> None:
            self.b.store(self.v.constant(0, F64), place)

            def add(piece: ir.Value) -> None:
                where = self.b.add(self.b.mul(nest.outer, pieces), piece)
                where = self.b.add(self.b.mul(where, nest.length), nest.inner)
                x = self.v.load(self.b, self.slot(source, where, F64), F64, nest.mask)
                self.b.store(self.b.fadd(self.b.load(place, typ=x.type), x), place)

            self.loop(I64(0), pieces, 1, add)
            x = self.b.load(place, typ=self.v.of(F64))
            self.put(self.v.convert(self.b, x, self.v.scalar), Kind.COLUMN, target, nest)

        self.over(Kind.COLUMN, body)

    def _small_sum(self, n: Node) -> None:
        """A sum of rows or columns per matrix, or of matrices per slice."""
        place = self.accumulator()
        arg = n.args[0]

        def before(nest: Nest) -> None:
            self.b.store(self.v.constant(0, F64), place)

        def after(nest: Nest) -> None:
            x = self.v.total(self.b, self.b.load(place, typ=self.v.of(F64)))
            x = self.v.convert(self.b, x, self.v.scalar)
            self.b.store(x, self.slot(self.column(self.layout.temps[n]), nest.outer))

        self.over(
            arg.kind,
            lambda nest: self.accumulate(place, n.op, self.value(arg, nest), nest.mask),
            before=before,
            after=after,
        )
