"""The printed mathematics is what runs: each definition is read, performed and compared."""

from __future__ import annotations

import unicodedata
from typing import Any

import hypothesis
import pytest
import torch

from glissade import registry, rules, wrappers
from glissade.backend import eager
from glissade.backend.member import state_shape
from glissade.notation import TEXT
from glissade.render import full, mathematics
from glissade.rule import Rule, RuleError, State, clip, norm, sign, where
from glissade.statements import Names
from glissade.trace import trace
from tests.reader import perform


def _rules() -> dict[str, Rule]:
    found = {}
    for entry in registry.ROWS:
        bound = entry.bind()
        if bound.matrix:
            continue  # it has no trace
        options: list[dict[str, Any]] = [{}]
        if entry.variants:
            options = [{"variant": v} for v in entry.variants]
        for option in list(options):
            options += [option | {"decay": d} for d in bound.choices.get("decay", ())]
        for option in options:
            words = "-".join([entry.name, *option.values()])
            given = {"weight_decay": 0.1} if "weight_decay" in bound.hyper else {}
            found[words] = entry.bind(0.05, **given, **option)
    nest = wrappers.lookahead(rules.adamw(0.1, decay="independent"), k=1)
    return found | {
        "amsgrad": rules.adam(0.1, amsgrad=True),
        "amsgrad-keras": rules.adamw(0.1, amsgrad=True, variant="keras"),
        "sgd-dampening": rules.sgd(0.1, momentum=0.9, dampening=0.5),
        "sgd-ema-nesterov": rules.sgd(0.1, momentum=0.9, nesterov=True, variant="ema"),
        "sgd-paper-nesterov": rules.sgd(0.1, momentum=0.9, nesterov=True, variant="paper"),
        "rmsprop": rules.rmsprop(0.1, momentum=0.9, centered=True, init="first_gradient"),
        "rmsprop-keras": rules.rmsprop(0.1, momentum=0.9, variant="keras"),
        "lamb-clip": rules.lamb(0.1, phi_bounds=(0.0, 0.5), bias_correction=False),
        "nest": nest,
        "deep": wrappers.centralize(wrappers.layerwise(nest, phi_bounds=(0.1, 1.0))),
        "layerwise-adafactor": wrappers.layerwise(rules.adafactor(0.1)),
        "lookahead-rmsprop": wrappers.lookahead(rules.rmsprop(0.1, init="first_gradient"), k=3),
    }


RULES = _rules()


@pytest.mark.parametrize("which", RULES)
def test_says_what_runs(which: str) -> None:
    rule = RULES[which]
    ranks = (0, 1, 2, 3) if trace(rule, full(rule), 2).rank_matters else (2,)
    for ndim in ranks:
        check(rule, ndim)


def check(rule: Rule, ndim: int, steps: int = 8) -> None:
    """Perform the printed lines beside the rule, step by step."""
    torch.manual_seed(ndim)
    shown = mathematics(rule, ndim)
    hyper = full(rule)
    hyper["base_lr"] *= 2  # told apart from lr
    traced = trace(rule, hyper, ndim)
    names = Names(trace(rule, hyper, ndim, names=True))

    def symbol(word: str) -> str:
        return unicodedata.normalize("NFC", TEXT.spell(word))

    numbers: dict[str, Any] = {}
    for (key, *index), word in names.hyper.items():
        numbers[symbol(word)] = hyper[key][index[0]] if index else hyper[key]
    p = torch.randn((2, 3, 4)[3 - ndim :], dtype=torch.float64)
    state = {k: p.new_zeros(state_shape(kind, p.shape)) for k, kind in traced.states.items()}
    for t in range(1, steps + 1):
        g = torch.randn_like(p) + p
        values = {"t": t, "p": p, "g": g, **numbers}
        values |= {symbol(names.states[k]): x for k, x in state.items()}
        values |= {symbol(names.states[k] + "@"): x for k, x in state.items()}
        values[symbol("p@")] = p
        perform(shown.lines, values)
        out = eager.step(rule, p, g, state if t > 1 else {}, t, hyper, state.__getitem__)
        new_p, new = out.param, out.states
        p = new_p.broadcast_to(p.shape).clone()
        state |= new
        for word, x in [("p", p), *((symbol(names.states[k]), x) for k, x in state.items())]:
            got = torch.as_tensor(values[word], dtype=x.dtype).broadcast_to(x.shape)
            torch.testing.assert_close(got, x, rtol=1e-11, atol=1e-13, equal_nan=True)


# Rules of authors who name things as they like


def _old_state_late(p: Any, g: Any, s: Any, t: Any, h: Any) -> tuple[Any, State]:
    m = h.beta * s.m + g
    return h.lr * (m - s.m), State(m=m)


def _unnamed(p: Any, g: Any, s: Any, t: Any, h: Any) -> tuple[Any, State]:
    return h.lr * sign(h.beta * s.m + g), State(m=h.beta * s.m + g * g, n=s.m)


def _reused(p: Any, grad: Any, s: Any, t: Any, hyper: Any) -> tuple[Any, State]:
    x = grad * 2
    first = x
    x = clip(x, -hyper.beta, hyper.beta)
    m = x + s.m
    m = m / 2
    old = m
    m = m + first
    return hyper.lr * m * old, State(m=m)


def _gradient_again(p: Any, g: Any, s: Any, t: Any, h: Any) -> tuple[Any, State]:
    raw = g
    g = g / (norm(g) + 1)
    p_new = p - g
    step = where((g * raw > 0) | (p_new == 0), g, -0.5 * raw)
    return h.lr * step**2 * -g, State()


def _after(p: Any, s: Any, t: Any, h: Any) -> tuple[Any, State]:
    mean = h.beta * s.mean + (1 - h.beta) * p
    p = clip(p, -1.0, h.beta)
    return p, State(mean=mean, last=p)


def _helper(x: Any) -> Any:
    return where(x > 0, x, 0.1 * x)


def _two_choices(p: Any, g: Any, s: Any, t: Any, h: Any) -> tuple[Any, State]:
    return _helper(g) + _helper(p) ** 3 + 2**g, State()


def _three(p: Any, g: Any, s: Any, t: Any, h: Any) -> tuple[Any, State]:
    a = g / (h.lr / 2) / 3 - (p - (g - 1)) - -g
    if t > 3 and not h.beta > 0.5:
        a = a * -1
    elif t % 2 == 0:
        a = a / (2 * (p * p))
    if t**2 > 20 or h.lr > 1:
        b = (a * a) ** 2 * a
    else:
        b = abs(a) ** (h.beta - 1.5)
    return b, State(b=b)


OWN = {
    "old state late": Rule(_old_state_late, {"lr": 0.1, "beta": 0.9}),
    "unnamed": Rule(_unnamed, {"lr": 0.1, "beta": 0.9}),
    "reused": Rule(_reused, {"lr": 0.1, "beta": 0.9}),
    "gradient again": Rule(_gradient_again, {"lr": 0.1, "weight_decay": 0.1}, decays=False),
    "after": Rule(rules.adam().update, {**rules.adam().hyper, "beta": 0.5}, after=_after),
    "two choices": Rule(_two_choices, {"lr": 0.1}),
    "three": Rule(_three, {"lr": 0.1, "beta": 0.4}),
    "lambda": Rule(lambda p, g, s, t, h: (h.lr * g, State()), {"lr": 0.1}, name="plain"),
}


@pytest.mark.parametrize("ndim", [0, 2])
@pytest.mark.parametrize("which", OWN)
def test_own_rules(which: str, ndim: int) -> None:
    check(OWN[which], ndim)
    check(wrappers.lookahead(wrappers.centralize(OWN[which]), k=2), ndim)


def test_old_state() -> None:
    assert mathematics(OWN["old state late"]).lines == (
        "m ← β·m + g",
        "step = lr·(m − mₜ₋₁)",
        "p ← p − step",
    )


@pytest.mark.parametrize("which", [*RULES, *OWN])
def test_no_raw_nodes(which: str) -> None:
    """Nothing of the graph's own vocabulary gets into the text."""
    text = str(mathematics({**RULES, **OWN}[which]))
    for word in ("hyper", "state:", "sumsq", "const", "count", "machine_eps", "None", "Expr"):
        assert word not in text


def test_random_rules() -> None:
    """Rules that nobody would write, some with names that mean two things."""
    drawn = pytest.importorskip("tests.random_rules")

    @hypothesis.settings(max_examples=40, suppress_health_check=list(hypothesis.HealthCheck))
    @hypothesis.given(drawn.programs())
    def says_what_runs(program: Any) -> None:
        watch = drawn.Watch()
        rule = drawn.rule_of(program, watch)
        for ndim in (1, 2):
            try:
                trace(rule, full(rule), ndim)
            except RuleError:
                return
            try:
                check(rule, ndim, steps=4)
            except AssertionError:
                if watch.largest < 1e6 and watch.nearest > 1e-6:  # no jump, no overflow
                    raise

    says_what_runs()


def test_set_back_by_after() -> None:
    """A state that the update changes and `after` restores."""

    def update(p: Any, g: Any, s: Any, t: Any, h: Any) -> tuple[Any, State]:
        return h.lr * g, State(m=s.m + g, n=s.m)

    def after(p: Any, s: Any, t: Any, h: Any) -> tuple[Any, State]:
        return p + s.m, State(m=s.n) if t % 2 == 0 else State()

    rule = Rule(update, {"lr": 0.1}, after)
    check(rule, 2)
    assert mathematics(rule).lines[-2:] == ("if t mod 2 = 0:", "    m ← n")


def test_condition_on_what_a_state_holds() -> None:
    """A condition is about hyperparameters, whichever state is given their value."""

    def update(p: Any, g: Any, s: Any, t: Any, h: Any) -> tuple[Any, State]:
        m = g if h.momentum == 0 else h.momentum * s.m + g
        return h.lr * m, State(m=m, momentum=h.momentum)

    rule = Rule(update, {"lr": 0.1, "momentum": 0.5})
    check(rule, 2)
    assert "if h_momentum = 0:" in mathematics(rule).lines
