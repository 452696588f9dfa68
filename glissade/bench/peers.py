"""torch's own optimizers, in every form that it has of them."""

from __future__ import annotations

import inspect
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch


class PeerError(RuntimeError):
    """A form of torch's optimizer that does not run on this machine."""


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


@dataclass(frozen=True)
class Peer:
    """One form of torch's optimizer on parameters, warmed up."""

    form: str
    step: Callable[[], Any]
    first_step_s: float  # for the compiled form: how long compiling takes


def forms(rule: str) -> tuple[str, ...]:
    """The forms that torch has of an optimizer; none if it has no such optimizer."""
    if rule not in CLASSES or not hasattr(torch.optim, CLASSES[rule][0]):
        return ()
    known = inspect.signature(getattr(torch.optim, CLASSES[rule][0])).parameters
    # A keyword that says "not this way" may be left out where torch does not know it.
    have = [f for f, flags in FORMS.items() if all(k in known or not v for k, v in flags.items())]
    return (*have, COMPILED)


def peer(rule: str, form: str, params: Sequence[torch.Tensor], lr: float, warm: int) -> Peer:
    """A form of torch's optimizer, after so many steps.

    Raises:
        PeerError: it does not run here.
    """
    name, arguments = CLASSES[rule]
    make = getattr(torch.optim, name)
    known = inspect.signature(make).parameters
    flags = {key: value for key, value in FORMS.get(form, {}).items() if key in known}
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
    except Exception as error:  # whatever torch's compiler raises, the other figures stand
        line = next(iter(str(error).splitlines()), type(error).__name__)
        raise PeerError(f"torch {name} {form} does not run here: {line}") from error
    return Peer(form, step, first)
