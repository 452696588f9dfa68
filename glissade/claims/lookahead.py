"""Lookahead around SGD with momentum."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from glissade.claims import readings
from glissade.claims.base import Claim, Measure, Setup
from glissade.claims.charts import Lines
from glissade.claims.readings import Runs, Values
from glissade.claims.sweeps import ERROR, SCALE, SEEDS, STEPS, lines, places, sweep

ZHANG = "Zhang et al. 2019, arXiv:1907.08610, as the Korean lecture tells it"
NAMES = ("lookahead", "sgd")
FORMS = {"lookahead": "lookahead(momentum(lr={lr}), k=5, alpha=0.5)", "sgd": "momentum(lr={lr})"}
GOOD = 1.5  # times the best error of either: a learning rate is good up to there
SETTINGS = tuple((k, alpha) for k in (5, 10) for alpha in (0.5, 0.8))  # the lecture's table
MIDDLE = 0.1


def _width(runs: Runs, name: str, decades: float) -> list[float]:
    """Decades of learning rates, by seed, at which a run is nearly as good as the best of all."""
    least = np.min([readings.table(runs, each).min(axis=0) for each in NAMES], axis=0)
    own = readings.table(runs, name)
    step = decades / (len(own) - 1)
    return [float(x) for x in step * (own <= GOOD * least).sum(axis=0)]


def _widens() -> Claim:
    rates = places(0.002, 2.0, 13)

    def read(runs: Runs) -> Values:
        decades = math.log10(rates[-1] / rates[0])
        wide = {name: _width(runs, name, decades) for name in NAMES}
        return [readings.less(wide["sgd"], wide["lookahead"])]

    return Claim(
        "lookahead-widens",
        "Lookahead around SGD with momentum makes more learning rates good ones.",
        ZHANG, SCALE,
        "Thirteen learning rates over three decades; a run is good if its validation error is at "
        f"most {GOOD} times the least of that seed by either; how many decades are good, seed by "
        "seed. (A first run began at 0.01, where those of SGD were not at an end.)",
        NAMES, SEEDS, sweep(FORMS, rates),
        [Measure("extra decades of good learning rates with Lookahead")], read, lines(NAMES, rates),
    )  # fmt: skip


def _steadies() -> Claim:
    rates = places(0.01, 1.0, 7)

    def read(runs: Runs) -> Values:
        at = {name: readings.best(runs, name) for name in NAMES}
        spreads = {name: readings.spread(readings.tests(runs, at[name])) for name in NAMES}
        jumps = {name: readings.jumps(runs, at[name]) for name in NAMES}
        return [readings.less(of["lookahead"], of["sgd"]) for of in (spreads, jumps)]

    return Claim(
        "lookahead-steadies",
        "Lookahead lowers the variance: over seeds, and from one evaluation to the next.",
        ZHANG, SCALE,
        "Each at seven learning rates over two decades; at the best by median validation error, "
        "how far test errors are from the median of all seeds, and how far the validation error "
        "moves between two evaluations, ten steps apart, in the second half of the run.",
        NAMES, SEEDS, sweep(FORMS, rates),
        [
            Measure("points that test errors are nearer to their median with Lookahead"),
            Measure("points that validation errors move less between evaluations with Lookahead"),
        ],
        read, lines(NAMES, rates), tuned=NAMES,
    )  # fmt: skip


def _robust() -> Claim:
    factors = (0.71, 0.89, 1.12, 1.41)  # of two from end to end, as k's
    of_rate = {
        f"rate|{i}": f"lookahead(momentum(lr={MIDDLE * x:g}), k=5, alpha=0.5)"
        for i, x in enumerate(factors)
    }
    of_setting = {
        f"k, α|{i}": f"lookahead(momentum(lr={MIDDLE:g}), k={k}, alpha={alpha})"
        for i, (k, alpha) in enumerate(SETTINGS)
    }

    def spread(runs: Runs, name: str) -> list[float]:
        return [float(x) for x in readings.logs(readings.table(runs, name)).std(axis=0)]

    def read(runs: Runs) -> Values:
        return [readings.less(spread(runs, "k, α"), spread(runs, "rate"))]

    def chart(runs: Runs) -> Lines:
        drawn = [
            replace(x, x=[place + 0.06 * (i - 0.5) for place in x.x], joined=False)
            for i, x in enumerate(readings.by_setting(runs, ("rate", "k, α"), range(1, 5)))
        ]
        rates = ", ".join(f"{x:g}" for x in factors)
        settings = ", ".join(f"{k} and {alpha:g}" for k, alpha in SETTINGS)
        return Lines(f"1 to 4: rates × {rates};\nk and α: {settings}", ERROR, drawn, log_x=False)

    return Claim(
        "lookahead-robust",
        "Lookahead's k and α matter little: changing them changes the error less than changing the "
        "learning rate by a factor of two.",
        ZHANG, SCALE,
        f"Around a learning rate of {MIDDLE:g}: k of 5 and 10 by α of 0.5 and 0.8 (the lecture's "
        "table), and four rates from 0.71 to 1.41 times it with k=5, α=0.5; the standard deviation "
        "over each four of the logarithm of the validation error, seed by seed. (A first run had "
        "rates from a quarter to four times it, of which the highest diverged.)",
        ("k, α", "rate"), SEEDS,
        {label: Setup("digits", text, STEPS) for label, text in {**of_setting, **of_rate}.items()},
        [Measure("standard deviation of the natural log of validation error: that over rates less "
                 "that over k and α")],
        read, chart,
    )  # fmt: skip


CLAIMS = (_widens(), _steadies(), _robust())
