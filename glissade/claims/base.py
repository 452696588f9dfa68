"""A saying about optimizers as a claim that can fail: what is run, what is measured, and from where
on it counts as reproduced, all of it fixed before anything runs."""

from __future__ import annotations

import inspect
import math
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any, Literal

from glissade.claims import words
from glissade.claims.charts import Chart
from glissade.claims.readings import Reading, Values, best, validations
from glissade.study import statistics
from glissade.study.record import fingerprint

Verdict = Literal["reproduced", "not reproduced", "inconclusive"]


@dataclass(frozen=True)
class Setup:
    """One arm: what is trained, on what. Seeds are the same for all arms of a claim."""

    task: str
    optimizer: str  # as on a command line, with values and schedule
    steps: int
    batch: int | Literal["full"] | None = None
    fit: bool = False  # whether the metric of the train part is measured too
    evaluations: int = 40  # of the validation part


@dataclass(frozen=True)
class Measure:
    """A number that a claim stands on: larger means more as it says."""

    what: str  # with its unit
    threshold: float = 0.0
    base: float | None = None  # of a logarithm, which is said as a factor as well


@dataclass(frozen=True)
class Part:
    """What a measure came out as.

    Its verdict, with the 95 % interval of the typical value over seeds: reproduced if the interval
    lies above the threshold, not reproduced if below, else inconclusive. A single value, from a
    computation without chance, is its own interval.
    """

    measure: Measure
    each: tuple[float, ...]

    @property
    def typical(self) -> float:
        if len(self.each) < 2:
            return self.each[0] if self.each else math.nan
        return float(statistics.hodges_lehmann(_finite(self.each)))

    @cached_property
    def interval(self) -> statistics.Interval:
        if not self.each:
            return statistics.Interval(-math.inf, math.inf)
        found = statistics.bootstrap(_finite(self.each))
        return found or statistics.Interval(self.each[0], self.each[0])

    @property
    def verdict(self) -> Verdict:
        found = self.interval
        if found.low > self.measure.threshold:
            return "reproduced"
        return "not reproduced" if found.high < self.measure.threshold else "inconclusive"

    @property
    def measured(self) -> str:
        """What came out, in words."""
        ends = self.interval.low, self.interval.high
        return words.measured(
            self.typical,
            ends,
            self.verdict,
            self.measure.threshold,
            len(self.each),
            self.measure.base,
        )


@dataclass(frozen=True)
class Claim:
    """A saying put to the test."""

    name: str
    saying: str  # in our own words
    source: str  # who says so
    scale: str  # at what it was tried
    plan: str  # what is run, in words
    between: tuple[str, str]  # the two whose labels, exchanged, must turn the verdict
    seeds: int
    arms: Mapping[str, Setup]
    measures: Sequence[Measure]
    read: Callable[[Any], Values]  # of the measures, from `Runs` or what `compute` returns
    chart: Callable[[Any], Chart]  # from the same
    compute: Callable[[], Mapping[str, Any]] | None = None  # by label, in place of training runs
    tuned: Sequence[str] = ()  # those whose best arm has to lie inside of its range
    by: Reading = validations  # what the best arm is the best by

    @property
    def record(self) -> dict[str, Any]:
        """What is registered before it is run."""
        return {
            "name": self.name, "saying": self.saying, "source": self.source, "scale": self.scale,
            "plan": self.plan, "between": list(self.between), "seeds": self.seeds,
            "tuned": list(self.tuned),
            "measures": [asdict(measure) for measure in self.measures],
            "rule": _said(Part),
            "best": _said(best),
            "code": fingerprint({"read": inspect.getsource(sys.modules[self.read.__module__])}),
            "arms": {label: asdict(arm) for label, arm in self.arms.items()},
        }  # fmt: skip


@dataclass(frozen=True)
class Found:
    """What a claim's runs gave."""

    claim: Claim
    parts: Sequence[Part]
    chart: Chart
    seconds: float = 0.0  # of all its runs together
    edges: Sequence[str] = ()  # those whose best arm is at an end of its range

    @property
    def verdict(self) -> Verdict:
        """Of all parts together: each has to hold, and one that fails is enough. Where a best
        setting may lie beyond what was tried, nothing is said."""
        if self.edges:
            return "inconclusive"
        verdicts = {part.verdict for part in self.parts}
        if "not reproduced" in verdicts:
            return "not reproduced"
        return "inconclusive" if "inconclusive" in verdicts else "reproduced"


def exchanged(runs: Mapping[str, Any], one: str, other: str) -> dict[str, Any]:
    """With the labels of two optimizers exchanged: ``adam|3`` gets the runs of ``adamw|3``."""
    turn = {one: other, other: one}

    def of(label: str) -> str:
        name, bar, rest = label.partition("|")
        return turn.get(name, name) + bar + rest

    return {label: runs[of(label)] for label in runs}


def _said(of: object) -> str:
    return " ".join((of.__doc__ or "").split())


def _finite(values: Sequence[float]) -> Any:
    import numpy as np

    return np.clip(np.asarray(values, float), -statistics.LOST, statistics.LOST)
