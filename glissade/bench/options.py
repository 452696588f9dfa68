"""The options of `glissade bench`, checked before anything is measured.

Every function raises ValueError with what was given and what is allowed.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from pathlib import Path

import torch
import typer

from .. import registry
from ..checks import nearest
from . import peers as others
from .settings import (
    DTYPES,
    QUICK_ROUNDS,
    QUICK_SECONDS,
    STATE_DTYPES,
    Precision,
    Settings,
)
from .shapes import MODELS, ON_DEVICE, USUAL

COMPILING, STARTING = "compile", "start"  # sections of their own beside the models
SECTIONS = (*USUAL, COMPILING, STARTING)
DEVICES = ("cpu", "cuda")
WITHOUT_A_RUN = ("from_", "compare_", "picture")


def settings(
    optimizers: str | None,
    shapes: str | None,
    quick: bool,
    all_: bool,
    peers: str | None,
    compile_: bool,
    dtype: str,
    state_dtype: str,
    repeat: int | None,
    device: str = "cpu",
) -> Settings:
    """What the options ask for."""
    (device,) = names(device, DEVICES, "device")[:1]
    if device == "cuda" and not torch.cuda.is_available():
        raise ValueError("--device cuda: torch sees no CUDA device here")
    sections = (*MODELS, COMPILING, STARTING) if device == "cpu" else tuple(MODELS)
    if shapes is None:
        shapes = ",".join(SECTIONS if device == "cpu" else ON_DEVICE)
    numbers = itertools.product(
        _some(dtype, DTYPES, "dtype"), _some(state_dtype, STATE_DTYPES, "state dtype")
    )
    usual = Settings((), ())
    return Settings(
        optimizers=names(optimizers, registry.names(), "optimizer"),
        shapes=names(shapes, sections, "shape"),
        device=device,
        rounds=repeat or (QUICK_ROUNDS if quick else usual.rounds),
        seconds=QUICK_SECONDS if quick else usual.seconds,
        patience=1 if quick else usual.patience,
        quick=quick,
        compile=compile_,
        all=all_,
        peers=others.chosen(("none" if all_ else others.TORCH) if peers is None else peers),
        precisions=tuple(Precision(*pair) for pair in numbers),
    )


def _some(given: str, known: Sequence[str], what: str) -> tuple[str, ...]:
    return tuple(known) if given.strip().lower() == "all" else names(given, known, what)


def names(given: str | None, known: Sequence[str], what: str) -> tuple[str, ...]:
    """The names in a list with commas, each once; all of them where none was given."""
    if given is None:
        return tuple(known)
    found = tuple(dict.fromkeys(n.strip().lower() for n in given.split(",") if n.strip()))
    for name in found:
        if name not in known:
            hint = nearest(name, known)
            raise ValueError(f"unknown {what} {name!r}; known are {', '.join(known)}{hint}")
    if not found:
        raise ValueError(f"no {what} was given; known are {', '.join(known)}")
    return found


def check_files(json_file: Path | None, picture: Path | None) -> None:
    """Whether what is to be written can be."""
    for option, path in (("--json", json_file), ("--picture", picture)):
        if path is None:
            continue
        folder = path.resolve().parent
        if not folder.is_dir():
            raise ValueError(f"{option} {path}: there is no folder {folder}")
        if path.is_dir():
            raise ValueError(f"{option} {path} is a folder: name a file")
    if picture is not None and picture.suffix != ".png":
        raise ValueError(f"--picture {picture}: its name has to end in .png")


def check_no_run(context: typer.Context) -> None:
    """That nothing is asked of a run where there is none."""
    for parameter in context.command.params:
        source = context.get_parameter_source(parameter.name or "")
        given = source is not None and source.name == "COMMANDLINE"
        if given and parameter.name not in WITHOUT_A_RUN:
            option = max(parameter.opts, key=len)
            raise ValueError(
                f"{option} is for a run, and --from makes none: it goes with --compare and "
                "--picture alone"
            )


def words(settings: Settings) -> list[str]:
    """The command line that asks for these settings, without what is so anyway."""
    usual = Settings(registry.names(), SECTIONS if settings.device == "cpu" else ON_DEVICE)
    said = {
        "--device": (settings.device, usual.device),
        "-o": (settings.optimizers, usual.optimizers),
        "--shapes": (settings.shapes, usual.shapes),
        "--peers": (settings.peers, () if settings.all else usual.peers),
        "--dtype": (_each(settings, "dtype"), _each(usual, "dtype")),
        "--state-dtype": (_each(settings, "state_dtype"), _each(usual, "state_dtype")),
        "--repeat": (settings.rounds, QUICK_ROUNDS if settings.quick else usual.rounds),
    }
    out = ["glissade", "bench"]
    out += [f"--{name}" for name in ("all", "quick", "compile") if getattr(settings, name)]
    for option, (given, otherwise) in said.items():
        if given != otherwise:
            out += [option, ",".join(given) or "none" if isinstance(given, tuple) else str(given)]
    return out


def _each(settings: Settings, what: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(getattr(one, what) for one in settings.precisions))
