"""The command `glissade compare`."""

from __future__ import annotations

import math
import os
import platform
import shlex
import time
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from glissade.commands import fail
from glissade.study import conduct, files, loading, options, saying, statistics, table, units
from glissade.study.analysis import Analysis, analyse
from glissade.study.design import DEFAULT_OPTIMIZERS, Plan, Settings, settings_from
from glissade.study.engine import Engine, EngineError, make
from glissade.study.progress import display
from glissade.study.store import OTHERWISE, Store, StoreError, read_plan
from glissade.study.typed import Damaged

Given = dict[str, Any]


def compare(
    task: Annotated[
        str | None,
        typer.Argument(
            help="Names of `glissade tasks`, with commas, or your own: my.py:task  "
            "[default: digits]"
        ),
    ] = None,
    optimizers: Annotated[
        str | None,
        typer.Option(
            "-o",
            "--optimizers",
            help="As in 'sgd, adamw(weight_decay=0.1), lion(lr=between(1e-5, 1e-3))'  "
            f"[default: {DEFAULT_OPTIMIZERS}]",
        ),
    ] = None,
    schedules: Annotated[
        str | None,
        typer.Option(
            "-s",
            "--schedules",
            help="Each optimizer with each of these: constant, cosine, ...  [default: constant]",
        ),
    ] = None,
    trials: Annotated[
        int | None, typer.Option(help="Settings tried, in each study  [default: 16]")
    ] = None,
    studies: Annotated[
        int | None, typer.Option(help="Independent tunings of each optimizer  [default: 3]")
    ] = None,
    seeds: Annotated[
        int | None,
        typer.Option(
            help="Fresh seeds for the chosen settings, all studies' together  [default: 10]"
        ),
    ] = None,
    target: Annotated[
        str | None,
        typer.Option(
            metavar="auto|NUMBER",
            help="Validation metric to be reached  [default: auto, "
            "what the middle optimizer reached in tuning]",
        ),
    ] = None,
    budget: Annotated[
        str | None, typer.Option(metavar="TIME", help="Stop in time, as in 20m, 90s or 1h30m.")
    ] = None,
    epochs: Annotated[
        int | None, typer.Option(help="Passes over the train part  [default: the task's]")
    ] = None,
    steps: Annotated[
        int | None, typer.Option(help="Steps of each run, in place of epochs.")
    ] = None,
    batch: Annotated[
        str | None, typer.Option(metavar="full|K", help="Batch size  [default: the task's]")
    ] = None,
    evaluations: Annotated[
        int | None, typer.Option(help="Looks at the validation part in each run  [default: 40]")
    ] = None,
    seed: Annotated[
        int | None, typer.Option(help="Of the table of trials and of all runs  [default: 0]")
    ] = None,
    backend: Annotated[
        str | None, typer.Option(help="Backend of every optimizer  [default: chosen for you]")
    ] = None,
    engine: Annotated[
        str, typer.Option(help="local: processes here. ray: your cluster. slurm: by submitit.")
    ] = "local",
    workers: Annotated[
        int | None, typer.Option(help="Runs at a time  [default: one for each core]")
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(help="Folder for results  [default: glissade-out/compare-TASK-TIME]"),
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with the comparison in --out, as it was.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say how many runs there are and how long they take.")
    ] = False,
) -> None:
    """Which optimizer? Tune each the same number of times, and compare them on fresh seeds.

    Settings are chosen on validation data; test data is used once, at the end of the last runs.
    Untuned defaults run beside them. The page report.html says who won, by how much and how sure.

    Examples:

      glissade compare digits -o sgd,adamw,lion,radam --trials 16 --seeds 10

      glissade compare my.py:task -o adamw,lion -s constant,cosine --budget 20m
    """  # fmt: skip
    console = Console()
    if not console.is_terminal:  # nothing is cut off or broken in a pipe or a file
        console.width = max(console.width, table.WIDE)
    made: Engine | None = None
    store: Store | None = None
    began = time.monotonic()
    options.end_as_interrupted()
    try:
        given: Given = {
            "tasks": task and tuple(x.strip() for x in task.split(",")),
            "optimizers": optimizers, "schedules": schedules, "trials": trials,
            "studies": studies, "seeds": seeds, "target": options.target_of(target),
            "epochs": epochs, "steps": steps, "batch": options.batch_of(batch),
            "evaluations": evaluations, "seed": seed, "backend": backend,
        }  # fmt: skip
        if resume and out is None:
            raise ValueError("--resume needs --out, the folder of the comparison to go on with")
        plan = _plan({k: v for k, v in given.items() if v is not None}, out if resume else None)
        seconds = options.seconds_of(budget)
        for one in plan.tasks:
            loading.check(one)
        made = make(engine, workers)
        name = "-".join(one.name for one in plan.tasks[:3])
        folder = out or Path("glissade-out") / f"compare-{name}-{time.strftime('%Y%m%d-%H%M%S')}"
        options.reachable(folder, resume)
        _estimate(console, plan, made, seconds, dry_run, resume)
        if dry_run:
            return
        store = Store.open(folder, plan, resume)
        command = _command(plan, budget, engine, workers)
        _run(console, plan, store, made, seconds, began, command)
    except (ValueError, StoreError, EngineError) as error:
        fail("compare", " ".join(str(error).split()), 2 if store is None else 1)
    except KeyboardInterrupt:
        fail("compare", f"interrupted{_saved(store)}", 130)
    except OSError as error:
        fail("compare", f"cannot write: {error.strerror or error}{_saved(store)}", 1)
    finally:
        if made is not None:
            made.close()
        if store is not None:
            store.close()


def _plan(given: Given, resumed: Path | None) -> Plan:
    """Of what was asked; a comparison that is resumed keeps what it had."""
    settings = Settings(**given)
    if resumed is not None:
        settings = Settings(**{**_stored(resumed).__dict__, **given})
    tasks = tuple(loading.load(text, settings.batch) for text in settings.tasks)
    plan = Plan(settings, tasks)
    if not plan.arms:
        raise ValueError("no optimizer named: give at least one, as in -o sgd,adamw")
    return plan


def _stored(folder: Path) -> Settings:
    """Return the settings of the comparison in a folder, or raise StoreError."""
    written = read_plan(folder)
    try:
        stored = settings_from(written.plan)
    except Damaged as error:
        raise StoreError(
            f"{written.path}: plan.{error}; a comparison's plan.json is needed. {OTHERWISE}"
        ) from None
    written.verify()
    return stored


def _estimate(
    console: Console,
    plan: Plan,
    engine: Engine,
    budget: float | None,
    dry: bool,
    resume: bool,
) -> None:
    """Say what is to come; ValueError if an optimizer cannot run."""
    found = conduct.estimate(plan, engine)
    for name, why in found.errors.items():
        raise ValueError(f"{plan.arm(name).label} cannot run here: {why}")
    if budget is not None and not resume and found.least(plan) > budget:
        raise ValueError(
            f"a budget of {units.seconds(budget)} is too short: {conduct.FEWEST} trials of each "
            f"optimizer in each study, and one fresh seed, take about "
            f"{units.seconds(found.least(plan))}; name fewer optimizers, or fewer --studies"
        )
    asked = plan.settings
    for task in plan.tasks:
        _say(console, f"{task.title}: {plan.steps(task)} steps a run, batches of {task.train.size}")
    each = "each of " if asked.studies > 1 else ""
    _say(
        console,
        f"{len(plan.arms)} optimizers, {asked.trials} trials in {each}{asked.studies} "
        f"stud{'ies' if asked.studies > 1 else 'y'}, then {asked.seeds} fresh seeds: "
        f"{sum(found.runs.values())} runs, {engine.workers} at a time"
        + ("" if resume else f", about {units.seconds(found.total)}")
        + (f"; to be stopped after {units.seconds(budget)}" if budget else ""),
    )
    pairs = math.comb(len(plan.arms), 2)
    if asked.seeds < (least := statistics.fewest_pairs(pairs or 1)):
        _say(
            console,
            f"Note: {asked.seeds} seeds cannot show a difference, however large it is; from "
            f"{least} on they can, with {len(plan.arms)} optimizers",
        )
    if dry:
        for phase, count in found.runs.items():
            _say(console, f"  {phase:<8} {count:>5} runs  {units.seconds(found.seconds[phase])}")
        for arm in plan.arms:
            space = ", ".join(f"{x.name} {x}" for x in arm.searched.dimensions)
            _say(console, f"  {arm.label}: {space or 'nothing to tune'}")
        _say(console, f"  plan {plan.hash}; nothing was written")


def _run(
    console: Console,
    plan: Plan,
    store: Store,
    engine: Engine,
    budget: float | None,
    began: float,
    command: str,
) -> None:
    """Run what is missing, then say what was found."""
    for note in store.notes:
        _say(console, note)
    if store.results:
        _say(console, f"{len(store.results)} runs are there already")
    with display(console, plan, budget) as watcher:
        outcome = conduct.compare(plan, store, engine, watcher, budget, began)
    facts = {
        "command": command,
        "date": time.strftime("%Y-%m-%d"),
        "system": f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores",
        "workers": engine.workers,
    }
    analysis = analyse(outcome, facts)
    written = files.write(store.folder, analysis)
    _show(console, analysis)
    from glissade.study import page  # late: matplotlib and plotly take a while to import

    written = [*page.write_all(store.folder, analysis), *written]
    _say(console, f"\n{units.seconds(outcome.seconds)}. Written in {store.folder}:")
    for path, what in [*written, (store.path, "every run"), (store.folder / "plan.json", "plan")]:
        _say(console, f"  {path.name:<16} {what}")
    if any(row.failed for task in analysis.tasks for row in task.rows):
        fail("compare", f"some runs failed; --resume makes them again{_saved(store)}", 1)


def _show(console: Console, analysis: Analysis) -> None:
    """Verdict, table and caveats of every task."""
    for task in analysis.tasks:
        if len(analysis.tasks) > 1:
            _say(console, f"\n{task.title}")
        console.print(f"\n{task.verdict}\n", style="bold", highlight=False, markup=False)
        console.print(table.table(task, console.width))
        console.print()
    key = table.key(analysis.seeds)
    console.print(key, highlight=False, markup=False)
    console.print(saying.RULE, highlight=False, markup=False)
    for line in analysis.caveats:
        console.print(f"- {line}", style="yellow", highlight=False, markup=False)


def _command(plan: Plan, budget: str | None, engine: str, workers: int | None) -> str:
    """The command that makes the same comparison."""
    words = ["glissade", "compare", ",".join(plan.settings.tasks)]
    usual = Settings()
    for name in ("optimizers", "schedules", "trials", "studies", "seeds", "target", "epochs",
                 "steps", "batch", "evaluations", "seed", "backend"):  # fmt: skip
        value = getattr(plan.settings, name)
        if value != getattr(usual, name):
            words += [f"--{name}", str(value)]
    for name, given in (("budget", budget), ("workers", workers)):
        if given is not None:
            words += [f"--{name}", str(given)]
    if engine != "local":
        words += ["--engine", engine]
    return shlex.join(words)


def _saved(store: Store | None) -> str:
    if store is None:
        return ""
    count = len(store.results)
    saved = "1 run is saved" if count == 1 else f"{count} runs are saved"
    again = shlex.join(["glissade", "compare", "--resume", "--out", str(store.folder)])
    return f": {saved}. To go on:\n  {again}"


def _say(console: Console, line: str) -> None:
    """A line as it is: paths are never broken or coloured."""
    console.print(line, highlight=False, markup=False, soft_wrap=True)
