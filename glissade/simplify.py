"""Rewrites that save work per element, none of which changes what a NaN or an infinity does.

Divisions by numbers become multiplications by reciprocals taken once in float64, factors that are
numbers are gathered, reductions are brought to two primitives (`sum`, `sumsq`), and a rule that
reduces per slice only is seen as one of rows, so that a slice is one contiguous run of memory.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from .graph import Kind, Node


def walk(roots: Iterable[Node], stop: str = "") -> Iterator[Node]:
    """Every node under the roots once, arguments before what uses them; none below a `stop`."""
    seen: set[int] = set()
    stack = [(root, False) for root in reversed(list(roots))]
    while stack:
        node, ready = stack.pop()
        if ready:
            yield node
        elif id(node) not in seen:
            seen.add(id(node))
            stack.append((node, True))
            if node.op != stop:
                stack.extend((arg, False) for arg in reversed(node.args))


SLICED = {Kind.HOST, Kind.TENSOR, Kind.SLICE, Kind.ELEMENT}


def only_slices(roots: Iterable[Node]) -> bool:
    """True if slices are the only part of a tensor that the graph tells apart."""
    kinds = {node.kind for node in walk(roots)}
    return Kind.SLICE in kinds and kinds <= SLICED


def simplify(roots: list[Node], *, slices_as_rows: bool) -> list[Node]:
    """The same values from fewer operations, in the same graph."""

    def kind_of(kind: Kind) -> Kind:
        return Kind.ROW if slices_as_rows and kind is Kind.SLICE else kind

    done: dict[int, Node] = {}
    for node in walk(roots):
        args = [done[id(a)] for a in node.args]
        graph = node.graph
        if node.kind is Kind.HOST and not node.late:
            new = node
        elif node.op == "all":
            new = graph.node("all", tuple(args), kind=Kind.HOST)
        elif node.op in ("sum", "sumsq"):
            new = _reduction(node, args[0], kind_of(node.kind))
        elif node.op == "count":
            value = tuple(map(kind_of, node.value))
            new = graph.node("count", value=value, kind=node.kind)
        elif node.op in ("stored", "noise", "nearest"):
            new = graph.node(node.op, tuple(args), node.value, node.kind)
        elif not args:
            new = graph.node(node.op, value=node.value, kind=kind_of(node.kind))
        else:
            new = _arithmetic(node.op, args)
        done[id(node)] = new
    return [done[id(root)] for root in roots]


def _reduction(node: Node, x: Node, kind: Kind) -> Node:
    graph, op = node.graph, node.op
    if op == "sum" and x.op == "mul" and x.args[0] is x.args[1]:
        op, x = "sumsq", x.args[0]
    # Along rows first, which lie in one piece, then one axis at a time: what is left is small.
    if x.kind is Kind.ELEMENT and kind in (Kind.MATRIX, Kind.SLICE):
        x, op = graph.node(op, (x,), kind=Kind.ROW), "sum"
    if x.kind in (Kind.ROW, Kind.COLUMN) and kind is Kind.SLICE:
        x, op = graph.node(op, (x,), kind=Kind.MATRIX), "sum"
    return graph.node(op, (x,), kind=kind)


def _scalar(x: Node) -> bool:
    return x.kind <= Kind.TENSOR


def _is(x: Node, value: float) -> bool:
    return x.op == "const" and not x.bool_ and bool(x.value == value)


def _arithmetic(op: str, args: list[Node]) -> Node:
    graph = args[0].graph
    if op == "pow" and _is(args[1], 2):
        op, args = "mul", [args[0], args[0]]
    elif op == "pow" and _is(args[1], 0.5):
        op, args = "sqrt", args[:1]
    if op == "div" and _scalar(args[1]) and not _scalar(args[0]):
        known = args[1].kind is Kind.HOST and not args[1].late
        inverse = graph.apply("inverse", args[1]) if known else graph.apply("div", 1.0, args[1])
        op, args = "mul", [args[0], inverse]
    if op in ("add", "sub") and _is(args[1], 0):
        return args[0]
    if op == "add" and _is(args[0], 0):
        return args[1]
    if op == "mul":
        x, c = args if _scalar(args[1]) else args[::-1]
        if _is(c, 1):
            return x
        if _scalar(c) and not _scalar(x) and x.op == "mul" and _scalar(x.args[1]):
            return _arithmetic("mul", [x.args[0], graph.apply("mul", x.args[1], c)])
        args = [x, c]
    return graph.apply(op, *args)
