"""Lookahead: slow weights that follow the fast ones every k steps."""

from __future__ import annotations

from functools import partial
from typing import Any

from ..language import Update
from ..rule import After, Rule, State, wrapper


def _remember(inner: Update, p: Any, g: Any, s: Any, t: Any, h: Any) -> tuple[Any, State]:
    step, new = inner(p, g, s, t, h)
    # Some ports start the slow weights at the first sync, which makes that sync do nothing.
    return step, (new if "lookahead_slow" in s else new | State(lookahead_slow=p))


def _sync(inner: After | None, p: Any, s: Any, t: Any, h: Any) -> tuple[Any, State]:
    new = State()
    if inner is not None:
        p, new = inner(p, s, t, h)
    if t % h.lookahead_k == 0:
        p = s.lookahead_slow + h.lookahead_alpha * (p - s.lookahead_slow)
        new = new | State(lookahead_slow=p)
    return p, new


@wrapper
def lookahead(rule: Rule, k: int = 5, alpha: float = 0.5) -> Rule:
    """Every k steps go back to a share alpha of the way that the rule went.

    .. math:: t \\bmod k = 0: \\quad \\phi \\leftarrow \\phi + \\alpha(\\theta-\\phi), \\;
              \\theta \\leftarrow \\phi

    The slow weights φ start at the parameters before the first step, and are read and written in
    the steps that move them only.

    Args:
        rule: the fast weights' rule.
        k: steps between syncs; default the paper's.
        alpha: share of the way, in [0, 1]; default the paper's. 1 is the rule alone.

    >>> import glissade
    >>> glissade.wrappers.lookahead(glissade.rules.adam(), k=6).hyper["lookahead_k"]
    6

    Source: Zhang et al. 2019, arXiv:1907.08610.
    """
    return rule.wrap(
        "lookahead",
        partial(_remember, rule.update),
        partial(_sync, rule.after),
        lookahead_k=k,
        lookahead_alpha=alpha,
        keeps={"lookahead_slow": "float32"},  # weights, not an average of gradients
    )
