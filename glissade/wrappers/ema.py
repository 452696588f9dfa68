"""An average of the parameters beside them."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

from ..rule import After, Idle, Rule, State, wrapper


def _average(inner: After | None, p: Any, s: Any, t: Any, h: Any) -> tuple[Any, State]:
    new = State()
    if inner is not None:
        p, new = inner(p, s, t, h)
    average = _moved(s.ema_average, p, h) if "ema_average" in s else p
    return p, new | State(ema_average=average)


def _moved(average: Any, p: Any, h: Any) -> Any:
    return h.ema_decay * average + (1 - h.ema_decay) * p


def _idle(inner: Idle | None, p: Any, s: Any, t: Any, h: Any) -> State:
    """A parameter without a gradient has an average that comes to it all the same."""
    new = State() if inner is None else inner(p, s, t, h)
    return new | State(ema_average=_moved(s.ema_average, p, h))


@wrapper
def ema(rule: Rule, decay: float = 0.999) -> Rule:
    """Keep a moving average of the parameters, for evaluation.

    .. math:: \\bar\\theta \\leftarrow decay\\,\\bar\\theta + (1-decay)\\,\\theta

    The average starts at the parameters after their first step, and moves on after each step of the
    optimizer, also for parameters that have no gradient in it.
    ``with optimizer.swap_ema(): ...`` puts it in the parameters' place.

    Args:
        rule: what to wrap.
        decay: share of the average that is kept, in [0, 1).

    >>> import torch, glissade
    >>> p = torch.zeros(1, requires_grad=True)
    >>> rule = glissade.wrappers.ema(glissade.rules.sgd(lr=1.0), decay=0.5)
    >>> opt = glissade.Optimizer([p], rule)
    >>> for _ in range(2):
    ...     p.grad = torch.ones(1)
    ...     opt.step()
    >>> with opt.swap_ema():
    ...     p.item()
    -1.5

    Source: Polyak & Juditsky 1992, doi:10.1137/0330046.
    """
    wrapped = rule.wrap(
        "ema",
        after=partial(_average, rule.after),
        keeps={"ema_average": "float32"},  # in fewer bits it would stand still
        ema_decay=decay,
    )
    return replace(wrapped, idle=partial(_idle, rule.idle), watched=("ema_average",))
