"""Bounds on regret, as functions of a run's own gradients and rates: no worst-case constants.

Each takes the gradients g (rounds, dim), the learner's settings and the sizes of the set, and gives
the bound at each of the horizons `at`. D is the Euclidean diameter of the set, sup its largest
difference in one coordinate (D∞). All need convex losses, a set that the projections stay in, and
the projection in the norm that the analysis takes; `bounds.bound` checks what a run has of this.

ε of the library's rules is in the preconditioner (s = √G + ε), where the papers have δ or nothing.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from .sets import Array


def _ends(at: Sequence[int]) -> NDArray[np.int64]:
    return np.array(at) - 1


def norms(g: Array, at: Sequence[int]) -> Array:
    """‖g_{1:T,i}‖₂ for each horizon T and coordinate i: (horizons, dim)."""
    found: Array = np.sqrt(np.cumsum(g * g, axis=0)[_ends(at)])
    return found


def trace_root(g: Array, at: Sequence[int]) -> Array:
    """tr(G_T^½), G_T = Σ g gᵀ, for each horizon."""
    G, last, found = np.zeros((g.shape[1], g.shape[1])), 0, []
    for T in at:
        G, last = G + g[last:T].T @ g[last:T], T
        found.append(np.sqrt(np.maximum(np.linalg.eigvalsh(G), 0)).sum())
    return np.array(found)


def gradient_descent(g: Array, rates: Array, D: float, at: Sequence[int]) -> Array:
    """Projected gradient descent with rates α_t that never grow.

    ``D²/(2α_T) + ½ Σ α_t‖g_t‖²``; with α_t = D/(G√t) it is at most 3/2·D·G·√T.

    Source: Zinkevich 2003, Theorem 1, before the gradients are bounded by the largest.
    """
    spent = np.cumsum(rates * (g * g).sum(1))[_ends(at)]
    found: Array = D * D / (2 * rates[_ends(at)]) + spent / 2
    return found


def adagrad(
    g: Array, lr: float, sup: float, at: Sequence[int], start: float = 0.0, eps: float = 0.0,
    inside: bool = False,
) -> Array:  # fmt: skip
    """AdaGrad with diagonal matrices, by mirror descent.

    ``D∞²/(2·lr)·Σᵢ s_{T,i} + lr·Σᵢ ‖g_{1:T,i}‖₂`` with s the diagonal of the preconditioner; in
    the paper, without ε, both sums are the same, and lr = D∞/√2 gives √2·D∞·Σᵢ ‖g_{1:T,i}‖₂.

    Source: Duchi, Hazan & Singer 2011, Theorem 5 (composite mirror descent).
    """
    sizes = norms(g, at)
    G = start + sizes**2
    s = np.sqrt(G + eps) if inside else np.sqrt(G) + eps
    found: Array = sup * sup / (2 * lr) * s.sum(1) + lr * sizes.sum(1)
    return found


def adagrad_full(g: Array, lr: float, delta: float, D: float, at: Sequence[int]) -> Array:
    """AdaGrad with full matrices, by mirror descent: H = δI + G^½.

    ``D²/(2·lr)·(δ + tr G_T^½) + lr·tr G_T^½``.

    Source: Duchi, Hazan & Singer 2011, Theorem 7 (composite mirror descent, there with δ = 0).
    """
    # The proof needs λ_max(H_t - H_{t-1}) <= tr(H_t - H_{t-1}), which sums to tr G_T^½; the first
    # round pays λ_max(H_1) <= δ + tr G_1^½. So δ counts once, not once for each dimension.
    trace = trace_root(g, at)
    found: Array = D * D / (2 * lr) * (delta + trace) + lr * trace
    return found


def adagrad_dual(g: Array, lr: float, delta: float, moves: Array, at: Sequence[int]) -> Array:
    """AdaGrad with full matrices, by dual averaging; moves (horizons, dim) are x* - x_1.

    ``δ/lr·‖x*‖₂² + 1/lr·‖x*‖₂²·tr G_T^½ + lr·tr G_T^½`` for δ of at least the largest ‖g_t‖₂.

    Source: Duchi, Hazan & Singer 2011, Theorem 7 (primal-dual); distances from x_1, where the
    library's prox term has its least value.
    """
    far, trace = (moves**2).sum(1), trace_root(g, at)
    found: Array = far / lr * (delta + trace) + lr * trace
    return found


def dual_averaging(g: Array, lr: float, delta: float, moves: Array, at: Sequence[int]) -> Array:
    """AdaGrad with diagonal matrices, by dual averaging; moves (horizons, dim) are x* - x_1.

    ``δ/lr·‖x*‖₂² + 1/lr·‖x*‖∞²·Σᵢ ‖g_{1:T,i}‖₂ + lr·Σᵢ ‖g_{1:T,i}‖₂`` for δ of at least the
    largest ‖g_t‖∞.

    Source: Duchi, Hazan & Singer 2011, Theorem 5 (primal-dual); distances from x_1.
    """
    sizes = norms(g, at).sum(1)
    far = (moves**2).sum(1), (moves**2).max(1)
    found: Array = (delta * far[0] + far[1] * sizes) / lr + lr * sizes
    return found


def second_moments(g: Array, beta2: float) -> Array:
    """v_t = β2·v_{t-1} + (1-β2)·g_t², v_0 = 0: (rounds, dim)."""
    v = np.empty_like(g)
    last = np.zeros(g.shape[1])
    for t, square in enumerate((1 - beta2) * g * g):
        last = v[t] = beta2 * last + square
    return v


def adam_as_printed(
    g: Array, lr: float, betas: tuple[float, float], lam: float, D: float, sup: float,
    at: Sequence[int],
) -> Array:  # fmt: skip
    """What was printed of Adam with α_t = lr/√t and β1·λ^(t-1). **Refuted**: it is no bound.

    ``D²/(2·lr·(1-β1))·Σᵢ √(T·v̂_{T,i})
    + lr·(1+β1)·G∞/((1-β1)·√(1-β2)·(1-γ)²)·Σᵢ ‖g_{1:T,i}‖₂
    + Σᵢ D∞²·G∞·√(1-β2)/(2·lr·(1-β1)·(1-λ)²)``, γ = β1²/√β2 < 1,

    v̂ corrected for its start, G∞ the largest |g|. The last term comes from β1 and is left out where
    β1 = 0. Reddi, Kale & Kumar 2018 (Theorem 1) give losses on which Adam's regret grows like T.

    Source: Kingma & Ba 2015, Theorem 4.1.
    """
    beta1, beta2 = betas
    gamma = beta1**2 / math.sqrt(beta2)
    T = np.array(at)
    v_hat = second_moments(g, beta2)[_ends(at)] / (1 - beta2 ** T[:, None])
    steep = np.maximum.accumulate(np.abs(g).max(1))[_ends(at)]
    first = D * D / (2 * lr * (1 - beta1)) * np.sqrt(T[:, None] * v_hat).sum(1)
    second = lr * (1 + beta1) * steep / ((1 - beta1) * math.sqrt(1 - beta2) * (1 - gamma) ** 2)
    found: Array = first + second * norms(g, at).sum(1)
    if beta1 > 0:
        last = sup * sup * math.sqrt(1 - beta2) / (2 * lr * (1 - beta1) * (1 - lam) ** 2)
        found = found + g.shape[1] * last * steep
    return found


def amsgrad(
    g: Array, lr: float, beta1: Array, beta2: float, sup: float, at: Sequence[int],
    eps: float = 0.0, inside: bool = False,
) -> Array:  # fmt: skip
    """AMSGrad with α_t = lr/√t, and β_{1t} (rounds,) that never grows.

    ``D∞²·√T/(lr·(1-β1))·Σᵢ s_{T,i} + D∞²/(2(1-β1))·Σ_t Σᵢ β_{1t}·s_{t,i}/α_t
    + lr·√(1+log T)/((1-β1)²·(1-γ)·√(1-β2))·Σᵢ ‖g_{1:T,i}‖₂``, γ = β1/√β2 < 1, β1 = β_{11},

    with s_t = √v̂_t + ε. (Some copies print the middle term with 1/(1-β1)², which is more.)

    Source: Reddi, Kale & Kumar 2018, Theorem 4; `amsgrad_run` has the proof.
    """
    T, first = np.array(at), float(beta1[0])
    gamma = first / math.sqrt(beta2)
    s = _peaks(g, beta2, eps, inside).sum(1)
    roots = np.sqrt(np.arange(1, len(g) + 1))
    decayed = np.cumsum(beta1 * s * roots / lr)[_ends(at)]
    last = lr * np.sqrt(1 + np.log(T)) / ((1 - first) ** 2 * (1 - gamma) * math.sqrt(1 - beta2))
    found: Array = (
        sup * sup * np.sqrt(T) / (lr * (1 - first)) * s[_ends(at)]
        + sup * sup / (2 * (1 - first)) * decayed
        + last * norms(g, at).sum(1)
    )
    return found


def amsgrad_run(
    g: Array, rates: Array, beta1: Array, beta2: float, sup: float, at: Sequence[int],
    eps: float = 0.0, inside: bool = False,
) -> Array:  # fmt: skip
    """AMSGrad with rates α_t and β_{1t} that never grow: Theorem 4's proof, before its Lemma 2.

    ``D∞²/(2(1-β1))·Σᵢ s_{T,i}/α_T + D∞²/2·Σ_t Σᵢ β_{1t}/(1-β_{1t})·s_{t,i}/α_t
    + Σ_t α_t/(2(1-β_{1t}))·Σᵢ (m_{t,i}² + β_{1t}·m_{t-1,i}²)/s_{t,i}``, at most `amsgrad` where
    that holds, and without its constants, which are large for a long memory.
    """
    # The projection in the norm of s_t draws no point farther from x*, and m_t = β_{1t}m_{t-1} +
    # (1-β_{1t})g_t; with Young's inequality for m_{t-1} each round has
    #   ⟨g_t, x_t-x*⟩ <= [‖x_t-x*‖²_s - ‖x_{t+1}-x*‖²_s] / (2α_t(1-β_{1t}))
    #     + α_t/(2(1-β_{1t}))·(‖m_t‖²_{1/s} + β_{1t}‖m_{t-1}‖²_{1/s})
    #     + β_{1t}/(2α_t(1-β_{1t}))·‖x_t-x*‖²_s.
    # In the first sum 1/(1-β_{1t}) falls while s_t/α_t grows (the paper puts β1 there without a
    # word, as Tran & Phong 2019 note): what each difference has over 0 is at most
    # (s_t/α_t - s_{t-1}/α_{t-1})/(1-β1), and these add up to s_T/(α_T(1-β1)).
    s = _peaks(g, beta2, eps, inside)
    m, last = np.empty_like(g), np.zeros(g.shape[1])
    for t, beta in enumerate(beta1.tolist()):
        last = m[t] = beta * last + (1 - beta) * g[t]
    before = np.vstack([np.zeros(g.shape[1]), m[:-1]])
    moved = (m * m + beta1[:, None] * before * before) / np.where(s > 0, s, np.inf)
    spent = np.cumsum(rates / (2 * (1 - beta1)) * moved.sum(1))
    weighed = np.cumsum(beta1 / (1 - beta1) * s.sum(1) / rates)
    ends = _ends(at)
    found: Array = (
        sup * sup / (2 * (1 - beta1[0])) * s[ends].sum(1) / rates[ends]
        + sup * sup / 2 * weighed[ends]
        + spent[ends]
    )
    return found


def _peaks(g: Array, beta2: float, eps: float, inside: bool) -> Array:
    """s_t: the diagonal of AMSGrad's preconditioner (rounds, dim)."""
    peaks = np.maximum.accumulate(second_moments(g, beta2), axis=0)
    return np.sqrt(peaks + eps) if inside else np.sqrt(peaks) + eps


def exponentiated(g: Array, rates: Array, at: Sequence[int]) -> Array:
    """Entropic mirror descent on the simplex from its centre, lazy, with rates that never grow.

    ``log d/α_T + ½ Σ α_t‖g_t‖∞²``.

    Source: Orabona 2019, arXiv:1912.13213, follow-the-regularized-leader with a growing
    regularizer; the entropy is 1-strongly convex in ‖·‖₁, and at most log d above its least.
    """
    spent = np.cumsum(rates * np.abs(g).max(1) ** 2)[_ends(at)]
    found: Array = math.log(g.shape[1]) / rates[_ends(at)] + spent / 2
    return found
