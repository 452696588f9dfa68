"""Streams of convex losses ``f_t(x) = φ(⟨a_t, x⟩, b_t)``, a loss for each round.

All arrays are float64: features A (rounds, dim), targets b (rounds,), points (dim,).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from ..wrappers.project import Region
from .sets import Array, largest


@dataclass(frozen=True)
class Loss:
    """φ(z, b) of the prediction z = ⟨a, x⟩, its slope in z, and what it costs at worst."""

    name: str
    of: Callable[[Array, Array], Array]
    slope: Callable[[Array, Array], Array]
    steepest: Callable[[Array, Array], Array]  # the largest |slope| where |z| is at most so much


def _softplus(z: Array) -> Array:
    found: Array = np.logaddexp(0.0, z)
    return found


def _sigmoid(z: Array) -> Array:
    return 0.5 * (1 + np.tanh(0.5 * z))  # no overflow at either end


LINEAR = Loss("linear", lambda z, b: z, lambda z, b: np.ones_like(z), lambda z, b: np.ones_like(z))
LOGISTIC = Loss(
    "logistic",
    lambda z, b: _softplus(-b * z),
    lambda z, b: -b * _sigmoid(-b * z),
    lambda z, b: np.abs(b) * _sigmoid(np.abs(b) * z),
)
SQUARES = Loss(
    "squares",
    lambda z, b: 0.5 * (z - b) ** 2,
    lambda z, b: z - b,
    lambda z, b: z + np.abs(b),
)
HINGE = Loss(
    "hinge",
    lambda z, b: np.maximum(0.0, 1 - b * z),
    lambda z, b: np.where(b * z < 1, -b, 0.0),
    lambda z, b: np.abs(b),
)


@dataclass(frozen=True)
class Stream:
    """A sequence of losses; an `adversary` chooses a_t once it has seen the learner's point.

    An adversary ``(t, x) -> a`` counts t from 0; each play fills features of its own, and the
    features given only bound the size of what it chooses.
    """

    loss: Loss
    features: Array
    targets: Array
    adversary: Callable[[int, Array], Array] | None = None

    def __post_init__(self) -> None:
        if self.features.ndim != 2 or self.targets.shape != self.features.shape[:1]:
            raise ValueError(
                f"features of shape {self.features.shape} and targets of shape "
                f"{self.targets.shape}: allowed are (rounds, dim) and (rounds,)"
            )
        for name in ("features", "targets"):
            values = np.ascontiguousarray(getattr(self, name), dtype=np.float64)
            if not np.isfinite(values).all():
                raise ValueError(f"{name} that are not finite")
            object.__setattr__(self, name, values)

    @property
    def rounds(self) -> int:
        """How many losses there are."""
        return len(self.features)

    @property
    def dim(self) -> int:
        """Length of a point."""
        return int(self.features.shape[1])

    def fresh(self) -> Stream:
        """The stream for one play: an adversary's choices are not shared between plays."""
        return self if self.adversary is None else replace(self, features=self.features.copy())

    def gradient(self, t: int, x: Array) -> Array:
        """A (sub)gradient of the loss of round t, counted from 0, at the point x."""
        if self.adversary is not None:
            self.features[t] = self.adversary(t, x)
        a = self.features[t]
        found: Array = self.loss.slope(a @ x, self.targets[t]) * a
        return found

    def losses(self, points: Array) -> Array:
        """The loss of each round at its own point; points (rounds, dim), perhaps fewer rounds."""
        n = len(points)
        return self.loss.of(np.einsum("td,td->t", self.features[:n], points), self.targets[:n])

    def total(self, x: Array, rounds: int) -> tuple[float, Array]:
        """The sum of the first so many losses at one point, and its gradient."""
        A, b = self.features[:rounds], self.targets[:rounds]
        z = A @ x
        return float(self.loss.of(z, b).sum()), A.T @ self.loss.slope(z, b)

    def steepest(self, region: Region, norm: float = 2) -> float:
        """The largest norm that a gradient can have on the set."""
        A, b = self.features, self.targets
        reach = largest(region, A)
        sizes = np.linalg.norm(A, ord=norm, axis=1) * self.loss.steepest(reach, b)
        return float(sizes.max())
