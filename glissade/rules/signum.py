"""Signum: the sign of the momentum."""

from __future__ import annotations

from typing import Any

from ..rule import Rule, State, sign


def _signum(p: Any, g: Any, s: Any, t: Any, h: Any) -> tuple[Any, State]:
    """Bernstein et al. 2018, Algorithm 2."""
    m = h.momentum * s.m + (1 - h.momentum) * g
    return h.lr * sign(m), State(m=m)


def signum(
    lr: float = 1e-4,
    *,
    momentum: float = 0.9,
    weight_decay: float = 0.0,
    decay: str = "decoupled",
) -> Rule:
    """Signum: every element moves by lr, against the sign of an averaged gradient.

    .. math:: m \\leftarrow \\mu m + (1-\\mu)g, \\qquad p \\leftarrow p - lr\\,\\mathrm{sign}(m)

    Args:
        lr: the size of every step; default the paper's.
        momentum: share of m that is kept, in [0, 1); 0 is signSGD. Default the paper's.
        weight_decay, decay: λ and which of the four decays it is.

    Raises:
        ValueError: a value out of range.

    Reach for it where gradients are sent between machines as one bit each, or as Lion with one β.
    Not with small batches: where noise decides the sign, every element still moves by lr.

    >>> import glissade
    >>> glissade.rules.signum().hyper["momentum"]
    0.9

    Source: Bernstein et al. 2018, arXiv:1802.04434.
    """
    return Rule(_signum, locals(), name="signum", decays=True)
