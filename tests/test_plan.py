"""Rules become the passes that the paper and pencil say, and no more bytes than that."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pytest

from glissade import RuleError, registry, wrappers
from glissade.graph import Kind
from glissade.host import calculator, chooser
from glissade.plan import Plan, plan
from glissade.program import Program, Programs
from glissade.rule import Rule, State, mean, norm, rms, sqrt, total, where
from glissade.simplify import simplify
from glissade.trace import structure, trace


def hyper(rule: Rule, **more: Any) -> dict[str, Any]:
    return {**rule.hyper, "base_lr": 1e-3, "maximize": False, **more}


def program(rule: Rule, ndim: int = 2) -> Program:
    return Programs(rule).get(hyper(rule), ndim)


def usual(rule: Rule, ndim: int = 2) -> Plan:
    made = program(rule, ndim)
    return made.plans[made.choose(1001, hyper(rule))]


def made(update: Callable[..., Any], **values: Any) -> Rule:
    return Rule(update, {"lr": 0.1, **values})


@pytest.mark.parametrize(
    ("name", "bound", "ndim", "passes", "numbers"),
    [
        ("sgd", {}, 2, 1, 3),
        ("momentum", {}, 2, 1, 5),
        ("adagrad", {}, 2, 1, 5),
        ("rmsprop", {"centered": True, "momentum": 0.9}, 2, 1, 9),
        ("adam", {}, 2, 1, 7),
        ("adamw", {"amsgrad": True}, 2, 1, 9),
        ("lion", {}, 2, 1, 5),
        ("radam", {}, 2, 1, 7),
        ("lamb", {}, 2, 2, 10),  # p g m v -> m v; p m v -> p
        ("adafactor", {}, 2, 3, 6),  # g p; g; g p -> p: no state per element
        ("adafactor", {}, 1, 2, 8),  # g p v -> v; g p v -> p
        ("ralamb", {}, 2, 2, 10),
        ("ranger", {}, 2, 1, 7),
    ],
)
def test_passes_and_bytes(
    name: str, bound: dict[str, Any], ndim: int, passes: int, numbers: int
) -> None:
    found = usual(registry.lookup(name).bind(**bound), ndim)
    assert len(found.passes) == passes
    assert found.numbers_per_element == numbers


def test_lookahead_touches_its_slow_weights_when_they_move_only() -> None:
    rule = wrappers.lookahead(registry.lookup("lion").bind(), k=5)
    found = program(rule)
    numbers = {
        t: found.plans[found.choose(t, hyper(rule))].numbers_per_element for t in range(1, 11)
    }
    assert numbers == {1: 6, 2: 5, 3: 5, 4: 5, 5: 7, 6: 5, 7: 5, 8: 5, 9: 5, 10: 7}


def test_a_state_is_stored_where_fewest_bytes_move() -> None:
    """m is needed after a reduction of itself: stored at once and read back, p not read twice."""

    def update(p: Any, g: Any, s: Any, t: Any, h: Any) -> Any:
        m = 0.9 * s.m + g
        return h.lr * m / norm(m), State(m=m)

    first, second = usual(made(update)).passes
    assert set(first.loads) == {("g", ""), ("state", "m")}
    assert set(first.stores) == {"m"}
    assert set(second.loads) == {("p", ""), ("state", "m")}


def test_a_state_that_is_needed_as_it_was_is_stored_last() -> None:
    def update(p: Any, g: Any, s: Any, t: Any, h: Any) -> Any:
        return h.lr * s.old * norm(g - s.old), State(old=g)

    first, second = usual(made(update)).passes
    assert not first.stores
    assert set(second.stores) == {"old"}


@pytest.mark.parametrize("ndim", [2, 3, 4])
def test_slices_are_rows_where_nothing_smaller_matters(ndim: int) -> None:
    found = usual(wrappers.centralize(registry.lookup("sgd").bind()), ndim)
    assert found.slices_as_rows == (ndim > 2)
    assert not found.flat
    assert len(found.passes) == 2


def test_kinds_of_states_are_found() -> None:
    def update(p: Any, g: Any, s: Any, t: Any, h: Any) -> Any:
        R = 0.9 * s.R + total(g * g, per="row")
        C = 0.9 * s.C + mean(g, per="column")
        S = s.S + mean(g, per="slice")
        T = s.T + norm(R)
        E = s.E + R * C
        n = s.n + 1
        return h.lr * g, State(R=R, C=C, S=S, T=T, E=E, n=n)

    rule = made(update)
    assert trace(rule, hyper(rule), 3).states == {
        "R": Kind.ROW, "C": Kind.COLUMN, "S": Kind.SLICE, "T": Kind.TENSOR, "E": Kind.ELEMENT,
        "n": Kind.TENSOR,
    }  # fmt: skip


def test_rank_matters_only_where_the_rule_looks() -> None:
    programs = Programs(registry.lookup("adamw").bind())
    values = hyper(programs.rule)
    assert programs.get(values, 1) is programs.get(values, 4)
    programs = Programs(registry.lookup("adafactor").bind())
    values = hyper(programs.rule)
    assert programs.get(values, 1) is not programs.get(values, 2)


def test_numbers_may_change_and_choices_make_another_program() -> None:
    programs = Programs(registry.lookup("adamw").bind())
    values = hyper(programs.rule)
    first = programs.get(values, 2)
    assert programs.get({**values, "lr": 7.0, "betas": [0.1, 0.2]}, 2) is first
    assert programs.get({**values, "decay": "l2"}, 2) is not first


def test_structure() -> None:
    values = {"lr": 0.1, "k": 5, "betas": (0.9, 0.99), "eps": (None, 1e-3), "amsgrad": True,
              "variant": "torch"}  # fmt: skip
    assert structure(values) == (
        ("lr", "#"), ("k", "#"), ("betas", ("#", "#")), ("eps", (None, "#")), ("amsgrad", True),
        ("variant", "torch"),
    )  # fmt: skip


def test_every_path_through_host_conditions_is_found() -> None:
    def update(p: Any, g: Any, s: Any, t: Any, h: Any) -> Any:
        if t % h.k == 0 and h.lr > 1:
            return g, State()
        step = g * 2 if t == 3 else g * 3
        return where(t > 5, step, step + 1), State()

    rule = made(update, k=2)
    found = trace(rule, hyper(rule), 2)
    assert len(found.leaves) == 1 + 2 * 4  # both; else (k fails, or lr does) x (t == 3) x (t > 5)
    choose = chooser(found)
    for t in range(1, 12):
        for lr in (0.5, 2.0):
            values = hyper(rule, lr=lr)
            leaf = found.leaves[choose(t, values, ())]
            facts = {"mod": t % 2 == 0, "lr": lr > 1, "eq": t == 3, "gt": t > 5}
            for condition, answer in leaf.path:
                if condition.op == "eq":
                    key = "mod" if condition.args[0].op == "mod" else "eq"
                else:
                    key = "lr" if condition.args[0].op == "hyper" else "gt"
                assert facts[key] is answer


def test_host_numbers_are_computed_in_float64() -> None:
    rule = registry.lookup("adam").bind(0.3, betas=(0.9, 0.999))
    found = program(rule)
    (leaf,) = found.trace.leaves
    hosts = found.plans[0].hosts
    values = dict(zip(hosts, calculator("", hosts)(7, hyper(rule)), strict=True))
    assert leaf.path == ()
    assert 1 - 0.9 in values.values()
    assert 1 / (1 - 0.999**7) in values.values()
    assert any(abs(x - 0.3 / (1 - 0.9**7)) < 1e-15 for x in values.values())


def test_too_many_paths() -> None:
    def update(p: Any, g: Any, s: Any, t: Any, h: Any) -> Any:
        step = g
        for i in range(9):
            step = step + (1 if t > i else 2)
        return step, State()

    rule = made(update)
    with pytest.raises(RuleError, match="more than 256 paths"):
        trace(rule, hyper(rule), 2)


def test_rules_are_pure() -> None:
    kept: list[Any] = []

    def update(p: Any, g: Any, s: Any, t: Any, h: Any) -> Any:
        kept.append(g)
        return kept[0] * h.lr, State(m=s.m + g)  # the second run meets the first one's gradient

    rule = made(update)
    with pytest.raises(RuleError, match="pure"):
        trace(rule, hyper(rule), 2)


def test_equal_expressions_are_computed_once() -> None:
    def update(p: Any, g: Any, s: Any, t: Any, h: Any) -> Any:
        return h.lr * (rms(g) + rms(g) * sqrt(g * g)) / norm(g), State()

    found = usual(made(update))
    assert [node.op for work in found.passes for node in work.sums] == ["sumsq"]


@pytest.mark.parametrize("name", [row.name for row in registry.compiled()])
def test_every_plan_computes_what_it_stores(name: str) -> None:
    """In each pass every value comes from arrays that the pass reads and none that it lacks."""
    entry = registry.lookup(name)
    for variant in entry.variants or [None]:
        rule = entry.bind(**({} if variant is None else {"variant": variant}))
        for ndim in (0, 1, 2, 4):
            found = program(rule, ndim)
            for leaf in found.trace.leaves:
                states: Mapping[str, Kind] = found.states
                work = plan(leaf, states)
                written: set[str] = set()
                for each in work.passes:
                    assert len(set(each.loads)) == len(each.loads)
                    written |= set(each.stores)
                (moved,) = simplify([leaf.param], slices_as_rows=False)
                stays = moved.op == "p"  # a step of 0
                assert (work.passes[-1].param is None) is stays
                assert written == {k for k in leaf.state if states[k] is Kind.ELEMENT}
