"""Learning rate by weight decay on a grid: the same places for every optimizer."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from glissade.study.design import Arm, Plan, RunKey, RunResult
from glissade.study.units import Units

AXES = ("lr", "weight_decay")


@dataclass(frozen=True)
class Grid(Plan):
    """A plan of nothing but trials, at the places of a grid; one study."""

    points: int = 7  # along each axis
    repeats: int = 2  # seeds at each place

    def __post_init__(self) -> None:
        if self.points < 2 or self.repeats < 1:
            raise ValueError(
                f"{self.points} points with {self.repeats} seeds are no grid: take 2 points and 1 "
                "seed at least"
            )
        for arm in self.arms:
            names = tuple(one.name for one in arm.searched.dimensions)
            if names != AXES:
                raise ValueError(
                    f"{arm.label} tunes {' and '.join(names) or 'nothing'}: the map is of lr and "
                    "weight_decay, so neither may be fixed and nothing else given a range"
                )

    @cached_property
    def tables(self) -> tuple[np.ndarray, ...]:
        shares = np.linspace(0, 1, self.points)
        return (np.array([(lr, decay) for lr in shares for decay in shares]),)

    def tuning(self) -> list[RunKey]:
        """From the middle outwards: where it is interesting comes first."""
        shares = self.tables[0]
        order = np.argsort(np.abs(shares - 0.5).max(axis=1), kind="stable")
        return [
            RunKey(task.text, arm.name, "tune", 0, int(trial), seed)
            for seed in range(self.repeats)
            for trial in order
            for task in self.tasks
            for arm in self.arms
        ]

    @property
    def most_runs(self) -> dict[Any, int]:
        return {"tune": len(self.arms) * len(self.tasks) * self.points**2 * self.repeats}

    @cached_property
    def record(self) -> dict[str, Any]:
        return {**super().record, "grid": [self.points, self.repeats]}


@dataclass(frozen=True)
class Map:
    """One optimizer's mean validation metric, by learning rate (rows) and decay (columns)."""

    arm: str
    label: str
    rates: tuple[float, ...]
    decays: tuple[float, ...]
    values: np.ndarray  # (points, points); nan where a run was lost
    separable: float | None  # R² of a row plus a column, over the places where all seeds ended
    units: Units

    @property
    def best(self) -> tuple[int, int] | None:
        """The place of the best value; None if every one was lost."""
        if np.isnan(self.values).all():
            return None
        at = int(np.nanargmin(self.units.sign * self.values))
        return at // len(self.decays), at % len(self.decays)


def maps(grid: Grid, results: Sequence[RunResult]) -> list[Map]:
    """What the runs gave, for the grid's one task."""
    (task,) = grid.tasks
    units = Units.of(task.metric_name, task.direction)
    return [_map(grid, arm, results, units) for arm in grid.arms]


def _map(grid: Grid, arm: Arm, results: Sequence[RunResult], units: Units) -> Map:
    sums, counts = np.zeros(grid.points**2), np.zeros(grid.points**2)
    for result in results:
        if result.key.arm == arm.name:
            value = math.nan if result.quality is None else result.quality
            sums[result.key.trial] += value
            counts[result.key.trial] += 1
    with np.errstate(invalid="ignore"):
        values = (sums / np.where(counts > 0, counts, np.nan)).reshape(grid.points, grid.points)
    lr, decay = arm.searched.dimensions
    shares = np.linspace(0, 1, grid.points)
    return Map(
        arm.name, arm.label, tuple(lr.at(x) for x in shares), tuple(decay.at(x) for x in shares),
        values, separable(values), units,
    )  # fmt: skip


def separable(values: np.ndarray) -> float | None:
    """R² of the additive fit row + column, by least squares over what is not nan.

    None where fewer than two values are left for each number of the fit, or all are the same.
    """
    rows, columns = np.nonzero(~np.isnan(values))
    height, width = values.shape
    if len(rows) < 2 * (height + width - 1):
        return None
    y = values[rows, columns]
    design = np.zeros((len(y), height + width))
    design[np.arange(len(y)), rows] = 1
    design[np.arange(len(y)), height + columns] = 1
    fitted = design @ np.linalg.lstsq(design, y, rcond=None)[0]
    spread = float(((y - y.mean()) ** 2).sum())
    return None if spread == 0 else 1 - float(((y - fitted) ** 2).sum()) / spread


def setting(one: Map) -> str:
    """The best place in words."""
    if one.best is None:
        return "every run was lost"
    row, column = one.best
    lr, decay = one.rates[row], one.decays[column]
    value = one.units.value(float(one.values[row, column]))
    ends = [
        name
        for name, place, values in (("lr", row, one.rates), ("weight_decay", column, one.decays))
        if place == len(values) - 1 or (place == 0 and name == "lr")
    ]
    edge = f" (at the end of {' and '.join(ends)}: a better one may lie beyond)" if ends else ""
    return f"{value} at lr={lr:.2g}, weight_decay={decay:.2g}{edge}"
