"""Every rule of the registry as a plain function of NumPy arrays, and what it may be set to.

The functions are the transcriptions of `tests.oracles`; those that start a state from the parameter
or from the first gradient stand here again, because they must do so where the state is absent, not
where the step is the first.
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np

from tests.oracles import transcriptions  # noqa: F401  (completes RULES)
from tests.oracles.algorithms import RULES, Array, State

SIGNS = ("lion", "signum", "sophia")
# Stacks by a name: the rule inside, and the wrappers around it, the outermost first.
PRESETS: dict[tuple[str, str], tuple[str, ...]] = {
    ("ranger", "paper"): ("lookahead",),
    ("ranger", "official"): ("lookahead", "centralize"),
    ("ralamb", "paper"): ("layerwise",),
    ("rangerlars", "paper"): ("lookahead", "layerwise"),
}

# ------------------------------------------------------------------ rules


def _rmsprop(p: Array, g: Array, s: State, t: int, h: SimpleNamespace) -> Any:
    if h.init == "first_gradient" and "W" not in s:
        s["W"] = g * g
    else:
        s["W"] = h.alpha * s["W"] + (1 - h.alpha) * g * g
    if h.centered:
        s["a"] = h.alpha * s["a"] + (1 - h.alpha) * g
    power = s["W"] - s["a"] ** 2 if h.centered else s["W"]
    outside = h.variant == "torch"
    u = g / (np.sqrt(power) + h.eps) if outside else h.lr * g / np.sqrt(power + h.eps)
    if h.momentum != 0:
        s["b"] = u = h.momentum * s["b"] + u
    return h.lr * u if outside else u


def _adopt(p: Array, g: Array, s: State, t: int, h: SimpleNamespace) -> Any:
    if "v" not in s:
        s["v"] = g * g
        return np.zeros_like(g)
    beta1, beta2 = h.betas
    limit = (t - 1) ** 0.25
    normed = np.clip(g / np.maximum(np.sqrt(s["v"]), h.eps), -limit, limit)
    s["m"] = beta1 * s["m"] + (1 - beta1) * normed
    s["v"] = beta2 * s["v"] + (1 - beta2) * g * g
    return h.lr * s["m"]


def _adagradfull(p: Array, g: Array, s: State, t: int, h: SimpleNamespace) -> Any:
    if h.l1 > 0:  # the threshold comes after the step: see `after`
        s["G"] = s["G"] + g * g
        return h.lr * g / (h.delta + np.sqrt(s["G"]))
    flat = g.ravel()
    s.setdefault("start", p)
    s["G"] = s["G"] + np.outer(flat, flat)
    s["sum"] = s["sum"] + flat
    values, Q = np.linalg.eigh(s["G"])
    size = h.delta + np.sqrt(np.maximum(values, 0.0))
    b = s["sum"] if h.variant == "dual" else flat
    moved = h.lr * (Q @ ((Q.T @ b) / size)).reshape(g.shape)
    return p - (s["start"] - moved) if h.variant == "dual" else moved


OWN = {"rmsprop": _rmsprop, "adopt": _adopt, "adagradfull": _adagradfull}


def base(name: str, variant: str) -> tuple[str, tuple[str, ...]]:
    """Return the rule that a name of the registry stands for, and the wrappers that it brings."""
    inside = PRESETS.get((name, variant))
    return (name, ()) if inside is None else ("radam", inside)


def direction(name: str, p: Array, g: Array, s: State, t: int, h: SimpleNamespace) -> Any:
    """Return the step of a rule, and move its state on."""
    if name == "sophia" and h.variant == "official":
        h.gamma = None
    return OWN.get(name, RULES[name].step if name in RULES else None)(p, g, s, t, h)  # type: ignore[misc]


def after(name: str, p: Array, s: State, h: SimpleNamespace) -> Any:
    """Return the moved parameter as the rule itself leaves it."""
    if name == "adagradfull" and h.l1 > 0:
        least = h.lr * h.l1 / (h.delta + np.sqrt(s["G"]))
        return np.sign(p) * np.maximum(np.abs(p) - least, 0.0)
    return p


# ------------------------------------------------------------------ settings

# Keywords to make a rule with, beside lr, weight_decay and decay.
MADE: dict[str, list[dict[str, Any]]] = {
    "sgd": [
        {}, {"momentum": 0.9}, {"momentum": 0.9, "dampening": 0.3},
        {"momentum": 0.9, "nesterov": True}, {"momentum": 0.9, "variant": "paper"},
        {"momentum": 0.9, "nesterov": True, "variant": "ema"},
        {"momentum": 0.9, "nesterov": True, "variant": "paper"},
    ],
    "sgdw": [{}, {"momentum": 0.9}],
    "adagrad": [
        {}, {"variant": "paper"}, {"initial_accumulator_value": 0.2, "lr_decay": 0.1},
    ],
    "rmsprop": [
        {}, {"momentum": 0.8, "alpha": 0.9}, {"centered": True, "alpha": 0.9, "eps": 1e-3},
        {"variant": "paper"}, {"init": "first_gradient", "momentum": 0.5},
        {"variant": "keras", "momentum": 0.8, "centered": True, "alpha": 0.9, "eps": 1e-3},
    ],
    "adam": [
        {}, {"amsgrad": True, "betas": (0.8, 0.9)}, {"variant": "keras"}, {"variant": "inside"},
        {"variant": "inside_hat"},
    ],
    "adamw": [{}, {"amsgrad": True}, {"variant": "keras"}],
    "lion": [{}, {"betas": (0.8, 0.95)}],
    "radam": [
        {"betas": (0.8, 0.9)}, {}, {"variant": "paper", "betas": (0.8, 0.9)},
        {"variant": "inside", "betas": (0.5, 0.7)}, {"variant": "official", "betas": (0.8, 0.9)},
    ],
    "adadelta": [{}, {"rho": 0.8, "eps": 1e-3}],
    "adamax": [{}, {"variant": "paper"}, {"variant": "keras"}],
    "nadam": [{}, {"momentum_decay": 0.05}, {"variant": "paper"}, {"variant": "keras"}],
    "amsgrad": [
        {}, {"beta1_decay": 0.9}, {"variant": "inside"}, {"variant": "torch"}, {"variant": "optax"},
    ],
    "adabelief": [{}, {"betas": (0.8, 0.9), "eps": 1e-4}],
    "adabound": [{}, {"final_lr": 0.5, "gamma": 0.3}],
    "amsbound": [{}, {"final_lr": 0.5, "gamma": 0.3}],
    "adamod": [{}, {"beta3": 0.7}],
    "diffgrad": [{}, {"variant": "official", "eps": 1e-3}],
    "signum": [{}, {"momentum": 0.5}],
    "lars": [
        {}, {"phi_bounds": (0.0, 1.5)},
        {"variant": "official", "trust_coefficient": 0.1, "eps": 1e-3},
    ],
    "lamb": [{}, {"phi_bounds": (0.5, 10.0)}, {"bias_correction": False}],
    "adafactor": [{}, {"variant": "paper"}, {"d": 0.5, "eps": (1e-4, 1e-2)}],
    "factoredadam": [{}, {"beta2": 0.7}],
    "sophia": [
        {"k": 2}, {"k": 3, "gamma": 2.0, "eps": 0.1},
        {"k": 2, "variant": "official", "rho": 0.1, "bs": 8.0},
    ],
    "adagradfull": [{"delta": 1e-3}, {"variant": "dual", "delta": 1e-3}, {"l1": 0.1, "delta": 0.1}],
    "yogi": [{}, {"initial_accumulator": 0.1}],
    "adopt": [{}],
    "ranger": [
        {"k": 3, "betas": (0.8, 0.9)}, {"variant": "official", "k": 2, "betas": (0.5, 0.7)},
    ],
    "ralamb": [{"betas": (0.8, 0.9)}],
    "rangerlars": [{"k": 2, "alpha": 0.3, "betas": (0.8, 0.9)}],
}  # fmt: skip

# What a hyperparameter may be changed to between two steps.
CHANGES: dict[str, tuple[Any, ...]] = {
    "lr": (0.01, 0.03, 0.1),
    "weight_decay": (0.0, 0.1, 0.3),
    "betas": ((0.5, 0.7), (0.9, 0.99), (0.8, 0.95)),
    "eps": (1e-8, 1e-4, 1e-3),
    "momentum": (0.0, 0.5, 0.9),
    "dampening": (0.0, 0.3),
    "alpha": (0.9, 0.5),
    "rho": (0.9, 0.5),
    "lr_decay": (0.0, 0.1),
    "beta3": (0.9, 0.5),
    "beta2": (0.9, 0.7),
    "beta1_decay": (1.0, 0.9),
    "momentum_decay": (4e-3, 0.1),
    "final_lr": (0.1, 0.5),
    "gamma": (1e-3, 0.3),
    "k": (1, 2, 3),
    "d": (1.0, 0.5),
    "beta2_decay": (-0.8, -0.5),
    "trust_coefficient": (1e-3, 0.1),
    "delta": (1e-3, 0.1),
    "phi_bounds": (None, (0.0, 1.5), (0.5, 10.0)),
    "layerwise_phi_bounds": (None, (0.0, 1.5), (0.5, 10.0)),
    "lookahead_k": (1, 2, 3, 5),
    "lookahead_alpha": (0.3, 0.5, 1.0),
    "accumulate_n": (1, 2, 3, 4),
    "ema_decay": (0.0, 0.5, 0.9),
    "clip_norm_max": (0.3, 1.0, 5.0),
    "project_radius": (0.5, 2.0),
}
EPS_OF_PAIRS = ((1e-4, 1e-2), (None, 1e-3))
# Keys that have a meaning in these variants alone.
ONLY: dict[tuple[str, str], tuple[str, ...]] = {
    ("sgd", "dampening"): ("torch",),
    ("sgdw", "dampening"): ("torch",),
    ("adagrad", "lr_decay"): ("torch",),
    ("rmsprop", "momentum"): ("torch", "keras"),
    ("adamax", "eps"): ("torch", "keras"),
    ("nadam", "momentum_decay"): ("torch",),
    ("amsgrad", "beta1_decay"): ("paper", "inside"),
    ("lars", "phi_bounds"): ("paper",),
    ("lars", "trust_coefficient"): ("official",),
    ("lars", "eps"): ("official",),
    ("sophia", "eps"): ("paper",),
    ("sophia", "gamma"): ("paper",),
    ("sophia", "rho"): (),
}


def changes(name: str, hyper: dict[str, Any]) -> dict[str, tuple[Any, ...]]:
    """Return what may be changed in a group of this rule, by key."""
    found = {}
    for key, values in CHANGES.items():
        if key not in hyper or hyper.get("variant") not in ONLY.get(
            (name, key), (hyper.get("variant"),)
        ):
            continue
        if key == "dampening" and hyper["nesterov"]:
            continue
        if key == "weight_decay" and hyper.get("l1"):
            continue
        found[key] = EPS_OF_PAIRS if isinstance(hyper[key], tuple) and key == "eps" else values
    return found


def ill_conditioned(name: str, hyper: dict[str, Any]) -> bool:
    """Tell whether the rule amplifies rounding, so that it is compared in float64 alone."""
    return name in (*SIGNS, "adabelief", "adagradfull") or bool(hyper.get("centered"))
