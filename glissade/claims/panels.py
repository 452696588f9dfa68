"""The charts of claims, as panels of a picture as narrow as a phone."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.lines import Line2D
from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter

from glissade.claims.charts import Chart, Line, Lines, Maps, Paths
from glissade.claims.words import number
from glissade.draw import flat, style, surfaces
from glissade.draw.rates import Outcome
from glissade.draw.scene import Scene
from glissade.study import heatmap_picture

WIDTH = 5.2  # inches; on a phone a point is nearly a pixel
LEFT = 0.82  # of ticks and the label of an axis
HIGH = 2.5  # a chart
AXIS = 0.52  # below it
ROW = 1.62 * style.BODY / 72  # of a legend
NAMES = 1.2  # names wider than that have no room beside a chart
NEXT = 0.19  # from a name to the next below
MAP = 2.0


@dataclass(frozen=True)
class Panel:
    """Something to draw, and the room it needs."""

    height: float  # inches
    draw: Callable[[style.Sheet, float], None]  # from that height of the sheet's room downwards


def panel(chart: Chart) -> Panel:
    """Of any kind of chart."""
    if isinstance(chart, Lines):
        return _lines(chart)
    return _maps(chart) if isinstance(chart, Maps) else _paths(chart)


# Lines and clouds


def _lines(chart: Lines) -> Panel:
    beside = _beside(chart.lines)
    handles = [] if beside else [_handle(i, line) for i, line in enumerate(chart.lines)]
    rows = _rows(handles)
    right = WIDTH - style.MARGIN - (beside + 0.1 if beside else 0.1)

    head = style.wrap(chart.y, style.BODY, right - style.MARGIN)  # above: beside it takes width
    above = len(head) * style.LINE * style.BODY + 0.1
    below = AXIS + chart.x.count("\n") * style.LINE * style.BODY

    def draw(sheet: style.Sheet, top: float) -> None:
        bottom = top - above - HIGH
        axes = sheet.figure.add_axes(sheet.place(LEFT, right, bottom, bottom + HIGH))
        left, at, _, _ = sheet.place(style.MARGIN, right, top, top)
        sheet.figure.text(left, at, "\n".join(head), va="top", fontsize=style.BODY,
                          family=style.FONT, linespacing=1.2, parse_math=False)  # fmt: skip
        style.chart(axes)
        for i, line in enumerate(chart.lines):
            _line(axes, i, line)
        points = [point for line in chart.lines for point in _finite(line)]
        _scaled(axes, "x", [x for x, _ in points], chart.log_x, right - LEFT)
        _scaled(axes, "y", [y for _, y in points], chart.log_y, HIGH)
        style.label(axes, chart.x, "")
        if beside:
            _named(axes, chart.lines)
        else:
            _legend(sheet, handles, bottom - below)

    return Panel(above + HIGH + below + rows * ROW, draw)


def _line(axes: Axes, i: int, line: Line) -> None:
    look = style.series(i)
    thick = max(3.4 - 0.6 * i, 1.6)  # thick below thin: where lines are the same, all are seen
    if line.joined:
        axes.plot(line.x, line.y, color=look.colour, linestyle=look.dash, marker=look.marker,
                  markersize=3.5 + thick, linewidth=thick, markeredgecolor="white",
                  markeredgewidth=0.5, markevery=max(1, len(line.x) // 12))  # fmt: skip
    else:
        axes.plot(line.x, line.y, color=look.colour, linestyle="none", marker=look.marker,
                  markersize=4.5, alpha=0.6, markeredgewidth=0)  # fmt: skip


def _handle(i: int, line: Line) -> Line2D:
    look = style.series(i)
    gone = "" if _finite(line) else " (nothing to show)"
    return Line2D(
        [], [], color=look.colour, linestyle=look.dash if line.joined else "none", linewidth=2.2,
        marker=look.marker, markersize=6, label=line.label + gone,
    )  # fmt: skip


def _finite(line: Line) -> list[tuple[float, float]]:
    return [(x, y) for x, y in zip(line.x, line.y, strict=True) if math.isfinite(x + y)]


def _scaled(axes: Axes, which: str, values: Sequence[float], log: bool, inches: float) -> None:
    """A log scale only where it has ticks to read: for positive values that differ enough."""
    axis: Axis = getattr(axes, f"{which}axis")
    if not values:
        axis.set_ticks([])
        return
    low, high = min(values), max(values)
    if not log or low <= 0 or high < 4 * low:
        axis.set_major_locator(MaxNLocator(5, steps=[1, 2, 2.5, 5, 10]))
    else:
        axes.set(**{f"{which}scale": "log"})
        decade = inches / (1.1 * math.log10(high / low))
        room = max(style.width(number(x, 1), style.BODY) for x in (low, high)) + 0.08
        subs = _subs(decade, room if which == "x" else 0.2)
        axis.set_major_locator(LogLocator(subs=subs, numticks=7 if subs == (1,) else 20))
        axis.set_minor_formatter(NullFormatter())
    axis.set_major_formatter(lambda x, place: number(x, 6))


def _subs(decade: float, room: float) -> tuple[int, ...]:
    """As many ticks a decade as have room for their numbers, in inches."""
    for subs in ((1, 2, 3, 5), (1, 2, 5), (1, 3)):
        gaps = (math.log10(b / a) for a, b in itertools.pairwise((*subs, 10)))
        if min(gaps) * decade > room:
            return subs
    return (1,)


def _beside(lines: Sequence[Line]) -> float:
    """The width of the names at the lines' ends; 0 if they belong into a legend."""
    widest = max((style.width(line.label, style.BODY * style.BOLD) for line in lines), default=0.0)
    if widest > NAMES or len(lines) > HIGH / NEXT:
        return 0.0
    return widest if all(line.joined and _finite(line) for line in lines) else 0.0


def _named(axes: Axes, lines: Sequence[Line]) -> None:
    """Each name at its line's right end, moved up or down just as far as it has to be."""
    from scipy.optimize import isotonic_regression

    axes.get_ylim()  # matplotlib puts scaling off, and transforms do not ask for it
    turn = axes.transData + axes.transAxes.inverted()
    ends = np.array([turn.transform(_finite(line)[-1])[1] for line in lines])
    order = np.argsort(ends, kind="stable")
    gaps = NEXT / HIGH * np.arange(len(lines))
    places = np.clip(isotonic_regression(ends[order] - gaps).x, 0, 1 - gaps[-1]) + gaps
    for i, place in zip(order, places, strict=True):
        axes.annotate(
            lines[i].label, (1, ends[i]), (1.02, place), "axes fraction", "axes fraction",
            color=style.series(int(i)).colour, fontsize=style.BODY, fontweight="bold", va="center",
            family=style.FONT, parse_math=False, annotation_clip=False,
        )  # fmt: skip


# Legends


def _columns(handles: Sequence[Line2D]) -> int:
    widest = max(style.width(str(one.get_label()), style.BODY) for one in handles)
    column = widest + 4.6 * style.BODY / 72
    return max(1, min(len(handles), int((WIDTH - 2 * style.MARGIN) / column)))


def _rows(handles: Sequence[Line2D]) -> int:
    return math.ceil(len(handles) / _columns(handles)) if handles else 0


def _legend(sheet: style.Sheet, handles: Sequence[Line2D], top: float) -> None:
    """From that height downwards."""
    left, bottom, _, _ = sheet.place(style.MARGIN, WIDTH, top, top)
    sheet.figure.legend(
        handles=list(handles), loc="upper left", ncols=_columns(handles), frameon=False,
        bbox_to_anchor=(left, bottom), borderaxespad=0, borderpad=0, handlelength=2.6,
        handletextpad=0.5, columnspacing=1.5, labelspacing=0.45,
        prop={"family": style.FONT, "size": style.BODY},
    )  # fmt: skip


# Maps


def _maps(chart: Maps) -> Panel:
    """One below the other."""
    left, right = LEFT, WIDTH - 1.05
    maps, heads = [], []
    for one in chart.maps:
        lines = style.wrap(one.label, style.BODY * style.BOLD, right - left - 0.75)
        maps.append(replace(one, label="\n".join(lines)))
        heads.append(len(lines) * style.LINE * style.BODY + 0.1)
    height = sum(heads) + len(maps) * (MAP + AXIS)

    def draw(sheet: style.Sheet, top: float) -> None:
        norm, ends = heatmap_picture.scale(maps)
        at = top
        image: Any = None
        for one, head in zip(maps, heads, strict=True):
            at -= head + MAP
            axes = sheet.figure.add_axes(sheet.place(left, right, at, at + MAP))
            image = heatmap_picture.panel(axes, one, norm, first=True)
            at -= AXIS
        if any(one.best for one in maps):
            place = sheet.place(right + 0.15, right + 0.3, at + AXIS, top - heads[0])
            bar = sheet.figure.add_axes(place)
            heatmap_picture.key(sheet.figure, bar, image, ends, maps[0].units)

    return Panel(height, draw)


# Ways over a surface


def _paths(chart: Paths) -> Panel:
    scene = Scene(_surface(chart), Outcome((), ""), 1, 0, "")
    marks = flat.marks(scene)
    handles = [*(_handle(i, line) for i, line in enumerate(chart.lines)), *marks]
    high = 3.2

    def draw(sheet: style.Sheet, top: float) -> None:
        bottom = top - 0.08 - high
        axes = sheet.figure.add_axes(
            sheet.place(LEFT, WIDTH - style.MARGIN - 0.1, bottom, bottom + high)
        )
        flat.ground(axes, scene)
        axes.yaxis.set_label_coords(-0.12, 0.5)
        axes.xaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 2.5, 5, 10]))
        for i, line in enumerate(chart.lines):
            _way(axes, i, line)
        _legend(sheet, handles, bottom - AXIS)

    return Panel(0.08 + high + AXIS + _rows(handles) * ROW, draw)


def _surface(chart: Paths) -> surfaces.Surface:
    """With the start from which the ways go."""
    surface = surfaces.lookup(chart.surface)
    starts = [points[0] for points in map(_finite, chart.lines) if points]
    return replace(surface, start=starts[0]) if starts else surface


def _way(axes: Axes, i: int, line: Line) -> None:
    look = style.series(i)
    thick = max(3.2 - 0.6 * i, 1.4)
    if line.joined:
        axes.plot(line.x, line.y, color="white", linewidth=thick + 1.4, alpha=0.75, zorder=3)
        axes.plot(line.x, line.y, color=look.colour, linewidth=thick, linestyle=look.dash, zorder=4)
        points = _finite(line)[-1:]
    else:
        points = _finite(line)
    axes.plot(
        [x for x, _ in points], [y for _, y in points], color=look.colour, linestyle="none",
        marker=look.marker, markersize=6.5, markeredgecolor="white",
        markeredgewidth=0.8, zorder=6,
    )  # fmt: skip
