"""Charts of lines: training, the tuning budget, performance profiles."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from glissade.study import statistics
from glissade.study.analysis import Curve
from glissade.study.page.charts import (
    Chart,
    Panel,
    Trace,
    View,
    axis,
    joined,
    log_scale,
    numbers,
    positive,
    said,
)
from glissade.study.page.looks import Look, short

POINTS = 50  # of a training loss that are drawn: each is a mean over a stretch of steps

Line = tuple[Sequence[float], Sequence[float], Sequence[float]]  # steps, seconds, values


def training(view: View) -> Panel:
    """Loss and metric over steps or seconds."""
    if not view.task.curves:
        nothing = "No run on a fresh seed was made."
        return Panel(view.key("curves"), "Training curves", "", nothing=nothing)
    units = view.units
    name = said(view.task.metric)
    goal = "low" if units.sign > 0 else f"low in loss and high in {units.name}"
    charts = [
        _lines(view, "loss", "training loss", 1.0, {x: _loss(x) for x in view.task.curves}),
        _lines(view, "validation", f"validation {name}", units.sign,
               {x: (x.steps, x.seconds, x.validation) for x in view.task.curves}),
    ]  # fmt: skip
    caption = (
        "Each thin line is one fresh seed, each thick line the median of an optimizer’s seeds; a "
        "cross ends a run that diverged, which from there on counts as worst in the median. Best: "
        f"a line that soon goes {goal} and stays there. Over seconds, evaluation is left out."
    )
    return Panel(
        view.key("curves"), "Training curves", caption, charts, legend="lines", over=True,
        log=any(chart.log for chart in charts),
    )  # fmt: skip


def _loss(curve: Curve) -> Line:
    """In fewer points."""
    count = len(curve.losses)
    each = max(1, math.ceil(count / POINTS))
    steps, values = [], []
    for i in range(0, count, each):
        part = curve.losses[i : i + each]
        values.append(math.fsum(part) / len(part))
        steps.append(curve.loss_steps[i + len(part) - 1])
    seconds = np.interp(steps, [0, *curve.steps], [0.0, *curve.seconds])
    return steps, [float(x) for x in seconds], values


def _lines(view: View, key: str, title: str, sign: float, lines: dict[Curve, Line]) -> Chart:
    values = [x for line in lines.values() for x in line[2]]
    rising = sign < 0
    log = log_scale(values) and not rising
    traces: list[Trace] = []
    seconds: list[Any] = []
    medians: list[Trace] = []
    for row in view.task.rows:
        own = {curve: line for curve, line in lines.items() if curve.arm == row.arm}
        if not own:
            continue
        look, group = view.look(row.arm), view.group(row.arm)
        common = {"mode": "lines", "legendgroup": group, "line": {"color": look.name, "width": 1}}
        traces.append({
            **common, "x": joined([line[0] for line in own.values()]), "opacity": 0.35,
            "y": joined([numbers(line[2]) for line in own.values()]), "hoverinfo": "skip",
        })  # fmt: skip
        seconds.append(joined([numbers(line[1]) for line in own.values()]))
        ends = [line for curve, line in own.items() if curve.diverged_at is not None and line[0]]
        if ends:
            traces.append({
                **common, "mode": "markers", "x": [x[0][-1] for x in ends],
                "y": numbers(x[2][-1] for x in ends), "hoverinfo": "skip",
                "marker": {"symbol": "x-thin", "size": 9, "color": look.name,
                           "line": {"width": 2, "color": look.name}},
            })  # fmt: skip
            seconds.append(numbers(x[1][-1] for x in ends))
        medians.append(_median(view, row.arm, look, list(own.values()), sign, row.runs))
    seconds += [trace.pop("seconds") for trace in medians]
    layout = {
        "xaxis": axis("step", range=[0, view.task.steps * 1.01]),
        "yaxis": axis("", log),
    }
    return Chart(
        view.key(key), traces + medians, layout, 360, title, "ends", seconds,
        "y" if positive(values) and not rising else "",
    )  # fmt: skip


def _median(view: View, arm: str, look: Look, own: list[Line], sign: float, runs: int) -> Trace:
    """Where a lost run counts as worse than any."""
    by_step: dict[float, list[tuple[float, float]]] = {}
    for steps, seconds, values in own:
        for step, at, value in zip(steps, seconds, values, strict=False):
            by_step.setdefault(step, []).append((at, sign * value))
    steps = sorted(by_step)
    middle = []
    for step in steps:
        found = [value for _, value in by_step[step]]
        middle.append(sign * statistics.median(found + [math.inf] * (runs - len(found))))
    label = view.task.row(arm).label
    return {
        "mode": "lines", "legendgroup": view.group(arm), "x": steps, "y": numbers(middle),
        "line": {"color": look.name, "width": 3, "dash": look.dash},
        "meta": short(label, 16), "name": said(label),
        "hovertemplate": "<b>%{fullData.name}</b><br>median %{y:.3g} at %{x:.4~g}<extra></extra>",
        "seconds": numbers(float(np.median([at for at, _ in by_step[step]])) for step in steps),
    }  # fmt: skip


def budget(view: View) -> Panel:
    """What more trials bring."""
    traces: list[Trace] = []
    lines: list[Trace] = []
    every: list[float | None] = []
    studies, most = 0, 1
    for row in view.task.rows:
        own = [x for x in view.task.budget[row.arm] if x]
        if not own:
            continue
        studies = max(studies, len(own))
        less = [[view.units.less(x) for x in curve] for curve in own]
        count = min(len(x) for x in less)
        table = np.array([x[:count] for x in less])
        low, high = table.min(axis=0), table.max(axis=0)
        middle = [statistics.median(table[:, k].tolist()) for k in range(count)]
        every += [view.units.back(x) for x in middle]
        look, group = view.look(row.arm), view.group(row.arm)
        trials = np.arange(1, count + 1)
        most = max(most, count)
        inside = np.isfinite(high) & np.isfinite(low)
        if len(own) > 1 and inside.sum() > 1:
            back = [view.units.back(float(x)) for x in [*low[inside], *high[inside][::-1]]]
            around = [*trials[inside], *trials[inside][::-1]]
            traces.append({
                "mode": "lines", "legendgroup": group, "x": [int(x) for x in around],
                "y": numbers(back), "fill": "toself", "fillcolor": f"{look.name}/22",
                "line": {"width": 0}, "hoverinfo": "skip",
            })  # fmt: skip
        lines.append({
            "mode": "lines+markers" if count < 3 else "lines", "legendgroup": group,
            "x": [int(x) for x in trials],
            "y": numbers(view.units.back(x) for x in middle),
            "line": {"color": look.name, "width": 3, "dash": look.dash},
            "meta": short(row.label, 22), "name": said(row.label),
            "hovertemplate": "<b>%{fullData.name}</b><br>expected best of %{x} trials: "
                             "%{y:.3g}<extra></extra>",
        })  # fmt: skip
    if all(x is None for x in every):
        return Panel(view.key("budget"), "Tuning budget", "", nothing="No trial gave a result.")
    of = f"the median of {studies} studies, their range as a band" if studies > 1 else "one study"
    caption = (
        f"The best validation {view.units.name} to expect after so many trials of random tuning: "
        f"{of}. Best: a line that is {view.better} already at the left, which needs little tuning. "
        "A line begins where all of so many trials can no longer have diverged."
    )
    log = view.log(every)
    layout = {
        "xaxis": axis("trials", tickformat="d", range=[0.8, most + 0.05]),
        "yaxis": axis(f"validation {said(view.task.metric)}", log),
    }
    chart = Chart(
        view.key("budget-chart"), traces + lines, layout, names="ends",
        log="y" if view.may_log(every) else "",
    )  # fmt: skip
    return Panel(
        view.key("budget"), "Tuning budget", caption, [chart], legend="lines", log=bool(chart.log)
    )


def profiles(view: View, found: dict[str, list[tuple[float, float]]], tasks: int) -> Panel:
    """Over all tasks."""
    last = max((x for points in found.values() for x, _ in points), default=1.0)
    end = max(last * 1.15, 1.5)
    traces = []
    for row in view.task.rows:
        points = found.get(row.arm, [])
        look = view.look(row.arm)
        xs = [1.0, *(x for x, _ in points), end]
        ys = [0.0, *(y for _, y in points), points[-1][1] if points else 0.0]
        traces.append({
            "mode": "lines", "legendgroup": view.group(row.arm), "x": numbers(xs),
            "y": numbers(100 * y for y in ys), "meta": short(row.label, 22),
            "line": {"color": look.name, "width": 3, "dash": look.dash, "shape": "hv"},
            "name": said(row.label),
            "hovertemplate": "<b>%{fullData.name}</b><br>%{y:.0f} % of tasks within %{x:.3g} times "
                             "the fewest steps<extra></extra>",
        })  # fmt: skip
    caption = (
        f"For how many of the {tasks} tasks an optimizer reached the target within so many times "
        "the steps of the fastest on that task. At the left: how often it was fastest; at the "
        "right: how often it got there at all. Best: high at the left already."
    )
    layout = {
        "xaxis": axis("steps, as a multiple of the fastest", log=True,
                      range=[math.log10(0.98), math.log10(end)]),
        "yaxis": axis("tasks, %", range=[-3, 103]),
    }  # fmt: skip
    chart = Chart("profiles-chart", traces, layout, names="ends")
    return Panel("profiles", "Performance profiles", caption, [chart], legend="lines")
