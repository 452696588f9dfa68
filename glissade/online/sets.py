"""The sets that learners play on: their sizes, their lowest points, their nearest points.

A set is a `Region` of `glissade.wrappers`: ``box(lo, hi)``, ``ball(r)`` or ``simplex()``. The
analyses of AdaGrad and AMSGrad project in the norm of their own preconditioner,
``argmin (x-y)ᵀH(x-y)``. With a diagonal H on a box that is the plain projection, coordinate by
coordinate; on a ball and on the simplex it is another point, and the bounds hold for that one.
"""

from __future__ import annotations

import math
from typing import Any, TypeAlias, cast

import numpy as np
import torch
from numpy.typing import NDArray

from ..wrappers.project import Region

Array: TypeAlias = NDArray[np.float64]


class _Values:
    """A region's own values as its projection reads them."""

    def __init__(self, region: Region) -> None:
        self.__dict__.update(region.hyper)


def value(region: Region, name: str) -> Any:
    """A value of the region: ``project_box`` or ``project_radius``."""
    return dict(region.hyper)[name]


def diameter(region: Region, dim: int) -> float:
    """D: the largest Euclidean distance between two points of the set."""
    if region.name == "box":
        return math.sqrt(dim) * diameter_sup(region, dim)
    return diameter_sup(region, dim) if region.name == "ball" else math.sqrt(2) * (dim > 1)


def diameter_sup(region: Region, dim: int) -> float:
    """D∞: the largest difference in one coordinate between two points of the set."""
    if region.name == "box":
        lo, hi = value(region, "project_box")
        return float(hi - lo)
    return 2.0 * value(region, "project_radius") if region.name == "ball" else 1.0 * (dim > 1)


def centre(region: Region, dim: int) -> Array:
    """Where learners start unless told otherwise: the middle of the set."""
    if region.name == "box":
        return np.full(dim, sum(value(region, "project_box")) / 2)
    return np.zeros(dim) if region.name == "ball" else np.full(dim, 1 / dim)


def lowest(region: Region, c: Array) -> Array:
    """The point of the set at which ``⟨c, x⟩`` is least."""
    if region.name == "box":
        lo, hi = value(region, "project_box")
        return cast(Array, np.where(c > 0, lo, np.where(c < 0, hi, (lo + hi) / 2)))
    if region.name == "ball":
        size = float(np.linalg.norm(c))
        return -c * (value(region, "project_radius") / size) if size else np.zeros_like(c)
    x = np.zeros_like(c)
    x[np.argmin(c)] = 1
    return x


def largest(region: Region, A: Array) -> Array:
    """The largest ``|⟨a, x⟩|`` on the set, for each row a of A (rounds, dim)."""
    if region.name == "box":
        lo, hi = value(region, "project_box")
        up = np.maximum(A * lo, A * hi).sum(1)
        down = np.minimum(A * lo, A * hi).sum(1)
        return cast(Array, np.maximum(up, -down))
    if region.name == "ball":
        return cast(Array, value(region, "project_radius") * np.linalg.norm(A, axis=1))
    return cast(Array, np.abs(A).max(1))


def inside(region: Region, x: Array, slack: float = 1e-12) -> bool:
    """Whether x is a point of the set, but for rounding."""
    if region.name == "box":
        lo, hi = value(region, "project_box")
        return bool((x >= lo - slack).all() and (x <= hi + slack).all())
    if region.name == "ball":
        return float(np.linalg.norm(x)) <= float(value(region, "project_radius")) * (1 + slack)
    return bool((x >= -slack).all()) and abs(float(x.sum()) - 1) <= slack * len(x)


def nearest(region: Region, y: Array) -> Array:
    """The plain projection, in the Euclidean norm: that of `glissade.wrappers.project`."""
    found: torch.Tensor = region.onto(torch.from_numpy(y.copy()), _Values(region))
    return found.numpy()


def nearest_weighted(region: Region, y: Array, w: Array) -> Array:
    """The point of the set that is nearest in the norm ``Σ wᵢ(xᵢ-yᵢ)²``, all wᵢ over 0."""
    if region.name == "box":
        return nearest(region, y)
    if region.name == "ball":
        return _ball(y, w, value(region, "project_radius"))
    return _simplex(y, w)


def nearest_matrix(region: Region, y: Array, values: Array, Q: Array) -> Array:
    """The nearest point of a ball in the norm of ``H = Q·diag(values)·Qᵀ``.

    Raises:
        ValueError: another set, on which this is a quadratic program.
    """
    if region.name != "ball":
        raise ValueError(
            f"on {region!r} the projection in the norm of a full matrix has no closed form: "
            "play on ball(r), or with metric='euclidean', for which no bound is proved"
        )
    return Q @ _ball(Q.T @ y, values, value(region, "project_radius"))


def _ball(y: Array, w: Array, radius: float) -> Array:
    """xᵢ = wᵢyᵢ/(wᵢ+λ) with the λ that makes ‖x‖ the radius: Newton on 1/‖x‖, which is concave in
    λ, so that its steps from the left never pass the root (Moré & Sorensen 1983)."""
    size = float(np.linalg.norm(y))
    if size <= radius:
        return y
    x, multiplier = y, 0.0
    for _ in range(100):
        fall = float(x @ (x / (w + multiplier)))  # -½ d‖x‖²/dλ
        step = (size / radius - 1) * size * size / fall
        multiplier += step
        x = w * y / (w + multiplier)
        size = float(np.linalg.norm(x))
        if size <= radius * (1 + 1e-15) or step <= 1e-16 * multiplier:
            break
    return x * min(1.0, radius / size)


def _simplex(y: Array, w: Array) -> Array:
    """xᵢ = max(0, yᵢ - λ/wᵢ): those over 0 are the first k in the order of wᵢyᵢ."""
    order = np.argsort(-w * y)
    levels = (np.cumsum(y[order]) - 1) / np.cumsum(1 / w[order])
    over = np.flatnonzero((w * y)[order] > levels)
    level = levels[over[-1]] if len(over) else levels[0]
    x = np.maximum(0.0, y - level / w)
    return cast(Array, x / x.sum())
