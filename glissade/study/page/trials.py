"""Charts of tuning: quality against the learning rate, and with the weight decay as a map."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from glissade.study import units as written
from glissade.study.analysis import Trial
from glissade.study.page.charts import (
    Chart,
    Panel,
    Trace,
    View,
    axis,
    numbers,
    said,
)
from glissade.study.page.looks import SCALE

GRID = 36  # points of a map's side
WORST = 0.9  # of the trials' qualities: beyond this quantile a map has one colour


def sensitivity(view: View) -> Panel:
    """All trials by learning rate."""
    key, title, task = view.key("lr"), "Learning rate", view.task
    own = [x for x in task.trials if x.values.get("lr", 0.0) > 0]
    if not own:
        return Panel(key, title, "", nothing="No optimizer’s learning rate was tuned.")
    traces: list[Trace] = []
    for row in task.rows:
        look = view.look(row.arm)
        trials = [x for x in own if x.arm == row.arm]
        fine = [x for x in trials if x.quality is not None]
        lost = [x for x in trials if x.quality is None]
        common = {"mode": "markers", "legendgroup": view.group(row.arm), "name": said(row.label)}
        traces += [
            {
                **common, "x": numbers(x.values["lr"] for x in fine),
                "y": numbers(x.quality for x in fine), "text": [_told(x) for x in fine],
                "marker": {"symbol": look.symbol, "size": 8, "color": f"{look.name}/bb"},
                "hovertemplate": "<b>%{fullData.name}</b><br>%{text}<extra></extra>",
            },
            {
                **common, "x": numbers(x.values["lr"] for x in fine if x.chosen),
                "y": numbers(x.quality for x in fine if x.chosen), "hoverinfo": "skip",
                "marker": {"symbol": "circle-open", "size": 18, "color": look.name,
                           "line": {"width": 2.5}},
            },
        ]  # fmt: skip
        if lost:
            traces.append({
                **common, "x": numbers(x.values["lr"] for x in lost), "yaxis": "y2",
                "y": [0.5] * len(lost), "text": [_told(x) for x in lost],
                "marker": {"symbol": "x-thin", "size": 9, "line": {"width": 2, "color": look.name}},
                "hovertemplate": "<b>%{fullData.name}</b><br>lost: %{text}<extra></extra>",
            })  # fmt: skip
    every = [x.quality for x in own]
    layout: dict[str, Any] = {
        "xaxis": axis("learning rate", log=True),
        "yaxis": axis(f"validation {said(task.metric)}", view.log(every)),
    }
    if any(x.quality is None for x in own):
        # They have a strip of their own, on the side of what is worst.
        above = task.direction == "min"
        strip = (0.93, 1.0) if above else (0.0, 0.07)
        layout["yaxis"]["domain"] = [0.0, 0.91] if above else [0.09, 1.0]
        layout["xaxis"]["anchor"] = "y" if above else "y2"
        layout["yaxis2"] = {"domain": strip, "range": [0, 1], "visible": False, "fixedrange": True}
        layout["shapes"] = [{
            "type": "rect", "xref": "paper", "x0": 0, "x1": 1, "yref": "paper", "y0": strip[0],
            "y1": strip[1], "fillcolor": "@band", "line": {"width": 0}, "layer": "below",
        }]  # fmt: skip
    chart = Chart(view.key("lr-chart"), traces, layout, 380, log="y" if view.may_log(every) else "")
    caption = (
        f"Each mark is one trial of tuning: its learning rate, and the validation {view.units.name}"
        " at its end. Ringed: what a study chose, when its best three had been run again on "
        "further seeds; a cross in the strip at the "
        f"{_edge(view)} edge: a run that diverged. Best: {view.better}, and over a wide stretch of "
        "learning rates, since then little tuning is needed."
    )
    return Panel(key, title, caption, [chart], legend="marks", log=bool(chart.log))


def _edge(view: View) -> str:
    return "upper" if view.task.direction == "min" else "lower"


def _told(trial: Trial) -> str:
    values = ", ".join(f"{said(name)} {value:.4g}" for name, value in trial.values.items())
    quality = "" if trial.quality is None else f"<br>{trial.quality:.4g}"
    return f"study {trial.study}, trial {trial.trial}<br>{values}{quality}"


def maps(view: View) -> Panel:
    """Learning rate and weight decay together."""
    key, title, task = view.key("decay"), "Learning rate and weight decay", view.task
    both: dict[str, list[Trial]] = {}
    for x in task.trials:
        if x.values.get("lr", 0.0) > 0 and x.values.get("weight_decay", 0.0) > 0:
            both.setdefault(x.arm, []).append(x)
    fine = [x.quality for own in both.values() for x in own if x.quality is not None]
    if not fine:
        return Panel(
            key, title, "", nothing="No optimizer had both its learning rate and its decay tuned."
        )
    log = view.log(fine)
    colours = [_height(view, x, log) for x in fine]
    ends = (min(colours), max(float(np.quantile(colours, WORST)), min(colours) + 1e-9))
    charts = [_map(view, row.arm, both[row.arm], ends, log) for row in task.rows if row.arm in both]
    best, worst = (_depth(view, x, log) for x in ends)
    caption = (
        f"Darker is better: the validation {view.units.name}, interpolated between the trials "
        "(dots; ringed: chosen by a study; a cross and a blank neighbourhood: diverged). All maps "
        "share one scale of colours. A wide dark region forgives a wrong setting; a dark region "
        "at an edge asks for a wider search."
    )
    words = f"{view.units.value(best)} (best)", f"{view.units.value(worst)} or worse"
    return Panel(key, title, caption, charts, scale=words, small=True)


def _height(view: View, quality: float, log: bool) -> float:
    """Of a colour: less is better."""
    return view.units.sign * (math.log10(quality) if log else quality)


def _depth(view: View, height: float, log: bool) -> float:
    """Back again."""
    value = view.units.sign * height
    return 10.0**value if log else value


def _map(view: View, arm: str, own: Sequence[Trial], ends: tuple[float, float], log: bool) -> Chart:
    look = view.look(arm)
    fine = [x for x in own if x.quality is not None]
    lost = [x for x in own if x.quality is None]
    traces: list[Trace] = []
    lr, decay = _sides(own)
    if fine:
        heights = [_height(view, x.quality, log) for x in fine if x.quality is not None]
        traces.append({
            "type": "heatmap", "x": numbers(10.0**lr), "y": numbers(10.0**decay),
            "z": _filled(fine, lost, heights, lr, decay), "zmin": ends[0], "zmax": ends[1],
            "colorscale": [[i / (len(SCALE) - 1), c] for i, c in enumerate(SCALE)],
            "showscale": False, "hoverinfo": "skip", "zsmooth": False,
        })  # fmt: skip
    for trials, marker in (
        ([x for x in fine if not x.chosen],
         {"size": 6, "color": "#ffffff", "line": {"color": "#000000", "width": 1}}),
        ([x for x in fine if x.chosen],
         {"symbol": "circle-dot", "size": 14, "color": "#ffffffcc",
          "line": {"color": "#000000", "width": 2}}),
        (lost, {"symbol": "x-thin", "size": 9, "line": {"color": "@ink", "width": 2}}),
    ):  # fmt: skip
        if trials:
            traces.append({
                "mode": "markers", "x": numbers(x.values["lr"] for x in trials),
                "y": numbers(x.values["weight_decay"] for x in trials), "marker": marker,
                "text": [_told(x) for x in trials], "hovertemplate": "%{text}<extra></extra>",
            })  # fmt: skip
    layout = {
        "xaxis": axis("learning rate", log=True, range=[lr[0], lr[-1]], nticks=5),
        "yaxis": axis("weight decay", log=True, range=[decay[0], decay[-1]], nticks=5),
        "plot_bgcolor": "@band",
    }
    label = view.task.row(arm).label
    return Chart(view.key(f"map-{look.place}"), traces, layout, 270, title=label)


def _sides(own: Sequence[Trial]) -> tuple[np.ndarray, np.ndarray]:
    """The logarithms along both sides, a little wider than the trials."""
    found = []
    for name in ("lr", "weight_decay"):
        logs = [math.log10(x.values[name]) for x in own]
        low, high = min(logs), max(logs)
        room = 0.04 * (high - low) or 0.5
        found.append(np.linspace(low - room, high + room, GRID))
    return found[0], found[1]


def _filled(
    fine: Sequence[Trial], lost: Sequence[Trial], heights: Sequence[float],
    lr: np.ndarray, decay: np.ndarray,
) -> list[list[float | None]]:  # fmt: skip
    """Linear between the trials, level towards the edges; nothing around lost ones."""
    from scipy.interpolate import LinearNDInterpolator, NearestNDInterpolator
    from scipy.spatial import QhullError

    def at(trials: Iterable[Trial]) -> np.ndarray:
        logs = [[math.log10(x.values["lr"]), math.log10(x.values["weight_decay"])] for x in trials]
        low = np.array([lr[0], decay[0]])
        return np.asarray((np.array(logs) - low) / (np.array([lr[-1], decay[-1]]) - low))

    side = np.linspace(0, 1, GRID)
    grid = np.stack(np.meshgrid(side, side), axis=-1).reshape(-1, 2)
    points, values = at(fine), np.array(heights)
    if len(fine) == 1:
        z = np.full(len(grid), values[0])
    else:
        z = NearestNDInterpolator(points, values)(grid)
        try:
            # With their mirror images outside, so that trials are on all sides of every point.
            turns = ((1.0, 0.0), (-1.0, 0.0), (-1.0, 2.0))
            mirrored = [points * [x[0], y[0]] + [x[1], y[1]] for x in turns for y in turns]
            inner = LinearNDInterpolator(np.concatenate(mirrored), np.tile(values, len(mirrored)))(
                grid
            )
            z = np.where(np.isnan(inner), z, inner)
        except QhullError:  # too few, or all on one line
            pass
    if lost:
        near = np.linalg.norm(grid[:, None] - at(lost), axis=-1).min(axis=1)
        z[near < np.linalg.norm(grid[:, None] - points, axis=-1).min(axis=1)] = np.nan
    table = z.reshape(GRID, GRID)
    return [[None if math.isnan(x) else float(f"{x:.4g}") for x in row] for row in table]


def table(view: View) -> list[dict[str, Any]]:
    """All trials, for the appendix."""
    return [
        {
            "label": view.task.row(x.arm).label,
            "study": x.study,
            "trial": x.trial,
            "setting": ", ".join(f"{name}={value:g}" for name, value in x.values.items()),
            "quality": "lost" if x.quality is None else view.units.value(x.quality),
            "loss": "–" if x.loss is None else written.digits(x.loss),
            "chosen": x.chosen,
        }
        for x in view.task.trials
    ]
