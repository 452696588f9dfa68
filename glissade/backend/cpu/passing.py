"""The code of a pass: for each chunk load, compute, store and add up."""

from __future__ import annotations

from collections.abc import Callable

from llvmlite import ir

from ...blocks import CODES
from ...graph import Kind, Node
from ...plan import Pass
from .. import layout as at
from .coding import Coder
from .stage import Nest, Stage
from .types import F64, I64, PTR


class Passing(Stage):
    """One pass: for each chunk of this part, load, compute, store, add up."""

    base: ir.Value = None  # where the chunk begins, in plans without rows
    coder: Coder

    def emit(self, work: Pass) -> None:
        bounds = self.word(self.context, at.CHUNK_BOUNDS, PTR)
        first = self.word(bounds, self.part)
        last = self.word(bounds, self.b.add(self.part, I64(1)))
        chunks = self.word(self.context, at.CHUNKS, PTR)
        self.loop(first, last, 1, lambda i: self._chunk(work, chunks, i))
        self.b.ret_void()

    def _chunk(self, work: Pass, chunks: ir.Value, i: ir.Value) -> None:
        entry = self.slot(chunks, self.b.mul(i, I64(at.CHUNK_WORDS)))
        which, *range_and_piece = (self.word(entry, k) for k in range(at.CHUNK_WORDS))
        with self.tensor(which):
            self._sweep(work, i, *range_and_piece)

    def _sweep(
        self, work: Pass, chunk: ir.Value, lo: ir.Value, hi: ir.Value, piece: ir.Value
    ) -> None:
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
                column = self.layout.states[name]
                if self.layout.plan.storage.get(name) in CODES:
                    codes = nest.codes[work.stores[name]]
                    place = self.place(Kind.ELEMENT, column, nest)
                    self.v.store(self.b, codes, place, nest.mask)
                else:
                    self.put(x, Kind.ELEMENT, column, nest)
            if param is not None:
                self.put(param, Kind.ELEMENT, at.PARAM, nest)

        def after(nest: Nest) -> None:
            for n, place in per_row.items():
                x = self.v.total(self.b, self.b.load(place, typ=self.v.of(F64)))
                self.b.store(x, self.at(self.layout.temps[n], nest.outer))

        self.coder = Coder(self, work)
        blocked = bool(self.coder.reads or self.coder.levels)
        if self.layout.plan.flat:
            self.base = lo  # one row: the chunk itself
            length = self.b.sub(hi, lo)
            self.nest(Kind.ELEMENT, I64(0), I64(1), length, body, known=work.known, blocked=blocked)
        else:
            length = self.column(at.C)
            self.nest(
                Kind.ELEMENT, lo, hi, length, body,
                known=work.known, blocked=blocked, before=before, after=after,
            )  # fmt: skip
        if per_tensor:
            partials = self.word(self.context, at.PARTIALS, PTR)
            start = self.b.mul(chunk, I64(self.layout.partial_words))
            for n, place in per_tensor.items():
                x = self.v.total(self.b, self.b.load(place, typ=self.v.of(F64)))
                where = self.b.add(start, I64(self.layout.partials[n]))
                self.b.store(x, self.slot(partials, where, F64))

    def blocks(self, nest: Nest, inside: Callable[[ir.Value, ir.Value | None], None]) -> None:
        self.coder.blocks(nest, inside)

    def place(self, kind: Kind, column: int, nest: Nest) -> ir.Value:
        if self.base is not None:
            return self.at(column, self.b.add(self.base, nest.inner))
        return super().place(kind, column, nest)

    def index(self, nest: Nest) -> ir.Value:
        return super().index(nest) if self.base is None else self.b.add(self.base, nest.inner)

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

            def clear(i: ir.Value, mask: ir.Value | None) -> None:
                self.v.store(self.b, zero, self.slot(base, i, F64), mask)

            self.vectors(nest.length, clear, small=True)
        return base

    def _add_to_columns(self, n: Node, x: ir.Value, base: ir.Value, nest: Nest) -> None:
        wide = self.v.convert(self.b, x, F64)
        if n.op == "sumsq":
            wide = self.b.fmul(wide, wide, flags=("contract",))
        place = self.slot(base, nest.inner, F64)
        old = self.v.load(self.b, place, F64, nest.mask)
        self.v.store(self.b, self.b.fadd(old, wide, flags=("contract",)), place, nest.mask)
