"""FactoredAdam: RMS-scaled gradients with a second moment of rows and columns."""

from __future__ import annotations

from typing import Any

from ..rule import Rule, State, sqrt, still, total, where


def _factoredadam(p: Any, g: Any, s: Any, t: Any, h: Any) -> tuple[Any, State]:
    """Shazeer & Stern 2018, Algorithm 1 with bias correction."""
    if p.ndim < 2:
        v = whole = h.beta2 * s.v + (1 - h.beta2) * g * g
        new = State(v=v)
    else:
        R = h.beta2 * s.R + (1 - h.beta2) * total(g * g, per="row")
        C = h.beta2 * s.C + (1 - h.beta2) * total(g * g, per="column")
        whole = total(R, per="matrix")
        # In this order: R·C underflows in fp32. A matrix without a gradient so far would be 0/0.
        v = R * where(whole == 0, 0.0, C / whole)
        new = State(R=R, C=C)
    v_hat = v / (1 - h.beta2**t)
    return still(h.lr * g / (sqrt(v_hat) + h.eps), g, whole), new


def factoredadam(
    lr: float = 1e-3,
    *,
    beta2: float = 0.999,
    eps: float = 1e-8,
    weight_decay: float = 0.0,
    decay: str = "l2",
) -> Rule:
    """FactoredAdam: Adam's second moment from sums over rows and columns, no first moment.

    .. math:: R \\leftarrow \\beta_2 R + (1-\\beta_2)(g^2)1, \\quad
              C \\leftarrow \\beta_2 C + (1-\\beta_2)1^T(g^2), \\quad
              \\hat v = \\frac{R\\,C/1^T R}{1-\\beta_2^t}, \\quad
              p \\leftarrow p - lr\\,g/(\\sqrt{\\hat v}+\\epsilon)

    A matrix is what the last two dimensions span; vectors keep v in full. The step is 0 where the
    row or column has seen no gradient.

    Args:
        lr: learning rate.
        beta2: share of R and C that is kept, in [0, 1).
        eps: added to the root.
        weight_decay, decay: λ and which of the four decays it is.

    Raises:
        ValueError: a value out of range.

    Reach for it to see what factoring alone does, or for the least state with a plain learning
    rate. Not for large models: Adafactor adds the clip and the scale that train them.

    >>> import glissade
    >>> glissade.rules.factoredadam().hyper["beta2"]
    0.999

    Source: Shazeer & Stern 2018, arXiv:1804.04235, section 3.
    """
    return Rule(_factoredadam, locals(), name="factoredadam", decays=True)
