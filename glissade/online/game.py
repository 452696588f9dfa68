"""A play: for each round a point, then its loss; and the regret that is left at the end."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..rule import Rule
from ..wrappers.project import Region
from .comparator import best
from .learners import Learner
from .lineup import learner as learner_of
from .sets import Array, centre, inside
from .streams import Stream


@dataclass(frozen=True)
class Run:
    """What was played.

    points and gradients are (rounds, dim); row t is what the learner played in round t+1, before
    it saw the loss, and the loss's gradient there; losses are (rounds,).
    """

    stream: Stream
    region: Region
    learner: Learner
    points: Array
    gradients: Array
    losses: Array

    @property
    def rounds(self) -> int:
        """How many."""
        return len(self.points)


@dataclass(frozen=True)
class Regret:
    """Regret at some horizons: ``R_T = Σ_{t<=T} f_t(x_t) - min_x Σ_{t<=T} f_t(x)``.

    at, values, gaps are (horizons,), best is (horizons, dim). R_T is exact to its gap: the true
    regret is between `values` and `values + gaps`.
    """

    at: tuple[int, ...]
    values: Array
    best: Array
    gaps: Array

    @property
    def average(self) -> Array:
        """R_T/T."""
        found: Array = self.values / np.array(self.at)
        return found


def play(
    stream: Stream,
    learner: str | Rule | Learner,
    region: Region,
    rounds: int | None = None,
    *,
    start: Array | None = None,
) -> Run:
    """Let a learner play: each round it names a point, and then sees the gradient of the loss.

    Args:
        stream: the losses.
        learner: an optimizer of the library in words ("adagrad(lr=0.5)") or as a rule, in 64-bit;
            "eg", "da"; or a `Learner` of your own. See `learner`.
        region: the set to play on: `box`, `ball` or `simplex` of `glissade.wrappers`.
        rounds: how many; None is all that the stream has.
        start: the first point; None is the middle of the set.

    Raises:
        ValueError: a start outside of the set, more rounds than losses, a learner that cannot play
            on the set.

    >>> from glissade.online import play, regret, streams
    >>> from glissade.wrappers import box
    >>> import numpy as np
    >>> losses = streams.Stream(streams.LINEAR, np.array([[1.0], [1.0]]), np.zeros(2))
    >>> run = play(losses, "sgd(lr=1) @ constant()", box(-1, 1))
    >>> run.points.ravel()
    array([ 0., -1.])
    >>> regret(run).values  # it paid 0 - 1; the point -1 would have paid -2
    array([1.])
    """
    rounds = stream.rounds if rounds is None else rounds
    if not 1 <= rounds <= stream.rounds:
        raise ValueError(f"rounds={rounds}: the stream has {stream.rounds} losses")
    x = centre(region, stream.dim) if start is None else np.array(start, dtype=np.float64)
    if x.shape != (stream.dim,) or not inside(region, x):
        raise ValueError(f"start={start!r}: no point of {region!r} in {stream.dim} dimensions")
    made, stream = learner_of(learner, stream, region), stream.fresh()
    following = made.begin(x, region)
    points, gradients = np.empty((2, rounds, stream.dim))
    for t in range(rounds):
        points[t] = x
        g = gradients[t] = stream.gradient(t, x)
        x = following(g)
    if not np.isfinite(points).all():
        raise ValueError(f"{made.label}: the points are no longer finite")
    return Run(stream, region, made, points, gradients, stream.losses(points))


def horizons(rounds: int, count: int = 12) -> tuple[int, ...]:
    """Numbers of rounds to measure at, evenly spread on a log scale up to all."""
    first = min(10, rounds)
    return tuple(sorted({round(x) for x in np.geomspace(first, rounds, count).tolist()}))


def regret(run: Run, at: Sequence[int] | None = None) -> Regret:
    """The regret against the best fixed point of each horizon; None measures at the end alone.

    Raises:
        ValueError: a horizon that was not played.
    """
    at = (run.rounds,) if at is None else tuple(at)
    if not at or not all(1 <= T <= run.rounds for T in at):
        raise ValueError(f"at={at}: allowed are horizons from 1 to {run.rounds}")
    paid = np.cumsum(run.losses)
    found, guess = [], None
    for T in at:
        found.append(best(run.stream, run.region, T, guess))
        guess = found[-1].point
    totals = np.array([one.total for one in found])
    return Regret(
        at,
        paid[np.array(at) - 1] - totals,
        np.array([one.point for one in found]),
        np.array([one.gap for one in found]),
    )
