"""NAdam: Adam that looks one step of momentum ahead."""

from __future__ import annotations

from typing import Any

from ..checks import idle
from ..rule import Rule, State, sqrt, stands_still

VARIANTS = ("torch", "paper", "keras")


@stands_still("m")
def _nadam(p: Any, g: Any, s: Any, t: Any, h: Any) -> tuple[Any, State]:
    """Dozat 2016, Algorithm 8; "torch" and "keras" with its warm-up of the momentum."""
    beta1, beta2 = h.betas
    m = beta1 * s.m + (1 - beta1) * g
    v = beta2 * s.v + (1 - beta2) * g * g
    root = sqrt(v / (1 - beta2**t)) + h.eps
    if h.variant == "paper":
        m_hat = m / (1 - beta1**t)
        ahead = beta1 * m_hat + (1 - beta1) * g / (1 - beta1**t)
        return h.lr * ahead / root, State(m=m, v=v)
    psi = 1.0 if h.variant == "keras" else h.momentum_decay
    mu = beta1 * (1 - 0.5 * 0.96 ** (t * psi))
    mu_next = beta1 * (1 - 0.5 * 0.96 ** ((t + 1) * psi))
    product = s.mu_product * mu if "mu_product" in s else mu  # of all mu so far
    ahead = mu_next / (1 - product * mu_next) * m + (1 - mu) / (1 - product) * g
    return h.lr * ahead / root, State(m=m, v=v, mu_product=product)


def nadam(
    lr: float = 2e-3,
    *,
    betas: tuple[float, float] = (0.9, 0.999),
    eps: float = 1e-8,
    weight_decay: float = 0.0,
    momentum_decay: float = 4e-3,
    decay: str = "l2",
    variant: str = "torch",
) -> Rule:
    """NAdam: Adam with Nesterov's momentum.

    .. math:: p \\leftarrow p - \\frac{lr}{\\sqrt{\\hat v}+\\epsilon}
              \\left(\\beta_1\\hat m + \\frac{(1-\\beta_1)g}{1-\\beta_1^t}\\right)

    Args:
        lr: learning rate; default torch's.
        betas: shares of m and v that are kept, each in [0, 1); default the paper's.
        eps: added to the root; default the paper's.
        weight_decay, decay: λ and which of the four decays it is.
        momentum_decay: ψ: how fast the momentum warms up, μ_t = β1(1 - 0.96^(tψ)/2); default
            torch's.
        variant: "torch"; "paper" (no warm-up); "keras" (ψ = 1).

    Raises:
        ValueError: a value out of range, or one that the variant has no use for.

    Reach for it where Adam is used and a little speed early on is worth a try. Not with another
    schedule of the momentum: it has one of its own.

    >>> import glissade
    >>> glissade.rules.nadam().hyper["momentum_decay"]
    0.004

    Source: Dozat 2016, "Incorporating Nesterov momentum into Adam".
    """
    hyper = locals()
    if variant != "torch":
        idle("nadam", variant, momentum_decay=(momentum_decay, 4e-3))
    return Rule(
        _nadam,
        hyper,
        name="nadam",
        choices={"variant": VARIANTS},
        decays=True,
        aliases={"m": "exp_avg", "v": "exp_avg_sq", "mu_product": "mu_product"},
    )
