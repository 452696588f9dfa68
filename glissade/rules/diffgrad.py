"""DiffGrad: Adam that slows down where the gradient stands still."""

from __future__ import annotations

from typing import Any

from ..rule import Rule, State, exp, sqrt, stands_still

VARIANTS = ("paper", "official")


@stands_still("m")
def _diffgrad(p: Any, g: Any, s: Any, t: Any, h: Any) -> tuple[Any, State]:
    """Dubey et al. 2020, Algorithm 1."""
    beta1, beta2 = h.betas
    m = beta1 * s.m + (1 - beta1) * g
    v = beta2 * s.v + (1 - beta2) * g * g
    xi = 1 / (1 + exp(-abs(s.previous - g)))
    new = State(m=m, v=v, previous=g)
    if h.variant == "official":
        lr_t = h.lr * sqrt(1 - beta2**t) / (1 - beta1**t)
        return lr_t * xi * m / (sqrt(v) + h.eps), new
    m_hat = m / (1 - beta1**t)
    v_hat = v / (1 - beta2**t)
    return h.lr * xi * m_hat / (sqrt(v_hat) + h.eps), new


def diffgrad(
    lr: float = 1e-3,
    *,
    betas: tuple[float, float] = (0.9, 0.999),
    eps: float = 1e-8,
    weight_decay: float = 0.0,
    decay: str = "decoupled",
    variant: str = "paper",
) -> Rule:
    """DiffGrad: Adam times a friction of 1/2 to 1 that grows with the change of the gradient.

    .. math:: \\xi = 1/(1+e^{-|g_{t-1}-g_t|}), \\qquad
              p \\leftarrow p - lr\\,\\xi\\,\\hat m/(\\sqrt{\\hat v}+\\epsilon)

    Args:
        lr: learning rate; default the paper's.
        betas: shares of m and v that are kept, each in [0, 1); default the paper's.
        eps: added to the root; default the paper's.
        weight_decay, decay: λ and which of the four decays it is.
        variant: "paper"; "official" (the released code: eps is not corrected).

    Raises:
        ValueError: a value out of range.

    Reach for it where Adam overshoots a minimum. Not where memory is short: it holds one number
    more for each element than Adam, and where gradients are small it is Adam at half the rate.

    >>> import glissade
    >>> glissade.rules.diffgrad().hyper["variant"]
    'paper'

    Source: Dubey et al. 2020, arXiv:1909.11015.
    """
    return Rule(
        _diffgrad,
        locals(),
        name="diffgrad",
        choices={"variant": VARIANTS},
        decays=True,
        aliases={"m": "exp_avg", "v": "exp_avg_sq", "previous": "previous_grad"},
    )
