"""Gradients of bounded length, all tensors together."""

from __future__ import annotations

from typing import Any

from ..rule import Rule, minimum, norm, scaled, wrapper


def _clip(p: Any, g: Any, t: Any, h: Any) -> Any:
    total = norm(g, per="all")
    return scaled(g, minimum(1.0, h.clip_norm_max / (total + 1e-6)))


@wrapper
def clip_norm(rule: Rule, max_norm: float) -> Rule:
    """Scale all gradients down together where their common norm is over max_norm.

    .. math:: g \\leftarrow g\\,\\min\\left(1, \\frac{max\\_norm}{\\|g_{all}\\|+10^{-6}}\\right)

    What `torch.nn.utils.clip_grad_norm_` does, for the parameters that take this step, without
    touching ``p.grad``, and before any decay. Where the norm is NaN, so is every parameter, and
    where it is infinite, finite gradients become 0, as there: `skip_nonfinite` leaves such steps
    out.

    Args:
        rule: what to wrap.
        max_norm: the bound, 0 or more.

    >>> import glissade
    >>> glissade.wrappers.clip_norm(glissade.rules.adamw(), 1.0).hyper["clip_norm_max"]
    1.0

    Source: Pascanu, Mikolov & Bengio 2013, arXiv:1211.5063; torch.nn.utils.clip_grad_norm_.
    """
    return rule.wrap("clip_norm", before=_clip, clip_norm_max=max_norm)
