"""AdaBound and AMSBound: Adam whose rates are clipped ever closer to one learning rate."""

from __future__ import annotations

from typing import Any

from ..rule import Rule, State, clip, maximum, sqrt, stands_still

VARIANTS = ("official",)


@stands_still("m")
def _adabound(p: Any, g: Any, s: Any, t: Any, h: Any) -> tuple[Any, State]:
    """Luo et al. 2019, Algorithms 2 and 3, as the released code has them."""
    beta1, beta2 = h.betas
    m = beta1 * s.m + (1 - beta1) * g
    v = beta2 * s.v + (1 - beta2) * g * g
    new = State(m=m, v=v)
    if h.amsbound:
        v = maximum(s.v_max, v)
        new = new | State(v_max=v)
    final = h.final_lr * h.lr / h.base_lr
    low = final * (1 - 1 / (h.gamma * t + 1))
    high = final * (1 + 1 / (h.gamma * t))
    rate = h.lr * sqrt(1 - beta2**t) / (1 - beta1**t) / (sqrt(v) + h.eps)
    return clip(rate, low, high) * m, new


def adabound(
    lr: float = 1e-3,
    *,
    betas: tuple[float, float] = (0.9, 0.999),
    final_lr: float = 0.1,
    gamma: float = 1e-3,
    eps: float = 1e-8,
    weight_decay: float = 0.0,
    decay: str = "l2",
    variant: str = "official",
) -> Rule:
    """AdaBound: begins as Adam and ends as momentum SGD.

    .. math:: F = final\\_lr\\,lr/lr_0, \\qquad p \\leftarrow p - \\mathrm{clip}\\left(
              \\frac{lr\\sqrt{1-\\beta_2^t}/(1-\\beta_1^t)}{\\sqrt v+\\epsilon},
              F(1-\\tfrac{1}{\\gamma t+1}), F(1+\\tfrac{1}{\\gamma t})\\right) m

    lr₀ is the lr that the parameter group was made with; it may not be 0.

    Args:
        lr: Adam's learning rate, at the beginning; default the authors'.
        betas: shares of m and v that are kept, each in [0, 1); default the authors'.
        final_lr: SGD's learning rate, at the end; schedules scale it like lr. Default the
            authors'.
        gamma: how fast the bounds close, over 0; default the authors'.
        eps: added to the root; default the authors'.
        weight_decay, decay: λ and which of the four decays it is.
        variant: "official": the released code, with bias correction and bounds in 1/t.

    Raises:
        ValueError: a value out of range.

    Reach for it to begin like Adam and generalize like SGD without a switch by hand. Not to be
    spared a search: final_lr needs the one that SGD's lr would.

    >>> import glissade
    >>> glissade.rules.adabound().hyper["final_lr"]
    0.1

    Source: Luo et al. 2019, arXiv:1902.09843.
    """
    return _bind("adabound", locals(), amsbound=False)


def amsbound(
    lr: float = 1e-3,
    *,
    betas: tuple[float, float] = (0.9, 0.999),
    final_lr: float = 0.1,
    gamma: float = 1e-3,
    eps: float = 1e-8,
    weight_decay: float = 0.0,
    decay: str = "l2",
    variant: str = "official",
) -> Rule:
    """AMSBound: AdaBound with the largest v so far in its root.

    .. math:: \\hat v \\leftarrow \\max(\\hat v, v), \\qquad p \\leftarrow p -
              \\mathrm{clip}\\left(
              \\frac{lr\\sqrt{1-\\beta_2^t}/(1-\\beta_1^t)}{\\sqrt{\\hat v}+\\epsilon},
              F(1-\\tfrac{1}{\\gamma t+1}), F(1+\\tfrac{1}{\\gamma t})\\right) m

    Args:
        lr, betas, final_lr, gamma, eps, weight_decay, decay, variant: as in `adabound`.

    Raises:
        ValueError: a value out of range.

    Reach for it where AdaBound's early steps are too large. Not before AdaBound: it holds one more
    number for each element.

    >>> import glissade
    >>> glissade.rules.amsbound().name
    'amsbound'

    Source: Luo et al. 2019, arXiv:1902.09843, Algorithm 3.
    """
    return _bind("amsbound", locals(), amsbound=True)


def _bind(name: str, hyper: dict[str, Any], *, amsbound: bool) -> Rule:
    return Rule(
        _adabound,
        {**hyper, "amsbound": amsbound},
        name=name,
        choices={"variant": VARIANTS},
        decays=True,
        aliases={"m": "exp_avg", "v": "exp_avg_sq", "v_max": "max_exp_avg_sq"},
    )
