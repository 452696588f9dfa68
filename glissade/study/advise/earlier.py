"""What earlier comparisons of the same task found: their summaries, and what has changed since."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypedDict

from glissade.spec import specs
from glissade.study.record import parsed, unsealed
from glissade.study.statistics import LEVEL
from glissade.study.task import Prepared
from glissade.study.typed import Damaged, conform
from glissade.study.units import Units, digits

MOST = 2000  # files that are looked at
PARTS = ("train_data", "validation_data", "test_data")


# What is read of a summary.


class _Choice(TypedDict):
    trial: int | None
    values: dict[str, float]
    optimizer: str


class _Row(TypedDict):
    arm: str
    label: str
    chosen: list[_Choice]


class _Interval(TypedDict):
    low: float | None
    high: float | None


class _Difference(TypedDict):
    one: str
    other: str
    typical: float | None
    signed: float
    interval: _Interval | None
    adjusted: float


class _Task(TypedDict):
    task: str
    verdict: str
    metric: str
    rows: list[_Row]
    differences: list[_Difference]


class _Plan(TypedDict):
    tasks: dict[str, dict[str, Any]]


class _Summary(TypedDict):
    plan: _Plan
    hash: str
    seeds: int
    tasks: list[_Task]


class _Dated(_Summary, total=False):
    facts: dict[str, Any]


@dataclass(frozen=True)
class Found:
    """A difference that was declared, as its winner sees it: positive is its lead."""

    winner: str  # arms
    loser: str
    lead: float  # in units of the metric
    low: float  # interval; `inf` where it rests on lost runs
    high: float
    adjusted: float


@dataclass(frozen=True)
class Earlier:
    """One comparison of the task."""

    folder: Path
    date: str
    hash: str
    verdict: str
    metric: str
    batch: int | None
    seeds: int
    arms: tuple[str, ...]  # as in the summary: the best first
    labels: Mapping[str, str]
    settings: Mapping[str, str]  # the chosen setting of each, as one types it
    rates: Mapping[str, float]  # its lr
    found: tuple[Found, ...]
    changed: tuple[str, ...]  # of the task since then

    @property
    def winner(self) -> str | None:
        """The arm that is better than every other, with an interval that excludes zero."""
        for arm in self.arms[:1]:
            beaten = {x.loser for x in self.found if x.winner == arm and x.low > 0}
            if len(self.arms) > 1 and beaten == set(self.arms) - {arm}:
                return arm
        return None

    @property
    def beaten(self) -> set[str]:
        """Arms that some other is better than."""
        return {x.loser for x in self.found}


def search(task: Prepared, folder: Path) -> tuple[list[Earlier], list[str]]:
    """The comparisons of this task under a folder, the newest first; and notes on files that could
    not be read."""
    found, notes = [], []
    for path in sorted(folder.rglob("summary.json"))[:MOST] if folder.is_dir() else []:
        try:
            record = conform(_Dated, unsealed(parsed(path.read_bytes())))
            one = _read(task, path.parent, record)
        except OSError as error:
            notes.append(f"{path} cannot be read ({error.strerror}): it is left out")
            continue
        except Damaged as error:
            notes.append(f"{path} cannot be read ({error}): it is left out")
            continue
        if one is not None:
            found.append((one.date, path.stat().st_mtime, one))
    found.sort(key=lambda x: x[:2], reverse=True)
    return [one for *_, one in found], notes


def _read(task: Prepared, folder: Path, record: _Dated) -> Earlier | None:
    """Return a summary's part on the task, or None if it has none."""
    own = next((x for x in record["tasks"] if _name(x["task"]) == _name(task.text)), None)
    if own is None:
        return None
    then = record["plan"]["tasks"].get(own["task"])
    if then is None:
        raise Damaged(f"plan.tasks.{own['task']} is missing")
    batch = conform(_Batch, then).get("batch")
    rows = own["rows"]
    arms = tuple(row["arm"] for row in rows)
    chosen = {row["arm"]: _middle(row["chosen"]) for row in rows}
    _agree(own, arms, [x["optimizer"] for x in chosen.values() if x])
    return Earlier(
        folder=folder,
        date=str(record.get("facts", {}).get("date", "no date")),
        hash=record["hash"],
        verdict=own["verdict"],
        metric=own["metric"],
        batch=batch,
        seeds=record["seeds"],
        arms=arms,
        labels={row["arm"]: row["label"] for row in rows},
        settings={arm: x["optimizer"] for arm, x in chosen.items() if x},
        rates={arm: x["values"]["lr"] for arm, x in chosen.items() if x and "lr" in x["values"]},
        found=tuple(_found(x, arms) for x in own["differences"] if x["adjusted"] < LEVEL),
        changed=tuple(_changed(then, {**task.facts, "steps": task.epochs * len(task.train)})),
    )


class _Batch(TypedDict, total=False):
    batch: int | None


def _agree(task: _Task, arms: Sequence[str], settings: Sequence[str]) -> None:
    """Raise Damaged where a difference is of no row, or a setting is no optimizer's."""
    for x in task["differences"]:
        for which in (x["one"], x["other"]):
            if which not in arms:
                raise Damaged(f"a difference is of {which!r}, which has no row")
    for text in settings:
        try:
            specs(text)
        except ValueError as error:
            raise Damaged(str(error)) from None


def _name(text: str) -> str:
    """Of a task: my.py is my.py:task, and a file has one name from wherever it is seen."""
    place, _, name = text.rpartition(":")
    if text.endswith(".py"):
        place, name = text, "task"
    return f"{Path(place).resolve()}:{name}" if place else name


def _middle(chosen: Sequence[_Choice]) -> _Choice | None:
    """Of the studies' choices the one of the middle learning rate, as `Row.values`."""
    own = sorted(
        (x for x in chosen if x["trial"] is not None), key=lambda x: x["values"].get("lr", 0.0)
    )
    return own[(len(own) - 1) // 2] if own else None


def _found(record: _Difference, arms: Sequence[str]) -> Found:
    """In the summary negative means that the first is better, and None is infinite: a lead over
    runs that were lost, which the better one of the table has."""
    one, other, typical = record["one"], record["other"], record["typical"]
    first = record["signed"] < 0
    interval = record["interval"] or {"low": None, "high": None}
    low, high = interval["low"], interval["high"]
    if first:
        low, high = (None if x is None else -x for x in (high, low))
    lost = typical is None and low is None and high is None
    winner, loser = (one, other) if first else (other, one)
    return Found(
        winner,
        loser,
        math.inf if typical is None else abs(typical),
        low if low is not None else math.inf if lost else -math.inf,
        math.inf if high is None else high,
        record["adjusted"],
    )


def _changed(then: Mapping[str, Any], now: Mapping[str, object]) -> list[str]:
    """What makes an earlier result one of something else."""
    found = []
    if then.get("file") != now.get("file"):
        found.append("the task's file has changed since")
    data = [part.removesuffix("_data") for part in PARTS if then.get(part) != now.get(part)]
    if data:
        found.append(f"the {' and '.join(data)} data have changed since")
    if then.get("steps") != now.get("steps"):
        found.append(f"its runs had {then.get('steps')} steps, not {now.get('steps')}")
    if then.get("batch") != now.get("batch"):
        found.append(f"it had batches of {then.get('batch')}, not of {now.get('batch')}")
    return found


def said(one: Earlier) -> str:
    """A comparison in words: what it said, when, and what has changed since."""
    unit = Units.of(one.metric, "min")
    words = [f"{one.date}, {one.folder} (plan {one.hash}, {one.seeds} fresh seeds): {one.verdict}"]
    for x in one.found:
        if math.isinf(x.lead):
            by = "whose runs were lost"
        else:
            by = f"by {unit.amount(x.lead)}, 95 % interval {_end(x.low)} to {_end(x.high)}"
        words.append(
            f"{one.labels[x.winner]} beat {one.labels[x.loser]} {by}, adjusted p = "
            f"{x.adjusted:.2g}."
        )
    if one.changed:
        words.append(f"But {'; '.join(one.changed)}: it is a hint, and decides nothing.")
    return " ".join(words)


def _end(x: float) -> str:
    if math.isinf(x):
        return "beyond any number"
    return ("−" if x < 0 else "") + digits(abs(x))
