"""Schedules of the learning rate, warm restarts and the ensembles that they give."""

from __future__ import annotations

import math

import numpy as np

from glissade.claims import readings
from glissade.claims.base import Claim, Measure
from glissade.claims.charts import Line, Lines
from glissade.claims.readings import Runs, Values
from glissade.claims.sweeps import ERROR, MLP, SCALE, SEEDS, STEPS, lines, places, sweep

HUTTER = "Loshchilov & Hutter 2019, arXiv:1711.05101, as the HKUST lecture tells it"
WHOLE, FIRST = 700, 100  # steps of a run; of the first of three cycles of 100, 200 and 400
ENDS = (100, 300, 700)
EVERY = 20  # steps between evaluations
RATES = places(3e-4, 0.1, 8)
NEAR = 0.5  # points


def _falling() -> Claim:
    names = ("cosine", "step", "fixed")
    forms = {
        "cosine": f"adamw(lr={{lr}}) @ cosine({STEPS})",
        "step": f"adamw(lr={{lr}}) @ step_drop({-(-STEPS // 3)})",
        "fixed": "adamw(lr={lr})",
    }

    def read(runs: Runs) -> Values:
        at = {name: readings.tests(runs, readings.best(runs, name)) for name in names}
        return [readings.less(at["cosine"], at["step"]), readings.less(at["step"], at["fixed"])]

    return Claim(
        "cosine-step-fixed",
        "A learning rate that falls like a cosine ends better than one that drops in steps, and "
        "that better than a fixed one.",
        HUTTER, SCALE,
        "AdamW with a cosine, with drops to a tenth after each third of the steps, and without "
        "schedule, each at eight learning rates from 0.0003 to 0.1; the best by median "
        "validation error; its test error in pairs of the same seed.",
        ("cosine", "fixed"), SEEDS, sweep(forms, RATES),
        [
            Measure("points of test error that cosine is below step drop"),
            Measure("points of test error that step drop is below a fixed rate"),
        ],
        read, lines(names, RATES), tuned=names,
    )  # fmt: skip


def anytime(runs: Runs, label: str, ends: tuple[int, ...] = ()) -> np.ndarray:
    """Validation errors at all evaluations but the last, (evaluations, seeds): of the model as it
    is, or from the first cycle's end on as it was at the end of the last whole cycle."""
    found = []
    for run in runs[label]:
        course, held = [], None
        for step, _, value in run.validation[:-1]:
            held = value if step in ends else held
            course.append(value if held is None else held)
        found.append(course if len(course) == WHOLE // EVERY - 1 else [math.inf] * (
            WHOLE // EVERY - 1))  # fmt: skip
    courses: np.ndarray = np.array(found, float).T
    return courses


def _anytime() -> Claim:
    names = ("restarts", "cosine")
    forms = {
        "restarts": f"adamw(lr={{lr}}) @ warm_restarts({FIRST}, t_mult=2)",
        "cosine": f"adamw(lr={{lr}}) @ cosine({WHOLE})",
    }

    def courses(runs: Runs) -> dict[str, np.ndarray]:
        at = {name: readings.best(runs, name) for name in names}
        return {
            "restarts": anytime(runs, at["restarts"], ENDS),
            "cosine": anytime(runs, at["cosine"]),
        }

    def read(runs: Runs) -> Values:
        mean = {name: readings.logs(x).mean(axis=0) for name, x in courses(runs).items()}
        ends = {name: readings.tests(runs, readings.best(runs, name)) for name in names}
        return [readings.less(of["restarts"], of["cosine"]) for of in (mean, ends)]

    def chart(runs: Runs) -> Lines:
        x = range(EVERY, WHOLE, EVERY)
        labels = {"restarts": "restarts, at the end of the last whole cycle", "cosine": "cosine"}
        drawn = [Line(labels[name], x, [float(y) for y in np.median(values, axis=1)])
                 for name, values in courses(runs).items()]  # fmt: skip
        return Lines("step", ERROR, drawn, log_x=False, log_y=True)

    return Claim(
        "restarts-anytime",
        "Warm restarts give AdamW a good model at any time of the run, and one as good at its end.",
        HUTTER, f"{MLP}, {WHOLE} steps in cycles of {FIRST}, 200 and 400",
        "AdamW with warm restarts and with one cosine, each at eight learning rates from "
        "0.0003 to 0.1 (five from 0.001 to 0.03 in a first run: both were best at an end); the "
        f"best by median validation error at the end; every {EVERY} steps the validation error "
        "of the cosine's model as it is, and of the restarts' at the end of the last whole cycle "
        "(before there is one, as it is); the test error at the end.",
        names, SEEDS, sweep(forms, RATES, steps=WHOLE, evaluations=WHOLE // EVERY),
        [
            Measure("natural log of validation error, mean over the run, that restarts are below "
                    "one cosine", base=math.e),
            Measure("points of test error at the end that restarts are below one cosine; less than "
                    f"{NEAR} above counts as equal", -NEAR),
        ],
        read, chart, tuned=names,
    )  # fmt: skip


CLAIMS = (_falling(), _anytime())
