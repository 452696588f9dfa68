"""Charts with a row for each optimizer: differences, time to target; and what each costs."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from glissade.study import units as written
from glissade.study.analysis import Row
from glissade.study.page.charts import Chart, Panel, Trace, View, axis, lane, note, numbers, said
from glissade.study.page.looks import Look, short
from glissade.study.page.words import UNBOUNDED, interval
from glissade.study.statistics import Difference

ROW = 96  # pixels
LABEL = 0.29  # above a row's middle: two lines of text
DOTS = -0.08  # where its dots are,
MIDDLE = -0.31  # and what they have in common
LINE = {"color": "@ink", "width": 1.5}


def differences(view: View) -> Panel:
    """Everyone against the leader, pair by pair."""
    key, title = view.key("differences"), "Differences to the best"
    task = view.task
    if not task.differences or len(task.rows) < 2:
        return Panel(key, title, "", nothing="There is nothing to compare.")
    leader = task.rows[0]
    rows = task.rows[1:]
    # The other's less the leader's: to the right is worse, whichever way the metric goes.
    by = [task.between(row.arm, leader.arm) for row in rows]
    low, high = span(by)
    traces: list[Trace] = []
    notes = []
    for i, (row, one) in enumerate(zip(rows, by, strict=True)):
        traces += _difference(view, row, one, -i, low, high)
        told = [_way(view, one.typical)]
        if one.interval is not None:
            told.append(f"95 %: {interval(one)}")
        told.append(f"p = {one.adjusted:.2g}")
        notes.append(_label(row, ", ".join(told), i))
    top = LABEL + 0.45
    who = said(short(leader.label, 18))
    notes += [
        note(0, top, f"◂ better than {who}", xref="paper", xanchor="left", font={"size": 12}),
        note(1, top, "worse ▸", xref="paper", xanchor="right", font={"size": 12}),
    ]
    unit = {"%": "points"}.get(view.units.unit, view.units.unit)
    more = f"test {view.units.name}" + (f", {unit}" if unit else "")
    layout = {
        "xaxis": axis(f"difference of {said(more)}", range=[low, high]),
        "yaxis": _rows(len(rows), top + 0.28),
        "annotations": notes,
        "shapes": [{"type": "line", "x0": 0, "x1": 0, "y0": LABEL - 0.2 - i, "y1": -0.43 - i,
                    "line": LINE, "layer": "between"} for i in range(len(rows))],
    }  # fmt: skip
    caption = (
        f"Each dot is one seed: an optimizer’s result less {leader.label}’s; diamond and bar: the "
        "typical difference and its 95 % interval; p: adjusted for all pairs. Best: left of the "
        "line; where a bar crosses it, the seeds do not tell the two apart. A triangle lies beyond "
        "the edge, a cross is a lost run."
    )
    height = ROW * len(rows) + 100
    return Panel(
        key, title, caption, [Chart(view.key("forest"), traces, layout, height, shrinks=False)]
    )


def _way(view: View, x: float) -> str:
    if math.isinf(x):
        return f"{'better' if x < 0 else 'worse'} without bound ({UNBOUNDED})"
    if x == 0:
        return f"{view.units.amount(x)} apart"
    return f"{view.units.amount(x)} {'better' if x < 0 else 'worse'}"


def _label(row: Row, told: str, place: int) -> dict[str, Any]:
    """Above a row: the name, and beneath it what the row says."""
    text = f"<b>{said(short(row.label, 40))}</b><br><span style='font-size:12px'>{told}</span>"
    return note(
        0, LABEL - place, text, xref="paper", xanchor="left", align="left", bgcolor="@paper"
    )


def span(by: list[Difference]) -> tuple[float, float]:
    """Of the axis: all the intervals and most of the dots."""
    sure = [x.typical for x in by]
    sure += [end for x in by if x.interval is not None for end in (x.interval.low, x.interval.high)]
    dots = np.array([d for x in by for d in x.each if math.isfinite(d)] or [0.0])
    keep = [x for x in sure if math.isfinite(x)]
    keep += [float(x) for x in np.quantile(dots, [0.04, 0.96])]
    low, high = min([*keep, 0.0]), max([*keep, 0.0])
    wide = (high - low) or max(1.0, float(np.abs(dots).max()))
    # What lies hardly outside comes in too.
    near = dots[(dots > low - 0.5 * wide) & (dots < high + 0.5 * wide)]
    low, high = min(low, float(near.min())), max(high, float(near.max()))
    wide = (high - low) or 1.0
    return low - 0.1 * wide, high + 0.1 * wide


def _difference(
    view: View, row: Row, one: Difference, y: float, low: float, high: float
) -> list[Trace]:
    look = view.look(row.arm)
    inner = 0.02 * (high - low)
    xs, ys, symbols, told = [], [], [], []
    for seed, d in enumerate(one.each):
        xs.append(min(max(d, low + inner), high - inner))
        ys.append(y + DOTS + lane(seed, len(one.each)))
        beyond = "triangle-left" if d < 0 else "triangle-right"
        symbols.append("x-thin" if math.isinf(d) else "circle" if low <= d <= high else beyond)
        told.append(f"seed {seed}: {'lost' if math.isinf(d) else f'{d:+.3g}'}")
    traces = [{
        "mode": "markers", "x": numbers(xs), "y": ys, "text": told,
        "marker": {"symbol": symbols, "size": 8, "color": f"{look.name}/99",
                   "line": {"color": look.name, "width": 1.5}},
        "hovertemplate": "%{text}<extra></extra>",
    }]  # fmt: skip
    if one.interval is not None:
        ends = [min(max(x, low), high) for x in (one.interval.low, one.interval.high)]
        traces.insert(0, {
            "mode": "lines", "x": numbers(ends), "y": [y + MIDDLE] * 2, "hoverinfo": "skip",
            "line": {"color": f"{look.name}/55", "width": 14},
        })  # fmt: skip
    if math.isfinite(one.typical):
        traces.append(_diamond(one.typical, y, look, f"typical: {one.typical:+.3g}"))
    return traces


def _diamond(x: float, y: float, look: Look, told: str) -> Trace:
    return {
        "mode": "markers", "x": numbers([x]), "y": [y + MIDDLE], "text": [told],
        "marker": {"symbol": "diamond", "size": 15, "color": look.name,
                   "line": {"color": "@paper", "width": 1.5}},
        "hovertemplate": "%{text}<extra></extra>",
    }  # fmt: skip


def _rows(count: int, top: float) -> dict[str, Any]:
    return {
        "range": [0.5 - count, top], "showticklabels": False, "showgrid": False, "zeroline": False,
        "fixedrange": True,
    }  # fmt: skip


def time(view: View) -> Panel:
    """Steps until the validation metric is as good as the target."""
    key, title, task = view.key("time"), "Time to target", view.task
    if task.target is None or not any(row.times_to_target for row in task.rows):
        return Panel(key, title, "", nothing="There is no target, or no run on a fresh seed.")
    target = view.units.value(task.target)
    never = 1.18 * task.steps
    traces: list[Trace] = []
    notes = []
    for i, row in enumerate(task.rows):
        look, times = view.look(row.arm), row.times_to_target
        missed = [x is None for x in times]
        traces.append({
            "mode": "markers", "x": [never if x is None else x for x in times],
            "y": [DOTS - i + lane(seed, len(times)) for seed in range(len(times))],
            "text": [f"seed {k}: {'never' if x is None else x}" for k, x in enumerate(times)],
            "marker": {"symbol": ["circle-open" if x else "circle" for x in missed], "size": 8,
                       "color": look.name, "line": {"color": look.name, "width": 1.5}},
            "hovertemplate": "%{text}<extra></extra>",
        })  # fmt: skip
        middle = row.steps_to_target
        traces.append(_diamond(never if middle is None else middle, -i, look, "median"))
        told = "median: never" if middle is None else f"median {written.digits(middle)} steps"
        if row.seconds_to_target is not None:
            told += f" ({row.seconds_to_target:.2g} s)"
        notes.append(_label(row, f"{row.reached} of {row.runs} seeds, {told}", i))
    each = _nice(task.steps)
    ticks = [each * k for k in range(int(task.steps // each) + 1)]
    layout = {
        "xaxis": axis(
            "step", range=[-0.02 * task.steps, 1.26 * task.steps], tickvals=[*ticks, never],
            ticktext=[*(f"{x:,}" for x in ticks), "never"],
        ),
        "yaxis": _rows(len(task.rows), LABEL + 0.25),
        "annotations": notes,
        "shapes": [{"type": "rect", "x0": 1.1 * task.steps, "x1": 1.26 * task.steps,
                    "yref": "paper", "y0": 0, "y1": 1, "line": {"width": 0},
                    "fillcolor": "@band", "layer": "below"}],
    }  # fmt: skip
    caption = (
        f"The step at which the validation {view.units.name} was first {target} or better: a dot "
        "for each seed, a diamond for the median (a miss counts as later than any hit). Best: "
        "dots far to the left, and none in the column “never”."
    )
    height = ROW * len(task.rows) + 76
    return Panel(
        key, title, caption, [Chart(view.key("time-chart"), traces, layout, height, shrinks=False)]
    )


def _nice(steps: int) -> int:
    """The distance of some four round ticks."""
    raw = steps / 4
    size = 10 ** math.floor(math.log10(raw)) if raw >= 1 else 1
    return int(max(1, next((m * size for m in (1, 2, 2.5, 5, 10) if m * size >= raw), raw)))


def cost(view: View) -> Panel:
    """Quality, memory and time in one chart."""
    key, title = view.key("cost"), "Quality, memory and step time"
    rows = [x for x in view.task.rows if x.test is not None and x.step_ms is not None]
    if not rows:
        return Panel(key, title, "", nothing="No optimizer has both a result and a step time.")
    largest = max(row.state_bytes for row in rows) or 1
    traces = []
    for row in rows:
        look = view.look(row.arm)
        told = (
            f"<b>{said(row.label)}</b><br>{view.units.value(row.test)}<br>"
            f"{row.step_ms:.3g} ms a step<br>{written.size(row.state_bytes)} of state"
        )
        traces.append({
            "mode": "markers", "x": numbers([row.step_ms]), "y": numbers([row.test]),
            "legendgroup": view.group(row.arm),
            "meta": f"{short(row.label, 20)}, {written.size(row.state_bytes)}",
            "marker": {"size": 9 + 27 * math.sqrt(row.state_bytes / largest),
                       "color": f"{look.name}/88", "line": {"color": look.name, "width": 2}},
            "text": [told], "hovertemplate": "%{text}<extra></extra>",
        })  # fmt: skip
    corner = "lower" if view.task.direction == "min" else "upper"
    caption = (
        f"Across: the time of one optimizer step; upwards: the median test {view.units.name}; a "
        "dot’s area: the memory of the optimizer’s state, in words beside it. Best: a small dot in "
        f"the {corner} left corner."
    )
    layout = {
        "xaxis": axis("time of a step, ms", **_roomy([row.step_ms for row in rows])),
        "yaxis": axis(f"test {said(view.task.metric)}", **_roomy([row.test for row in rows])),
    }
    return Panel(
        key, title, caption, [Chart(view.key("cost-chart"), traces, layout, 380, names="points")]
    )


def _roomy(values: list[float | None]) -> dict[str, Any]:
    """A range with room for dots and names."""
    own = [x for x in values if x is not None]
    low, high = min(own), max(own)
    wide = (high - low) or abs(high) or 1.0
    return {"range": [low - 0.25 * wide, high + 0.25 * wide]}
