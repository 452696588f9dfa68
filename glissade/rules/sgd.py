"""Stochastic gradient descent with momentum, in three variants, and with decoupled decay."""

from __future__ import annotations

from typing import Any

from ..checks import idle
from ..rule import Rule, State, still

VARIANTS = ("torch", "paper", "ema")


def _sgd(p: Any, g: Any, s: Any, t: Any, h: Any) -> tuple[Any, State]:
    """The stored parameter is the look-ahead point: p + μv is the textbook's sequence."""
    mu = h.momentum
    if h.variant == "paper":
        v = mu * s.v + h.lr * g
        return still(mu * v + h.lr * g if h.nesterov else v, g, v), State(v=v)
    if h.variant == "ema":
        v = mu * s.v + (1 - mu) * g
        return h.lr * (mu * v + (1 - mu) * g if h.nesterov else v), State(v=v)
    if mu == 0:
        return h.lr * g, State()
    v = mu * s.v + (1 - h.dampening) * g if "v" in s else g
    return h.lr * still(g + mu * v if h.nesterov else v, g, v), State(v=v)


def _bind(name: str, hyper: dict[str, Any]) -> Rule:
    if hyper["nesterov"] and (hyper["momentum"] == 0 or hyper["dampening"] != 0):
        raise ValueError(
            f"nesterov=True with momentum={hyper['momentum']!r}, dampening={hyper['dampening']!r}: "
            "allowed is a momentum over 0 with dampening=0"
        )
    if hyper["variant"] != "torch":
        idle(name, hyper["variant"], dampening=(hyper["dampening"], 0))
    choices = {"variant": VARIANTS}
    return Rule(
        _sgd, hyper, name=name, choices=choices, decays=True, aliases={"v": "momentum_buffer"}
    )


def sgd(
    lr: float = 1e-3,
    *,
    momentum: float = 0.0,
    dampening: float = 0.0,
    nesterov: bool = False,
    weight_decay: float = 0.0,
    decay: str = "l2",
    variant: str = "torch",
) -> Rule:
    """Stochastic gradient descent, with momentum.

    Batch, stochastic and mini-batch descent are this rule with all, one or k samples a gradient.

    .. math:: v \\leftarrow \\mu v + (1-\\text{dampening})\\,g, \\qquad p \\leftarrow p - lr\\,v

    Args:
        lr: learning rate, in parameter units per gradient unit; default torch's.
        momentum: μ, at least 0; 0 keeps no state (variant "torch"). 0.9 is usual.
        dampening: taken off the new gradient's weight, not at the first step (torch's).
        nesterov: step along the look-ahead gradient.
        weight_decay, decay: λ and which of the four decays it is.
        variant: "torch"; "paper" (lr inside the velocity: differs when lr changes); "ema" (the
            velocity is an average: the same lr means the same step at any momentum).

    Raises:
        ValueError: a value out of range; nesterov without momentum.

    Reach for it in vision with a tuned schedule, or where memory is short: 0 or 1 numbers of
    state. Not where gradients of different layers differ by orders of magnitude.

    >>> import glissade
    >>> glissade.rules.sgd(lr=0.1, momentum=0.9, nesterov=True).hyper["momentum"]
    0.9

    Source: Polyak 1964; Nesterov 1983; torch.optim.SGD.
    """
    return _bind("sgd", locals())


def sgdw(
    lr: float = 1e-3,
    *,
    momentum: float = 0.0,
    dampening: float = 0.0,
    nesterov: bool = False,
    weight_decay: float = 1e-2,
    decay: str = "decoupled",
    variant: str = "torch",
) -> Rule:
    """SGD whose weight decay stays out of the momentum.

    .. math:: v \\leftarrow \\mu v + g, \\qquad p \\leftarrow p - lr\\,v - lr\\,\\lambda\\,p

    Args:
        lr, momentum, dampening, nesterov, variant: as in `sgd`.
        weight_decay: λ; default AdamW's in torch (the paper has none of its own).
        decay: "decoupled"; the paper's own is "independent", which the base lr does not scale.

    Raises:
        ValueError: a value out of range; nesterov without momentum.

    Reach for it when lr and decay are to be tuned apart from each other. Not to move SGD's settings
    over as they are: the same λ shrinks differently with momentum.

    >>> import glissade
    >>> glissade.rules.sgdw(lr=0.1, momentum=0.9, decay="independent").name
    'sgdw'

    Source: Loshchilov & Hutter 2019, Algorithm 1.
    """
    return _bind("sgdw", locals())
