"""Errors that shipped elsewhere, planted here: an oracle finds each of them."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import pytest

import glissade
from glissade import Rule
from tests.oracles.transcriptions import make
from tests.test_oracle_parity import EACH, LR, compare, shapes_of

RULES = Path(glissade.__file__).parent / "rules"
# The rule, what stands there, what was planted, the hyperparameters.
MUTATIONS: list[tuple[str, str, str, dict[str, Any]]] = [
    ("adam", "m_hat = m / (1 - beta1**t)", "m_hat = m", {}),  # a dropped bias correction
    ("adam", "v_hat = v / (1 - beta2**t)", "v_hat = v", {}),
    ("adam", "m_hat / (sqrt(v_hat) + h.eps)", "m_hat / sqrt(v_hat + h.eps)", {}),  # eps inside
    ("adafactor", "maximum(1.0, u_rms / h.d)", "minimum(1.0, u_rms / h.d)", {}),  # inverted clip
    ("adafactor", "u_rms = rms(u)", "u_rms = mean(u * u)", {"d": 0.5}),
    ("lion", "m = beta2 * s.m + (1 - beta2) * g", "m = c", {}),  # one beta for both
    ("radam", "rho_inf - 2 * t *", "rho_inf - t *", {"betas": (0.8, 0.9)}),
    ("adabelief", "(g - m) * (g - m)", "(g - s.m) * (g - s.m)", {}),
    ("diffgrad", "exp(-abs(s.previous - g))", "exp(abs(s.previous - g))", {}),
    ("signum", "h.momentum * s.m", "s.m", {"momentum": 0.5, "weight_decay": 0.1}),
]


def bound(name: str, old: str, new: str, hyper: dict[str, Any]) -> Rule:
    """The rule with `old` replaced in its source."""
    source = (RULES / f"{name}.py").read_text()
    assert source.count(old) == 1, f"{name}.py has {source.count(old)} times {old!r}"
    module = importlib.import_module(f"glissade.rules.{name}")
    scope = {"__name__": module.__name__, "__package__": module.__package__}
    exec(compile(source.replace(old, new), f"<{name}, mutated>", "exec"), scope)
    rule = scope[name](LR, **hyper)  # type: ignore[operator]
    assert isinstance(rule, Rule)
    return rule


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda m: f"{m[0]}: {m[2]}")
def test_a_planted_error_is_found(mutation: tuple[str, str, str, dict[str, Any]]) -> None:
    name, old, new, hyper = mutation

    def oracle() -> Any:
        return make(name, shapes_of(EACH), lr=LR, **hyper)

    compare(bound(name, old, old, hyper), oracle(), EACH)  # without the error nothing is found
    with pytest.raises(AssertionError, match="Not equal to tolerance"):
        compare(bound(name, old, new, hyper), oracle(), EACH)
