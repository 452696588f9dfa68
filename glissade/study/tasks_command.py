"""The command `glissade tasks`."""

from __future__ import annotations

import typer
from rich import box
from rich.console import Console
from rich.table import Table

from glissade.study.loading import TaskError, load
from glissade.study.tasks import BUILT_IN


def tasks() -> None:
    """The tasks that are built in, and how to bring your own.

    All of them are on data that comes with the libraries. `glissade compare`, `heatmap`, `advise`,
    `cost` and `lrfind` train on them.
    """
    console = Console()
    if not console.is_terminal:
        console.width = max(console.width, 130)
    shown = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False)
    for name in ("name", "what", "metric", "better", "parameters", "batch", "steps"):
        shown.add_column(
            name, justify="right" if name in ("parameters", "batch", "steps") else "left"
        )
    for name in BUILT_IN:
        try:
            task = load(name)
        except TaskError as error:
            shown.add_row(name, str(error))
            continue
        count = sum(p.numel() for p in task.build(0).parameters())
        better = "less" if task.direction == "min" else "more"
        shown.add_row(
            name, task.title, task.metric_name, better, f"{count:,}", str(task.train.size),
            f"{task.epochs * len(task.train):,}",
        )  # fmt: skip
    console.print(shown)
    typer.echo(
        "Your own: my.py with a `task` that has build, loss, metric, train, validation, test and "
        "direction;\nexamples/own_task.py is one in thirty lines."
    )
