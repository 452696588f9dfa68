"""Which optimizer of which library is the same as a row of the registry.

A library that has no such optimizer has no entry. Arguments are those of our defaults that are not
the library's own. Where a library computes something a little different (docs/optimizers.md names
it), its step still does the same work. pytorch_optimizer hands on torch's own SGD, RMSprop, Adam,
AdamW and NAdam: they have no second entry.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Call = tuple[str, Mapping[str, Any]]  # a name in the library, and what it is called with

MOMENTUM = {"momentum": 0.9}
NESTEROV = {"momentum": 0.9, "nesterov": True}
AMS = {"amsgrad": True}

# By name in the registry, then by library.
SAME: Mapping[str, Mapping[str, Call]] = {
    "sgd": {"torch": ("SGD", {}), "optax": ("sgd", {})},
    "momentum": {
        "torch": ("SGD", MOMENTUM), "optax": ("sgd", MOMENTUM), "bitsandbytes": ("SGD", MOMENTUM),
    },
    "nesterov": {"torch": ("SGD", NESTEROV), "optax": ("sgd", NESTEROV)},
    "sgdw": {"pytorch_optimizer": ("SGDW", {}), "timm": ("SGDW", {})},
    "adagrad": {
        "torch": ("Adagrad", {}), "optax": ("adagrad", {}), "bitsandbytes": ("Adagrad", {}),
    },
    "rmsprop": {
        "torch": ("RMSprop", {}), "optax": ("rmsprop", {}), "timm": ("RMSpropTF", {}),
        "bitsandbytes": ("RMSprop", {}),
    },
    "adam": {"torch": ("Adam", {}), "optax": ("adam", {}), "bitsandbytes": ("Adam", {})},
    "adamw": {
        "torch": ("AdamW", {}), "optax": ("adamw", {}), "timm": ("AdamWLegacy", {}),
        "bitsandbytes": ("AdamW", {}),
    },
    "lion": {
        "optax": ("lion", {}), "pytorch_optimizer": ("Lion", {}), "timm": ("Lion", {}),
        "bitsandbytes": ("Lion", {}),
    },
    "radam": {
        "torch": ("RAdam", {}), "optax": ("radam", {}), "pytorch_optimizer": ("RAdam", {}),
        "timm": ("RAdamLegacy", {}),
    },
    "adadelta": {
        "torch": ("Adadelta", {}), "optax": ("adadelta", {}), "pytorch_optimizer": ("AdaDelta", {}),
    },
    "adamax": {
        "torch": ("Adamax", {}), "optax": ("adamax", {}), "pytorch_optimizer": ("AdaMax", {}),
    },
    "nadam": {"torch": ("NAdam", {}), "optax": ("nadam", {}), "timm": ("NAdamLegacy", {})},
    "amsgrad": {"torch": ("Adam", AMS), "optax": ("amsgrad", {})},
    "adabelief": {
        "optax": ("adabelief", {}), "timm": ("AdaBelief", {"rectify": False}),
        "pytorch_optimizer": ("AdaBelief", {}),
    },
    "adabound": {"pytorch_optimizer": ("AdaBound", {})},
    "amsbound": {"pytorch_optimizer": ("AdaBound", {"ams_bound": True})},
    "adamod": {"pytorch_optimizer": ("AdaMod", {})},
    "diffgrad": {"pytorch_optimizer": ("DiffGrad", {})},
    "signum": {"optax": ("signum", {}), "pytorch_optimizer": ("SignSGD", MOMENTUM)},
    "lars": {
        "optax": ("lars", {}), "pytorch_optimizer": ("LARS", {}), "timm": ("Lars", MOMENTUM),
        "bitsandbytes": ("LARS", MOMENTUM),
    },
    "lamb": {
        "optax": ("lamb", {}), "pytorch_optimizer": ("Lamb", {}), "timm": ("Lamb", {}),
        "bitsandbytes": ("LAMB", {}),
    },
    "adafactor": {
        "torch": ("Adafactor", {}), "optax": ("adafactor", {}), "timm": ("Adafactor", {}),
        "pytorch_optimizer": ("AdaFactor", {"betas": (None, 0.999)}),
    },
    "yogi": {"optax": ("yogi", {}), "pytorch_optimizer": ("Yogi", {})},
    "adopt": {
        "optax": ("contrib.adopt", {}), "pytorch_optimizer": ("ADOPT", {}), "timm": ("Adopt", {}),
    },
    "ranger": {"pytorch_optimizer": ("Ranger", {})},
}  # fmt: skip
