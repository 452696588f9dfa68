"""What many claims are made of: optimizers at several learning rates, each at its best."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Literal

import numpy as np

from glissade.claims import readings
from glissade.claims.base import Claim, Measure, Setup
from glissade.claims.charts import Lines
from glissade.claims.readings import Runs, Values

STEPS = 400
MLP = "handwritten digits, MLP of 17 thousand parameters"
SCALE = f"{MLP}, {STEPS} steps"
SEEDS = 20
SHARES = tuple(float(x) for x in np.geomspace(0.1, 10, 7))  # of a range's middle
SHARE = "learning rate, times the middle of its range"
ERROR = "validation error, %"
PLAN = (
    "Each at seven learning rates over two decades; the best by median validation {metric}; its "
    "test {metric} in pairs of the same seed."
)


def places(low: float, high: float, count: int) -> list[float]:
    """Evenly in logarithms, of three digits."""
    return [float(f"{x:.3g}") for x in np.geomspace(low, high, count)]


def sweep(
    forms: Mapping[str, str],
    rates: Sequence[float] | Mapping[str, Sequence[float]],
    task: str = "digits",
    steps: int = STEPS,
    batch: int | Literal["full"] | None = None,
    fit: bool = False,
    evaluations: int = 40,
) -> dict[str, Setup]:
    """Each optimizer, written with ``{lr}`` in it, at each learning rate (or at its own)."""
    return {
        f"{name}|{i}": Setup(task, text.format(lr=lr), steps, batch, fit, evaluations)
        for name, text in forms.items()
        for i, lr in enumerate(rates[name] if isinstance(rates, Mapping) else rates)
    }


def lines(
    names: Sequence[str],
    x: Sequence[float],
    label: str = "learning rate",
    y: str = ERROR,
    log_x: bool = True,
) -> Callable[[Runs], Lines]:
    """A chart of the median at each setting."""
    return lambda runs: Lines(label, y, readings.by_setting(runs, names, x), log_x, log_y=True)


def around(middle: float) -> list[float]:
    """Seven learning rates over two decades."""
    return [float(f"{middle * share:.3g}") for share in SHARES]


def ranges(rates: Mapping[str, Sequence[float]]) -> str:
    """For a plan: ``Learning rates: LAMB 0.002 to 0.2, Adam 0.0003 to 0.03.``"""
    each = (f"{readings.titled(of)} {at[0]:g} to {at[-1]:g}" for of, at in rates.items())
    return f"Learning rates: {', '.join(each)}."


def at_best(
    name: str,
    saying: str,
    source: str,
    middles: Mapping[str, float],
    scale: str = SCALE,
    task: str = "digits",
    steps: int = STEPS,
    metric: str = "error",
    unit: str = "points of test error",
    forms: Mapping[str, str] = MappingProxyType({}),
    more: Mapping[str, Callable[[Runs, str, str], Sequence[float]]] = MappingProxyType({}),
    plan: str = PLAN,
    fit: bool = False,
) -> Claim:
    """Two optimizers, each round its middle: at the best by validation the first has less test
    error than the second. `forms` writes one whose name is not enough, with ``{lr}`` in it; `more`
    has what else is measured, of both at their best."""
    one, other = middles
    titles = [readings.titled(of) for of in middles]
    written = {of: forms.get(of, of + "(lr={lr})") for of in middles}
    rates = {of: around(middle) for of, middle in middles.items()}
    measures = [Measure(f"{unit} that {titles[0]} is below {titles[1]}"), *map(Measure, more)]

    def read(runs: Runs) -> Values:
        best = [readings.best(runs, of) for of in middles]
        tests = [readings.tests(runs, label) for label in best]
        return [readings.less(*tests), *(each(runs, *best) for each in more.values())]

    return Claim(
        name, saying, source, scale, f"{plan.format(metric=metric)} {ranges(rates)}",
        (one, other), SEEDS,
        sweep(written, rates, task, steps, fit=fit), measures, read,
        lines((one, other), SHARES, SHARE, ERROR if metric == "error" else f"validation {metric}"),
        tuned=(one, other),
    )  # fmt: skip
