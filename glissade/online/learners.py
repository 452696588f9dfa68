"""Who plays: the library's optimizers with the rates of their theorems, and two short learners.

A learner begins at a point and gives, for each gradient, the next point.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch

from .. import wrappers
from ..optimizer import Optimizer
from ..rule import Rule
from ..wrappers.project import Region
from .sets import Array, nearest_matrix, nearest_weighted

Next = Callable[[Array], Array]  # a gradient -> the next point

METRICS = ("own", "euclidean")


def inverse_root(t: float) -> float:
    """1/√(t+1), t counted from 0: the rate α/√t of the theorems, whose t counts from 1."""
    return 1 / math.sqrt(t + 1)


def level(t: float) -> float:
    """1 throughout."""
    return 1.0


@dataclass(frozen=True)
class Geometric:
    """λ^t, t counted from 0: how β1 falls in the theorems on Adam and AMSGrad."""

    lam: float

    def __call__(self, t: float) -> float:
        return float(self.lam**t)


class Learner(Protocol):
    """What can play."""

    @property
    def label(self) -> str:
        """For tables and pictures."""

    def begin(self, start: Array, region: Region) -> Next:
        """A new play, from this point."""


@dataclass(frozen=True)
class Descent:
    """An optimizer of the library.

    `rate` and `momentum` multiply lr and β1 at each step, counted from 0. The projection is in the
    norm that the rule's analysis takes (metric "own": AdaGrad's √G, AMSGrad's √v̂; else plain), or
    plain throughout ("euclidean").
    """

    rule: Rule
    label: str
    rate: Callable[[float], float] = level
    momentum: Callable[[float], float] | None = None
    metric: str = "own"

    def __post_init__(self) -> None:
        if self.metric not in METRICS:
            raise ValueError(f"metric={self.metric!r}: allowed are {', '.join(METRICS)}")
        if self.rule.inputs:
            raise ValueError(
                f"{self.rule.name} reads {', '.join(self.rule.inputs)}, and a round has only its "
                "gradient"
            )

    def rates(self, rounds: int) -> Array:
        """lr of each round."""
        return float(self.rule.hyper["lr"]) * np.array([self.rate(t) for t in range(rounds)])

    def beta1(self, rounds: int) -> Array:
        """β1 of each round: Adam's and AMSGrad's."""
        of = self.momentum or level
        t = np.arange(rounds)
        beta1 = self.rule.hyper["betas"][0] * np.array([of(x) for x in t.tolist()])
        found: Array = beta1 * self.rule.hyper.get("beta1_decay", 1.0) ** t
        return found

    def begin(self, start: Array, region: Region) -> Next:
        """The optimizer on one parameter of 64 bits, and its projection."""
        own = self._own(region)
        rule = wrappers.project(self.rule, onto=region) if own is None else self.rule
        p = torch.nn.Parameter(torch.from_numpy(start.copy()))
        p.grad = torch.zeros_like(p)
        # Views: NumPy and torch share these numbers.
        x: Array = p.detach().numpy()
        gradient: Array = p.grad.numpy()
        optimizer = Optimizer([p], rule)
        group = optimizer.param_groups[0]
        lr, t = group["lr"], 0

        def after(g: Array) -> Array:
            nonlocal t
            gradient[:] = g
            if self.rate is not level:
                group["lr"] = lr * self.rate(t)
            if self.momentum is not None:
                beta1, beta2 = self.rule.hyper["betas"]
                group["betas"] = (beta1 * self.momentum(t), beta2)
            t += 1
            optimizer.step()
            if own is not None:
                x[:] = own(x, optimizer.state[p], group, t)
            return np.array(x, dtype=np.float64)  # a copy

        return after

    def _own(self, region: Region) -> Callable[..., Array] | None:
        """The projection in the rule's own norm; None where that is the plain one."""
        if self.metric == "euclidean" or self.rule.name not in NORMS:
            return None
        if self.rule.name == "adagradfull" and not self.rule.hyper["l1"]:
            nearest_matrix(region, np.zeros(1), np.ones(1), np.eye(1))  # raises where it cannot

            def full(y: Array, state: Any, h: Any, t: int) -> Array:
                values, Q = torch.linalg.eigh(state["G"])
                size = h["delta"] + values.clamp(min=0).sqrt()
                return nearest_matrix(region, y, size.numpy(), Q.numpy())

            return full
        if region.name == "box":
            return None
        norm = NORMS[self.rule.name]
        return lambda y, state, h, t: nearest_weighted(region, y, norm(state, h, t))


def _adagrad(state: Any, h: Any, t: int) -> Array:
    return _root(state["G"], h, h["variant"] == "paper")


def _adam(state: Any, h: Any, t: int) -> Array:
    v = state["v_max"] if h["amsgrad"] else state["v"]
    return _root(v / (1 - h["betas"][1] ** t), h, h["variant"] == "inside_hat")


def _amsgrad(state: Any, h: Any, t: int) -> Array:
    return _root(state["v_max"], h, h["variant"] == "inside")


def _root(v: Any, h: Any, within: bool) -> Array:
    """The diagonal of the preconditioner: what the gradient is divided by."""
    found = (v + h["eps"]).sqrt() if within else v.sqrt() + h["eps"]
    array: Array = found.numpy()
    return array


def _full(state: Any, h: Any, t: int) -> Array:
    """The diagonal form, with l1 over 0."""
    found: Array = (h["delta"] + state["G"].sqrt()).numpy()
    return found


NORMS: dict[str, Callable[[Any, Any, int], Array]] = {
    "adagrad": _adagrad, "adam": _adam, "amsgrad": _amsgrad, "adagradfull": _full,
}  # fmt: skip


@dataclass(frozen=True)
class ExponentiatedGradient:
    """Entropic mirror descent on the simplex: ``x_t ∝ x_1·exp(-lr/√t·Σ_{s<t} g_s)``.

    Source: Kivinen & Warmuth 1997; Beck & Teboulle 2003. Lazy, with a falling rate: the entropy is
    weighed anew each round (dual averaging), for which the bound holds at every horizon.
    """

    lr: float
    name = "eg"

    @property
    def label(self) -> str:
        """With its rate."""
        return f"EG(lr={self.lr:.3g})/√t"

    def rates(self, rounds: int) -> Array:
        """lr/√t of each round."""
        return self.lr / np.sqrt(np.arange(1, rounds + 1))

    def begin(self, start: Array, region: Region) -> Next:
        """A new play, from a point with no zeros."""
        if region.name != "simplex":
            raise ValueError(f"eg plays on the simplex, not on {region!r}")
        if not (start > 0).all():
            raise ValueError("eg: a coordinate that starts at 0 stays there; start inside")
        total, t = np.zeros_like(start), 1

        def after(g: Array) -> Array:
            nonlocal total, t
            total = total + g
            t += 1
            power = np.log(start) - self.lr / math.sqrt(t) * total
            weights = np.exp(power - power.max())
            found: Array = weights / weights.sum()
            return found

        return after


@dataclass(frozen=True)
class DualAveraging:
    """AdaGrad by dual averaging, with diagonal matrices: the primal-dual subgradient update.

    ``x_{t+1} = argmin_x lr·⟨Σg, x⟩ + ½⟨x-x_1, H(x-x_1)⟩`` with ``H = δ + √Σg²``.

    Source: Duchi, Hazan & Singer 2011, Figure 1, equation 3 (Nesterov 2009; Xiao 2010).
    """

    lr: float
    delta: float
    name = "da"

    @property
    def label(self) -> str:
        """With its values."""
        return f"DualAveraging(lr={self.lr:.3g}, delta={self.delta:.3g})"

    def begin(self, start: Array, region: Region) -> Next:
        """A new play, from this point."""
        total, squares = np.zeros_like(start), np.zeros_like(start)

        def after(g: Array) -> Array:
            nonlocal total, squares
            total, squares = total + g, squares + g * g
            H = self.delta + np.sqrt(squares)
            return nearest_weighted(region, start - self.lr * total / H, H)

        return after
