"""What a rule's values can be: intervals, followed through the graph.

What is asked of them is which states are never negative: their 8-bit codes need no sign, and are
never 0 by rounding. What may be negative may be rounded to 0, and must not be divided by.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from .checks import ALLOWED
from .graph import Kind, Node
from .simplify import walk
from .trace import Leaf


class Interval(NamedTuple):
    """From the least a value can be to the most, both included; NaN aside."""

    low: float = -math.inf
    high: float = math.inf


ANY, NOT_NEGATIVE = Interval(), Interval(0.0)


def never_negative(leaves: Iterable[Leaf], kinds: Mapping[str, Kind]) -> frozenset[str]:
    """The states per element that begin at 0 and never fall under it, whatever is added.

    Assumed of all, and taken back until what is left proves itself.
    """
    leaves = list(leaves)
    inputs = {name for leaf in leaves for name in leaf.reads} - {
        name for leaf in leaves for name in leaf.state
    }  # written by somebody else
    held = frozenset(k for k, kind in kinds.items() if kind is Kind.ELEMENT and k not in inputs)
    while True:
        proven = frozenset(
            name
            for name in held
            if all(
                interval(leaf.state[name], held).low >= 0 for leaf in leaves if name in leaf.state
            )
        )
        if proven == held:
            return held
        held = proven


def divided_by(leaves: Iterable[Leaf], held: frozenset[str]) -> frozenset[str]:
    """The states per element outside of `held` that some value is divided by, element by element,
    without a floor (a maximum, a choice) under them."""
    found: set[str] = set()
    for leaf in leaves:
        nodes = list(walk([leaf.param, *leaf.state.values()]))
        stack = [n.args[1] for n in nodes if n.op == "div"]
        stack += [n.args[0] for n in nodes if n.op == "pow" and interval(n.args[1], held).low < 0]
        stack = [n for n in stack if n.kind is Kind.ELEMENT and interval(n, held).low <= 0]
        # The new value of a held state is rounded as that state is.
        seen = {id(node) for name, node in leaf.state.items() if name in held}
        while stack:
            node = stack.pop()
            if id(node) in seen or node.kind is not Kind.ELEMENT:
                continue
            seen.add(id(node))
            if node.op == "state" and node.value not in held:
                found.add(node.value)
            if node.op not in ("maximum", "where"):
                stack += node.args
    return frozenset(found)


def interval(root: Node, held: frozenset[str]) -> Interval:
    """What a node can be if the states of `held` are never negative."""
    known: dict[int, Interval] = {}
    for node in walk([root]):
        args = [known[id(a)] for a in node.args]
        if node.op == "mul":
            known[id(node)] = _product(node, known)
        else:
            known[id(node)] = _of(node, args) if args else _source(node, held)
    return known[id(root)]


def _source(node: Node, held: frozenset[str]) -> Interval:
    if node.op == "const":
        return Interval(float(node.value), float(node.value))
    if node.op in ("t", "count"):
        return Interval(1.0)
    if node.op == "state":
        return NOT_NEGATIVE if node.value in held else ANY
    if node.op == "machine_eps":
        return Interval(0.0, 1.0)
    return _hyper(node) if node.op == "hyper" else ANY


def _hyper(node: Node) -> Interval:
    """By what checks let pass, of the last word of its name: beta1 is in [0, 1)."""
    name, *place = node.value
    entry = ALLOWED.get(name) or ALLOWED.get(name.rsplit("_", 1)[-1])
    if entry is None or len(place) > 1:
        return ANY

    def passes(x: float) -> bool:
        return entry[0]((x, x) if place else x)

    return Interval(
        -math.inf if passes(-0.5) or passes(-1) else 0.0,
        math.inf if passes(1.5) or passes(2) else 1.0 if passes(0.5) or passes(1) else 0.0,
    )


def _of(node: Node, x: list[Interval]) -> Interval:
    a, b = x[0], x[-1]
    match node.op:
        case "add":
            return Interval(a.low + b.low, a.high + b.high)
        case "sub":
            return Interval(a.low - b.high, a.high - b.low)
        case "neg":
            return Interval(-a.high, -a.low)
        case "div":
            return NOT_NEGATIVE if a.low >= 0 and b.low >= 0 else ANY
        case "pow" if a.low >= 0:
            share = (a.high <= 1 and b.low >= 0) or (a.low >= 1 and b.high <= 0)
            return Interval(0.0, 1.0) if share else NOT_NEGATIVE
        case "pow" | "mod":
            return NOT_NEGATIVE if node.op == "mod" and b.low >= 0 else ANY
        case "maximum":
            return Interval(max(a.low, b.low), max(a.high, b.high))
        case "minimum":
            return Interval(min(a.low, b.low), min(a.high, b.high))
        case "where":
            return Interval(min(x[1].low, b.low), max(x[1].high, b.high))
        case "abs" | "sqrt" | "exp" | "sumsq":
            return NOT_NEGATIVE
        case "sum" | "all":
            return NOT_NEGATIVE if a.low >= 0 else ANY
        case "sign":
            return Interval(0.0 if a.low >= 0 else -1.0, 1.0)
        case "stored" | "nearest":
            return a
    return ANY


def _product(node: Node, known: Mapping[int, Interval]) -> Interval:
    """Of all its factors: (1 - beta2) * g * g has a square in it, wherever the brackets are."""
    single: dict[int, Node] = {}
    out = Interval(1.0, 1.0)
    stack = [node]
    while stack:
        factor = stack.pop()
        if factor.op == "mul":
            stack += factor.args
        elif id(factor) in single:
            del single[id(factor)]
            out = _times(out, NOT_NEGATIVE)
        else:
            single[id(factor)] = factor
    for factor in single.values():
        out = _times(out, known[id(factor)])
    return out


def _times(a: Interval, b: Interval) -> Interval:
    ends = [0.0 if 0 in (x, y) else x * y for x in a for y in b]  # 0 times no end is 0
    return Interval(min(ends), max(ends))
