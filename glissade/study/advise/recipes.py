"""Where to start with an optimizer: published recipes, and otherwise the library's defaults.

And which optimizers are worth a look for which kind of model, the most usual first.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from glissade import registry, scaling
from glissade.describe import arguments
from glissade.evidence import (
    CONVOLUTIONAL,
    IMAGE_TRANSFORMER,
    LANGUAGE,
    LINEAR,
    PERCEPTRON,
    RARE,
    RECURRENT,
    TRANSFORMER,
)
from glissade.study.advise.look import LARGE

WORTH = {
    LANGUAGE: ("adamw", "lion", "sophia", "adafactor"),
    IMAGE_TRANSFORMER: ("adamw", "lion", "adafactor"),
    TRANSFORMER: ("adamw", "lion", "adafactor"),
    CONVOLUTIONAL: ("nesterov", "adamw", "adabelief"),
    RECURRENT: ("adamw", "rmsprop", "radam"),
    RARE: ("adagrad", "adamw", "adamax"),
    LINEAR: ("adagrad", "nesterov", "amsgrad"),
    PERCEPTRON: ("adamw", "nesterov", "radam"),
    "": ("adamw", "nesterov", "radam"),
}
IN_LARGE_BATCHES = {CONVOLUTIONAL: ("lars", "nesterov")}
SAVING = ("adafactor", "lion", "momentum", "sgd")  # of memory, where the usual ones do not fit


def worth(kind: str, batch: int) -> tuple[str, ...]:
    """Optimizers worth a look for a kind of model, the first ones first."""
    first = IN_LARGE_BATCHES.get(kind, ("lamb", "lion")) if batch >= LARGE else ()
    return tuple(dict.fromkeys((*first, *WORTH[kind])))


@dataclass(frozen=True)
class Recipe:
    """Published values."""

    name: str
    kinds: tuple[str, ...]
    hyper: Mapping[str, Any]
    batch: int | None  # in examples, that the lr is for; None: not said in examples
    more: str  # schedule and the like
    source: str


RECIPES = (
    Recipe("adamw", (LANGUAGE,), {"lr": 6e-4, "betas": (0.9, 0.95), "weight_decay": 0.1}, None,
           "a warm-up, then a cosine to a tenth of it, gradients clipped at 1; for 125M parameters "
           "and batches of half a million tokens",
           "Brown et al. 2020 (GPT-3 small), arXiv:2005.14165, appendix B"),
    Recipe("adamw", (IMAGE_TRANSFORMER,), {"lr": 5e-4, "weight_decay": 0.05}, 512,
           "5 epochs of warm-up, then a cosine; for ImageNet",
           "Touvron et al. 2021 (DeiT), arXiv:2012.12877"),
    Recipe("nesterov", (CONVOLUTIONAL,), {"lr": 0.1, "weight_decay": 1e-4}, 256,
           "5 epochs of warm-up, and a tenth of it after 30, 60 and 80 of 90 epochs; for ImageNet",
           scaling.GOYAL),
    Recipe("lamb", (LANGUAGE, TRANSFORMER), {"lr": 6.25e-4, "weight_decay": 0.01}, 512,
           "a warm-up, which is longer for larger batches, then linear to 0; for BERT",
           scaling.LAMB),
)  # fmt: skip


@dataclass(frozen=True)
class Start:
    """Values to begin with, as one types them, and whose they are."""

    text: str
    whose: str
    hyper: Mapping[str, Any] = field(default_factory=dict)


def start(name: str, kinds: tuple[str, ...], batch: int) -> Start:
    """Where to start with a row on a kind of model, with batches of this size."""
    recipe = _recipe(name, kinds)
    if recipe is not None:
        hyper, law = dict(recipe.hyper), ""
        if recipe.batch is not None and recipe.batch != batch:
            one = scaling.batch(name, recipe.batch, batch, lr=hyper["lr"])[0]
            law = (
                f". Their lr of {hyper['lr']:g} is for batches of {recipe.batch}: scaled to "
                f"{batch} ({one.source})"
            )
            law += f"; caution: {one.caution.rstrip('.')}" if one.caution else ""
            hyper["lr"] = float(f"{one.value:.3g}")
        return Start(typed(name, hyper), f"{recipe.source}: {recipe.more}{law}", hyper)
    base = _recipe("adamw", kinds)
    if name == "lion" and base is not None:
        own = start("adamw", kinds, batch)
        return from_adamw(own.hyper, f"the recipe for AdamW, {base.source}")
    return _defaults(name)


def from_adamw(hyper: Mapping[str, Any], whose: str) -> Start:
    """Lion's values from those of an AdamW; of the ranges its authors give, the middle."""
    decay = hyper.get("weight_decay", 0.0)
    found = {
        one.name: float(f"{(one.value[0] * one.value[1]) ** 0.5:.2g}")
        for one in scaling.convert("adamw", "lion", lr=hyper["lr"], weight_decay=decay)
    }
    why = f"{whose}; lr 3 to 10 times less and decay as much more ({scaling.LION})"
    return Start(typed("lion", found), why, found)


def published(name: str, kinds: tuple[str, ...]) -> bool:
    """Whether there is a recipe for such a model."""
    return _recipe(name, kinds) is not None


def _recipe(name: str, kinds: tuple[str, ...]) -> Recipe | None:
    return next((x for x in RECIPES if x.name == name and set(x.kinds) & set(kinds)), None)


def _defaults(name: str) -> Start:
    """The values of the library, with whose they are as far as its documentation says."""
    entry = registry.lookup(name)
    shown = {}
    said = []
    for one in arguments(entry, {}):
        if one.name in ("lr", "betas", "momentum", "weight_decay") and one.value not in (0, 0.0):
            shown[one.name] = one.value
            whose = re.search(r"default ((?:the )?[\w-]+(?: [\w-]+)*'s?)", one.text)
            if whose:
                said.append(f"{one.name} {whose[1]}")
    of = f" ({', '.join(said)})" if said else ""
    preset = entry.preset.keys()
    text = typed(name, {key: value for key, value in shown.items() if key not in preset})
    return Start(text, f"the library's defaults{of}; they know nothing of your batch size", shown)


def typed(name: str, hyper: Mapping[str, Any]) -> str:
    """As one types it after -o."""
    words = ", ".join(f"{key}={value!r}" for key, value in hyper.items())
    return f"{name}({words})" if words else name
