"""The picture of `glissade heatmap`: a map for each optimizer, on one scale."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from glissade.draw import style
from glissade.study.grid import Map
from glissade.study.units import Units

MAP = "viridis"  # dark is good, as in the report
LEFT, RIGHT, GAP = 0.85, 1.15, 0.55  # inches: of ticks, of the bar, between panels
WORST = 60  # percentile of all values at which the scale ends: what is far off needs no shade


def picture(path: Path, title: str, found: Sequence[Map], command: str, subtitle: str) -> None:
    """Write it as a PNG."""
    columns = min(len(found), 2)
    rows = math.ceil(len(found) / columns)
    side = (style.WIDTH - LEFT - RIGHT - GAP * (columns - 1)) / columns
    height = min(side, 3.1)
    room = rows * (height + 0.85)
    unit = found[0].units
    better = "lower" if unit.sign > 0 else "higher"
    caption = (
        f"Each cell: the mean validation {unit.name} at the end of training. Dark is good "
        f"({better} is better); the ring marks the best cell; a cross marks a place where a run "
        "diverged. All maps have the same colours; what is worse than the bar's end has its end's "
        "colour. R²: how much of a map a sum of a row and a column explains; 1 means that rate "
        "and decay can be tuned one after the other.",
    )
    sheet = style.sheet(title, subtitle, room, [], caption, command, 150, footer="")
    norm, ends = scale(found)
    image: Any = None
    for i, one in enumerate(found):
        row, column = divmod(i, columns)
        left = LEFT + column * (side + GAP)
        top = room - row * (height + 0.85) - 0.32
        axes = sheet.figure.add_axes(sheet.place(left, left + side, top - height, top))
        image = panel(axes, one, norm, first=column == 0)
    bar = sheet.figure.add_axes(
        sheet.place(style.WIDTH - RIGHT + 0.2, style.WIDTH - RIGHT + 0.36, 0.5, room - 0.4)
    )
    key(sheet.figure, bar, image, ends, unit)
    style.save_png(sheet, path, command)


def scale(found: Sequence[Map]) -> tuple[Normalize, str]:
    """One for all maps: from the best value to where most are worse."""
    values = np.concatenate([one.values.ravel() for one in found])
    values = values[~np.isnan(values)]
    if not len(values):
        return Normalize(0, 1), "neither"
    sign = found[0].units.sign
    best = float((sign * values).min())
    worst = max(float(np.percentile(sign * values, WORST)), best + 1e-9 * max(1.0, abs(best)))
    ends = (best, worst) if sign > 0 else (-worst, -best)
    beyond = float((sign * values).max()) > worst
    return Normalize(*ends), ("max" if sign > 0 else "min") if beyond else "neither"


def key(figure: Figure, axes: Axes, image: Any, ends: str, unit: Units) -> None:
    """The bar of the colours."""
    drawn = figure.colorbar(image, cax=axes, extend=ends)
    drawn.ax.yaxis.set_major_locator(MaxNLocator(6))
    drawn.set_label(f"{unit.name}{', ' + unit.unit if unit.unit else ''}", fontsize=style.BODY)
    drawn.ax.tick_params(labelsize=style.CAPTION)


def panel(axes: Axes, one: Map, norm: Normalize, first: bool) -> Any:
    """One optimizer's map; its title has R²."""
    colours = colormaps[MAP + ("" if one.units.sign > 0 else "_r")].with_extremes(bad="#e6e6e6")
    image = axes.imshow(
        np.ma.masked_invalid(one.values), origin="lower", aspect="auto", cmap=colours, norm=norm
    )
    for row, column in np.argwhere(np.isnan(one.values)):
        axes.plot(column, row, "x", color="#b00000", markersize=7)
    if one.best is not None:
        row, column = one.best
        axes.plot(column, row, "o", markersize=13, markerfacecolor="none",
                  markeredgecolor="#FF8C1A", markeredgewidth=2.2)  # fmt: skip
    said = "" if one.separable is None else f"R² {one.separable:.2f}"
    axes.set_title(one.label, loc="left", fontsize=style.BODY, fontweight="bold")
    axes.set_title(said, loc="right", fontsize=style.CAPTION)
    for axis, values in ((axes.xaxis, one.decays), (axes.yaxis, one.rates)):
        every = 2 if len(values) > 5 else 1
        axis.set_ticks(range(0, len(values), every), [_tick(x) for x in values[::every]])
    axes.tick_params(labelsize=style.CAPTION - 1, length=2)
    axes.set_xlabel("weight decay", fontsize=style.CAPTION)
    if first:
        axes.set_ylabel("learning rate", fontsize=style.CAPTION)
    return image


def _tick(value: float) -> str:
    if value == 0:
        return "0"
    digits = f"{float(f'{value:.2g}'):g}"
    return f"{value:.1e}".replace("e-0", "e-").replace(".0e", "e") if value < 0.01 else digits
