"""Sayings about online convex optimization: average regret, by learner."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from glissade import online
from glissade.claims import readings
from glissade.claims.base import Claim, Measure
from glissade.claims.charts import Chart, Line, Lines
from glissade.claims.readings import Values

Averages = Mapping[str, np.ndarray]  # by learner: (seeds, horizons)


def _played(problem: str, learners: Mapping[str, str], rounds: int, seeds: int) -> Averages:
    """The average regret of each learner, seed by seed, at growing horizons."""
    found: dict[str, list[np.ndarray]] = {name: [] for name in learners}
    known = online.problem(problem)
    for seed in range(seeds):
        stream = known.stream(rounds, seed)
        made = online.learners(", ".join(learners.values()), stream, known.region, known.hyper)
        for name, learner in zip(learners, made, strict=True):
            run = online.play(stream, learner, known.region)
            found[name].append(online.regret(run, online.horizons(rounds)).average)
    return {name: np.array(values) for name, values in found.items()}


def _last(found: Averages, name: str, problem: str) -> list[float]:
    """The average regret after all rounds, by seed."""
    return [float(x) for x in found[f"{name}|{problem}"][:, -1]]


def _claim(
    name: str,
    saying: str,
    source: str,
    scale: str,
    problems: Sequence[tuple[str, int]],
    learners: Mapping[str, str],
    rounds: int,
    threshold: float,
) -> Claim:
    """That the first learner's average regret ends below the second's, on each problem (with so
    many seeds), by more than a threshold."""
    one, other = learners
    titles = [readings.titled(of) for of in learners]

    def compute() -> Averages:
        return {
            f"{label}|{problem}": values
            for problem, seeds in problems
            for label, values in _played(problem, learners, rounds, seeds).items()
        }

    measures = [
        Measure(f"average regret on {problem} that {titles[0]} is below {titles[1]}", threshold)
        for problem, _ in problems
    ]

    def read(found: Averages) -> Values:
        return [
            readings.less(_last(found, one, problem), _last(found, other, problem))
            for problem, _ in problems
        ]

    def chart(found: Averages) -> Chart:
        at = online.horizons(rounds)
        lines = [
            Line(readings.titled(label), at, [float(y) for y in np.median(values, axis=0)])
            for label, values in found.items()
        ]
        return Lines("rounds", "average regret", lines)

    return Claim(
        name, saying, source, scale,
        f"{rounds:,} rounds, rates as the theory sets them; regret against the best fixed point in "
        f"hindsight, divided by the rounds; a difference of {threshold:g} or less does not count."
        if threshold else
        f"{rounds:,} rounds, rates as the theory sets them; regret against the best fixed point in "
        "hindsight, divided by the rounds.",
        (one, other), max(seeds for _, seeds in problems), {}, measures, read, chart,
        compute,
    )  # fmt: skip


CLAIMS = (
    _claim(
        "adam-counterexample",
        "Adam need not converge: where large gradients are rare it goes to the wrong end, and "
        "AMSGrad does not.",
        "Reddi, Kale & Kumar 2018, arXiv:1904.09237",
        "their counterexample on [−1, 1], in turn and at random; a short memory, as in their "
        "Theorem 1",
        (("counterexample", 1), ("counterexample-random", 8)),
        {"amsgrad": "amsgrad", "adam": "adam"}, 10_000, 0.1,
    ),
    _claim(
        "adagrad-rare-online",
        "Adagrad has less regret than SGD where informative features are rare.",
        "Duchi, Hazan & Singer 2011, as the HKUST lecture tells it",
        "online logistic regression in 30 dimensions, feature i there in one round of i²",
        (("rare", 10),), {"adagrad": "adagrad", "sgd": "sgd"}, 3000, 0.0,
    ),
    _claim(
        "adagrad-full-matrix",
        "Adagrad with the full matrix beats the diagonal where features are correlated.",
        "Duchi, Hazan & Singer 2011, as the HKUST lecture tells it",
        "online least squares in 10 rotated dimensions",
        (("rotated", 12),), {"full": "adagradfull", "diagonal": "adagrad"}, 1000, 0.0,
    ),
)  # fmt: skip
