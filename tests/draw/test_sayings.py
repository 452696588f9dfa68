"""What the lectures say of the two famous pictures, as it comes out with the command's defaults."""

from __future__ import annotations

import math

import pytest

from glissade.draw.scene import Scene
from glissade.draw.trajectories import Run
from tests.draw.scenes import FAMOUS, scene


@pytest.fixture(scope="module")
def saddle() -> Scene:
    return scene("saddle", FAMOUS, "tuned", 120)


@pytest.fixture(scope="module")
def beale() -> Scene:
    return scene("beale", FAMOUS, "tuned", 200)


def _runs(of: Scene) -> dict[str, Run]:
    return {run.spec.name: run for run in of.runs}


def _left(run: Run) -> float:
    """The step in which it is one away from the axis on which the saddle point lies."""
    return next((t for t, (_, y) in enumerate(run.points) if abs(y) > 1), math.inf)


def test_on_the_saddle_three_are_stuck_when_the_adaptive_ones_have_left(saddle: Scene) -> None:
    runs = _runs(saddle)
    for name in ("adagrad", "rmsprop", "adadelta", "adam", "adamw", "lion"):
        assert _left(runs[name]) <= 25  # quickly head down the negative slope
    for name in ("sgd", "momentum", "nesterov"):
        assert math.hypot(*runs[name].points[60]) < 0.25  # difficult to break symmetry
        assert _left(runs[name]) > 4 * _left(runs["adadelta"])
    assert not any(run.diverged for run in saddle.runs)
    assert not saddle.outcome.warnings


def test_momentum_and_nesterov_escape_in_the_end() -> None:
    runs = _runs(scene("saddle", "momentum, nesterov", "tuned", 200))
    assert 100 < _left(runs["momentum"]) < 200
    assert 100 < _left(runs["nesterov"]) < 200


def _detour(run: Run) -> float:
    """How much longer its way is than the straight line between its ends."""
    pieces = zip(run.points[:-1], run.points[1:], strict=True)
    return sum(math.dist(a, b) for a, b in pieces) / math.dist(run.points[0], run.points[-1])


def _lowest(run: Run) -> float:
    return min(y for _, y in run.points)


def test_on_the_contours_momentum_overshoots(beale: Scene) -> None:
    runs = _runs(beale)
    for name in ("adagrad", "rmsprop", "adadelta"):  # head off in the right direction
        assert _lowest(runs[name]) > 0
    for name in ("momentum", "nesterov"):  # led off-track, a ball rolling down the hill
        assert _lowest(runs[name]) < -0.8
        for straight in ("sgd", "adagrad", "rmsprop"):
            assert _detour(runs[name]) > 1.3 * _detour(runs[straight])
    # Nesterov corrects its course sooner.
    assert _lowest(runs["momentum"]) < _lowest(runs["nesterov"]) - 0.2
    assert _detour(runs["nesterov"]) < _detour(runs["momentum"])
    assert not any(run.diverged for run in beale.runs)
    assert not beale.outcome.warnings


def test_labels_say_who_got_which_rate(beale: Scene) -> None:
    for run in beale.runs:
        assert f"lr {run.lr:.3g}" in beale.label(run)
    text = " ".join(beale.caption())
    assert "none of 9 diverged" in text
    assert "200 steps" in text
    assert "Start (1, 1.5)" in text
