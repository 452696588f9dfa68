"""A task's metric in words and numbers: which way is better, in which unit, how it is written."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from glissade.study import statistics

NONE = "–"


@dataclass(frozen=True)
class Units:
    """Of a metric such as ``"error, %"``: its name, and after the last comma its unit."""

    name: str
    unit: str  # "" for a bare number
    sign: float  # 1 if less is better, else -1

    @classmethod
    def of(cls, metric: str, direction: str) -> Units:
        name, _, unit = metric.rpartition(", ")
        return cls(name or unit, unit if name else "", 1.0 if direction == "min" else -1.0)

    def less(self, value: float | None) -> float:
        """So that less is better and None, a lost run, is worst."""
        return math.inf if value is None else self.sign * value

    def back(self, value: float) -> float | None:
        """From `less` to the metric."""
        return self.sign * value if math.isfinite(value) else None

    def median(self, values: Iterable[float | None]) -> float | None:
        """None where half of the runs or more were lost."""
        turned = [self.less(x) for x in values]
        return self.back(statistics.median(turned)) if turned else None

    def value(self, x: float | None, unit: bool = True) -> str:
        """Such as ``2.31 %``."""
        if x is None or not math.isfinite(x):
            return NONE
        return self._with(digits(x), self.unit if unit else "")

    def amount(self, x: float, unit: bool = True) -> str:
        """The size of a difference; of percentages in points."""
        if math.isinf(x):
            return "infinitely much"
        said = {"%": "points"}.get(self.unit, self.unit)
        return self._with(digits(abs(x)), said if unit else "")

    @staticmethod
    def _with(number: str, unit: str) -> str:
        return f"{number} {unit}" if unit else number


def digits(x: float) -> str:
    """In three or four digits: ``0.000123``, ``0.0457``, ``3.14``, ``31.4``, ``314``, ``3,140``."""
    size = abs(x)
    if size == 0:
        return "0"
    if size < 1e-4 or size >= 1e7:
        return f"{x:.2e}"
    if size < 1:
        return f"{x:.3g}"
    return f"{x:.2f}" if size < 10 else f"{x:.1f}" if size < 100 else f"{x:,.0f}"


def seconds(x: float) -> str:
    """``0.4 s``, ``12 s``, ``3 min 20 s``, ``2 h 5 min``."""
    if x < 10:
        return f"{x:.1f} s"
    if x < 90:
        return f"{x:.0f} s"
    if x < 5400:
        return f"{int(x // 60)} min {int(x % 60)} s"
    return f"{int(x // 3600)} h {int(x % 3600 // 60)} min"


def size(count: float) -> str:
    """``137 KiB``, ``1.2 GiB``."""
    for unit, one in (("GiB", 2**30), ("MiB", 2**20), ("KiB", 2**10)):
        if count >= one:
            return f"{digits(count / one)} {unit}"
    return f"{count:.0f} B"
