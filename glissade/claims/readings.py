"""What the parts of claims are made of: numbers by seed, read from runs. Less is better in all."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from glissade import registry
from glissade.claims.charts import Line
from glissade.study import statistics
from glissade.study.design import RunResult

Runs = Mapping[str, Sequence[RunResult]]  # by arm, ``optimizer|place``; each by seed
Values = Sequence[Sequence[float] | np.ndarray]  # of each measure, by seed
Reading = Callable[[Any, str], list[float]]  # of an arm, by seed


def titled(name: str) -> str:
    """As texts and pictures call it: ``AdamW``, ``LAMB, 512``."""
    first, *rest = name.split("|")
    title = registry.lookup(first).label if first in registry.names() else first
    return ", ".join([title, *rest])


def tests(runs: Runs, label: str) -> list[float]:
    """The test metric; `inf` where a run was lost."""
    return [math.inf if run.test is None else run.test for run in runs[label]]


def fits(runs: Runs, label: str) -> list[float]:
    """The metric on the train part after the last step."""
    return [math.inf if run.fit is None else run.fit for run in runs[label]]


def validations(runs: Runs, label: str) -> list[float]:
    """The validation metric at the end."""
    return [math.inf if run.quality is None else run.quality for run in runs[label]]


def losses(runs: Runs, label: str, share: float = 0.1) -> list[float]:
    """The training loss, a mean over the last share of the steps."""
    found = []
    for run in runs[label]:
        last = run.losses[-max(1, round(share * len(run.losses))) :]
        found.append(math.inf if run.lost or not last else math.fsum(last) / len(last))
    return found


def family(runs: Mapping[str, Any], name: str) -> list[str]:
    """The arms of an optimizer, ``name|...``, in their order; or of ``name|batch``, and so on."""
    return [label for label in runs if label.startswith(name + "|")]


def best(runs: Mapping[str, Any], name: str, by: Reading = validations) -> str:
    """The arm of an optimizer with the least median validation metric (or what it is chosen by);
    of those that tie, the one with the least mean."""

    def order(label: str) -> tuple[float, float]:
        values = by(runs, label)
        return statistics.median(values), math.fsum(values) / len(values)

    return min(family(runs, name), key=order)


def edges(runs: Mapping[str, Any], names: Sequence[str], by: Reading = validations) -> list[str]:
    """Those whose best arm, ``name|rate`` or ``name|rate|decay``, is at an end of its range: of
    rates either, of decays the upper one, as the lowest is as good as none."""
    found = []
    for name in names:
        at = {label: [int(x) for x in label.removeprefix(name + "|").split("|")]
              for label in family(runs, name)}  # fmt: skip
        rate, *decays = at[best(runs, name, by)]
        rates, *others = zip(*at.values(), strict=True)
        highest = any(x == max(axis) for x, axis in zip(decays, others, strict=True))
        if highest or rate in (min(rates), max(rates)):
            found.append(name)
    return found


def less(one: Sequence[float], other: Sequence[float]) -> tuple[float, ...]:
    """By how much the first is below the second, seed by seed."""
    return tuple(float(x) for x in -statistics.paired(one, other))


def spread(values: Sequence[float]) -> list[float]:
    """How far each is from the median of all."""
    middle = statistics.median(values)
    return [0.0 if x == middle else abs(x - middle) for x in values]


def jumps(runs: Runs, label: str) -> list[float]:
    """How far the validation metric moves between evaluations in the second half of a run."""
    found = []
    for run in runs[label]:
        late = [value for step, _, value in run.validation if step > run.steps // 2]
        found.append(math.inf if run.lost else float(np.abs(np.diff(late)).mean()))
    return found


def table(runs: Runs, name: str, by: Reading = validations) -> np.ndarray:
    """Of an optimizer's arms, (places, seeds)."""
    return np.array([by(runs, label) for label in family(runs, name)])


def preferred(runs: Runs, name: str, settings: Sequence[float]) -> list[float]:
    """By seed, the logarithm (to base 10) of the setting with the least validation metric; the
    mean of those that tie."""
    values = table(runs, name)
    ties = np.where(values == values.min(axis=0), 1.0, 0.0)
    return [float(x) for x in ties.T @ np.log10(settings) / ties.sum(axis=0)]


def slopes(by_x: Sequence[Sequence[float]], x: Sequence[float]) -> list[float]:
    """By seed, the slope of the straight line through its values at each x."""
    return [float(a) for a in np.polyfit(x, np.asarray(by_x, float), 1)[0]]


def logs(values: np.ndarray, least: float = 0.1, most: float = 100.0) -> np.ndarray:
    """Natural logarithms of errors in percent; lost runs count as the most there can be."""
    return np.asarray(np.log(np.clip(values, least, most)))


def by_setting(runs: Runs, names: Sequence[str], x: Sequence[float]) -> list[Line]:
    """The median validation metric of each optimizer at each of its settings."""
    lines = []
    for name in names:
        middle = [statistics.median(validations(runs, label)) for label in family(runs, name)]
        lines.append(Line(titled(name), x, [y if math.isfinite(y) else math.nan for y in middle]))
    return lines
