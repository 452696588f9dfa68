"""Adadelta: steps in the parameter's own units."""

from __future__ import annotations

from typing import Any

from ..rule import Rule, State, sqrt, stands_still, still


@stands_still()
def _adadelta(p: Any, g: Any, s: Any, t: Any, h: Any) -> tuple[Any, State]:
    """Zeiler 2012, Algorithm 1."""
    W = h.rho * s.W + (1 - h.rho) * g * g
    delta = still(sqrt(s.P + h.eps) / sqrt(W + h.eps) * g, g, s.P, W)
    P = h.rho * s.P + (1 - h.rho) * delta * delta
    return h.lr * delta, State(W=W, P=P)


def adadelta(
    lr: float = 1.0,
    *,
    rho: float = 0.9,
    eps: float = 1e-6,
    weight_decay: float = 0.0,
    decay: str = "l2",
) -> Rule:
    """Adadelta: gradients divided by their size, multiplied by the size of past steps.

    .. math:: W \\leftarrow \\rho W + (1-\\rho)g^2, \\quad
              \\Delta = \\frac{\\sqrt{P+\\epsilon}}{\\sqrt{W+\\epsilon}}\\,g, \\quad
              P \\leftarrow \\rho P + (1-\\rho)\\Delta^2, \\quad
              p \\leftarrow p - lr\\,\\Delta

    Args:
        lr: multiplies the step; 1, the default, is the paper's.
        rho: share of W and P that is kept, in [0, 1); default torch's.
        eps: inside both roots; it sets the size of the first steps. Default the paper's.
        weight_decay, decay: λ and which of the four decays it is.

    Raises:
        ValueError: a value out of range.

    Reach for it when no learning rate may be tuned. Not where one may: it starts slowly, and a
    tuned Adam is mostly ahead of it.

    >>> import glissade
    >>> glissade.rules.adadelta().hyper["lr"]
    1.0

    Source: Zeiler 2012, arXiv:1212.5701.
    """
    return Rule(
        _adadelta,
        locals(),
        name="adadelta",
        decays=True,
        aliases={"W": "square_avg", "P": "acc_delta"},
    )
