"""`glissade draw sweep`: learning rate against optimizer, the loss that training ends on."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import typer
from numpy.typing import NDArray

from glissade.checks import nearest
from glissade.digits import log_spaced
from glissade.draw import desk
from glissade.draw.model import BUILT_IN, Problem, opened
from glissade.draw.training import LOST, one_thread, rehearse, train
from glissade.spec import Spec

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MOST = 9
WORSE = 2.0  # a run that ends on a loss so many times its start's has diverged
BEYOND = 3.0  # the sweep goes so far over the highest learning rate that is usual
FOOTER = "One task and one model, without schedules: this explains, it does not rank."
LEFT, RIGHT, MAP, AXIS, ROW = 0.98, 7.72, 4.9, 0.58, 0.13  # inches

BEFORE: Any = {"color": "#808080", "linewidth": 1.2, "linestyle": (0, (2, 2))}

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Swept:
    """What the picture is made from."""

    title: str
    specs: tuple[Spec, ...]
    rates: tuple[float, ...]
    losses: Array  # (optimizers, rates, seeds); infinite where training diverged
    start: float  # the median loss before any step
    epochs: int
    steps: int
    command: str
    batch: str = "64 images"

    @property
    def seeds(self) -> int:
        return int(self.losses.shape[2])

    @property
    def gone(self) -> int:
        """Runs that diverged."""
        return int(np.isinf(self.losses).sum())

    def median(self, i: int) -> Array:
        """Over the seeds; of an even number the worse one of the two in the middle."""
        middle: Array = np.sort(self.losses[i], axis=1)[:, self.seeds // 2]
        return middle


def grid(specs: Sequence[Spec], points: int, given: tuple[float, float] | None) -> list[float]:
    """The learning rates, the same for all: log-spaced, to three digits."""
    low = min(spec.lr_range[0] for spec in specs)
    high = BEYOND * max(spec.lr_range[1] for spec in specs)
    low, high = given or (low, high)
    return log_spaced(low, high, points)


def sweep(
    task: str,
    specs: Sequence[Spec],
    rates: Sequence[float],
    seeds: int,
    epochs: int,
    command: str,
    tick: desk.Tick | None = None,
) -> Swept:
    """Train everything from every seed at every rate; losses are of the whole train part."""
    losses = np.full((len(specs), len(rates), seeds), np.inf)
    starts = []
    done = 0
    load = _counted(task)
    for seed in range(seeds):
        problem = load(seed)
        steps = epochs * problem.epoch
        with one_thread(problem):
            starts.append(problem.whole())
            for i, j in np.ndindex(len(specs), len(rates)):
                run = train(problem, specs[i], rates[j], steps, seed)
                if not run.diverged and run.loss <= WORSE * starts[-1]:
                    losses[i, j, seed] = run.loss
                done += 1
                if tick is not None:
                    tick(done / losses.size)
    title = problem.title
    start = float(np.median(starts))
    batch = problem.batches.removeprefix("mini-batches of ")
    return Swept(title, tuple(specs), tuple(rates), losses, start, epochs, steps, command, batch)


def _counted(task: str) -> Callable[[int], Problem]:
    """What makes the problem of a seed, of a task whose epochs can be counted."""
    if task not in BUILT_IN and ".py" not in task:
        raise ValueError(
            f"unknown task {task!r}; known are {', '.join(BUILT_IN)}, and your own, as my.py:task"
            f"{nearest(task, BUILT_IN)}"
        )
    load = opened(task)
    if not load(0).epoch:
        raise ValueError(
            f"task {task!r}: a pair (model, loss) does not say how many steps an epoch has; write "
            "a task, as for glissade compare"
        )
    return load


# The picture


def png(swept: Swept, path: Path) -> None:
    """Write it."""
    from matplotlib.lines import Line2D

    from glissade.draw import style

    handles = []
    for i, spec in enumerate(swept.specs):
        s = style.series(i)
        label = f"{spec.label}: {_best(swept, i)}"
        handles.append(
            Line2D([], [], color=s.colour, linestyle=s.dash, marker=s.marker, linewidth=2,
                   markersize=7, markeredgecolor="white", markeredgewidth=0.7, label=label)
        )  # fmt: skip
    handles.append(Line2D([], [], label="loss before training", **BEFORE))
    if swept.gone:
        handles.append(
            Line2D([], [], linestyle="none", marker="x", color="#404040", markersize=7,
                   markeredgewidth=1.8, label="diverged (the more seeds, the bolder)")
        )  # fmt: skip
    above = 0.14 + ROW * len(swept.specs) if swept.gone else 0.05
    sheet = style.sheet(
        "Learning rate against optimizer", swept.title, AXIS + MAP + above, handles,
        _words(swept), swept.command, dpi=200, footer=FOOTER,
    )  # fmt: skip
    axes = sheet.figure.add_axes(sheet.place(LEFT, RIGHT, AXIS, AXIS + MAP))
    _axes(axes, swept)
    for i in range(len(swept.specs)):
        _curve(axes, swept, i)
    style.save_png(sheet, path, swept.command)


def _axes(axes: Axes, swept: Swept) -> None:
    from glissade.draw import style

    finite = swept.losses[np.isfinite(swept.losses)]
    low = float(finite.min()) if finite.size else 0.1 * swept.start
    axes.set_xscale("log")
    axes.set_yscale("log")
    step = (swept.rates[-1] / swept.rates[0]) ** (0.5 / max(len(swept.rates) - 1, 1))
    axes.set_xlim(swept.rates[0] / step, swept.rates[-1] * step)
    axes.set_ylim(low / 1.6, 1.25 * WORSE * swept.start)
    axes.axhline(swept.start, **BEFORE, zorder=1)
    style.chart(axes)
    style.label(axes, "learning rate", "training loss at the end")


def _curve(axes: Axes, swept: Swept, i: int) -> None:
    """The median with its marks, the range behind it, and above what diverged."""
    from glissade.draw import style

    s = style.series(i)
    rates, top = np.array(swept.rates), axes.get_ylim()[1]
    losses = np.minimum(swept.losses[i], top)
    middle = np.minimum(swept.median(i), top)
    if swept.seeds > 1:
        axes.fill_between(rates, losses.min(axis=1), losses.max(axis=1), color=s.colour,
                          alpha=0.14, linewidth=0, zorder=2)  # fmt: skip
    axes.plot(rates, middle, color=s.colour, linestyle=s.dash, linewidth=2.2, zorder=4)
    alive = np.isfinite(swept.median(i))
    axes.plot(rates[alive], middle[alive], linestyle="none", marker=s.marker, color=s.colour,
              markersize=7.5, markeredgecolor="white", markeredgewidth=0.8, zorder=5)  # fmt: skip
    gone = np.isinf(swept.losses[i]).sum(axis=1)
    height = 1 + (0.08 + ROW * i) / MAP  # each optimizer's own row: none hides another's
    for lr, count in zip(rates, gone, strict=True):
        if count:
            axes.plot([lr], [height], transform=axes.get_xaxis_transform(), linestyle="none",
                      marker="x", color=s.colour, markersize=6.5, clip_on=False, zorder=6,
                      markeredgewidth=1 + 1.6 * count / swept.seeds)  # fmt: skip


def _best(swept: Swept, i: int) -> str:
    middle = swept.median(i)
    if not np.isfinite(middle).any():
        return "diverged everywhere"
    at = int(np.argmin(middle))
    edge = " (edge)" if at in (0, len(middle) - 1) else ""
    return f"best at lr {swept.rates[at]:.3g}{edge}"


def _words(swept: Swept) -> list[str]:
    middle = {1: "", 2: "the worse of 2 seeds"}.get(
        swept.seeds, f"the median of {swept.seeds} seeds"
    )
    seeds = f"Line: {middle}; band: their range." if middle else "One seed."
    gone = f"{swept.gone or 'None'} of {swept.losses.size} runs diverged"
    if swept.gone:
        gone += (
            f" (✕ at the top edge, a row for each optimizer: a loss not finite, over {LOST:,.0f} "
            f"times the start’s on the way, or over {WORSE:g} times at the end)"
        )
    rates = (
        f"Learning rates: the same {len(swept.rates)} for all, log-spaced from "
        f"{_short(swept.rates[0])} to {_short(swept.rates[-1])}, constant in each run."
    )
    return [
        f"Loss over the whole train part, in eval mode, after {swept.epochs} "
        f"epoch{'s' * (swept.epochs > 1)} = "
        f"{swept.steps} steps of {swept.batch}. Starts and batches: by seed, the same for all "
        f"optimizers. {seeds} {gone}.",
        rates,
    ]


def _short(number: float) -> str:
    return f"{number:g}".replace("e-0", "e-")


# The command


def sweep_command(
    task: Annotated[
        str, typer.Argument(metavar="TASK", help=f"{', '.join(BUILT_IN)}, or my.py:task.")
    ] = "digits",
    optimizers: Annotated[
        str, typer.Option("-o", "--optimizers", help="As in 'sgd, lookahead(adam, k=5), lamb'.")
    ] = "sgd,momentum,adam,lion",
    points: Annotated[int, typer.Option(help="Learning rates, 3 to 101.")] = 11,
    seeds: Annotated[int, typer.Option(help="Runs at each learning rate.")] = 2,
    epochs: Annotated[int, typer.Option(help="Of each run.")] = 10,
    between: Annotated[
        str | None,
        typer.Option(
            "--range",
            metavar="LOW,HIGH",
            help="Of the learning rates  [default: what is usual for these, and 3 times more]",
        ),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder for the picture  [default: glissade-out/draw-...]")
    ] = None,
) -> None:
    """Draw the final training loss over a sweep of the learning rate, several optimizers.

    Example: glissade draw sweep digits -o sgd,momentum,adam,lion --points 11 --seeds 2
    """
    with desk.errors("draw sweep"):
        began = time.monotonic()
        first = _counted(task)(0)
        specs = desk.asked(optimizers, MOST)
        for spec in specs:
            if spec.lr is not None:
                raise ValueError(f"{spec.text}: its learning rate is what is swept; leave lr out")
        for option, value, low, high in (
            ("--points", points, 3, 101), ("--seeds", seeds, 1, 100), ("--epochs", epochs, 1, 1000)
        ):  # fmt: skip
            desk.between(option, value, low, high)
        rates = grid(specs, points, None if between is None else _range(between))
        rehearse(first, specs, 0)
        folder = desk.folder(out, "sweep")
        words = ["sweep", task, "-o", ",".join(spec.text for spec in specs)]
        words += ["--points", str(points), "--seeds", str(seeds), "--epochs", str(epochs)]
        words += [] if between is None else ["--range", between]
        command = desk.again(words)
        with desk.progress(f"sweep on {first.name}") as report:
            tick = desk.part(report, f"{len(specs) * points * seeds} runs")
            swept = sweep(task, specs, rates, seeds, epochs, command, tick)
        path = folder / f"sweep-{first.name}.png"
        png(swept, path)
        desk.done(began, [path], command, folder)


def _range(text: str) -> tuple[float, float]:
    try:
        low, high = (float(word) for word in text.split(","))
    except ValueError:
        low = high = math.nan
    if not 0 < low < high < math.inf:
        raise ValueError(f"--range {text}: write LOW,HIGH, two numbers over 0")
    return low, high


def register(app: typer.Typer) -> None:
    """Add `sweep`."""
    app.command("sweep")(sweep_command)
