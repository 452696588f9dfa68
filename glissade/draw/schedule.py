"""`glissade draw schedule`: schedules over the steps of a run."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from glissade.commands import fail
from glissade.draw import style
from glissade.schedules import Schedule
from glissade.spec import schedules_of

POINTS = 4000  # at most so many are drawn; steps between them are not
LEFT, RIGHT, AXIS, HEIGHT = 0.72, 7.6, 0.55, 3.6  # inches
MOST = 9


def draw_schedule(
    schedules: Annotated[
        str,
        typer.Argument(
            metavar="NAME[,NAME]",
            help="Names, as mostly used, or with values: 'rex, warmup(500, linear(9500))'.",
        ),
    ] = "cosine,warm_restarts,wsd",
    steps: Annotated[int, typer.Option(min=2, help="Steps of the run.")] = 10_000,
    out: Annotated[Path, typer.Option(metavar="FILE.png", help="Where to write.")] = Path(
        "glissade-out/schedules.png"
    ),
    log: Annotated[bool, typer.Option("--log", help="Multipliers on a logarithmic axis.")] = False,
) -> None:
    """Draw schedules: the multiplier of the base value at each step.

    Example: glissade draw schedule cosine,warm_restarts,wsd --steps 10000
    """
    try:
        found = schedules_of(schedules, steps)
        if len(found) > MOST:
            raise ValueError(f"{len(found)} schedules: at most {MOST} can be told apart")
        if out.suffix != ".png":
            raise ValueError(f"--out {out}: its name has to end in .png")
        style.writable(out.parent)
    except ValueError as error:
        fail("draw schedule", str(error), 2)
    words = ["glissade", "draw", "schedule", schedules, "--steps", str(steps)]
    command = shlex.join([*words, *(["--log"] if log else [])])
    try:
        picture(out, found, steps, log, command)
    except OSError as error:
        fail("draw schedule", f"cannot write {out}: {error.strerror or error}", 1)
    typer.echo(f"Written: {out}\nTo draw it again:\n  {command} --out {shlex.quote(str(out))}")


def places(schedule: Schedule, steps: int) -> np.ndarray:
    """Steps to draw a schedule at: evenly, and wherever it jumps both before and after."""
    even = np.linspace(0, steps, min(steps, POINTS) + 1)
    values = np.array([schedule(float(t)) for t in even])
    far = np.abs(np.diff(values)) > 0.02
    extra = [t for i in np.flatnonzero(far) for t in _edge(schedule, even[i], even[i + 1])]
    return np.unique(np.concatenate([even, extra]))


def _edge(schedule: Schedule, low: float, high: float) -> tuple[float, float]:
    """Where between two steps most of the change is: a jump from both sides."""
    for _ in range(40):
        middle = 0.5 * (low + high)
        left = abs(schedule(middle) - schedule(low))
        if left > abs(schedule(high) - schedule(middle)):
            high = middle
        else:
            low = middle
    return float(low), float(high)


def picture(out: Path, schedules: Sequence[Schedule], steps: int, log: bool, command: str) -> None:
    """Write the picture as a PNG, whole."""
    looks = [
        {"color": style.series(i).colour, "linestyle": style.DASHES[i % len(style.DASHES)]}
        for i in range(len(schedules))
    ]
    pairs = list(zip(schedules, looks, strict=True))
    handles = [Line2D([], [], linewidth=1.8, label=repr(f), **look) for f, look in pairs]
    sheet = style.sheet(
        "Schedules",
        f"the multiplier of the base value at each of {steps:,} steps",
        AXIS + HEIGHT + 0.1,
        handles,
        ["Base values are multiplied by these: the learning rate's mostly."],
        command,
        150,
        footer="",
    )
    axes = sheet.figure.add_axes(sheet.place(LEFT, RIGHT, AXIS, AXIS + HEIGHT))
    top = 0.0
    for schedule, look in pairs:
        at = places(schedule, steps)
        values = np.array([schedule(float(t)) for t in at])
        top = max(top, float(values.max()))
        axes.plot(
            at, np.where(values > 0, values, np.nan) if log else values, linewidth=1.8, **look
        )
    axes.set_xlim(0, steps)
    if log:
        axes.set_yscale("log")
        axes.set_ylim(bottom=max(1e-6, axes.get_ylim()[0]))
    else:
        axes.set_ylim(0, 1.04 * top)
    axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    axes.xaxis.set_major_formatter(lambda x, _: f"{x:,.0f}")
    style.chart(axes)
    style.label(axes, "step", "multiplier")
    style.save_png(sheet, out, command)


def register(app: typer.Typer) -> None:
    """Add the subcommand to `glissade draw`."""
    app.command("schedule")(draw_schedule)
