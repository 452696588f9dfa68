"""AMSGrad: Adam whose rates never grow."""

from __future__ import annotations

from typing import Any

from ..checks import idle
from ..rule import Rule, State, maximum, sqrt, stands_still

VARIANTS = ("paper", "inside", "torch", "optax")


@stands_still("m")
def _amsgrad(p: Any, g: Any, s: Any, t: Any, h: Any) -> tuple[Any, State]:
    """Reddi, Kale & Kumar 2018, Algorithm 2."""
    beta1, beta2 = h.betas
    if h.variant in ("paper", "inside"):
        beta1 = beta1 * h.beta1_decay ** (t - 1)
    m = beta1 * s.m + (1 - beta1) * g
    v = beta2 * s.v + (1 - beta2) * g * g
    if h.variant == "optax":
        v_max = maximum(s.v_max, v / (1 - beta2**t))
        return h.lr * m / (1 - beta1**t) / (sqrt(v_max) + h.eps), State(m=m, v=v, v_max=v_max)
    v_max = maximum(s.v_max, v)
    new = State(m=m, v=v, v_max=v_max)
    if h.variant == "torch":
        m_hat, v_hat = m / (1 - beta1**t), v_max / (1 - beta2**t)
        return h.lr * m_hat / (sqrt(v_hat) + h.eps), new
    root = sqrt(v_max + h.eps) if h.variant == "inside" else sqrt(v_max) + h.eps
    return h.lr * m / root, new


def amsgrad(
    lr: float = 1e-3,
    *,
    betas: tuple[float, float] = (0.9, 0.999),
    eps: float = 1e-8,
    beta1_decay: float = 1.0,
    weight_decay: float = 0.0,
    decay: str = "l2",
    variant: str = "paper",
) -> Rule:
    """AMSGrad: momentum over the largest root mean square so far.

    .. math:: \\hat v \\leftarrow \\max(\\hat v, v), \\qquad
              p \\leftarrow p - lr\\,m/(\\sqrt{\\hat v}+\\epsilon)

    Args:
        lr: learning rate.
        betas: shares of m and v that are kept, each in [0, 1); default Adam's.
        eps: added to the root; default Adam's.
        beta1_decay: β1 at step t is β1·beta1_decay^(t-1), in [0, 1]; under 1 in the paper's proof
            (variants "paper" and "inside").
        weight_decay, decay: λ and which of the four decays it is.
        variant: "paper" (no bias correction); "inside" (eps inside the root); "torch" (the largest
            raw v, then both corrections: `adam(amsgrad=True)`); "optax" (the largest corrected v).

    Raises:
        ValueError: a value out of range, or one that the variant has no use for.

    Reach for it where Adam fails to settle on convex or online problems. Not for deep
    networks: the difference is rarely seen there. Its projection onto a box is `wrappers.project`:
    on a box the weighted projection is the plain one.

    >>> import glissade
    >>> glissade.rules.amsgrad().hyper["variant"]
    'paper'

    Source: Reddi, Kale & Kumar 2018, arXiv:1904.09237.
    """
    hyper = locals()
    if variant in ("torch", "optax"):
        idle("amsgrad", variant, beta1_decay=(beta1_decay, 1.0))
    return Rule(
        _amsgrad,
        hyper,
        name="amsgrad",
        choices={"variant": VARIANTS},
        decays=True,
        aliases={"m": "exp_avg", "v": "exp_avg_sq", "v_max": "max_exp_avg_sq"},
    )
