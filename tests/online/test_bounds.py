"""Measured regret is under what the theorems say; what they ask for is asked for."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from glissade import rules
from glissade.online import PROBLEMS, Descent, Run, bound, horizons, learners, play, regret, theory
from glissade.online.learners import inverse_root
from glissade.online.problems import rotated
from glissade.online.streams import HINGE, LINEAR, LOGISTIC, SQUARES, Stream
from glissade.wrappers import ball, box, simplex

DIAGONAL = (
    "adagrad", "adagrad(lr=0.1)", "adagrad(variant=paper, eps=0.01)",
    "adagrad(initial_accumulator_value=0.5)", "sgd", "sgd(lr=0.05) @ constant()",
    "amsgrad", "amsgrad(betas=(0, 0.99))", "amsgrad(variant=inside, eps=0.01)",
    "amsgrad(betas=(0.5, 0.9)) @ constant()", "da",
)  # fmt: skip
FULL = ("adagradfull", "adagradfull(lr=0.1)", "adagradfull(variant=dual)")
PROVED = [
    (name, one)
    for name, problem in PROBLEMS.items()
    for one in (*DIAGONAL, *(FULL if problem.region.name == "ball" else ()),
                *(("eg", "eg(lr=0.1)") if problem.region.name == "simplex" else ()))
]  # fmt: skip


def holds(run: Run, at: tuple[int, ...]) -> None:
    """Regret, with all that the comparator may have missed, is under the bound."""
    measured = regret(run, at)
    found = bound(run, measured)
    assert found.values is not None, (run.learner.label, found.why)
    assert not found.refuted
    assert (measured.gaps < 1e-4).all()
    over = measured.values + measured.gaps - found.values
    assert (over <= 1e-9).all(), (run.learner.label, over)


@pytest.mark.parametrize(("name", "one"), PROVED)
def test_regret_is_under_its_bound(name: str, one: str) -> None:
    rounds, problem = 200, PROBLEMS[name]
    for seed in range(1 if one in FULL else 2):
        stream = problem.stream(rounds, seed)
        (player,) = learners(one, stream, problem.region)
        run = play(stream, player, problem.region)
        holds(run, (1, 2, 25, rounds))


@given(
    loss=st.sampled_from([LINEAR, LOGISTIC, SQUARES, HINGE]),
    region=st.sampled_from([box(-2, 0.5), ball(0.7), simplex()]),
    one=st.sampled_from(DIAGONAL),
    seed=st.integers(0, 2**32 - 1),
    dim=st.integers(2, 4),
    rounds=st.integers(1, 60),
    size=st.sampled_from([0.01, 1.0, 30.0]),
)
def test_on_any_data(
    loss: object, region: object, one: str, seed: int, dim: int, rounds: int, size: float
) -> None:
    """Heavy tails, missing features, gradients of any size."""
    if loss is HINGE and region.name == "ball":
        region = box(-0.7, 0.7)
    rng = np.random.default_rng(seed)
    A = size * rng.standard_t(2, (rounds, dim)) * (rng.random((rounds, dim)) < 0.5)
    stream = Stream(loss, A, rng.choice([-1.0, 1.0], rounds))
    (player,) = learners(one, stream, region)
    run = play(stream, player, region)
    measured = regret(run, (rounds,))
    found = bound(run, measured)
    assert found.values is not None
    scale = 1 + abs(found.values[0])
    assert measured.values[0] <= found.values[0] + 1e-9 * scale


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("lam", [0.5, 0.9, 0.99])
def test_the_printed_bound_of_amsgrad_is_over_the_one_of_its_proof(seed: int, lam: float) -> None:
    g = np.random.default_rng(seed).standard_normal((400, 3)) * [1, 0.1, 10]
    at = horizons(400)
    for betas in ((0.9, 0.999), (0.5, 0.9), (0.0, 0.1)):
        beta1 = betas[0] * lam ** np.arange(400)
        rates = 0.7 / np.sqrt(np.arange(1, 401))
        near = theory.amsgrad_run(g, rates, beta1, betas[1], 2.0, at)
        assert (near <= theory.amsgrad(g, 0.7, beta1, betas[1], 2.0, at)).all()


def test_beta1_may_fall_like_1_over_t() -> None:
    problem = PROBLEMS["squares"]
    player = Descent(rules.amsgrad(lr=1.0), "amsgrad", inverse_root, lambda t: 1 / (t + 1))
    np.testing.assert_allclose(player.beta1(3), [0.9, 0.45, 0.3])
    run = play(problem.stream(300), player, problem.region)
    holds(run, (1, 20, 300))
    m = 0.1 * run.gradients[0]  # the second step: β1 is 0.45
    m = 0.45 * m + 0.55 * run.gradients[1]
    v = 0.001 * np.maximum(run.gradients[0] ** 2, 0.999 * run.gradients[0] ** 2
                           + run.gradients[1] ** 2)  # fmt: skip
    moved = np.clip(run.points[1] - m / np.sqrt(v) / np.sqrt(2), -1, 1)
    np.testing.assert_allclose(run.points[2], moved, atol=1e-5)


def test_formulas_by_hand() -> None:
    """g = 3, then 4, in one dimension; G_2 = 25, D = 2, lr = ½."""
    g, at = np.array([[3.0], [4.0]]), (1, 2)
    first = 4 / (2 * 0.5)
    np.testing.assert_allclose(theory.adagrad(g, 0.5, 2, at), [first * 3 + 1.5, first * 5 + 2.5])
    np.testing.assert_allclose(
        theory.adagrad_full(g, 0.5, 0.1, 2, at), [first * 3.1 + 1.5, first * 5.1 + 2.5]
    )
    moves = np.array([[1.0], [-1.0]])
    for dual in (theory.adagrad_dual, theory.dual_averaging):
        np.testing.assert_allclose(dual(g, 0.5, 4, moves, at), [2 * 7 + 1.5, 2 * 9 + 2.5])
    rates = np.array([1.0, 0.5])
    np.testing.assert_allclose(theory.gradient_descent(g, rates, 2, at), [2 + 4.5, 4 + 4.5 + 4])
    # β1 = 0, β2 = ½: v̂ = 9 corrected, then (4.5/2 + 8)/0.75 = 41/3; G∞ 3, 4; lr 1.
    second = np.array([3 * 3, 4 * 5]) / np.sqrt(0.5)
    np.testing.assert_allclose(
        theory.adam_as_printed(g, 1, (0, 0.5), 0.5, 2, 2, at),
        2 * np.sqrt([9, 2 * 41 / 3]) + second,
    )
    # Raw: v = 4.5, then 10.25.
    np.testing.assert_allclose(
        theory.amsgrad(g, 1, np.zeros(2), 0.5, 2, at),
        4 * np.sqrt([4.5, 2 * 10.25])
        + np.sqrt(1 + np.log([1, 2])) / np.sqrt(0.5) * np.array([3, 5]),
    )
    s = np.sqrt([4.5, 10.25])
    moved = np.cumsum([0.5 * 9 / s[0], 16 / s[1] / 2 / np.sqrt(2)])
    np.testing.assert_allclose(
        theory.amsgrad_run(g, np.array([1, 0.5**0.5]), np.zeros(2), 0.5, 2, at),
        2 * s * np.sqrt([1, 2]) + moved,
    )
    two = np.array([[1.0, 0.0], [0.0, 2.0]])
    np.testing.assert_allclose(
        theory.exponentiated(two, rates, at), [np.log(2) + 0.5, np.log(2) / 0.5 + 0.5 + 1]
    )
    np.testing.assert_allclose(theory.trace_root(two, at), [1, 3])


def test_the_best_rate_of_adagrad_is_the_default() -> None:
    """At lr = D∞/√2 the bound is √2·D∞·Σ‖g‖, and no other lr has a lower one."""
    g, at = np.random.default_rng(0).standard_normal((50, 3)), (50,)
    least = theory.adagrad(g, 2 / np.sqrt(2), 2, at)[0]
    assert least == pytest.approx(2 * np.sqrt(2) * np.linalg.norm(g, axis=0).sum())
    assert all(theory.adagrad(g, lr, 2, at)[0] > least for lr in (1.3, 1.5))


def test_what_no_theorem_covers_has_no_bound() -> None:
    stream, region = PROBLEMS["logistic"].stream(30), ball(2)
    for one, why in (
        ("sgd(momentum=0.9)", "without momentum"),
        ("sgd @ exponential(1.01)", "rate grows"),
        ("adagrad @ linear(30)", "constant lr"),
        ("adagrad(lr_decay=0.1)", "constant lr"),
        ("adagrad(weight_decay=0.1)", "weight decay"),
        ("adagradfull(variant=dual, delta=0.1)", "delta of at least"),
        ("da(delta=0.01)", "delta of at least"),
        ("adam @ constant()", "lr/√t"),
        ("amsgrad(variant=torch)", "bias correction"),
        ("lion", "no theorem"),
        ("lookahead(adagrad)", "no theorem"),
    ):
        run = play(stream, one, region)
        found = bound(run, regret(run))
        assert found.values is None
        assert why in found.why, one
    for plain in (rules.adagrad(lr=1.0), rules.amsgrad(lr=1.0), rules.adagradfull(lr=1.0)):
        run = play(stream, Descent(plain, "plain", inverse_root, metric="euclidean"), region)
        found = bound(run, regret(run))
        assert found.values is None
    (adam,) = learners("adam", stream, region, lam=1.0)
    run = play(stream, adam, region)
    assert "λ under 1" in bound(run, regret(run)).why


def test_adagrad_beats_descent_with_rare_features() -> None:
    """Each with the rate of its theorem."""
    problem = PROBLEMS["rare"]
    for seed in range(3):
        stream = problem.stream(2000, seed)
        ours, plain = (
            regret(play(stream, one, problem.region)).values[0] for one in ("adagrad", "sgd")
        )
        assert 0 < ours < 0.85 * plain


def test_full_matrices_beat_the_diagonal_on_correlated_features() -> None:
    """Regret and bound, with the rate of each theorem; where the axes are the features' own the
    diagonal's bound is hardly over the full one's."""
    for seed in range(2):
        stream = rotated(np.random.default_rng(seed), 600)
        runs = [play(stream, one, ball(2)) for one in ("adagradfull", "adagrad")]
        full, diagonal = (regret(run) for run in runs)
        assert 0 < full.values[0] < 0.75 * diagonal.values[0]
        bounds = [bound(run, m).values for run, m in zip(runs, (full, diagonal), strict=True)]
        assert bounds[0] is not None
        assert bounds[1] is not None
        assert bounds[0][0] < 0.75 * bounds[1][0]
        _, Q = np.linalg.eigh(stream.features.T @ stream.features)
        turned = replace(stream, features=stream.features @ Q)
        ours = play(turned, "adagrad", ball(2)).gradients
        assert theory.norms(ours, (600,)).sum() < 1.4 * theory.trace_root(ours, (600,))[0]


@pytest.mark.parametrize("one", ["sgd", "adagrad", "amsgrad(betas=(0, 0.99))", "da"])
@pytest.mark.parametrize("name", ["signs", "adversary", "logistic", "hinge", "rare"])
def test_regret_grows_slower_than_the_rounds(name: str, one: str) -> None:
    """Sixteen times the rounds cost less than eight times the regret (√16 is 4)."""
    problem = PROBLEMS[name]
    run = play(problem.stream(3200), one, problem.region)
    short, long = regret(run, (200, 3200)).values
    assert long < 8 * max(short, 200**0.5)
