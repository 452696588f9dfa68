"""The command `glissade lrfind`."""

from __future__ import annotations

import shlex
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from glissade.commands import fail
from glissade.draw import desk, model, style
from glissade.spec import Spec, specs
from glissade.study.lrfind import Found, Sweep, conclude, sweep

BELOW, ABOVE = 1e-2, 10.0  # times the ends of the range in which a comparison would search


def lrfind(
    task: Annotated[
        str,
        typer.Argument(
            metavar="TASK",
            help=f"{', '.join(model.BUILT_IN)}, or your own: my.py (its task, or its build) or "
            "my.py:NAME. A task is one of glissade compare's; build() or build(seed) returns "
            "(model, loss), and loss(model, step) the loss of a mini-batch.",
        ),
    ] = "digits",
    optimizer: Annotated[
        str, typer.Option("-o", "--optimizer", help="As in 'lookahead(adamw, k=5)'.")
    ] = "adamw",
    rates: Annotated[
        str | None,
        typer.Option("--range", metavar="LOW,HIGH", help="Learning rates  [default: its own]"),
    ] = None,
    steps: Annotated[int, typer.Option(help="Steps from the lowest to the highest.")] = 200,
    seeds: Annotated[int, typer.Option(help="Runs, each from other weights.")] = 3,
    out: Annotated[
        Path | None,
        typer.Option(metavar="FILE.png", help="Picture  [default: glissade-out/lrfind-TASK.png]"),
    ] = None,
) -> None:
    """Find a learning rate: let it grow from step to step, and see where the loss falls fastest.

    Example: glissade lrfind digits -o adamw --seeds 5
    """
    began = time.monotonic()
    try:
        spec = _one(optimizer)
        low, high = _range(rates, spec)
        desk.between("--steps", steps, 20, 100_000)
        desk.between("--seeds", seeds, 1, 100)
        load = model.opened(task)
        title = load(0).title
        path = out or Path("glissade-out") / f"lrfind-{_name(task)}.png"
        if path.suffix != ".png":
            raise ValueError(f"--out {path}: its name has to end in .png")
        style.writable(path.parent)
        command = shlex.join(
            ["glissade", "lrfind", task, "-o", spec.text, f"--range={low:g},{high:g}",
             "--steps", str(steps), "--seeds", str(seeds)]
        )  # fmt: skip
        sweeps = _sweeps(load, task, spec, low, high, steps, seeds)
        found = conclude(sweeps)
    except ValueError as error:
        fail("lrfind", str(error), 2)
    except KeyboardInterrupt:
        fail("lrfind", "interrupted", 130)
    from glissade.study import lrfind_picture  # late: matplotlib takes a while to import

    try:
        lrfind_picture.picture(path, title, spec, sweeps, found, command)
    except OSError as error:
        fail("lrfind", f"cannot write {path}: {error.strerror or error}", 1)
    _say(found, spec, title, time.monotonic() - began)
    typer.echo(f"Written: {path}\nTo do it again:\n  {command} --out {shlex.quote(str(path))}")


def _name(task: str) -> str:
    """Of a task, for files: two of one file differ."""
    place, _, function = task.rpartition(":")
    return f"{Path(place).stem}-{function}" if place else Path(function).stem


def _one(text: str) -> Spec:
    found = specs(text)
    if len(found) != 1:
        raise ValueError(f"-o {text}: one optimizer at a time")
    (spec,) = found
    if spec.lr is not None:
        raise ValueError(f"-o {text}: leave its lr out, which is what is to be found")
    if spec.schedule is not None:
        raise ValueError(f"-o {text}: leave its schedule out: here the learning rate grows")
    if spec.row is None:
        raise ValueError(f"-o {text}: {spec.name} has no learning rate to be found here")
    return spec


def _range(text: str | None, spec: Spec) -> tuple[float, float]:
    if text is None:
        return spec.lr_range[0] * BELOW, spec.lr_range[1] * ABOVE
    try:
        low, high = (float(part) for part in text.split(","))
    except ValueError:
        low, high = 0.0, 0.0
    if not 0 < low < high < float("inf"):
        raise ValueError(f"--range {text}: write LOW,HIGH, as in 1e-6,1")
    return low, high


def _sweeps(
    load: Callable[[int], model.Problem],
    text: str,
    spec: Spec,
    low: float,
    high: float,
    steps: int,
    seeds: int,
) -> list[Sweep]:
    total, done = steps * seeds, 0
    with desk.progress("lrfind") as report:

        def told() -> None:
            nonlocal done
            done += 1
            if done % 10 == 0:
                report(f"step {done} of {total}", done / total)

        try:
            return [sweep(load, spec, seed, low, high, steps, told) for seed in range(seeds)]
        except (TypeError, RuntimeError, NotImplementedError) as error:
            said = str(error).partition("\n")[0]
            raise ValueError(f"{spec.text} on {text}: {said}") from None


def _say(found: Found, spec: Spec, title: str, seconds: float) -> None:
    typer.echo(f"{spec.label} on {title}, {seconds:.0f} s")
    if found.suggestion is None:
        typer.echo(f"No suggestion: {found.reason}.")
    else:
        typer.echo(f"Suggestion: lr={found.suggestion:g}: {found.reason}.")
