"""Weight decay beside the gradient's normalisation, and inside of it."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from glissade.claims import readings
from glissade.claims.base import Claim, Measure, Setup
from glissade.claims.charts import Line, Lines, Maps
from glissade.claims.readings import Runs, Values
from glissade.claims.sweeps import ERROR, MLP, STEPS, places
from glissade.study.grid import Map, separable
from glissade.study.units import Units

HUTTER = "Loshchilov & Hutter 2019, arXiv:1711.05101, as the HKUST lecture tells it"
POINTS = 5
RATES = {"adam": (3e-4, 3e-2), "adamw": (3e-4, 3e-2), "sgd": (3e-3, 0.15), "sgdw": (3e-3, 0.15)}
DECAYS = {"adam": (1e-5, 3e-2), "adamw": (3e-5, 1e-2), "sgd": (1.5e-4, 5e-2), "sgdw": (3e-5, 1e-2)}
FORMS = {
    "adam": "adam(lr={lr}, weight_decay={decay})",
    "adamw": "adamw(lr={lr}, weight_decay={decay}, decay='independent')",
    "sgd": "momentum(lr={lr}, weight_decay={decay})",
    "sgdw": "sgdw(lr={lr}, momentum=0.9, weight_decay={decay}, decay='independent')",
}
GRID = (
    f"A grid of {POINTS} learning rates by {POINTS} decays for each; the decay of AdamW and SGDW "
    "is the paper's own, which the learning rate does not scale, so its range is another one"
)


def _ranges(names: Sequence[str]) -> str:
    each = (
        f"{readings.titled(name)} {RATES[name][0]:g} to {RATES[name][1]:g} and "
        f"{DECAYS[name][0]:g} to {DECAYS[name][1]:g}"
        for name in names
    )
    momentum = " SGD and SGDW have momentum 0.9." if "sgd" in names else ""
    return f" Learning rates and decays: {'; '.join(each)}.{momentum}"


AFTER = (
    " (A first run had torch's decay, which it does scale: SGDW was then SGD with other numbers.)"
)


def _grid(names: Sequence[str], steps: int) -> dict[str, Setup]:
    return {
        f"{name}|{i}|{j}": Setup("digits", FORMS[name].format(lr=lr, decay=decay), steps)
        for name in names
        for i, lr in enumerate(places(*RATES[name], POINTS))
        for j, decay in enumerate(places(*DECAYS[name], POINTS))
    }


def _maps(runs: Runs, name: str) -> np.ndarray:
    """Validation errors, (seeds, learning rates, decays), as logarithms: factors count alike."""
    values = readings.table(runs, name)
    logs = np.log(np.where(np.isfinite(values), np.maximum(values, 0.1), np.nan))
    return np.asarray(logs.T.reshape(-1, POINTS, POINTS))


def _separable(runs: Runs, name: str) -> list[float]:
    """R² of row + column by seed; 0 where too much diverged for a fit."""
    return [separable(one) or 0.0 for one in _maps(runs, name)]


def _drawn(names: Sequence[str], runs: Runs) -> Maps:
    """The median validation errors, and the median R² of the seeds."""
    found = []
    for name in names:
        values = np.median(readings.table(runs, name), axis=1).reshape(POINTS, POINTS)
        found.append(
            Map(
                name, readings.titled(name), tuple(places(*RATES[name], POINTS)),
                tuple(places(*DECAYS[name], POINTS)), np.where(np.isfinite(values), values, np.nan),
                float(np.median(_separable(runs, name))), Units.of(ERROR, "min"),
            )
        )  # fmt: skip
    return Maps(found)


def _separates(name: str, new: str, old: str, steps: int) -> Claim:
    titles = [readings.titled(of) for of in (new, old)]

    def read(runs: Runs) -> Values:
        return [readings.less(_separable(runs, old), _separable(runs, new))]

    return Claim(
        name,
        f"With {titles[0]} the best learning rate does not depend on the decay, nor the best decay "
        f"on the learning rate; with {titles[1]}, whose decay is in the gradient, they depend on "
        "each other.",
        HUTTER, f"{MLP}, {steps} steps",
        f"{GRID}; for each seed, how much of the map of log validation errors a sum of a row and a "
        f"column explains (R²), over the places where no run was lost.{AFTER}"
        f"{_ranges((new, old))}",
        (new, old), 12, _grid((new, old), steps),
        [Measure(f"by how much {titles[0]}'s map is better explained by a row and a column (R²) "
                 f"than {titles[1]}'s")],
        read, lambda runs: _drawn((new, old), runs),
    )  # fmt: skip


ALIKE = 1.25  # training losses that differ by a smaller factor count as equal


def matched(
    losses: Sequence[float],
    tests: Sequence[float],
    other_losses: Sequence[float],
    other_tests: Sequence[float],
) -> float:
    """By how much the other's test errors are above, mean over pairs of equal training loss.

    Each run is paired with the other's run of the nearest loss, if that is alike; `nan` without a
    pair.
    """
    kept = [i for i, loss in enumerate(other_losses) if math.isfinite(loss) and loss > 0]
    apart = []
    for loss, test in zip(losses, tests, strict=True):
        if not (math.isfinite(loss) and loss > 0 and kept):
            continue
        near = min(kept, key=lambda i: abs(math.log(other_losses[i] / loss)))
        if abs(math.log(other_losses[near] / loss)) < math.log(ALIKE):
            apart.append(other_tests[near] - test)
    return math.fsum(apart) / len(apart) if apart else math.nan


def _generalises() -> Claim:
    names = ("adamw", "adam")

    def each(runs: Runs, name: str, by: readings.Reading) -> np.ndarray:
        return np.asarray(readings.table(runs, name, by).T)

    def read(runs: Runs) -> Values:
        columns = [each(runs, name, by) for name in names
                   for by in (readings.losses, readings.tests)]  # fmt: skip
        equal = [matched(*seed) for seed in zip(*(x.tolist() for x in columns), strict=True)]
        best = [readings.tests(runs, readings.best(runs, name)) for name in names]
        return [readings.less(*best), [x for x in equal if not math.isnan(x)]]

    def chart(runs: Runs) -> Lines:
        drawn = []
        for name in names:
            x, y = (np.median(each(runs, name, by), axis=0)
                    for by in (readings.losses, readings.tests))  # fmt: skip
            there = np.isfinite(x) & np.isfinite(y)
            label = readings.titled(name)
            drawn.append(Line(label, x[there].tolist(), y[there].tolist(), joined=False))
        return Lines("training loss at the end", "test error, %", drawn, log_y=True)

    return Claim(
        "adamw-generalises",
        "AdamW generalises better than Adam with l2: each with its best learning rate and decay, "
        "and at equal training loss.",
        HUTTER, f"{MLP}, {STEPS} steps",
        f"{GRID}. The test error at the place of best median validation error, in pairs of the "
        "same seed. And every run of AdamW beside the run of Adam, of the same seed, whose "
        f"training loss at the end is nearest, if they differ by less than a factor of {ALIKE}: "
        f"the mean difference of their test errors, seed by seed.{AFTER}{_ranges(names)}",
        names, 12, _grid(names, STEPS),
        [
            Measure("points of test error that AdamW is below Adam with l2, each at its best"),
            Measure("points of test error that AdamW is below Adam with l2, at equal training "
                    "loss"),
        ],
        read, chart, tuned=names,
    )  # fmt: skip


BUDGETS = (300, 900, 2700)
FALL = 0.333
STRENGTHS = places(0.03, 10.0, 9)


def _updates() -> Claim:
    names = tuple(str(steps) for steps in BUDGETS)
    arms = {
        f"{steps}|{i}": Setup(
            "digits", f"adamw(lr=0.003, weight_decay={decay}) @ cosine({steps})", steps
        )
        for steps in BUDGETS
        for i, decay in enumerate(STRENGTHS)
    }

    def read(runs: Runs) -> Values:
        best = [readings.preferred(runs, name, STRENGTHS) for name in names]
        falls = [-x for x in readings.slopes(best, np.log10(BUDGETS).tolist())]
        return [falls, [1 - x for x in falls]]

    def chart(runs: Runs) -> Lines:
        drawn = [Line(f"{x.label} updates", x.x, x.y)
                 for x in readings.by_setting(runs, names, STRENGTHS)]  # fmt: skip
        return Lines("weight decay", ERROR, drawn, log_y=True)

    return Claim(
        "decay-and-updates",
        "The more updates there are, the smaller is the best weight decay, and dividing it by the "
        "root of their number takes most of that away.",
        HUTTER, f"{MLP}, 300, 900 and 2,700 updates",
        "AdamW with a cosine and lr=0.003 at nine decays for each number of updates; for each seed "
        "the decay with the least validation error (the mean in logarithms where some tie); the "
        "slope of its logarithm over that of the updates. (Normalised decay itself was not run.) "
        "It falls by half a decade for ten times the updates: more than half of the dependence is "
        "gone if the fall is between a third and one. (A first run had 100, 400 and 1,600 updates, "
        "of which 100 are too few for any decay to be better than none.)",
        (names[0], names[-1]), 12, arms,
        [
            Measure("decades that the best decay falls for ten times the updates", FALL),
            Measure("decades that are missing from this fall to one"),
        ],
        read, chart, tuned=names,
    )  # fmt: skip


CLAIMS = (
    _separates("adamw-separates", "adamw", "adam", 200),
    _separates("sgdw-separates", "sgdw", "sgd", 200),
    _generalises(),
    _updates(),
)
