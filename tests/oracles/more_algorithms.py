"""The update rules of the second release, transcribed from shared/definitions.md and their papers.

As in `algorithms`. Beside what is said there, `h.lr0` is the initial learning rate and
`h.curvature` the estimate that was fed in with this step's gradient, or None.
"""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any

import numpy as np

from .algorithms import Array, State, norm, only, rule, trust


def moments(g: Array, s: State, beta1: float, beta2: float) -> tuple[Any, Any]:
    """Adam's two, m and v, without bias correction."""
    s["m"] = beta1 * s["m"] + (1 - beta1) * g
    s["v"] = beta2 * s["v"] + (1 - beta2) * g * g
    return s["m"], s["v"]


# ------------------------------------------------------------------ no adaptation


@rule(
    "paper", "official", decay=None,
    momentum=0.9, phi_bounds=None, trust_coefficient=1e-3, eps=1e-8,
)  # fmt: skip
def lars(p: Array, g: Array, s: State, t: int, h: SimpleNamespace) -> Any:
    """You, Gitman & Ginsburg 2017; `paper` as You et al. 2020, Algorithm 1, writes it."""
    only(h, ("paper",), phi_bounds=None)
    only(h, ("official",), trust_coefficient=1e-3, eps=1e-8)
    mu, decayed = h.momentum, g
    if h.weight_decay != 0:
        decayed = g + h.weight_decay * p
    if h.variant == "paper":
        s["m"] = mu * s["m"] + (1 - mu) * decayed
        ratio = trust(p, s["m"], h.phi_bounds)
        return h.lr * s["m"] if ratio is None else h.lr * ratio * s["m"]
    norm_p, norm_g = norm(p), norm(g)
    local = h.trust_coefficient * norm_p / (norm_g + h.weight_decay * norm_p + h.eps)
    if norm_p == 0 or norm_g == 0:
        local = 1.0
    s["v"] = mu * s["v"] + h.lr * local * decayed
    return s["v"]


@rule("paper", decay="decoupled", momentum=0.9)
def signum(p: Array, g: Array, s: State, t: int, h: SimpleNamespace) -> Any:
    """Bernstein et al. 2018, Algorithm 2. sign(0) = 0 and sign(NaN) = NaN: np.sign has both."""
    s["m"] = h.momentum * s["m"] + (1 - h.momentum) * g
    return h.lr * np.sign(s["m"])


# ------------------------------------------------------------------ sums of squares


@rule("paper", delta=1e-8, l1=0.0)
def adagrad_l1(p: Array, g: Array, s: State, t: int, h: SimpleNamespace) -> Any:
    """Duchi, Hazan & Singer 2011, section 5.1: composite mirror descent with phi = l1*|x|_1."""
    s["G"] = s["G"] + g * g
    H = h.delta + np.sqrt(s["G"])
    u, threshold = h.lr * g / H, h.lr * h.l1 / H
    x = p - u
    # x - sign(x)*max(|x| - threshold, 0), said as a step: all of p where the result is 0
    return np.where(np.abs(x) <= threshold, p, u + np.sign(x) * threshold)


@rule("mirror", "dual", decay="decoupled", delta=1e-8, max_size=4096)
def adagradfull(p: Array, g: Array, s: State, t: int, h: SimpleNamespace) -> Any:
    """Duchi, Hazan & Singer 2011, Figure 1, full matrices; H^-1 by the eigenvalues of G."""
    if p.size > h.max_size:
        raise ValueError(f"a tensor of {p.size} elements: max_size={h.max_size}")
    flat = g.ravel()
    if t == 1:
        s["x1"] = p
    s["G"] = s["G"] + np.outer(flat, flat)
    s["sum"] = s["sum"] + flat
    if not np.isfinite(s["G"]).all():
        return np.full_like(g, np.nan)  # what has no eigenvalues
    eigenvalues, Q = np.linalg.eigh(s["G"])
    H = h.delta + np.sqrt(np.maximum(eigenvalues, 0.0))  # on the axes of Q
    b = flat if h.variant == "mirror" else s["sum"]
    moved = h.lr * (Q @ ((Q.T @ b) / H)).reshape(g.shape)
    return moved if h.variant == "mirror" else p - (s["x1"] - moved)


@rule("paper", rho=0.9, eps=1e-6)
def adadelta(p: Array, g: Array, s: State, t: int, h: SimpleNamespace) -> Any:
    """Zeiler 2012, Algorithm 1. The numerator is from before, the sum takes this step in."""
    s["W"] = h.rho * s["W"] + (1 - h.rho) * g * g
    delta = np.sqrt(s["P"] + h.eps) / np.sqrt(s["W"] + h.eps) * g
    s["P"] = h.rho * s["P"] + (1 - h.rho) * delta * delta
    return h.lr * delta


# ------------------------------------------------------------------ the family of Adam


@rule("torch", "paper", "keras", betas=(0.9, 0.999), eps=1e-8)
def adamax(p: Array, g: Array, s: State, t: int, h: SimpleNamespace) -> Any:
    """Kingma & Ba 2015, Algorithm 2."""
    only(h, ("torch", "keras"), eps=1e-8)
    beta1, beta2 = h.betas
    s["m"] = beta1 * s["m"] + (1 - beta1) * g
    size = np.abs(g) + h.eps if h.variant == "torch" else np.abs(g)
    s["u"] = u = np.maximum(beta2 * s["u"], size)
    alpha = h.lr / (1 - beta1**t)
    if h.variant == "keras":
        return alpha * s["m"] / (u + h.eps)
    if h.variant == "torch":
        return alpha * s["m"] / u
    return np.where(u == 0, 0.0, alpha * s["m"] / u)


@rule("torch", "paper", "keras", betas=(0.9, 0.999), eps=1e-8, momentum_decay=4e-3)
def nadam(p: Array, g: Array, s: State, t: int, h: SimpleNamespace) -> Any:
    """Dozat 2016; `paper` has the momentum constant, and its correction that of this step."""
    only(h, ("torch",), momentum_decay=4e-3)
    beta1, beta2 = h.betas
    m, v = moments(g, s, beta1, beta2)
    denominator = np.sqrt(v / (1 - beta2**t)) + h.eps
    if h.variant == "paper":
        c1 = 1 - beta1**t
        return h.lr * (beta1 * m / c1 + (1 - beta1) * g / c1) / denominator
    psi = h.momentum_decay if h.variant == "torch" else 1.0
    mu, mu_next = (beta1 * (1 - 0.5 * 0.96 ** (k * psi)) for k in (t, t + 1))
    s["mu_product"] = product = s.get("mu_product", 1.0) * mu
    ahead = mu_next * m / (1 - product * mu_next) + (1 - mu) * g / (1 - product)
    return h.lr * ahead / denominator


@rule("paper", "inside", "torch", "optax", betas=(0.9, 0.999), eps=1e-8, beta1_decay=1.0)
def amsgrad(p: Array, g: Array, s: State, t: int, h: SimpleNamespace) -> Any:
    """Reddi, Kale & Kumar 2018, Algorithm 2 (without the projection)."""
    only(h, ("paper", "inside"), beta1_decay=1.0)
    beta1, beta2 = h.betas
    m, v = moments(g, s, beta1 * h.beta1_decay ** (t - 1), beta2)
    c1, c2 = 1 - beta1**t, 1 - beta2**t
    s["v_max"] = v_max = np.maximum(s["v_max"], v / c2 if h.variant == "optax" else v)
    if h.variant == "paper":
        return h.lr * m / (np.sqrt(v_max) + h.eps)
    if h.variant == "inside":
        return h.lr * m / np.sqrt(v_max + h.eps)
    v_hat = v_max if h.variant == "optax" else v_max / c2
    return h.lr * (m / c1) / (np.sqrt(v_hat) + h.eps)


@rule("paper", decay="decoupled", betas=(0.9, 0.999), eps=1e-16)
def adabelief(p: Array, g: Array, s: State, t: int, h: SimpleNamespace) -> Any:
    """Zhuang et al. 2020, Algorithm 2; epsilon accumulates in s."""
    beta1, beta2 = h.betas
    s["m"] = beta1 * s["m"] + (1 - beta1) * g
    s["s"] = beta2 * s["s"] + (1 - beta2) * (g - s["m"]) ** 2 + h.eps
    m_hat, s_hat = s["m"] / (1 - beta1**t), s["s"] / (1 - beta2**t)
    return h.lr * m_hat / (np.sqrt(s_hat) + h.eps)


def per_element_rate(v: Any, t: int, h: SimpleNamespace) -> Any:
    """What the released code of AdaBound, AdaMod and diffGrad multiplies m by."""
    beta1, beta2 = h.betas
    return h.lr * math.sqrt(1 - beta2**t) / (1 - beta1**t) / (np.sqrt(v) + h.eps)


def bounded(m: Any, v: Any, t: int, h: SimpleNamespace) -> Any:
    if h.lr0 == 0:
        raise ValueError("AdaBound divides by the initial lr, which is 0")
    final = h.final_lr * h.lr / h.lr0
    lower = final * (1 - 1 / (h.gamma * t + 1))
    upper = final * (1 + 1 / (h.gamma * t))
    return np.clip(per_element_rate(v, t, h), lower, upper) * m


@rule("official", betas=(0.9, 0.999), final_lr=0.1, gamma=1e-3, eps=1e-8)
def adabound(p: Array, g: Array, s: State, t: int, h: SimpleNamespace) -> Any:
    """Luo et al. 2019, the released code."""
    m, v = moments(g, s, *h.betas)
    return bounded(m, v, t, h)


@rule("official", betas=(0.9, 0.999), final_lr=0.1, gamma=1e-3, eps=1e-8)
def amsbound(p: Array, g: Array, s: State, t: int, h: SimpleNamespace) -> Any:
    """Luo et al. 2019, the released code with amsbound=True: the maximum of the raw v."""
    m, v = moments(g, s, *h.betas)
    s["v_max"] = np.maximum(s["v_max"], v)
    return bounded(m, s["v_max"], t, h)


@rule("official", decay="decoupled", betas=(0.9, 0.999), beta3=0.999, eps=1e-8)
def adamod(p: Array, g: Array, s: State, t: int, h: SimpleNamespace) -> Any:
    """Ding et al. 2019, the released code."""
    m, v = moments(g, s, *h.betas)
    eta = per_element_rate(v, t, h)
    s["s"] = h.beta3 * s["s"] + (1 - h.beta3) * eta
    return np.minimum(eta, s["s"]) * m


@rule("paper", "official", decay="decoupled", betas=(0.9, 0.999), eps=1e-8)
def diffgrad(p: Array, g: Array, s: State, t: int, h: SimpleNamespace) -> Any:
    """Dubey et al. 2020; `official` has epsilon on the raw root."""
    beta1, beta2 = h.betas
    xi = 1 / (1 + np.exp(-np.abs(s["before"] - g)))
    s["before"] = g
    m, v = moments(g, s, beta1, beta2)
    if h.variant == "official":
        return per_element_rate(v, t, h) * xi * m
    v_hat = v / (1 - beta2**t)
    return h.lr * xi * (m / (1 - beta1**t)) / (np.sqrt(v_hat) + h.eps)


@rule("paper", betas=(0.9, 0.999), eps=1e-3, initial_accumulator=1e-6)
def yogi(p: Array, g: Array, s: State, t: int, h: SimpleNamespace) -> Any:
    """Zaheer et al. 2018, Algorithm 2, with Adam's bias corrections; only v starts above 0."""
    beta1, beta2 = h.betas
    v, g2 = s.get("v", h.initial_accumulator), g * g
    s["m"] = beta1 * s["m"] + (1 - beta1) * g
    s["v"] = v - (1 - beta2) * np.sign(v - g2) * g2
    m_hat, v_hat = s["m"] / (1 - beta1**t), s["v"] / (1 - beta2**t)
    return h.lr * m_hat / (np.sqrt(v_hat) + h.eps)


@rule("paper", decay="decoupled", betas=(0.9, 0.9999), eps=1e-6)
def adopt(p: Array, g: Array, s: State, t: int, h: SimpleNamespace) -> Any:
    """Taniguchi et al. 2024, Algorithm 2. Its steps count from 0, and step 0 only sets v."""
    beta1, beta2 = h.betas
    step = t - 1
    if step == 0:
        s["v"] = np.square(g)
        return np.zeros_like(g)
    limit = math.sqrt(math.sqrt(step))
    normed = np.clip(g / np.maximum(np.sqrt(s["v"]), h.eps), -limit, limit)
    s["m"] = beta1 * s["m"] + (1 - beta1) * normed
    s["v"] = beta2 * s["v"] + (1 - beta2) * np.square(g)
    return h.lr * s["m"]


# ------------------------------------------------------------------ factored, second order


@rule("paper", beta2=0.999, eps=1e-8)
def factoredadam(p: Array, g: Array, s: State, t: int, h: SimpleNamespace) -> Any:
    """Adam with factored second moments (seed 001, Algorithm 4): the last two dims, no m."""

    def average(key: str, new: Any) -> Any:
        s[key] = h.beta2 * s[key] + (1 - h.beta2) * new
        return s[key]

    g2 = g * g
    if g.ndim < 2:
        v = average("V", g2)
        seen = v != 0
    else:
        R = average("R", g2.sum(axis=-1, keepdims=True))
        C = average("C", g2.sum(axis=-2, keepdims=True))
        v = R * (C / R.sum(axis=-2, keepdims=True))
        seen = (R != 0) & (C != 0)
    v_hat = v / (1 - h.beta2**t)
    return np.where(seen, h.lr * g / (np.sqrt(v_hat) + h.eps), 0.0)


@rule(
    "paper", "official", decay="decoupled",
    betas=(0.965, 0.99), gamma=None, eps=1e-12, k=10, weight_decay=0.1, estimator="gnb",
    rho=0.04, bs=5120,
)  # fmt: skip
def sophia(p: Array, g: Array, s: State, t: int, h: SimpleNamespace) -> Any:
    """Liu et al. 2023, Algorithm 3; the estimate is fed in. `official`: SophiaG as released."""
    only(h, ("paper",), gamma=None, eps=1e-12)
    only(h, ("official",), rho=0.04, bs=5120)
    gammas = {"gnb": 0.05, "hutchinson": 0.01}
    if h.estimator not in gammas:
        raise ValueError(f"estimator={h.estimator!r}: allowed are {sorted(gammas)}")
    beta1, beta2 = h.betas
    s["m"] = beta1 * s["m"] + (1 - beta1) * g
    if (t - 1) % h.k == 0:
        if h.curvature is None:
            raise ValueError(f"step {t} of a parameter needs an estimate: curvature=")
        s["h"] = beta2 * s["h"] + (1 - beta2) * h.curvature
    if h.variant == "official":
        ratio = np.minimum(np.abs(s["m"]) / (h.rho * h.bs * s["h"] + 1e-15), 1.0)
        return h.lr * ratio * np.sign(s["m"])
    gamma = gammas[h.estimator] if h.gamma is None else h.gamma
    return h.lr * np.clip(s["m"] / np.maximum(gamma * s["h"], h.eps), -1.0, 1.0)
