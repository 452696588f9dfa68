"""The command `glissade bench`."""

from __future__ import annotations

import contextlib
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any, NoReturn

import torch
import typer
from rich.console import Console

from glissade import registry
from glissade.bench import compiling, run, table
from glissade.bench.compiling import Compiling
from glissade.bench.goals import Goal, goals
from glissade.bench.machine import Bystanders, Machine, machine
from glissade.bench.run import Case, Settings
from glissade.bench.shapes import MODELS
from glissade.checks import nearest
from glissade.storage import LOWER

SCHEMA = 1
COMPILING = "compile"  # a section of its own beside the models
SECTIONS = (*MODELS, COMPILING)
DTYPES = ("float32", "bfloat16", "float16")
QUICK_ROUNDS, QUICK_SECONDS = 3, 0.02


def bench(
    optimizers: Annotated[
        str | None,
        typer.Option(
            "-o", "--optimizers", help="Names from `glissade list`, with commas  [default: all]"
        ),
    ] = None,
    shapes: Annotated[
        str, typer.Option(help="Which models; `compile` is the time that compiling takes.")
    ] = ",".join(SECTIONS),
    quick: Annotated[
        bool,
        typer.Option(
            "--quick",
            help="Under a minute: 3 short rounds; on gpt2 and many only adamw, lamb, adafactor.",
        ),
    ] = False,
    all_: Annotated[
        bool,
        typer.Option("--all", help="Every rule on gpt2, held against its own floor alone."),
    ] = False,
    json_file: Annotated[
        Path | None, typer.Option("--json", help="Write everything here as well.")
    ] = None,
    compile_: Annotated[
        bool,
        typer.Option("--compile", help="torch.compile too: a minute a rule, and a C++ compiler."),
    ] = False,
    dtype: Annotated[
        str, typer.Option(metavar="TYPE", help=f"Of parameters and gradients: {', '.join(DTYPES)}.")
    ] = Settings.dtype,
    state_dtype: Annotated[
        str | None,
        typer.Option("--state-dtype", metavar="TYPE", help="Of our states: bfloat16."),
    ] = None,
    threads: Annotated[
        int | None, typer.Option(min=1, help="Threads  [default: as many as torch takes]")
    ] = None,
    repeat: Annotated[
        int | None, typer.Option(min=1, help="Rounds in which everything has its turn.")
    ] = None,
) -> None:
    """Time every rule's step, beside torch's optimizers and beside what memory allows.

    A rule whose kernel disagrees with its float64 reference is not timed.
    """
    settings = Settings(
        optimizers=_known(optimizers, registry.names(), "optimizer"),
        shapes=("gpt2",) if all_ else _known(shapes, SECTIONS, "shape"),
        rounds=repeat or (QUICK_ROUNDS if quick else Settings.rounds),
        seconds=QUICK_SECONDS if quick else Settings.seconds,
        patience=1 if quick else Settings.patience,
        quick=quick and not all_,
        compile=compile_,
        alone=all_,
        dtype=_known(dtype, DTYPES, "dtype")[0],
        state_dtype=state_dtype and _known(state_dtype, tuple(LOWER), "state dtype")[0],
    )
    if json_file is not None and not json_file.resolve().parent.is_dir():
        _fail(f"--json {json_file}: there is no folder {json_file.resolve().parent}", 2)
    if json_file is not None and json_file.is_dir():
        _fail(f"--json {json_file} is a folder: name a file", 2)
    before = torch.get_num_threads()
    try:
        if threads is not None:
            torch.set_num_threads(threads)
        failed = _run(settings, json_file)
    except KeyboardInterrupt:
        _fail("interrupted; nothing was written", 130)
    finally:
        torch.set_num_threads(before)
    if failed:
        raise typer.Exit(1)


def _run(settings: Settings, json_file: Path | None) -> bool:
    """Measure, show, write; whether a rule failed its parity check."""
    out = Console()
    if not out.is_terminal:
        out = Console(width=140)
    bystanders = Bystanders()
    started, stamp = time.monotonic(), time.strftime("%Y-%m-%dT%H:%M:%S%z")
    here = machine()
    _say(out, str(here))
    turns = f"{settings.rounds} rounds, turns of {settings.seconds:g} s or a step"
    _say(out, turns + (", few rules on the large models" if settings.quick else ""))
    cases: list[Case] = []
    kernels: list[Compiling] = []
    with _progress() as tell:
        models = run.Bench(settings, tell)
        for section in settings.shapes:
            if section == COMPILING:
                kernels = compiling.measure(settings.optimizers, settings.quick, tell)
                continue
            new = models.measure(section)
            tell("")
            _show(out, new, settings)
            cases += new
    _sections(out, cases, kernels, settings.dtype)
    full = settings.dtype == "float32" and settings.state_dtype is None
    wishes = list(goals(cases, kernels)) if full else []
    if wishes:
        _say(out, "\nGoals of the project")
        for line in table.goal_lines(wishes):
            out.print(line, highlight=False)
    seconds, others = time.monotonic() - started, bystanders.cores()
    _say(out, f"\n{table.LEGEND}\n{seconds:.0f} s.")
    if json_file is not None:
        record = document(here, settings, cases, kernels, wishes)
        times = {"started": stamp, "seconds": seconds, "busy_cores_of_others": others}
        _write(json_file, {**record, **times})
        _say(out, f"Written: {json_file}")
    return any(case.error.startswith("parity") for case in cases)


@contextlib.contextmanager
def _progress() -> Iterator[Callable[[str], None]]:
    """What is being timed: one line that changes on a terminal, plain lines elsewhere.

    Nothing that moves by itself: whatever draws it would take turns with what is timed.
    """
    if not sys.stderr.isatty():
        yield lambda line: typer.echo(line, err=True) if line else None
        return

    def tell(line: str) -> None:
        typer.echo(f"\r\x1b[2K{line}", nl=False, err=True)

    try:
        yield tell
    finally:
        tell("")


def _show(out: Console, cases: Sequence[Case], settings: Settings) -> None:
    _say(out, "\n" + table.heading(MODELS[cases[0].shape], settings))
    out.print(table.speeds(out, cases, settings), highlight=False)
    for line in table.remarks(cases):
        _say(out, line)


def _sections(
    out: Console, cases: Sequence[Case], kernels: Sequence[Compiling], dtype: str
) -> None:
    peaks = table.peaks(out, cases, dtype)
    if peaks is not None:
        _say(out, "\nMemory that a step takes for a moment")
        out.print(peaks, highlight=False)
    if kernels:
        _say(out, "\nFrom nothing to the first step of a layer, and stages compiled after it")
        out.print(table.compile_times(out, kernels), highlight=False)


def document(
    here: Machine,
    settings: Settings,
    cases: Sequence[Case],
    kernels: Sequence[Compiling],
    wishes: Iterable[Goal],
) -> dict[str, Any]:
    """Everything that was measured."""
    return {
        "schema": SCHEMA,
        "machine": vars(here),
        "settings": vars(settings),
        "shapes": {
            name: {"tensors": model.tensors, "parameters": model.elements}
            for name, model in MODELS.items()
            if name in settings.shapes
        },
        "cases": [case.record() for case in cases],
        "compile": [kernel.record() for kernel in kernels],
        "goals": [goal.record() for goal in wishes],
    }


def _write(path: Path, record: dict[str, Any]) -> None:
    """Replace the file as a whole, or leave it as it was."""
    handle, name = tempfile.mkstemp(dir=path.resolve().parent, prefix=path.name, suffix=".part")
    try:
        with os.fdopen(handle, "w") as out:
            json.dump(record, out, indent=1)
            out.write("\n")
        os.replace(name, path)
    except BaseException:
        os.unlink(name)
        raise


def _known(given: str | None, known: Sequence[str], what: str) -> tuple[str, ...]:
    """The names in a list with commas, each once; exits if one is not known."""
    if given is None:
        return tuple(known)
    names = tuple(dict.fromkeys(n.strip().lower() for n in given.split(",") if n.strip()))
    for name in names:
        if name not in known:
            hint = nearest(name, known)
            _fail(f"unknown {what} {name!r}; known are {', '.join(known)}{hint}", 2)
    if not names:
        _fail(f"no {what} was given; known are {', '.join(known)}", 2)
    return names


def _say(out: Console, line: str) -> None:
    out.print(line, highlight=False, markup=False, soft_wrap=True)


def _fail(message: str, code: int) -> NoReturn:
    typer.echo(f"glissade bench: {message}", err=True)
    raise typer.Exit(code)
