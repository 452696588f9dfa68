"""The picture of a claim: what was run, and each part's seeds with its interval and threshold."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import LogLocator, NullFormatter

from glissade.claims.base import Chart, Found, Part
from glissade.draw import style
from glissade.study import units

COLOURS = {"reproduced": "#00755a", "not reproduced": "#b03a00", "inconclusive": "#505050"}
HIGH = 1.05  # inches for a part
LONG = 12  # letters of a name that has room beside the chart


def picture(path: Path, found: Found, command: str) -> None:
    """Write it as a PNG."""
    parts = len(found.parts)
    room = 2.9 + parts * HIGH + 0.75
    claim = found.claim
    sheet = style.sheet(
        f"{claim.name}: {found.verdict}", claim.saying, room,
        [], (f"Tried on {claim.scale}. {claim.plan}",
             f"Dots: {claim.seeds} seeds; bar: 95 % interval of the typical value (diamond); "
             "dashed: the threshold that was set before, right of it as claimed. Source: "
             f"{claim.source}."),
        command, 150, footer="",
    )  # fmt: skip
    above = sheet.figure.add_axes(sheet.place(0.85, 6.6, parts * HIGH + 0.95, room - 0.15))
    _lines(above, found)
    for i, part in enumerate(found.parts):
        bottom = (parts - 1 - i) * HIGH + 0.3
        below = sheet.figure.add_axes(sheet.place(0.4, 7.6, bottom, bottom + 0.42))
        _part(below, part)
    style.save_png(sheet, path, command)


def _lines(axes: Axes, found: Found) -> None:
    chart = found.chart
    style.chart(axes)
    ends = []
    for i, line in enumerate(chart.lines):
        look = style.series(i)
        axes.plot(line.x, line.y, color=look.colour, linestyle=look.dash, marker=look.marker,
                  markersize=5, linewidth=2)  # fmt: skip
        finite = [(x, y) for x, y in zip(line.x, line.y, strict=True) if np.isfinite(y)]
        if finite:
            ends.append((finite[-1], line.label, look.colour))
    if chart.log_x:
        axes.set_xscale("log")
    if chart.log_y and _wide(chart):
        axes.set_yscale("log")
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.yaxis.set_major_formatter(lambda y, place: units.digits(y).removesuffix(".00"))
        axes.yaxis.set_minor_formatter(NullFormatter())
    _named(axes, ends)
    style.label(axes, chart.x, chart.y)


def _wide(chart: Chart) -> bool:
    """Whether the values differ enough for a log scale to have two ticks to read."""
    values = [y for line in chart.lines for y in line.y if np.isfinite(y)]
    return bool(values) and min(values) > 0 and max(values) > 4 * min(values)


def _named(axes: Axes, ends: list[tuple[tuple[float, float], str, str]]) -> None:
    """Each line's name at its right end, one above the other where they would meet; long names
    in a legend."""
    if max((len(label) for _, label, _ in ends), default=0) > LONG:
        handles = axes.get_lines()
        axes.legend(handles, [label for _, label, _ in ends], fontsize=style.CAPTION)
        return
    turn = axes.transData + axes.transAxes.inverted()
    at = [turn.transform(end)[1] for end, _, _ in ends]
    free = 0.0
    for i in np.argsort(at):
        _, label, colour = ends[i]
        free = max(free, float(at[i]))
        axes.annotate(label, (1.01, free), xycoords="axes fraction", color=colour, va="center",
                      fontsize=style.BODY, fontweight="bold", annotation_clip=False)  # fmt: skip
        free += 0.09


def _part(axes: Axes, part: Part) -> None:
    colour = COLOURS[part.verdict]
    each = [x for x in part.each if np.isfinite(x)]
    offsets = np.linspace(0.62, 0.95, len(each)) if len(each) > 1 else [0.75]
    axes.scatter(each, offsets, s=16, color=colour, alpha=0.6, linewidths=0)
    low, high = part.interval.low, part.interval.high
    if np.isfinite(low) and np.isfinite(high):
        axes.plot([low, high], [0.3, 0.3], color=colour, linewidth=6, alpha=0.35,
                  solid_capstyle="butt")  # fmt: skip
    axes.plot([part.typical], [0.3], "D", color=colour, markersize=7)
    axes.axvline(part.threshold, color="black", linewidth=1.2, linestyle=(0, (4, 2)))
    axes.set_ylim(0, 1.05)
    axes.yaxis.set_visible(False)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.tick_params(labelsize=style.CAPTION)
    axes.margins(x=0.08)
    said = f"{part.what}: {part.typical:.3g} ({low:.3g} to {high:.3g})"
    lines = style.wrap(f"{said}: {part.verdict}", style.CAPTION, 6.9)
    axes.set_title("\n".join(lines), loc="left", fontsize=style.CAPTION, color=colour)
