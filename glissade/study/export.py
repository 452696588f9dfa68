"""A comparison's runs for a tracker: TensorBoard, MLflow or Trackio.

Each run gets its name, its hyperparameters, its training loss, its validation metric and what it
came to. What an earlier export has written is left as it is, so that an export can be repeated
while a comparison goes on.
"""

from __future__ import annotations

import math
import os
import re
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from glissade.spec import specs
from glissade.study.design import RunResult
from glissade.study.run import STRETCHES
from glissade.study.store import Lines, StoreError, read_plan, read_runs

Value = float | int | bool | str
MOST = 500  # metrics that MLflow takes at once


class ExportError(ValueError):
    """Nothing can be exported; says why."""


class Missing(ExportError):
    """A package is not installed."""


class TrackerError(ExportError):
    """A tracker's package raised; its own files may be damaged."""


@dataclass(frozen=True)
class Exported:
    """What an export did."""

    written: int
    there: int  # were written by an earlier one
    place: str  # where to look
    notes: tuple[str, ...] = ()  # on lines that could not be read


@dataclass(frozen=True)
class Curve:
    """A run as trackers see one."""

    parts: tuple[str, str, str]  # of its name: task, arm, phase with study, trial and seed
    config: Mapping[str, Value]
    points: Sequence[tuple[str, int, float]]  # (series, step, value)
    summary: Mapping[str, float]  # at the end

    @property
    def name(self) -> str:
        return " / ".join(self.parts)

    @property
    def file(self) -> Path:
        """The name, with nothing in it that a file's name must not have."""
        return Path(*(re.sub(r"[^\w.+=-]+", "_", part) for part in self.parts))


def export(folder: Path, to: str) -> Exported:
    """Write the runs of a comparison's folder to ``tensorboard``, ``mlflow`` or ``trackio``.

    TensorBoard's event files go to ``FOLDER/tensorboard``; MLflow's to ``MLFLOW_TRACKING_URI``, or
    else to ``FOLDER/mlruns``; Trackio's where Trackio keeps its own.

    Raises:
        ExportError: there is no comparison, or no tracker of this name.
        Missing: the tracker's package is not installed.
        TrackerError: the package cannot read or write its own files.
    """
    if to not in TRACKERS:
        raise ExportError(f"--to {to}: known are {', '.join(TRACKERS)}")
    plan, lines = read(folder)
    try:
        curves = [curve(result) for result in lines.results.values()]
    except (ValueError, OverflowError) as error:  # of lines from before there were checksums
        raise ExportError(f"{folder}: runs.jsonl is damaged: {error}") from None
    try:
        done = TRACKERS[to](folder, plan, curves)
    except ModuleNotFoundError as error:
        raise Missing(f"--to {to} needs {error.name}: pip install 'glissade[track]'") from None
    except (ExportError, OSError):
        raise
    except Exception as error:  # each package has errors of its own; its store may be damaged
        said = (str(error).splitlines() or [""])[0]
        raise TrackerError(
            f"--to {to}: its package raised {type(error).__name__}: {said}"
        ) from error
    what = f"left out until the command that wrote {folder} is resumed"
    return replace(done, notes=tuple(lines.note(what)))


def read(folder: Path) -> tuple[str, Lines]:
    """Return the hash of a folder's plan, and its runs."""
    if not (folder / "plan.json").is_file():
        raise ExportError(f"{folder}: no comparison is there (it has no plan.json)")
    try:
        plan = read_plan(folder)
        plan.verify()
        path = folder / "runs.jsonl"
        content = path.read_bytes() if path.exists() else b""
        return plan.hash, read_runs(content, plan.hash, plan.checks)
    except StoreError as error:
        raise ExportError(f"{folder}: {error}") from None
    except OSError as error:
        raise ExportError(f"{folder}: runs.jsonl cannot be read: {error.strerror}") from None


def curve(result: RunResult) -> Curve:
    """A run as trackers see it."""
    key = result.key
    stretch = max(1, math.ceil(result.steps / STRETCHES))
    ends = (min((i + 1) * stretch, result.steps) for i in range(len(result.losses)))
    points = [("loss", step, value) for step, value in zip(ends, result.losses, strict=True)]
    points += [("validation", step, value) for step, _, value in result.validation]
    told = {"quality": result.quality, "test": result.test, "step_ms": result.step_ms,
            "diverged_at": result.diverged_at, "state_bytes": result.state_bytes,
            "seconds": result.seconds}  # fmt: skip
    trial = "default" if key.trial < 0 else f"trial{key.trial}"
    name = f"{key.phase}-study{key.study}-{trial}-seed{key.seed}"
    return Curve(
        (key.task, key.arm, name),
        config(result),
        points,
        {what: float(value) for what, value in told.items() if value is not None},
    )


def config(result: RunResult) -> dict[str, Value]:
    """The hyperparameters of a run, with those of what is around its optimizer."""
    (spec,) = specs(result.optimizer)
    found: dict[str, Any] = {} if spec.lr is None else {"lr": spec.lr}
    found |= spec.hyper
    for name, values in spec.around:
        found |= {f"{name}.{key}": value for key, value in values.items()}
    key = result.key
    found |= {
        "task": key.task, "arm": key.arm, "phase": key.phase, "study": key.study,
        "trial": key.trial, "seed": key.seed, "steps": result.steps,
        "optimizer": result.optimizer,
    }  # fmt: skip
    return {
        key: value if isinstance(value, (float, int, bool, str)) else repr(value)
        for key, value in found.items()
    }


def _tensorboard(folder: Path, plan: str, curves: Sequence[Curve]) -> Exported:
    """A folder of event files for each run; one that is there is whole."""
    import tensorboard  # noqa: F401  # torch's own message names no extra
    from torch.utils.tensorboard import SummaryWriter
    from torch.utils.tensorboard.summary import hparams

    place, written = folder / "tensorboard", 0
    for one in curves:
        target = place / one.file
        if target.exists():
            continue
        part = place / ".part"
        shutil.rmtree(part, ignore_errors=True)
        with SummaryWriter(str(part)) as writer:
            add: Any = writer
            for series, step, value in one.points:
                add.add_scalar(series, value, step)
            finals = {f"final/{what}": value for what, value in one.summary.items()}
            # As add_hparams does, which would put this into a file of its own.
            for summary in hparams(dict(one.config), finals):  # type: ignore[no-untyped-call]
                add.file_writer.add_summary(summary)
            for what, value in finals.items():
                add.add_scalar(what, value)
        target.parent.mkdir(parents=True, exist_ok=True)
        part.rename(target)
        written += 1
    return Exported(written, len(curves) - written, f"tensorboard --logdir {place}")


def _mlflow(folder: Path, plan: str, curves: Sequence[Curve]) -> Exported:
    """An experiment of the folder's name; runs are known by the tag ``glissade.run``."""
    from mlflow import MlflowClient
    from mlflow.entities import Metric, Param

    uri = os.environ.get("MLFLOW_TRACKING_URI") or (folder / "mlruns").resolve().as_uri()
    if uri.startswith("file:"):  # the one store that mlflow-skinny has
        os.environ.setdefault("MLFLOW_ALLOW_FILE_STORE", "true")
    client = MlflowClient(tracking_uri=uri)
    name = f"glissade {folder.resolve().name} {plan[:8]}"
    experiment = client.get_experiment_by_name(name)
    of = client.create_experiment(name) if experiment is None else experiment.experiment_id
    there = set()
    page: str | None = None
    while True:
        runs = client.search_runs([of], max_results=1000, page_token=page)
        for run in runs:
            if run.info.status == "FINISHED":
                there.add(run.data.tags.get("glissade.run"))
            else:
                client.delete_run(run.info.run_id)  # of an export that was cut off
        page = runs.token
        if not page:
            break
    todo = [one for one in curves if one.name not in there]
    for one in todo:
        tags = {"glissade.run": one.name, "glissade.plan": plan}
        run_id = client.create_run(of, tags=tags, run_name=one.name).info.run_id
        now = client.get_run(run_id).info.start_time
        metrics = [Metric(series, value, now, step) for series, step, value in one.points]
        metrics += [Metric(what, value, now, 0) for what, value in one.summary.items()]
        params = [Param(key, str(value)) for key, value in one.config.items()]
        client.log_batch(run_id, params=params[:100])
        for start in range(0, len(metrics), MOST):
            client.log_batch(run_id, metrics=metrics[start : start + MOST])
        client.set_terminated(run_id, "FINISHED")
    return Exported(len(todo), len(curves) - len(todo), f"MLflow at {uri}, experiment {name!r}")


def _trackio(folder: Path, plan: str, curves: Sequence[Curve]) -> Exported:
    """A project of the folder's name. Which runs it has is kept in ``FOLDER/trackio.txt``."""
    import trackio

    project = f"glissade-{folder.resolve().name}-{plan[:8]}"
    record = folder / "trackio.txt"
    said = record.read_text(encoding="utf-8", errors="replace") if record.exists() else ""
    there = set(said.splitlines())
    todo = [one for one in curves if one.name not in there]
    for one in todo:
        trackio.init(project=project, name=one.name, config=dict(one.config))
        by_step: dict[int, dict[str, float]] = {}
        for series, step, value in one.points:
            by_step.setdefault(step, {})[series] = value
        for step, values in sorted(by_step.items()):
            trackio.log(values, step=step)
        trackio.log({f"final/{what}": value for what, value in one.summary.items()})
        trackio.finish()
        with record.open("a", encoding="utf-8") as file:
            if said and not said.endswith("\n"):  # an export was cut off in the middle of a name
                file.write("\n")
            said = one.name + "\n"
            file.write(said)
    return Exported(len(todo), len(curves) - len(todo), f"trackio show --project {project}")


Tracker = Callable[[Path, str, Sequence[Curve]], Exported]
TRACKERS: Mapping[str, Tracker] = {
    "tensorboard": _tensorboard, "mlflow": _mlflow, "trackio": _trackio,
}  # fmt: skip
