"""Every update rule of the first release, transcribed from shared/definitions.md in NumPy float64.

A transcription takes the parameter `p`, the gradient `g`, its own state `s` (a missing entry reads
as zero), the step `t` counted from 1 and the hyperparameters `h`, and returns the step to subtract.
`h.lr` is the current learning rate. Weight decay, wrappers and presets: `transcriptions`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

EPS_OF = {"float64": 2.0**-52, "float32": 2.0**-23, "float16": 2.0**-10, "bfloat16": 2.0**-7}


class State(dict[str, Any]):
    """State of one parameter; what was never written is zero."""

    def __missing__(self, key: str) -> float:
        return 0.0


Transcription = Callable[[Array, Array, State, int, SimpleNamespace], Any]


@dataclass(frozen=True)
class Rule:
    """A transcription with its defaults, its variants (default first) and its default decay."""

    step: Transcription
    variants: tuple[str, ...]
    decay: str | None  # None: the rule places weight_decay itself and takes no `decay`
    hyper: dict[str, Any]


RULES: dict[str, Rule] = {}


def rule(*variants: str, decay: str | None = "l2", **hyper: Any) -> Callable[..., Transcription]:
    def register(step: Transcription) -> Transcription:
        defaults = {"weight_decay": 0.0, **hyper}
        RULES[step.__name__] = Rule(step, variants, decay, defaults)
        return step

    return register


def only(h: SimpleNamespace, variants: tuple[str, ...], **neutral: Any) -> None:
    """Refuse a hyperparameter that the definition of this variant does not have."""
    for key, value in neutral.items():
        if h.variant not in variants and getattr(h, key) != value:
            raise ValueError(f"{key}={getattr(h, key)!r}: only variants {variants} have {key}")


# ------------------------------------------------------------------ no adaptation


@rule("torch", "paper", "ema", momentum=0.0, dampening=0.0, nesterov=False)
def sgd(p: Array, g: Array, s: State, t: int, h: SimpleNamespace) -> Any:
    """Polyak 1964; Nesterov 1983 with the stored parameter at the look-ahead point."""
    only(h, ("torch",), dampening=0.0)
    mu = h.momentum
    if h.variant == "torch":
        if mu == 0:  # torch: no buffer at all, hence no dampening either
            return h.lr * g
        s["v"] = mu * s["v"] + (1 - h.dampening) * g if "v" in s else g
        return h.lr * (g + mu * s["v"]) if h.nesterov else h.lr * s["v"]
    if h.variant == "paper":  # lr is inside the velocity
        s["v"] = mu * s["v"] + h.lr * g
        return mu * s["v"] + h.lr * g if h.nesterov else s["v"]
    s["m"] = mu * s["m"] + (1 - mu) * g
    return h.lr * (mu * s["m"] + (1 - mu) * g) if h.nesterov else h.lr * s["m"]


RULES["sgdw"] = Rule(sgd, RULES["sgd"].variants, "decoupled", RULES["sgd"].hyper)


# ------------------------------------------------------------------ adaptive, per element


@rule("torch", "paper", eps=1e-10, lr_decay=0.0, initial_accumulator_value=0.0)
def adagrad(p: Array, g: Array, s: State, t: int, h: SimpleNamespace) -> Any:
    """Duchi, Hazan & Singer 2011, diagonal."""
    only(h, ("torch",), lr_decay=0.0)
    G = s.get("G", h.initial_accumulator_value)
    s["G"] = G + g * g
    if h.variant == "paper":
        return h.lr * g / np.sqrt(s["G"] + h.eps)
    return h.lr / (1 + (t - 1) * h.lr_decay) * g / (np.sqrt(s["G"]) + h.eps)


@rule("torch", "paper", "keras", alpha=0.99, eps=1e-8, momentum=0.0, centered=False, init="zero")
def rmsprop(p: Array, g: Array, s: State, t: int, h: SimpleNamespace) -> Any:
    """Tieleman & Hinton 2012; the centered form is Graves 2013."""
    only(h, ("torch", "keras"), momentum=0.0, centered=False)
    if h.init not in ("zero", "first_gradient"):
        raise ValueError(f"init={h.init!r}: allowed are 'zero', 'first_gradient'")
    if t == 1 and h.init == "first_gradient":
        s["W"] = g * g
    else:
        s["W"] = h.alpha * s["W"] + (1 - h.alpha) * g * g
    W = s["W"]
    if h.centered:
        s["a"] = h.alpha * s["a"] + (1 - h.alpha) * g
        W = W - s["a"] ** 2
    if h.variant == "torch":  # epsilon outside the root, lr outside the momentum
        u = g / (np.sqrt(W) + h.eps)
        if h.momentum == 0:
            return h.lr * u
        s["b"] = h.momentum * s["b"] + u
        return h.lr * s["b"]
    u = h.lr * g / np.sqrt(W + h.eps)  # epsilon inside the root, lr inside the momentum
    if h.momentum == 0:
        return u
    s["b"] = h.momentum * s["b"] + u
    return s["b"]


@rule(
    "torch", "paper", "keras", "inside", "inside_hat",
    betas=(0.9, 0.999), eps=1e-8, amsgrad=False,
)  # fmt: skip
def adam(p: Array, g: Array, s: State, t: int, h: SimpleNamespace) -> Any:
    """Kingma & Ba 2015, Algorithm 1; amsgrad: the running maximum of the raw v replaces v."""
    beta1, beta2 = h.betas
    s["m"] = beta1 * s["m"] + (1 - beta1) * g
    s["v"] = beta2 * s["v"] + (1 - beta2) * g * g
    m, v = s["m"], s["v"]
    if h.amsgrad:
        s["v_max"] = v = np.maximum(s["v_max"], v)
    c1, c2 = 1 - beta1**t, 1 - beta2**t
    m_hat, v_hat = m / c1, v / c2
    if h.variant == "keras":
        return h.lr * math.sqrt(c2) / c1 * m / (np.sqrt(v) + h.eps)
    if h.variant == "inside":
        return h.lr * math.sqrt(c2) / c1 * m / np.sqrt(v + h.eps)
    if h.variant == "inside_hat":
        return h.lr * m_hat / np.sqrt(v_hat + h.eps)
    return h.lr * m_hat / (np.sqrt(v_hat) + h.eps)


RULES["adamw"] = Rule(
    adam, RULES["adam"].variants, "decoupled", {**RULES["adam"].hyper, "weight_decay": 1e-2}
)


@rule("torch", "paper", "inside", "official", betas=(0.9, 0.999), eps=1e-8)
def radam(p: Array, g: Array, s: State, t: int, h: SimpleNamespace) -> Any:
    """Liu et al. 2020, Algorithm 2."""
    beta1, beta2 = h.betas
    s["m"] = beta1 * s["m"] + (1 - beta1) * g
    s["v"] = beta2 * s["v"] + (1 - beta2) * g * g
    c1, c2 = 1 - beta1**t, 1 - beta2**t
    m_hat, v_hat = s["m"] / c1, s["v"] / c2
    rho_inf = 2 / (1 - beta2) - 1
    rho = rho_inf - 2 * t * beta2**t / c2
    rectified = {
        "paper": rho > 4, "inside": rho > 4, "torch": rho > 5, "official": rho >= 5
    }[h.variant]  # fmt: skip
    if not rectified:
        return np.zeros_like(g) if h.variant == "official" else h.lr * m_hat
    r = math.sqrt((rho - 4) * (rho - 2) * rho_inf / ((rho_inf - 4) * (rho_inf - 2) * rho))
    if h.variant == "paper":
        return h.lr * r * m_hat / (np.sqrt(v_hat) + h.eps)
    if h.variant == "inside":
        return h.lr * r * m_hat / np.sqrt(v_hat + h.eps)
    return h.lr * r * m_hat * math.sqrt(c2) / (np.sqrt(s["v"]) + h.eps)  # epsilon on the raw root


@rule("paper", decay="decoupled", betas=(0.9, 0.99))
def lion(p: Array, g: Array, s: State, t: int, h: SimpleNamespace) -> Any:
    """Chen et al. 2023, Algorithm 2. sign(0) = 0 and sign(NaN) = NaN: np.sign has both."""
    beta1, beta2 = h.betas
    c = beta1 * s["m"] + (1 - beta1) * g
    s["m"] = beta2 * s["m"] + (1 - beta2) * g
    return h.lr * np.sign(c)


# ------------------------------------------------------------------ per tensor, factored


def norm(x: Any) -> float:
    """The Euclidean norm over the whole tensor, whatever its shape."""
    return float(np.sqrt(np.sum(np.square(x))))


def trust(p: Array, d: Any, phi_bounds: tuple[float, float] | None) -> float | None:
    """phi(|p|)/|d|, or None where either norm is 0 (phi is not applied before that test)."""
    norm_p, norm_d = norm(p), norm(d)
    if norm_p == 0 or norm_d == 0:
        return None
    phi = norm_p if phi_bounds is None else float(np.clip(norm_p, *phi_bounds))
    return phi / norm_d


@rule("paper", decay=None, betas=(0.9, 0.999), eps=1e-6, phi_bounds=None, bias_correction=True)
def lamb(p: Array, g: Array, s: State, t: int, h: SimpleNamespace) -> Any:
    """You et al. 2020, Algorithm 2."""
    beta1, beta2 = h.betas
    s["m"] = beta1 * s["m"] + (1 - beta1) * g
    s["v"] = beta2 * s["v"] + (1 - beta2) * g * g
    m, v = s["m"], s["v"]
    if h.bias_correction:
        m, v = m / (1 - beta1**t), v / (1 - beta2**t)
    r = m / (np.sqrt(v) + h.eps)
    if h.weight_decay != 0:
        r = r + h.weight_decay * p
    ratio = trust(p, r, h.phi_bounds)
    return h.lr * r if ratio is None else h.lr * ratio * r


@rule("torch", "paper", decay="decoupled", beta2_decay=-0.8, eps=(None, 1e-3), d=1.0)
def adafactor(p: Array, g: Array, s: State, t: int, h: SimpleNamespace) -> Any:
    """Shazeer & Stern 2018, Algorithms 4 and 5; torch: what torch.optim.Adafactor computes."""
    if p.size == 0:
        return g
    torch = h.variant == "torch"
    eps1, eps2 = h.eps
    if eps1 is None:
        eps1 = EPS_OF[h.dtype] if torch else 1e-30
    beta2 = 1 - t**h.beta2_decay
    g2 = g * g if torch else g * g + eps1
    if g.ndim < 2:
        s["V"] = beta2 * s["V"] + (1 - beta2) * g2
        v = s["V"]
    elif torch:  # means instead of sums; the mean of R is kept from 0 by eps1
        s["R"] = beta2 * s["R"] + (1 - beta2) * g2.mean(axis=-1, keepdims=True)
        s["C"] = beta2 * s["C"] + (1 - beta2) * g2.mean(axis=-2, keepdims=True)
        v = s["R"] * (s["C"] / np.maximum(s["R"].mean(axis=-2, keepdims=True), eps1))
    else:
        s["R"] = beta2 * s["R"] + (1 - beta2) * g2.sum(axis=-1, keepdims=True)
        s["C"] = beta2 * s["C"] + (1 - beta2) * g2.sum(axis=-2, keepdims=True)
        v = s["R"] * (s["C"] / s["R"].sum(axis=-2, keepdims=True))
    u = g / np.sqrt(np.maximum(v, eps1 * eps1)) if torch else g / np.sqrt(v)
    u = u / np.maximum(1.0, rms(u) / h.d)
    return min(h.lr, 1 / math.sqrt(t)) * np.maximum(eps2, rms(p)) * u


def rms(x: Any) -> float:
    """Root mean square over the whole tensor."""
    return norm(x) / math.sqrt(np.size(x))
