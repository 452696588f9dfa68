"""Projections in weighted norms against solvers, and the sizes of sets."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import optimize

from glissade.online.sets import (
    Array,
    centre,
    diameter,
    diameter_sup,
    inside,
    largest,
    lowest,
    nearest,
    nearest_matrix,
    nearest_weighted,
)
from glissade.wrappers import ball, box, simplex

REGIONS = [box(-0.5, 0.7), ball(0.8), simplex()]


def by_solver(name: str, y: Array, H: Array) -> Array:
    """SLSQP on ½(x-y)ᵀH(x-y)."""
    more: dict[str, object] = {}
    if name == "box":
        more = {"bounds": [(-0.5, 0.7)] * len(y)}
    elif name == "ball":
        more = {"constraints": {"type": "ineq", "fun": lambda x: 0.64 - x @ x}}
    else:
        more = {"bounds": [(0, 1)] * len(y),
                "constraints": {"type": "eq", "fun": lambda x: x.sum() - 1}}  # fmt: skip
    found = optimize.minimize(
        lambda x: (0.5 * (x - y) @ H @ (x - y), H @ (x - y)), np.full(len(y), 1 / len(y)),
        jac=True, method="SLSQP", options={"ftol": 1e-15, "maxiter": 500}, **more,
    )  # fmt: skip
    x: Array = found.x
    return x


@pytest.mark.parametrize("region", REGIONS, ids=repr)
@pytest.mark.parametrize("seed", range(8))
def test_weighted_projections_are_those_of_a_solver(region: object, seed: int) -> None:
    rng = np.random.default_rng(seed)
    y, w = 2 * rng.standard_normal(4), np.exp(rng.standard_normal(4))
    x = nearest_weighted(region, y, w)
    assert inside(region, x)
    np.testing.assert_allclose(x, by_solver(region.name, y, np.diag(w)), atol=2e-6)


@pytest.mark.parametrize("seed", range(8))
def test_full_projections_are_those_of_a_solver(seed: int) -> None:
    rng = np.random.default_rng(seed)
    y, A = 2 * rng.standard_normal(4), rng.standard_normal((4, 4))
    H = A @ A.T + 0.1 * np.eye(4)
    values, Q = np.linalg.eigh(H)
    x = nearest_matrix(ball(0.8), y, values, Q)
    np.testing.assert_allclose(x, by_solver("ball", y, H), atol=2e-6)


@pytest.mark.parametrize("region", REGIONS, ids=repr)
def test_equal_weights_are_the_plain_projection(region: object) -> None:
    rng = np.random.default_rng(0)
    for y in 2 * rng.standard_normal((50, 5)):
        np.testing.assert_allclose(
            nearest_weighted(region, y, np.full(5, 3.0)), nearest(region, y), atol=1e-13
        )
        inner = nearest(region, y)
        np.testing.assert_allclose(nearest_weighted(region, inner, np.ones(5)), inner, atol=1e-13)


@given(
    st.lists(st.floats(-1e3, 1e3), min_size=1, max_size=6),
    st.integers(0, 2**32 - 1),
    st.sampled_from(REGIONS),
)
def test_no_other_point_is_nearer(ys: list[float], seed: int, region: object) -> None:
    """The variational inequality ⟨H(x-y), z-x⟩ >= 0 at every point z of the set, for weights over
    many orders of magnitude."""
    rng = np.random.default_rng(seed)
    y = np.array(ys)
    w = 10.0 ** rng.uniform(-6, 3, len(y))
    x = nearest_weighted(region, y, w)
    assert inside(region, x, 1e-9)
    slope = w * (x - y)
    scale = 1e-9 * (1 + np.abs(slope).sum())
    assert slope @ (lowest(region, slope) - x) >= -scale


def test_on_a_ball_the_norm_matters() -> None:
    """(2, 1) and weights (1, 9): the plain projection is elsewhere."""
    y, w = np.array([2.0, 1.0]), np.array([1.0, 9.0])
    assert np.abs(nearest_weighted(ball(1), y, w) - nearest(ball(1), y)).max() > 0.2


@pytest.mark.parametrize("region", REGIONS, ids=repr)
def test_sizes(region: object) -> None:
    rng = np.random.default_rng(0)
    corners = np.array([lowest(region, c) for c in rng.standard_normal((400, 3))])
    corners = np.vstack([corners, [lowest(region, s * e) for e in np.eye(3) for s in (1, -1)]])
    apart = corners[:, None] - corners[None]
    assert np.linalg.norm(apart, axis=-1).max() <= diameter(region, 3) + 1e-12
    assert np.linalg.norm(apart, axis=-1).max() >= 0.98 * diameter(region, 3)
    assert np.abs(apart).max() == pytest.approx(diameter_sup(region, 3), abs=1e-12)
    assert inside(region, centre(region, 3))
    A = rng.standard_normal((20, 3))
    assert (np.abs(A @ corners.T).max(1) <= largest(region, A) + 1e-12).all()


def test_a_full_matrix_needs_a_ball() -> None:
    with pytest.raises(ValueError, match="no closed form"):
        nearest_matrix(simplex(), np.ones(2), np.ones(2), np.eye(2))
