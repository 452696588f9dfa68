"""Where Adam does not converge (Reddi, Kale & Kumar 2018), and AMSGrad does."""

from __future__ import annotations

import numpy as np
import pytest

from glissade.online import PROBLEMS, bound, learners, play, regret
from glissade.online.problems import counterexample
from glissade.wrappers import box

HORIZONS = (300, 1500, 6000)


@pytest.mark.parametrize("name", ["counterexample", "counterexample-random"])
def test_adam_goes_to_the_wrong_end_and_amsgrad_does_not(name: str) -> None:
    problem = PROBLEMS[name]
    stream = problem.stream(6000)
    adam, amsgrad = (
        play(stream, player, problem.region)
        for player in learners("adam, amsgrad", stream, problem.region, problem.hyper)
    )
    wrong, right = regret(adam, HORIZONS), regret(amsgrad, HORIZONS)
    assert (wrong.best == -1).all()
    # The worst point, +1, pays twice the sum of the slopes more than the best: about ⅔ a round, and
    # at random 2δ = 0.4.
    worst = 2 * stream.features.cumsum()[np.array(HORIZONS) - 1]
    assert (wrong.values > 0.85 * worst).all()
    assert (worst > 0.3 * np.array(HORIZONS)).all()
    assert wrong.average[-1] > 0.8 * wrong.average[0]
    assert np.median(adam.points[-1000:]) > 0.9
    assert right.average[-1] < 0.3 * right.average[0]
    assert right.values[-1] < 0.1 * worst[-1]
    assert np.median(amsgrad.points[-1000:]) < -0.9


def test_adam_breaks_the_bound_that_was_printed() -> None:
    problem = PROBLEMS["counterexample"]
    stream = problem.stream(6000)
    adam, amsgrad = (
        play(stream, player, problem.region)
        for player in learners("adam, amsgrad", stream, problem.region, problem.hyper)
    )
    measured = regret(adam, HORIZONS)
    printed = bound(adam, measured)
    assert printed.refuted
    assert printed.values is not None
    assert measured.values[-1] > 3 * printed.values[-1]
    measured = regret(amsgrad, HORIZONS)
    proved = bound(amsgrad, measured)
    assert proved.values is not None
    assert (measured.values < proved.values).all()


@pytest.mark.parametrize("C", [2.5, 4.0, 10.0])
@pytest.mark.parametrize("start", [-1.0, 0.0, 1.0])
def test_any_steepness_and_any_start(C: float, start: float) -> None:
    """Theorem 1: β1 = 0 and β2 = 1/(1+C²)."""
    stream = counterexample(3000, C)
    betas = f"betas=(0, {1 / (1 + C * C)})"
    adam, amsgrad = (
        play(stream, f"{name}({betas})", box(-1, 1), start=np.array([start]))
        for name in ("adam", "amsgrad")
    )
    assert np.median(adam.points[-300:]) > 0.9
    assert np.median(amsgrad.points[-300:]) < -0.9
    slope = 2 * (C - 2) / 3
    assert regret(adam).average[0] > 0.85 * slope
    assert regret(amsgrad).average[0] < 0.5 * slope


def test_a_long_memory_does_not_fall_for_this_one() -> None:
    """β2 = 0.999 sees many periods: the theorem is on a short memory."""
    run = play(counterexample(6000), "adam(betas=(0, 0.999))", box(-1, 1))
    assert regret(run).average[0] < 0.05
