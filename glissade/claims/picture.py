"""The picture of a claim: what was run, and each part's values with interval and threshold."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from glissade.claims import panels, words
from glissade.claims.base import Found, Part
from glissade.claims.charts import Maps, Paths
from glissade.claims.panels import WIDTH
from glissade.draw import style, surfaces

COLOURS = {"reproduced": "#00755a", "not reproduced": "#b03a00", "inconclusive": "#505050"}
LEFT, RIGHT = 0.25, WIDTH - 0.25  # inches
HIGH = 0.5  # of a part with several values
SINGLE = 0.28  # of a part with one
TICKS, APART = 0.25, 0.2
LINE = style.LINE * style.CAPTION


def picture(path: Path, found: Found, command: str) -> None:
    """Write it as a PNG."""
    style.save_png(drawn(found, command), path, command)


def drawn(found: Found, command: str) -> style.Sheet:
    """The picture, as narrow as a phone."""
    claim, above = found.claim, panels.panel(found.chart)
    parts = [(part, _said(part)) for part in found.parts]
    room = above.height + sum(_height(part, said) for part, said in parts) + 0.1
    sheet = style.sheet(
        f"{claim.name}: {found.verdict}", claim.saying, room, [], _caption(found), command, 200,
        footer="", width=WIDTH,
    )  # fmt: skip
    above.draw(sheet, room)
    top = room - above.height
    for part, said in parts:
        _part(sheet, part, said, top)
        top -= _height(part, said)
    return sheet


def _caption(found: Found) -> list[str]:
    """What the signs mean, and the scale; the plan is on the page and in plan.json."""
    several = [part for part in found.parts if len(part.each) > 1]
    single = len(several) < len(found.parts)
    signs = []
    if several:
        signs.append("Dots: single values; diamond: the typical one; bar: its 95 % interval.")
        if not all(words.finite(x) for part in several for x in part.each):
            signs.append("Triangles at an end, and ∞: lost runs.")
    if single:
        signs.append(
            "A diamond alone: computed without chance." if several
            else "Diamond: the value, computed without chance."
        )  # fmt: skip
    signs.append("Dashed: the threshold, set before; right of it is as claimed.")
    if isinstance(found.chart, Maps):
        unit = found.chart.maps[0].units
        signs.append(
            f"Maps: {unit.name}; dark is good, the ring is the best, a cross a lost run. R²: how "
            "much of the map a sum of a row and a column explains."
        )
    if isinstance(found.chart, Paths):
        signs.append(f"Background: {surfaces.lookup(found.chart.surface).title}; darker is higher.")
    return [
        *filter(None, [words.edges(found.edges)]), " ".join(signs),
        f"Tried on {found.claim.scale}.",
    ]  # fmt: skip


# Parts


def _said(part: Part) -> tuple[list[str], list[str]]:
    """What was measured, and what came out; in lines."""
    inches = RIGHT - LEFT - 0.1
    return (
        style.wrap(part.measure.what, style.CAPTION, inches),
        style.wrap(_result(part), style.CAPTION * style.BOLD, inches),
    )


def _result(part: Part) -> str:
    return f"{part.measured}: {part.verdict}"


def _height(part: Part, said: tuple[list[str], list[str]]) -> float:
    return APART + sum(map(len, said)) * LINE + _band(part) + TICKS


def _band(part: Part) -> float:
    return HIGH if len(part.each) > 1 else SINGLE


def _part(sheet: style.Sheet, part: Part, said: tuple[list[str], list[str]], top: float) -> None:
    colour = COLOURS[part.verdict]
    top -= APART
    for lines, ink, weight in zip(said, ("black", colour), ("normal", "bold"), strict=True):
        for line in lines:
            left, at, _, _ = sheet.place(LEFT, RIGHT, top, top)
            sheet.figure.text(left, at, line, va="top", fontsize=style.CAPTION, color=ink,
                              weight=weight, family=style.FONT, parse_math=False)  # fmt: skip
            top -= LINE
    axes = sheet.figure.add_axes(sheet.place(LEFT, RIGHT, top - _band(part), top))
    low, high = _range(part)
    axes.set_xlim(low, high)
    axes.set_ylim(0, 1)
    axes.xaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 2.5, 5, 10]))
    axes.xaxis.set_major_formatter(
        lambda x, place: words.number(0.0 if abs(x) < 1e-6 * (high - low) else x, 6)
    )
    axes.yaxis.set_visible(False)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.tick_params(labelsize=style.CAPTION, labelfontfamily=style.FONT)
    axes.axvline(
        part.measure.threshold, color="black", linewidth=1.2, linestyle=(0, (4, 2)), zorder=1
    )
    _values(axes, part, colour)


def _values(axes: Axes, part: Part, colour: str) -> None:
    several = len(part.each) > 1
    at = 0.3 if several else 0.5
    if several:
        _dots(axes, part, colour)
        ends = np.clip([part.interval.low, part.interval.high], *axes.get_xlim())
        axes.plot(ends, [at, at], color=colour, linewidth=6, alpha=0.35, solid_capstyle="butt")
    if words.finite(part.typical):
        axes.plot([part.typical], [at], "D", color=colour, markersize=7, clip_on=False)


def _dots(axes: Axes, part: Part, colour: str) -> None:
    """In their order from below upwards, so that equal ones are seen; lost runs at an end."""
    for x, y in zip(part.each, np.linspace(0.6, 0.95, len(part.each)), strict=True):
        kind: Any = {"color": colour, "alpha": 0.6, "clip_on": False, "markeredgewidth": 0}
        if words.finite(x):
            axes.plot([x], [y], "o", markersize=4.2, **kind)
        else:
            edge, marker = (1.0, ">") if x > 0 else (0.0, "<")
            axes.plot([edge], [y], marker, markersize=6, transform=axes.transAxes, **kind)


def _range(part: Part) -> tuple[float, float]:
    """Of all there is to see, and never so narrow that numbers below it would be alike."""
    every = [*part.each, part.interval.low, part.interval.high, part.measure.threshold]
    seen = [x for x in every if words.finite(x)]
    low, high = min(seen), max(seen)
    least = 1e-3 * max(abs(low), abs(high)) or 1.0
    pad = 0.07 * (high - low) + max(0.0, least - (high - low)) / 2
    return low - pad, high + pad
