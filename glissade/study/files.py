"""The numbers of a comparison as files: summary.json, results.csv and trials.csv."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Sequence
from pathlib import Path

from glissade.study.analysis import Analysis, finite
from glissade.study.record import sealed


def write(folder: Path, analysis: Analysis) -> list[tuple[Path, str]]:
    """Write them; returns each with what it is."""
    summary, results, trials = (
        folder / name for name in ("summary.json", "results.csv", "trials.csv")
    )
    text = json.dumps(sealed(analysis.record()), indent=1, allow_nan=False)
    summary.write_text(text + "\n", encoding="utf-8")
    table(
        results,
        ["task", "optimizer", "seed", "test", "untuned_test", "steps_to_target"],
        (
            [task.task, row.arm, seed, test, default, at]
            for task in analysis.tasks
            for row in task.rows
            for seed, (test, default, at) in enumerate(
                zip(row.tests, _padded(row.defaults, row.tests), row.times_to_target, strict=True)
            )
        ),
    )
    names = sorted({name for t in analysis.tasks for one in t.trials for name in one.values})
    table(
        trials,
        ["task", "optimizer", "study", "trial", *names, "validation", "train_loss", "chosen"],
        (
            [task.task, one.arm, one.study, one.trial, *(one.values.get(x) for x in names),
             one.quality, one.loss, int(one.chosen)]
            for task in analysis.tasks
            for one in task.trials
        ),
    )  # fmt: skip
    return [
        (summary, "all numbers"),
        (results, "every fresh seed"),
        (trials, "every trial"),
    ]


def _padded(values: Sequence[float | None], like: Sequence[object]) -> list[float | None]:
    return [*values, *[None] * (len(like) - len(values))]


def table(path: Path, header: list[str], rows: Iterable[list[object]]) -> None:
    """A CSV file; what is None or not finite is left empty."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(header)
        writer.writerows(["" if x is None else x for x in finite(row)] for row in rows)
