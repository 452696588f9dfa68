"""The picture of a task: how training went, and who differs from the best."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator, NullFormatter

from glissade.draw import style
from glissade.study import statistics
from glissade.study.analysis import Curve, TaskAnalysis
from glissade.study.page.charts import lane, log_scale
from glissade.study.page.looks import looks, short
from glissade.study.page.rows import span
from glissade.study.page.words import interval

WIDTH, DPI = 10.0, 150
TEXT, SMALL = 9.5, 8.5  # points: at 1000 pixels 13 and 12
MARGIN = 0.14  # inches
LINE = 0.165  # of height of a line of names


def picture(path: Path, task: TaskAnalysis) -> None:
    """Write it as a PNG."""
    rows = max(1, len(task.rows) - 1)
    title = style.wrap(task.verdict, 13, (WIDTH - 2 * MARGIN) / 1.16)  # bold is wider
    head = MARGIN + 0.25 * len(title) + 0.2
    room = max(4.0, 0.62 * rows + 0.9)
    figure = Figure(figsize=(WIDTH, head + room), dpi=DPI, facecolor="white")
    at = head + room - MARGIN
    for line in title:
        _text(figure, MARGIN, at, line, fontsize=13, fontweight="bold")
        at -= 0.25
    seeds = len(task.rows[0].tests)
    about = f"{short(task.title, 80)}; {task.steps:,} steps, {seeds} fresh seed"
    _text(figure, MARGIN, at, about + ("s" if seeds != 1 else ""), fontsize=TEXT, color=style.GREY)

    names = max((style.width(short(row.label, 20), TEXT) for row in task.rows), default=0.0)
    bottom, top = 0.52, room - 0.38
    right = 5.7 - 1.12 * names - 0.16
    _curves(_place(figure, 0.62, right, bottom, top), task, top - bottom)
    _forest(_place(figure, 6.02, WIDTH - MARGIN, bottom, top), task)
    with style.whole(path) as temporary:
        figure.savefig(temporary, format="png", metadata={"Software": "Glissade"})


def _text(figure: Figure, x: float, y: float, text: str, **more: Any) -> None:
    wide, high = figure.get_size_inches()
    figure.text(x / wide, y / high, text, va="top", family=style.FONT, parse_math=False, **more)


def _place(figure: Figure, left: float, right: float, bottom: float, top: float) -> Axes:
    """Axes at inches from the lower left corner."""
    wide, high = figure.get_size_inches()
    return figure.add_axes(
        (left / wide, bottom / high, (right - left) / wide, (top - bottom) / high)
    )


def _finish(axes: Axes, title: str, x: str) -> None:
    style.chart(axes)
    axes.set_title(title, loc="left", fontsize=TEXT, fontweight="bold", family=style.FONT)
    axes.set_xlabel(x, fontsize=TEXT, family=style.FONT, parse_math=False)
    axes.tick_params(labelsize=SMALL, labelfontfamily=style.FONT)


def _curves(axes: Axes, task: TaskAnalysis, height: float) -> None:
    """The validation metric: every seed thin, the median thick, the name beside its end."""
    own = looks(task.budget)
    values = [x for curve in task.curves for x in curve.validation]
    if task.direction == "min" and log_scale(values):
        axes.set_yscale("log")
        axes.yaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:g}"))
        decades = math.log10(max(values) / min(values))
        few = FuncFormatter(lambda x, _: f"{x:g}" if f"{x:.0e}"[0] in "25" else "")
        axes.yaxis.set_minor_formatter(few if decades < 3 else NullFormatter())
        axes.tick_params(which="minor", labelsize=SMALL, labelfontfamily=style.FONT)
    ends: list[tuple[float, str, str]] = []
    for row in task.rows:
        curves = [x for x in task.curves if x.arm == row.arm]
        look = own[row.arm]
        for curve in curves:
            axes.plot(curve.steps, curve.validation, color=look.colour, linewidth=0.6, alpha=0.3)
            if curve.diverged_at is not None and curve.steps:
                axes.plot(curve.steps[-1], curve.validation[-1], "x", color=look.colour, zorder=4)
        steps, middle = _median(task, curves, row.runs)
        if steps:
            axes.plot(steps, middle, color=look.colour, linewidth=2.2, linestyle=look.lines)
            ends.append((middle[-1], short(row.label, 20), look.colour))
    axes.set_xlim(0, task.steps)
    axes.xaxis.set_major_locator(MaxNLocator(5, integer=True, steps=[1, 2, 2.5, 5, 10]))
    if not ends:
        _nothing(axes, "no run on a fresh seed ended")
    _finish(axes, f"Validation {task.metric}; thick: median of the seeds", "step")
    _names(axes, ends, height)


def _median(
    task: TaskAnalysis, curves: Sequence[Curve], runs: int
) -> tuple[list[int], list[float]]:
    """As far as less than half of the runs are lost."""
    sign = task.units.sign
    by_step: dict[int, list[float]] = {}
    for curve in curves:
        for step, value in zip(curve.steps, curve.validation, strict=True):
            by_step.setdefault(step, []).append(sign * value)
    middle = {
        step: statistics.median(found + [math.inf] * (runs - len(found)))
        for step, found in sorted(by_step.items())
    }
    fine = {step: sign * x for step, x in middle.items() if math.isfinite(x)}
    return [*fine], [*fine.values()]


def _names(axes: Axes, ends: list[tuple[float, str, str]], height: float) -> None:
    """Moved apart just as far as they need it."""
    from scipy.optimize import isotonic_regression

    if not ends:
        return
    to = axes.transData + axes.transAxes.inverted()
    places = [float(to.transform((1.0, value))[1]) for value, *_ in ends]
    order = sorted(range(len(ends)), key=lambda i: places[i])
    gaps = LINE / height * np.arange(len(ends))
    sure = isotonic_regression(np.array([places[i] for i in order]) - gaps).x
    sure = np.clip(sure, 0, max(0.0, 1 - gaps[-1])) + gaps
    for i, place in zip(order, sure, strict=True):
        _, label, colour = ends[i]
        axes.annotate(
            label, xy=(1, places[i]), xytext=(1.03, float(place)), xycoords="axes fraction",
            textcoords="axes fraction", color=colour, fontsize=TEXT, fontweight="bold",
            va="center", annotation_clip=False, family=style.FONT, parse_math=False,
            arrowprops={"arrowstyle": "-", "color": colour, "linewidth": 0.8, "shrinkA": 1,
                        "shrinkB": 0, "relpos": (0, 0.5)},
        )  # fmt: skip


def _nothing(axes: Axes, text: str) -> None:
    axes.text(
        0.5, 0.5, text, transform=axes.transAxes, ha="center", fontsize=TEXT, family=style.FONT
    )


def _forest(axes: Axes, task: TaskAnalysis) -> None:
    """Everyone less the leader, pair by pair: to the right is worse."""
    axes.set_yticks([])
    if not task.differences:
        _nothing(axes, "nothing to compare")
        _finish(axes, "Differences to the best", "")
        return
    leader, own = task.rows[0], looks(task.budget)
    by = [task.between(row.arm, leader.arm) for row in task.rows[1:]]
    low, high = span(by)
    axes.set_xlim(low, high)
    axes.set_ylim(0.5 - len(by), 0.5)
    inner = 0.015 * (high - low)
    for i, (row, one) in enumerate(zip(task.rows[1:], by, strict=True)):
        colour, y = own[row.arm].colour, -i - 0.3
        axes.plot([0, 0], [0.14 - i, -0.42 - i], color="black", linewidth=1.2, zorder=1)
        if one.interval is not None:
            left, right = (min(max(x, low), high) for x in (one.interval.low, one.interval.high))
            axes.plot([left, right], [y, y], color=colour, alpha=0.35, linewidth=8,
                      solid_capstyle="butt")  # fmt: skip
        for seed, d in enumerate(one.each):
            marker = "x" if math.isinf(d) else "o" if low <= d <= high else "<" if d < 0 else ">"
            lift = 0.24 + lane(seed, len(one.each))
            axes.plot(min(max(d, low + inner), high - inner), y + lift, marker, color=colour,
                      markersize=3.8, alpha=0.75)  # fmt: skip
        if math.isfinite(one.typical):
            axes.plot(one.typical, y, "D", color=colour, markersize=8, markeredgecolor="white",
                      zorder=5)  # fmt: skip
        told = "" if one.interval is None else f"   95 %: {interval(one)}"
        told += f"   p = {one.adjusted:.2g}"
        name = axes.annotate(
            short(row.label, 20), xy=(0, 0.29 - i), xycoords=axes.get_yaxis_transform(),
            color=colour, fontsize=TEXT, fontweight="bold", va="center", family=style.FONT,
            parse_math=False, xytext=(3, 0), textcoords="offset points", zorder=6,
        )  # fmt: skip
        axes.annotate(
            told, xy=(1, 0.5), xycoords=name, fontsize=SMALL, va="center", family=style.FONT,
            parse_math=False, zorder=6,
        )  # fmt: skip
    unit = {"%": "points"}.get(task.units.unit, task.units.unit)
    _finish(
        axes, f"Test {task.units.name} less that of {short(leader.label, 20)}, by seed",
        f"difference, {unit}" if unit else "difference",
    )  # fmt: skip
    for x, side, text in ((0.0, "left", "◂ better"), (1.0, "right", "worse ▸")):
        axes.annotate(
            text, xy=(x, 0), xycoords="axes fraction", xytext=(0, -27.6), ha=side, fontsize=SMALL,
            textcoords="offset points", family=style.FONT, parse_math=False,
        )  # fmt: skip
