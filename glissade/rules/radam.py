"""RAdam: Adam that waits until the variance of its rate is known."""

from __future__ import annotations

from typing import Any

from ..rule import Rule, State, sqrt, stands_still

VARIANTS = ("torch", "paper", "inside", "official")


@stands_still("m")
def _radam(p: Any, g: Any, s: Any, t: Any, h: Any) -> tuple[Any, State]:
    """Liu et al. 2020, Algorithm 2."""
    beta1, beta2 = h.betas
    m = beta1 * s.m + (1 - beta1) * g
    v = beta2 * s.v + (1 - beta2) * g * g
    m_hat = m / (1 - beta1**t)
    rho_inf = 2 / (1 - beta2) - 1
    rho = rho_inf - 2 * t * beta2**t / (1 - beta2**t)
    # Every known code asks for a little more than the paper's 4; "official" takes no step before.
    if not (rho >= 5 if h.variant == "official" else rho > (5 if h.variant == "torch" else 4)):
        return (0.0 if h.variant == "official" else h.lr * m_hat), State(m=m, v=v)
    r = sqrt((rho - 4) * (rho - 2) * rho_inf / ((rho_inf - 4) * (rho_inf - 2) * rho))
    if h.variant in ("torch", "official"):
        return h.lr * r * m_hat * sqrt(1 - beta2**t) / (sqrt(v) + h.eps), State(m=m, v=v)
    v_hat = v / (1 - beta2**t)
    root = sqrt(v_hat + h.eps) if h.variant == "inside" else sqrt(v_hat) + h.eps
    return h.lr * r * m_hat / root, State(m=m, v=v)


def radam(
    lr: float = 1e-3,
    *,
    betas: tuple[float, float] = (0.9, 0.999),
    eps: float = 1e-8,
    weight_decay: float = 0.0,
    decay: str = "l2",
    variant: str = "torch",
) -> Rule:
    """RAdam: plain momentum until the adaptive rate's variance is tractable, then rectified Adam.

    .. math:: \\rho_t = \\rho_\\infty - 2t\\beta_2^t/(1-\\beta_2^t); \\qquad
              p \\leftarrow p - lr\\,r_t\\,\\hat m/(\\sqrt{\\hat v}+\\epsilon)
              \\text{ if } \\rho_t > 4 \\text{ else } p - lr\\,\\hat m

    Args:
        lr: learning rate; default the paper's code's.
        betas: shares of m and v that are kept, each in [0, 1); default the paper's.
        eps: added to the root; default the paper's code's.
        weight_decay, decay: λ and which of the four decays it is.
        variant: "torch" (ρ over 5, eps on the uncorrected root); "paper" (ρ over 4); "inside"
            (eps inside the root); "official" (ρ at least 5, and no step at all before).

    Raises:
        ValueError: a value out of range.

    Reach for it when Adam needs a warm-up that you do not want to tune. Not beside a warm-up: it
    is one already.

    >>> import glissade
    >>> glissade.rules.radam(variant="paper").hyper["variant"]
    'paper'

    Source: Liu et al. 2020, arXiv:1908.03265.
    """
    return Rule(
        _radam,
        locals(),
        name="radam",
        choices={"variant": VARIANTS},
        decays=True,
        aliases={"m": "exp_avg", "v": "exp_avg_sq"},
    )
