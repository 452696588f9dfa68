"""LAMB: Adam's direction, each tensor's step scaled to the size of its weights."""

from __future__ import annotations

from typing import Any

from ..rule import Rule, State, scaled, sqrt, still
from ..wrappers.layerwise import trust


def _lamb(p: Any, g: Any, s: Any, t: Any, h: Any) -> tuple[Any, State]:
    """You et al. 2020, Algorithm 2."""
    beta1, beta2 = h.betas
    m = m_hat = beta1 * s.m + (1 - beta1) * g
    v = v_hat = beta2 * s.v + (1 - beta2) * g * g
    if h.bias_correction:
        m_hat, v_hat = m / (1 - beta1**t), v / (1 - beta2**t)
    r = still(m_hat / (sqrt(v_hat) + h.eps) + h.weight_decay * p, m, v)
    return scaled(r, h.lr * trust(p, r, h.phi_bounds)), State(m=m, v=v)


def lamb(
    lr: float = 1e-3,
    *,
    betas: tuple[float, float] = (0.9, 0.999),
    eps: float = 1e-6,
    weight_decay: float = 0.0,
    phi_bounds: tuple[float, float] | None = None,
    bias_correction: bool = True,
) -> Rule:
    """LAMB: every tensor moves by lr times its own norm, in Adam's direction.

    .. math:: r = \\hat m/(\\sqrt{\\hat v}+\\epsilon) + \\lambda p, \\qquad
              p \\leftarrow p - lr\\,\\phi(\\|p\\|)/\\|r\\|\\;r

    The ratio is 1 where either norm is 0.

    Args:
        lr: relative change of a tensor in a step; default torch-style ports'.
        betas: shares of m and v that are kept, each in [0, 1); default the paper's.
        eps: added to the root; default the paper's.
        weight_decay: λ, inside the direction and so inside the ratio.
        phi_bounds: φ clips ‖p‖ to (low, high); None leaves it. Third-party ports have (0, 10).
        bias_correction: False gives the ports that leave it out.

    Raises:
        ValueError: a value out of range.

    Reach for it to keep accuracy at batches of many thousands. Not with small ones: AdamW does as
    well there and is simpler.

    >>> import glissade
    >>> glissade.rules.lamb(lr=2e-3, weight_decay=0.01).name
    'lamb'

    Source: You et al. 2020, arXiv:1904.00962.
    """
    return Rule(_lamb, locals(), name="lamb", aliases={"m": "exp_avg", "v": "exp_avg_sq"})
