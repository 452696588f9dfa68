"""Adafactor: a second moment of rows and columns instead of one of elements."""

from __future__ import annotations

from typing import Any

from ..checks import pair
from ..rule import (
    Rule,
    State,
    machine_eps,
    maximum,
    mean,
    minimum,
    rms,
    scaled,
    sqrt,
    still,
    total,
)  # fmt: skip

VARIANTS = ("torch", "paper")


def _adafactor(p: Any, g: Any, s: Any, t: Any, h: Any) -> tuple[Any, State]:
    """Shazeer & Stern 2018, Algorithms 4 and 5 without momentum."""
    eps1, eps2 = h.eps
    beta2 = 1 - t**h.beta2_decay
    if h.variant == "paper":
        g2 = g * g + (1e-30 if eps1 is None else eps1)
        if p.ndim < 2:
            v = whole = beta2 * s.v + (1 - beta2) * g2
            new = State(v=v)
        else:
            R = beta2 * s.R + (1 - beta2) * total(g2, per="row")
            C = beta2 * s.C + (1 - beta2) * total(g2, per="column")
            whole = total(R, per="matrix")
            v = R * (C / whole)  # in this order: R·C underflows in fp32
            new = State(R=R, C=C)
    else:
        eps1 = machine_eps(p) if eps1 is None else eps1
        if p.ndim < 2:
            v = whole = beta2 * s.v + (1 - beta2) * g * g
            new = State(v=v)
        else:
            R = beta2 * s.R + (1 - beta2) * mean(g * g, per="row")
            C = beta2 * s.C + (1 - beta2) * mean(g * g, per="column")
            whole = mean(R, per="matrix")
            v = R * (C / maximum(whole, eps1))
            new = State(R=R, C=C)
        v = maximum(v, eps1 * eps1)
    u = still(g / sqrt(v), g, whole)
    u_rms = rms(u)
    rate = minimum(h.lr, 1 / sqrt(t)) * maximum(eps2, rms(p))
    return scaled(u, rate / maximum(1.0, u_rms / h.d)), new


def adafactor(
    lr: float = 1e-2,
    *,
    beta2_decay: float = -0.8,
    eps: tuple[float | None, float] = (None, 1e-3),
    d: float = 1.0,
    weight_decay: float = 0.0,
    decay: str = "decoupled",
    variant: str = "torch",
) -> Rule:
    """Adafactor: Adam's second moment from its row and column sums; steps relative to the weights.

    .. math:: V = R\\,C/\\textstyle\\sum R, \\quad u = g/\\sqrt{V}, \\quad
              p \\leftarrow p - \\min(lr, 1/\\sqrt{t})\\,\\max(\\epsilon_2, RMS(p))\\,
              u/\\max(1, RMS(u)/d)

    A matrix is the last two dimensions (leading ones are a batch); vectors keep V in full.

    Args:
        lr: largest relative step; default torch's and the paper's.
        beta2_decay: β2 at step t is 1 - t^beta2_decay; at most 0; default the paper's.
        eps: (ε1, ε2), under the second moment and under the weights' RMS; None is the dtype's
            machine epsilon ("torch") or 1e-30 ("paper").
        d: RMS at which updates are clipped; default the paper's.
        weight_decay, decay: λ and which of the four decays it is.
        variant: "torch" (ε1 applied at the end); "paper" (ε1 added to g²).

    Raises:
        ValueError: a value out of range.

    Reach for it when Adam's state does not fit: it keeps rows + columns instead of 2 numbers per
    element. Not when memory is no concern: Adam is the better understood.

    >>> import glissade
    >>> glissade.rules.adafactor(lr=1e-2).hyper["d"]
    1.0

    Source: Shazeer & Stern 2018, arXiv:1804.04235.
    """
    hyper = locals()
    pair("eps", eps, "(None, 1e-3)")
    return Rule(
        _adafactor,
        hyper,
        name="adafactor",
        choices={"variant": VARIANTS},
        decays=True,
        aliases={"R": "row_var", "C": "col_var", "v": "variance"},
    )
