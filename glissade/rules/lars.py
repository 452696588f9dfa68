"""LARS: momentum whose every tensor moves by a share of its own norm."""

from __future__ import annotations

from typing import Any

from ..checks import idle
from ..rule import Rule, State, norm, scaled, still, where
from ..wrappers.layerwise import trust

VARIANTS = ("paper", "official")


def _lars(p: Any, g: Any, s: Any, t: Any, h: Any) -> tuple[Any, State]:
    """You, Gitman & Ginsburg 2017; "paper" as in You et al. 2020, Algorithm 1."""
    d = g + h.weight_decay * p
    if h.variant == "official":
        p_norm, g_norm = norm(p), norm(g)
        size = g_norm + h.weight_decay * p_norm + h.eps
        local = where((p_norm == 0) | (g_norm == 0), 1.0, h.trust_coefficient * p_norm / size)
        v = h.momentum * s.v + scaled(d, h.lr * local)
        return still(v, g, v), State(v=v)
    m = h.momentum * s.m + (1 - h.momentum) * d
    return scaled(m, h.lr * trust(p, m, h.phi_bounds)), State(m=m)


def lars(
    lr: float = 1e-3,
    *,
    momentum: float = 0.9,
    weight_decay: float = 0.0,
    phi_bounds: tuple[float, float] | None = None,
    trust_coefficient: float = 1e-3,
    eps: float = 1e-8,
    variant: str = "paper",
) -> Rule:
    """LARS: every tensor moves by lr times its own norm, along an averaged gradient.

    .. math:: m \\leftarrow \\mu m + (1-\\mu)(g+\\lambda p), \\qquad
              p \\leftarrow p - lr\\,\\phi(\\|p\\|)\\,m/\\|m\\|

    The ratio is 1 where either norm is 0.

    Args:
        lr: relative change of a tensor in a step (variant "paper"); a learning rate on top of the
            local one (variant "official").
        momentum: share of m that is kept, in [0, 1) for "paper"; default the paper's.
        weight_decay: λ, inside the direction and so inside the ratio.
        phi_bounds: φ clips ‖p‖ to (low, high); None leaves it (variant "paper").
        trust_coefficient, eps: of the local rate; default the paper's (variant "official").
        variant: "paper" (LAMB's paper on LARS); "official" (the local rate multiplies what enters
            the velocity).

    Raises:
        ValueError: a value out of range, or one that the variant has no use for.

    Reach for it to train convolutional networks with batches of many thousands. Not for small
    batches: momentum SGD does as well and has one knob fewer.

    >>> import glissade
    >>> glissade.rules.lars(lr=0.02).hyper["momentum"]
    0.9

    Source: You, Gitman & Ginsburg 2017, arXiv:1708.03888.
    """
    hyper = locals()
    if variant == "paper":
        idle("lars", variant, trust_coefficient=(trust_coefficient, 1e-3), eps=(eps, 1e-8))
    elif variant == "official":
        idle("lars", variant, phi_bounds=(phi_bounds, None))
    return Rule(_lars, hyper, name="lars", choices={"variant": VARIANTS})
