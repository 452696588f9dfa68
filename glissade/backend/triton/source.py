"""A kernel being written as Triton source: lines, loops, and values inside them."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from ...blocks import BLOCK as EACH
from ...blocks import CODES, SHIFT, scale_name
from ...graph import Kind, Node, wide_factor
from ...plan import SIZES
from ...storage import PARAMETER
from .. import layout as at
from ..layout import Layout

EPS = {"float32": 2.0**-23, "float64": 2.0**-52, "float16": 2.0**-10, "bfloat16": 2.0**-7}
INFIX = {
    "add": "+", "sub": "-", "mul": "*", "div": "/", "lt": "<", "le": "<=", "gt": ">", "ge": ">=",
    "eq": "==", "ne": "!=", "and": "&", "or": "|",
}  # fmt: skip
CALLS = {
    "sqrt": "tl.sqrt", "exp": "tl.exp", "log": "tl.log", "abs": "tl.abs", "sign": "f.sign",
    "maximum": "f.larger", "minimum": "f.smaller", "isfinite": "f.isfinite", "pow": "f.power",
    "mod": "f.modulo",
}  # fmt: skip


TAKEN = {
    "ALIGNED", "BLOCKS", "EVEN", "GUARDED", "at", "chunk", "chunks", "columns", "entry", "f", "g",
    "hi", "i", "inside", "j", "lo", "numbers", "one", "p", "partials", "piece", "row", "rows",
    "scalars", "start", "tensors", "there", "tl",
}  # fmt: skip


def computed(dtype: str) -> str:
    """What numbers of a dtype are computed in."""
    return dtype if SIZES[dtype] > 2 else "float32"


@dataclass
class Scope:
    """Where values are computed: index and mask of arrays of each kind, and what is known."""

    index: Mapping[Kind, str]
    masks: Mapping[Kind, str]
    shape: str = ""  # of an array of elements, where states may be in codes
    known: Mapping[Node, str] = field(default_factory=dict)  # in the state of this name
    names: dict[Node, str] = field(default_factory=dict)
    codes: dict[Node, tuple[str, str]] = field(default_factory=dict)  # and their blocks' scales


class Source:
    """One kernel: `row` is the tensor's row of the table, `columns` what has been read of it."""

    in_double = False  # whether arrays are computed in double, whatever they are stored in

    def __init__(self, name: str, layout: Layout, dtype: str, params: str) -> None:
        self.name, self.layout, self.dtype = name, layout, dtype
        self.plain = f"tl.{computed(dtype)}"  # what states are in that are not stored in fewer bits
        self.work = "tl.float64" if self.in_double else self.plain  # what is computed in
        self.head = [f"@triton.jit\ndef {name}({params}):"]
        self.lines: list[str] = []
        self._depth = 1
        self._hoist: int | None = None  # where what does not change in a loop is written
        self._columns: dict[int, str] = {}
        self._numbers: dict[Node, str] = {}
        self._casts: dict[Node, str] = {}
        self._count = 0

    @property
    def text(self) -> str:
        """The function."""
        return "\n".join([*self.head, *self.lines, ""])

    @property
    def indent(self) -> str:
        """The blanks before a line."""
        return "    " * self._depth

    def line(self, text: str) -> None:
        """Write a line here."""
        self.lines.append(self.indent + text)

    def once(self, text: str) -> None:
        """Write a line before the outermost loop that is being written."""
        if self._hoist is None:
            self.line(text)
        else:
            self.lines.insert(self._hoist, "    " + text)
            self._hoist += 1

    def new(self, value: str, name: str = "", *, once: bool = False) -> str:
        """A variable that holds a value."""
        if not name:
            self._count += 1
            name = f"x{self._count}"
        (self.once if once else self.line)(f"{name} = {value}")
        return name

    @contextlib.contextmanager
    def loop(self, head: str) -> Iterator[None]:
        """A loop around what is written inside."""
        outermost = self._hoist is None
        if outermost:
            self._hoist = len(self.lines)
        self.line(head)
        self._depth += 1
        yield
        self._depth -= 1
        if outermost:
            self._hoist = None

    @property
    def guard(self) -> list[str]:
        """The lines of a kernel that end it where a tensor does not take this leaf."""
        here = f"tl.load(row + {at.HOST}).to(tl.pointer_type(tl.float64)) + {active(self.layout)}"
        return ["if GUARDED:", f"    if tl.load({here}) == 0:", "        return"]

    # The table

    def column(self, column: int, what: str = "") -> str:
        """An entry of the tensor's row: a number or, with a name, the pointer that it is."""
        if column not in self._columns:
            entry = f"tl.load(row + {column})"
            if what:
                entry += f".to(tl.pointer_type({self.type_of(column)}))"
            self._columns[column] = self.new(entry, what or f"c{column}", once=True)
            if what and column in self._aligned:
                self.once(f"if ALIGNED:\n        {what} = tl.multiple_of({what}, 16)")
        return self._columns[column]

    @property
    def _aligned(self) -> set[int]:
        """Columns of arrays that may be known to begin at a multiple of 16 bytes."""
        wide = [x for x, kind in self.layout.plan.kinds.items() if kind is Kind.ELEMENT]
        return {at.PARAM, at.GRAD, *(self.layout.states[x] for x in wide)}

    def type_of(self, column: int) -> str:
        """The type of the numbers in the array of this column."""
        if column in (at.PARAM, at.GRAD):
            return f"tl.{self.dtype}"
        kept = {*self.layout.temps.values(), *self.layout.column_sums.values()}
        if column in (at.HOST, at.SCALARS) or column in kept:
            return "tl.float64"
        for name, where in self.layout.states.items():
            if where == column:
                if name not in self.layout.plan.kinds:
                    return "tl.float32"  # scales
                return f"tl.{self.layout.plan.storage.get(name, self.plain[3:])}"
        return self.plain

    def type_of_values(self, name: str) -> str:
        """The type in memory of what `p`, `g` or a state is called; empty for what is kept."""
        if name in ("p", "g"):
            return f"tl.{self.dtype}"
        states = self.layout.states
        return self.type_of(states[name]) if name in states else "tl.float64"

    def state(self, name: str) -> str:
        """The pointer to a state."""
        return self.column(self.layout.states[name], f"{self.local(name)}_ptr")

    def place(self, node: Node, scope: Scope) -> str | None:
        """The pointer to the array where a node's values lie, or None if they are computed."""
        if node.op in ("p", "g"):
            return self.column(at.PARAM if node.op == "p" else at.GRAD, f"{node.op}_ptr")
        if node in scope.known:
            return self.state(scope.known[node])
        if node.op == "state":
            return self.state(str(node.value))
        if node in self.layout.temps:
            column = self.layout.temps[node]
            return self.column(column, f"kept{column}_ptr")
        return None

    # Values

    def number(self, node: Node) -> str:
        """A value per tensor or of the host, as a double."""
        if node.op == "const":
            return _literal(node.value)
        if node.op == "machine_eps":
            return repr(EPS[self.dtype])
        if node not in self._numbers:
            self._numbers[node] = self.new(self._number(node), once=True)
        return self._numbers[node]

    def _number(self, node: Node) -> str:
        text = self._slot(node)
        if text:
            return f"{text} != 0" if node.bool_ else text
        if node.op == "state":
            return f"tl.load({self.state(str(node.value))}).to(tl.float64)"
        return self.operation(node, [self.number(a) for a in node.args], "tl.float64")

    def _slot(self, node: Node) -> str:
        """Where a number is kept, as an expression that reads it; empty if it is computed."""
        if node in self.layout.hosts:
            return f"tl.load({self.column(at.HOST, 'numbers')} + {self.layout.hosts[node]})"
        if node in self.layout.scalars:
            return f"tl.load({self.column(at.SCALARS, 'scalars')} + {self.layout.scalars[node]})"
        return ""

    def is_number(self, node: Node, name: str) -> None:
        """Remember what was computed for a value per tensor."""
        self._numbers[node] = name

    def value(self, node: Node, scope: Scope) -> str:
        """A node's values in a scope."""
        if node.kind <= Kind.TENSOR:
            if node.op in ("const", "machine_eps") or node.bool_:
                return self.number(node)
            if node not in self._casts:
                self._casts[node] = self._cast(node)
            return self._casts[node]
        if node not in scope.names:
            pointer = self.place(node, scope)
            if pointer is not None:
                scope.names[node] = self._loaded(node, pointer, scope)
            else:
                scope.names[node] = self._computed(node, scope)
        return scope.names[node]

    def _cast(self, node: Node) -> str:
        """A number in what is computed in."""
        text = "" if node in self._numbers else self._slot(node)
        if not text:
            return self.new(f"{self.number(node)}.to({self.work})", once=True)
        host = self.layout.hosts.get(node)
        name = f"s{self.layout.scalars[node]}" if host is None else f"h{host}"
        why = "" if host is None or node.late else f"  # {spelled(node)}"
        self.once(f"{name} = {text}.to({self.work}){why}")
        return name

    def _loaded(self, node: Node, pointer: str, scope: Scope) -> str:
        index, mask = scope.index[node.kind], scope.masks[node.kind]
        load = f"tl.load({pointer} + {index}, mask={mask}, other=0)"
        if node.bool_:
            return self.new(f"{load} != 0")
        name = scope.known.get(node, str(node.value) if node.op in ("state", "p", "g") else "")
        code = CODES.get(self.layout.plan.storage.get(name, ""))
        if code is None:
            same = self.type_of_values(name) == self.work
            found = self.new(load if same else f"{load}.to({self.work})", self.called(node, name))
            if node.op == "g":
                scale = f"tl.load({self.column(at.HOST, 'numbers')} + {unscale(self.layout)})"
                self.line(f"if GUARDED:\n{self.indent}    g = g * {scale}.to({self.work})")
            return found
        unit = f"tl.load({self.state(scale_name(name))} + {index} // {EACH}, mask={mask}, other=0)"
        return self.new(
            f"f.decode({load}, {unit}, {code.offset!r}, {code.first})", self.local(name)
        )

    def called(self, node: Node, name: str) -> str:
        """The variable of what was loaded."""
        return name if node.op in ("p", "g") or not name else self.local(name)

    def local(self, name: str) -> str:
        """What a state is called in the code: by its name, unless that is taken."""
        while name in TAKEN or name.endswith("_ptr") or re.fullmatch(r"[chsx]\d+", name):
            name += "_old"
            while name in self.layout.plan.kinds:
                name += "_"
        return name

    def _computed(self, node: Node, scope: Scope) -> str:
        if node.op == "noise":
            key = self.new(f"{self.number(node.args[0])}.to(tl.uint32)", once=True)
            return self.new(f"f.noise({scope.index[Kind.ELEMENT]}, {key})")
        args = [self.value(a, scope) for a in node.args]
        if node.op == "nearest":
            return self.new(f"{self.rounded(args[0], f'tl.{self.dtype}')}.to({self.work})")
        if node.op == "stored":
            return self._stored(node, args, scope)
        return self.new(self.operation(node, args, self.work))

    def _stored(self, node: Node, args: list[str], scope: Scope) -> str:
        kept, half = node.value
        x, noise = args
        if kept in CODES:
            return self._coded(node, x, noise, scope)
        kept = self.dtype if kept == PARAMETER else kept
        if kept != "bfloat16":
            return x
        return self.new(f"f.stochastic({x}, {noise}{' >> 16' if half else ''})")

    def _coded(self, node: Node, x: str, noise: str, scope: Scope) -> str:
        kept, half = node.value
        code = CODES[kept]
        if node.args[0].kind is not Kind.ELEMENT:  # a number for all
            x = self.new(f"{x} + tl.zeros({scope.shape}, tl.float32)")
        some = f"{noise} >> {32 - SHIFT}" if half else f"{noise} & {(1 << SHIFT) - 1}"
        blocks = f"BLOCKS, {EACH}"
        mask = scope.masks[Kind.ELEMENT]
        self._count += 2
        units, inverses = f"x{self._count - 1}", f"x{self._count}"
        self.line(f"{units}, {inverses} = f.scales({x}, {mask}, {code.top!r}, {blocks})")
        unit, inverse = (self.new(f"f.over_blocks({y}, {x}, {blocks})") for y in (units, inverses))
        how = f"{code.offset!r}, {code.first}, {code.signed}"
        bits = self.new(f"f.encode({x}, {inverse}, {some}, {how})")
        codes = self.new(f"f.codes_of({bits}, {x}, {code.first}, {code.signed})")
        scope.codes[node] = codes, units
        return self.new(f"f.values_of({bits}, {x}, {unit}, {code.offset!r}, {code.signed})")

    def rounded(self, x: str, dtype: str) -> str:
        """A value as memory of a type will hold it."""
        if dtype == "tl.bfloat16":
            return f"f.to_bfloat16({x})"
        return x if dtype == self.work else f"{x}.to({dtype})"

    def operation(self, node: Node, args: list[str], dtype: str) -> str:
        """An operation of `glissade.graph.OPS` as an expression."""
        factor = wide_factor(node)
        if factor is not None:
            x = next(x for a, x in zip(node.args, args, strict=True) if a is not factor)
            return f"f.scaled({x}, {self.number(factor)})"
        if node.op == "still":
            x, g, *known = args
            stays = " | ".join([f"(f.isfinite({g}) == 0)", *(f"({y} != {y})" for y in known)])
            return f"f.still({x}, {stays})"
        if node.op in INFIX:
            return f"{args[0]} {INFIX[node.op]} {args[1]}"
        if node.op == "neg":
            return f"-{args[0]}"
        if node.op == "not":
            return f"{args[0]} == 0"
        if node.op == "where":
            text = f"tl.where({', '.join(args)})"
            return text if node.bool_ else f"{text}.to({dtype})"
        if node.args[0].op == "const":  # no tensor by itself
            args[0] = f"tl.full((), {args[0]}, {dtype})"
        return f"{CALLS[node.op]}({', '.join(args)})"


def active(layout: Layout) -> int:
    """The slot that says whether a tensor takes this leaf, where that is decided on the device."""
    return len(layout.hosts)


def unscale(layout: Layout) -> int:
    """The slot of what gradients are multiplied by there."""
    return len(layout.hosts) + 1


def spelled(node: Node) -> str:
    """A number of the host as Python would have it."""
    if node.op == "hyper":
        name, *places = node.value
        return str(name) + "".join(f"[{k}]" for k in places)
    if node.op in ("t", "key"):
        return {"t": "t", "key": "noise of this step"}[node.op]
    if node.op == "const":
        return f"{node.value:g}"
    args = [f"({x})" if " " in x else x for x in map(spelled, node.args)]
    if node.op == "inverse":
        return f"1 / {args[0]}"
    sign = {**INFIX, "pow": "**", "mod": "%"}.get(node.op)
    return f"{args[0]} {sign} {args[1]}" if sign else f"{node.op}({', '.join(args)})"


def _literal(x: float) -> str:
    if isinstance(x, bool):
        return repr(x)
    return repr(float(x)) if abs(x) < float("inf") else f'float("{float(x)}")'
