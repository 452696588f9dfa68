"""Roofline bars: each rule's share of its own floor, and where other libraries are."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from ..draw import style
from .case import Case
from .options import words
from .peers import COLUMNS
from .record import Record
from .settings import Precision
from .shapes import MODELS

DPI = 150
LEFT, RIGHT, AXIS = 1.25, 7.8, 0.55  # inches
BAR, THICK = 0.235, 0.62  # inches from bar to bar; of it the bar
ROOM = 13.0  # percent right of what is drawn, for the bytes
OURS, FLOOR = "#A9CCE3", "#000000"
LOOKS = (1, 2, 3, 4, 5, 7, 8, 0, 13)  # of style.series, for each column: all stand out on a bar
LABELS = {
    "default": "torch default", "foreach": "torch foreach", "fused": "torch fused",
    "compile": "torch.compile", "optax": "Optax under jit", "bnb 8-bit": "bitsandbytes 8-bit",
}  # fmt: skip

FOOTER = "100 %: plain streams with the same reads and writes, timed in turns."


def chosen(cases: Sequence[Case]) -> list[Case]:
    """The cases of the picture, the best first: gpt2 in float32, or what there is the most of.

    Raises:
        ValueError: nothing was timed.
    """
    timed = [case for case in cases if case.ours and case.floor]
    if not timed:
        raise ValueError("no rule was timed, so there is nothing to draw")
    groups: dict[tuple[str, Precision], list[Case]] = {}
    for case in timed:
        groups.setdefault((case.shape, case.precision), []).append(case)
    usual = groups.get(("gpt2", Precision()))
    some = usual or max(groups.values(), key=len)
    return sorted(some, key=lambda case: -case.floor_percent)


def draw(path: Path, record: Record) -> None:
    """Write the picture.

    Raises:
        ValueError: nothing was timed.
        OSError: it cannot be written.
    """
    cases = chosen(record.cases)
    model, first = MODELS[cases[0].shape], cases[0]
    forms = [form for form in COLUMNS if any(form in case.peers for case in cases)]
    what = f"{model.title}, {model.elements:,} parameters in {model.tensors:,} tensors"
    command = shlex.join([*words(record.settings), "--picture", "FILE.png"])
    sheet = style.sheet(
        title="How near each optimizer comes to the speed of memory",
        subtitle=f"{what}, {first.precision}. Bars: Glissade. On the right: bytes that a step "
        "moves for each parameter.",
        room=AXIS + BAR * len(cases) + 0.1,
        handles=[_mark(form) for form in forms],
        caption=[f"{record.machine}. Medians of {record.settings.rounds} rounds."],
        command=command,
        dpi=DPI,
        footer=FOOTER,
    )
    place = sheet.place(LEFT, RIGHT, AXIS, AXIS + BAR * len(cases) + 0.05)
    _bars(sheet.figure.add_axes(place), cases)
    style.save_png(sheet, path, command)


def _mark(form: str) -> Line2D:
    """How a peer is drawn; each column has a colour and a shape."""
    look = style.series(LOOKS[COLUMNS.index(form)])
    return Line2D(
        [], [], linestyle="", marker=look.marker, markersize=6.5, color=look.colour,
        markeredgecolor="white", markeredgewidth=0.5, label=LABELS.get(form, form),
    )  # fmt: skip


def _bars(axes: Axes, cases: Sequence[Case]) -> None:
    places = range(len(cases))
    axes.barh(places, [case.floor_percent for case in cases], height=THICK, color=OURS, zorder=2)
    ends = [max(map(case.peer_percent, case.peers), default=0.0) for case in cases]
    right = ROOM + max(100.0, cases[0].floor_percent, *ends)
    for at, case in enumerate(cases):
        axes.text(
            right, at, f"{case.bytes_per_parameter:.3g} B", va="center", ha="right",
            fontsize=style.BODY - 1, family=style.FONT, color=style.GREY,
        )  # fmt: skip
        for form in case.peers:
            mark = _mark(form)
            mark.set_data([case.peer_percent(form)], [at])
            mark.set_zorder(4)
            axes.add_line(mark)
    axes.axvline(100, color=FLOOR, linewidth=1.3, zorder=3)
    style.chart(axes)
    axes.grid(False, axis="y")
    style.label(axes, "% of the speed of memory alone", "")
    axes.set_yticks(list(places), [case.rule for case in cases])
    axes.tick_params(axis="y", length=0)
    axes.set_ylim(len(cases) - 0.4, -0.6)
    axes.set_xlim(0, right)
