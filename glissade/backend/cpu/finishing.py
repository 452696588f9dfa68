"""The code of a finish: complete the sums of each tensor, compute what is smaller than it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from llvmlite import ir

from ...graph import Kind, Node
from .. import layout as at
from .stage import Nest, Stage
from .types import F64, I64, PTR

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


class Finishing(Stage):
    """Between passes: complete the sums of each tensor and compute what is smaller than it.

    All of it in double: a sum of float32 numbers, or of their squares, may fit no float32 where its
    mean or its root does.
    """

    in_double = True

    def emit(self, values: Sequence[Node], stores: Mapping[str, Node]) -> None:
        """A round of a finish, with what it stores."""
        bounds = self.word(self.context, at.TENSOR_BOUNDS, PTR)
        first = self.word(bounds, self.part)
        last = self.word(bounds, self.b.add(self.part, I64(1)))
        self.loop(first, last, 1, lambda i: self._tensor(i, values, stores))
        self.b.ret_void()

    def _tensor(self, index: ir.Value, values: Sequence[Node], stores: Mapping[str, Node]) -> None:
        with self.tensor(index):
            self._values(values)
            for name, n in stores.items():
                self._store(name, n)

    def _values(self, values: Sequence[Node]) -> None:
        for n in values:
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
                self._keep(n)

    def over(
        self,
        kind: Kind,
        body: Callable[[Nest], None],
        before: Callable[[Nest], None] = lambda nest: None,
        after: Callable[[Nest], None] = lambda nest: None,
    ) -> None:
        """A nest over all values of a small kind."""
        outer, inner = EXTENT[kind]
        hi = I64(1) if outer is None else self.column(outer)
        self.nest(kind, I64(0), hi, self.column(inner), body, before=before, after=after)

    def _keep(self, n: Node) -> None:
        """Compute an array of rows, columns ... and keep it."""

        def body(nest: Nest) -> None:
            args = [self.value(a, nest) for a in n.args]  # not value(n): that would load it
            x = self.v.op(self.b, n.op, args)
            if n.bool_:
                x = self.b.select(x, self.v.constant(1.0), self.v.constant(0.0))
            self.put(x, n.kind, self.layout.temps[n], nest)

        self.over(n.kind, body)

    def _store(self, name: str, n: Node) -> None:
        column = self.layout.states[name]
        kind = self.layout.plan.kinds[name]
        if kind is Kind.TENSOR:
            x = self.v.convert(self.b, self.number(n), self.plain.scalar)
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
            self.put(x, Kind.COLUMN, target, nest)

        self.over(Kind.COLUMN, body)

    def _small_sum(self, n: Node) -> None:
        """A sum of rows or columns per matrix, or of matrices per slice."""
        place = self.accumulator()
        arg = n.args[0]

        def before(nest: Nest) -> None:
            self.b.store(self.v.constant(0, F64), place)

        def after(nest: Nest) -> None:
            x = self.v.total(self.b, self.b.load(place, typ=self.v.of(F64)))
            self.b.store(x, self.at(self.layout.temps[n], nest.outer))

        self.over(
            arg.kind,
            lambda nest: self.accumulate(place, n.op, self.value(arg, nest), nest.mask),
            before=before,
            after=after,
        )
