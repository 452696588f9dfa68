"""The optimizers of other libraries, in every form that they have of them."""

from __future__ import annotations

import functools
import importlib
import inspect
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from ..checks import nearest
from .peer_optax import jitted
from .peer_table import SAME, Call

Step = Callable[[], Any]


class PeerError(RuntimeError):
    """A form of another library's optimizer that does not run on this machine."""


class NoPeer(ValueError):
    """A library that is not known, or not installed."""


TORCH, COMPILED = "torch", "compile"
FLAGS: Mapping[str, Mapping[str, bool]] = {
    "default": {"foreach": False, "fused": False},
    "foreach": {"foreach": True},
    "fused": {"fused": True},
}


@dataclass(frozen=True)
class Library:
    """Where optimizers come from, and the columns that they fill."""

    name: str
    module: str  # that has them
    install: str
    columns: tuple[str, ...]


LIBRARIES: Mapping[str, Library] = {
    library.name: library
    for library in (
        Library(TORCH, "torch.optim", "torch", (*FLAGS, COMPILED)),
        Library("optax", "optax", "optax jax", ("optax",)),
        Library(
            "pytorch_optimizer", "pytorch_optimizer", "pytorch_optimizer", ("pytorch_optimizer",)
        ),
        Library("timm", "timm.optim", "timm", ("timm",)),
        Library(
            "bitsandbytes", "bitsandbytes.optim", "bitsandbytes", ("bitsandbytes", "bnb 8-bit")
        ),
    )
}
COLUMNS = tuple(column for library in LIBRARIES.values() for column in library.columns)
EIGHT = "bnb 8-bit"  # its class has this at the end of its name
HAS_EIGHT = ("AdamW", "Adam", "Lion", "LAMB", "LARS", "RMSprop", "Adagrad", "SGD")


@functools.cache
def lacking(name: str) -> str:
    """Why a library cannot be imported; "" if it can."""
    try:
        importlib.import_module(LIBRARIES[name].module)
    except Exception as error:  # a library that breaks while it is imported is none
        return next(iter(str(error).splitlines()), type(error).__name__)
    return ""


def installed() -> tuple[str, ...]:
    """The libraries that can be imported."""
    return tuple(name for name in LIBRARIES if not lacking(name))


def chosen(given: str) -> tuple[str, ...]:
    """The libraries in a list with commas; "all" are those that are installed, "none" is none.

    Raises:
        NoPeer: one that is not known, or not installed.
    """
    names = tuple(dict.fromkeys(n.strip().lower() for n in given.split(",") if n.strip()))
    if names == ("all",):
        return installed()
    if names == ("none",):
        return ()
    known = (*LIBRARIES, "all", "none")
    for name in names:
        if name not in LIBRARIES:
            alone = " (alone)" if name in known else nearest(name, known)
            raise NoPeer(f"unknown peer {name!r}; known are {', '.join(known)}{alone}")
        why = lacking(name)
        if why:
            raise NoPeer(
                f"peer {name!r} cannot be imported ({why}): "
                f"pip install {LIBRARIES[name].install}, or leave it out"
            )
    if not names:
        raise NoPeer(f"no peer was given; known are {', '.join(known)}")
    return names


def columns(rule: str, libraries: Iterable[str]) -> tuple[str, ...]:
    """The forms that libraries have of an optimizer; none where they have no such optimizer."""
    have = SAME.get(rule, {})
    return tuple(
        column
        for library in libraries
        if library in have
        for column in _forms(library, have[library][0])
    )


def _forms(library: str, cls: str) -> tuple[str, ...]:
    if library == TORCH:
        if not hasattr(torch.optim, cls):
            return ()  # an older torch
        known = inspect.signature(getattr(torch.optim, cls)).parameters
        # A keyword that says "not this way" may be left out where torch does not know it.
        fit = [f for f, flags in FLAGS.items() if {k for k, v in flags.items() if v} <= {*known}]
        return (*fit, COMPILED)
    if library == "bitsandbytes" and cls not in HAS_EIGHT:
        return ("bitsandbytes",)
    return LIBRARIES[library].columns


def library_of(form: str) -> str:
    """Whose a column is."""
    return next(name for name, library in LIBRARIES.items() if form in library.columns)


@dataclass(frozen=True)
class Peer:
    """One form of another library's optimizer on parameters, warmed up."""

    form: str
    step: Step
    first_step_s: float  # for what is compiled then: how long compiling takes


def peer(rule: str, form: str, params: Sequence[torch.Tensor], lr: float, warm: int) -> Peer:
    """A form of another library's optimizer, after so many steps.

    Raises:
        PeerError: it does not run here.
    """
    library = library_of(form)
    call = SAME[rule][library]
    try:
        step = _made(library, form, call, params, lr)
        start = time.perf_counter()
        step()
        first = time.perf_counter() - start
        for _ in range(warm - 1):
            step()
    except Exception as error:  # whatever a library raises, the other figures stand
        line = next(iter(str(error).splitlines()), type(error).__name__)
        what = library if library == form else f"{library} {form}"
        raise PeerError(f"{call[0]} of {what} does not run here: {line}") from error
    return Peer(form, step, first)


def _made(library: str, form: str, call: Call, params: Sequence[torch.Tensor], lr: float) -> Step:
    """What takes a step."""
    module = importlib.import_module(LIBRARIES[library].module)
    name, arguments = call
    if library == "optax":
        return jitted(name, arguments, params, lr)
    make = getattr(module, name + ("8bit" if form == EIGHT else ""))
    known = inspect.signature(make).parameters
    flags = {key: value for key, value in FLAGS.get(form, {}).items() if key in known}
    step: Step = make(params, lr=lr, **arguments, **flags).step
    if form == COMPILED:
        torch._dynamo.reset()
        step = torch.compile(step)
    return step
