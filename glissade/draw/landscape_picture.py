"""The pictures of `glissade draw model`: losses in a plane, paths and end points on them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LinearSegmentedColormap, LogNorm, Normalize
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, MaxNLocator, NullFormatter

from glissade.draw import style
from glissade.draw.flat import GROUND
from glissade.draw.landscape import Array, Pictured, Plane
from glissade.draw.training import LOST, Trained

LEVELS = 21
PAD = 0.16  # of the paths' extent, on each side
DPI = 200
LEFT, RIGHT = 0.98, 6.75  # inches; right of it is the colour bar
BAR = 0.2
MAP, AXIS, GAP = 5.0, 0.55, 0.3
GROWN = LinearSegmentedColormap.from_list("ground", GROUND)

Grid = tuple[Array, Array, Array]  # x's, y's, losses (y, x)


def window(made: Pictured, plane: Plane, count: int) -> tuple[Array, Array]:
    """The x's and y's that show all paths which did not diverge, and the end they are around."""
    places = [p for p, run in zip(plane.places, made.runs, strict=True) if not run.diverged]
    points = np.concatenate([*places, np.zeros((1, 2))])
    low, high = points.min(axis=0), points.max(axis=0)
    wide = (high - low).max() or 1.0
    span = np.maximum(high - low, 0.25 * wide)
    middle = (low + high) / 2
    x0, y0 = middle - (0.5 + PAD) * span
    x1, y1 = middle + (0.5 + PAD) * span
    return np.linspace(x0, x1, count), np.linspace(y0, y1, count)


def scale(values: Array) -> tuple[Any, Array, bool]:
    """How losses become colours: the norm, the contours' levels, and whether both are log."""
    finite = values[np.isfinite(values)]
    if not finite.size:
        raise ValueError("no loss around the end of training is finite: nothing can be drawn")
    low, high = float(finite.min()), float(finite.max())
    if low > 0 and high > 1.5 * low:
        levels = np.geomspace(low, high, LEVELS)
        levels[0], levels[-1] = low, high  # lest rounding leaves the lowest one blank
        return LogNorm(low, high), levels, True
    if high <= low:
        high = low + (abs(low) or 1.0)
    return Normalize(low, high), np.linspace(low, high, LEVELS), False


def ground(axes: Axes, grid: Grid, norm: Any, levels: Array) -> None:
    """The filled contours; what is not finite stays blank."""
    xs, ys, values = grid
    shown = np.ma.masked_invalid(values)
    axes.contourf(xs, ys, shown, levels=levels, norm=norm, cmap=GROWN)
    axes.contour(xs, ys, shown, levels=levels, colors="#7C90A8", linewidths=0.45)
    axes.set_xlim(xs[0], xs[-1])
    axes.set_ylim(ys[0], ys[-1])


def bar(sheet: style.Sheet, place: Any, norm: Any, logarithmic: bool) -> None:
    """The colour bar with its label."""
    axes = sheet.figure.add_axes(place)
    drawn = sheet.figure.colorbar(ScalarMappable(norm, GROWN), cax=axes)
    if logarithmic:
        ticks = _log_ticks(norm.vmin, norm.vmax)
        axes.yaxis.set_major_locator(FixedLocator(ticks))
        axes.yaxis.set_minor_locator(FixedLocator([]))
        axes.yaxis.set_minor_formatter(NullFormatter())
        axes.set_yticklabels([f"{tick:g}" for tick in ticks])
    else:
        axes.yaxis.set_major_locator(MaxNLocator(6))
    axes.tick_params(labelsize=style.BODY, labelfontfamily=style.FONT)
    words = "loss, on a log scale" if logarithmic else "loss"
    drawn.set_label(words, fontsize=style.BODY + 0.5, family=style.FONT)


def _log_ticks(low: float, high: float) -> list[float]:
    """Round numbers, three to eight where there are so many."""
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    fine = sorted({*np.linspace(low, high, 6).tolist()})
    for parts in ((1,), (1, 3), (1, 2, 5), (1, 1.5, 2, 3, 4, 5, 6, 7, 8, 9)):
        ticks = [p * 10.0**d for d in decades for p in parts if low <= p * 10.0**d <= high]
        if len(ticks) >= 3:
            return ticks[:: math.ceil(len(ticks) / 8)]
    return [float(f"{tick:.3g}") for tick in fine]


def principal_png(made: Pictured, plane: Plane, grid: Grid, path: Path) -> None:
    """Write the paths on their principal plane."""
    norm, levels, logarithmic = scale(grid[2])
    handles = [_handle(i, run, plane.off[i]) for i, run in enumerate(made.runs)]
    sheet = style.sheet(
        "The loss along the paths’ principal directions", _subtitle(made), AXIS + MAP + 0.1,
        [*handles, _start()], _principal_words(made, plane, grid[2], logarithmic), made.command,
        DPI,
    )  # fmt: skip
    axes = sheet.figure.add_axes(sheet.place(LEFT, RIGHT, AXIS, AXIS + MAP))
    ground(axes, grid, norm, levels)
    for i, run in enumerate(made.runs):
        _path(axes, i, run, plane.places[i], grid)
    handle = _start()
    begin = next(place[0] for place in plane.places if len(place))
    handle.set_data(*begin[:, None])
    handle.set_zorder(5.5)
    axes.add_line(handle)
    first, second = (f"principal direction {k + 1}: {_percent(plane.shares[k])} of the variance"
                     for k in (0, 1))  # fmt: skip
    _dress(axes, first, second)
    bar(sheet, sheet.place(RIGHT + 0.12, RIGHT + 0.12 + BAR, AXIS, AXIS + MAP), norm, logarithmic)
    style.save_png(sheet, path, made.command)


def _path(axes: Axes, i: int, run: Trained, places: Array, grid: Grid) -> None:
    s = style.series(i)
    share = max(1 - i / 9, 0.0)  # thick below thin: where paths are the same, all are seen
    thick = 1.5 + 2.0 * share
    axes.plot(*places.T, color="white", linewidth=thick + 1.6, alpha=0.8, zorder=3)
    axes.plot(*places.T, color=s.colour, linewidth=thick, linestyle=s.dash, zorder=4)
    if run.diverged:
        axes.plot(*_exit(places, grid)[:, None], linestyle="none", marker="x", color="black",
                  zorder=7, markersize=10, markeredgewidth=2.2, clip_on=False)  # fmt: skip
        return
    axes.plot(*places[-1][:, None], linestyle="none", marker=s.marker, color=s.colour, zorder=6,
              markersize=8 + 5 * share, markeredgecolor="white", markeredgewidth=0.9)  # fmt: skip


def _exit(places: Array, grid: Grid) -> Array:
    """Where a path leaves the picture, or its last point."""
    low, high = (np.array([axis[end] for axis in grid[:2]]) for end in (0, -1))
    inside = ((low <= places) & (places <= high)).all(axis=1)
    if inside.all():
        return np.array(places[-1])
    out = int(np.argmin(inside))  # the first one
    before, after = places[max(out - 1, 0)], places[out]
    with np.errstate(divide="ignore", invalid="ignore"):
        shares = (np.clip(after, low, high) - before) / (after - before)
    share = float(np.nanmin(shares))
    crossing: Array = np.clip(before + share * (after - before), low, high)
    return crossing


def filter_png(made: Pictured, xs: Array, panels: Sequence[tuple[int, Array]], path: Path) -> None:
    """Write the surroundings of every end point, on one scale of colours."""
    every = np.concatenate([values.ravel() for _, values in panels])
    norm, levels, logarithmic = scale(every)
    columns = min(len(panels), 3 if len(panels) != 4 else 2)
    rows = math.ceil(len(panels) / columns)
    wide = (RIGHT - LEFT - GAP * (columns - 1)) / columns
    tall = min(wide, 4.6)
    titles = [_panel_title(made.runs[i], wide) for i, _ in panels]
    head = 0.1 + max(map(len, titles)) * 1.25 * style.BODY / 72  # inches above a panel
    room = AXIS + rows * (tall + head) + (rows - 1) * 0.12 + 0.02
    sheet = style.sheet(
        "The loss around the ends, filter-normalised",
        _subtitle(made), room, [], _filter_words(made, every, logarithmic), made.command, DPI,
    )  # fmt: skip
    for n, (i, values) in enumerate(panels):
        row, column = divmod(n, columns)
        left = LEFT + column * (wide + GAP)
        top = room - 0.02 - head - row * (tall + head + 0.12)
        axes = sheet.figure.add_axes(sheet.place(left, left + wide, top - tall, top))
        ground(axes, (xs, xs, values), norm, levels)
        _end(axes, i, titles[n])
        lowest = n + columns >= len(panels)
        _dress(axes, "direction 1" if lowest else "", "direction 2" if column == 0 else "")
        axes.tick_params(labelbottom=lowest, labelleft=column == 0)
        axes.set_xticks([-1, 0, 1])
        axes.set_yticks([-1, 0, 1])
    place = sheet.place(RIGHT + 0.12, RIGHT + 0.12 + BAR, AXIS, room - 0.02 - head)
    bar(sheet, place, norm, logarithmic)
    style.save_png(sheet, path, made.command)


def _panel_title(run: Trained, wide: float) -> list[str]:
    lines = style.wrap(run.spec.label, style.BODY * 1.12, wide)[:3]  # bold is wider
    if run.spec.lr is None:
        lines.append("its default lr" if run.lr is None else f"lr {run.lr:.3g}")
    return [*lines, f"loss {run.loss:.3g}"]


def _end(axes: Axes, i: int, title: Sequence[str]) -> None:
    """The end point's mark, and the panel's title."""
    s = style.series(i)
    axes.plot([0], [0], linestyle="none", marker=s.marker, color=s.colour, markersize=11,
              markeredgecolor="white", markeredgewidth=1, zorder=6)  # fmt: skip
    axes.text(0, 1.02, "\n".join(title), transform=axes.transAxes,
              ha="left", va="bottom", fontsize=style.BODY, family=style.FONT, color=s.colour,
              fontweight="bold", parse_math=False, linespacing=1.15)  # fmt: skip


def _handle(i: int, run: Trained, off: float) -> Line2D:
    s = style.series(i)
    fate = ", diverged" if run.diverged else f": loss {run.loss:.3g}, {_percent(off)} off the plane"
    return Line2D([], [], color=s.colour, linestyle=s.dash, marker=s.marker, linewidth=2,
                  markersize=8, markeredgecolor="white", markeredgewidth=0.7,
                  label=run.label + fate)  # fmt: skip


def _start() -> Line2D:
    return Line2D([], [], linestyle="none", marker="o", markersize=9, markerfacecolor="white",
                  markeredgecolor="black", markeredgewidth=1.4, label="start of all")  # fmt: skip


def _dress(axes: Axes, x: str, y: str) -> None:
    axes.set_xlabel(x, fontsize=style.BODY + 0.5, family=style.FONT, labelpad=2)
    axes.set_ylabel(y, fontsize=style.BODY + 0.5, family=style.FONT, labelpad=3)
    axes.xaxis.set_major_locator(MaxNLocator(6))
    axes.tick_params(labelsize=style.BODY, labelfontfamily=style.FONT)


def _percent(share: float) -> str:
    if 0 < share < 0.001:
        return "under 0.1 %"
    return f"{100 * share:.3g} %" if share < 0.0995 else f"{100 * share:.0f} %"


# Words


def _subtitle(made: Pictured) -> str:
    return f"{made.problem.title}: {made.problem.size:,} parameters"


def _shared_words(made: Pictured, values: Array, logarithmic: bool) -> list[str]:
    batches = made.problem.batches or "the whole set at every step"
    gone = sum(run.diverged for run in made.runs)
    facts = (
        f"{made.steps} steps, {batches}, from the same start (seed {made.seed}); "
        f"{gone or 'none'} of {len(made.runs)} diverged"
    )
    if gone:
        facts += f" (✕: loss not finite, or over {LOST:,.0f} times the start’s)"
    blank = int((~np.isfinite(values)).sum())
    heights = (
        f"The losses are those of the whole fixed set, in eval mode, at {values.size:,} points"
        f"{'' if logarithmic else ', on a linear scale'}"
    )
    heights += f"; {blank} of them are not finite, and blank." if blank else ", all finite."
    return [f"{facts}.", heights]


def _principal_words(made: Pictured, plane: Plane, values: Array, logarithmic: bool) -> list[str]:
    best = made.runs[made.best]
    count = sum(len(run.path) for run in made.runs if not run.diverged)
    words = " ".join(_shared_words(made, values, logarithmic))
    if best.buffers:
        words += (
            f" Batch-norm statistics everywhere stay as {best.spec.label}’s training left them."
        )
    words += (
        f" The plane goes through the end of {best.spec.label}’s path, the lowest, along the two "
        f"directions that explain most of the {count} snapshots’ squared distances from there "
        f"(the variance); {_percent(plane.residual)} of it is off the plane, each path’s own share "
        "is above. A path that is off the plane has other losses than what is drawn beneath it."
    )
    return _with_rule(made, words)


def _filter_words(made: Pictured, values: Array, logarithmic: bool) -> list[str]:
    words = " ".join(_shared_words(made, values, logarithmic))
    if any(run.buffers for run in made.runs):
        words += " Batch-norm statistics stay as each one’s training left them."
    words += (
        " Each end point is in the middle of its panel. Both directions are random (the same "
        "draws for all), each filter’s part scaled to the filter’s norm, biases and normalisation "
        "left at zero (Li et al. 2018, arXiv:1712.09913): 1 is a step as long as the weights."
    )
    return _with_rule(made, words)


def _with_rule(made: Pictured, words: str) -> list[str]:
    note = [f"Note: {'; '.join(made.warnings)}."] if made.warnings else []
    return [words, made.rule, *note]
