"""What a comparison runs, all of it decided before anything is run.

For each optimizer the same number of trials, at the points of one table; repeated in independent
studies. In each study the best trials are run again on further seeds and the best of those is the
study's choice; the choices are run on fresh seeds, dealt out over the studies, the same seeds for
every optimizer. The verdict's test takes these seeds as pairs (`statistics`): dealt over studies,
so that the luck of tuning is in the spread that the test sees.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from functools import cached_property
from typing import Any, Literal, Protocol, TypedDict

import numpy as np

from glissade.schedules.usual import usual
from glissade.spec import schedules_of
from glissade.study import space
from glissade.study.record import fingerprint, versions
from glissade.study.space import Searched
from glissade.study.task import Prepared
from glissade.study.typed import conform

Phase = Literal["tune", "confirm", "final", "default"]
PHASES: tuple[Phase, ...] = ("tune", "confirm", "default", "final")

CONFIRMED = 3  # of a study's trials are run again
CONFIRMING = 4  # times each: fewer, and the luck of choosing shows as false alarms
MOST_STEPS = 100_000_000
DEFAULT_OPTIMIZERS = "sgd, momentum, adam, adamw, lion, radam, ranger"


@dataclass(frozen=True)
class Settings:
    """What the user asked for; wrong values raise ValueError."""

    tasks: tuple[str, ...] = ("digits",)
    optimizers: str = DEFAULT_OPTIMIZERS
    schedules: str | None = None  # each optimizer with each of them
    trials: int = 16
    studies: int = 3
    seeds: int = 10
    epochs: int | None = None  # None: the task's own
    steps: int | None = None  # in place of epochs
    batch: int | Literal["full"] | None = None
    target: float | Literal["auto"] = "auto"
    evaluations: int = 40  # of the validation part in each run
    backend: str | None = None
    seed: int = 0  # of the table and all the runs

    def __post_init__(self) -> None:
        for name, least in (("trials", 1), ("studies", 1), ("seeds", 1), ("evaluations", 1)):
            if getattr(self, name) < least:
                raise ValueError(f"{name} must be at least {least}, not {getattr(self, name)}")
        if self.seeds < self.studies:
            raise ValueError(
                f"{self.seeds} seeds cannot be dealt out over {self.studies} studies: each needs "
                "one; take more seeds or fewer studies"
            )
        if self.epochs is not None and self.steps is not None:
            raise ValueError("give epochs or steps, not both")
        for name in ("epochs", "steps"):
            value = getattr(self, name)
            if value is not None and not 1 <= value <= MOST_STEPS:
                raise ValueError(f"{name} must be at least 1, not {value}")
        if isinstance(self.batch, int) and self.batch < 1:
            raise ValueError(f'batch must be "full" or at least 1, not {self.batch}')
        if not self.tasks or len(set(self.tasks)) < len(self.tasks):
            raise ValueError(f"tasks {', '.join(self.tasks)!r}: name each once, at least one")
        if isinstance(self.target, float) and not math.isfinite(self.target):
            raise ValueError(f"target must be a number, not {self.target}")


@dataclass(frozen=True, order=True)
class RunKey:
    """The name of one training run; with the plan it decides the run."""

    task: str
    arm: str
    phase: Phase
    study: int
    trial: int  # the table's row; -1: the optimizer's own defaults
    seed: int  # 0 in tuning, 1 and 2 in confirming, the place among the fresh seeds at the end


@dataclass(frozen=True)
class Job:
    """All that a worker needs for one run, as plain data."""

    key: RunKey
    optimizer: str  # as typed, with its values and its schedule
    batch: int | Literal["full"] | None
    steps: int
    evaluations: int
    seeds: tuple[int, int]  # of the first weights, of the order of batches
    test: bool  # whether the test part is used, once, at the end
    backend: str | None
    fit: bool = False  # whether the metric of the train part is measured as well, at the end


@dataclass(frozen=True)
class RunResult:
    """What one training run gave. The metric is None where a run diverged or failed."""

    key: RunKey
    optimizer: str
    losses: tuple[float, ...]  # means over equal stretches of steps, before the steps
    validation: tuple[tuple[int, float, float], ...]  # (step, seconds of training, metric)
    quality: float | None  # the validation metric after the last step
    test: float | None  # final and default runs only, measured once, after the last step
    diverged_at: int | None  # the step at which a loss or a metric was not finite
    error: str | None  # what was raised, if something was
    steps: int
    step_ms: float | None  # median of optimizer.step() alone, without the first steps
    state_bytes: int
    seconds: float
    fit: float | None = None  # the metric of the train part after the last step, if asked for

    @property
    def lost(self) -> bool:
        """Whether it ended without a result: counted as worse than any."""
        return self.quality is None


@dataclass(frozen=True)
class Arm:
    """One of those compared: an optimizer with a schedule."""

    name: str
    label: str
    searched: Searched
    schedule: str | None  # by name, as is usual for the run's steps; None: what the text says

    def optimizer(self, settings: Mapping[str, float], steps: int) -> str:
        """With values and schedule, as one types it."""
        spec = self.searched.spec
        schedule = usual(self.schedule, steps) if self.schedule else spec.schedule
        text = space.written(spec, settings)
        return text if schedule is None else f"{text} @ {schedule!r}"

    @property
    def facts(self) -> dict[str, object]:
        """For the plan."""
        return {"label": self.label, "space": {x.name: str(x) for x in self.searched.dimensions}}


def arms(optimizers: str, schedules: str | None) -> tuple[Arm, ...]:
    """Every optimizer with every schedule; one that has its own keeps it."""
    found: list[Arm] = []
    names = [None] if schedules is None else _schedules(schedules)
    for one in space.searched(optimizers):
        own = one.spec.schedule is not None
        for name in [None] if own else names:
            usually = name is not None and name != "constant"
            more = f" @ {name}" if usually else ""
            found.append(
                Arm(one.spec.text + more, one.spec.label + more, one, name if usually else None)
            )
    return tuple(found)


def _schedules(text: str) -> list[str | None]:
    """Names of schedules; values belong to a run's steps, which tasks decide."""
    names = [part.strip() for part in text.split(",")]
    for name in names:
        if not name.isidentifier():
            raise ValueError(
                f"schedule {name!r}: names alone, which fit themselves to a run's steps, as in "
                "-s constant,cosine; give other values beside an optimizer: 'adamw @ cosine(400)'"
            )
    schedules_of(text, 100)
    return [*names]


@dataclass(frozen=True)
class Choice:
    """The trial that a study chose; None if every one diverged."""

    task: str
    arm: str
    study: int
    trial: int | None
    quality: float | None  # mean over its runs in tuning


class Planned(Protocol):
    """What a store and an engine need of whatever is to be run."""

    @property
    def record(self) -> Mapping[str, Any]: ...  # plain data, written before anything runs

    @property
    def hash(self) -> str: ...  # of the record

    def job(self, key: RunKey) -> Job: ...


@dataclass(frozen=True)
class Plan:
    """A comparison before it is run."""

    settings: Settings
    tasks: tuple[Prepared, ...]
    versions: Mapping[str, str] = field(default_factory=versions)

    @cached_property
    def arms(self) -> tuple[Arm, ...]:
        return arms(self.settings.optimizers, self.settings.schedules)

    @cached_property
    def tables(self) -> tuple[np.ndarray, ...]:
        """The points of each study, the same for every optimizer and task."""
        one = self.settings
        return tuple(space.table(one.trials, study, one.seed) for study in range(one.studies))

    def arm(self, name: str) -> Arm:
        return next(arm for arm in self.arms if arm.name == name)

    def task(self, text: str) -> Prepared:
        return next(task for task in self.tasks if task.text == text)

    def steps(self, task: Prepared) -> int:
        """Of every run on a task."""
        one = self.settings
        return one.steps or (one.epochs or task.epochs) * len(task.train)

    def values(self, key: RunKey) -> dict[str, float]:
        """The hyperparameters of a run that tuning decides."""
        if key.trial < 0:
            return {}
        return self.arm(key.arm).searched.settings(self.tables[key.study][key.trial])

    def job(self, key: RunKey) -> Job:
        """A run with all that decides it."""
        one, steps = self.settings, self.steps(self.task(key.task))
        # Tuning: the same luck for the same trial of every optimizer. Confirming: for all trials.
        luck = (key.study, key.trial if key.phase == "tune" else 0, key.seed)
        if key.phase in ("final", "default"):
            luck = (0, 0, key.seed)
        at = {"tune": 2, "confirm": 3, "final": 4, "default": 4}[key.phase]
        init, order = np.random.SeedSequence((one.seed, at, *luck)).generate_state(2)
        return Job(
            key=key,
            optimizer=self.arm(key.arm).optimizer(self.values(key), steps),
            batch=one.batch,
            steps=steps,
            evaluations=one.evaluations,
            seeds=(int(init), int(order)),
            test=key.phase in ("final", "default"),
            backend=one.backend,
        )

    # The phases. Optimizers take turns, so that all share the machine's drift, and whatever is cut
    # off by a budget is cut off for all.

    def tuning(self) -> list[RunKey]:
        one = self.settings
        return [
            RunKey(task.text, arm.name, "tune", study, trial, 0)
            for trial in range(one.trials)
            for task in self.tasks
            for study in range(one.studies)
            for arm in self.arms
        ]

    def confirming(self, results: Iterable[RunResult], trials: int) -> list[RunKey]:
        """The best of the first so many trials of every study, again."""
        tuned = [x for x in results if x.key.phase == "tune" and x.key.trial < trials]
        keys = []
        for task in self.tasks:
            for study in range(self.settings.studies):
                for arm in self.arms:
                    own = [
                        x for x in tuned
                        if (x.key.task, x.key.arm, x.key.study) == (task.text, arm.name, study)
                        and not x.lost
                    ]  # fmt: skip
                    own.sort(key=lambda x: (_rank(task, x.quality), _loss(x), x.key.trial))
                    keys += [
                        RunKey(task.text, arm.name, "confirm", study, x.key.trial, seed)
                        for x in own[: CONFIRMED if len(own) > 1 else 0]
                        for seed in range(1, CONFIRMING + 1)
                    ]
        return sorted(keys, key=lambda key: key.seed)

    def defaults(self) -> list[RunKey]:
        """Every optimizer with the values it has by itself, on the fresh seeds."""
        return [
            RunKey(task.text, arm.name, "default", 0, -1, seed)
            for seed in range(self.settings.seeds)
            for task in self.tasks
            for arm in self.arms
        ]

    def finals(self, choices: Sequence[Choice]) -> list[RunKey]:
        """Each study's choice on its share of the fresh seeds."""
        chosen = {(x.task, x.arm, x.study): x.trial for x in choices}
        keys = []
        for seed in range(self.settings.seeds):
            study = seed % self.settings.studies
            for task in self.tasks:
                for arm in self.arms:
                    trial = chosen[task.text, arm.name, study]
                    if trial is not None:
                        keys.append(RunKey(task.text, arm.name, "final", study, trial, seed))
        return keys

    def choices(self, results: Iterable[RunResult], trials: int) -> list[Choice]:
        """Of every study: the trial of best mean over its runs in tuning and confirming."""
        runs: dict[tuple[str, str, int], dict[int, list[RunResult]]] = {}
        for x in results:
            if x.key.phase in ("tune", "confirm") and x.key.trial < trials:
                of = runs.setdefault((x.key.task, x.key.arm, x.key.study), {})
                of.setdefault(x.key.trial, []).append(x)
        return [
            self._choice(task, arm.name, study, runs.get((task.text, arm.name, study), {}))
            for task in self.tasks
            for arm in self.arms
            for study in range(self.settings.studies)
        ]

    def _choice(
        self, task: Prepared, arm: str, study: int, runs: Mapping[int, Sequence[RunResult]]
    ) -> Choice:
        """Of the trials with most runs, without a lost one; the training loss breaks ties."""
        most = max((len(of) for of in runs.values() if not any(x.lost for x in of)), default=0)
        best: tuple[tuple[float, float, int], float] | None = None
        for trial, of in runs.items():
            if len(of) < most or any(x.lost for x in of):
                continue
            mean = math.fsum(x.quality for x in of if x.quality is not None) / len(of)
            loss = math.fsum(_loss(x) for x in of) / len(of)
            rank = (_rank(task, mean), loss, trial)
            if best is None or rank < best[0]:
                best = (rank, mean)
        if best is None:
            return Choice(task.text, arm, study, None, None)
        return Choice(task.text, arm, study, best[0][2], best[1])

    @property
    def most_runs(self) -> dict[Phase, int]:
        """How many runs there are if nothing diverges everywhere and no budget ends it."""
        one, many = self.settings, len(self.arms) * len(self.tasks)
        confirmed = min(CONFIRMED, one.trials) if one.trials > 1 else 0
        return {
            "tune": many * one.studies * one.trials,
            "confirm": many * one.studies * confirmed * CONFIRMING,
            "default": many * one.seeds,
            "final": many * one.seeds,
        }

    # As a file

    @cached_property
    def record(self) -> dict[str, Any]:
        """The plan as plain data: what is written before anything runs, and hashed."""
        return {
            "settings": asdict(self.settings),
            "tasks": {
                task.text: {
                    "title": task.title,
                    "metric": task.metric_name,
                    "direction": task.direction,
                    "steps": self.steps(task),
                    **task.facts,
                }
                for task in self.tasks
            },
            "arms": {arm.name: arm.facts for arm in self.arms},
            "confirmed": [CONFIRMED, CONFIRMING],
            "tables": [[[round(float(x), 6) for x in row] for row in t] for t in self.tables],
            "versions": dict(self.versions),
        }

    @property
    def hash(self) -> str:
        return fingerprint(self.record)


def settings_from(record: Mapping[str, Any]) -> Settings:
    """Return the settings in a plan's record; those that this version lacks are left out.

    Raises:
        Damaged: it has none, or some of another type.
    """
    known = {one.name for one in fields(Settings)}
    found = conform(_Settled, record)["settings"]
    values = {key: value for key, value in found.items() if key in known}
    return conform(Settings, values, "settings")


class _Settled(TypedDict):
    settings: dict[str, Any]


def _rank(task: Prepared, quality: float | None) -> float:
    """Less is better."""
    if quality is None:
        return math.inf
    return quality if task.direction == "min" else -quality


def _loss(result: RunResult) -> float:
    """The training loss at the end, to break ties of a coarse metric."""
    return result.losses[-1] if result.losses else math.inf
