"""How expressions and names are written."""

from __future__ import annotations

import pytest

from glissade.notation import TEXT, Expr, name, tidy, unify


def _number(x: float) -> Expr:
    return Expr("number", value=x)


A, B, C = name("a"), name("b"), name("c")


@pytest.mark.parametrize(
    ("e", "text"),
    [
        (Expr("sub", (A, Expr("sub", (B, C)))), "a − (b − c)"),
        (Expr("add", (A, Expr("neg", (B,)))), "a − b"),
        (Expr("sub", (A, Expr("neg", (B,)))), "a − (−b)"),
        (Expr("div", (A, Expr("mul", (B, C)))), "a / (b·c)"),
        (Expr("div", (Expr("div", (A, B)), C)), "(a / b) / c"),
        (Expr("mul", (Expr("div", (A, B)), C)), "(a / b)·c"),
        (Expr("mul", (A, Expr("mul", (A, A)))), "a³"),
        (Expr("pow", (Expr("mul", (A, A)), _number(2))), "(a²)²"),
        (Expr("pow", (A, Expr("sub", (name("t"), _number(1))))), "aᵗ⁻¹"),
        (Expr("pow", (A, Expr("mul", (B, C)))), "a^(b·c)"),
        (Expr("pow", (A, _number(-0.8))), "a^(−0.8)"),
        (Expr("sqrt", (Expr("mul", (A, A)),)), "√(a²)"),
        (Expr("mul", (_number(1.0), A)), "a"),
        (Expr("mul", (_number(-0.5), A)), "−0.5·a"),
        (Expr("mul", (_number(-1), Expr("mul", (A, B)))), "−a·b"),
        (Expr("add", (_number(0.0), A)), "a"),
        (_number(1e-8), "10⁻⁸"),
        (_number(-2.5e-10), "−2.5·10⁻¹⁰"),
        (_number(float("inf")), "∞"),
        (_number(True), "true"),
        (Expr("abs", (Expr("add", (A, B)),)), "|a + b|"),
        (Expr("not", (Expr("and", (A, B)),)), "not (a and b)"),
        (Expr("norm", (A,), "row"), "‖a‖_row"),
        (Expr("norm", (Expr("norm", (A,)),), "row"), "norm_row(‖a‖)"),
        (Expr("sumsq", (A,)), "Σ(a²)"),
        (Expr("sqrt", (Expr("sumsq", (A,), "row"),)), "‖a‖_row"),
        (Expr("sqrt", (Expr("div", (Expr("sumsq", (A,)), Expr("count"))),)), "RMS(a)"),
        (Expr("all", (Expr("sumsq", (A,)),)), "Σ_all(a²)"),
        (Expr("all", (Expr("count"),)), "count_all"),
        (Expr("maximum", (A, Expr("abs", (Expr("abs", (B,)),)))), "max(a, abs(|b|))"),
        (_number(float("-inf")), "−∞"),
        (Expr("isfinite", (A,)), "a is finite"),
    ],
)
def test_notation(e: Expr, text: str) -> None:
    assert TEXT.write(e) == text
    assert tidy(tidy(e)) == tidy(e)


@pytest.mark.parametrize(
    ("word", "spelled"),
    [
        ("beta1", "β₁"), ("m_hat", "m̂"), ("rho_inf", "ρ∞"), ("v_max", "vₘₐₓ"), ("lr_t", "lrₜ"),
        ("weight_decay", "λ"), ("eps1", "ε₁"), ("trust", "trust"), ("p_norm", "p_norm"),
        ("v'", "v′"), ("m_hat''", "m̂″"), ("m@", "mₜ₋₁"), ("lookahead_alpha", "lookahead_alpha"),
        ("p_norm@", "p_normₜ₋₁"), ("eta_mean", "η̄"), ("momentum", "μ"),
        ("beta1_decay", "beta1_decay"),
    ],
)  # fmt: skip
def test_spelling(word: str, spelled: str) -> None:
    assert TEXT.spell(word) == spelled


def test_unify() -> None:
    """Expressions that differ in names only are one, if those can stand for the same value."""
    a, b = Expr("neg", (name("g", "v"),)), Expr("neg", (name("v"),))
    assert unify(a, b) == b
    assert unify(a, Expr("neg", (name("m"),))) is None
    assert unify(_number(1), _number(1.0)) is None
    assert unify(Expr("sum", (A,), "row"), Expr("sum", (A,), "column")) is None
    assert unify(Expr("add", (A, B)), Expr("add", (A, B))) == Expr("add", (A, B))
