"""The figures as tables: ruled on a terminal, aligned text elsewhere."""

from __future__ import annotations

from collections.abc import Sequence

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from .case import Case, Timed
from .compare import Comparison
from .compiling import Compiling
from .goals import FLOOR, Goal
from .peers import COLUMNS, COMPILED
from .run import WATCHED
from .settings import Precision
from .shapes import Model
from .start import Start
from .timing import BUSY

NONE = "-"
NOTES = {
    "mlp": "All of it stays in the cache: what is timed is the way to the kernel, so % floor says "
    "how small that way is, nothing about memory.",
    "many": "The floor streams over the same elements in one piece.",
}


def _table(console: Console, *headers: str) -> Table:
    shown = Table(
        box=box.SIMPLE_HEAD if console.is_terminal else None,
        pad_edge=False,
        padding=(0, 1, 0, 0),
    )
    for i, header in enumerate(headers):
        shown.add_column(header, justify="right" if i else "left", no_wrap=True)
    return shown


def _microseconds(timed: Timed | None) -> str:
    if timed is None:
        return NONE
    return f"{timed.us:,.1f}" if timed.us < 1000 else f"{timed.us:,.0f}"


def _times(x: float) -> str:
    return f"{x:.1f}x" if x >= 1.95 else f"{x:.2f}x"


def _megabytes(count: int | None) -> str:
    return NONE if count is None else f"{count / 1e6:,.1f}"


def heading(model: Model, precision: Precision) -> str:
    """A model in one line."""
    return (
        f"{model.name}: {model.title}, {model.tensors:,} tensors, {model.elements:,} parameters, "
        f"{precision}"
    )


def speeds(console: Console, cases: Sequence[Case]) -> Table:
    """One line a rule: its step, what it moves, its floor, and how others compare."""
    forms = [form for form in COLUMNS if any(form in case.peers for case in cases)]
    short = any(map(shortfall, cases))
    floors = ("% floor", "short by") if short else ("% floor",)
    shown = _table(console, "rule", "µs a step", "B/param", "GB/s", *floors, *forms)
    for case in cases:
        if case.error or case.ours is None:
            shown.add_row(case.rule, Text(case.error, style="red"))
            continue
        disturbed = (case.busy_cores_of_others or 0.0) > BUSY
        peers = [_times(case.peers[f].ratio) if f in case.peers else NONE for f in forms]
        lacks = shortfall(case)
        shown.add_row(
            case.rule + " *" * disturbed,
            _microseconds(case.ours),
            f"{case.bytes_per_parameter:.1f}",
            f"{case.gb_per_s:.1f}",
            f"{case.floor_percent:.0f}",
            *([f"{lacks:.1f}" if lacks else ""] if short else []),
            *peers,
        )
    return shown


def shortfall(case: Case) -> float:
    """By how many percent a case misses the project's goal for its floor; 0 if it has none."""
    aims = case.shape == "gpt2" and case.precision.full and case.floor
    return max(0.0, FLOOR - case.floor_percent) if aims else 0.0


def remarks(cases: Sequence[Case]) -> list[str]:
    """What goes under a model's table."""
    shape = cases[0].shape
    out = [NOTES[shape]] if shape in NOTES else []
    for form, what in ((COMPILED, "torch.compile"), ("optax", "jit of Optax")):
        compiled = [c.peers[form].first_step_s for c in cases if form in c.peers]
        longest = max((s for s in compiled if s is not None), default=None)
        if longest is not None:
            out.append(f"{what} took up to {longest:.1f} s until its first step was done.")
    for case in cases:
        if case.over_float32 is not None and not case.precision.full:
            out.append(f"{case.rule}: {_times(case.over_float32)} as fast as in float32.")
    busy = max((case.busy_cores_of_others or 0.0 for case in cases), default=0.0)
    if busy > BUSY:
        out.append(f"* Others kept up to {busy:.1f} cores busy meanwhile: take it again in quiet.")
    return out + sorted({note for case in cases for note in case.notes})


def memory(console: Console, cases: Sequence[Case]) -> Table | None:
    """State by the plan and as measured, and what a step takes for a moment; None where nobody
    looked."""
    watched = [c for c in cases if c.ours and c.ours.peak_bytes is not None]
    if not watched:
        return None
    forms = [f for f in COLUMNS if any(f in c.peers for c in watched)]
    headers = ("rule", "shape", "numbers", "state", "measured", "step")
    shown = _table(console, *headers, *forms)
    for case in watched:
        assert case.ours is not None
        others = [case.peers[f].peak_bytes if f in case.peers else None for f in forms]
        shown.add_row(
            case.rule,
            case.shape,
            str(case.precision),
            f"{case.state_bytes:.2f}",
            NONE if case.held_bytes is None else f"{case.held_bytes:.2f}",
            _megabytes(case.ours.peak_bytes),
            *map(_megabytes, others),
        )
    return shown


def compile_times(console: Console, kernels: Sequence[Compiling]) -> Table:
    """One line a rule, its slowest variant."""
    shown = _table(console, "rule", "slowest variant", "ms", "stages", "compiled again")
    for rule in dict.fromkeys(k.rule for k in kernels):
        own = [k for k in kernels if k.rule == rule]
        worst = max(own, key=lambda k: k.ms)
        again = sum(k.again for k in own)
        shown.add_row(rule, worst.variant or NONE, f"{worst.ms:.0f}", str(worst.stages), str(again))
    return shown


def goal_lines(goals: Sequence[Goal]) -> list[Text]:
    """Each goal, met or missed."""
    return [
        Text.assemble(("met    ", "green") if g.met else ("missed ", "red"), str(g)) for g in goals
    ]


def starts(start: Start) -> list[str]:
    """Import and first step, in words."""
    return [
        f"import torch {start.torch}, import glissade after it {start.ours}.",
        f"AdamW on the MLP: {start.first_step} until its first step is done, of it "
        f"{start.constructor} in the constructor.",
        f"Medians of {start.processes} processes, and their middle half.",
    ]


def compared(console: Console, comparison: Comparison) -> Table:
    """Two runs, one line a contestant."""
    shown = _table(console, "rule", "shape", "numbers", "whose", "old ms", "new ms", "new/old")
    for row in comparison.rows:
        times = (f"{ms:,.3f}" if ms < 10 else f"{ms:,.1f}" for ms in (row.old_ms, row.new_ms))
        shown.add_row(row.rule, row.shape, row.numbers, row.who, *times, f"{row.ratio:.2f}")
    return shown


LEGEND = (
    "GB/s: bytes moved (by the plan) over time. % floor: 100 is the time of plain streams with "
    "the same reads and writes for each pass. Columns with x: how many times as long others take; "
    "default, foreach, fused and compile are torch's own. State: by the plan, and by how much the "
    "process grew; step: what one takes for a moment. Medians over rounds in which all take "
    f"turns; memory is watched from {WATCHED:,} parameters on."
)
