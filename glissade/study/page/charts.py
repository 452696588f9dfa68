"""Charts as plain data: what plotly draws, and what the page's script adds to it."""

from __future__ import annotations

import html
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from glissade.study.analysis import TaskAnalysis
from glissade.study.page.looks import Look, looks
from glissade.study.units import Units

Trace = dict[str, Any]
WIDE_RATIO = 8.0  # of values, from which on a log scale is taken


@dataclass(frozen=True)
class Chart:
    """One plot. A colour is a name such as ``@c0`` or ``@ink``, with ``/33`` behind it for its
    opacity: the page decides between light and dark."""

    key: str
    traces: list[Trace]
    layout: dict[str, Any]
    height: int = 340
    title: str = ""  # above it, as the page's own text
    names: str = ""  # "ends": beside the lines' ends, "points": beside points, where there is room
    seconds: list[Any] | None = None  # each trace's x over seconds in place of steps
    log: str = ""  # the axis that may be linear or log: "y" or none
    shrinks: bool = True  # whether it may be less high in print

    @property
    def record(self) -> dict[str, Any]:
        return {
            "data": self.traces,
            "layout": self.layout,
            "height": self.height,
            "names": self.names,
            "seconds": self.seconds,
            "log": self.log,
            "shrinks": self.shrinks,
        }


@dataclass(frozen=True)
class Panel:
    """A section with its charts, or with the reason why there are none."""

    key: str
    title: str
    caption: str  # how it is read and what is best
    charts: list[Chart] = field(default_factory=list)
    legend: str = ""  # of "lines" or of "marks"
    over: bool = False  # a toggle between steps and seconds
    log: bool = False  # a toggle between linear and log
    scale: tuple[str, str] | None = None  # words at the ends of a colour scale
    small: bool = False  # small multiples
    nothing: str = ""  # said in place of charts


@dataclass(frozen=True)
class View:
    """A task as the charts see it."""

    task: TaskAnalysis
    place: int  # among the tasks

    @property
    def units(self) -> Units:
        return self.task.units

    @property
    def looks(self) -> dict[str, Look]:
        return looks(self.task.budget)

    def look(self, arm: str) -> Look:
        return self.looks[arm]

    def key(self, name: str) -> str:
        return f"{name}-{self.place}"

    def log(self, values: Iterable[float | None]) -> bool:
        """Whether a log scale shows these values of the metric better: of an accuracy, never."""
        return self.task.direction == "min" and log_scale(values)

    def may_log(self, values: Iterable[float | None]) -> bool:
        """Whether there may be one."""
        return self.task.direction == "min" and positive(values)

    @property
    def better(self) -> str:
        """Which way is better."""
        return "lower" if self.task.direction == "min" else "higher"

    def group(self, arm: str) -> str:
        """What the legend shows and hides together."""
        return str(self.look(arm).place)


def said(text: str) -> str:
    """As text inside of a chart, where some tags would be followed."""
    return html.escape(text, quote=False)


def numbers(values: Iterable[float | None]) -> list[float | None]:
    """With six digits; None where there is none."""
    return [None if x is None or not math.isfinite(x) else float(f"{x:.6g}") for x in values]


def log_scale(values: Iterable[float | None]) -> bool:
    """Whether a log scale shows these better."""
    own = [x for x in values if x is not None and math.isfinite(x)]
    return bool(own) and min(own) > 0 and max(own) / min(own) > WIDE_RATIO


def positive(values: Iterable[float | None]) -> bool:
    """Whether a log scale can show these at all."""
    return all(x > 0 for x in values if x is not None and math.isfinite(x))


def axis(title: str, log: bool = False, **more: Any) -> dict[str, Any]:
    kind = {"type": "log", "tickformat": "~g"} if log else {"type": "linear"}
    return {"title": {"text": title}, **kind, **more}


def joined(parts: Sequence[Sequence[Any]]) -> list[Any]:
    """Lines in one trace, with a gap after each."""
    return [x for part in parts for x in (*part, None)]


def note(x: float, y: float, text: str, **more: Any) -> dict[str, Any]:
    """An annotation inside of a chart."""
    return {"x": x, "y": y, "text": text, "showarrow": False, "font": {"size": 13}, **more}


def lane(place: int, count: int, width: float = 0.2) -> float:
    """How far a seed's dot lies from the middle of its row."""
    return 0.0 if count < 2 else width * (0.5 - place / (count - 1))
