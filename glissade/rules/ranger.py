"""Ranger, Ralamb and RangerLARS: presets of wrappers around RAdam."""

from __future__ import annotations

from dataclasses import replace

from ..checks import one_of
from ..rule import Rule
from ..wrappers.centralize import centralize
from ..wrappers.layerwise import layerwise
from ..wrappers.lookahead import lookahead
from .radam import radam

VARIANTS = ("paper", "official")


def ranger(
    lr: float = 1e-3,
    *,
    betas: tuple[float, float] | None = None,
    eps: float | None = None,
    weight_decay: float = 0.0,
    decay: str = "l2",
    k: int = 6,
    alpha: float = 0.5,
    variant: str = "paper",
) -> Rule:
    """Ranger: Lookahead around RAdam.

    .. math:: \\theta \\leftarrow RAdam(\\theta); \\quad \\text{every } k: \\;
              \\phi \\leftarrow \\phi + \\alpha(\\theta-\\phi), \\; \\theta \\leftarrow \\phi

    Args:
        lr: RAdam's learning rate.
        betas, eps: RAdam's; None is (0.9, 0.999) and 1e-8, or "official"'s (0.95, 0.999) and 1e-5.
        weight_decay, decay: λ and which of the four decays it is.
        k, alpha: Lookahead's steps between syncs and its share of the way; default Ranger's.
        variant: "paper" is lookahead(radam(variant="paper")); "official" is the released code:
            gradients centralized, RAdam's "torch" form (ρ over 5), its own betas and eps.

    Raises:
        ValueError: a value out of range.

    Reach for it when a robust default matters more than the last percent. Not where memory is
    short: it holds one number more for each element than Adam.

    >>> import glissade
    >>> glissade.rules.ranger().hyper["lookahead_k"]
    6

    Source: Wright 2019, github.com/lessw2020/Ranger-Deep-Learning-Optimizer.
    """
    one_of("ranger", "variant", variant, VARIANTS)
    official = variant == "official"
    base = radam(
        lr,
        betas=betas or ((0.95, 0.999) if official else (0.9, 0.999)),
        eps=(1e-5 if official else 1e-8) if eps is None else eps,
        weight_decay=weight_decay,
        decay=decay,
        variant="torch" if official else "paper",
    )
    rule = lookahead(centralize(base) if official else base, k=k, alpha=alpha)
    return replace(rule, name="ranger")


def ralamb(
    lr: float = 1e-3,
    *,
    betas: tuple[float, float] = (0.9, 0.999),
    eps: float = 1e-8,
    weight_decay: float = 0.0,
    decay: str = "l2",
    phi_bounds: tuple[float, float] | None = None,
) -> Rule:
    """Ralamb: RAdam's direction, each tensor's step scaled to the size of its weights.

    .. math:: d = \\text{RAdam's step}, \\qquad p \\leftarrow p - lr\\,\\phi(\\|p\\|)/\\|d\\|\\;d

    Args:
        lr: relative change of a tensor in a step.
        betas, eps, weight_decay, decay: RAdam's, of its "paper" variant.
        phi_bounds: φ clips ‖p‖ to (low, high); None leaves it.

    Raises:
        ValueError: a value out of range.

    Reach for it where LAMB's early steps are unstable. Not beside a warm-up, which LAMB does with.

    >>> import glissade
    >>> glissade.rules.ralamb().name
    'ralamb'

    Source: Grankin 2019, github.com/mgrankin/over9000.
    """
    base = radam(lr, betas=betas, eps=eps, weight_decay=weight_decay, decay=decay, variant="paper")
    return replace(layerwise(base, phi_bounds=phi_bounds), name="ralamb")


def rangerlars(
    lr: float = 1e-3,
    *,
    betas: tuple[float, float] = (0.9, 0.999),
    eps: float = 1e-8,
    weight_decay: float = 0.0,
    decay: str = "l2",
    phi_bounds: tuple[float, float] | None = None,
    k: int = 6,
    alpha: float = 0.5,
) -> Rule:
    """RangerLARS (Over9000): Lookahead around Ralamb.

    .. math:: \\theta \\leftarrow Ralamb(\\theta); \\quad \\text{every } k: \\;
              \\phi \\leftarrow \\phi + \\alpha(\\theta-\\phi), \\; \\theta \\leftarrow \\phi

    Args:
        lr, betas, eps, weight_decay, decay, phi_bounds: Ralamb's.
        k, alpha: Lookahead's steps between syncs and its share of the way.

    Raises:
        ValueError: a value out of range.

    Reach for it when Ralamb's weights swing. Not where memory is short: its slow weights are a
    third number for each element.

    >>> import glissade
    >>> glissade.rules.rangerlars().hyper["lookahead_alpha"]
    0.5

    Source: Grankin 2019, github.com/mgrankin/over9000.
    """
    base = ralamb(
        lr, betas=betas, eps=eps, weight_decay=weight_decay, decay=decay, phi_bounds=phi_bounds
    )
    return replace(lookahead(base, k=k, alpha=alpha), name="rangerlars")
