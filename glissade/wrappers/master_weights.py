"""Parameters of half precision beside weights of float32 that are trained."""

from __future__ import annotations

from functools import partial
from typing import Any

from ..rule import After, Rule, State, decayed, wrapper


def _train(inner: Rule, p: Any, g: Any, s: Any, t: Any, h: Any) -> tuple[Any, State]:
    p = s.master_weights if "master_weights" in s else p
    step, new = decayed(inner, p, g, s, t, h)
    return step, new | State(master_weights=p - step)


def _copy(inner: After | None, p: Any, s: Any, t: Any, h: Any) -> tuple[Any, State]:
    p, new = s.master_weights, State()
    if inner is not None:
        p, new = inner(p, s, t, h)
    return p, new | State(master_weights=p)


@wrapper
def master_weights(rule: Rule) -> Rule:
    """Train a copy of the parameters in float32; the parameters are the copy, rounded.

    .. math:: w \\leftarrow w - \\text{step}(w), \\qquad p \\leftarrow \\mathrm{round}(w)

    What a forward pass sees has few bits, and what the steps add up in has enough. The copy starts
    at the parameters before the first step, and is kept in float32 whatever ``state_dtype`` says.

    Args:
        rule: what to wrap; other wrappers go inside.

    Raises:
        ValueError: of a wrapper that is put around it and moves the parameter.

    Reach for it to train in float16 or bfloat16 as exactly as in float32. Not where memory is
    short: `kahan` holds half as much, ``stochastic_rounding=True`` nothing.

    >>> import glissade
    >>> glissade.wrappers.master_weights(glissade.rules.adamw()).name
    'master_weights(adamw)'

    Source: Micikevicius et al. 2018, arXiv:1710.03740, section 3.1.
    """
    inner = partial(_train, rule)
    return rule.wrap(
        "master_weights",
        inner,
        partial(_copy, rule.after),
        inside=("gradient", "step"),
        outermost=True,
        keeps={"master_weights": "float32"},
    )
