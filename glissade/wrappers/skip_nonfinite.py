"""No step where a gradient is infinite or NaN."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from ..rule import Rule, isfinite, total, where, wrapper


def _all_finite(p: Any, g: Any, t: Any, h: Any) -> Any:
    return total(where(isfinite(g), 0.0, 1.0), per="all") == 0


@wrapper
def skip_nonfinite(rule: Rule) -> Rule:
    """Leave out a step if any element of any gradient is infinite or NaN.

    Parameters, states and the counts of steps stay as they are. How many were left out stands in
    every parameter group under ``skip_nonfinite_count``, and so in checkpoints.

    .. math:: \\text{a step only if every } g \\text{ is finite}

    Args:
        rule: what to wrap.

    >>> import torch, glissade
    >>> p = torch.ones(2, requires_grad=True)
    >>> p.grad = torch.tensor([1.0, float("inf")])
    >>> rule = glissade.wrappers.skip_nonfinite(glissade.rules.sgd(lr=0.1))
    >>> opt = glissade.Optimizer([p], rule)
    >>> opt.step()
    >>> opt.param_groups[0]["skip_nonfinite_count"], p.tolist()
    (1, [1.0, 1.0])

    Source: torch.amp.GradScaler, apex.
    """
    wrapped = rule.wrap("skip_nonfinite", skip_nonfinite_count=0)
    return replace(
        wrapped,
        guard=_all_finite,
        skips="skip_nonfinite_count",
        shared={**rule.shared, "skip_nonfinite_count": 0},
    )
