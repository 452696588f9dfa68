"""The picture of the training losses: all optimizers together, and each by itself."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from glissade.study.design import TUNING_SEEDS, RunResult, Settings
from glissade.study.report import Row
from glissade.study.tasks import Task

# Okabe and Ito's palette, told apart with any common colour vision; its yellow, unreadable on
# white, is left out.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#000000", "#E69F00", "#56B4E9")
DASHES: tuple[Any, ...] = ("-", (0, (4, 1.2)), (0, (1, 1)), (0, (6, 1, 1, 1)))
LABEL_GAP = 0.038  # of the axes' height
FLOOR = 1e-6  # a smaller loss is drawn here


@dataclass(frozen=True)
class Bundle:
    """One optimizer's curves and how they are drawn."""

    row: Row
    curves: tuple[np.ndarray, ...]  # one a final run, shorter where it diverged
    steps: int
    colour: str
    dash: Any

    @property
    def median(self) -> np.ndarray:
        """At each step; a diverged run counts as infinite from then on."""
        padded = np.full((len(self.curves), self.steps), np.inf)
        for line, curve in zip(padded, self.curves, strict=True):
            line[: len(curve)] = curve
        middle = np.median(padded, axis=0)
        return np.where(np.isfinite(middle), middle, np.nan)


def draw(
    path: Path, rows: Sequence[Row], results: Sequence[RunResult], settings: Settings, task: Task
) -> None:
    """Write the picture of the final runs as a PNG."""
    bundles = _bundles(rows, results, settings, task)
    columns = 2 if len(rows) > 1 else 1
    lines = math.ceil(len(rows) / columns)
    height = max(7.2, 1.6 * lines + 1.2)
    figure = Figure(figsize=(13.6, height), dpi=125, layout="constrained")
    engine: Any = figure.get_layout_engine()
    engine.set(rect=(0.004, 0.004, 0.992, 1 - 0.82 / height), w_pad=0.06, h_pad=0.06)
    grid = figure.add_gridspec(lines, 1 + columns, width_ratios=[3.3] + [1.0] * columns)
    _title(figure, settings, task)
    window = task.steps(1, settings.batch_size)
    main = _axes(figure, grid[:, 0], bundles)
    for bundle in bundles:
        _runs(main, bundle, alpha=0.35)
    main.set_xlabel("step")
    main.set_ylabel(f"training loss (mean of the last {window} steps, one epoch)")
    _name_ends(main, bundles)
    for place, bundle in enumerate(bundles):
        panel = _axes(figure, grid[place // columns, 1 + place % columns], bundles)
        for other in bundles:
            if other is not bundle and other.curves:
                panel.plot(_steps(other.median), other.median, color="#C4C4C4", linewidth=0.8)
        _runs(panel, bundle, alpha=0.8)
        _name_panel(panel, bundle)
        panel.tick_params(
            labelbottom=place + columns >= len(rows), labelleft=place % columns == 0, labelsize=8
        )
    figure.savefig(path)


def _bundles(
    rows: Sequence[Row], results: Sequence[RunResult], settings: Settings, task: Task
) -> list[Bundle]:
    window = task.steps(1, settings.batch_size)
    bundles = []
    for row in rows:
        style = settings.optimizers.index(row.optimizer)
        curves = tuple(
            smooth(result.losses, window)
            for result in results
            if result.key.optimizer == row.optimizer and result.key.phase == "final"
        )
        steps = task.steps(settings.epochs, settings.batch_size)
        dash = DASHES[style // len(COLOURS) % len(DASHES)]
        bundles.append(Bundle(row, curves, steps, COLOURS[style % len(COLOURS)], dash))
    return bundles


def smooth(losses: Sequence[float], window: int) -> np.ndarray:
    """Mean over the last `window` values, or over as many as there are."""
    total = np.concatenate([[0.0], np.cumsum(losses)])
    ends = np.arange(1, len(losses) + 1)
    starts = np.maximum(ends - window, 0)
    means: np.ndarray = (total[ends] - total[starts]) / (ends - starts)
    return means.clip(FLOOR)


def _axes(figure: Figure, where: Any, bundles: Sequence[Bundle]) -> Axes:
    """Axes with the one scale that all share."""
    axes = figure.add_subplot(where)
    ends = [curve for bundle in bundles for curve in bundle.curves if len(curve)]
    low = min((curve.min() for curve in ends), default=0.1)
    start = max((float(curve[0]) for curve in ends), default=1.0)
    axes.set_yscale("log")
    axes.set_ylim(0.7 * low, 2 * start)
    axes.set_xlim(0, max((bundle.steps for bundle in bundles), default=1))
    axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    axes.grid(True, color="#EAEAEA", linewidth=0.6)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    return axes


def _runs(axes: Axes, bundle: Bundle, alpha: float) -> None:
    """Every seed thin, a cross where one diverged, the median thick."""
    for curve in bundle.curves:
        axes.plot(_steps(curve), curve, color=bundle.colour, linewidth=0.7, alpha=alpha)
        if 0 < len(curve) < bundle.steps:
            axes.plot(len(curve), curve[-1], marker="x", color=bundle.colour, clip_on=False)
    if bundle.curves:
        median = bundle.median
        axes.plot(_steps(median), median, color=bundle.colour, linewidth=2.2, linestyle=bundle.dash)


def _name_ends(axes: Axes, bundles: Sequence[Bundle]) -> None:
    """Each name beside the end of its median, moved apart just as far as they need it."""
    from scipy.optimize import isotonic_regression  # type: ignore[import-untyped,unused-ignore]

    low, high = np.log(axes.get_ylim())
    ends = []
    for bundle in bundles:
        if bundle.curves and np.isfinite(bundle.median).any():
            last = np.flatnonzero(np.isfinite(bundle.median))[-1]
            place = (np.log(bundle.median[last]) - low) / (high - low)
            ends.append((float(np.clip(place, 0, 1)), bundle))
    ends.sort(key=lambda end: end[0])
    if not ends:
        return
    gaps = LABEL_GAP * np.arange(len(ends))
    places = isotonic_regression(np.array([place for place, _ in ends]) - gaps).x + gaps
    for (place, bundle), label in zip(ends, places, strict=True):
        axes.annotate(
            bundle.row.label,
            xy=(1.0, place),
            xytext=(1.045, float(label)),
            xycoords="axes fraction",
            textcoords="axes fraction",
            color=bundle.colour,
            fontsize=11,
            fontweight="bold",
            va="center",
            annotation_clip=False,
            arrowprops={
                "arrowstyle": "-",
                "color": bundle.colour,
                "linewidth": 0.9,
                "shrinkA": 1,
                "shrinkB": 0,
                "relpos": (0, 0.5),
            },
        )


def _name_panel(axes: Axes, bundle: Bundle) -> None:
    row = bundle.row
    axes.set_title(
        row.label, loc="left", color=bundle.colour, fontsize=10, fontweight="bold", pad=3
    )
    if row.lr is None:
        axes.text(
            0.5,
            0.5,
            "diverged at every\nlearning rate",
            transform=axes.transAxes,
            ha="center",
            va="center",
            fontsize=9,
        )
        return
    note = f"lr {row.lr:g}"
    if row.final_diverged:
        note += f", {row.final_diverged} of {row.final_runs} diverged"
    axes.set_title(note, loc="right", fontsize=8.5, color="#404040", pad=3)


def _title(figure: Figure, settings: Settings, task: Task) -> None:
    steps = task.steps(settings.epochs, settings.batch_size)
    height = figure.get_size_inches()[1]
    seeds = "1 fresh seed" if settings.seeds == 1 else f"each of {settings.seeds} fresh seeds"
    figure.text(
        0.009,
        1 - 0.12 / height,
        f"Training loss on {task.title}",
        va="top",
        fontsize=15,
        fontweight="bold",
    )
    figure.text(
        0.009,
        1 - 0.46 / height,
        f"{settings.epochs} epochs = {steps} steps of {settings.batch_size} images. Constant "
        f"learning rate, the best of {settings.lrs} by validation error over "
        f"{len(TUNING_SEEDS)} tuning seeds. Thin: {seeds}; thick: median.",
        va="top",
        fontsize=10.5,
        color="#404040",
    )


def _steps(curve: np.ndarray) -> np.ndarray:
    return np.arange(1, len(curve) + 1)
