"""Yogi: Adam whose second moment moves by a bounded amount."""

from __future__ import annotations

from typing import Any

from ..rule import Rule, State, sign, sqrt, stands_still, where


@stands_still("m")
def _yogi(p: Any, g: Any, s: Any, t: Any, h: Any) -> tuple[Any, State]:
    """Zaheer et al. 2018, Algorithm 2, with Adam's bias corrections."""
    beta1, beta2 = h.betas
    m = beta1 * s.m + (1 - beta1) * g
    before = s.v if "v" in s else h.initial_accumulator
    towards = where(before == g * g, 0.0, sign(before - g * g) * g * g)  # both may be infinite
    v = before - (1 - beta2) * towards
    m_hat = m / (1 - beta1**t)
    v_hat = v / (1 - beta2**t)
    return h.lr * m_hat / (sqrt(v_hat) + h.eps), State(m=m, v=v)


def yogi(
    lr: float = 1e-2,
    *,
    betas: tuple[float, float] = (0.9, 0.999),
    eps: float = 1e-3,
    initial_accumulator: float = 1e-6,
    weight_decay: float = 0.0,
    decay: str = "l2",
) -> Rule:
    """Yogi: Adam whose rates grow slowly where gradients become small.

    .. math:: v \\leftarrow v - (1-\\beta_2)\\,\\mathrm{sign}(v-g^2)\\,g^2, \\qquad
              p \\leftarrow p - lr\\,\\hat m/(\\sqrt{\\hat v}+\\epsilon)

    Args:
        lr: learning rate; default the paper's.
        betas: shares of m and v that are kept, each in [0, 1); default the paper's.
        eps: added to the root; default the paper's.
        initial_accumulator: what v starts from; default Optax's.
        weight_decay, decay: λ and which of the four decays it is.

    Raises:
        ValueError: a value out of range.

    Reach for it where Adam's rates jump up after a stretch of small gradients. Not with Adam's
    eps: the larger one is part of it.

    >>> import glissade
    >>> glissade.rules.yogi().hyper["eps"]
    0.001

    Source: Zaheer et al. 2018, "Adaptive methods for nonconvex optimization".
    """
    return Rule(_yogi, locals(), name="yogi", decays=True)
