"""Gradient centralization."""

from __future__ import annotations

from functools import partial
from typing import Any

from ..language import Update
from ..rule import Rule, State, mean, still, wrapper


def _centralize(inner: Update, p: Any, g: Any, s: Any, t: Any, h: Any) -> tuple[Any, State]:
    if p.ndim >= 2:
        center = mean(g, per="slice")
        # 0 where the difference does not fit; NaN where another gradient is not finite.
        g = still(g - center, g, center - center)
    return inner(p, g, s, t, h)


@wrapper
def centralize(rule: Rule) -> Rule:
    """Give the rule gradients whose mean over each output is 0 (tensors of 2 or more dimensions).

    .. math:: g \\leftarrow g - \\mathrm{mean}(g \\text{ over all dimensions but the first})

    An l2 decay enters the gradient before it is centralized.

    >>> import glissade
    >>> glissade.wrappers.centralize(glissade.rules.sgd(lr=0.1)).name
    'centralize(sgd)'

    Source: Yong et al. 2020, arXiv:2004.01461.
    """
    return rule.wrap("centralize", partial(_centralize, rule.update))
