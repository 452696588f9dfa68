"""What is computed once a step in float64: which leaf to take, and the numbers a kernel needs.

The host part of a trace becomes a short Python function, so that a step of a small model is not
spent in walking graphs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from .graph import Node, no_number
from .ops import OPS
from .plan import Break
from .simplify import walk
from .storage import key
from .trace import Trace

# (t, hyperparameters, names of the states that are there) -> the leaf; without names that of a
# run that began at step 1
Choose = Callable[..., int]
Numbers = Callable[[int, Mapping[str, Any]], tuple[float, ...]]
Shared = Callable[[int, Mapping[str, Any], Mapping[int, float]], dict[str, Any]]
# (t, hyperparameters, totals over all tensors) -> the numbers of a break, and whether to go on
Late = Callable[[int, Mapping[str, Any], Mapping[int, float]], tuple[tuple[float, ...], bool]]

_INFIX = {
    "add": "+", "sub": "-", "mul": "*", "div": "/", "mod": "%",
    "lt": "<", "le": "<=", "gt": ">", "ge": ">=", "eq": "==", "ne": "!=",
}  # fmt: skip


# What comes from data may be 0, infinite or NaN: there arithmetic is NumPy's, which raises nothing.
_LATE = {
    "sqrt": np.sqrt, "exp": np.exp, "log": np.log, "abs": np.abs, "neg": np.negative,
    "pow": np.power, "sign": np.sign, "maximum": np.maximum, "minimum": np.minimum,
    "isfinite": np.isfinite, "and": np.logical_and, "or": np.logical_or, "not": np.logical_not,
    "where": np.where,
}  # fmt: skip


class _Writer:
    """Python source that computes host nodes of a rule, each once."""

    def __init__(self, rule: str, signature: str, totals: Sequence[Node] = ()) -> None:
        self.rule = rule
        self.lines = [f"def f({signature}):", "    try:"]
        self.names: dict[Node, str] = {}
        self.totals = {node: i for i, node in reversed([*enumerate(totals)])}

    def write(self, line: str, depth: int) -> None:
        self.lines.append("    " * (depth + 1) + line)

    def value(self, root: Node, depth: int) -> str:
        """The name of a variable that holds the node's value from here on."""
        for node in walk([root], stop="all"):  # what a total is over is no number
            if node not in self.names:
                name = f"x{len(self.names)}"
                self.write(f"{name} = {self._source(node)}", depth)
                self.names[node] = name
        return self.names[root]

    def _source(self, node: Node) -> str:
        if node.op == "all":
            return f"F(totals[{self.totals[node]}])"
        if node.op == "const":
            return f"float({str(node.value)!r})" if node.value != node.value else repr(node.value)
        if node.op == "t":
            return "t"
        if node.op == "has":
            return f"{node.value!r} in have"
        if node.op == "hyper":
            key, *rest = node.value
            return f"h[{key!r}]" + "".join(f"[{i}]" for i in rest)
        if node.op == "key":
            return f"KEY({node.value}, t, h['rounding_seed'])"
        args = [self.names[a] for a in node.args]
        if node.op in _INFIX:
            text = f"{args[0]} {_INFIX[node.op]} {args[1]}"
            return f"F({text})" if node.late else text
        if node.op == "inverse":  # of a hyperparameter or such, in every step: no call for it
            return f"1 / {args[0]} if {args[0]} else INVERSE({args[0]})"
        if node.late:
            return f"F(LATE[{node.op!r}]({', '.join(args)}))"
        return f"OPS[{node.op!r}].host({', '.join(args)})"

    def compiled(self) -> Any:
        scope: dict[str, Any] = {
            "OPS": OPS, "LATE": _LATE, "F": np.float64, "KEY": key, "inf": float("inf"),
            "INVERSE": OPS["inverse"].host, "NAME": self.rule, "NO_NUMBER": no_number,
        }  # fmt: skip
        self.lines += ["    except ArithmeticError as why:"]
        self.lines += ["        raise NO_NUMBER(NAME, t, why) from None"]
        exec("\n".join(self.lines), scope)
        return scope["f"]


def chooser(trace: Trace) -> Choose:
    """The function (t, hyperparameters, states that are there) -> index of the leaf whose
    conditions hold."""
    writer = _Writer(trace.rule.name, "t, h, have=None")
    writer.write(f"if have is None: have = {tuple(trace.states)!r} if t > 1 else ()", 1)

    def branch(leaves: Sequence[int], at: int, depth: int) -> None:
        first = trace.leaves[leaves[0]]
        if at == len(first.path):
            writer.write(f"return {leaves[0]}", depth)
            return
        known = dict(writer.names)
        name = writer.value(first.path[at][0], depth)
        inside = dict(writer.names)
        for answer in (True, False):
            side = [i for i in leaves if trace.leaves[i].path[at][1] is answer]
            writer.names = dict(inside)
            writer.write(f"if {name}:" if answer else "else:", depth)
            branch(side, at + 1, depth + 1)
        writer.names = known

    branch(range(len(trace.leaves)), 0, 1)
    return writer.compiled()  # type: ignore[no-any-return]


def calculator(rule: str, nodes: Sequence[Node]) -> Numbers:
    """The function (t, hyperparameters) -> the values of host nodes."""
    writer = _Writer(rule, "t, h")
    names = [writer.value(node, 1) for node in nodes]
    writer.write(f"return ({''.join(name + ', ' for name in names)})", 1)
    return writer.compiled()  # type: ignore[no-any-return]


def shared_calculator(rule: str, nodes: Mapping[str, Node], totals: Sequence[Node]) -> Shared:
    """The function (t, hyperparameters, totals) -> new values of what the optimizer has once."""
    writer = _Writer(rule, "t, h, totals", totals)
    names = {name: writer.value(node, 1) for name, node in nodes.items()}
    writer.write(f"return dict({', '.join(f'{k}={x}' for k, x in names.items())})", 1)
    return writer.compiled()  # type: ignore[no-any-return]


def late_calculator(rule: str, cut: Break, totals: Sequence[Node]) -> Late:
    """The function that computes what a break makes known; `totals` are those of all breaks."""
    writer = _Writer(rule, "t, h, totals", totals)
    names = [writer.value(node, 1) for node in cut.numbers]
    go = "True" if cut.guard is None else f"bool({writer.value(cut.guard, 1)})"
    writer.write(f"return ({''.join(name + ', ' for name in names)}), {go}", 1)
    compiled = writer.compiled()

    def quietly(
        t: int, h: Mapping[str, Any], totals: Mapping[int, float]
    ) -> tuple[tuple[float, ...], bool]:
        with np.errstate(all="ignore"):
            return compiled(t, h, totals)  # type: ignore[no-any-return]

    return quietly
