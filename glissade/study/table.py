"""The table of a comparison on a terminal."""

from __future__ import annotations

from rich import box
from rich.markup import escape
from rich.table import Table

from glissade.study import units
from glissade.study.analysis import Row, TaskAnalysis
from glissade.study.units import NONE

NARROWEST = 100  # columns that the table may need
WIDE = 130  # columns from which on there is room for more air


def table(task: TaskAnalysis, width: int = NARROWEST) -> Table:
    """A line for each optimizer, the best first."""
    gap = 3 if width >= WIDE else 2
    shown = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, gap - 1, 0, 0))
    shown.add_column("\noptimizer", style="bold", overflow="fold")
    unit = f", {task.units.unit}" if len(task.units.unit) in (1, 2) else ""
    for header in (
        f"{task.units.name}{unit}\ntest",
        f"behind {task.rows[0].label}\n95 % interval",
        "adjusted\np",
        f"{task.units.name}{unit}\nuntuned",
        "chosen\nlr, decay",
        "steps to\n"
        + (
            "target"
            if task.target is None
            else f"{units.digits(task.target)}{unit.replace(',', '')}"
        ),
        "µs a\nstep",
        "\nstate",
    ):
        shown.add_column(escape(header), justify="right", no_wrap=True)
    for row in task.rows:
        shown.add_row(
            escape(row.label),
            *map(escape, _cells(task, row)),
            style="red" if row.test is None else "",
        )
    return shown


def _cells(task: TaskAnalysis, row: Row) -> tuple[str, ...]:
    unit = task.units
    return (
        unit.value(row.test, unit=False),
        *_behind(task, row),
        unit.value(row.default, unit=False),
        ", ".join(f"{value:.2g}" for value in row.values.values()) or NONE,
        NONE if not row.runs else
        (NONE if row.steps_to_target is None else f"{row.steps_to_target:g}")
        + f" ({row.reached}/{row.runs})",
        NONE if row.step_ms is None else units.digits(1000 * row.step_ms),
        units.size(row.state_bytes),
    )  # fmt: skip


def _behind(task: TaskAnalysis, row: Row) -> tuple[str, str]:
    """The typical paired difference to the first, with its interval; and its p."""
    if row is task.rows[0]:
        return "", ""
    try:
        found = task.between(row.arm, task.rows[0].arm)
    except KeyError:
        return NONE, NONE
    said = _end(found.typical)
    if found.interval is not None:
        low, high = (_end(x) for x in (found.interval.low, found.interval.high))
        said += f" [{low}, {high}]"
    return said, f"{found.adjusted:.2g}"


def _end(x: float) -> str:
    if abs(x) == float("inf"):
        return "lost" if x > 0 else "ahead"  # runs of this one, or of the first
    return units.digits(x)


def key(seeds: int) -> str:
    """What the columns mean."""
    return (
        f"Medians over {seeds} fresh seed{'s' if seeds != 1 else ''}: the test metric; how far "
        f"behind the first, in pairs of the same seed; the test metric at the optimizer's own "
        f"defaults; the chosen setting (the middle one of the studies'); steps until the "
        f"validation metric reached the target, and how many seeds got there; time of "
        "optimizer.step(); optimizer state."
    )
