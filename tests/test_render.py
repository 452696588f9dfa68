"""The printed mathematics, as a person would write it."""

from __future__ import annotations

import sys

import pytest

from glissade import rules, wrappers
from glissade.graph import Kind
from glissade.render import conditions, full, mathematics
from glissade.trace import trace

GOLDEN = {
    "adam": (
        rules.adam(),
        """
        g ← g + λ·p
        m ← β₁·m + (1 − β₁)·g
        v ← β₂·v + (1 − β₂)·g²
        m̂ = m / (1 − β₁ᵗ)
        v̂ = v / (1 − β₂ᵗ)
        step = lr·m̂ / (√v̂ + ε)
        p ← p − step
        """,
    ),
    "amsgrad": (  # its source reuses the name v, which is a state's
        rules.adam(amsgrad=True, decay="independent"),
        """
        m ← β₁·m + (1 − β₁)·g
        v ← β₂·v + (1 − β₂)·g²
        m̂ = m / (1 − β₁ᵗ)
        vₘₐₓ ← max(vₘₐₓ, v)
        v̂ = vₘₐₓ / (1 − β₂ᵗ)
        step = lr·m̂ / (√v̂ + ε) + (lr / lr₀)·λ·p
        p ← p − step
        """,
    ),
    "nesterov": (
        rules.sgd(momentum=0.9, nesterov=True),
        """
        g ← g + λ·p
        if μ = 0:
            step = lr·g
        otherwise:
            if there is a v:
                v ← μ·v + (1 − dampening)·g
            otherwise:
                v ← g
            step = lr·(g + μ·v)
        p ← p − step
        """,
    ),
    "lion": (
        rules.lion(),
        """
        c = β₁·m + (1 − β₁)·g
        m ← β₂·m + (1 − β₂)·g
        step = lr·sign(c) + lr·λ·p
        p ← p − step
        """,
    ),
    "lamb": (
        rules.lamb(),
        """
        m ← β₁·m + (1 − β₁)·g
        v ← β₂·v + (1 − β₂)·g²
        m̂ = m / (1 − β₁ᵗ)
        v̂ = v / (1 − β₂ᵗ)
        r = m̂ / (√v̂ + ε) + λ·p
        trust = 1 if ‖p‖ = 0 or ‖r‖ = 0 else ‖p‖ / ‖r‖
        step = lr·trust·r
        p ← p − step
        """,
    ),
    "radam": (
        rules.radam(),
        """
        g ← g + λ·p
        m ← β₁·m + (1 − β₁)·g
        v ← β₂·v + (1 − β₂)·g²
        m̂ = m / (1 − β₁ᵗ)
        ρ∞ = 2 / (1 − β₂) − 1
        ρ = ρ∞ − 2·t·β₂ᵗ / (1 − β₂ᵗ)
        if ρ > 5:
            r = √((ρ − 4)·(ρ − 2)·ρ∞ / ((ρ∞ − 4)·(ρ∞ − 2)·ρ))
            step = lr·r·m̂·√(1 − β₂ᵗ) / (√v + ε)
        otherwise:
            step = lr·m̂
        p ← p − step
        """,
    ),
    "lookahead": (
        wrappers.lookahead(rules.adamw(decay="corrected")),
        """
        m ← β₁·m + (1 − β₁)·g
        v ← β₂·v + (1 − β₂)·g²
        m̂ = m / (1 − β₁ᵗ)
        v̂ = v / (1 − β₂ᵗ)
        step = lr·m̂ / (√v̂ + ε)
        if there is no φ yet:
            φ ← p
        step ← step + lr·(lr / lr₀)·λ·p
        p ← p − step
        if t mod k = 0:
            φ ← φ + α·(p − φ)
            p ← φ
        """,
    ),
    "first gradient": (
        wrappers.lookahead(
            wrappers.centralize(rules.rmsprop(centered=True, init="first_gradient"))
        ),
        """
        g ← g + λ·p
        center = mean_slice(g)
        g ← g − center
        if there is a W:
            W ← α·W + (1 − α)·g²
        otherwise:
            W ← g²
        ḡ ← α·ḡ + (1 − α)·g
        power = max(W − ḡ², 0)
        root = √power + ε
        d = g / root
        if μ = 0:
            step = lr·d
        otherwise:
            if there is a v:
                v ← μ·v + d
            otherwise:
                v ← d
            step = lr·v
        if there is no φ yet:
            φ ← p
        p ← p − step
        if t mod k = 0:
            φ ← φ + lookahead_alpha·(p − φ)
            p ← φ
        """,
    ),
    "adafactor": (
        rules.adafactor(),
        """
        β₂ = 1 − t^τ
        ε₁ = machine ε
        R ← β₂·R + (1 − β₂)·mean_row(g²)
        C ← β₂·C + (1 − β₂)·mean_column(g²)
        whole = mean_matrix(R)
        v = R·(C / max(whole, ε₁))
        v ← max(v, ε₁²)
        u = g / √v
        uᵣₘₛ = RMS(u)
        rate = min(lr, 1 / √t)·max(ε₂, RMS(p))
        step = (rate / max(1, uᵣₘₛ / d))·u + lr·λ·p
        p ← p − step
        """,
    ),
    "adafactor, paper": (
        rules.adafactor(variant="paper", weight_decay=0.0, decay="l2"),
        """
        g ← g + λ·p
        β₂ = 1 − t^τ
        g₂ = g² + 10⁻³⁰
        R ← β₂·R + (1 − β₂)·Σ_row(g₂)
        C ← β₂·C + (1 − β₂)·Σ_column(g₂)
        whole = Σ_matrix(R)
        v = R·(C / whole)
        u = g / √v
        uᵣₘₛ = RMS(u)
        rate = min(lr, 1 / √t)·max(ε₂, RMS(p))
        step = (rate / max(1, uᵣₘₛ / d))·u
        p ← p − step
        """,
    ),
}


@pytest.mark.parametrize("case", GOLDEN)
def test_golden(case: str) -> None:
    rule, expected = GOLDEN[case]
    assert str(mathematics(rule)).splitlines() == [
        line[8:] for line in expected.splitlines() if line.strip()
    ]


def test_vectors() -> None:
    """Where the rank matters the mathematics is that of the rank asked for."""
    lines = mathematics(rules.adafactor(), 1).lines
    assert lines[2] == "v ← β₂·v + (1 − β₂)·g²"
    assert lines[3] == "v′ = max(v, ε₁²)"  # not the state


def test_given() -> None:
    """Conditions on what is given are decided, not written."""
    rule = rules.sgd(momentum=0.9)
    assert "if μ = 0:" in mathematics(rule).lines
    assert mathematics(rule, given={"momentum": 0.9}).lines[1] == "if there is a v:"
    assert mathematics(rule, given={"momentum": 0}).lines[1] == "step = lr·g"


def test_symbols() -> None:
    shown = mathematics(wrappers.lookahead(rules.adam()))
    assert shown.hyper["betas"] == ("β₁", "β₂")
    assert shown.hyper["lookahead_k"] == ("k",)
    assert shown.states == {"m": "m", "v": "v", "lookahead_slow": "φ"}


def test_conditions() -> None:
    rule = rules.ranger()
    found = conditions(trace(rule, full(rule), 2, names=True))
    assert found[0] == "ρ > 4 and there is a φ and t mod k = 0"
    assert found[-1] == "ρ ≤ 4 and there is no φ yet and t mod k ≠ 0"
    rule = rules.adam()
    assert conditions(trace(rule, full(rule), 2, names=True)) == ("always",)


def test_names_change_nothing_else() -> None:
    before = sys.gettrace()
    rule = rules.adam()
    plain, named = trace(rule, full(rule), 2), trace(rule, full(rule), 2, names=True)
    assert sys.gettrace() is before
    assert repr(plain.leaves[0].param) == repr(named.leaves[0].param)
    assert plain.leaves[0].names == ()
    assert named.leaves[0].names
    assert plain.states == named.states == {"m": Kind.ELEMENT, "v": Kind.ELEMENT}
