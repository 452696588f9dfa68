"""RMSprop: the gradient over a moving root mean square."""

from __future__ import annotations

from typing import Any

from ..checks import idle
from ..rule import Rule, State, maximum, sqrt, still

VARIANTS = ("torch", "paper", "keras")
INITS = ("zero", "first_gradient")


def _rmsprop(p: Any, g: Any, s: Any, t: Any, h: Any) -> tuple[Any, State]:
    """Tieleman & Hinton 2012."""
    if h.init == "first_gradient" and "W" not in s:
        W = g * g
    else:
        W = h.alpha * s.W + (1 - h.alpha) * g * g
    new, power = State(W=W), W
    if h.centered:
        g_mean = h.alpha * s.g_mean + (1 - h.alpha) * g
        new, power = new | State(g_mean=g_mean), maximum(W - g_mean * g_mean, 0.0)
    root = sqrt(power) + h.eps if h.variant == "torch" else sqrt(power + h.eps)
    d = still(g / root, g, power)
    if h.momentum == 0:
        return h.lr * d, new
    if h.variant == "keras":
        v = h.momentum * s.v + h.lr * d if "v" in s else h.lr * d
        return v, new | State(v=v)
    v = h.momentum * s.v + d if "v" in s else d
    return h.lr * v, new | State(v=v)


def rmsprop(
    lr: float = 1e-2,
    *,
    alpha: float = 0.99,
    eps: float = 1e-8,
    weight_decay: float = 0.0,
    momentum: float = 0.0,
    centered: bool = False,
    init: str = "zero",
    decay: str = "l2",
    variant: str = "torch",
) -> Rule:
    """RMSprop: divide the gradient by a moving average of its size.

    .. math:: W \\leftarrow \\alpha W + (1-\\alpha)g^2, \\qquad
              p \\leftarrow p - lr\\,g/(\\sqrt{W}+\\epsilon)

    Args:
        lr: learning rate; default torch's (the lecture proposes 0.001).
        alpha: share of the average that is kept, in [0, 1]; default torch's (the lecture: 0.9).
        eps: added to the root; default torch's.
        momentum: of the divided gradient; 0 keeps no velocity.
        centered: divide by the standard deviation instead of the root mean square.
        init: "zero", or "first_gradient": W starts as the first squared gradient.
        weight_decay, decay: λ and which of the four decays it is.
        variant: "torch"; "paper" (eps inside the root; neither momentum nor centered); "keras"
            (inside, and lr inside the velocity).

    Raises:
        ValueError: a value out of range, or one that the variant has no use for.

    Reach for it in reinforcement learning and recurrent networks, where much tuning exists for it.
    Not elsewhere: Adam starts better.

    >>> import glissade
    >>> glissade.rules.rmsprop(lr=1e-3, centered=True).hyper["alpha"]
    0.99

    Source: Tieleman & Hinton 2012, Coursera lecture 6.5.
    """
    hyper = locals()
    if variant == "paper":
        idle("rmsprop", variant, momentum=(momentum, 0), centered=(centered, False))
    return Rule(
        _rmsprop,
        hyper,
        name="rmsprop",
        choices={"variant": VARIANTS, "init": INITS},
        decays=True,
        aliases={"W": "square_avg", "g_mean": "grad_avg", "v": "momentum_buffer"},
    )
