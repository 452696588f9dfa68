"""ADOPT: Adam that normalises a gradient by what was known before it."""

from __future__ import annotations

from typing import Any

from ..rule import Rule, State, clip, maximum, sqrt, stands_still, still


@stands_still()
def _adopt(p: Any, g: Any, s: Any, t: Any, h: Any) -> tuple[Any, State]:
    """Taniguchi et al. 2024, Algorithm 2 with clipping; its g_0 is the first gradient here."""
    beta1, beta2 = h.betas
    if "v" not in s:
        return 0.0, State(m=0.0, v=g * g)
    c = (t - 1) ** 0.25
    m = beta1 * s.m + (1 - beta1) * clip(still(g / maximum(sqrt(s.v), h.eps), g, s.v), -c, c)
    v = beta2 * s.v + (1 - beta2) * g * g
    return h.lr * m, State(m=m, v=v)


def adopt(
    lr: float = 1e-3,
    *,
    betas: tuple[float, float] = (0.9, 0.9999),
    eps: float = 1e-6,
    weight_decay: float = 0.0,
    decay: str = "decoupled",
) -> Rule:
    """ADOPT: momentum of gradients that are normalised by the second moment from before them.

    .. math:: m \\leftarrow \\beta_1 m + (1-\\beta_1)\\,\\mathrm{clip}\\left(
              \\frac{g}{\\max(\\sqrt v,\\epsilon)}, -(t-1)^{1/4}, (t-1)^{1/4}\\right), \\qquad
              p \\leftarrow p - lr\\,m, \\qquad v \\leftarrow \\beta_2 v + (1-\\beta_2)g^2

    The first step only sets v to g² and moves nothing but what decay does.

    Args:
        lr: learning rate; default the paper's.
        betas: shares of m and v that are kept, each in [0, 1); default the paper's.
        eps: the least that is divided by; default the paper's.
        weight_decay, decay: λ and which of the four decays it is.

    Raises:
        ValueError: a value out of range.

    Reach for it where Adam's convergence hangs on the choice of beta2. Not for a handful of steps:
    the first does not move, and the clip lets the next ones grow only slowly.

    >>> import glissade
    >>> glissade.rules.adopt().hyper["betas"]
    (0.9, 0.9999)

    Source: Taniguchi et al. 2024, arXiv:2411.02853.
    """
    return Rule(_adopt, locals(), name="adopt", decays=True)
