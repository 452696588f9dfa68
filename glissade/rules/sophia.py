"""Sophia: momentum divided by an estimate of the curvature, and clipped."""

from __future__ import annotations

from typing import Any

from ..checks import idle
from ..rule import Rule, State, clip, maximum, minimum, sign, stands_still

VARIANTS = ("paper", "official")
ESTIMATORS = ("gnb", "hutchinson")
GAMMA = {"gnb": 0.05, "hutchinson": 0.01}  # the paper's


@stands_still("m")
def _sophia(p: Any, g: Any, s: Any, t: Any, h: Any) -> tuple[Any, State]:
    """Liu et al. 2023, Algorithm 3; `H` there is `h`, and its estimate comes from outside."""
    beta1, beta2 = h.betas
    m = beta1 * s.m + (1 - beta1) * g
    H = s.H
    if (t - 1) % h.k == 0:
        H = beta2 * s.H + (1 - beta2) * s.curvature
    new = State(m=m, H=H)
    if h.variant == "official":
        ratio = minimum(abs(m) / (h.rho * h.bs * H + 1e-15), 1.0)
        return h.lr * sign(m) * ratio, new
    return h.lr * clip(m / maximum(h.gamma * H, h.eps), -1.0, 1.0), new


def sophia(
    lr: float = 1e-4,
    *,
    betas: tuple[float, float] = (0.965, 0.99),
    gamma: float | None = None,
    eps: float = 1e-12,
    k: int = 10,
    weight_decay: float = 0.1,
    decay: str = "decoupled",
    estimator: str = "gnb",
    rho: float = 0.04,
    bs: float = 5120,
    variant: str = "paper",
) -> Rule:
    """Sophia: large steps along flat directions, and none over lr along sharp ones.

    .. math:: h \\leftarrow \\beta_2 h + (1-\\beta_2)\\hat h \\text{ every } k \\text{ steps},
              \\qquad p \\leftarrow p - lr\\,\\mathrm{clip}(m/\\max(\\gamma h, \\epsilon), -1, 1)

    The estimate ĥ of the Hessian's diagonal is the training loop's to bring: before the first step
    and every k steps it calls ``optimizer.update_curvature(closure)``, with a closure that returns
    the model's logits (estimator "gnb") or its loss (estimator "hutchinson"), on a batch that may
    be smaller than the gradient's.

    Args:
        lr: bound of an element's change in a step; default the paper's smallest model's.
        betas: shares of m and h that are kept, each in [0, 1); default the paper's.
        gamma: how much of the curvature counts, over 0: so that between 10 and 50 % of the elements
            are not clipped, say the authors. None is 0.05 for "gnb" and 0.01 for "hutchinson".
        eps: least curvature; default the paper's.
        k: steps between two estimates; default the paper's.
        weight_decay, decay: λ and which of the four decays it is.
        estimator: "gnb" (Gauss-Newton-Bartlett: for losses that are a cross-entropy of logits) or
            "hutchinson" (for any loss that can be differentiated twice).
        rho, bs: γ is rho·bs, bs being the tokens of a batch (variant "official").
        variant: "paper"; "official" (the released code's clip).

    Raises:
        ValueError: a value out of range, or one that the variant has no use for.

    Reach for it to pretrain language models where the second forward and backward pass every k
    steps pays. Not for models that cannot be differentiated twice, without "gnb".

    >>> import glissade
    >>> glissade.rules.sophia(estimator="hutchinson").hyper["gamma"]
    0.01

    Source: Liu et al. 2023, arXiv:2305.14342.
    """
    hyper = {**locals(), "curvature_age": -1}
    if variant == "paper":
        idle("sophia", variant, rho=(rho, 0.04), bs=(bs, 5120))
    elif variant == "official":
        idle("sophia", variant, gamma=(gamma, None), eps=(eps, 1e-12))
    if gamma is None:
        hyper["gamma"] = GAMMA.get(estimator, 0.05)
    return Rule(
        _sophia,
        hyper,
        name="sophia",
        choices={"variant": VARIANTS, "estimator": ESTIMATORS},
        decays=True,
        inputs={"curvature": "k"},
    )
