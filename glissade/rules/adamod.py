"""AdaMod: Adam whose rates may not jump over their own average."""

from __future__ import annotations

from typing import Any

from ..rule import Rule, State, minimum, sqrt, stands_still

VARIANTS = ("official",)


@stands_still("m")
def _adamod(p: Any, g: Any, s: Any, t: Any, h: Any) -> tuple[Any, State]:
    """Ding et al. 2019, Algorithm 1, as the released code has it."""
    beta1, beta2 = h.betas
    m = beta1 * s.m + (1 - beta1) * g
    v = beta2 * s.v + (1 - beta2) * g * g
    eta = h.lr * sqrt(1 - beta2**t) / (1 - beta1**t) / (sqrt(v) + h.eps)
    eta_mean = h.beta3 * s.eta + (1 - h.beta3) * eta
    return minimum(eta, eta_mean) * m, State(m=m, v=v, eta=eta_mean)


def adamod(
    lr: float = 1e-3,
    *,
    betas: tuple[float, float] = (0.9, 0.999),
    beta3: float = 0.999,
    eps: float = 1e-8,
    weight_decay: float = 0.0,
    decay: str = "decoupled",
    variant: str = "official",
) -> Rule:
    """AdaMod: each element's rate is bounded by a long average of itself.

    .. math:: \\eta = \\frac{lr\\sqrt{1-\\beta_2^t}/(1-\\beta_1^t)}{\\sqrt v+\\epsilon},
              \\quad s \\leftarrow \\beta_3 s + (1-\\beta_3)\\eta, \\quad
              p \\leftarrow p - \\min(\\eta, s)\\,m

    Args:
        lr: learning rate; default the authors'.
        betas: shares of m and v that are kept, each in [0, 1); default the authors'.
        beta3: share of the rates' average that is kept, in [0, 1); 0 is Adam. Default the authors'.
        eps: added to the root; default the authors'.
        weight_decay, decay: λ and which of the four decays it is.
        variant: "official": the released code.

    Raises:
        ValueError: a value out of range.

    Reach for it instead of a warm-up for Adam: the average starts at 0, so that rates grow slowly.
    Not beside a warm-up, and not where memory is short: it holds three numbers for each element.

    >>> import glissade
    >>> glissade.rules.adamod().hyper["beta3"]
    0.999

    Source: Ding et al. 2019, arXiv:1910.12249.
    """
    return Rule(
        _adamod,
        locals(),
        name="adamod",
        choices={"variant": VARIANTS},
        decays=True,
        aliases={"m": "exp_avg", "v": "exp_avg_sq", "eta": "exp_avg_lr"},
    )
