"""The command `glissade cost`."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import torch
import typer
from rich import box
from rich.console import Console
from rich.table import Table

from glissade.bench.options import check_files
from glissade.commands import fail
from glissade.draw import desk
from glissade.spec import specs
from glissade.storage import FULL, LOWER, asked
from glissade.study import loading, units
from glissade.study.cost import measure as measuring
from glissade.study.cost.measure import Cost, Costs
from glissade.study.options import batch_of
from glissade.study.prose import hang
from glissade.study.task import Prepared
from glissade.study.units import NONE

SORTED = {
    "step": lambda row: row.step_ms,
    "state": lambda row: row.state_bytes,
    "peak": lambda row: row.peak_bytes or 0,
    "name": lambda row: row.label.lower(),
}
NARROW = 80


def cost(
    task: Annotated[
        str,
        typer.Argument(metavar="TASK", help="One of `glissade tasks`, or your own: my.py:task"),
    ] = "digits",
    optimizers: Annotated[
        str,
        typer.Option("-o", "--optimizers", help="As in 'sgd, lookahead(adam, k=5)'; all: each."),
    ] = "all",
    batch: Annotated[
        str | None, typer.Option(metavar="full|K", help="Batch size  [default: the task's]")
    ] = None,
    steps: Annotated[
        int | None,
        typer.Option(help="Steps that are timed of each  [default: about a second's, 5 to 200]"),
    ] = None,
    state_dtype: Annotated[
        str | None,
        typer.Option(metavar="|".join((FULL, *LOWER)), help="What states are kept in."),
    ] = None,
    threads: Annotated[
        int | None, typer.Option(help="That torch computes with  [default: its own choice]")
    ] = None,
    sort: Annotated[str, typer.Option(metavar="|".join(SORTED), help="The least first.")] = "step",
    json_file: Annotated[
        Path | None, typer.Option("--json", metavar="FILE", help="Write all numbers as well.")
    ] = None,
) -> None:
    """What would each optimizer cost on my task? Time of a step, state, memory at its peak.

    Nothing is trained: every optimizer takes steps on the task's own model and gradients, in a
    process of its own, in turns with the others.

    Examples:

      glissade cost my.py:task --batch 256

      glissade cost digits -o adamw,lion,adafactor --state-dtype int8 --sort state
    """
    try:
        given = batch_of(batch)
        if steps is not None:
            desk.between("--steps", steps, 1, 1_000_000)
        if threads is not None:
            desk.between("--threads", threads, 1, 1024)
        if sort not in SORTED:
            raise ValueError(f"--sort {sort}: write one of {', '.join(SORTED)}")
        low = asked(state_dtype)
        check_files(json_file, None)
        if optimizers.strip() != "all":
            specs(optimizers)
        prepared = loading.load(task, given)
        loading.check(prepared)
        with desk.progress("cost") as report:
            found = measuring.measure(
                optimizers,
                task,
                given,
                steps,
                None if low is None else state_dtype,
                threads,
                report,
            )
    except ValueError as error:
        fail("cost", " ".join(str(error).split()), 2)
    except KeyboardInterrupt:
        fail("cost", "interrupted", 130)
    found.rows.sort(key=SORTED[sort])
    console = Console()
    if not console.is_terminal:
        console.width = 100
    show(console, prepared, found, state_dtype or FULL)
    if json_file is not None:
        try:
            json_file.write_text(
                json.dumps(record(prepared, found, state_dtype or FULL), indent=1) + "\n",
                encoding="utf-8",
            )
        except OSError as error:
            fail("cost", f"cannot write {json_file}: {error.strerror or error}", 1)
        typer.echo(f"Written: {json_file}")
    if not found.rows:
        fail("cost", "no optimizer could take a step", 1)


def record(task: Prepared, found: Costs, state_dtype: str) -> dict[str, Any]:
    """All that was measured, as plain data."""
    return {
        "task": {"title": task.title, **task.facts},
        "state_dtype": state_dtype,
        "torch": torch.__version__,
        **{
            key: value
            for key, value in asdict(found).items()
            if key != "gradient_ms" or found.rows  # JSON has no NaN
        },
        "rows": [{**asdict(row), "share": found.share(row)} for row in found.rows],
    }


def show(console: Console, task: Prepared, found: Costs, state_dtype: str) -> None:
    """The table, the key to it, and what cannot run."""
    hang(console, "", f"{task.title}: batches of {task.train.size}, states in {state_dtype}")
    if found.rows:
        hang(
            console,
            "",
            f"{found.parameters:,} parameters: with buffers {units.size(found.parameter_bytes)}, "
            f"gradients {units.size(found.gradient_bytes)}. Forward and backward take "
            f"{_time(found.gradient_ms)}, on {_where(found)}.",
        )
        console.print()
        console.print(table(found))
        console.print()
        for line in key(found):
            hang(console, "", line)
    notes = [f"{row.label}: {row.note}." for row in found.rows if row.note]
    for head, lines in (
        ("More than a gradient", notes),
        ("Cannot run", [f"{one.label}: {one.why}" for one in found.refused]),
    ):
        if lines:
            console.print(f"\n{head}", style="bold")
            for line in lines:
                hang(console, "- ", line)


def table(found: Costs) -> Table:
    """A line for each optimizer."""
    shown = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 2, 0, 0))
    shown.add_column("\noptimizer", style="bold", overflow="fold", max_width=30)
    for head in (
        "\nstep", "\nquartiles", "of a train-\ning step", "\nstate", "bytes a\nparameter",
        "memory at\nits peak",
    ):  # fmt: skip
        shown.add_column(head, justify="right", no_wrap=True)
    for row in found.rows:
        shown.add_row(
            row.label,
            _time(row.step_ms),
            _between(row),
            _percent(found.share(row)),
            units.size(row.state_bytes),
            f"{row.state_per_parameter:.1f}",
            NONE if row.peak_bytes is None else units.size(row.peak_bytes),
        )
    return shown


def key(found: Costs) -> list[str]:
    """What the columns mean, and what they rest on."""
    counts = sorted(row.steps for row in found.rows)
    timed = f"{counts[0]}" if counts[0] == counts[-1] else f"{counts[0]} to {counts[-1]}"
    rss = "growth of its process" if found.device == "cpu" else "torch.cuda.max_memory_allocated"
    lines = [
        f"step: median time of optimizer.step() over {timed} steps, each after a forward and a "
        "backward pass on the next batch; quartiles: half of the steps lie between them.",
        "of a training step: of forward, backward and step together.",
        "state, bytes a parameter: what the tensors in optimizer.state take.",
        "memory at its peak: parameters, buffers, state, and what one training step needs on top, "
        f"gradients and activations included (the {rss}). Python, libraries, compiled kernels and "
        "the data set are not in it. It is told to some hundred KiB: compare it on large models.",
    ]
    if any(row.peak_bytes is None for row in found.rows):
        lines[-1] += f" {NONE}: this system does not tell."
    turns = "in turn" if found.at_a_time > 1 else "one after another, as they need much memory"
    lines.append(
        f"Each optimizer had a process of its own, {turns}. Times are of this machine as it was, "
        "which others may have used, too: take a difference within the quartiles for none."
    )
    return lines


def _time(ms: float) -> str:
    for unit, one in (("s", 1e3), ("ms", 1.0)):
        if ms >= one:
            return f"{units.digits(ms / one)} {unit}"
    return f"{units.digits(ms * 1e3)} µs"


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %" if share >= 0.01 else "under 1 %"


def _between(row: Cost) -> str:
    low, high = _time(row.low_ms), _time(row.high_ms)
    if low.split()[1] == high.split()[1]:
        low = low.split()[0]
    return f"{low}–{high}"


def _where(found: Costs) -> str:
    if found.device != "cpu":
        return torch.cuda.get_device_name() if found.device == "cuda" else found.device
    return f"{found.threads} thread{'s' if found.threads > 1 else ''}"
