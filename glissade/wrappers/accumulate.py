"""One step from several gradients."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from ..rule import NoStep, Rule, State, still, wrapper


def _gather(p: Any, g: Any, s: Any, t: Any, h: Any) -> tuple[Any, State]:
    total = s.accumulate_sum + g if "accumulate_sum" in s else g
    done = h.accumulate_done + 1
    if done < h.accumulate_n:
        raise NoStep(State(accumulate_sum=total, accumulate_done=done))
    # A sum that has left the range is no gradient to follow.
    return still(total / done, g, total), State(accumulate_sum=None, accumulate_done=0)


def _real(h: Any) -> Any:
    """Whether the call that comes takes a step."""
    return h.accumulate_done + 1 >= h.accumulate_n


@wrapper
def accumulate(rule: Rule, n: int) -> Rule:
    """Take one step every n gradients, with their mean.

    .. math:: G \\leftarrow G + g; \\qquad \\text{at every } n\\text{th call}: \\quad
              \\text{step of } G/n, \\; G \\leftarrow 0

    Between two steps neither parameters nor the rule's states are touched, and ``state["step"]``
    counts the steps. The optimizer counts its calls once, for all parameters, in every group under
    ``accumulate_done``: a parameter that has no gradient in some of them takes its step with the
    others, of what it had, over n. Wrappers outside see the steps and the mean alone. The gradient
    must be a fresh one each time (`zero_grad`), not a running sum.

    Args:
        rule: what to wrap; whatever it does to a gradient (a clip, a decay) it does to the mean.
        n: gradients a step, 1 or more; the same in every group (``accumulate_n``). A smaller one
            set in mid-window ends it with the next call.

    >>> import glissade
    >>> glissade.wrappers.accumulate(glissade.rules.adamw(), 4).hyper["accumulate_n"]
    4

    Source: what a training loop does that calls `backward` n times; Goyal et al. 2017,
    arXiv:1706.02677, for large batches.
    """
    wrapped = rule.wrap("accumulate", accumulate_n=n)
    return replace(
        wrapped,
        gather=_gather,
        shared={**rule.shared, "accumulate_done": 0},
        alike=(*rule.alike, "accumulate_n"),
        pending=("accumulate_sum",),
        real=_real,
    )
