"""The command `glissade compare`."""

from __future__ import annotations

import shlex
import time
from pathlib import Path
from typing import Annotated, NoReturn

import typer
from rich.console import Console

from glissade.study import report, run, tasks
from glissade.study.design import Settings, configuration
from glissade.study.progress import display
from glissade.study.store import Store, StoreError


def compare(
    task: Annotated[str, typer.Argument(help="What to train on: digits.")] = "digits",
    optimizers: Annotated[
        str, typer.Option("-o", "--optimizers", help="Names from `glissade list`, with commas.")
    ] = ",".join(Settings.optimizers),
    seeds: Annotated[int, typer.Option(help="Fresh seeds for each final run.")] = Settings.seeds,
    out: Annotated[
        Path | None,
        typer.Option(help="Folder for results  [default: glissade-out/compare-TASK-TIME]"),
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with the runs that are in --out.")
    ] = False,
    lrs: Annotated[
        int, typer.Option(help="Learning rates tried for each optimizer.")
    ] = Settings.lrs,
    epochs: Annotated[int, typer.Option(help="Passes over the train part.")] = Settings.epochs,
    target: Annotated[
        float, typer.Option(help="Validation error to reach, such as 0.04 for 4 %.")
    ] = Settings.target,
    backend: Annotated[
        str | None, typer.Option(help="Backend of every optimizer  [default: chosen for you]")
    ] = None,
) -> None:
    """Train several optimizers on one task, each at its best learning rate, and compare them.

    Every optimizer is tried at the same number of learning rates, judged on validation data;
    the best is re-run on fresh seeds, and test data is used once, at the end of those runs.
    """
    console = Console()
    if not console.is_terminal:  # nothing is cut off or broken in a pipe or a file
        console.width = max(console.width, report.NARROWEST)
    try:
        problem = tasks.load(task)
        settings = Settings(
            optimizers=tuple(name.strip() for name in optimizers.split(",") if name.strip()),
            seeds=seeds,
            lrs=lrs,
            epochs=epochs,
            target=target,
            backend=backend,
        )
        if resume and out is None:
            raise ValueError("--resume needs --out, the folder of the comparison to go on with")
        run.rehearse(problem, settings)
        folder = out or Path("glissade-out") / f"compare-{task}-{time.strftime('%Y%m%d-%H%M%S')}"
        config = configuration(settings, problem)
        store = Store.open(folder, config, resume)
    except (ValueError, StoreError) as error:
        _fail(str(error), 2)
    again = resume_command(task, settings, folder)
    try:
        _run(console, problem, settings, store, config)
    except KeyboardInterrupt:
        _fail(f"interrupted: {_saved(store)}. To go on:\n  {again}", 130)
    except OSError as error:
        reason = f"cannot write in {folder}: {error.strerror or error}"
        _fail(f"{reason}; {_saved(store)}. To go on:\n  {again}", 1)
    finally:
        store.close()


def _run(
    console: Console,
    task: tasks.Task,
    settings: Settings,
    store: Store,
    config: dict[str, object],
) -> None:
    """Run what is missing, then report."""
    folder = store.path.parent
    started = time.monotonic()
    for note in store.notes:
        _say(console, note)
    _say(
        console,
        f"{task.title}: {len(settings.optimizers)} optimizers, {settings.lrs} learning rates "
        f"each, then {settings.seeds} fresh seeds"
        + (f"; {len(store.results)} runs are there already" if store.results else ""),
    )
    with display(console, settings) as watcher:
        choices, results = run.compare(task, settings, store, watcher)
    rows = report.summarise(choices, results)
    from glissade.study import picture  # late: matplotlib takes a while to import

    picture.draw(folder / "loss.png", rows, results, settings, task)
    report.write_summary(folder / "summary.json", rows, choices, settings, config, task)
    console.print()
    console.print(report.table(rows, settings, console.width))
    console.print()
    console.print(report.key(settings), highlight=False, markup=False)
    for line in report.divergences(rows):
        console.print(f"{line}.", style="red", highlight=False, markup=False)
    for choice in choices:
        if choice.warning:
            console.print(
                f"Warning: {choice.warning}.", style="yellow", highlight=False, markup=False
            )
    console.print(report.caveat(settings, task), highlight=False, markup=False)
    _say(console, f"\n{time.monotonic() - started:.0f} s. Written:")
    for name, what in (
        ("loss.png", "picture"),
        ("summary.json", "the table"),
        ("runs.jsonl", "every run"),
    ):
        _say(console, f"  {folder / name}  ({what})")


def resume_command(task: str, settings: Settings, folder: Path) -> str:
    """The command that goes on with an interrupted comparison."""
    words = ["glissade", "compare", task]
    if settings.optimizers != Settings.optimizers:
        words += ["-o", ",".join(settings.optimizers)]
    for name in ("seeds", "lrs", "epochs", "target", "backend"):
        value = getattr(settings, name)
        if value != getattr(Settings, name):
            words += [f"--{name}", str(value)]
    return shlex.join([*words, "--out", str(folder), "--resume"])


def _saved(store: Store) -> str:
    count = len(store.results)
    return "1 run is saved" if count == 1 else f"{count} runs are saved"


def _say(console: Console, line: str) -> None:
    """A line as it is: paths are never broken or coloured."""
    console.print(line, highlight=False, markup=False, soft_wrap=True)


def _fail(message: str, code: int) -> NoReturn:
    typer.echo(f"glissade compare: {message}", err=True)
    raise typer.Exit(code)
