"""Makes docs/benchmarks.md and its picture from docs/benchmarks.json, the file of one run:

glissade bench --all --peers all --json docs/benchmarks.json
python tools/benchmarks.py
python tools/benchmarks.py --page    # the page alone
"""

from __future__ import annotations

import shlex
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

from glissade.bench.case import Case, Timed
from glissade.bench.options import words
from glissade.bench.peers import COLUMNS
from glissade.bench.picture import LABELS, draw
from glissade.bench.record import Record, read
from glissade.bench.settings import REFERENCE
from glissade.bench.shapes import MODELS
from glissade.bench.table import shortfall

DOCS = Path(__file__).parents[1] / "docs"
FILE, PAGE, PICTURE = (DOCS / f"benchmarks.{ending}" for ending in ("json", "md", "png"))
NONE = ""

HOW = (
    "How each figure is taken, and what disturbs it: [benchmarks/](../benchmarks/README.md). "
    "`glissade bench --all --compare docs/benchmarks.json` holds a run of yours against this one."
)
COLUMNS_OF_RULES = (
    "*moved*: bytes that a step moves for each parameter, by the plan. *state*: bytes for each "
    "parameter that are kept, by the plan (and by how much the process grew). *MB more*: memory "
    "that a step takes for a moment. *% floor*: 100 is the time of plain streams with the same "
    "reads and writes. *×*: how many times as long others take in the same rounds; a library "
    "without such an optimizer has no figure."
)
PRECISIONS = (
    "On GPT-2, all in the same rounds. Others keep their states as they do by default: torch and "
    "Optax as the parameters, bitsandbytes in float32 or in 8 bits."
)


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table, its first column of words and the others of numbers."""
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def time(timed: Timed | None) -> str:
    """A step, in the unit that suits it."""
    if timed is None:
        return NONE
    return f"{timed.us / 1e3:.3g} ms" if timed.us >= 1000 else f"{timed.us:.1f} µs"


def times(case: Case, forms: Sequence[str]) -> list[str]:
    """How many times as long others take."""
    return [f"{case.peers[f].ratio:.2f}" if f in case.peers else NONE for f in forms]


def forms_of(cases: Sequence[Case]) -> list[str]:
    """The columns that have figures."""
    return [form for form in COLUMNS if any(form in case.peers for case in cases)]


def heads(forms: Sequence[str]) -> list[str]:
    """What they are called."""
    return [f"× {LABELS.get(form, form)}" for form in forms]


def rules(cases: Sequence[Case]) -> str:
    """Every rule on GPT-2 in float32."""
    some = [case for case in cases if case.shape == "gpt2" and case.precision.full]
    forms = forms_of(some)
    rows = []
    for case in some:
        if case.ours is None:
            rows.append([case.rule, case.error, *[NONE] * (5 + len(forms))])
            continue
        lacks = shortfall(case)
        held = NONE if case.held_bytes is None else f" ({case.held_bytes:.2f})"
        share = f"{case.floor_percent:.0f}" + (f", short by {lacks:.1f}" if lacks else "")
        rows.append([
            case.rule, time(case.ours), f"{case.bytes_per_parameter:.3g}",
            f"{case.state_bytes:.3g}{held}", f"{(case.ours.peak_bytes or 0) / 1e6:.1f}",
            f"{case.gb_per_s:.1f}", share, *times(case, forms),
        ])  # fmt: skip
    head = ["rule", "a step", "moved", "state", "MB more", "GB/s", "% floor", *heads(forms)]
    return table(head, rows)


def precisions(cases: Sequence[Case]) -> str:
    """The reference rule in each precision."""
    some = [case for case in cases if (case.rule, case.shape) == (REFERENCE, "gpt2")]
    forms = forms_of(some)
    rows = []
    for case in some:
        if case.ours is None:
            rows.append([str(case.precision), case.error, *[NONE] * (4 + len(forms))])
            continue
        faster = NONE if case.over_float32 is None else f"{case.over_float32:.2f}"
        rows.append([
            str(case.precision), time(case.ours), f"{case.bytes_per_parameter:.3g}",
            f"{case.state_bytes:.3g}", f"{case.floor_percent:.0f}", faster, *times(case, forms),
        ])  # fmt: skip
    head = ["numbers", "a step", "moved", "state", "% floor", "times as fast", *heads(forms)]
    return table(head, rows)


def models(cases: Sequence[Case]) -> str:
    """The reference rule on each model in float32."""
    some = [case for case in cases if case.rule == REFERENCE and case.precision.full]
    forms = forms_of(some)
    rows = [
        [MODELS[case.shape].title, f"{MODELS[case.shape].tensors:,}", time(case.ours),
         *times(case, forms)]
        for case in some
    ]  # fmt: skip
    return table(["model", "tensors", "a step", *heads(forms)], rows)


def first_steps(cases: Sequence[Case]) -> str:
    """How long others compile."""
    found: dict[str, list[float]] = {}
    for case in cases:
        for form, timed in case.peers.items():
            if timed.first_step_s is not None:
                found.setdefault(LABELS.get(form, form), []).append(timed.first_step_s)
    return " ".join(
        f"{form} took {min(some):.1f} to {max(some):.1f} s until its first step was done."
        for form, some in found.items()
    )


def starting(record: Record) -> list[str]:
    """Import, first step, compiling."""
    out = []
    if record.kernels:
        slowest = max(record.kernels, key=lambda kernel: kernel.ms)
        times_ = sorted(kernel.ms for kernel in record.kernels)
        out.append(
            f"From nothing to the first step of a layer: {times_[len(times_) // 2]:.0f} ms in the "
            f"median of {len(times_)} rules and variants, {slowest.ms:.0f} ms for the slowest "
            f"({slowest.rule} {slowest.variant}".rstrip()
            + ")."
        )
    if record.start is not None:
        start = record.start
        out.append(
            f"In a fresh process `import torch` takes {start.torch.median:.2f} s and `import "
            f"glissade` after it {start.ours.median:.2f} s. AdamW's first step on the MLP is done "
            f"after {start.first_step.median:.2f} s, {start.constructor.median:.2f} s of it in the "
            "constructor, where torch imports its compiler for the first optimizer of a process, "
            "its own included."
        )
    return [*out, first_steps(record.cases)]


def goals(record: Record) -> str:
    """What the project wants, and what this run says."""
    rows = [[goal.what, goal.now, goal.wanted, goal.verdict] for goal in record.goals]
    return table(["goal", "now", "wanted", ""], rows)


def page(record: Record) -> str:
    """The text of docs/benchmarks.md."""
    command = shlex.join([*words(record.settings), "--json", "docs/benchmarks.json"])
    busy = record.busy_cores_of_others
    others = "" if busy is None else f" Other processes kept {busy:.1f} cores busy meanwhile."
    parts = [
        "<!-- Written by `python tools/benchmarks.py`: do not edit. -->",
        "# Benchmarks",
        f"One run on {record.machine}. {record.started[:10]}, {record.settings.rounds} rounds, "
        f"{record.seconds / 60:.0f} minutes.{others} To take it again, and make this page of it:",
        f"```sh\n{command}\npython tools/benchmarks.py\n```",
        HOW,
        "![How near each optimizer comes to the speed of memory](benchmarks.png)",
        "## Every rule on GPT-2 124M, float32",
        COLUMNS_OF_RULES,
        rules(record.cases),
        "## AdamW in fewer bits",
        PRECISIONS,
        precisions(record.cases),
        "## AdamW on other models",
        models(record.cases),
        "## Starting and compiling",
        *starting(record),
        "## Goals",
        "What the project wants of its own speed, held against this run.",
        goals(record),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def main(given: list[str]) -> None:
    """What the first lines of this file say."""
    record = read(FILE)
    PAGE.write_text(page(record), encoding="utf-8")
    if "--page" not in given:
        draw(PICTURE, record)


if __name__ == "__main__":
    main(sys.argv[1:])
