"""Adam and AdamW: moving averages of the gradient and of its square."""

from __future__ import annotations

from typing import Any

from ..rule import Rule, State, maximum, sqrt, stands_still

VARIANTS = ("torch", "paper", "keras", "inside", "inside_hat")


@stands_still("m")
def _adam(p: Any, g: Any, s: Any, t: Any, h: Any) -> tuple[Any, State]:
    """Kingma & Ba 2015, Algorithm 1."""
    beta1, beta2 = h.betas
    m = beta1 * s.m + (1 - beta1) * g
    v = beta2 * s.v + (1 - beta2) * g * g
    new = State(m=m, v=v)
    if h.amsgrad:
        v = maximum(s.v_max, v)
        new = new | State(v_max=v)
    m_hat = m / (1 - beta1**t)
    v_hat = v / (1 - beta2**t)
    if h.variant in ("torch", "paper"):  # the same
        return h.lr * m_hat / (sqrt(v_hat) + h.eps), new
    if h.variant == "inside_hat":
        return h.lr * m_hat / sqrt(v_hat + h.eps), new
    lr_t = h.lr * sqrt(1 - beta2**t) / (1 - beta1**t)  # the paper's "efficient" order
    if h.variant == "keras":
        return lr_t * m / (sqrt(v) + h.eps), new
    return lr_t * m / sqrt(v + h.eps), new


def _bind(name: str, hyper: dict[str, Any]) -> Rule:
    names = {"m": "exp_avg", "v": "exp_avg_sq", "v_max": "max_exp_avg_sq"}
    choices = {"variant": VARIANTS}
    return Rule(_adam, hyper, name=name, choices=choices, decays=True, aliases=names)


def adam(
    lr: float = 1e-3,
    *,
    betas: tuple[float, float] = (0.9, 0.999),
    eps: float = 1e-8,
    weight_decay: float = 0.0,
    amsgrad: bool = False,
    decay: str = "l2",
    variant: str = "torch",
) -> Rule:
    """Adam: momentum over a moving root mean square, both freed of their start at zero.

    .. math:: m \\leftarrow \\beta_1 m + (1-\\beta_1)g, \\quad
              v \\leftarrow \\beta_2 v + (1-\\beta_2)g^2, \\quad
              p \\leftarrow p - lr\\,\\hat m/(\\sqrt{\\hat v}+\\epsilon)

    Args:
        lr: learning rate: about the largest change of an element in a step; default the paper's.
        betas: shares of m and v that are kept, each in [0, 1); default the paper's.
        eps: added to the root; default the paper's.
        weight_decay, decay: λ and which of the four decays it is.
        amsgrad: divide by the largest v so far.
        variant: "torch" (= paper); "keras" (efficient order: eps is not corrected); "inside"
            (eps inside the root); "inside_hat" (inside the root of the corrected v).

    Raises:
        ValueError: a value out of range.

    Reach for it as a first try on almost anything. Not with weight decay: its l2 is divided
    by the gradient's size; take `adamw`.

    >>> import glissade
    >>> glissade.rules.adam(lr=3e-4).hyper["betas"]
    (0.9, 0.999)

    Source: Kingma & Ba 2015, arXiv:1412.6980.
    """
    return _bind("adam", locals())


def adamw(
    lr: float = 1e-3,
    *,
    betas: tuple[float, float] = (0.9, 0.999),
    eps: float = 1e-8,
    weight_decay: float = 1e-2,
    amsgrad: bool = False,
    decay: str = "decoupled",
    variant: str = "torch",
) -> Rule:
    """AdamW: Adam whose weight decay is not divided by the gradient's size.

    .. math:: p \\leftarrow p - lr\\,\\hat m/(\\sqrt{\\hat v}+\\epsilon) - lr\\,\\lambda\\,p

    Args:
        lr, betas, eps, amsgrad, variant: as in `adam`.
        weight_decay: λ; default torch's.
        decay: "decoupled" is torch's; the paper's own is "independent", in which the schedule
            scales the decay but the base learning rate does not.

    Raises:
        ValueError: a value out of range.

    Reach for it to train transformers, and wherever Adam would do and weights should shrink.
    Not where two numbers of state an element are too many: Lion holds one, Adafactor hardly any.

    >>> import glissade
    >>> glissade.rules.adamw(lr=3e-4, weight_decay=0.1).hyper["decay"]
    'decoupled'

    Source: Loshchilov & Hutter 2019, arXiv:1711.05101, Algorithm 2.
    """
    return _bind("adamw", locals())
