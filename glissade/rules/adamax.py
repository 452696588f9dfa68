"""Adamax: Adam with the largest gradient in place of the root mean square."""

from __future__ import annotations

from typing import Any

from ..checks import idle
from ..rule import Rule, State, maximum, stands_still

VARIANTS = ("torch", "paper", "keras")


@stands_still("m")
def _adamax(p: Any, g: Any, s: Any, t: Any, h: Any) -> tuple[Any, State]:
    """Kingma & Ba 2015, Algorithm 2."""
    beta1, beta2 = h.betas
    m = beta1 * s.m + (1 - beta1) * g
    u = maximum(beta2 * s.u, abs(g) + h.eps if h.variant == "torch" else abs(g))
    lr_t = h.lr / (1 - beta1**t)
    if h.variant == "torch":
        return lr_t * m / u, State(m=m, u=u)
    if h.variant == "keras":
        return lr_t * m / (u + h.eps), State(m=m, u=u)
    return lr_t * m / u, State(m=m, u=u)


def adamax(
    lr: float = 2e-3,
    *,
    betas: tuple[float, float] = (0.9, 0.999),
    eps: float = 1e-8,
    weight_decay: float = 0.0,
    decay: str = "l2",
    variant: str = "torch",
) -> Rule:
    """Adamax: momentum over a slowly falling maximum of the gradient.

    .. math:: m \\leftarrow \\beta_1 m + (1-\\beta_1)g, \\quad
              u \\leftarrow \\max(\\beta_2 u, |g|), \\quad
              p \\leftarrow p - \\frac{lr}{1-\\beta_1^t}\\,m/u

    Args:
        lr: learning rate: the bound of an element's change in a step; default the paper's.
        betas: share of m that is kept, and by how much u falls, each in [0, 1); default the
            paper's.
        eps: added to the gradient's size ("torch") or to u ("keras"); the paper has none.
        weight_decay, decay: λ and which of the four decays it is.
        variant: "torch"; "paper" (no eps, no step where u is 0); "keras".

    Raises:
        ValueError: a value out of range, or one that the variant has no use for.

    Reach for it when gradients have rare outliers, embeddings for instance. Not elsewhere:
    Adam is the better known.

    >>> import glissade
    >>> glissade.rules.adamax().hyper["lr"]
    0.002

    Source: Kingma & Ba 2015, arXiv:1412.6980, section 7.1.
    """
    hyper = locals()
    if variant == "paper":
        idle("adamax", variant, eps=(eps, 1e-8))
    return Rule(
        _adamax,
        hyper,
        name="adamax",
        choices={"variant": VARIANTS},
        decays=True,
        aliases={"m": "exp_avg", "u": "exp_inf"},
    )
