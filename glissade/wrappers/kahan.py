"""Parameters of half precision with their lost bits beside them."""

from __future__ import annotations

from functools import partial
from typing import Any

from ..rule import After, Rule, State, decayed, stored, wrapper


def _exact(p: Any, s: Any) -> Any:
    return p + s.kahan_rest if "kahan_rest" in s else p


def _whole(inner: Rule, p: Any, g: Any, s: Any, t: Any, h: Any) -> tuple[Any, State]:
    return decayed(inner, _exact(p, s), g, s, t, h)


def _split(inner: After | None, p: Any, s: Any, t: Any, h: Any) -> tuple[Any, State]:
    p, new = _exact(p, s), State()
    if inner is not None:
        p, new = inner(p, s, t, h)
    kept = stored(p)
    return kept, new | State(kahan_rest=p - kept)


@wrapper
def kahan(rule: Rule) -> Rule:
    """Keep what rounding a parameter of half precision loses, and add it in the next step.

    .. math:: \\theta \\leftarrow (p + r) - \\text{step}, \\qquad
              p \\leftarrow \\mathrm{round}(\\theta), \\quad r \\leftarrow \\theta - p

    The rest r is kept in bfloat16: parameter and rest together have about sixteen bits of
    precision, for as many bytes as a parameter of float32 takes. For parameters of float32 nothing
    is lost, and nothing gained.

    Args:
        rule: what to wrap; other wrappers go inside.

    Raises:
        ValueError: of a wrapper that is put around it and moves the parameter.

    Reach for it to train in bfloat16 without a copy of the weights in float32. Not where the noise
    of ``stochastic_rounding=True`` does: that takes no memory.

    >>> import glissade
    >>> glissade.wrappers.kahan(glissade.rules.adamw()).keeps
    {'kahan_rest': 'bfloat16'}

    Source: Zamirai et al. 2020, arXiv:2010.06192.
    """
    inner = partial(_whole, rule)
    return rule.wrap(
        "kahan",
        inner,
        partial(_split, rule.after),
        inside=("gradient", "step"),
        outermost=True,
        keeps={"kahan_rest": "bfloat16"},
    )
