"""The expression graph: what a rule becomes when it is called on symbols.

Every node has a *kind*, the axes along which its value differs. A parameter of any rank is seen as
``A x B x R x C``: ``C`` is the last dimension, ``R`` the one before it, ``A`` the first when there
are three or more, and ``B`` whatever lies between. A kind is a set of axes, so broadcasting is a
union and a reduction an intersection; nothing else in the library knows about shapes.
"""

from __future__ import annotations

import enum
from typing import Any

from .ops import OPS


class RuleError(TypeError):
    """A rule that cannot be traced, or that returns something that is not a step and a State."""


def no_number(name: str, t: Any, error: ArithmeticError) -> RuleError:
    """The error for a number of the host that has no value."""
    why = error.args[-1]  # an OverflowError may begin with a number
    return RuleError(
        f"{name}, step {t}: a number that the rule computes from t and hyperparameters has no "
        f"finite value ({why}); let the rule avoid it, with where(...) or an if"
    )


def plain_number(op: str) -> str:
    """What is wrong with a sum, mean or norm of a number."""
    called = "total" if op == "sum" else op
    return f"{called}() of a plain number: reduce something that differs per element"


class Kind(enum.IntFlag):
    """Along which axes of the parameter a value differs; a HOST value is a number for all."""

    HOST = 0
    TENSOR = 1
    SLICE = TENSOR | 2  # A: one value for each index of the first dimension (rank 3 and up)
    MATRIX = SLICE | 4  # AB: one value for each matrix of the last two dimensions
    ROW = MATRIX | 8  # ABR
    COLUMN = MATRIX | 16  # ABC
    ELEMENT = ROW | COLUMN

    @property
    def word(self) -> str:
        """The kind in lower case, as `glissade list` prints it."""
        return str(self.name).lower()


def per_kind(per: str, ndim: int) -> Kind:
    """The kind of a reduction's result for a parameter of rank `ndim`."""
    if per == "slice":  # of rank 2, the first dimension is the rows; of rank 1, the elements
        return {0: Kind.TENSOR, 1: Kind.COLUMN, 2: Kind.ROW}.get(ndim, Kind.SLICE)
    kinds = {
        "tensor": Kind.TENSOR,
        "matrix": Kind.MATRIX,
        "row": Kind.ROW,
        "column": Kind.COLUMN,
    }
    if per not in kinds:
        words = ", ".join(map(repr, (*kinds, "slice")))
        raise RuleError(f"per={per!r}: a reduction is per {words} or 'all'")
    return kinds[per]


def reduced_dims(per: str, ndim: int) -> tuple[int, ...]:
    """The dimensions that a reduction `per` something runs over, for a tensor of rank `ndim`."""
    per_kind(per, ndim)
    every = tuple(range(ndim))
    return {
        "tensor": every,
        "slice": every[1:],
        "matrix": every[-2:],
        "row": every[-1:],
        "column": every[-2:-1] if ndim > 1 else (),
    }[per]


class Node:
    """A symbolic value. Nodes of one graph are shared: equal expressions are the same object."""

    __slots__ = ("args", "bool_", "graph", "kind", "late", "op", "value")

    def __init__(
        self, graph: Graph, op: str, args: tuple[Node, ...], value: Any, kind: Kind, bool_: bool
    ) -> None:
        self.graph = graph
        self.op = op  # of OPS, or: const hyper t p g state has machine_eps sum sumsq count all
        self.args = args
        self.value = value  # of a const, hyper or state its value, key or name; else see op
        self.kind = kind
        self.bool_ = bool_
        # A number for all that is known only in the middle of a step: from totals over all tensors.
        self.late: bool = kind is Kind.HOST and (op == "all" or any(a.late for a in args))

    @property
    def ndim(self) -> int:
        """The rank of the parameter: a plain int, so that a rule may branch on it freely."""
        return self.graph.ndim

    def __bool__(self) -> bool:
        if self.kind is not Kind.HOST:
            raise RuleError(
                f"a rule asked for the truth of a value that differs per {self.kind.word}; only "
                "conditions on hyperparameters and the step t may be used in `if`: write "
                "where(condition, a, b) instead"
            )
        if self.late:
            raise RuleError(
                "a rule asked for the truth of a total over all tensors, which is not known before "
                "the step: write where(condition, a, b) instead of `if`"
            )
        return self.graph.decide(self)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_") or name == "item":  # asked for by Python and by checks
            raise AttributeError(name)
        raise RuleError(
            f"a rule asked a value for {name!r}, which torch's tensors may have: a rule runs on "
            "symbols, with operators and the functions of glissade.rule"
        )

    def __float__(self) -> float:
        raise RuleError("a rule may not turn its values into Python numbers: it runs on symbols")

    @classmethod
    def __torch_function__(cls, func: Any, *_: Any, **__: Any) -> Any:
        name = getattr(func, "__name__", str(func))
        raise RuleError(f"a rule called torch's {name}: allowed are the functions of glissade.rule")

    def __array_ufunc__(self, ufunc: Any, *_: Any, **__: Any) -> Any:
        raise RuleError(
            f"a rule called numpy's {ufunc.__name__}: allowed are the functions of glissade.rule"
        )

    def __repr__(self) -> str:
        inner = ", ".join(map(repr, self.args))
        return f"{self.op}({inner})" if self.args else f"{self.op}:{self.value}"

    def __hash__(self) -> int:
        return id(self)

    def __add__(self, other: Any) -> Node:
        return self.graph.apply("add", self, other)

    def __radd__(self, other: Any) -> Node:
        return self.graph.apply("add", other, self)

    def __sub__(self, other: Any) -> Node:
        return self.graph.apply("sub", self, other)

    def __rsub__(self, other: Any) -> Node:
        return self.graph.apply("sub", other, self)

    def __mul__(self, other: Any) -> Node:
        return self.graph.apply("mul", self, other)

    def __rmul__(self, other: Any) -> Node:
        return self.graph.apply("mul", other, self)

    def __truediv__(self, other: Any) -> Node:
        return self.graph.apply("div", self, other)

    def __rtruediv__(self, other: Any) -> Node:
        return self.graph.apply("div", other, self)

    def __pow__(self, other: Any) -> Node:
        return self.graph.apply("pow", self, other)

    def __rpow__(self, other: Any) -> Node:
        return self.graph.apply("pow", other, self)

    def __mod__(self, other: Any) -> Node:
        return self.graph.apply("mod", self, other)

    def __neg__(self) -> Node:
        return self.graph.apply("neg", self)

    def __abs__(self) -> Node:
        return self.graph.apply("abs", self)

    def __lt__(self, other: Any) -> Node:
        return self.graph.apply("lt", self, other)

    def __le__(self, other: Any) -> Node:
        return self.graph.apply("le", self, other)

    def __gt__(self, other: Any) -> Node:
        return self.graph.apply("gt", self, other)

    def __ge__(self, other: Any) -> Node:
        return self.graph.apply("ge", self, other)

    def __eq__(self, other: object) -> Node:  # type: ignore[override]
        return self.graph.apply("eq", self, other)

    def __ne__(self, other: object) -> Node:  # type: ignore[override]
        return self.graph.apply("ne", self, other)

    def __and__(self, other: Any) -> Node:
        return self.graph.apply("and", self, other)

    def __or__(self, other: Any) -> Node:
        return self.graph.apply("or", self, other)

    def __rand__(self, other: Any) -> Node:
        return self.graph.apply("and", other, self)

    def __ror__(self, other: Any) -> Node:
        return self.graph.apply("or", other, self)

    def __invert__(self) -> Node:
        return self.graph.apply("not", self)


def wide_factor(node: Node) -> Node | None:
    """The argument of a product that is a number known in double precision from data, and that may
    not fit what the other is computed in; None if there is none."""
    if node.op != "mul" or node.kind <= Kind.TENSOR:
        return None
    data = (a for a in node.args if a.kind is Kind.TENSOR or a.late)
    return next(data, None)


class Graph:
    """Makes and shares nodes; answers `if` on host conditions with the path being traced."""

    def __init__(self, ndim: int) -> None:
        self._ndim = ndim
        self.rank_matters = False  # set once the rule looks at the rank
        self._nodes: dict[Any, Node] = {}
        self.path: list[tuple[Node, bool]] = []
        self.totals: list[Node] = []  # over all tensors, in the order in which the rule asked
        self._prefix: tuple[bool, ...] = ()

    @property
    def ndim(self) -> int:
        self.rank_matters = True
        return self._ndim

    def start(self, prefix: tuple[bool, ...]) -> None:
        """Begin a run of the rule that answers its first host conditions with `prefix`."""
        self.path, self.totals, self._prefix = [], [], prefix

    def decide(self, condition: Node) -> bool:
        for node, answer in self.path:
            if node is condition:
                return answer
        at = len(self.path)
        answer = self._prefix[at] if at < len(self._prefix) else True
        self.path.append((condition, answer))
        return answer

    def node(
        self,
        op: str,
        args: tuple[Node, ...] = (),
        value: Any = None,
        kind: Kind = Kind.HOST,
        bool_: bool = False,
    ) -> Node:
        # The type is part of the key: 1, 1.0 and True are equal but not the same constant.
        key = (op, tuple(map(id, args)), type(value), value, kind)
        found = self._nodes.get(key)
        if found is None:
            found = self._nodes[key] = Node(self, op, args, value, kind, bool_)
        return found

    def lift(self, x: Any) -> Node:
        """A node for `x`: itself, or a constant."""
        if isinstance(x, Node):
            if x.graph is not self:
                raise RuleError("a rule kept a value from another call: rules must be pure")
            return x
        if isinstance(x, (bool, int, float)):
            return self.node("const", value=x, bool_=isinstance(x, bool))
        raise RuleError(
            f"a rule mixed its values with {type(x).__name__} {x!r}; allowed are numbers, "
            "hyperparameters, and what the functions of glissade.rule return"
        )

    def apply(self, op: str, *values: Any) -> Node:
        """The node of an operation on nodes and numbers; constants are folded."""
        args = tuple(map(self.lift, values))
        known = args[0].kind is Kind.HOST and not args[0].late
        if op == "where" and known and args[1].kind | args[2].kind:
            return args[1] if self.decide(args[0]) else args[2]
        if all(a.op == "const" for a in args):
            return self.lift(OPS[op].host(*(a.value for a in args)))
        self._check_truths(op, args)
        kind = Kind.HOST
        for a in args:
            kind |= a.kind
        bool_ = OPS[op].bool_ or (op == "where" and args[1].bool_)
        return self.node(op, args, kind=kind, bool_=bool_)

    def _check_truths(self, op: str, args: tuple[Node, ...]) -> None:
        """Raise RuleError where a truth stands for a number or a number for a truth."""
        truths = [a.bool_ for a in args]
        if op == "where":
            if not truths[0]:
                raise RuleError("where(condition, a, b): the condition is a number; compare it")
            if truths[1] is not truths[2]:
                raise RuleError("where(condition, a, b): one of a and b is a truth value")
        elif op in ("and", "or", "not"):
            if not all(truths):
                raise RuleError(f"{op} of a number: it takes conditions, such as x > 0")
        elif any(a.bool_ and a.kind for a in args):
            raise RuleError(f"{op} of a truth value: write where(condition, 1, 0) for the number")

    def reduce(self, op: str, x: Node, per: str) -> Node:
        """`op` (sum, mean or norm) of x with one result per tensor, slice, matrix, row, column, or
        one for all tensors."""
        if x.kind is Kind.HOST:
            raise RuleError(plain_number(op))
        self._check_truths(op, (x,))
        if per == "all":
            return self._over_all(op, x)
        target = Kind.TENSOR if per == "tensor" else per_kind(per, self.ndim)
        kind = x.kind & target
        if kind == x.kind:
            return self.apply("abs", x) if op == "norm" else x
        if op == "norm":
            return self.apply("sqrt", self.node("sumsq", (x,), value=per, kind=kind))
        total = self.node("sum", (x,), value=per, kind=kind)
        if op == "sum":
            return total
        count = self.node("count", value=(x.kind, kind), kind=Kind.TENSOR)
        return self.apply("div", total, count)

    def _over_all(self, op: str, x: Node) -> Node:
        if op == "norm":
            square = self.apply("mul", x, x)
            if x.kind is not Kind.TENSOR:
                square = self.node("sumsq", (x,), value="tensor", kind=Kind.TENSOR)
            return self.apply("sqrt", self._total(square))
        total = self._total(self.reduce("sum", x, "tensor"))
        if op == "sum":
            return total
        count = self._total(self.node("count", value=(x.kind, Kind.TENSOR), kind=Kind.TENSOR))
        return self.apply("div", total, count)

    def _total(self, share: Node) -> Node:
        total = self.node("all", (share,), kind=Kind.HOST)
        self.totals.append(total)
        return total
