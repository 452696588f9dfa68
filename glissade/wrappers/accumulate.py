"""One step from several gradients."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

from ..rule import NoStep, Rule, State, regularized, wrapper


def _accumulate(inner: Rule, p: Any, g: Any, s: Any, t: Any, h: Any) -> tuple[Any, State]:
    total = s.accumulate_sum + g if "accumulate_sum" in s else g
    done = h.accumulate_done + 1
    if done < h.accumulate_n:
        raise NoStep(State(accumulate_sum=total, accumulate_done=done))
    step, new = inner.update(p, regularized(inner, p, total / done, t, h), s, t, h)
    return step, new | State(accumulate_sum=None, accumulate_done=0)


def _real(h: Any) -> Any:
    """Whether the call that comes takes a step."""
    return h.accumulate_done + 1 >= h.accumulate_n


@wrapper
def accumulate(rule: Rule, n: int) -> Rule:
    """Take one step every n gradients, with their mean.

    .. math:: G \\leftarrow G + g; \\qquad t \\bmod n = 0: \\quad
              \\text{step of } G/n, \\; G \\leftarrow 0

    Between two steps neither parameters nor the rule's states are touched; the rule counts its own
    steps. The gradient must be a fresh one each time (`zero_grad`), not a running sum.

    Args:
        rule: what to wrap; whatever it does to a gradient (a clip, a decay) it does to the mean.
        n: gradients a step, 1 or more.

    >>> import glissade
    >>> glissade.wrappers.accumulate(glissade.rules.adamw(), 4).hyper["accumulate_n"]
    4

    Source: what a training loop does that calls `backward` n times; Goyal et al. 2017,
    arXiv:1706.02677, for large batches.
    """
    wrapped = rule.wrap(
        "accumulate", partial(_accumulate, rule), inside=("gradient",), accumulate_n=n
    )
    return replace(
        wrapped,
        shared={**rule.shared, "accumulate_done": 0},
        alike=(*rule.alike, "accumulate_n"),
        pending=("accumulate_sum",),
        real=_real,
    )
