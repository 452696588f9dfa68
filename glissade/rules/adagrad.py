"""Adagrad: each element's rate falls with the gradients it has seen."""

from __future__ import annotations

from typing import Any

from ..checks import idle
from ..rule import Rule, State, sqrt, stands_still

VARIANTS = ("torch", "paper")


@stands_still()
def _adagrad(p: Any, g: Any, s: Any, t: Any, h: Any) -> tuple[Any, State]:
    """Duchi, Hazan & Singer 2011, the diagonal form."""
    G = (s.G if "G" in s else h.initial_accumulator_value) + g * g
    if h.variant == "paper":
        return h.lr * g / sqrt(G + h.eps), State(G=G)
    return h.lr / (1 + (t - 1) * h.lr_decay) * g / (sqrt(G) + h.eps), State(G=G)


def adagrad(
    lr: float = 1e-2,
    *,
    lr_decay: float = 0.0,
    initial_accumulator_value: float = 0.0,
    eps: float = 1e-10,
    weight_decay: float = 0.0,
    decay: str = "l2",
    variant: str = "torch",
) -> Rule:
    """Adagrad: rates fall with the sum of squared gradients, element by element.

    .. math:: G \\leftarrow G + g^2, \\qquad p \\leftarrow p - lr\\,g/(\\sqrt{G}+\\epsilon)

    Args:
        lr: learning rate; default torch's.
        lr_decay: divides lr by 1 + (t-1)·lr_decay (variant "torch").
        initial_accumulator_value: what G starts from.
        eps: added to the root; default torch's.
        weight_decay, decay: λ and which of the four decays it is.
        variant: "torch"; "paper" has eps inside the root and no lr_decay.

    Raises:
        ValueError: a value out of range.

    Reach for it with sparse or rare features and convex losses. Not for long training of deep
    networks: the rate only ever falls.

    >>> import glissade
    >>> glissade.rules.adagrad(lr=0.1).hyper["eps"]
    1e-10

    Source: Duchi, Hazan & Singer 2011, "Adaptive subgradient methods".
    """
    hyper = locals()
    if variant == "paper":
        idle("adagrad", variant, lr_decay=(lr_decay, 0))
    return Rule(
        _adagrad,
        hyper,
        name="adagrad",
        choices={"variant": VARIANTS},
        decays=True,
        aliases={"G": "sum"},
    )
