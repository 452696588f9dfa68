"""The figures as tables: ruled on a terminal, aligned text elsewhere."""

from __future__ import annotations

from collections.abc import Sequence

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from ..plan import SIZES
from .compiling import Compiling
from .goals import Goal
from .peers import COLUMNS, COMPILED
from .run import WATCHED, Case, Settings, Timed
from .shapes import MODELS, Model
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


def heading(model: Model, settings: Settings) -> str:
    """A model in one line."""
    kept = "" if settings.state_dtype is None else f", state in {settings.state_dtype}"
    return (
        f"{model.name}: {model.title}, {model.tensors:,} tensors, {model.elements:,} parameters, "
        f"{settings.dtype}{kept}"
    )


def speeds(console: Console, cases: Sequence[Case], settings: Settings) -> Table:
    """One line a rule: its step, what it moves, its floor, and how torch compares."""
    forms = [f for f in COLUMNS if f != COMPILED or settings.compile]
    headers = ("rule", "µs a step", "B/param", "GB/s", "% floor", *forms)
    shown = _table(console, *headers)
    for case in cases:
        if case.error or case.ours is None:
            shown.add_row(case.rule, Text(case.error, style="red"))
            continue
        disturbed = (case.busy_cores_of_others or 0.0) > BUSY
        peers = [_times(case.peers[f].ratio) if f in case.peers else NONE for f in forms]
        shown.add_row(
            case.rule + " *" * disturbed,
            _microseconds(case.ours),
            f"{case.bytes_per_parameter:.1f}",
            f"{case.gb_per_s:.1f}",
            f"{case.floor_percent:.0f}",
            *peers,
        )
    return shown


def remarks(cases: Sequence[Case]) -> list[str]:
    """What goes under a model's table."""
    shape = cases[0].shape
    out = [NOTES[shape]] if shape in NOTES else []
    compiled = [c.peers[COMPILED].first_step_s for c in cases if COMPILED in c.peers]
    longest = max((s for s in compiled if s is not None), default=None)
    if longest is not None:
        out.append(f"torch.compile took up to {longest:.0f} s until its first step was done.")
    busy = max((case.busy_cores_of_others or 0.0 for case in cases), default=0.0)
    if busy > BUSY:
        out.append(f"* Others kept up to {busy:.1f} cores busy meanwhile: take it again in quiet.")
    return out + sorted({note for case in cases for note in case.notes})


def peaks(console: Console, cases: Sequence[Case], dtype: str) -> Table | None:
    """Memory that a step takes for a moment; None where nobody looked."""
    watched = [c for c in cases if c.ours and c.ours.peak_bytes is not None]
    if not watched:
        return None
    forms = [f for f in COLUMNS if any(f in c.peers for c in watched)]
    shown = _table(console, "rule", "shape", "one copy MB", "ours MB", *(f"{f} MB" for f in forms))
    for case in watched:
        assert case.ours is not None
        others = [case.peers[f].peak_bytes if f in case.peers else None for f in forms]
        shown.add_row(
            case.rule,
            case.shape,
            _megabytes(SIZES[dtype] * MODELS[case.shape].elements),
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


LEGEND = (
    "GB/s: bytes moved (by the plan) over time. % floor: 100 is the time of plain streams with "
    "the same reads and writes for each pass. default, foreach, fused, compile: how many times as "
    "long torch's own optimizer takes. Medians over rounds in which all take turns; memory is "
    f"watched from {WATCHED:,} parameters on."
)
