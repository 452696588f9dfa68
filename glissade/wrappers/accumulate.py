"""One step from several gradients."""

from __future__ import annotations

from functools import partial
from typing import Any

from ..rule import After, Rule, State, Update, decayed, wrapper


def _accumulate(inner: Update, p: Any, g: Any, s: Any, t: Any, h: Any) -> tuple[Any, State]:
    total = s.accumulate_sum + g
    if t % h.accumulate_n != 0:
        return 0.0, State(accumulate_sum=total)
    step, new = inner(p, total / h.accumulate_n, s, t / h.accumulate_n, h)
    return step, new | State(accumulate_sum=0.0)


def _after(inner: After, p: Any, s: Any, t: Any, h: Any) -> tuple[Any, State]:
    if t % h.accumulate_n != 0:
        return p, State()
    return inner(p, s, t / h.accumulate_n, h)


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
    return rule.wrap(
        "accumulate",
        partial(_accumulate, partial(decayed, rule)),
        None if rule.after is None else partial(_after, rule.after),
        whole=True,
        accumulate_n=n,
    )
