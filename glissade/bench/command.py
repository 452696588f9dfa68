"""The command `glissade bench`."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import torch
import typer

from glissade.bench import compiling, options, record, run, show, start
from glissade.bench.compare import compare
from glissade.bench.machine import Bystanders, machine
from glissade.bench.options import COMPILING, SECTIONS, STARTING
from glissade.bench.record import Record
from glissade.bench.settings import DTYPES, STATE_DTYPES, Settings
from glissade.bench.shapes import ON_DEVICE
from glissade.commands import fail

SLOWER = 3  # exit code


def bench(
    context: typer.Context,
    optimizers: Annotated[
        str | None,
        typer.Option(
            "-o", "--optimizers", help="Names from `glissade list`, with commas  [default: all]"
        ),
    ] = None,
    shapes: Annotated[
        str | None,
        typer.Option(
            help="Which models; `compile` is the time that compiling takes, `start` that of the "
            "import and of a fresh process's first step. "
            f"[default: {','.join(SECTIONS)}; with --device cuda {','.join(ON_DEVICE)}]"
        ),
    ] = None,
    quick: Annotated[
        bool,
        typer.Option(
            "--quick",
            help="About a minute: 3 short rounds; on gpt2 and many only adamw, lamb, adafactor.",
        ),
    ] = False,
    all_: Annotated[
        bool,
        typer.Option(
            "--all",
            help="Every rule on gpt2 against its own floor, and what else the project's goals "
            "need: adamw beside torch, on every model and in every precision; compile; start.",
        ),
    ] = False,
    peers: Annotated[
        str | None,
        typer.Option(
            help="Other libraries beside ours: torch, optax, pytorch_optimizer, timm, "
            "bitsandbytes, with commas; all that are installed, or none  [default: torch; with "
            "--all none]"
        ),
    ] = None,
    compile_: Annotated[
        bool,
        typer.Option("--compile", help="torch.compile too: a minute a rule, and a C++ compiler."),
    ] = False,
    dtype: Annotated[
        str,
        typer.Option(
            metavar="TYPE[,TYPE]", help=f"Of parameters and gradients: {', '.join(DTYPES)}, or all."
        ),
    ] = DTYPES[0],
    state_dtype: Annotated[
        str,
        typer.Option(
            "--state-dtype",
            metavar="TYPE[,TYPE]",
            help=f"Of our states, each with each dtype: {', '.join(STATE_DTYPES)}, or all.",
        ),
    ] = STATE_DTYPES[0],
    device: Annotated[
        str, typer.Option(metavar="DEVICE", help="cpu, or cuda: Triton's kernels on a GPU.")
    ] = "cpu",
    threads: Annotated[
        int | None, typer.Option(min=1, help="Threads  [default: as many as torch takes]")
    ] = None,
    repeat: Annotated[
        int | None, typer.Option(min=1, help="Rounds in which everything has its turn.")
    ] = None,
    json_file: Annotated[
        Path | None, typer.Option("--json", metavar="FILE", help="Write everything here as well.")
    ] = None,
    picture: Annotated[
        Path | None,
        typer.Option(metavar="FILE.png", help="Draw every rule's share of its floor."),
    ] = None,
    compare_: Annotated[
        Path | None,
        typer.Option(
            "--compare",
            metavar="OLD.json",
            help=f"Show an older run beside this one; exit code {SLOWER} if a rule has become "
            "slower beside its floor.",
        ),
    ] = None,
    from_: Annotated[
        Path | None,
        typer.Option(
            "--from",
            metavar="FILE.json",
            help="Time nothing: take the figures of this file, for --compare and --picture.",
        ),
    ] = None,
) -> None:
    """Time every rule's step, beside other libraries and beside what memory allows.

    A rule whose kernel disagrees with its float64 reference is not timed.
    """
    try:
        options.check_files(json_file, picture)
        if from_ is not None:
            options.check_no_run(context)
        old = None if compare_ is None else record.read(compare_)
        new = None if from_ is None else record.read(from_)
        settings = options.settings(
            optimizers, shapes, quick, all_, peers, compile_, dtype, state_dtype, repeat, device
        )
    except ValueError as error:
        fail("bench", str(error), 2)
    screen = show.Screen()
    if new is None:
        new = _measured(screen, settings, threads)
    else:
        screen.say(f"{new.machine}\n{new.started}")
        for shape in dict.fromkeys(case.shape for case in new.cases):
            screen.cases([case for case in new.cases if case.shape == shape])
    screen.rest(new)
    if json_file is not None:
        record.write(json_file, new)
        screen.say(f"Written: {json_file}")
    if picture is not None:
        _draw(screen, picture, new)
    slower = False
    if old is not None:
        comparison = compare(old, new)
        screen.comparison(comparison)
        slower = bool(comparison.regressions)
    if any(case.error.startswith("parity") for case in new.cases):
        raise typer.Exit(1)
    if slower:
        raise typer.Exit(SLOWER)


def _measured(screen: show.Screen, settings: Settings, threads: int | None) -> Record:
    """A run on so many threads; it ends the program if it is interrupted."""
    before = torch.get_num_threads()
    try:
        if threads is not None:
            torch.set_num_threads(threads)
        with show.progress() as tell:
            return _run(screen, settings, tell)
    except KeyboardInterrupt:
        fail("bench", "interrupted; nothing was written", 130)
    except start.StartError as error:
        fail("bench", str(error), 1)
    finally:
        torch.set_num_threads(before)


def _run(screen: show.Screen, settings: Settings, tell: Callable[[str], None]) -> Record:
    """Measure, and show the models' tables as they come."""
    bystanders, clock = Bystanders(), time.monotonic()
    found = Record(machine(settings.device), settings, started=time.strftime("%Y-%m-%dT%H:%M:%S%z"))
    screen.say(str(found.machine))
    turns = f"{settings.rounds} rounds, turns of {settings.seconds:g} s or a step"
    screen.say(turns + (", few rules on the large models" if settings.quick else ""))
    models = run.Bench(settings, tell)
    for section in settings.shapes:
        if section == COMPILING:
            found.kernels = compiling.measure(settings.optimizers, settings.quick, tell)
        elif section == STARTING:
            tell("start: fresh processes")
            found.start = start.measure(settings.quick)
        elif cases := models.measure(section):
            tell("")
            screen.cases(cases)
            found.cases += cases
    tell("")
    found.seconds, found.busy_cores_of_others = time.monotonic() - clock, bystanders.cores()
    return found


def _draw(screen: show.Screen, path: Path, figures: Record) -> None:
    from glissade.bench.picture import draw  # matplotlib takes a second

    try:
        draw(path, figures)
    except (ValueError, OSError) as error:
        fail("bench", f"--picture {path}: {error}", 1)
    screen.say(f"Written: {path}")
