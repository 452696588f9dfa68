"""Every rule of the registry in every variant and decay, with the settings that matter, and the
trajectory that they are compared on."""

from __future__ import annotations

import dataclasses
import functools
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from glissade import Optimizer, Rule, registry, wrappers
from glissade.rule import DECAYS
from tests.cases import Shape, laid_out, leaf, normal, rate

LR = 0.01
SIGNS = ("lion", "signum", "sophia")
STEPS = 21

# Beside variant and decay. What is not of a rule's default variant names its variant.
SETTINGS: dict[str, list[dict[str, Any]]] = {
    "sgd": [
        {"momentum": 0.0},
        {"momentum": 0.8, "dampening": 0.3},
        *({"momentum": 0.9, "nesterov": True, "variant": v} for v in ("torch", "paper", "ema")),
    ],
    "sgdw": [{"momentum": 0.9, "nesterov": True, "decay": "independent"}],
    "adagrad": [{"lr_decay": 0.1, "initial_accumulator_value": 0.2, "eps": 1e-3}],
    "rmsprop": [
        {"momentum": 0.8},
        {"centered": True, "alpha": 0.9, "eps": 1e-3},
        {"centered": True, "momentum": 0.8, "alpha": 0.9, "eps": 1e-3},
        {"init": "first_gradient"},
        {"init": "first_gradient", "variant": "paper"},
        {"momentum": 0.8, "centered": True, "alpha": 0.9, "eps": 1e-3, "variant": "keras"},
    ],
    "adam": [{"amsgrad": True, "betas": (0.8, 0.9)}, {"amsgrad": True, "variant": "inside"}],
    "adamw": [{"amsgrad": True, "decay": "corrected"}],
    "lion": [{"betas": (0.8, 0.95)}],
    "radam": [{"betas": (0.8, 0.9)}, {"betas": (0.5, 0.7)}],
    "lamb": [
        {"weight_decay": 0.0},
        {"phi_bounds": (0.0, 1.5)},
        {"phi_bounds": (6.0, 10.0), "bias_correction": False},
    ],
    "adafactor": [
        {"beta2_decay": -0.6, "eps": (1e-4, 1e-2), "d": 2.0, "decay": "l2"},
        {"beta2_decay": -0.6, "eps": (1e-4, 1e-2), "d": 0.5, "variant": "paper"},
    ],
    "lars": [
        {"phi_bounds": (0.0, 1.5), "momentum": 0.5},
        {"variant": "official", "trust_coefficient": 0.1, "eps": 1e-3},
    ],
    "adadelta": [{"rho": 0.8, "eps": 1e-3}],
    "adamax": [{"betas": (0.8, 0.9), "eps": 1e-3}],
    "nadam": [{"betas": (0.8, 0.9), "momentum_decay": 0.05}],
    "amsgrad": [
        {"betas": (0.8, 0.9), "beta1_decay": 0.9},
        {"betas": (0.8, 0.9), "beta1_decay": 0.9, "variant": "inside", "eps": 1e-3},
    ],
    "adabelief": [{"betas": (0.8, 0.9), "eps": 1e-4}],
    "adabound": [{"final_lr": 0.5, "gamma": 0.3}, {"gamma": 10.0, "decay": "corrected"}],
    "amsbound": [{"final_lr": 0.5, "gamma": 0.3, "betas": (0.8, 0.9)}],
    "adamod": [{"beta3": 0.7, "betas": (0.8, 0.9)}],
    "diffgrad": [{"betas": (0.8, 0.9), "variant": "official", "eps": 1e-3}],
    "signum": [{"momentum": 0.0}],
    "factoredadam": [{"beta2": 0.7, "eps": 1e-3}],
    "sophia": [
        {"k": 3, "betas": (0.8, 0.7), "estimator": "hutchinson"},
        {"k": 4, "gamma": 2.0, "eps": 0.1},
        {"k": 3, "variant": "official", "rho": 0.1, "bs": 8.0},
    ],
    "ranger": [{"k": 3, "alpha": 0.8}],
    "ralamb": [{"phi_bounds": (0.0, 1.5)}],
    "rangerlars": [{"k": 4, "alpha": 0.3}],
}
Wrapping = tuple[tuple[str, tuple[tuple[str, Any], ...]], ...]
K4 = ("lookahead", (("k", 4), ("alpha", 0.3)))
WRAPPED: list[tuple[str, dict[str, Any], Wrapping]] = [
    *(("adamw", {"decay": decay}, (("centralize", ()), K4)) for decay in DECAYS),
    *(("sgd", {"momentum": 0.9, "variant": "ema", "decay": decay}, (("layerwise", ()),))
      for decay in DECAYS),
    ("adamw", {"eps": 1e-6}, (("layerwise", (("phi_bounds", (0.0, 1.5)),)),)),
    ("adafactor", {}, (("centralize", ()), ("layerwise", ()), K4)),
    ("radam", {"betas": (0.8, 0.9)}, (K4,)),
    *(("adamw", {"decay": decay}, (("cautious", ()),)) for decay in DECAYS),
    *(("adam", {"decay": decay}, (("clip_norm", (("max_norm", 0.7),)),)) for decay in DECAYS),
    ("lamb", {}, (("clip_norm", (("max_norm", 0.7),)), K4)),
    *(("lion", {"decay": decay}, (("accumulate", (("n", 3),)),)) for decay in DECAYS),
    ("adafactor", {}, (K4, ("accumulate", (("n", 2),)), ("ema", (("decay", 0.9),)))),
    ("sgd", {"momentum": 0.9}, (("ema", (("decay", 0.9),)), ("skip_nonfinite", ()))),
]  # fmt: skip


@dataclass(frozen=True)
class Setup:
    """One row to test: a rule with hyperparameters, and what is around it, innermost first."""

    name: str
    hyper: tuple[tuple[str, Any], ...]
    around: Wrapping = ()

    def __str__(self) -> str:
        words = [f"{k}={v}" if not isinstance(v, str) else v for k, v in self.hyper]
        return "-".join([self.name, *words, *(name for name, _ in self.around)])

    def rule(self, lr: float = LR, **hyper: Any) -> Rule:
        rule = registry.lookup(self.name).bind(lr, **{**dict(self.hyper), **hyper})
        for name, options in self.around:
            rule = getattr(wrappers, name)(rule, **dict(options))
        return rule

    def for_dtype(self, dtype: torch.dtype) -> Setup:
        """With what a rule takes from the parameter's dtype written out."""
        hyper = dict(self.hyper)
        eps = hyper.get("eps", (None, 1e-3))
        if self.name == "adafactor" and hyper["variant"] == "torch" and eps[0] is None:
            hyper["eps"] = (torch.finfo(dtype).eps, eps[1])
        return dataclasses.replace(self, hyper=tuple(hyper.items()))


def setups() -> list[Setup]:
    """All of them."""
    made = []
    for row in registry.compiled():
        default = row.rule().hyper
        takes_decay = "decay" in default
        variants = tuple(row.variants) or tuple(filter(None, [default.get("variant")]))
        keyed = row.variants or row.name in ("momentum", "nesterov")
        for variant in variants if keyed else (None,):
            for decay in DECAYS if takes_decay else (None,):
                hyper = {"weight_decay": 0.05, "variant": variant, "decay": decay}
                if row.name in ("sgd", "sgdw"):
                    hyper["momentum"] = 0.9
                made.append((row.name, hyper, ()))
        for settings in SETTINGS.get(row.name, []):
            decay = default["decay"] if takes_decay else None
            variant = default["variant"] if row.variants else None
            base = {"weight_decay": 0.05, "variant": variant, "decay": decay}
            made.append((row.name, {**base, **settings}, ()))
    for name, hyper, around in WRAPPED:
        default = registry.lookup(name).rule().hyper
        words = {key: default.get(key) for key in ("variant", "decay")}
        base = {"weight_decay": 0.05, **words}
        made.append((name, {**base, **hyper}, around))
    return [
        Setup(name, tuple((k, v) for k, v in hyper.items() if v is not None), around)
        for name, hyper, around in made
    ]


# ------------------------------------------------------------------ parameters and gradients

SHAPES: list[Shape] = [
    (), (0,), (0, 3), (1,), (5,), (1, 7), (7, 1), (33, 40), (2, 3, 5), (3, 2, 4, 3), (1000,),
]  # fmt: skip
# Shape, layout of the parameter, layout of the gradient, scale of the gradient.
Kind = tuple[Shape, str, str, float]
KINDS: list[Kind] = [
    *((shape, "contiguous", "contiguous", scale) for shape in SHAPES for scale in (1e-12, 1, 1e3)),
    *((shape, layout, "contiguous", 1.0)
      for layout in ("strided", "transposed") for shape in ((5,), (6, 8), (2, 3, 5))),
    ((2, 3, 4, 5), "channels_last", "contiguous", 1.0),
    ((2, 3, 4, 5), "channels_last", "channels_last", 1e-12),
    ((2, 3, 4, 5), "contiguous", "channels_last", 1.0),
    ((6, 8), "contiguous", "transposed", 1e3),
    ((6, 8), "transposed", "transposed", 1.0),
    (((1 << 15) + 13,), "contiguous", "contiguous", 1.0),  # over a chunk, and not whole vectors
    ((300, 111), "contiguous", "contiguous", 1.0),
]  # fmt: skip


def parameter(i: int, kind: Kind, dtype: torch.dtype) -> Tensor:
    """Away from 0, so that no element changes sign on its way."""
    x = normal(i, kind[0])
    return leaf((torch.sign(x) * (0.5 + x.abs() % 1)).to(torch.float32).to(dtype), kind[1])


@functools.cache
def gradient(i: int, t: int, kind: Kind, dtype: torch.dtype, steady: bool) -> Tensor:
    """A gradient that every dtype holds exactly; `steady` ones keep their signs.

    The sign of a momentum near 0 is rounding: rules that take signs (or clip what they have
    divided by little, as Sophia does) are compared where the sign is sure. Nor is any gradient so
    small that an l2 decay may cancel it to the last digits.
    """
    x = normal(1000 * t + i, kind[0])
    x = x + 0.2 * torch.sign(x)
    if steady:
        x = torch.sign(normal(500 + i, kind[0])) * (0.5 + x.abs() % 1)
    return laid_out((x * kind[3]).to(torch.float32).to(dtype), kind[2])


def groups(params: list[Tensor], rule: Rule) -> list[dict[str, Any]]:
    """Three groups, two with hyperparameters of their own."""
    h = rule.hyper
    second: dict[str, Any] = {"lr": 0.5 * h["lr"], "weight_decay": 0.02}
    second |= {"betas": (0.8, 0.95)} if "betas" in h else {}
    second |= {"eps": 1e-4} if isinstance(h.get("eps"), float) else {}
    second |= {"lookahead_k": 3} if "lookahead_k" in h else {}
    third = {"weight_decay": 0.0} | ({"momentum": 0.8} if h.get("momentum") else {})
    parts = (params[0::3], params[1::3], params[2::3])
    return [{"params": p, **g} for p, g in zip(parts, ({}, second, third), strict=True)]


def trajectory(
    setup: Setup, backend: str, dtype: torch.dtype, steps: int = STEPS
) -> list[list[Tensor]]:
    """The parameters after every step, in float64, the learning rate another at every step."""
    rule = setup.rule()
    params = [parameter(i, kind, dtype) for i, kind in enumerate(KINDS)]
    optimizer = Optimizer(groups(params, rule), rule, backend=backend)
    base = [group["lr"] for group in optimizer.param_groups]
    seen = []
    for t in range(1, steps + 1):
        for group, lr in zip(optimizer.param_groups, base, strict=True):
            group["lr"] = lr * rate(t)
        for i, (p, kind) in enumerate(zip(params, KINDS, strict=True)):
            p.grad = gradient(i, t, kind, dtype, steady=setup.name in SIGNS)
        optimizer.step()
        seen.append([p.detach().to(torch.float64, copy=True) for p in params])
    return seen
