"""The command `glissade heatmap`."""

from __future__ import annotations

import shlex
import time
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from glissade.commands import fail
from glissade.study import conduct, files, loading, options, units
from glissade.study.design import RunResult, Settings
from glissade.study.engine import Engine, EngineError, make
from glissade.study.grid import Grid, Map, maps, setting
from glissade.study.progress import display
from glissade.study.store import Store, StoreError


def heatmap(
    task: Annotated[
        str, typer.Argument(help="A name of `glissade tasks`, or your own: my.py:task")
    ] = "digits",
    optimizers: Annotated[
        str,
        typer.Option("-o", "--optimizers", help="As in 'adamw, sgd(lr=between(1e-3, 1))'."),
    ] = "adam,adamw,sgd,sgdw",
    schedule: Annotated[
        str | None, typer.Option("-s", "--schedule", help="Of the learning rate  [default: none]")
    ] = None,
    points: Annotated[int, typer.Option(help="Values along each axis.")] = 7,
    seeds: Annotated[int, typer.Option(help="Runs at each place.")] = 2,
    epochs: Annotated[int | None, typer.Option(help="Passes  [default: the task's]")] = None,
    batch: Annotated[
        str | None, typer.Option(metavar="full|K", help="Batch size  [default: the task's]")
    ] = None,
    engine: Annotated[str, typer.Option(help="local, ray or slurm.")] = "local",
    workers: Annotated[int | None, typer.Option(help="Runs at a time.")] = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder  [default: glissade-out/heatmap-TASK-TIME]")
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with what is in --out.")] = False,
) -> None:
    """Learning rate by weight decay: a map for each optimizer, all on one scale.

    Example: glissade heatmap digits -o adam,adamw,sgd,sgdw
    """
    console = Console()
    made: Engine | None = None
    store: Store | None = None
    options.end_as_interrupted()
    try:
        settings = Settings(
            (task,), optimizers, schedule, trials=points**2, studies=1, epochs=epochs,
            batch=options.batch_of(batch), evaluations=1,
        )  # fmt: skip
        grid = Grid(settings, (loading.load(task, settings.batch),), points=points, repeats=seeds)
        loading.check(grid.tasks[0])
        named = f"heatmap-{grid.tasks[0].name}-{time.strftime('%Y%m%d-%H%M%S')}"
        folder = out or Path("glissade-out") / named
        if resume and out is None:
            raise ValueError("--resume needs --out, the folder of the map to go on with")
        options.reachable(folder, resume)
        made = make(engine, workers)
        count = grid.most_runs["tune"]
        _say(console, f"{grid.tasks[0].title}: {count} runs, {made.workers} at a time")
        for name, why in conduct.estimate(grid, made).errors.items():
            raise ValueError(f"{grid.arm(name).label} cannot run here: {why}")
        store = Store.open(folder, grid, resume)
        for note in store.notes:
            _say(console, note)
        began = time.monotonic()
        results = _runs(console, grid, store, made)
        found = maps(grid, results)
        words = ["glissade", "heatmap", task, "-o", optimizers, "--points", str(points),
                 "--seeds", str(seeds)]  # fmt: skip
        for option, value in (("-s", schedule), ("--epochs", epochs), ("--batch", batch)):
            words += [] if value is None else [option, str(value)]
        _show(console, grid, found, folder, shlex.join(words), time.monotonic() - began)
        failed = [x for x in results if x.error is not None]
        if failed:
            raise ValueError(
                f"{len(failed)} runs failed, and are missing in the map ({failed[0].error}); "
                "--resume makes them again"
            )
    except (ValueError, StoreError, EngineError) as error:
        fail("heatmap", " ".join(str(error).split()), 2 if store is None else 1)
    except KeyboardInterrupt:
        again = f"; --resume --out {store.folder} goes on" if store is not None else ""
        fail("heatmap", f"interrupted{again}", 130)
    except OSError as error:
        fail("heatmap", f"cannot write: {error.strerror or error}; --resume goes on", 1)
    finally:
        if made is not None:
            made.close()
        if store is not None:
            store.close()


def _runs(console: Console, grid: Grid, store: Store, engine: Engine) -> list[RunResult]:
    with display(console, grid, None) as watcher:
        return conduct.all_of(grid, store, engine, watcher, "tune", grid.tuning())


def _show(
    console: Console, grid: Grid, found: list[Map], folder: Path, command: str, seconds: float
) -> None:
    from glissade.study.heatmap_picture import picture

    (task,) = grid.tasks
    seeds = "1 seed" if grid.repeats == 1 else f"{grid.repeats} seeds"
    subtitle = f"{grid.steps(task)} steps, batches of {task.train.size}; {seeds} in each cell"
    for one in found:
        more = "" if one.separable is None else f"; R² of row + column {one.separable:.2f}"
        _say(console, f"{one.label}: {setting(one)}{more}")
    picture(folder / "heatmap.png", task.title, found, command, subtitle)
    rows = [
        [one.arm, lr, decay, value]
        for one in found
        for lr, line in zip(one.rates, one.values, strict=True)
        for decay, value in zip(one.decays, line, strict=True)
    ]
    files.table(folder / "heatmap.csv", ["optimizer", "lr", "weight_decay", "validation"], rows)
    _say(console, f"{units.seconds(seconds)}. Written in {folder}:")
    _say(console, "  heatmap.png  heatmap.csv  runs.jsonl  plan.json")
    _say(console, f"To do it again:\n  {command}")


def _say(console: Console, line: str) -> None:
    console.print(line, highlight=False, markup=False, soft_wrap=True)
