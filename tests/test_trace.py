"""From a rule to graphs: branches, kinds of states, sharing, simplification."""

from __future__ import annotations

import math
from typing import Any

import pytest

from glissade import Rule, RuleError, State
from glissade.graph import Graph, Kind, Node
from glissade.rule import maximum, mean, norm, sign, sqrt, total, where
from glissade.simplify import simplify, walk
from glissade.trace import Leaf, Trace, trace


def traced(update: Any, ndim: int = 2, after: Any = None, **values: Any) -> Trace:
    rule = Rule(update, {"lr": 0.1, **values}, after)
    return trace(rule, {**rule.hyper, "base_lr": 0.1, "maximize": False}, ndim)


def only(update: Any, **how: Any) -> Leaf:
    (leaf,) = traced(update, **how).leaves
    return leaf


def ops(root: Node) -> list[str]:
    return [node.op for node in walk([root]) if node.args]


# ------------------------------------------------------------------ states


@pytest.mark.parametrize(
    ("new", "kind"),
    [
        (lambda p, g, s, t, h: 1, Kind.TENSOR),
        (lambda p, g, s, t, h: t * h.lr, Kind.TENSOR),
        (lambda p, g, s, t, h: norm(g) + s.x, Kind.TENSOR),
        (lambda p, g, s, t, h: total(g, per="row"), Kind.ROW),
        (lambda p, g, s, t, h: total(total(g, per="row"), per="column"), Kind.MATRIX),
        (lambda p, g, s, t, h: total(g, per="row") * total(g, per="column"), Kind.ELEMENT),
        (lambda p, g, s, t, h: total(g, per="slice") + total(g, per="matrix"), Kind.MATRIX),
        (lambda p, g, s, t, h: mean(s.y, per="row") + s.x, Kind.ROW),  # y is found out first
        (lambda p, g, s, t, h: s.y, Kind.ELEMENT),
        (lambda p, g, s, t, h: maximum(s.z, norm(g)), Kind.COLUMN),
    ],
)
def test_a_states_kind_is_the_least_that_holds_what_is_put_there(new: Any, kind: Kind) -> None:
    def update(p: Any, g: Any, s: Any, t: Any, h: Any) -> Any:
        return g, State(x=new(p, g, s, t, h), y=s.y + g, z=s.z + total(g, per="column"))

    assert traced(update, 4).states["x"] is kind


def test_states_widen_in_a_ring() -> None:
    """a takes b, b takes c, c takes a and the gradient: all are found to differ per element."""

    def update(p: Any, g: Any, s: Any, t: Any, h: Any) -> Any:
        return g, State(a=s.b, b=s.c, c=s.a + g)

    assert traced(update).states == dict.fromkeys("abc", Kind.ELEMENT)


def test_a_state_that_stays_is_not_written() -> None:
    def update(p: Any, g: Any, s: Any, t: Any, h: Any) -> Any:
        return s.a, State(a=s.a) if t > 3 else State(a=s.a + g)

    leaves = traced(update).leaves
    assert [set(leaf.state) for leaf in leaves] == [set(), {"a"}]
    assert all(leaf.reads == {"a"} for leaf in leaves)


def test_a_rank_that_is_looked_at_is_noted() -> None:
    assert not traced(lambda p, g, s, t, h: (g / norm(g), State())).rank_matters
    assert traced(lambda p, g, s, t, h: (g * p.ndim, State())).rank_matters
    assert traced(lambda p, g, s, t, h: (g - mean(g, per="row"), State())).rank_matters


# ------------------------------------------------------------------ branches


def test_each_condition_is_asked_once() -> None:
    def update(p: Any, g: Any, s: Any, t: Any, h: Any) -> Any:
        step = g if t % 2 == 0 else 2 * g
        step = step + (1 if t % 2 == 0 else 3)  # the same question has the same answer
        return where(t % 2 == 0, step, -step), State()

    assert len(traced(update).leaves) == 2


def test_plain_python_needs_no_branch() -> None:
    """Ranks, choices and truths are known when the rule is traced."""

    def update(p: Any, g: Any, s: Any, t: Any, h: Any) -> Any:
        step = g if p.ndim > 1 else -g
        step = step * 2 if h.flag and h.word == "yes" else step
        return step if h.pair[1] is None else -step, State()

    found = traced(update, flag=True, word="yes", pair=(1.0, None))
    assert len(found.leaves) == 1
    assert ops(found.leaves[0].step) == ["mul"]


def test_maximize_turns_the_gradient() -> None:
    rule = Rule(lambda p, g, s, t, h: (g, State()), {"lr": 1.0})
    values = {**rule.hyper, "base_lr": 1.0, "maximize": True}
    (leaf,) = trace(rule, values, 1).leaves
    assert ops(leaf.step) == ["neg"]


@pytest.mark.parametrize(
    ("update", "words"),
    [
        (lambda p, g, s, t, h: (g if norm(g) > 1 else p, State()), "differs per tensor"),
        (lambda p, g, s, t, h: (g if g > 1 else p, State()), "differs per element"),
        (lambda p, g, s, t, h: (max(p, g), State()), r"where\(condition"),
        (lambda p, g, s, t, h: (sqrt("x") * g, State()), "."),
        (lambda p, g, s, t, h: ([1] * p, State()), r"mixed its values with list"),
        (lambda p, g, s, t, h: (g, State(s=[g])), r"State\(s=\.\.\.\) is a list"),
    ],
)
def test_refused(update: Any, words: str) -> None:
    with pytest.raises((RuleError, TypeError), match=words):
        traced(update)


# ------------------------------------------------------------------ graphs


def test_equal_expressions_are_one_node() -> None:
    graph = Graph(2)
    g = graph.node("g", kind=Kind.ELEMENT)
    assert g * 2 + 1 is g * 2 + 1
    assert g * 2 is not g * 2.5
    assert graph.lift(1) is not graph.lift(True)
    assert graph.lift(1) is not graph.lift(1.0)


def test_constants_are_folded() -> None:
    graph = Graph(2)
    two = graph.lift(2.0)
    assert (two * 3 + 1).value == 7.0
    assert (two > 1).value is True
    assert sqrt(two - 3).value != sqrt(two - 3).value  # NaN
    assert where(two > 1, graph.lift(5), graph.lift(6)).value == 5


def test_kinds_join_in_operations_and_meet_in_reductions() -> None:
    graph = Graph(4)
    x = graph.node("g", kind=Kind.ELEMENT)
    row, column = mean(x, per="row"), mean(x, per="column")
    assert (row + column).kind is Kind.ELEMENT
    assert (row * norm(x)).kind is Kind.ROW
    assert mean(row, per="column").kind is Kind.MATRIX
    assert mean(row, per="row") is row
    assert norm(row, per="row").op == "abs"
    assert (graph.lift(2.0) * 3).kind is Kind.HOST


def simplified(make: Any, ndim: int = 2) -> Node:
    graph = Graph(ndim)
    g = graph.node("g", value="g", kind=Kind.ELEMENT)
    a, b = (graph.node("hyper", value=(name,)) for name in "ab")
    (out,) = simplify([make(g, a, b)], slices_as_rows=False)
    return out


@pytest.mark.parametrize(
    ("make", "wanted"),
    [
        (lambda g, a, b: g**2, ["mul"]),
        (lambda g, a, b: g**0.5, ["sqrt"]),
        (lambda g, a, b: g / a, ["inverse", "mul"]),  # one division, on the host
        (lambda g, a, b: a * (b * g), ["mul", "mul"]),  # a·b on the host, one per element
        (lambda g, a, b: g * 1 + 0, []),
        (lambda g, a, b: norm(g), ["sumsq", "sqrt"]),
        (lambda g, a, b: total(g * g), ["sumsq"]),
        (lambda g, a, b: sign(g) / norm(g), ["sign", "sumsq", "sqrt", "div", "mul"]),
    ],
)
def test_what_is_left_of_an_expression(make: Any, wanted: list[str]) -> None:
    assert ops(simplified(make)) == wanted


NEVER_DROPPED = [
    lambda g, a, b: g * 0,
    lambda g, a, b: g - g,
    lambda g, a, b: g / g,
    lambda g, a, b: 0 / g,
    lambda g, a, b: a * (g * math.inf),
]


@pytest.mark.parametrize("make", NEVER_DROPPED)
def test_nothing_that_nan_goes_through_is_dropped(make: Any) -> None:
    assert ops(simplified(make))


def test_a_reduction_over_a_matrix_goes_by_rows() -> None:
    found = simplified(lambda g, a, b: norm(g, per="matrix") * total(g, per="slice"), 4)
    sums = [(n.op, n.args[0].kind, n.kind) for n in walk([found]) if n.op in ("sum", "sumsq")]
    rows, matrices = (Kind.ELEMENT, Kind.ROW), (Kind.ROW, Kind.MATRIX)
    assert len(sums) == 5
    assert set(sums) == {
        ("sumsq", *rows), ("sum", *rows), ("sum", *matrices), ("sum", Kind.MATRIX, Kind.SLICE)
    }  # fmt: skip


def test_methods_of_tensors_are_refused() -> None:
    def rule(p: Any, g: Any, s: Any, t: Any, h: Any) -> Any:
        return h.lr * g.clamp(-1, 1), State()

    with pytest.raises(RuleError, match=r"a rule asked a value for 'clamp'.*functions of glissade"):
        traced(rule)
