"""The contour picture with the paths, and the losses below it; still or as frames of a film."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.lines import Line2D
from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter

from glissade.draw import style
from glissade.draw.scene import Array, Scene
from glissade.draw.trajectories import Run

GROUND = ("#FCFDFE", "#E4EAF1", "#B7C5D6")  # low to high: every path's colour stands out from it
LEVELS = 18
LEFT, RIGHT = 0.92, 7.72  # inches; left of it are the numbers
LOSS, GAP, MAP = 1.75, 0.62, 4.9  # inches of height
AXIS = 0.52  # below the lower panel


class Flat:
    """The picture as it is after some step; `show` moves to another one."""

    def __init__(self, scene: Scene, dpi: int) -> None:
        self.scene = scene
        room = AXIS + LOSS + GAP + MAP + 0.08
        self.sheet = style.sheet(
            scene.title,
            scene.subtitle,
            room,
            scene.handles() + marks(scene),
            scene.caption(),
            scene.command,
            dpi,
        )
        self.figure = self.sheet.figure
        self.map = self._add(AXIS + LOSS + GAP, AXIS + LOSS + GAP + MAP)
        self.loss = self._add(AXIS, AXIS + LOSS)
        ground(self.map, scene)
        loss_axes(self.loss, scene, ticks=6)
        dress(self.loss, "step", scene.loss_label)
        self.counter = self.map.text(
            0.985, 0.975, "", transform=self.map.transAxes, ha="right", va="top",
            fontsize=12, fontweight="bold", family=style.FONT, zorder=9,
            bbox={"boxstyle": "round,pad=0.25", "facecolor": "white", "edgecolor": "none",
                  "alpha": 0.8},
        )  # fmt: skip
        self.tracks = [_Track(self, i, run) for i, run in enumerate(scene.runs)]

    @property
    def artists(self) -> list[Any]:
        """Whatever differs from frame to frame, in the order of drawing."""
        lines = [line for track in self.tracks for line in track.lines]
        return [*sorted(lines, key=lambda line: line.get_zorder()), self.counter]

    def _add(self, bottom: float, top: float) -> Axes:
        return self.figure.add_axes(self.sheet.place(LEFT, RIGHT, bottom, top))

    def show(self, step: int, counted: bool = True) -> None:
        """Everything up to a step."""
        for track in self.tracks:
            track.show(step)
        self.counter.set_text(f"step {step}" if counted else "")
        self.counter.set_visible(counted)


class _Track:
    """One run's lines: its path, where it is now, and its losses."""

    def __init__(self, flat: Flat, i: int, run: Run) -> None:
        self.run = run
        self.points = flat.scene.visible(run)
        self.losses = flat.scene.losses(run)[: len(self.points)]
        self.slow: Array | None = np.array(run.slow) if run.slow else None
        self.inside, self.span = flat.scene.surface.inside, flat.scene.loss_range()
        s = style.series(i)
        share = max(1 - i / 9, 0.0)  # thick below thin: where paths are the same, all are seen
        size, thick = 7.5 + 6.5 * share, 1.3 + 2.2 * share
        path: dict[str, Any] = {"solid_joinstyle": "round", "zorder": 4}
        mark: dict[str, Any] = {
            "linestyle": "none", "marker": s.marker, "color": s.colour, "markersize": size,
            "markeredgecolor": "white", "markeredgewidth": 0.8, "zorder": 6,
        }  # fmt: skip
        m, l = flat.map, flat.loss
        self.halo = _line(
            m, color="white", linewidth=thick + 1.4, alpha=0.75, **path | {"zorder": 3}
        )
        dots = {"marker": "."} if s.dash == "-" else {}
        self.path = _line(
            m, color=s.colour, linewidth=thick, linestyle=s.dash, markersize=thick + 3, **dots,
            **path,
        )  # fmt: skip
        self.here = _line(m, **mark, clip_on=False)
        self.curve = _line(
            l, color=s.colour, linewidth=0.85 * thick + 0.3, linestyle=s.dash, zorder=4
        )
        self.now = _line(l, **mark | {"markersize": 0.72 * size}, clip_on=False)
        self.lines = [self.halo, self.path, self.here, self.curve, self.now]
        self.cross: Line2D | None = None
        if run.diverged:
            self.cross = _line(
                m, linestyle="none", marker="x", color="black", markersize=9,
                markeredgewidth=2.2, zorder=7, clip_on=False,
            )  # fmt: skip
            self.lines.append(self.cross)
        if self.slow is not None:
            self.slow_line = _line(
                m, color=s.colour, linewidth=1.0, linestyle=(0, (1, 1)), zorder=5, marker="o",
                markersize=6, markerfacecolor="white", markeredgewidth=1.5,
            )  # fmt: skip
            self.lines.append(self.slow_line)

    def show(self, step: int) -> None:
        n = min(step + 1, len(self.points))
        x, y = self.points[:n, 0], self.points[:n, 1]
        self.halo.set_data(x, y)
        self.path.set_data(x, y)
        self.here.set_data(x[-1:], y[-1:])
        self.curve.set_data(np.arange(n), self.losses[:n])
        self.now.set_data([n - 1], self.losses[n - 1 : n])
        low, high = self.span
        self.now.set_clip_on(not low <= self.losses[n - 1] <= high)
        self.here.set_clip_on(not self.inside(x[-1], y[-1]))
        if self.cross is not None:
            gone = step >= self.run.steps or n == len(self.points)
            end = slice(n - 1, n) if gone else slice(0)
            self.cross.set_data(x[end], y[end])
        if self.slow is not None:
            self.slow_line.set_data(self.slow[:n, 0], self.slow[:n, 1])


def _line(axes: Axes, **kwargs: Any) -> Line2D:
    return axes.plot([], [], **kwargs)[0]


def ground(axes: Axes, scene: Scene) -> None:
    """The contours, the start and the minima."""
    xs, ys, values = scene.grid
    heights: Array = scene.height(values)
    colours = LinearSegmentedColormap.from_list("ground", GROUND)
    axes.contourf(xs, ys, heights, levels=LEVELS, cmap=colours)
    axes.contour(
        xs,
        ys,
        heights,
        levels=LEVELS,
        colors="#7C90A8",
        linewidths=0.45,
        linestyles="solid",
    )
    x0, x1, y0, y1 = scene.surface.box
    axes.set_xlim(x0, x1)
    axes.set_ylim(y0, y1)
    for handle, points in zip(marks(scene), _marked(scene), strict=True):
        style_of = {key: getattr(handle, f"get_{key}")() for key in _MARK_STYLE}
        axes.plot(*np.array(points).T, linestyle="none", zorder=5.5, **style_of)
    dress(axes, "x", "y")


_MARK_STYLE = ("marker", "markersize", "markerfacecolor", "markeredgecolor", "markeredgewidth")


def _marked(scene: Scene) -> list[list[tuple[float, float]]]:
    surface = scene.surface
    groups = [[surface.start], list(surface.minima), list(surface.local), list(surface.saddles)]
    return [group for group in groups if group]


def marks(scene: Scene) -> list[Line2D]:
    """Of the start, the minima and the saddle points, for the legend and the picture."""
    kinds = (
        ([scene.surface.start], "start", "o", 10, "none"),
        (scene.surface.minima, "minimum", "*", 15, "#F0E442"),
        (scene.surface.local, "local minimum", "*", 11, "white"),
        (scene.surface.saddles, "saddle point", "P", 9, "white"),
    )
    return [
        Line2D(
            [], [], linestyle="none", marker=marker, markersize=size, markerfacecolor=face,
            markeredgecolor="black", markeredgewidth=1.2, label=label,
        )
        for points, label, marker, size, face in kinds
        if points
    ]  # fmt: skip


def dress(axes: Axes, x: str, y: str) -> None:
    """Labels, those of axes one above the other in one line."""
    style.label(axes, x, y)
    axes.yaxis.set_label_coords(-0.085, 0.5)


def loss_axes(axes: Axes, scene: Scene, ticks: int) -> None:
    """Axes for losses over the steps."""
    axes.set_xlim(0, scene.steps)
    if scene.log_loss:
        axes.set_yscale("log")
        axes.yaxis.set_major_locator(LogLocator(numticks=5))
        axes.yaxis.set_minor_formatter(NullFormatter())
    else:
        axes.yaxis.set_major_locator(MaxNLocator(4))
    axes.set_ylim(*scene.loss_range())
    axes.xaxis.set_major_locator(MaxNLocator(ticks, integer=True))
    style.chart(axes)


def contour_png(scene: Scene, path: Path) -> None:
    """Write the still picture."""
    flat = Flat(scene, dpi=200)
    flat.show(scene.steps, counted=False)
    style.save_png(flat.sheet, path, scene.command)
