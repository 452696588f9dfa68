"""Which theorem speaks about a run, and what it says; or why none does."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from . import theory
from .game import Regret, Run
from .learners import Descent, DualAveraging, ExponentiatedGradient, Geometric, inverse_root, level
from .sets import Array, diameter, diameter_sup


@dataclass(frozen=True)
class Bound:
    """A bound at each horizon of a measurement.

    `values` is None where no theorem fits, and `why` says so. A bound that is `refuted` was printed
    as a theorem and is none.
    """

    source: str
    values: Array | None
    why: str = ""
    refuted: bool = False


class _Unfit(Exception):
    """What keeps a theorem from speaking about a run."""


def bound(run: Run, measured: Regret) -> Bound:
    """The bound for this run at the horizons that were measured."""
    learner = run.learner
    try:
        if isinstance(learner, ExponentiatedGradient):
            return _exponentiated(run, learner, measured)
        if isinstance(learner, DualAveraging):
            return _dual_averaging(run, learner, measured)
        if isinstance(learner, Descent) and learner.rule.name in _OF:
            _plain(learner)
            return _OF[learner.rule.name](run, learner, measured)
    except _Unfit as error:
        return Bound("", None, str(error))
    return Bound("", None, "no theorem is known here for this learner")


def _must(holds: bool, why: str) -> None:
    if not holds:
        raise _Unfit(why)


def _plain(learner: Descent) -> None:
    _must(learner.rule.hyper.get("weight_decay", 0) == 0, "weight decay is in none of the losses")


def _own_norm(run: Run, learner: Descent) -> None:
    if learner.metric == "euclidean":
        plain = run.region.name == "box" and learner.rule.name != "adagradfull"
        _must(plain, "the projection is not in the norm of the preconditioner")


def _falling(rates: Array) -> None:
    _must(bool((np.diff(rates) <= 0).all()), "the learning rate grows")
    _must(bool((rates > 0).all()), "a learning rate of 0")


def _sizes(run: Run) -> tuple[float, float]:
    dim = run.stream.dim
    return diameter(run.region, dim), diameter_sup(run.region, dim)


def _descent(run: Run, learner: Descent, measured: Regret) -> Bound:
    h = learner.rule.hyper
    _must(h["momentum"] == 0, "the theorem is on descent without momentum")
    rates = learner.rates(run.rounds)
    _falling(rates)
    values = theory.gradient_descent(run.gradients, rates, _sizes(run)[0], measured.at)
    return Bound("Zinkevich 2003, Theorem 1", values)


def _constant(learner: Descent) -> float:
    _must(learner.rate is level, "the theorem is on a constant lr")
    _must(learner.rule.hyper["lr"] > 0, "a learning rate of 0")
    return float(learner.rule.hyper["lr"])


def _adagrad(run: Run, learner: Descent, measured: Regret) -> Bound:
    h = learner.rule.hyper
    _own_norm(run, learner)
    _must(h["lr_decay"] == 0, "the theorem is on a constant lr")
    values = theory.adagrad(
        run.gradients, _constant(learner), _sizes(run)[1], measured.at,
        h["initial_accumulator_value"], h["eps"], h["variant"] == "paper",
    )  # fmt: skip
    return Bound("Duchi et al. 2011, Theorem 5", values)


def _adagrad_full(run: Run, learner: Descent, measured: Regret) -> Bound:
    h, lr = learner.rule.hyper, _constant(learner)
    _must(not h["l1"], "l1 is in none of the losses")
    _own_norm(run, learner)
    source = "Duchi et al. 2011, Theorem 7"
    if h["variant"] == "dual":
        _enough(h["delta"], float(np.linalg.norm(run.gradients, axis=1).max()))
        moves = measured.best - run.points[0]
        return Bound(source, theory.adagrad_dual(run.gradients, lr, h["delta"], moves, measured.at))
    D = _sizes(run)[0]
    return Bound(source, theory.adagrad_full(run.gradients, lr, h["delta"], D, measured.at))


def _enough(delta: float, steepest: float) -> None:
    why = f"the theorem needs delta of at least {steepest:.4g}, the largest gradient"
    _must(delta >= steepest * (1 - 1e-12), why)


def _dual_averaging(run: Run, learner: DualAveraging, measured: Regret) -> Bound:
    _enough(learner.delta, float(np.abs(run.gradients).max()))
    moves = measured.best - run.points[0]
    values = theory.dual_averaging(run.gradients, learner.lr, learner.delta, moves, measured.at)
    return Bound("Duchi et al. 2011, Theorem 5", values)


def _inverse_root(learner: Descent) -> float:
    _must(learner.rate is inverse_root, "the theorem is on a learning rate of lr/√t")
    _must(learner.rule.hyper["lr"] > 0, "a learning rate of 0")
    return float(learner.rule.hyper["lr"])


def _adam(run: Run, learner: Descent, measured: Regret) -> Bound:
    h, lr = learner.rule.hyper, _inverse_root(learner)
    beta1, beta2 = h["betas"]
    _must(not h["amsgrad"], "the theorem on AMSGrad is on `amsgrad`, without bias correction")
    _must(beta1**2 < beta2**0.5, "the theorem is on β1² < √β2")
    lam = learner.momentum.lam if isinstance(learner.momentum, Geometric) else 1.0
    _must(beta1 == 0 or lam < 1, "the theorem is on β1·λ^(t-1) with λ under 1")
    D, sup = _sizes(run)
    values = theory.adam_as_printed(run.gradients, lr, (beta1, beta2), lam, D, sup, measured.at)
    return Bound("Kingma & Ba 2015, Theorem 4.1, as printed", values, refuted=True)


def _amsgrad(run: Run, learner: Descent, measured: Regret) -> Bound:
    h, rates = learner.rule.hyper, learner.rates(run.rounds)
    _must(h["variant"] in ("paper", "inside"), "the theorem is without bias correction")
    _own_norm(run, learner)
    _falling(rates)
    beta1 = learner.beta1(run.rounds)
    _must(bool((np.diff(beta1) <= 0).all()), "the theorem is on a β1 that never grows")
    values = theory.amsgrad_run(
        run.gradients, rates, beta1, h["betas"][1], _sizes(run)[1], measured.at,
        h["eps"], h["variant"] == "inside",
    )  # fmt: skip
    return Bound("Reddi et al. 2018, Theorem 4's proof", values)


def _exponentiated(run: Run, learner: ExponentiatedGradient, measured: Regret) -> Bound:
    uniform = np.allclose(run.points[0], 1 / run.stream.dim, rtol=0, atol=1e-12)
    _must(bool(uniform), "the bound is from the centre of the simplex")
    rates = learner.rates(run.rounds)
    return Bound("Follow the regularized leader",
                 theory.exponentiated(run.gradients, rates, measured.at))  # fmt: skip


_OF: Mapping[str, Callable[[Run, Any, Regret], Bound]] = {
    "sgd": _descent, "sgdw": _descent, "adagrad": _adagrad, "adagradfull": _adagrad_full,
    "adam": _adam, "amsgrad": _amsgrad,
}  # fmt: skip


def ratios(found: Bound, measured: Regret) -> Sequence[float] | None:
    """Regret over bound at each horizon; None without a bound."""
    return None if found.values is None else (measured.values / found.values).tolist()
