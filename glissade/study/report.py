"""What a comparison found, as a table and as a file."""

from __future__ import annotations

import json
import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from rich import box
from rich.table import Table

from glissade.study.design import Choice, RunResult, Settings
from glissade.study.tasks import Task

NONE = "–"
NARROWEST = 80  # columns that the table may need
WIDE = 110  # columns from which on there is room for more air


@dataclass(frozen=True)
class Row:
    """One optimizer's line of the table. Errors are fractions; None where there is nothing."""

    optimizer: str
    label: str
    lr: float | None
    test_error: float | None
    test_half_width: float | None  # of the 95 % interval; None for a single seed
    validation_error: float | None
    test_errors: tuple[float, ...]  # one a seed
    steps_to_target: float | None  # median over seeds, a miss being later than any hit
    reached_target: int
    final_runs: int
    step_ms: float | None
    state_bytes: int | None
    tuning_runs: int
    tuning_diverged: int
    final_diverged: int


def half_width(values: Sequence[float]) -> float | None:
    """Half of Student's 95 % interval for the mean."""
    from scipy import stats  # type: ignore[import-untyped,unused-ignore]

    if len(values) < 2:
        return None
    quantile = float(stats.t.ppf(0.975, len(values) - 1))
    return quantile * statistics.stdev(values) / math.sqrt(len(values))


def summarise(choices: Sequence[Choice], results: Sequence[RunResult]) -> list[Row]:
    """The rows of the table, least mean test error first, then those that never trained."""
    rows = [_row(choice, results) for choice in choices]
    return sorted(
        rows, key=lambda row: (math.inf if row.test_error is None else row.test_error, row.label)
    )


def _row(choice: Choice, results: Sequence[RunResult]) -> Row:
    own = [result for result in results if result.key.optimizer == choice.optimizer]
    tuning = [result for result in own if result.key.phase == "tune"]
    final = [result for result in own if result.key.phase == "final"]
    tests = tuple(result.test_error for result in final if result.test_error is not None)
    steps = [
        math.inf if result.steps_to_target is None else result.steps_to_target for result in final
    ]
    median_steps = statistics.median(steps) if steps else math.inf
    times = [result.step_ms for result in final if result.step_ms is not None]
    return Row(
        optimizer=choice.optimizer,
        label=choice.label,
        lr=choice.lr,
        test_error=statistics.fmean(tests) if tests else None,
        test_half_width=half_width(tests),
        validation_error=(
            statistics.fmean(result.validation_error for result in final) if final else None
        ),
        test_errors=tests,
        steps_to_target=median_steps if math.isfinite(median_steps) else None,
        reached_target=sum(math.isfinite(step) for step in steps),
        final_runs=len(final),
        step_ms=statistics.median(times) if times else None,
        state_bytes=max((result.state_bytes for result in own), default=None),
        tuning_runs=len(tuning),
        tuning_diverged=sum(result.diverged for result in tuning),
        final_diverged=sum(result.diverged for result in final),
    )


def table(rows: Sequence[Row], settings: Settings, width: int = NARROWEST) -> Table:
    """The rows, readable at 80 columns and with more air where there are more."""
    gap = 4 if width >= WIDE else 2
    shown = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, gap - 1, 0, 0))
    shown.add_column("\noptimizer", style="bold", no_wrap=True)
    for header in (
        "learning\nrate",
        "test error, %\nmean ± 95 %",
        "valid.\nerror, %",
        f"steps to\n{100 * settings.target:.3g} % error",
        "µs a\nstep",
        "state,\nKiB",
    ):
        shown.add_column(header, justify="right", no_wrap=True)
    for row in rows:
        shown.add_row(
            row.label,
            NONE if row.lr is None else f"{row.lr:g}",
            _percent(row.test_error) + _interval(row.test_half_width),
            _percent(row.validation_error),
            _steps(row),
            NONE if row.step_ms is None else _three_digits(1000 * row.step_ms),
            NONE if row.state_bytes is None else _three_digits(row.state_bytes / 1024),
            style="red" if row.final_diverged or row.lr is None else "",
        )
    return shown


def key(settings: Settings) -> str:
    """What the table's columns mean."""
    seeds = "the one seed" if settings.seeds == 1 else f"{settings.seeds} seeds"
    return (
        f"Final runs, over {seeds}: mean test error with Student's 95 % interval; mean validation "
        f"error; median steps to {100 * settings.target:.3g} % validation error (and how many "
        "seeds got there); median time of optimizer.step(); optimizer state."
    )


def divergences(rows: Sequence[Row]) -> list[str]:
    """A line for each optimizer that diverged somewhere."""
    lines = []
    for row in rows:
        found = [
            f"{count} of {total} {kind} runs"
            for count, total, kind in (
                (row.tuning_diverged, row.tuning_runs, "tuning"),
                (row.final_diverged, row.final_runs, "final"),
            )
            if count
        ]
        if found:
            lines.append(f"{row.label} diverged in {' and '.join(found)}")
    return lines


def caveat(settings: Settings, task: Task) -> str:
    """What the table can say and what it cannot."""
    seeds = f"{settings.seeds} seed" + ("s" if settings.seeds > 1 else "")
    return (
        f"This is {seeds} of one small task: the intervals cover the luck of initial weights "
        f"and batch order on one split ({len(task.test)} test images, so one image is "
        f"{100 / len(task.test):.2f} %), intervals that overlap show no difference, and nothing "
        "here speaks for other models, other data, longer training or other settings than the "
        "learning rate."
    )


def write_summary(
    path: Path,
    rows: Sequence[Row],
    choices: Sequence[Choice],
    settings: Settings,
    config: Mapping[str, object],
    task: Task,
) -> None:
    """The table and all it rests on, as JSON."""
    summary = {
        "config": config,
        "settings": asdict(settings),
        "final_seeds": list(settings.final_seeds),
        "rows": [asdict(row) for row in rows],
        "choices": [asdict(choice) for choice in choices],
        "warnings": [choice.warning for choice in choices if choice.warning],
        "caveat": caveat(settings, task),
    }
    path.write_text(json.dumps(summary, indent=1, allow_nan=False) + "\n", encoding="utf-8")


def _percent(error: float | None) -> str:
    return NONE if error is None else f"{100 * error:.2f}"


def _interval(half: float | None) -> str:
    return "" if half is None else f" ± {100 * half:.2f}"


def _three_digits(value: float) -> str:
    """Such as 0.05, 3.14, 31.4, 314 and 3,142."""
    decimals = 2 if value < 10 else 1 if value < 100 else 0
    return f"{value:,.{decimals}f}"


def _steps(row: Row) -> str:
    if not row.final_runs:
        return NONE
    median = NONE if row.steps_to_target is None else f"{row.steps_to_target:g}"
    return f"{median} ({row.reached_target}/{row.final_runs})"
