"""From a plan to Triton source: a kernel for each pass, one program a chunk, and for each finish,
one program a tensor.

A pass of a flat plan goes over runs of `BLOCK` elements, one of another plan over tiles of `ROWS`
rows, from their first columns to their last. Sums are taken in double, per chunk, and added in the
order of the chunks: there are no atomic operations, and the same bits in every run.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from ...blocks import BLOCK as EACH
from ...blocks import CODES, scale_name
from ...graph import Kind, Node
from ...plan import Pass, Plan
from .. import layout as at
from ..layout import Layout, stages
from .source import Scope, Source

BLOCK = 2048  # elements of a chunk of a flat plan, and numbers at a time of a finish
ROWS, COLUMNS = 8, 256  # of a tile
PARAMS = "tensors, chunks, partials, ALIGNED: tl.constexpr, GUARDED: tl.constexpr"
FLAGS = "ALIGNED: tl.constexpr, GUARDED: tl.constexpr"
ZERO = "tl.full((), 0.0, tl.float64)"


@dataclass(frozen=True)
class Text:
    """The source of one stage."""

    name: str
    body: str
    per_chunk: bool  # a program for each chunk, or for each tensor


def emit(plan: Plan, dtype: str) -> list[list[Text]]:
    """The stages in the order they run in, a list for what lies between two breaks; `dtype` is
    that of parameters and gradients."""
    layout = Layout(plan)

    def finish(name: str, values: Sequence[Node], stores: Mapping[str, Node]) -> Text:
        body = Finishing(name, layout, dtype).emit(values, stores)
        return Text(name, body, per_chunk=False)

    def sweep(name: str, work: Pass) -> Text:
        return Text(name, Passing(name, layout, dtype).emit(work), per_chunk=True)

    return stages(plan, finish, sweep)


class Passing(Source):
    """One pass over one chunk: load, compute, store, add up."""

    def __init__(self, name: str, layout: Layout, dtype: str) -> None:
        params = f"row, chunk, lo, hi, piece, partials, {FLAGS}, EVEN: tl.constexpr"
        super().__init__(f"{name}_chunk", layout, dtype, params)
        self.stage = name

    def emit(self, work: Pass) -> str:
        """The code of a chunk, and the kernel that calls it: where it is `EVEN` the compiler knows
        that threads can read several numbers at once."""
        flat = self.layout.plan.flat
        (self._run if flat else self._tiles)(work)
        even = f"hi - lo == {BLOCK}" if flat else f"tl.load(row + {at.C}) % 16 == 0"
        call = f"{self.name}(row, chunk, lo, hi, piece, partials, ALIGNED, GUARDED"
        return self.text + kernel(self.stage, [
            "chunk = tl.program_id(0).to(tl.int64)",
            f"entry = chunks + chunk * {at.CHUNK_WORDS}",
            f"row = tensors + tl.load(entry) * {self.layout.words}",
            *self.guard,
            f"lo = tl.multiple_of(tl.load(entry + {at.CHUNK_LO}), {BLOCK if flat else 1})",
            f"hi, piece = tl.load(entry + {at.CHUNK_HI}), tl.load(entry + {at.CHUNK_PIECE})",
            f"if {even}:\n        {call}, True)\n    else:\n        {call}, False)",
        ])  # fmt: skip

    def _run(self, work: Pass) -> None:
        """A run of elements."""
        self.line(f"BLOCKS: tl.constexpr = {BLOCK // EACH}")
        self.line(f"i = lo + tl.arange(0, {BLOCK})")
        self.line(f"inside = tl.full(({BLOCK},), True, tl.int1) if EVEN else i < hi")
        scope = Scope({Kind.ELEMENT: "i"}, {Kind.ELEMENT: "inside"}, f"({BLOCK},)", work.known)
        blocks = f"lo // {EACH} + tl.arange(0, BLOCKS)"
        terms = self._computing(work, scope, blocks, f"({blocks}) * {EACH} < hi")
        for n, x in terms:
            self._partial(n, self.new(f"tl.sum({_wide(n, x)})"))

    def _tiles(self, work: Pass) -> None:
        """Some rows, tile by tile."""
        c = self.column(at.C)
        self.line(f"{c} = tl.multiple_of({c}, 16) if EVEN else {c}")
        self.line(f"BLOCKS: tl.constexpr = {ROWS * COLUMNS // EACH}")
        self.line(f"rows = (lo + tl.arange(0, {ROWS}))[:, None]")
        self.line("there = rows < hi")
        sums = [(n, self.new(self._zero(n))) for n in work.sums if n.kind is not Kind.COLUMN]
        index = {Kind.ELEMENT: "i", Kind.ROW: "rows"}
        masks = {Kind.ELEMENT: "inside"} | dict.fromkeys(
            (Kind.ROW, Kind.MATRIX, Kind.SLICE), "there"
        )
        masks[Kind.COLUMN] = "inside"
        r = self.column(at.R)
        index[Kind.MATRIX] = self.new(f"rows // {r}")
        index[Kind.SLICE] = self.new(f"rows // {self.column(at.ROWS_PER_SLICE)}")
        index[Kind.COLUMN] = f"({index[Kind.MATRIX]} * {c} + columns)"
        pieces = self.column(at.PIECES)
        with self.loop(f"for start in range(0, {c}, {COLUMNS}):"):
            self.line(f"columns = (start + tl.arange(0, {COLUMNS}))[None, :]")
            self.line(f"i = rows * {c} + columns")
            self.line(f"inside = there & (columns < {c})")
            scope = Scope(index, masks, f"({ROWS}, {COLUMNS})", work.known)
            # Rows of whole blocks: a tile's is one of each of its rows.
            blocks = f"(lo + tl.arange(0, {ROWS})) * ({c} // {EACH}) + start // {EACH}"
            terms = self._computing(work, scope, blocks, f"lo + tl.arange(0, {ROWS}) < hi")
            places = {id(n): name for n, name in sums}
            for n, x in terms:
                wide = _wide(n, x)
                if n.kind is Kind.COLUMN:
                    column = self.layout.column_sums[n]
                    array = self.column(column, f"sums{column}_ptr")
                    self.line(
                        f"tl.store({array} + (lo // {r} * {pieces} + piece) * {c} + columns, "
                        f"tl.sum({wide}, axis=0, keep_dims=True), mask=columns < {c})"
                    )
                elif n.kind is Kind.ROW:
                    self.line(f"{places[id(n)]} += tl.sum({wide}, axis=1, keep_dims=True)")
                else:
                    self.line(f"{places[id(n)]} += tl.sum({wide})")
        for n, name in sums:
            if n.kind is Kind.ROW:
                column = self.layout.temps[n]
                array = self.column(column, f"kept{column}_ptr")
                self.line(f"tl.store({array} + rows, {name}, mask=there)")
            else:
                self._partial(n, name)

    def _zero(self, n: Node) -> str:
        return f"tl.zeros(({ROWS}, 1), tl.float64)" if n.kind is Kind.ROW else ZERO

    def _computing(
        self, work: Pass, scope: Scope, blocks: str, blocks_mask: str
    ) -> list[tuple[Node, str]]:
        """Compute everything, then store; what there is to add up."""
        news = {name: self._element(n, scope) for name, n in work.stores.items()}
        param = None if work.param is None else self._element(work.param, scope)
        terms = [(n, self.value(n.args[0], scope)) for n in work.sums]
        for name, x in news.items():
            kept = self.layout.plan.storage.get(name)
            pointer = self.state(name)
            if kept in CODES:
                x, units = scope.codes[work.stores[name]]
                scales = self.state(scale_name(name))
                self.line(f"tl.store({scales} + {blocks}, {units}, mask={blocks_mask})")
            else:
                x = self.rounded(x, self.type_of(self.layout.states[name]))
            self.line(f"tl.store({pointer} + i, {x}, mask=inside)")
        if param is not None:
            param = self.rounded(param, f"tl.{self.dtype}")
            self.line(f"tl.store({self.column(at.PARAM, 'p_ptr')} + i, {param}, mask=inside)")
        return terms

    def _element(self, n: Node, scope: Scope) -> str:
        """A value for each element, also where there is one number for all."""
        x = self.value(n, scope)
        return (
            x if n.kind is Kind.ELEMENT else self.new(f"{x} + tl.zeros({scope.shape}, {self.work})")
        )

    def _partial(self, n: Node, x: str) -> None:
        words, slot = self.layout.partial_words, self.layout.partials[n]
        self.line(f"tl.store(partials + chunk * {words} + {slot}, {x})")


class Finishing(Source):
    """Between passes: complete the sums of a tensor and compute what is smaller than it, all of it
    in double: see the cpu's."""

    in_double = True

    def __init__(self, name: str, layout: Layout, dtype: str) -> None:
        super().__init__(f"{name}_tensor", layout, dtype, f"row, partials, {FLAGS}")
        self.stage = name

    def emit(self, values: Sequence[Node], stores: Mapping[str, Node]) -> str:
        for n in values:
            if n.kind is Kind.TENSOR:
                self._scalar(n)
            elif n.op in ("sum", "sumsq") and n.args[0].kind is Kind.ELEMENT:
                if n.kind is Kind.COLUMN:
                    self._column_totals(n)
            elif n.op in ("sum", "sumsq"):
                self._small_sum(n)
            else:
                self._keep(n)
        for name, n in stores.items():
            self._new_state(name, n)
        return self.text + kernel(self.stage, [
            f"row = tensors + tl.program_id(0).to(tl.int64) * {self.layout.words}",
            *self.guard,
            f"{self.name}(row, partials, ALIGNED, GUARDED)",
        ])  # fmt: skip

    def _scalar(self, n: Node) -> None:
        if n.op == "count":
            whole, part = (self.count(kind) for kind in n.value)
            name = self.new(f"({whole}).to(tl.float64) / ({part})")
        elif n.op not in ("sum", "sumsq"):
            name = self.new(self.operation(n, [self.number(a) for a in n.args], "tl.float64"))
        elif n.args[0].kind is Kind.ELEMENT:
            name = self._partials(n)
        else:
            name = self._over_all(n)
        self.is_number(n, name)
        text = f"{name}.to(tl.float64)" if n.bool_ else name
        slot = self.layout.scalars[n]
        self.line(f"tl.store({self.column(at.SCALARS, 'scalars')} + {slot}, {text})")

    def _partials(self, n: Node) -> str:
        """The sums of the chunks, added in their order."""
        first, many = self.column(at.CHUNK0), self.column(at.CHUNK_COUNT)
        words, slot = self.layout.partial_words, self.layout.partials[n]
        total = self.new(f"tl.zeros(({BLOCK},), tl.float64)")
        with self.loop(f"for start in range(0, {many}, {BLOCK}):"):
            self.line(f"i = start + tl.arange(0, {BLOCK})")
            self.line(
                f"{total} += tl.load(partials + ({first} + i) * {words} + {slot}, "
                f"mask=i < {many}, other=0)"
            )
        return self.new(f"tl.sum({total})")

    def _over_all(self, n: Node) -> str:
        """A sum of rows, columns ... over the tensor."""
        total = self.new(f"tl.zeros(({BLOCK},), tl.float64)")
        with self.over(n.args[0].kind) as scope:
            x = self.value(n.args[0], scope)
            self.line(f"{total} += {_wide(n, x)}")
        return self.new(f"tl.sum({total})")

    def _keep(self, n: Node) -> None:
        """Compute an array of rows, columns ... and keep it."""
        array = self.column(self.layout.temps[n], f"kept{self.layout.temps[n]}_ptr")
        with self.over(n.kind) as scope:
            x = self.new(self.operation(n, [self.value(a, scope) for a in n.args], self.work))
            x = f"{x}.to({self.work})" if n.bool_ else x
            self.line(f"tl.store({array} + i, {x}, mask=inside)")
        self._wait()

    def _new_state(self, name: str, n: Node) -> None:
        kind = self.layout.plan.kinds[name]
        if kind is Kind.TENSOR:
            number = self.number(n)
            text = number if n.op == "const" else f"{number}.to({self.plain})"
            self.line(f"tl.store({self.state(name)}, {text})")
            return
        with self.over(kind) as scope:
            x = self.value(n, scope)
            if n.kind <= Kind.TENSOR:
                x = f"{x} + tl.zeros(({BLOCK},), {self.work})"
            self.line(f"tl.store({self.state(name)} + i, {x}, mask=inside)")

    def _column_totals(self, n: Node) -> None:
        """Add the sums of the chunks, in their order, for each column of each matrix."""
        c, pieces = self.column(at.C), self.column(at.PIECES)
        column, kept = self.layout.column_sums[n], self.layout.temps[n]
        source, target = (
            self.column(column, f"sums{column}_ptr"),
            self.column(kept, f"kept{kept}_ptr"),
        )
        with self.over(Kind.COLUMN):
            total = self.new(f"tl.zeros(({BLOCK},), tl.float64)")
            self.line(f"at = i // {c} * {pieces} * {c} + i % {c}")
            with self.loop(f"for piece in range(0, {pieces}):"):
                self.line(f"{total} += tl.load({source} + at + piece * {c}, mask=inside, other=0)")
            self.line(f"tl.store({target} + i, {total}, mask=inside)")
        self._wait()

    def _small_sum(self, n: Node) -> None:
        """A sum of rows or columns per matrix, or of matrices per slice."""
        kind, (arg,) = n.kind, n.args
        each = self.new(f"({self.count(arg.kind)}) // ({self.count(kind)})")
        array = self.column(self.layout.temps[n], f"kept{self.layout.temps[n]}_ptr")
        with self.loop(f"for one in range(0, {self.new(self.count(kind))}):"):
            total = self.new(f"tl.zeros(({BLOCK},), tl.float64)")
            with self.loop(f"for start in range(0, {each}, {BLOCK}):"):
                self.line(f"j = start + tl.arange(0, {BLOCK})")
                self.line(f"inside = j < {each}")
                self.line(f"i = one * {each} + j")
                x = self.value(arg, self.scope(arg.kind))
                self.line(f"{total} += {_wide(n, x)}")
            self.line(f"tl.store({array} + one, tl.sum({total}))")
        self._wait()

    def _wait(self) -> None:
        """What one thread has stored another may read from here on."""
        self.line("tl.debug_barrier()")

    def over(self, kind: Kind) -> _Over:
        """A loop over all values of a small kind, `i`, some at a time."""
        return _Over(self, kind)

    def scope(self, kind: Kind) -> Scope:
        """Values of a kind at `i`, and of those that it is inside of."""
        index = {kind: "i"}
        per_matrix = {Kind.ROW: at.R, Kind.COLUMN: at.C}.get(kind)
        if per_matrix is not None:
            index[Kind.MATRIX] = f"(i // {self.column(per_matrix)})"
        if kind is not Kind.SLICE:
            index[Kind.SLICE] = f"({index[Kind.MATRIX]} // {self.column(at.B)})"
        return Scope(index, dict.fromkeys(index, "inside"))

    def count(self, kind: Kind) -> str:
        """How many values of a kind a tensor has."""
        columns = {
            Kind.SLICE: (at.A,), Kind.MATRIX: (at.MATRICES,), Kind.ROW: (at.ROWS,),
            Kind.COLUMN: (at.MATRICES, at.C), Kind.ELEMENT: (at.N,),
        }.get(kind, ())  # fmt: skip
        return " * ".join(self.column(x) for x in columns) or "1"


class _Over:
    def __init__(self, source: Finishing, kind: Kind) -> None:
        self.source, self.kind = source, kind

    def __enter__(self) -> Scope:
        source = self.source
        many = source.new(source.count(self.kind))
        self.loop = source.loop(f"for start in range(0, {many}, {BLOCK}):")
        self.loop.__enter__()
        source.line(f"i = start + tl.arange(0, {BLOCK})")
        source.line(f"inside = i < {many}")
        return source.scope(self.kind)

    def __exit__(self, *what: object) -> None:
        self.loop.__exit__(None, None, None)


def kernel(name: str, lines: Iterable[str]) -> str:
    """The function that is launched."""
    return "\n".join(
        ["", "", f"@triton.jit\ndef {name}({PARAMS}):", *(f"    {x}" for x in lines), ""]
    )


def _wide(n: Node, x: str) -> str:
    """What is added up of an array, in double: itself or its square, where there is any."""
    wide = f"{x}.to(tl.float64)"
    if n.op == "sumsq":
        wide = f"{wide} * {wide}"
    return f"tl.where(inside, {wide}, 0.0)"


def module(texts: Iterable[Text]) -> str:
    """The source of several kernels."""
    imports = "import triton", "import triton.language as tl"
    head = "\n".join([*imports, "", "from glissade.backend.triton import functions as f", ""])
    return "\n\n".join([head, *(text.body for text in texts)])
