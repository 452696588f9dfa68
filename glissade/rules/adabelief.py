"""AdaBelief: Adam that divides by how far gradients stray from their average."""

from __future__ import annotations

import warnings
from typing import Any

from ..rule import Rule, State, sqrt, stands_still


@stands_still("m")
def _adabelief(p: Any, g: Any, s: Any, t: Any, h: Any) -> tuple[Any, State]:
    """Zhuang et al. 2020, Algorithm 2; `s` there is `v` here."""
    beta1, beta2 = h.betas
    m = beta1 * s.m + (1 - beta1) * g
    v = beta2 * s.v + (1 - beta2) * (g - m) * (g - m) + h.eps
    m_hat = m / (1 - beta1**t)
    v_hat = v / (1 - beta2**t)
    return h.lr * m_hat / (sqrt(v_hat) + h.eps), State(m=m, v=v)


def adabelief(
    lr: float = 1e-3,
    *,
    betas: tuple[float, float] = (0.9, 0.999),
    eps: float = 1e-16,
    weight_decay: float = 0.0,
    decay: str = "decoupled",
) -> Rule:
    """AdaBelief: large steps where the gradient is what was expected, small ones where it is not.

    .. math:: v \\leftarrow \\beta_2 v + (1-\\beta_2)(g-m)^2 + \\epsilon, \\qquad
              p \\leftarrow p - lr\\,\\hat m/(\\sqrt{\\hat v}+\\epsilon)

    Args:
        lr: learning rate; default the authors'.
        betas: shares of m and v that are kept, each in [0, 1); default the authors'. With a first
            of 0, m is g, v is made of eps alone, and a step is about lr·g/√eps: a warning says so.
        eps: added to v in each step, and to the root; default the authors' code's.
        weight_decay, decay: λ and which of the four decays it is.

    Raises:
        ValueError: a value out of range.

    Reach for it where Adam is used and gradients are steady. Not with Adam's eps: it stands for
    something else here, and the default is much smaller.

    >>> import glissade
    >>> glissade.rules.adabelief().hyper["eps"]
    1e-16

    Source: Zhuang et al. 2020, arXiv:2010.07468.
    """
    rule = Rule(_adabelief, locals(), name="adabelief", decays=True)
    if betas[0] == 0:
        warnings.warn(
            f"adabelief: betas={betas!r}: with a first of 0, g - m is 0, v is eps alone, and "
            "steps are huge. Take one over 0, such as 0.9",
            stacklevel=2,
        )
    return rule
