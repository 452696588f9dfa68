"""What the host computes, the branch to take and a kernel's numbers, against plain evaluation."""

from __future__ import annotations

import math
from typing import Any

import hypothesis.strategies as st
import pytest
import torch
from hypothesis import given

from glissade import Optimizer, Rule, RuleError, State, registry, wrappers
from glissade import rule as language
from glissade.graph import Node
from glissade.host import calculator, chooser
from glissade.ops import OPS
from glissade.program import Program, Programs
from glissade.trace import trace


def hyper(rule: Rule, **more: Any) -> dict[str, Any]:
    return {**rule.hyper, "base_lr": 1e-3, "maximize": False, **more}


def evaluated(node: Node, t: int, h: dict[str, Any]) -> Any:
    """A host node by walking down its arguments."""
    if node.op == "const":
        return node.value
    if node.op == "t":
        return t
    if node.op == "hyper":
        value: Any = h
        for key in node.value:
            value = value[key]
        return value
    if node.op == "has":
        return t > 1
    return OPS[node.op].host(*(evaluated(a, t, h) for a in node.args))


def check(program: Program, t: int, h: dict[str, Any]) -> int:
    """The chosen leaf is the only one whose conditions all hold; its numbers are as evaluated."""
    holds = [
        all(bool(evaluated(c, t, h)) is answer for c, answer in leaf.path)
        for leaf in program.trace.leaves
    ]
    at = program.choose(t, h)
    assert [i for i, yes in enumerate(holds) if yes] == [at]
    wanted = tuple(float(evaluated(n, t, h)) for n in program.plans[at].hosts)
    assert tuple(map(float, program.numbers[at](t, h))) == wanted
    return at


@pytest.mark.parametrize("name", [row.name for row in registry.compiled()])
def test_every_step_of_every_rule(name: str) -> None:
    row = registry.lookup(name)
    for variant in row.variants or [None]:
        rule = row.bind(**({} if variant is None else {"variant": variant}))
        rule = rule if "lookahead" in str(rule.hyper) else wrappers.lookahead(rule, k=7)
        program = Programs(rule).get(hyper(rule), 2)
        seen = {check(program, t, hyper(rule)) for t in range(1, 301)}
        assert len(seen) >= 2


@pytest.mark.parametrize(("variant", "first"), [("paper", 5), ("inside", 5), ("torch", 6),
                                                ("official", 6)])  # fmt: skip
def test_radam_rectifies_from_the_step_that_its_paper_gives(variant: str, first: int) -> None:
    """β2 = 0.9: ρ_5 = 4.58 and ρ_6 = 5.39."""
    rule = registry.lookup("radam").bind(betas=(0.9, 0.9), variant=variant)
    program = Programs(rule).get(hyper(rule), 1)
    leaves = [program.choose(t, hyper(rule)) for t in range(1, 300)]
    before, after = leaves[0], leaves[-1]
    assert leaves == [before] * (first - 1) + [after] * (300 - first)
    assert before != after


@pytest.mark.parametrize("betas", [(0.9, 0.0), (0.9, 0.6), (0.0, 0.999), (0.5, 0.999999)])
def test_radam_with_betas_at_which_its_radius_is_none(betas: tuple[float, float]) -> None:
    """ρ∞ is 4 at β2 = 0.6 and 1 at β2 = 0: never rectified, never divided by 0."""
    rule = registry.lookup("radam").bind(betas=betas)
    program = Programs(rule).get(hyper(rule), 1)
    for t in range(1, 301):
        check(program, t, hyper(rule))


@given(lr=st.floats(0, 10), a=st.floats(-3, 3), k=st.integers(1, 9), t=st.integers(1, 10**6))
def test_nested_conditions(lr: float, a: float, k: int, t: int) -> None:
    def update(p: Any, g: Any, s: Any, t: Any, h: Any) -> Any:
        x = language.sqrt(abs(h.a) + 1) * language.sign(h.a) + language.clip(h.lr, 0.5, 2)
        if t % h.k == 0:
            x = x + 1 if h.lr > 1 else x * h.pair[1]
        elif (h.a >= 0) & (t > 3):
            x = language.where(h.a == 0, 3.0, language.maximum(x, h.lr / t))
        return x * g, State(c=h.pair[0] ** t)

    rule = Rule(update, {"lr": 0.1, "a": 0.0, "k": 2, "pair": (0.9, 0.99)})
    values = hyper(rule, lr=lr, a=a, k=k)
    check(Programs(rule).get(hyper(rule), 2), t, values)


def test_conditions_are_asked_in_the_order_of_the_rule() -> None:
    """The second divides by what the first has found not to be 0."""

    def update(p: Any, g: Any, s: Any, t: Any, h: Any) -> Any:
        if h.a > 0 and 1 / h.a > t:
            return g, State()
        return 2 * g, State()

    rule = Rule(update, {"lr": 0.1, "a": 0.0})
    found = trace(rule, hyper(rule), 2)
    choose = chooser(found)
    steps = [
        found.leaves[choose(t, hyper(rule, a=a), ())].step.op
        for t, a in ((1, 0.0), (10, 0.5), (1, 0.5))
    ]
    assert steps == ["mul", "mul", "g"]


def test_constants_keep_every_bit() -> None:
    graph_values = [0.1, 1e-320, 1e300, -0.0, math.inf, -math.inf, 2**53 + 1]

    def update(p: Any, g: Any, s: Any, t: Any, h: Any) -> Any:
        return g, State(**{f"x{i}": h.lr * 0 + v for i, v in enumerate(graph_values)})

    rule = Rule(update, {"lr": 1.0})
    (leaf,) = trace(rule, hyper(rule), 1).leaves
    got = calculator("", [leaf.state[f"x{i}"] for i in range(len(graph_values))])(1, hyper(rule))
    assert [float(x) for x in got] == [float(v) for v in graph_values]


@pytest.mark.parametrize(
    ("op", "x", "wanted"),
    [
        ("sqrt", -1.0, math.nan), ("log", 0.0, -math.inf), ("log", -1.0, math.nan),
        ("sign", -0.2, -1.0), ("sign", 0.0, 0.0), ("sign", math.nan, math.nan),
    ],
)  # fmt: skip
def test_functions_of_numbers_are_those_of_elements(op: str, x: float, wanted: float) -> None:
    got = getattr(language, op)(x)
    assert got == wanted or (math.isnan(got) and math.isnan(wanted))


@pytest.mark.parametrize("x", [1.0, math.nan])
def test_the_larger_of_a_number_and_nan_is_nan(x: float) -> None:
    for pair in ((x, math.nan), (math.nan, x)):
        assert math.isnan(language.maximum(*pair))
        assert math.isnan(language.minimum(*pair))


BARE: dict[str, Any] = {
    "divided by 0": lambda t, h: 1 / (t - 2),
    "a root of a negative number": lambda t, h: (h.lr - 1) ** 0.5,
    "a power of 0": lambda t, h: (t - 2.0) ** -1,
    "beyond the range": lambda t, h: 10.0 ** (200.0 * t),
    "exp beyond the range": lambda t, h: language.exp(1000.0 * t),
    "the rest of a division by 0": lambda t, h: t % (t - 2.0),
    "a constant": lambda t, h: 1 / 0.0,
}


@pytest.mark.parametrize("backend", ["cpu", "eager"])
@pytest.mark.parametrize("where", ["in the step", "in a condition", "in a state"])
@pytest.mark.parametrize("name", BARE)
def test_a_number_that_has_no_value_is_named(name: str, where: str, backend: str) -> None:
    def update(p: Any, g: Any, s: Any, t: Any, h: Any) -> Any:
        x = BARE[name](t, h)
        if where == "in a condition":
            return (g if x > 0 else -g), State()
        return (g, State(m=s.m + x)) if where == "in a state" else (g * x, State())

    def run() -> None:
        optimizer = Optimizer([p], Rule(update, {"lr": 0.1}, name="mine"), backend=backend)
        for _ in range(2):
            optimizer.step()

    p = torch.zeros(3, requires_grad=True)
    p.grad = torch.ones(3)
    with pytest.raises(RuleError, match=r"mine, step [12]: a number that the rule computes"):
        run()


@pytest.mark.parametrize("backend", ["cpu", "eager"])
def test_elements_over_a_number_that_is_0_are_infinite(backend: str) -> None:
    def update(p: Any, g: Any, s: Any, t: Any, h: Any) -> Any:
        return g / language.sign(t - 2.0), State()

    p = torch.zeros(3, requires_grad=True)
    p.grad = torch.tensor([1.0, 0.0, -1.0])
    optimizer = Optimizer([p], Rule(update, {"lr": 0.1}), backend=backend)
    optimizer.step()
    optimizer.step()
    assert p[[0, 2]].tolist() == [-math.inf, math.inf]
    assert p[1].isnan()


@pytest.mark.parametrize("op", ["norm", "mean", "total"])
@pytest.mark.parametrize("per", ["tensor", "row", "all"])
def test_a_number_cannot_be_reduced(op: str, per: str) -> None:
    with pytest.raises(RuleError, match=rf"{op}\(\) of a plain number"):
        getattr(language, op)(2.0, per=per)
