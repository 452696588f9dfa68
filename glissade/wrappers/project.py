"""Parameters that stay inside a set."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch

from ..rule import After, Rule, State, clip, machine_eps, norm, scaled, where, wrapper


@dataclass(frozen=True)
class Region:
    """A set to project onto: what its hyperparameters are, and the projection."""

    name: str
    hyper: tuple[tuple[str, Any], ...]
    onto: Callable[[Any, Any], Any]  # (p, h) -> the nearest point of the set
    matrix: bool = False  # whether it sorts, or the like: on torch's tensors alone

    def __repr__(self) -> str:
        values = (
            x for _, value in self.hyper for x in (value if isinstance(value, tuple) else [value])
        )
        return f"{self.name}({', '.join(f'{x:g}' for x in values)})"


def _box(p: Any, h: Any) -> Any:
    return clip(p, *h.project_box)


def _ball(p: Any, h: Any) -> Any:
    # The last factor sees to it that the rounded result, too, is inside.
    size, inward = norm(p), 1 - 4 * machine_eps(p)
    return where(size > h.project_radius, scaled(p, h.project_radius / size * inward), p)


def _simplex(p: torch.Tensor, h: Any) -> torch.Tensor:
    """Duchi et al. 2008, Figure 1."""
    v = p.double().flatten()
    u = v.sort(descending=True).values
    over = u.cumsum(0) - 1
    counts = torch.arange(1, len(u) + 1, dtype=u.dtype, device=u.device)
    last = int((u * counts > over).sum()) if len(u) else 0
    if not last:  # empty, or NaN
        return p * math.nan
    return (v - over[last - 1] / last).clamp(min=0).reshape(p.shape).to(p.dtype)


def _no_order(p: torch.Tensor, h: Any) -> str:
    return "is complex, and a simplex is of real numbers" if p.is_complex() else ""


def box(lo: float, hi: float) -> Region:
    """Every element between lo and hi."""
    if not lo <= hi:
        raise ValueError(f"box({lo}, {hi}): lo may not be over hi")
    return Region("box", (("project_box", (float(lo), float(hi))),), _box)


def ball(r: float) -> Region:
    """Every tensor with a Euclidean norm of at most r."""
    if not 0 < r < math.inf:
        raise ValueError(f"ball({r}): the radius is a finite number over 0")
    return Region("ball", (("project_radius", float(r)),), _ball)


def simplex() -> Region:
    """Every tensor a probability distribution: elements of 0 or more whose sum is 1.

    It takes sorting: on torch's own tensors, not compiled.
    """
    return Region("simplex", (), _simplex, matrix=True)


def _project(
    onto: Callable[[Any, Any], Any], inner: After | None, p: Any, s: Any, t: Any, h: Any
) -> tuple[Any, State]:
    new = State()
    if inner is not None:
        p, new = inner(p, s, t, h)
    return onto(p, h), new


@wrapper
def project(rule: Rule, onto: Region) -> Rule:
    """After each step move every tensor to the nearest point of a set.

    .. math:: p \\leftarrow \\Pi(p - \\text{step})

    Args:
        rule: what to wrap. On a box AMSGrad's weighted projection is this one.
        onto: `box(lo, hi)`, `ball(r)` or `simplex()`.

    Raises:
        TypeError: `onto` is none of them.

    >>> import glissade
    >>> from glissade.wrappers import ball, box, project
    >>> project(glissade.rules.amsgrad(), onto=box(-1, 1)).hyper["project_box"]
    (-1.0, 1.0)

    Source: Duchi et al. 2008, doi:10.1145/1390156.1390191.
    """
    if not isinstance(onto, Region):
        raise TypeError(f"project: onto={onto!r}; allowed are box(lo, hi), ball(r) and simplex()")
    after = partial(_project, onto.onto, rule.after)
    wrapped = rule.wrap("project", after=after, **dict(onto.hyper))
    refuse = _no_order if onto.matrix and rule.refuse is None else rule.refuse
    return replace(wrapped, matrix=rule.matrix or onto.matrix, refuse=refuse)
