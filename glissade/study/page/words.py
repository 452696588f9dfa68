"""The page's sentences: cards beneath the verdict, the table's cells, lines to copy."""

from __future__ import annotations

import ast
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from glissade import spec
from glissade.study import statistics
from glissade.study import units as written
from glissade.study.analysis import Analysis, Row, TaskAnalysis
from glissade.study.saying import Standing
from glissade.study.statistics import Difference
from glissade.study.units import NONE, Units

UNBOUNDED = "lost runs"  # in place of a difference that they make infinite


@dataclass(frozen=True)
class Card:
    """A short answer to a question."""

    asked: str
    main: str
    more: str


def cards(task: TaskAnalysis, studies: int) -> list[Card]:
    """Who, by how much, how sure, at what cost."""
    at = Standing.of(task.rows, task.differences)
    if len(task.rows) == 1:
        value = task.units.value(at.leader.test)
        return [Card("Who won?", at.leader.label, "nothing to compare it with"),
                Card("By how much?", value, f"median test {task.units.name}"),
                Card("How sure?", NONE, _count(at.leader.runs, "seed")),
                _cost(task, [at.leader])]  # fmt: skip
    if not task.differences:
        return [Card("Who won?", "Not known", "no run on a fresh seed was made"),
                Card("By how much?", NONE, "nothing was measured"),
                Card("How sure?", NONE, "the budget ended too early"),
                _cost(task, task.rows)]  # fmt: skip
    seeds = len(task.differences[0].each)
    studies = min(studies, seeds)
    pairs = f"{_count(seeds, 'paired seed')} in {_count(studies, 'tuning study', 'tuning studies')}"
    if not at.level:
        by = task.between(at.leader.arm, at.beaten[0].arm)
        side = "lower" if task.direction == "min" else "higher"
        return [
            Card("Who won?", at.leader.label, f"it beats {_several(at.beaten)}"),
            Card("By how much?", f"{task.units.amount(by.typical)} {side}",
                 f"test {task.units.name} than the next, {at.beaten[0].label}"
                 + (f"; 95 % interval {interval(by, -1.0)}" if by.interval else "")),
            Card("How sure?", f"p = {by.adjusted:.2g}", f"adjusted for all pairs; {pairs}"),
            _cost(task, [at.leader]),
        ]  # fmt: skip
    found = [task.between(x.arm, at.leader.arm) for x in at.level]
    level = f"{at.not_told_apart} are not told apart"
    if at.beaten:
        level += f"; {_several(at.beaten)} {'is' if len(at.beaten) == 1 else 'are'} behind"
    return [
        Card("Who won?", "No one" if _enough(task, seeds) or at.beaten else "Not known", level),
        _within(task, at, found),
        _unsure(found, len(task.differences), seeds, pairs),
        _cost(task, [at.leader, *at.level]),
    ]


def _within(task: TaskAnalysis, at: Standing, found: Sequence[Difference]) -> Card:
    """How large the difference may be that was not seen."""
    ends = [abs(x) for one in found if (i := one.interval) is not None for x in (i.low, i.high)]
    asked = "By how much?"
    who = at.level[0].label if len(at.level) == 1 else "any of these"
    if not ends:
        return Card(asked, "Not known", "a single seed gives no interval")
    if math.isinf(max(ends)):
        return Card(asked, "Not bounded", "lost runs are in the 95 % intervals")
    return Card(
        asked, f"At most {task.units.amount(max(ends))}",
        f"between {at.leader.label} and {who}: how far the 95 % "
        f"interval{'s reach' if len(found) > 1 else ' reaches'}",
    )  # fmt: skip


def _enough(task: TaskAnalysis, seeds: int) -> bool:
    return seeds >= statistics.fewest_pairs(len(task.differences))


def _unsure(found: Sequence[Difference], comparisons: int, seeds: int, pairs: str) -> Card:
    if seeds < (least := statistics.fewest_pairs(comparisons)):
        need = "needs" if comparisons == 1 else "need"
        more = f"too few: {_count(comparisons, 'comparison')} {need} {least} seeds or more"
        return Card("How sure?", _count(seeds, "seed"), more)
    p = min(x.adjusted for x in found)
    return Card(
        "How sure?", "Not told apart",
        f"adjusted p {'≥' if len(found) > 1 and p < 1 else '='} {p:.2g}; {pairs}. Not found is not "
        "the same as equal",
    )  # fmt: skip


def _cost(task: TaskAnalysis, rows: Sequence[Row]) -> Card:
    """Of the winner, or of the cheapest among equals."""
    asked = "At what cost?"
    own = [row for row in rows if row.step_ms is not None]
    if not own:
        return Card(asked, NONE, "no run gave a step time")
    row = min(own, key=lambda row: row.state_bytes)  # of equals the best, which comes first
    more = f"{written.size(row.state_bytes)} of state, {row.step_ms:.2g} ms a step"
    if task.target is not None:
        when = f"on {row.reached} of {row.runs} seeds"
        if row.steps_to_target is not None:
            when = f"in {written.digits(row.steps_to_target)} steps"
        more += f", target {task.units.value(task.target)} {when}"
    if len(rows) == 1:
        first, _, rest = more.partition(", ")
        return Card(asked, first, rest)
    return Card(asked, f"{row.label} is cheapest", f"in memory: {more}")


def _several(rows: Sequence[Row]) -> str:
    """Names, the first few of many."""
    names = [row.label for row in rows]
    if len(names) > 4:
        names = [*names[:3], f"{len(names) - 3} more"]
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def _count(n: int, one: str, many: str = "") -> str:
    return f"{n} {one if n == 1 else many or one + 's'}"


def interval(one: Difference, sign: float = 1.0) -> str:
    """Such as ``−0.28 to 0.56``."""
    if one.interval is None:
        return NONE
    ends = sorted((sign * one.interval.low, sign * one.interval.high))
    if math.isinf(ends[0]) and ends[0] == ends[1]:
        return "not bounded"
    return " to ".join(signed(x) for x in ends)


def signed(x: float) -> str:
    if math.isinf(x):
        return "−∞" if x < 0 else "∞"
    return ("−" if x < 0 else "") + written.digits(abs(x))


def overview(analysis: Analysis) -> str:
    """The sentence above all."""
    tasks = analysis.tasks
    if len(tasks) == 1:
        return tasks[0].verdict
    wins: dict[str, int] = {}
    open_ = 0
    for task in tasks:
        at = Standing.of(task.rows, task.differences)
        if task.differences and not at.level:
            wins[at.leader.label] = wins.get(at.leader.label, 0) + 1
        else:
            open_ += 1
    said = [
        f"{label} won on {count} of {len(tasks)} tasks"
        for label, count in sorted(wins.items(), key=lambda x: (-x[1], x[0]))
    ]
    if not said:
        return f"No winner on any of the {len(tasks)} tasks."
    if open_:
        said.append(f"on {open_} no single winner was found")
    return "; ".join(said) + "."


def cells(task: TaskAnalysis) -> list[dict[str, Any]]:
    """The summary's rows."""
    units: Units = task.units
    leader = task.rows[0]
    found = []
    for row in task.rows:
        difference = p = inside = ""
        if row is not leader and task.differences:
            one = task.between(row.arm, leader.arm)  # positive: worse than the leader
            way = task.units.sign
            turned = way * one.typical
            sign = "−" if turned < 0 else "+" if turned > 0 else ""
            difference = f"{sign}{units.amount(one.typical)}"
            if math.isinf(turned):
                difference = UNBOUNDED
            inside = interval(one, way) if one.interval is not None else ""
            p = f"p = {one.adjusted:.2g}"
        lost = []
        if row.runs_lost:
            lost.append(f"{row.runs_lost} of {row.runs} seeds")
        if row.trials_lost:
            lost.append(f"{row.trials_lost} of {row.trials} trials")
        found.append({
            "arm": row.arm, "label": row.label, "test": units.value(row.test),
            "default": units.value(row.default),
            "difference": difference or (NONE if row is not leader or row.test is None else "best"),
            "interval": inside, "p": p,
            "setting": [(name, f"{x:g}") for name, x in row.values.items()],
            "steps": NONE if row.steps_to_target is None
                     else written.digits(row.steps_to_target),
            "reached": f"{row.reached} of {row.runs} seeds",
            "step": NONE if row.step_ms is None else f"{row.step_ms:.3g} ms",
            "state": written.size(row.state_bytes), "lost": lost,
        })  # fmt: skip
    return found


def line(row: Row) -> tuple[str, str] | None:
    """The setting to begin with, as `glissade` reads it and in Python."""
    text = next((x.optimizer for x in row.chosen if x.values == row.values and x.optimizer), None)
    return None if text is None else (text, _python(text))


def _python(text: str) -> str:
    """The same as a call; "" for what cannot be written in one."""
    try:
        one = spec.specs(text)[0]
        call = ast.parse(text, mode="eval").body
    except (ValueError, SyntaxError, IndexError):
        return ""
    if one.row is None or not isinstance(call, ast.Call):
        return ""
    if not one.around:
        words = [ast.unparse(x) for x in call.keywords]
        name = _class(one.row.name)
        return f"glissade.{name}({', '.join(['model.parameters()', *words])})" if name else ""
    rules = ast.unparse(call)
    return f'glissade.spec.specs("{rules}")[0].optimizer(model.parameters())'


def _class(name: str) -> str:
    import glissade

    own = (x for x in glissade.optimizers.__all__ if x.lower() == name.lower())
    return next(own, "")
