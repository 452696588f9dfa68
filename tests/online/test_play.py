"""Plays that can be followed by hand, and the best fixed point against other solvers."""

from __future__ import annotations

import doctest
import importlib

import numpy as np
import pytest
from scipy import optimize

import glissade
from glissade import registry
from glissade.online import PROBLEMS, Descent, Stream, best, horizons, learners, play, regret
from glissade.online.comparator import gap
from glissade.online.learners import inverse_root
from glissade.online.problems import counterexample
from glissade.online.sets import centre, inside, lowest
from glissade.online.streams import HINGE, LINEAR, LOGISTIC, SQUARES
from glissade.wrappers import ball, box, simplex


def linear(*a: float) -> Stream:
    return Stream(LINEAR, np.array(a, dtype=float)[:, None], np.zeros(len(a)))


def test_descent_by_hand() -> None:
    """On [-1, 1] from 0 with lr ½: points 0, -½, 0, -1; paid 0 + ½ + 0 - 1; the sum of slopes is 4,
    and the best point -1 pays -4."""
    run = play(linear(1, -1, 3, 1), "sgd(lr=0.5) @ constant()", box(-1, 1))
    np.testing.assert_allclose(run.points.ravel(), [0, -0.5, 0, -1], atol=1e-15)
    np.testing.assert_allclose(run.losses, [0, 0.5, 0, -1], atol=1e-15)
    measured = regret(run, [1, 2, 3, 4])
    # The best points pay -1, 0, -3, -4.
    np.testing.assert_allclose(measured.values, [1, 0.5, 3.5, 3.5], rtol=0, atol=1e-12)
    np.testing.assert_allclose(measured.average, [1, 0.25, 3.5 / 3, 0.875], rtol=0, atol=1e-12)


def test_falling_rates_by_hand() -> None:
    """lr/√t with lr 1: steps 1·(½), then (1/√2)·(-1); from ½ to 0 to 1/√2."""
    run = play(linear(0.5, -1, 2), "sgd(lr=1)", box(-1, 1), start=np.array([0.5]))
    np.testing.assert_allclose(run.points.ravel(), [0.5, 0, 2**-0.5], atol=1e-15)
    paid = 0.25 + 2**0.5
    assert abs(regret(run).values[0] - (paid + 1.5)) < 1e-12


def test_adagrad_by_hand() -> None:
    """lr ½: 0, -½·1/1 = -½, then +½·2/√5; eps is 1e-10."""
    run = play(linear(1, -2, 1), "adagrad(lr=0.5)", box(-1, 1))
    np.testing.assert_allclose(run.points.ravel(), [0, -0.5, -0.5 + 5**-0.5], atol=1e-9)


def test_exponentiated_gradient_by_hand() -> None:
    """With lr log 2: x_2 ∝ (½^{1/√2}, 1)."""
    stream = Stream(LINEAR, np.array([[1.0, 0.0], [0.0, 0.0]]), np.zeros(2))
    run = play(stream, f"eg(lr={np.log(2)})", simplex())
    q = 0.5 ** (1 / np.sqrt(2))
    np.testing.assert_allclose(run.points, [[0.5, 0.5], [q / (1 + q), 1 / (1 + q)]], atol=1e-15)


def test_dual_averaging_by_hand() -> None:
    """H = 1 + |1| = 2, then 1 + √2: -½, and then 0, for the slopes have cancelled."""
    run = play(linear(1, -1, 0), "da(lr=1, delta=1)", box(-1, 1))
    np.testing.assert_allclose(run.points.ravel(), [0, -0.5, 0], atol=1e-15)


def test_dual_averaging_is_adagradfull_in_one_dimension() -> None:
    stream = linear(*np.random.default_rng(0).standard_normal(50))
    a = play(stream, "da(lr=0.3, delta=2)", ball(1))
    b = play(stream, "adagradfull(lr=0.3, delta=2, variant=dual)", ball(1))
    np.testing.assert_allclose(a.points, b.points, atol=1e-12)


@pytest.mark.parametrize("name", ["adagrad", "amsgrad", "adam", "sgd(momentum=0.9)"])
def test_the_library_plays_as_it_optimizes(name: str) -> None:
    """The same points as glissade.Optimizer with a scheduler and the wrapper project."""
    import torch

    from glissade.spec import specs

    problem = PROBLEMS["squares"]
    stream = problem.stream(30)
    spec = specs(name)[0]
    run = play(stream, Descent(spec.rule(0.3), name, inverse_root), problem.region)
    p = torch.nn.Parameter(torch.zeros(stream.dim, dtype=torch.float64))
    rule = glissade.wrappers.project(spec.rule(0.3), onto=problem.region)
    optimizer = glissade.Optimizer([p], rule)
    scheduler = glissade.Scheduler(optimizer, lr=inverse_root)
    for t in range(30):
        np.testing.assert_allclose(run.points[t], p.detach().numpy(), rtol=0, atol=1e-14)
        z = torch.from_numpy(stream.features[t]) @ p
        (0.5 * (z - stream.targets[t]) ** 2).backward()
        optimizer.step()
        scheduler.step()
        optimizer.zero_grad()


@pytest.mark.parametrize("loss", [LOGISTIC, SQUARES, HINGE], ids=lambda loss: loss.name)
def test_gradients_are_those_of_the_losses(loss: glissade.online.Loss) -> None:
    rng = np.random.default_rng(1)
    stream = Stream(loss, rng.standard_normal((20, 4)), rng.choice([-1.0, 1.0], 20))
    x, h = rng.standard_normal(4), 1e-6
    for T in (1, 20):
        total, g = stream.total(x, T)
        numeric = [
            (stream.total(x + h * e, T)[0] - stream.total(x - h * e, T)[0]) / (2 * h)
            for e in np.eye(4)
        ]
        np.testing.assert_allclose(g, numeric, atol=1e-6)
        one = sum(stream.gradient(t, x) for t in range(T))
        np.testing.assert_allclose(g, one, atol=1e-12)
        assert abs(total - stream.losses(np.tile(x, (T, 1))).sum()) < 1e-12


REGIONS = [box(-0.5, 0.7), ball(0.8), simplex()]


@pytest.mark.parametrize("region", REGIONS, ids=repr)
def test_no_gradient_is_steeper_than_said(region: glissade.wrappers.project.Region) -> None:
    rng = np.random.default_rng(2)
    for loss in (LINEAR, LOGISTIC, SQUARES, HINGE):
        stream = Stream(loss, rng.standard_normal((30, 3)), rng.choice([-1.0, 1.0], 30))
        for c in rng.standard_normal((20, 3)):
            x = lowest(region, c)
            steepest = max(np.linalg.norm(stream.gradient(t, x)) for t in range(30))
            assert steepest <= stream.steepest(region) * (1 + 1e-12)


@pytest.mark.parametrize("region", REGIONS, ids=repr)
def test_the_closed_form_is_what_linear_programming_finds(
    region: glissade.wrappers.project.Region,
) -> None:
    rng = np.random.default_rng(3)
    for _ in range(5):
        stream = Stream(LINEAR, rng.standard_normal((10, 3)), np.zeros(10))
        found = best(stream, region, 10)
        c = stream.features.sum(0)
        if region.name == "ball":
            other = -0.8 * np.linalg.norm(c)
        elif region.name == "box":
            other = optimize.linprog(c, bounds=[(-0.5, 0.7)] * 3).fun
        else:
            other = optimize.linprog(c, A_eq=np.ones((1, 3)), b_eq=[1], bounds=[(0, 1)] * 3).fun
        assert abs(found.total - other) < 1e-9
        assert inside(region, found.point)


@pytest.mark.parametrize("loss", [LOGISTIC, SQUARES, HINGE], ids=lambda loss: loss.name)
@pytest.mark.parametrize("region", REGIONS, ids=repr)
def test_the_best_point_is_proved(
    loss: glissade.online.Loss, region: glissade.wrappers.project.Region
) -> None:
    """The gap is small, no random point is better, and the KKT residual is 0 where smooth."""
    rng = np.random.default_rng(4)
    stream = Stream(loss, rng.standard_normal((200, 4)), rng.choice([-1.0, 1.0], 200))
    if loss is HINGE and region.name == "ball":
        with pytest.raises(ValueError, match="hinge losses on a ball"):
            best(stream, region, 200)
        return
    found = best(stream, region, 200)
    assert inside(region, found.point)
    assert 0 <= found.gap < 1e-5
    for _ in range(200):
        x = found.point + 0.5 * rng.random() * (lowest(region, rng.standard_normal(4))
                                                - found.point)  # fmt: skip
        assert stream.total(x, 200)[0] >= found.total - found.gap - 1e-9
    if loss is not HINGE:
        assert found.gap == gap(stream, region, found.point, 200)
        assert gap(stream, region, centre(region, 4), 200) > found.gap


def test_hinge_by_hand() -> None:
    """max(0, 1-x) twice and max(0, 1+x) once: on [-2, 2] the best is x = 1, and pays 2."""
    stream = Stream(HINGE, np.ones((3, 1)), np.array([1.0, 1.0, -1.0]))
    found = best(stream, box(-2, 2), 3)
    assert abs(found.point[0] - 1) < 1e-9
    assert abs(found.total - 2) < 1e-9


def test_an_adversary_answers_each_play_anew() -> None:
    problem = PROBLEMS["adversary"]
    stream = problem.stream(50)
    a, b = (play(stream, name, problem.region) for name in ("sgd", "adagrad"))
    assert (stream.features == 1).all()
    assert (a.gradients != b.gradients).any()
    np.testing.assert_array_equal(a.stream.features, a.gradients)
    assert (a.losses >= 0).all()


@pytest.mark.parametrize("name", PROBLEMS)
def test_every_problem_is_the_same_for_the_same_seed(name: str) -> None:
    one, again, other = (PROBLEMS[name].stream(20, seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(one.features, again.features)
    np.testing.assert_array_equal(one.targets, again.targets)
    if name not in ("counterexample", "adversary"):
        assert (one.features != other.features).any()
    run = play(one, "adagrad", PROBLEMS[name].region)
    assert all(inside(PROBLEMS[name].region, x) for x in run.points)
    assert run.points.dtype == np.float64


def test_bad_input() -> None:
    stream, region = linear(1, 2), box(-1, 1)
    for wrong, what in (
        (lambda: play(stream, "sgd", region, 3), "has 2 losses"),
        (lambda: play(stream, "sgd", region, start=np.array([2.0])), "no point of"),
        (lambda: play(stream, "sgd,adam", region), "one plays at a time"),
        (lambda: play(stream, "newton", region), "cannot play"),
        (lambda: play(stream, "eg", region), "on the simplex"),
        (lambda: play(stream, "adagradfull", region), "full matrix"),
        (lambda: learners("da(mu=1)", stream, region), "takes lr, delta"),
        (lambda: learners("da(lr=x)", stream, region), "values are numbers"),
        (lambda: learners("da(lr=-1)", stream, region), "over 0"),
        (lambda: learners("sgd", stream, region, lam=0.0), "lam=0.0"),
        (lambda: learners("sgd,sgd", stream, region), "named twice"),
        (lambda: learners("adam(", stream, region), "cannot read"),
        (lambda: regret(play(stream, "sgd", region), [3]), "horizons from 1 to 2"),
        (lambda: Stream(LINEAR, np.ones((2, 1)), np.ones(3)), "(rounds, dim)"),
        (lambda: Stream(LINEAR, np.full((2, 1), np.nan), np.ones(2)), "not finite"),
        (lambda: counterexample(3, C=2.0), "over 2"),
        (lambda: Descent(glissade.rules.sgd(), "sgd", metric="own "), "allowed are own"),
    ):
        with pytest.raises(ValueError) as caught:  # noqa: PT011
            wrong()
        assert what in str(caught.value)


def test_the_example_runs() -> None:
    assert doctest.testmod(importlib.import_module("glissade.online.game")).failed == 0


@pytest.mark.parametrize("entry", registry.entries(), ids=lambda entry: entry.name)
def test_every_optimizer_can_play(entry: registry.Entry) -> None:
    """On a box, and on a ball; those that read a curvature are refused in words."""
    stream = Stream(LOGISTIC, np.random.default_rng(0).standard_normal((20, 3)), np.ones(20))
    for region in (box(-1, 1), ball(1)):
        if entry.name == "sophia":
            with pytest.raises(ValueError, match="curvature"):
                play(stream, entry.name, region)
        elif entry.name != "adagradfull" or region.name == "ball":
            run = play(stream, entry.name, region)
            assert all(inside(region, x) for x in run.points)


def test_horizons() -> None:
    assert horizons(10_000)[0] == 10
    assert horizons(10_000)[-1] == 10_000
    assert horizons(7) == (7,)
