"""Installed packages behind the oracles' interface: torch.optim, Optax, pytorch_optimizer.

`INSTALLED` says which (name, hyper, wrappers) of shared/definitions.md each of them can stand for;
`build(shapes, lr)` gives a fresh peer whose initial learning rate is `lr`. What a package computes
differently is not in the table but in `DISAGREEMENTS`, with one sentence. Packages are imported
when a peer takes its first step: guard with `pytest.importorskip(case.package)`.
"""

from __future__ import annotations

from dataclasses import dataclass

from .case import Case
from .more_peers import more_kozistr_cases, more_optax_cases, more_torch_cases
from .optax_peers import optax_cases
from .torch_peers import kozistr_cases, torch_cases

__all__ = ["DISAGREEMENTS", "INSTALLED", "Case", "Disagreement"]

INSTALLED: list[Case] = [
    *torch_cases(),
    *kozistr_cases(),
    *optax_cases(),
    *more_torch_cases(),
    *more_kozistr_cases(),
    *more_optax_cases(),
]


@dataclass(frozen=True)
class Disagreement:
    """Where a package computes something else than shared/definitions.md."""

    package: str
    what: str
    how: str


def torch(what: str, how: str) -> Disagreement:
    return Disagreement("torch", what, how)


def optax(what: str, how: str) -> Disagreement:
    return Disagreement("optax", what, how)


def kozistr(what: str, how: str) -> Disagreement:
    return Disagreement("pytorch_optimizer", what, how)


DISAGREEMENTS: list[Disagreement] = [
    torch(
        "Adafactor, NaN",
        "Python's max(1.0, nan) is 1.0, so a NaN in the gradient of a vector reaches only its own "
        "element; max(1, RMS(u)/d) of the definition is NaN for the whole tensor.",
    ),
    torch("Adafactor, empty tensor", "Divides by the number of elements: ZeroDivisionError."),
    torch(
        "Adafactor, several dtypes",
        "With foreach=False the eps1 of the first parameter's dtype is used for all of its group.",
    ),
    torch(
        "NAdam",
        "Keeps the product of its momenta in float32 unless the default dtype is float64.",
    ),
    torch("sign", "torch.sign(NaN) is 0, so a Lion written with it stands still on a NaN."),
    optax("adagrad", "Epsilon is inside the root and the accumulator starts at 0.1 by default."),
    optax("rmsprop", "Epsilon is inside the root by default and the decay 0.9."),
    optax(
        "radam",
        "Epsilon on the corrected root (`paper`) with the threshold rho >= 5 (`torch` has > 5 "
        "and epsilon on the raw root): by default it is none of the variants.",
    ),
    optax("amsgrad", "Takes the maximum of the corrected v, torch of the raw one."),
    optax(
        "adafactor",
        "Factors the largest two dims from 128 up, computes 1 - t^-0.8 in float32, has no "
        "min(lr, 1/sqrt(t)) and adds weight decay without the learning rate.",
    ),
    optax(
        "nadam",
        "Corrects m by the next step's 1 - beta1^(t+1) (`paper` by this step's), with a constant "
        "momentum (`torch` and `keras` have a schedule).",
    ),
    optax(
        "yogi", "Starts m, too, at the accumulator's initial value: it moves without a gradient."
    ),
    optax(
        "sophia",
        "Corrects the bias of m, takes h from before this step's estimate (the first step is a "
        "sign step), and draws Rademacher probes.",
    ),
    optax("clip_by_global_norm", "Has no 1e-6 beside the norm."),
    optax("MultiSteps", "Keeps the mean of the gradients in float32 unless told otherwise."),
    optax("lars", "Scales the gradient by its trust ratio before a momentum that holds lr."),
    kozistr(
        "Lion, NaN",
        "torch.sign(NaN) = 0: the step with a NaN gradient leaves the parameter where it was.",
    ),
    kozistr(
        "Ranger",
        "With the default degenerated_to_sgd=False the steps before rectification go uphill "
        "(step size -lr); with l2 it centralizes before the decay enters, not after.",
    ),
    kozistr(
        "RAdam",
        "weight_decouple=False applies no decay at all, and decoupled decay is left out while the "
        "step is: the definition decays at every step.",
    ),
    kozistr("fixed_decay", "Decays by weight_decay alone: independent decay is (lr/lr0) times it."),
    kozistr(
        "Lamb",
        "Corrects the bias of m only, by lr/(1 - beta1^t) outside the ratio; clamps |p| to 10; "
        "adds eps to |r|; by default the decay is outside the ratio.",
    ),
    kozistr(
        "AdaFactor",
        "Decoupled decay is multiplied by RMS(p); beta2_t is capped by betas[1]; lr is either "
        "given or min(0.01, 1/sqrt(t)), never min(lr, 1/sqrt(t)).",
    ),
    kozistr(
        "AdaBound, DiffGrad",
        "Add 1e-15 under the root, so a gradient of 1e-8 and less is not normalised.",
    ),
    kozistr("AdaMod", "Its default betas are (0.9, 0.99, 0.9999); beta3 is the third of them."),
    kozistr("SignSGD, NaN", "torch.sign(NaN) = 0: with a NaN in the momentum it stands still."),
    kozistr("Yogi", "Starts m, too, at the accumulator's initial value."),
    kozistr("ADOPT", "Clips at t^(1/4), one step ahead of the definition's (t - 1)^(1/4)."),
    kozistr(
        "LARS",
        "Scalars and vectors take a plain momentum step without decay; no eps; lr is outside the "
        "velocity.",
    ),
    kozistr(
        "SophiaH",
        "Has no gamma: it clips m/max(h, eps) at p = 0.01, which is the definition for lr/p and "
        "gamma = p.",
    ),
    kozistr(
        "cautious",
        "Divides by (agreeing + 1)/all of the tensor's elements, not by max(mean, 1e-3).",
    ),
]
