"""torch's own optimizers, in every form that it has of them."""

from __future__ import annotations

import inspect
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

FORMS: Mapping[str, Mapping[str, bool]] = {
    "default": {"foreach": False, "fused": False},
    "foreach": {"foreach": True},
    "fused": {"fused": True},
}
COMPILED = "compile"
COLUMNS = (*FORMS, COMPILED)

# By name in the registry; the arguments are those of our defaults that are not torch's.
CLASSES: Mapping[str, tuple[str, Mapping[str, Any]]] = {
    "sgd": ("SGD", {}),
    "momentum": ("SGD", {"momentum": 0.9}),
    "nesterov": ("SGD", {"momentum": 0.9, "nesterov": True}),
    "adagrad": ("Adagrad", {}),
    "rmsprop": ("RMSprop", {}),
    "adam": ("Adam", {}),
    "adamw": ("AdamW", {}),
    "radam": ("RAdam", {}),
    "adafactor": ("Adafactor", {}),
}


@dataclass
class Peer:
    """One form of torch's optimizer, on parameters."""

    name: str
    step: Callable[[], Any]
    notes: dict[str, float] = field(default_factory=dict)


def missing(rule: str) -> bool:
    """Whether torch has no such optimizer."""
    return rule not in CLASSES or not hasattr(torch.optim, CLASSES[rule][0])


def peers(
    rule: str, params: Sequence[torch.Tensor], lr: float, forms: Sequence[str], warm: int
) -> Iterator[Peer]:
    """The forms of torch's optimizer that run here, warmed up with so many steps."""
    if missing(rule):
        return
    name, arguments = CLASSES[rule]
    make = getattr(torch.optim, name)
    known = inspect.signature(make).parameters
    for form in forms:
        flags = FORMS.get(form, {})
        # A keyword that says "not this way" may be left out where torch does not know it.
        if any(wanted and key not in known for key, wanted in flags.items()):
            continue
        flags = {key: wanted for key, wanted in flags.items() if key in known}
        try:
            step = make(params, lr=lr, **arguments, **flags).step
            if form == COMPILED:
                torch._dynamo.reset()
                step = torch.compile(step)
            start = time.perf_counter()
            step()
            first = time.perf_counter() - start
            for _ in range(warm - 1):
                step()
        except RuntimeError as error:  # such as: fused is not supported on this device
            if form == COMPILED:
                raise RuntimeError(
                    f"torch.compile failed: {str(error).splitlines()[0]}; it needs a C++ compiler"
                ) from error
            continue
        yield Peer(form, step, {"first_step_s": first} if form == COMPILED else {})
