"""The surface in three dimensions, with the paths on it."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.colors import LightSource, LinearSegmentedColormap
from matplotlib.ticker import MaxNLocator

from glissade.draw import style
from glissade.draw.flat import GROUND, marks
from glissade.draw.scene import Array, Scene
from glissade.draw.trajectories import Run

ROOM = 5.9  # inches
EVERY = 3  # grid lines of the surface that are drawn


def solid_png(scene: Scene, path: Path) -> None:
    """Write the picture."""
    handles = scene.handles() + marks(scene)
    sheet = style.sheet(
        f"{scene.title}, in three dimensions", scene.subtitle, ROOM, handles, scene.caption(),
        scene.command, dpi=200,
    )  # fmt: skip
    axes: Any = sheet.figure.add_axes(
        sheet.place(0.2, style.WIDTH - 0.6, 0.45, ROOM + 0.1),
        projection="3d",
        computed_zorder=False,
    )
    _ground(axes, scene)
    for i, run in enumerate(scene.runs):
        _path(axes, scene, i, run)
    _points(axes, scene)
    _dress(axes, scene)
    style.save_png(sheet, path, scene.command)


def _ground(axes: Any, scene: Scene) -> None:
    xs, ys, values = (part[..., ::EVERY] for part in scene.grid)
    heights = scene.height(values[::EVERY])
    colours = LinearSegmentedColormap.from_list("ground", GROUND)
    light = LightSource(azdeg=315, altdeg=60)
    low, high = float(np.nanmin(heights)), float(np.nanmax(heights))
    even = np.nan_to_num((heights - low) / (high - low or 1.0), nan=1.0)  # shades in any unit
    shaded = light.shade(even, cmap=colours, blend_mode="soft", vert_exag=2.0, fraction=0.8)
    axes.plot_surface(
        *np.meshgrid(xs, ys), heights, facecolors=shaded, rstride=1, cstride=1, linewidth=0.15,
        edgecolor="#8FA0B588", antialiased=True, shade=False, alpha=0.9, zorder=1,
    )  # fmt: skip


def _lift(scene: Scene) -> float:
    """So far above the surface a path is drawn, lest it sinks in between the grid's points."""
    heights = scene.height(scene.grid[2])
    return 0.008 * float(np.nanmax(heights) - np.nanmin(heights))


def _on(scene: Scene, points: Array) -> Array:
    """The heights of points in the box."""
    import torch

    with torch.no_grad():
        values = [float(scene.surface.value(torch.tensor(point))) for point in points]
    return scene.height(values) + _lift(scene)


def _path(axes: Any, scene: Scene, i: int, run: Run) -> None:
    s = style.series(i)
    points = scene.visible(run)
    fine = _between(points)
    fine[[not scene.surface.inside(*point) for point in fine]] = np.nan  # 3-D axes cut nothing off
    share = max(1 - i / 9, 0.0)
    x, y, z = fine[:, 0], fine[:, 1], _on(scene, fine)
    axes.plot(x, y, z, color="white", linewidth=2.9 + 2 * share, alpha=0.7, zorder=3)
    axes.plot(x, y, z, color=s.colour, linewidth=1.5 + 2 * share, linestyle=s.dash, zorder=4)
    end = _on(scene, points[-1:])
    axes.plot(
        *points[-1:].T, end, linestyle="none", marker=s.marker, color=s.colour,
        markersize=7.5 + 5 * share, markeredgecolor="white", markeredgewidth=0.8, zorder=6,
    )  # fmt: skip
    if run.diverged:
        axes.plot(
            *points[-1:].T, end, linestyle="none", marker="x", color="black", markersize=9,
            markeredgewidth=2.2, zorder=7,
        )  # fmt: skip
    if run.slow:
        slow = np.array([p for p in run.slow if scene.surface.inside(*p)])
        axes.plot(
            *slow.T, _on(scene, slow), color=s.colour, linewidth=1.0, linestyle=(0, (1, 1)),
            marker="o", markersize=6, markerfacecolor="white", markeredgewidth=1.5, zorder=5,
        )  # fmt: skip


def _between(points: Array, parts: int = 5) -> Array:
    """With points put in between, so that a long step follows the surface."""
    if len(points) < 2:
        return points
    shares = np.linspace(0, 1, parts, endpoint=False)[:, None]
    pieces = [a + shares * (b - a) for a, b in pairwise(points)]
    return np.concatenate([*pieces, points[-1:]])


def _points(axes: Any, scene: Scene) -> None:
    surface = scene.surface
    groups = ([surface.start], surface.minima, surface.local, surface.saddles)
    for handle, group in zip(marks(scene), filter(None, groups), strict=True):
        points = np.array(group)
        axes.plot(
            *points.T, _on(scene, points), linestyle="none", marker=handle.get_marker(),
            markersize=handle.get_markersize(), markerfacecolor=handle.get_markerfacecolor(),
            markeredgecolor="black", markeredgewidth=1.2, zorder=5.5,
        )  # fmt: skip


def _dress(axes: Any, scene: Scene) -> None:
    x0, x1, y0, y1 = scene.surface.box
    axes.set_xlim(x0, x1)
    axes.set_ylim(y0, y1)
    elevation, azimuth = scene.surface.view
    axes.view_init(elev=elevation, azim=azimuth)
    axes.set_box_aspect((1, 1, 0.62), zoom=1.05)
    for axis in (axes.xaxis, axes.yaxis, axes.zaxis):
        axis.set_major_locator(MaxNLocator(5, prune=None if axis is axes.zaxis else "both"))
        axis.set_pane_color((1, 1, 1, 0))
    axes.tick_params(labelsize=style.BODY, pad=1)
    axes.set_xlabel("x", fontsize=style.BODY + 0.5)
    axes.set_ylabel("y", fontsize=style.BODY + 0.5)
    axes.set_zlabel(scene.height_label, fontsize=style.BODY + 0.5, labelpad=6)
