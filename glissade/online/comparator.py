"""The best fixed point in hindsight, with a proof of how good it is.

Linear losses have a closed form; hinge losses are a linear program (HiGHS); smooth losses go to
L-BFGS-B on a box and to SLSQP elsewhere. `gap` is no estimate: whatever the solver did, the least
total is at least ``value - gap``. For smooth losses it is the Frank-Wolfe gap
``max_v ⟨∇F(x), x-v⟩``, which is 0 exactly where the KKT conditions hold; for the hinge it is the
difference to the dual program's value.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np
from scipy import optimize, sparse

from ..wrappers.project import Region
from .sets import Array, centre, inside, lowest, nearest, value
from .streams import HINGE, LINEAR, Stream


@dataclass(frozen=True)
class Best:
    """A point, its total loss, and by how much less the least total may be."""

    point: Array
    total: float
    gap: float


def best(stream: Stream, region: Region, rounds: int, guess: Array | None = None) -> Best:
    """The point of the set with the least total of the first so many losses.

    Args:
        stream: the losses, as they were played.
        region: the set.
        rounds: how many losses count.
        guess: where to begin, such as the best point of fewer rounds.

    Raises:
        ValueError: hinge losses on a ball, a cone program that scipy has no solver for.
    """
    if stream.loss is LINEAR:
        c = stream.features[:rounds].sum(0)
        x = lowest(region, c)
        return Best(x, float(c @ x), 0.0)
    if stream.loss is HINGE:
        return _hinge(stream, region, rounds)
    return _smooth(stream, region, rounds, centre(region, stream.dim) if guess is None else guess)


def gap(stream: Stream, region: Region, x: Array, rounds: int) -> float:
    """The Frank-Wolfe gap at x: at most so much is to be gained anywhere on the set."""
    _, g = stream.total(x, rounds)
    return max(0.0, float(g @ (x - lowest(region, g))))


def _smooth(stream: Stream, region: Region, rounds: int, guess: Array) -> Best:
    def mean(x: Array) -> tuple[float, Array]:
        total, g = stream.total(x, rounds)
        return total / rounds, g / rounds

    if region.name == "box":
        bounds = [value(region, "project_box")] * stream.dim
        options = {"maxiter": 5000, "maxfun": 20000, "ftol": 0.0, "gtol": 1e-13, "maxcor": 30}
        x = optimize.minimize(mean, guess, jac=True, bounds=bounds, method="L-BFGS-B",
                              options=options).x  # fmt: skip
    else:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # of values outside the bounds
            x = optimize.minimize(mean, guess, jac=True, method="SLSQP",
                                  options={"maxiter": 1000, "ftol": 1e-16},
                                  **_constraint(region, stream.dim)).x  # fmt: skip
    candidates = [guess, x if inside(region, x, 0.0) else nearest(region, x)]
    x = min(candidates, key=lambda one: gap(stream, region, one, rounds))
    return Best(x, stream.total(x, rounds)[0], gap(stream, region, x, rounds))


def _constraint(region: Region, dim: int) -> dict[str, object]:
    if region.name == "ball":
        r = value(region, "project_radius")
        inner = {"type": "ineq", "fun": lambda x: (r * r - x @ x) / 2, "jac": lambda x: -x}
        return {"constraints": inner}
    one = {"type": "eq", "fun": lambda x: x.sum() - 1, "jac": np.ones_like}
    return {"constraints": one, "bounds": [(0.0, 1.0)] * dim}


def _hinge(stream: Stream, region: Region, rounds: int) -> Best:
    """The dual program ``max Σu - h(Aᵀu)``, 0 <= u <= 1: h is the set's support function, row t of
    A is b_t·a_t. Its few constraints have the point as their multipliers."""
    if region.name == "ball":
        raise ValueError(
            "hinge losses on a ball: the best point is a cone program, which scipy has no solver "
            "for; take a box or the simplex"
        )
    A = stream.features[:rounds] * stream.targets[:rounds, None]
    d, columns = stream.dim, sparse.csc_matrix(A.T)
    unit = [(0.0, 1.0)] * rounds
    if region.name == "box":  # Aᵀu = p - q, h = Σ hi·p - lo·q
        lo, hi = value(region, "project_box")
        one = sparse.identity(d)
        found = optimize.linprog(
            np.concatenate([-np.ones(rounds), np.full(d, hi), np.full(d, -lo)]),
            A_eq=sparse.hstack([columns, -one, one], format="csc"), b_eq=np.zeros(d),
            bounds=unit + [(0.0, None)] * (2 * d), method="highs",
        )  # fmt: skip
    else:  # Aᵀu <= h
        found = optimize.linprog(
            np.concatenate([-np.ones(rounds), np.ones(1)]),
            A_ub=sparse.hstack([columns, -np.ones((d, 1))], format="csc"), b_ub=np.zeros(d),
            bounds=[*unit, (None, None)], method="highs",
        )  # fmt: skip
    if found.x is None:
        raise ValueError(f"the best point of hinge losses was not found: {found.message}")
    multipliers = (found.eqlin if region.name == "box" else found.ineqlin).marginals
    x = nearest(region, -multipliers)
    u = np.clip(found.x[:rounds], 0.0, 1.0)  # any such u proves a lower bound
    c = -A.T @ u
    least = float(u.sum() + c @ lowest(region, c))
    total = stream.total(x, rounds)[0]
    return Best(x, total, max(0.0, total - least))
