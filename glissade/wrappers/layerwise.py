"""Layer-wise scaling of steps to the size of the weights: what makes LAMB of Adam."""

from __future__ import annotations

from functools import partial
from typing import Any

from ..language import Update
from ..rule import Rule, State, clip, norm, scaled, stepped, where, wrapper


def trust(p: Any, d: Any, phi_bounds: Any, scale: Any = 1.0) -> Any:
    """scale·φ(‖p‖)/‖d‖ per tensor; 1 where either norm is 0. It need not fit the dtype of d, so
    multiply by it with `scaled`."""
    p_norm, d_norm = norm(p), norm(d)
    phi = p_norm if phi_bounds is None else clip(p_norm, *phi_bounds)
    return where((p_norm == 0) | (d_norm == 0), 1.0, scale * phi / d_norm)  # NaN is not 0


def _layerwise(inner: Update, p: Any, g: Any, s: Any, t: Any, h: Any) -> tuple[Any, State]:
    d, new = inner(p, g, s, t, h)
    d = where(p == p, d, d)  # a rule may return one number for all
    return scaled(d, trust(p, d, h.layerwise_phi_bounds, h.lr)), new


@wrapper
def layerwise(rule: Rule, phi_bounds: tuple[float, float] | None = None) -> Rule:
    """Scale each tensor's step d to lr times the norm of the tensor.

    .. math:: \\text{step} = lr\\,\\phi(\\|p\\|)\\,d/\\|d\\|

    Where either norm is 0 the step is d itself. The rule's decoupled decay is part of d: around
    Adam that is LAMB, around an averaged momentum it is LARS.

    Args:
        rule: what to wrap.
        phi_bounds: φ clips ‖p‖ to (low, high); None leaves it.

    >>> import glissade
    >>> glissade.wrappers.layerwise(glissade.rules.adamw()).name
    'layerwise(adamw)'

    Source: You et al. 2020, arXiv:1904.00962.
    """
    inner = partial(_layerwise, partial(stepped, rule))
    return rule.wrap("layerwise", inner, inside=("step",), layerwise_phi_bounds=phi_bounds)
