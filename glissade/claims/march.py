"""Optimizers on functions whose gradients are written down: one learning rate beside the other."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from glissade.spec import specs

LECTURE = (
    "the lecture on gradient descent optimization (visualization of algorithms), with Alec "
    "Radford's animations"
)
Slope = Callable[[Tensor, int], Tensor]  # of points (rates, ...) in step t, counted from 0


def march(
    text: str,
    rates: Sequence[float],
    start: Sequence[float] | np.ndarray,
    slope: Slope,
    steps: int,
    curvature: Callable[[Tensor], Tensor] | None = None,
) -> np.ndarray:
    """The points that one optimizer comes by, (steps + 1, rates, *start's shape), in float64.

    `curvature` gives the Hessian's diagonal, for a rule that reads it anew in each step.
    """
    (spec,) = specs(text)
    points = torch.from_numpy(np.array([start] * len(rates), float))
    gradient = torch.zeros_like(points)
    rows = []
    for row, pull in zip(points, gradient, strict=True):
        rows.append(row.detach().requires_grad_())  # shares the memory of all points
        rows[-1].grad = pull
    groups = [{"params": [row], "lr": lr} for row, lr in zip(rows, rates, strict=True)]
    optimizer: Any = spec.optimizer(groups, rates[0])
    course = np.empty((steps + 1, *points.shape))
    course[0] = points.numpy()
    for t in range(steps):
        gradient.copy_(slope(points, t))
        if curvature is not None:
            optimizer.feed("curvature", list(curvature(points)))
        optimizer.step()
        course[t + 1] = points.numpy()
    return course


def rates(low: float, high: float, count: int) -> list[float]:
    """Learning rates, equally far apart on a log scale."""
    return [float(x) for x in np.geomspace(low, high, count)]


def first(found: np.ndarray) -> int:
    """The first step at which it is so; after the last one if it never is."""
    return int(found.argmax()) if found.any() else len(found)
