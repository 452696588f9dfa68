"""Problems by name: a stream of losses, a set to play on, and what a theory says of settings."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..checks import nearest as nearest_name
from ..wrappers import ball, box, simplex
from ..wrappers.project import Region
from .sets import Array
from .streams import HINGE, LINEAR, LOGISTIC, SQUARES, Loss, Stream

Make = Callable[[np.random.Generator, int], Stream]


@dataclass(frozen=True)
class Problem:
    """A problem; `hyper` are settings that learners get where none are said."""

    name: str
    title: str
    says: str  # one sentence on what it shows
    make: Make
    region: Region
    hyper: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    def stream(self, rounds: int, seed: int = 0) -> Stream:
        """So many losses; the same for the same seed."""
        if rounds < 1:
            raise ValueError(f"rounds={rounds}: allowed is 1 or more")
        return self.make(np.random.default_rng(seed), rounds)


def counterexample(rounds: int, C: float = 3.0) -> Stream:
    """``C·x`` in rounds 1, 4, 7, ..., else ``-x``: on [-1, 1] the best point is -1 for C over 2.

    Source: Reddi, Kale & Kumar 2018, section 3 and Theorem 1 (β1 = 0, β2 = 1/(1+C²)).
    """
    if not C > 2:
        raise ValueError(f"C={C}: allowed is a number over 2")
    a = np.where(np.arange(rounds) % 3 == 0, C, -1.0)
    return Stream(LINEAR, a[:, None], np.zeros(rounds))


def counterexample_random(
    rng: np.random.Generator, rounds: int, C: float = 5.0, delta: float = 0.2
) -> Stream:
    """``C·x`` with probability (1+δ)/(C+1), else ``-x``: δ·x in the mean, the best point is -1.

    Source: Reddi, Kale & Kumar 2018, Theorem 3.
    """
    if not (C > 1 and 0 < delta < C):
        raise ValueError(f"C={C}, delta={delta}: allowed are C over 1 and delta from 0 to C")
    a = np.where(rng.random(rounds) < (1 + delta) / (C + 1), C, -1.0)
    return Stream(LINEAR, a[:, None], np.zeros(rounds))


def labelled(rng: np.random.Generator, loss: Loss, A: Array, w: Array, noise: float) -> Stream:
    """Targets from the weights w: their sign, or their value for squares, with noise."""
    z = A @ w
    if loss is SQUARES:
        return Stream(loss, A, z + noise * rng.standard_normal(len(A)))
    b = np.where(z >= 0, 1.0, -1.0)
    return Stream(loss, A, np.where(rng.random(len(A)) < noise, -b, b))


def dense(loss: Loss, dim: int = 5) -> Make:
    """Features of one size, all present in each round."""

    def make(rng: np.random.Generator, rounds: int) -> Stream:
        A, w = rng.uniform(-1, 1, (rounds, dim)), rng.uniform(-1.5, 1.5, dim)
        return labelled(rng, loss, A, w, 0.1)

    return make


def rare(rng: np.random.Generator, rounds: int, dim: int = 30, loss: Loss = LOGISTIC) -> Stream:
    """Feature i is there with probability 1/i², and the rarest that is there decides the label."""
    there = rng.random((rounds, dim)) < 1 / np.arange(1, dim + 1) ** 2
    A = there * rng.choice([-1.0, 1.0], (rounds, dim))
    w = rng.choice([-1.0, 1.0], dim) * np.arange(1.0, dim + 1)
    return labelled(rng, loss, A, w, 0.0)


def rotated(rng: np.random.Generator, rounds: int, dim: int = 10) -> Stream:
    """Features of very different sizes along axes that are not the coordinates': correlated."""
    Q, _ = np.linalg.qr(rng.standard_normal((dim, dim)))
    sizes = 2.0 ** -np.arange(dim)
    A = rng.uniform(-1, 1, (rounds, dim)) * sizes @ Q.T
    w = Q @ (rng.choice([-1.0, 1.0], dim) * np.minimum(0.5 / sizes, 4) / dim)
    return labelled(rng, SQUARES, A, w, 0.05)


def _linear(rng: np.random.Generator, rounds: int) -> Stream:
    a = rng.uniform(-1, 1, (rounds, 5)) + np.linspace(-0.2, 0.2, 5)
    return Stream(LINEAR, a, np.zeros(rounds))


def _signs(rng: np.random.Generator, rounds: int) -> Stream:
    return Stream(LINEAR, rng.choice([-1.0, 1.0], (rounds, 5)), np.zeros(rounds))


def _adversary(rng: np.random.Generator, rounds: int) -> Stream:
    def against(t: int, x: Array) -> Array:
        return np.where(x >= 0, 1.0, -1.0)

    return Stream(LINEAR, np.ones((rounds, 3)), np.zeros(rounds), against)


def _experts(rng: np.random.Generator, rounds: int) -> Stream:
    a = rng.random((rounds, 10)) < np.linspace(0.4, 0.6, 10)
    return Stream(LINEAR, a.astype(float), np.zeros(rounds))


def _short(C: float) -> dict[str, Mapping[str, Any]]:
    """The short memory for which Adam is proved to fail."""
    betas = (0.0, 1 / (1 + C * C))
    return {"adam": {"betas": betas}, "amsgrad": {"betas": betas}}


PROBLEMS = {
    problem.name: problem
    for problem in (
        Problem("linear", "Linear losses around a mean",
                "Random losses with one direction that pays.", _linear, box(-1, 1)),
        Problem("signs", "Linear losses of random signs",
                "No learner can do better than √T here.", _signs, ball(1)),
        Problem("adversary", "Linear losses against the learner",
                "Each loss is chosen against the point just played.", _adversary, box(-1, 1)),
        Problem("experts", "Ten experts", "Each round every expert loses 0 or 1.",
                _experts, simplex()),
        Problem("logistic", "Logistic losses", "Labels of which one in ten is wrong.",
                dense(LOGISTIC), ball(2)),
        Problem("squares", "Squared errors", "A noisy linear model.", dense(SQUARES), box(-1, 1)),
        Problem("hinge", "Hinge losses", "Labels of which one in ten is wrong.",
                dense(HINGE), box(-1, 1)),
        Problem("rare", "Logistic losses with rare features",
                "Feature i of 30 is there in one round of i², and the rarest decides.",
                rare, box(-1, 1)),
        Problem("rotated", "Squared errors with correlated features",
                "Large and small directions that are not the coordinates'.", rotated, ball(2)),
        Problem("counterexample", "Where Adam fails",
                "3x in every third round, else -x: the best point of [-1, 1] is -1.",
                lambda rng, rounds: counterexample(rounds), box(-1, 1), _short(3)),
        Problem("counterexample-random", "Where Adam fails, at random",
                "5x with probability 0.2, else -x: the best point of [-1, 1] is -1.",
                counterexample_random, box(-1, 1), _short(5)),
    )
}  # fmt: skip


def problem(name: str) -> Problem:
    """The problem of this name.

    Raises:
        ValueError: there is none.
    """
    if name not in PROBLEMS:
        raise ValueError(
            f"unknown problem {name!r}; known are {', '.join(PROBLEMS)}"
            f"{nearest_name(name, list(PROBLEMS))}"
        )
    return PROBLEMS[name]
