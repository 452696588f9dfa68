"""The page: one file that needs nothing else, and no network."""

from __future__ import annotations

import functools
import json
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from plotly.offline import get_plotlyjs  # type: ignore[import-untyped,unused-ignore]

from glissade.draw.style import whole
from glissade.study import saying
from glissade.study import units as written
from glissade.study.analysis import Analysis, TaskAnalysis
from glissade.study.page import curves, rows, trials, words
from glissade.study.page.charts import Panel, View
from glissade.study.page.looks import COLOURS, DARK, SCALE, looks

HERE = Path(__file__).parent


def write(path: Path, analysis: Analysis) -> None:
    """Write the page."""
    text = document(analysis)
    with whole(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def document(analysis: Analysis) -> str:
    """The page's text, with plotly's own script in it once."""
    tasks = [_task(analysis, i) for i in range(len(analysis.tasks))]
    views = [x["view"] for x in tasks]
    profiles: Panel | None = None
    if analysis.profiles:
        profiles = curves.profiles(views[0], analysis.profiles, len(views))
    panels = [panel for task in tasks for panel in task["panels"]]
    panels += [profiles] if profiles else []
    charts = {chart.key: chart.record for panel in panels for chart in panel.charts}
    return (
        _environment()
        .get_template("page.html")
        .render(
            analysis=analysis,
            verdict=words.overview(analysis),
            rule=saying.RULE,
            tasks=tasks,
            single=len(tasks) == 1,
            profiles=profiles,
            legend=_legend(analysis),
            about=_about(analysis),
            spaces=_spaces(analysis),
            versions=analysis.plan.get("versions", {}),
            facts={name: _said(value) for name, value in analysis.facts.items()},
            plan=_pretty({k: v for k, v in analysis.plan.items() if k != "tables"}),
            colours=list(zip(COLOURS, DARK, strict=True)),
            scale=SCALE,
            css=_own("page.css"),
            script=_own("page.js"),
            plotly=Markup(get_plotlyjs()),
            charts=_json(charts),
            data=_json(analysis.record()),
        )
    )


@functools.cache
def _environment() -> Environment:
    return Environment(
        loader=FileSystemLoader(HERE),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def _own(name: str) -> Markup:
    return Markup((HERE / name).read_text(encoding="utf-8"))


def _json(value: Any) -> Markup:
    """Inside of a script, which "</" or "<!--" could end early."""
    text = json.dumps(value, separators=(",", ":"), allow_nan=False)
    return Markup(text.replace("<", "\\u003c"))


def _task(analysis: Analysis, place: int) -> dict[str, Any]:
    task = analysis.tasks[place]
    view = View(task, place)
    studies = max((len(x) for x in task.budget.values()), default=1)
    return {
        "view": view,
        "task": task,
        "place": place,
        "cards": words.cards(task, studies),
        "cells": words.cells(task),
        "lines": [(row, words.line(row)) for row in task.rows],
        "looks": view.looks,
        "panels": [
            curves.training(view), rows.differences(view), trials.sensitivity(view),
            trials.maps(view), curves.budget(view), rows.time(view), rows.cost(view),
        ],
        "target": task.units.value(task.target),
        "whose": ", which the middle optimizer reached in tuning"
        if analysis.plan.get("settings", {}).get("target", "auto") == "auto" else "",
        "sizes": _sizes(analysis, task),
        "trials": trials.table(view),
        "pairs": [_pair(view, x) for x in task.differences],
    }  # fmt: skip


def _sizes(analysis: Analysis, task: TaskAnalysis) -> str:
    """What each run was: ``400 steps, batches of 64; 1,078 examples to train on, ...``."""
    facts = analysis.plan.get("tasks", {}).get(task.task, {})
    said = f"{task.steps:,} steps a run"
    if "batch" in facts:
        said += f", batches of {facts['batch']:,}"
    if all(part in facts for part in ("train", "validation", "test")):
        said += (
            f"; {facts['train']:,} examples to train on, {facts['validation']:,} to choose by, "
            f"{facts['test']:,} to test on"
        )
    return said


def _pair(view: View, one: Any) -> dict[str, str]:
    first, second = view.task.row(one.one).label, view.task.row(one.other).label
    sign = view.units.sign  # in the metric's own direction again
    return {
        "one": first,
        "other": second,
        "typical": words.signed(sign * one.typical),
        "interval": words.interval(one, sign),
        "p": f"{one.p:.2g}",
        "adjusted": f"{one.adjusted:.2g}",
        "found": "" if one.better is None else f"{view.task.row(one.better).label} is better",
    }


def _legend(analysis: Analysis) -> list[dict[str, Any]]:
    """Every optimizer with its look, as they were named."""
    if not analysis.tasks:
        return []
    task = analysis.tasks[0]
    return [
        {"label": task.row(arm).label, "look": look, "colour": look.name[1:]}
        for arm, look in looks(task.budget).items()
    ]


def _about(analysis: Analysis) -> str:
    count = len(analysis.tasks[0].rows) if analysis.tasks else 0
    studies = analysis.plan.get("settings", {}).get("studies", 1)
    return (
        f"{count} optimizer{'s' if count != 1 else ''}, {analysis.trials} trials in each of "
        f"{studies} tuning stud{'ies' if studies != 1 else 'y'}, "
        f"{analysis.seeds} fresh seed{'s' if analysis.seeds != 1 else ''}, "
        f"{written.seconds(analysis.seconds)} of training"
    )


def _spaces(analysis: Analysis) -> list[tuple[str, list[tuple[str, str]]]]:
    arms = analysis.plan.get("arms", {})
    return [(arm.get("label", name), [*arm.get("space", {}).items()]) for name, arm in arms.items()]


def _said(value: Any) -> str:
    return value if isinstance(value, str) else _pretty(value)


def _pretty(value: Any) -> str:
    return json.dumps(value, indent=1, ensure_ascii=False, default=str)
