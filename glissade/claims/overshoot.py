"""Sayings about running past a minimum: how far, at which learning rate."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from glissade.claims.base import Claim, Measure
from glissade.claims.charts import Chart, Line, Lines
from glissade.claims.march import LECTURE, first, march, rates
from glissade.claims.readings import Values
from glissade.draw import surfaces

Overshoots = Mapping[str, np.ndarray]  # by ``optimizer|where``: in % of the start's distance
COUNTED = 0.1  # %: where neither goes farther past the minimum, nothing is compared
FUNCTIONS: Mapping[
    str, tuple[Callable[[Tensor], Tensor], float]
] = {  # of one number: its slope, with the minimum at 0, and the start
    "x²": (lambda x: 2 * x, -1.0),
    "exp(x) − x": (lambda x: torch.exp(x) - 1, 2.0),
}
DOWN_RATES = rates(0.003, 0.3, 25)
FINE_RATES = rates(0.0015, 0.3, 201)
STEPS = 1500
SOON = 5  # steps down to the minimum; with fewer, being as quick says little
RAVINE_RATES = rates(0.001, 0.1, 25)


def _beyond(course: np.ndarray) -> np.ndarray:
    """How far the way goes past a minimum at 0, in % of the start's distance, by coordinate."""
    return np.asarray(100 * np.maximum(0, (-course / course[0]).max(axis=0)))


def _crossing(course: np.ndarray) -> np.ndarray:
    """The steps to the minimum and past it, by learning rate."""
    return np.array([first(way / way[0] <= 0) for way in course[:, :, 0].T])


def _down(text: str, at: Sequence[float], where: str) -> np.ndarray:
    slope, start = FUNCTIONS[where]
    return march(text, at, (start,), lambda points, t: slope(points), STEPS)


def _same_rates() -> Overshoots:
    return {
        f"{name}|{where}": _beyond(_down(name, DOWN_RATES, where))[:, 0]
        for where in FUNCTIONS
        for name in ("diffgrad", "adam")
    }


def _as_quick() -> Overshoots:
    """Adam at those learning rates at which it comes down in as many steps as DiffGrad."""
    found = {}
    for where in FUNCTIONS:
        own, others = _down("diffgrad", DOWN_RATES, where), _down("adam", FINE_RATES, where)
        steps, theirs = _crossing(own), _crossing(others)
        counts = (steps >= SOON) & (steps < len(own))
        beyond = _beyond(others)[:, 0]
        apart = np.abs(theirs - steps[:, None])
        matched = [beyond[row == row.min()].mean() for row in apart]
        found[f"diffgrad|{where}"] = np.where(counts, _beyond(own)[:, 0], np.nan)
        found[f"adam|{where}"] = np.where(counts, matched, np.nan)
    return found


def _in_the_ravine() -> Overshoots:
    bends = torch.tensor([0.1, 10.0], dtype=torch.float64)
    start = surfaces.lookup("ravine").start
    found: dict[str, np.ndarray] = {}
    for name in ("nesterov", "momentum"):
        course = march(name, RAVINE_RATES, start, lambda points, t: bends * points, STEPS)
        found |= {f"{name}|along": _beyond(course)[:, 0], f"{name}|across": _beyond(course)[:, 1]}
    return found


def _claim(
    name: str,
    saying: str,
    source: str,
    scale: str,
    plan: str,
    labels: Mapping[str, str],
    places: Mapping[str, str],
    at: Sequence[float],
    compute: Callable[[], Overshoots],
) -> Claim:
    """That the first overshoots less than the second, in each place."""
    one, other = labels

    measures = [
        Measure(
            f"% of the start's distance that {labels[one]} runs less far past the minimum {said} "
            f"than {labels[other]}, median over learning rates"
        )
        for said in places.values()
    ]

    def read(found: Overshoots) -> Values:
        each = []
        for place in places:
            less, more = found[f"{one}|{place}"], found[f"{other}|{place}"]
            counted = (more - less)[np.fmax(less, more) > COUNTED]
            each.append([float(np.median(counted))] if len(counted) else [])
        return each

    def chart(found: Overshoots) -> Chart:
        lines = [
            Line(f"{labels[arm]} {places[place]}", at, [float(y) for y in found[label]])
            for label in found
            for arm, _, place in [label.partition("|")]
        ]
        return Lines("learning rate", "past the minimum [%]", lines)

    return Claim(
        name, saying, source, scale,
        f"{plan} Learning rates at which neither goes more than {COUNTED:g} % past the minimum are "
        "left out. (First runs had intervals over learning rates, which are no chance.)",
        (one, other), 1, {}, measures, read, chart, compute,
    )  # fmt: skip


_DIFFGRAD = "Dubey et al. 2020, arXiv:1909.11015"
_DESCENTS = "x² from −1 and exp(x) − x from 2, in one dimension, without noise"
_ON = {where: f"on {where}" for where in FUNCTIONS}

CLAIMS = (
    _claim(
        "diffgrad-overshoot",
        "DiffGrad damps its steps near a minimum, and so runs less far past it than Adam.",
        _DIFFGRAD, _DESCENTS,
        "Both at the same 25 learning rates from 0.003 to 0.3, defaults otherwise, 1,500 steps. "
        "(A first run had 13, too few of which overshot.)",
        {"diffgrad": "DiffGrad", "adam": "Adam"}, _ON, DOWN_RATES, _same_rates,
    ),
    _claim(
        "diffgrad-friction",
        "DiffGrad runs less far past a minimum than an Adam that comes down to it as quickly: what "
        "damps it is more than a smaller learning rate.",
        _DIFFGRAD + ", put more sharply: its friction halves steps where gradients are small, and "
        "half the learning rate overshoots less, too",
        _DESCENTS,
        "DiffGrad at 25 learning rates from 0.003 to 0.3; for each, Adam at the one of 201 at "
        "which it reaches the minimum in as many steps, or as nearly so (the mean if several do), "
        "of at least 5; 1,500 steps. (A first run had 13, too few of which overshot.)",
        {"diffgrad": "DiffGrad", "adam": "Adam"}, _ON, DOWN_RATES, _as_quick,
    ),
    _claim(
        "nesterov-overshoots-less",
        "In a ravine momentum runs past the minimum like a ball that rolls down a hill; Nesterov's "
        "momentum looks ahead, corrects its course earlier, and runs less far.",
        LECTURE,
        "the ravine 0.05 x² + 5 y² from (−9, 1.5), without noise",
        "Both with momentum 0.9 and at the same 25 learning rates from 0.001 to 0.1, 1,500 steps; "
        "of Nesterov's, the point at which its gradient is taken. (A first run had 13, too few of "
        "which overshot along the ravine.)",
        {"nesterov": "Nesterov", "momentum": "momentum"},
        {"along": "along the ravine", "across": "across it"}, RAVINE_RATES, _in_the_ravine,
    ),
)  # fmt: skip
