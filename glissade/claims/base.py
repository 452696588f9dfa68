"""A saying about optimizers as a claim that can fail: what is run, what is measured, and from where
on it counts as reproduced, all of it fixed before anything runs."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from glissade.study import statistics
from glissade.study.design import RunResult

Verdict = Literal["reproduced", "not reproduced", "inconclusive"]
Runs = Mapping[str, Sequence[RunResult]]  # by arm; each by seed


@dataclass(frozen=True)
class Setup:
    """One arm: what is trained, on what. Seeds are the same for all arms of a claim."""

    task: str
    optimizer: str  # as on a command line, with values and schedule
    steps: int
    batch: int | Literal["full"] | None = None


@dataclass(frozen=True)
class Part:
    """One number that a claim stands on: larger means more as it says.

    Its verdict, with the 95 % interval of the typical value over seeds: reproduced if the interval
    lies above the threshold, not reproduced if below, else inconclusive. A single value, from a
    computation without chance, is its own interval.
    """

    what: str  # with its unit
    each: tuple[float, ...]
    threshold: float = 0.0

    @property
    def typical(self) -> float:
        if len(self.each) == 1:
            return self.each[0]
        return float(statistics.hodges_lehmann(_finite(self.each)))

    @property
    def interval(self) -> statistics.Interval:
        found = statistics.bootstrap(_finite(self.each))
        return found or statistics.Interval(self.each[0], self.each[0])

    @property
    def verdict(self) -> Verdict:
        found = self.interval
        if found.low > self.threshold:
            return "reproduced"
        return "not reproduced" if found.high < self.threshold else "inconclusive"


@dataclass(frozen=True)
class Line:
    """One optimizer's values in a claim's picture."""

    label: str
    x: Sequence[float]
    y: Sequence[float]  # medians over seeds; nan where half of the runs were lost


@dataclass(frozen=True)
class Chart:
    """The picture beside a claim's parts."""

    x: str
    y: str
    lines: Sequence[Line]
    log_x: bool = True
    log_y: bool = False


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
    read: Callable[[Any], list[Part]]  # of `Runs`, or of what `compute` returns
    chart: Callable[[Any], Chart]
    compute: Callable[[], Mapping[str, Any]] | None = None  # by label, in place of training runs
    tuned: Sequence[str] = ()  # those whose best arm has to lie inside of its range

    @property
    def record(self) -> dict[str, Any]:
        """What is registered before it is run."""
        return {
            "name": self.name, "saying": self.saying, "source": self.source, "scale": self.scale,
            "plan": self.plan, "between": list(self.between), "seeds": self.seeds,
            "tuned": list(self.tuned),
            "rule": " ".join((Part.__doc__ or "").split()),
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


# What parts are made of


def tests(runs: Runs, label: str) -> list[float]:
    """The test metric by seed; `inf` where a run was lost (all tasks here: less is better)."""
    return [math.inf if run.test is None else run.test for run in runs[label]]


def validations(runs: Runs, label: str) -> list[float]:
    """The validation metric at the end, by seed."""
    return [math.inf if run.quality is None else run.quality for run in runs[label]]


def losses(runs: Runs, label: str, share: float = 0.1) -> list[float]:
    """The training loss by seed, a mean over the last share of the steps."""
    found = []
    for run in runs[label]:
        last = run.losses[-max(1, round(share * len(run.losses))) :]
        found.append(math.inf if run.lost or not last else math.fsum(last) / len(last))
    return found


def family(runs: Runs, name: str) -> list[str]:
    """The arms of an optimizer, ``name|...``, in their order."""
    return [label for label in runs if label.partition("|")[0] == name]


def best(runs: Runs, name: str) -> str:
    """The arm of an optimizer with the best median validation metric."""
    return min(family(runs, name), key=lambda label: statistics.median(validations(runs, label)))


def edges(runs: Runs, names: Sequence[str]) -> list[str]:
    """Those whose best arm is the first or the last of its family."""
    return [
        name
        for name in names
        if best(runs, name) in (family(runs, name)[0], family(runs, name)[-1])
    ]


def less(one: Sequence[float], other: Sequence[float]) -> tuple[float, ...]:
    """By how much the first is below the second, seed by seed."""
    return tuple(float(x) for x in -statistics.paired(one, other))


def by_setting(runs: Runs, names: Sequence[str], x: Sequence[float]) -> list[Line]:
    """Median validation metric of each optimizer at each of its settings."""
    lines = []
    for name in names:
        middle = [statistics.median(validations(runs, label)) for label in family(runs, name)]
        lines.append(Line(name, x, [y if math.isfinite(y) else math.nan for y in middle]))
    return lines


def _finite(values: Sequence[float]) -> Any:
    import numpy as np

    return np.clip(np.asarray(values, float), -statistics.LOST, statistics.LOST)
