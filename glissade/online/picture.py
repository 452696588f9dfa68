"""The picture of `glissade regret`: regret with its bounds, and average regret."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from glissade.draw import style
from glissade.online.bounds import Bound
from glissade.online.game import Regret

LEFT, GAP, RIGHT = 0.72, 0.85, 0.12  # inches
ROOM, UNDER, OVER = 3.75, 0.5, 0.3
FAR = 300.0  # bounds over so many times the largest regret stay out of the picture
PROVED: Any = (0, (4, 2))
PRINTED: Any = (0, (1, 1.6))

Row = tuple[str, Regret, Bound]


def picture(path: Path, title: str, subtitle: str, rows: Sequence[Row], command: str) -> None:
    """Write it as a PNG."""
    handles = [
        Line2D([], [], color=style.series(i).colour, marker=style.series(i).marker, markersize=5,
               linewidth=2, label=label)
        for i, (label, _, _) in enumerate(rows)
    ]  # fmt: skip
    far = _far(rows)
    drawn = [bound for _, _, bound in rows if bound.values is not None and not _over(bound, far)]
    above = [
        label + (" as printed" if bound.refuted else "")
        for label, _, bound in rows
        if _over(bound, far)
    ]
    if any(not bound.refuted for bound in drawn):
        handles.append(Line2D([], [], color="#606060", linestyle=PROVED, label="its bound"))
    if any(bound.refuted for bound in drawn):
        label = "bound as printed; refuted"
        handles.append(Line2D([], [], color="#606060", linestyle=PRINTED, label=label))
    caption = [
        "Regret: what was paid more than by the best fixed point of the same rounds. Bounds are "
        "those of the theorems, for the gradients that these runs saw. On these scales a straight "
        "line is a power of T. Average regret that does not fall: the learner goes on paying more "
        "than the best fixed point."
    ]
    if above:
        caption.append(f"Far above the frame is the bound of {', and of '.join(above)}.")
    sheet = style.sheet(title, subtitle, ROOM, handles, caption, command, 150, footer="")
    wide = (style.WIDTH - LEFT - GAP - RIGHT) / 2
    for i, (said, y) in enumerate((("regret", "R(T)"), ("average regret", "R(T) / T"))):
        left = LEFT + i * (wide + GAP)
        axes = sheet.figure.add_axes(sheet.place(left, left + wide, UNDER, ROOM - OVER))
        _panel(axes, rows, far, average=i == 1)
        axes.set_title(said, loc="left", fontsize=style.BODY, fontweight="bold", family=style.FONT)
        style.label(axes, "rounds T", y)
    style.save_png(sheet, path, command)


def _far(rows: Sequence[Row]) -> float:
    """Over this a bound says nothing that the picture could show."""
    return FAR * max(float(np.abs(measured.values).max()) for _, measured, _ in rows)


def _over(bound: Bound, far: float) -> bool:
    return bound.values is not None and bool((bound.values > far).all())


def _panel(axes: Axes, rows: Sequence[Row], far: float, average: bool) -> None:
    style.chart(axes)
    axes.set_xscale("log")
    axes.set_yscale("log")
    shown: list[float] = []
    for i, (_, measured, bound) in enumerate(rows):
        at, how = np.array(measured.at), style.series(i)
        height = measured.average if average else measured.values
        height = np.where(height > 0, height, np.nan)  # a log scale has no place under 0
        shown += height[~np.isnan(height)].tolist()
        axes.plot(at, height, color=how.colour, linewidth=2, marker=how.marker, markersize=4.5,
                  zorder=3)  # fmt: skip
        if bound.values is not None and not average and not _over(bound, far):
            shown += np.minimum(bound.values, far).tolist()
            dash = PRINTED if bound.refuted else PROVED
            axes.plot(at, bound.values, color=how.colour, linewidth=1.5, linestyle=dash)
    if shown:
        axes.set_ylim(min(shown) / 1.6, max(shown) * 1.6)
    axes.minorticks_off()
