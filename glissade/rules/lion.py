"""Lion: the sign of an interpolated momentum."""

from __future__ import annotations

from typing import Any

from ..rule import Rule, State, sign


def _lion(p: Any, g: Any, s: Any, t: Any, h: Any) -> tuple[Any, State]:
    """Chen et al. 2023, Algorithm 2."""
    beta1, beta2 = h.betas
    c = beta1 * s.m + (1 - beta1) * g
    m = beta2 * s.m + (1 - beta2) * g
    return h.lr * sign(c), State(m=m)


def lion(
    lr: float = 1e-4,
    *,
    betas: tuple[float, float] = (0.9, 0.99),
    weight_decay: float = 0.0,
    decay: str = "decoupled",
) -> Rule:
    """Lion: every element moves by lr, in the direction of an interpolated momentum.

    .. math:: p \\leftarrow p - lr\\,\\mathrm{sign}(\\beta_1 m + (1-\\beta_1)g), \\quad
              m \\leftarrow \\beta_2 m + (1-\\beta_2)g

    Args:
        lr: the size of every step; default the paper's. 3 to 10 times under AdamW's, say its
            authors, with a weight decay larger by as much.
        betas: of the direction and of the momentum, each in [0, 1); default the paper's.
        weight_decay, decay: λ and which of the four decays it is.

    Raises:
        ValueError: a value out of range.

    Reach for it with large batches, and to save a third of Adam's memory. Not with small batches:
    the sign of a noisy gradient is mostly noise.

    >>> import glissade
    >>> glissade.rules.lion(lr=1e-4, weight_decay=0.1).name
    'lion'

    Source: Chen et al. 2023, arXiv:2302.06675.
    """
    return Rule(_lion, locals(), name="lion", decays=True, aliases={"m": "exp_avg"})
