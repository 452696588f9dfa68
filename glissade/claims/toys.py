"""Sayings about ways over the surfaces of `glissade draw`: Sophia's toy, and a saddle."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from glissade.claims.base import Claim, Measure
from glissade.claims.charts import Chart, Line, Paths
from glissade.claims.march import LECTURE, first, march, rates
from glissade.claims.readings import Values
from glissade.draw import surfaces, trajectories
from glissade.spec import specs


def _line(label: str, points: np.ndarray) -> Line:
    return Line(label, [float(x) for x in points[:, 0]], [float(y) for y in points[:, 1]])


# Sophia's toy

TOY = surfaces.lookup("sophia")
MINIMUM, SADDLE = TOY.minima[0], TOY.saddles[0]
TOLERANCE, PASSES, TOY_RATES = 0.1, 300, rates(1e-3, 10, 61)
RACERS = {
    "gd": "sgd",
    "sign": "signum(momentum=0)",
    "adam": "adam",
    "sophia": "sophia(gamma=1, k=1, weight_decay=0)",
    "plain": "sophia(gamma=1, k=1, weight_decay=0, betas=(0, 0))",
}
RACED = {
    "gd": "GD", "sign": "sign descent", "adam": "Adam", "sophia": "Sophia",
    "plain": "Sophia without averages",
}  # fmt: skip
RACES = (("adam", "sophia"), ("gd", "plain"), ("sign", "plain"), ("adam", "plain"))


@dataclass(frozen=True)
class Way:
    points: np.ndarray  # (steps + 1, 2)
    cost: int = 1  # passes that a step takes

    @property
    def passes(self) -> int:
        """Until it is near the minimum for good; all there are if it never is."""
        near = np.hypot(*(self.points - MINIMUM).T) <= TOLERANCE
        return min(PASSES, self.cost * (len(near) - first(~near[::-1])))


def _diagonal(points: Tensor) -> Tensor:
    """Of the Hessian, at each point: of a sum of two functions of one number."""
    free = points.detach().requires_grad_()
    (slope,) = torch.autograd.grad(
        TOY.function(free[:, 0], free[:, 1]).sum(), free, create_graph=True
    )
    (found,) = torch.autograd.grad(slope.sum(), free)
    return found


def _raced() -> dict[str, Way]:
    found: dict[str, Way] = {}
    for name, text in RACERS.items():
        second = "sophia" in text
        cost = 2 if second else 1
        course = march(
            text, TOY_RATES, TOY.start, lambda points, t: trajectories.slopes(TOY, points)[1],
            PASSES // cost, _diagonal if second else None,
        )  # fmt: skip
        found |= {f"{name}|{i}": Way(course[:, i], cost) for i in range(len(TOY_RATES))}
    (run,) = trajectories.follow(TOY, [(specs("newton")[0], 1.0)], PASSES)
    return {**found, "newton": Way(np.array(run.points))}


def _passes(found: Mapping[str, Any], label: str) -> list[float]:
    return [float(found[label].passes)]


def _read_race(found: Mapping[str, Way]) -> Values:
    least = {name: found[_quickest(found, name)].passes for name in RACERS}
    end = found["newton"].points[-1]
    bends = _diagonal(torch.from_numpy(end[None]))[0]
    return [
        *([math.log2(least[one] / least[other])] for one, other in RACES),
        [math.dist(end, MINIMUM) - math.dist(end, SADDLE)],
        [-float(bends.prod())],
    ]


def _quickest(found: Mapping[str, Way], name: str) -> str:
    own = [label for label in found if label.partition("|")[0] == name]
    return min(own, key=lambda label: found[label].passes)


def _draw_race(found: Mapping[str, Way]) -> Chart:
    lines = []
    for name, label in RACED.items():
        way = found[_quickest(found, name)]
        lines.append(_line(label, way.points[: way.passes // way.cost + 1]))
    return Paths("sophia", [*lines, _line("Newton", found["newton"].points[:20])])


# The saddle

LEVEL = 1.0  # |y| from which on the saddle is left
MOST = 4000
ESCAPERS = {
    "sgd": "SGD", "momentum": "momentum", "nesterov": "Nesterov",
    "adagrad": "Adagrad", "rmsprop": "RMSprop", "adadelta": "Adadelta",
}  # fmt: skip
STUCK, QUICK = list(ESCAPERS)[:3], list(ESCAPERS)[3:]
ESCAPE_RATES = rates(0.01, 0.5, 7)


def _escapes() -> dict[str, np.ndarray]:
    """Ways over the saddle, (steps + 1, 2)."""
    bends = torch.tensor([2.0, -2.0], dtype=torch.float64)
    start = surfaces.lookup("saddle").start
    found: dict[str, np.ndarray] = {}
    for name in ESCAPERS:
        times = 100 if name == "adadelta" else 1
        at = [times * rate for rate in ESCAPE_RATES]
        course = march(name, at, start, lambda points, t: bends * points, MOST)
        found |= {f"{name}|{i}": course[:, i] for i in range(len(at))}
    return found


def _delay(points: np.ndarray) -> float:
    """Steps until the saddle is left, by those that half of the way to it took."""
    x, y = np.abs(points).T
    return first(y > LEVEL) / first(x <= x[0] / 2)


def _read_escapes(found: Mapping[str, np.ndarray]) -> Values:
    each = []
    for i in range(len(ESCAPE_RATES)):
        fastest = min(_delay(found[f"{name}|{i}"]) for name in STUCK)
        slowest = max(_delay(found[f"{name}|{i}"]) for name in QUICK)
        each.append(math.log2(fastest / slowest))
    return [[min(each)]]


def _draw_escapes(found: Mapping[str, np.ndarray]) -> Chart:
    middle = len(ESCAPE_RATES) // 2
    lines = []
    for name, label in ESCAPERS.items():
        points = found[f"{name}|{middle}"]
        lines.append(_line(label, points[: first(np.abs(points[:, 1]) > LEVEL) + 1]))
    return Paths("saddle", lines)


CLAIMS = (
    Claim(
        "sophia-surface",
        "Where one direction is sharp and the other flat, Sophia comes to the minimum in fewer "
        "passes than gradient descent, sign descent and Adam, and Newton's method goes to a "
        "saddle.",
        "Liu et al. 2023, arXiv:2305.14342, figure 2, as the lecture on optimizers tells it",
        "their toy in two dimensions, from (0.2, 0), without noise",
        "Passes, of which a step of Sophia is two, until the path stays within 0.1 of the "
        "minimum, at the best of 61 learning rates from 0.001 to 10 for each; 300 passes at most, "
        "which is what a way that does not arrive counts. Sophia reads the true diagonal of the "
        "Hessian, anew in each step (k = 1), "
        "which is its other pass; γ = 1, no decay. Like with like: Sophia with its averages "
        "of gradient and curvature (0.965, 0.99) against Adam with its own, and without any "
        "against gradient and sign descent, which have none. (Without averages against Adam was "
        "added after a first run.) Newton's method takes full steps.",
        ("sophia", "adam"), 1, {},
        [
            *(Measure(f"log2 of the passes of {RACED[one]} over those of {RACED[other]}", base=2)
              for one, other in RACES),
            Measure("distance of Newton's end from the minimum less that from the saddle"),
            Measure("minus the Hessian's determinant there (a saddle's is negative)"),
        ],
        _read_race, _draw_race, _raced, tuple(RACERS), _passes,
    ),
    Claim(
        "saddle-escape",
        "At a saddle SGD, momentum and Nesterov find it hard to break the symmetry; Adagrad, "
        "RMSprop and Adadelta soon head down the negative slope.",
        LECTURE,
        "the saddle x² − y² from (1.5, 10⁻⁶), without noise",
        "Steps until |y| > 1, at 7 learning rates from 0.01 to 0.5, the same for all but Adadelta: "
        "its are 100 times as large, as its default of 1 is to Adagrad's and RMSprop's 0.01. As "
        "one learning rate is another speed in each, they are counted in units of the steps in "
        f"which the same run comes half of the way to the saddle; {MOST:,} steps at most.",
        ("adagrad", "sgd"), 1, {},
        [Measure("log2 of how many times as long the fastest of SGD, momentum and Nesterov takes "
                 "to leave the saddle as the slowest of Adagrad, RMSprop and Adadelta, in the "
                 "worst case over learning rates", base=2)],
        _read_escapes, _draw_escapes, _escapes,
    ),
)  # fmt: skip
