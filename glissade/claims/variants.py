"""Batch, mini-batch and stochastic gradient descent."""

from __future__ import annotations

import math
from typing import Literal

import numpy as np

from glissade.claims import readings
from glissade.claims.base import Claim, Measure, Setup
from glissade.claims.batches import TAIWAN, TRAIN
from glissade.claims.charts import Line, Lines
from glissade.claims.readings import Runs, Values
from glissade.claims.sweeps import ERROR, MLP, around, sweep
from glissade.study import statistics

EVALUATIONS = 96  # about 65 examples apart, with single ones as with 32
GOAL = 10.0  # percent of errors that are to be reached
NAMES = {"mini": "32", "batch": "all", "stochastic": "single"}
Way = tuple[int | Literal["full"], int, float]  # batch, steps, middle of the learning rates
WAYS: dict[str, Way] = {
    "mini": (32, 198, 0.3),
    "batch": ("full", 400, 0.5),
    "stochastic": (1, 6468, 0.01),
}


def _size(name: str) -> int:
    batch = WAYS[name][0]
    return TRAIN if batch == "full" else batch


def _reached(runs: Runs, label: str, clock: Literal["examples", "seconds"]) -> list[float]:
    """By seed, the logarithm (to base 10) of the examples or seconds to the goal."""
    found = []
    for run in runs[label]:
        size = _size(run.key.arm.partition("|")[0])  # the run's own, whatever its label is now
        course = [(seconds if clock == "seconds" else step * size, value)
                  for step, seconds, value in run.validation]  # fmt: skip
        time = statistics.time_to(GOAL, course)
        found.append(math.log10(time) if time > 0 else -math.inf)
    return found


def _examples(runs: Runs, label: str) -> list[float]:
    return _reached(runs, label, "examples")


def _three_variants() -> Claim:
    names = tuple(WAYS)
    arms: dict[str, Setup] = {}
    for name, (batch, count, middle) in WAYS.items():
        rates = {name: around(middle)}
        arms |= sweep(
            {name: "sgd(lr={lr})"}, rates, steps=count, batch=batch, evaluations=EVALUATIONS
        )

    def read(runs: Runs) -> Values:
        at = {name: readings.best(runs, name, _examples) for name in names}

        def saved(clock: Literal["examples", "seconds"], other: str) -> tuple[float, ...]:
            return readings.less(
                _reached(runs, at["mini"], clock), _reached(runs, at[other], clock)
            )

        jumps = [readings.jumps(runs, at[name]) for name in ("mini", "stochastic")]
        return [
            saved("examples", "batch"),
            saved("seconds", "batch"),
            saved("seconds", "stochastic"),
            readings.less(*jumps),
        ]

    def chart(runs: Runs) -> Lines:
        drawn = []
        for name in names:
            arm = [run for run in runs[readings.best(runs, name, _examples)] if not run.lost]
            courses = [[value for _, _, value in run.validation] for run in arm]
            x = [step * _size(name) for run in arm[:1] for step, _, _ in run.validation]
            y = [float(value) for value in np.median(courses, axis=0)] if arm else []
            drawn.append(Line(NAMES[name], x, y))
        return Lines("examples seen", ERROR, drawn, log_y=True)

    return Claim(
        "mini-batches",
        "Mini-batches are the best of both worlds: more progress with each example than with all "
        "of them at once, less noise than with single ones, and less time than either.",
        TAIWAN,
        f"{MLP}; SGD with batches of 1 and of 32 (six epochs) and of all {TRAIN:,} (400 steps)",
        "Each at seven learning rates over two decades; the best by the median number of examples "
        f"to {GOAL:g} % of validation errors; examples and seconds of training to there, and how "
        "far the validation error moves between evaluations, every 64 examples with 32 and every "
        "67 with single ones, in the last three of six epochs, at those rates. (In a first run "
        "these were other epochs and distances; in a second the best rate with 32 was at an end.)",
        ("mini", "batch"), 12, arms,
        [
            Measure("log10 of times fewer examples to the goal than with all at once", base=10),
            Measure("log10 of times fewer seconds to the goal than with all at once", base=10),
            Measure("log10 of times fewer seconds to the goal than with single examples", base=10),
            Measure("points that the validation error jumps less between evaluations than with "
                    "single examples"),
        ],
        read, chart, tuned=names, by=_examples,
    )  # fmt: skip


CLAIMS = (_three_variants(),)
