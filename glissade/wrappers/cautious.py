"""Cautious steps: none against the gradient."""

from __future__ import annotations

from functools import partial
from typing import Any

from ..language import Update
from ..rule import Rule, State, maximum, mean, still, where, wrapper


def _cautious(inner: Update, p: Any, g: Any, s: Any, t: Any, h: Any) -> tuple[Any, State]:
    d, new = inner(p, g, s, t, h)
    mask = where(d * g > 0, 1.0, 0.0)
    kept = d * mask
    return still(kept / maximum(mean(mask), 1e-3), kept), new


@wrapper
def cautious(rule: Rule) -> Rule:
    """Leave out the elements of a step that go against the present gradient.

    .. math:: mask = 1[d\\,g > 0], \\qquad
              \\text{step} = d\\cdot mask/\\max(\\mathrm{mean}(mask), 10^{-3})

    What is left of a tensor's step grows by as much as was left out. Weight decay is added outside
    the mask.

    Args:
        rule: what to wrap: a rule with momentum, or the mask does nothing.

    >>> import glissade
    >>> glissade.wrappers.cautious(glissade.rules.adamw()).name
    'cautious(adamw)'

    Source: Liang et al. 2024, arXiv:2411.16085.
    """
    return rule.wrap("cautious", partial(_cautious, rule.update))
