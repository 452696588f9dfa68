"""What a comparison found: numbers for tables, pictures, files and the page."""

from __future__ import annotations

import math
import statistics as plain
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from glissade.study import statistics
from glissade.study.conduct import Outcome
from glissade.study.design import Arm, Choice, Plan, RunResult
from glissade.study.run import STRETCHES
from glissade.study.space import written
from glissade.study.statistics import Difference
from glissade.study.task import Prepared
from glissade.study.units import Units


@dataclass(frozen=True)
class Chosen:
    """What one study chose."""

    study: int
    trial: int | None  # None: every trial diverged
    values: dict[str, float]
    optimizer: str  # as typed, without its schedule
    validation: float | None  # in tuning
    edges: tuple[str, ...]  # "lr=0.09 is at the highest end of between(0.0001, 0.1)"


@dataclass(frozen=True)
class Row:
    """One optimizer on one task. A median over seeds is None where half of the runs were lost."""

    arm: str
    label: str
    chosen: tuple[Chosen, ...]
    test: float | None  # median over the fresh seeds
    tests: tuple[float | None, ...]  # by seed; None: lost
    validation: float | None
    default: float | None  # the test metric at the values it has by itself, untuned
    defaults: tuple[float | None, ...]
    steps_to_target: float | None  # medians, a miss being later than any hit
    seconds_to_target: float | None
    times_to_target: tuple[float | None, ...]  # in steps, by seed
    reached: int
    step_ms: float | None  # median time of optimizer.step()
    run_seconds: float | None  # median of a whole run
    state_bytes: int
    trials: int  # in all studies
    trials_lost: int
    runs: int  # on fresh seeds
    runs_lost: int
    failed: int  # of all runs: those that raised something
    error: str | None  # what the first of them raised

    @property
    def values(self) -> dict[str, float]:
        """The setting to begin with: of the chosen ones, the middle learning rate's."""
        own = sorted(
            (x for x in self.chosen if x.trial is not None),
            key=lambda x: x.values.get("lr", 0.0),
        )
        return own[(len(own) - 1) // 2].values if own else {}


@dataclass(frozen=True)
class Trial:
    """One run of tuning."""

    arm: str
    study: int
    trial: int
    values: dict[str, float]
    quality: float | None
    loss: float | None  # of training, at the end
    chosen: bool


@dataclass(frozen=True)
class Curve:
    """One run on a fresh seed."""

    arm: str
    seed: int
    loss_steps: tuple[int, ...]
    losses: tuple[float, ...]
    steps: tuple[int, ...]  # of the validation
    seconds: tuple[float, ...]  # of training, without evaluation
    validation: tuple[float, ...]
    diverged_at: int | None


@dataclass(frozen=True)
class TaskAnalysis:
    """All about one task."""

    task: str
    title: str
    metric: str
    direction: str
    steps: int
    target: float | None
    rows: tuple[Row, ...]  # the best first
    differences: tuple[Difference, ...]  # of the test metric; negative: the first is better
    verdict: str
    trials: tuple[Trial, ...]
    curves: tuple[Curve, ...]
    budget: dict[str, list[list[float | None]]]  # arm: each study's expected best of k trials

    @property
    def units(self) -> Units:
        return Units.of(self.metric, self.direction)

    def row(self, arm: str) -> Row:
        return next(row for row in self.rows if row.arm == arm)

    def between(self, one: str, other: str) -> Difference:
        """The difference of two, negative where `one` is better."""
        for x in self.differences:
            if (x.one, x.other) == (one, other):
                return x
            if (x.one, x.other) == (other, one):
                turned = None
                if x.interval is not None:
                    turned = statistics.Interval(-x.interval.high, -x.interval.low)
                return Difference(
                    one, other, tuple(-d for d in x.each), -x.typical, -x.signed, turned, x.p,
                    x.adjusted,
                )  # fmt: skip
        raise KeyError((one, other))


@dataclass(frozen=True)
class Analysis:
    """All of a comparison."""

    plan: dict[str, Any]
    hash: str
    tasks: tuple[TaskAnalysis, ...]
    profiles: dict[str, list[tuple[float, float]]] | None  # of steps to target; 4 tasks or more
    caveats: tuple[str, ...]
    trials: int  # for each optimizer in each study
    seeds: int
    cut: bool
    seconds: float  # of all its runs together
    facts: dict[str, Any] = field(default_factory=dict)  # of the machine and the command

    def record(self) -> dict[str, Any]:
        """As plain data, in which None stands for what is infinite."""
        found: dict[str, Any] = finite(asdict(self))
        return found


def finite(value: Any) -> Any:
    """JSON has no infinity."""
    if isinstance(value, dict):
        return {key: finite(x) for key, x in value.items()}
    if isinstance(value, (list, tuple)):
        return [finite(x) for x in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def analyse(outcome: Outcome, facts: dict[str, Any] | None = None) -> Analysis:
    """Everything that is said about a comparison."""
    from glissade.study import saying

    plan = outcome.plan
    tasks = tuple(_task(outcome, task) for task in plan.tasks)
    return Analysis(
        plan=plan.record,
        hash=plan.hash,
        tasks=tasks,
        profiles=_profiles(tasks) if len(tasks) >= 4 else None,
        caveats=tuple(saying.caveats(outcome, tasks)),
        trials=outcome.trials,
        seeds=outcome.seeds,
        cut=outcome.cut,
        seconds=math.fsum(x.seconds for x in outcome.results),
        facts=facts or {},
    )


def _task(outcome: Outcome, task: Prepared) -> TaskAnalysis:
    from glissade.study import saying

    plan = outcome.plan
    own = [x for x in outcome.results if x.key.task == task.text]
    target = _target(outcome, task)
    rows = [_row(outcome, task, arm, [x for x in own if x.key.arm == arm.name], target)
            for arm in plan.arms]  # fmt: skip
    units = Units.of(task.metric_name, task.direction)
    values = {row.arm: [units.less(x) for x in row.tests] for row in rows if row.tests}
    found = statistics.differences(values, plan.settings.seed) if outcome.seeds else []
    # Whoever is beaten by fewer comes first, then whoever lost fewer runs, then the median.
    beaten = Counter(x.one if x.better == x.other else x.other for x in found if x.better)
    rows.sort(
        key=lambda row: (
            beaten[row.arm], row.runs_lost, units.less(row.test), units.less(row.validation),
            row.label,
        )
    )  # fmt: skip
    chosen = {(x.arm, x.study, x.trial) for x in outcome.choices if x.task == task.text}
    return TaskAnalysis(
        task=task.text,
        title=task.title,
        metric=task.metric_name,
        direction=task.direction,
        steps=plan.steps(task),
        target=target,
        rows=tuple(rows),
        differences=tuple(found),
        verdict=saying.verdict(rows, found, units, plan.settings),
        trials=tuple(
            Trial(
                x.key.arm, x.key.study, x.key.trial, plan.values(x.key), x.quality,
                x.losses[-1] if x.losses else None,
                (x.key.arm, x.key.study, x.key.trial) in chosen,
            )
            for x in own if x.key.phase == "tune"
        ),
        curves=tuple(_curve(x) for x in own if x.key.phase == "final"),
        budget={arm.name: _budget(plan, units, own, arm) for arm in plan.arms},
    )  # fmt: skip


def _row(
    outcome: Outcome, task: Prepared, arm: Arm, own: Sequence[RunResult], target: float | None
) -> Row:
    units = Units.of(task.metric_name, task.direction)
    final = sorted((x for x in own if x.key.phase == "final"), key=lambda x: x.key.seed)
    default = sorted((x for x in own if x.key.phase == "default"), key=lambda x: x.key.seed)
    # A study whose trials all diverged has no final runs: its seeds count as lost.
    by_seed = {x.key.seed: x for x in final}
    ended = [by_seed.get(seed) for seed in range(outcome.seeds)]
    tests = tuple(None if x is None else x.test for x in ended)
    tune = [x for x in own if x.key.phase == "tune"]
    steps = [_time(x, target, task, 0) for x in ended]
    seconds = [_time(x, target, task, 1) for x in ended]
    errors = [x.error for x in own if x.error is not None]
    times = [x.step_ms for x in final if x.step_ms is not None]
    return Row(
        arm=arm.name,
        label=arm.label,
        chosen=tuple(
            _chosen(outcome.plan, arm, x)
            for x in outcome.choices
            if (x.task, x.arm) == (task.text, arm.name)
        ),
        test=units.median(tests),
        tests=tests,
        validation=units.median([None if x is None else x.quality for x in ended]),
        default=units.median([x.test for x in default]),
        defaults=tuple(x.test for x in default),
        steps_to_target=_or_none(statistics.median(steps)) if steps else None,
        seconds_to_target=_or_none(statistics.median(seconds)) if seconds else None,
        times_to_target=tuple(_or_none(x) for x in steps),
        reached=sum(math.isfinite(x) for x in steps),
        step_ms=plain.median(times) if times else None,
        run_seconds=plain.median(x.seconds for x in final) if final else None,
        state_bytes=max((x.state_bytes for x in own), default=0),
        trials=len(tune),
        trials_lost=sum(x.lost for x in tune),
        runs=outcome.seeds,
        runs_lost=sum(x is None for x in tests),
        failed=len(errors),
        error=errors[0] if errors else None,
    )


def _chosen(plan: Plan, arm: Arm, choice: Choice) -> Chosen:
    if choice.trial is None:
        return Chosen(choice.study, None, {}, "", None, ())
    values = arm.searched.settings(plan.tables[choice.study][choice.trial])
    edges = tuple(
        f"{one.name}={values[one.name]:g} is at the {end} end of {one}"
        for one in arm.searched.dimensions
        if (end := one.edge(values[one.name])) is not None
    )
    text = written(arm.searched.spec, values)
    return Chosen(choice.study, choice.trial, values, text, choice.quality, edges)


def _target(outcome: Outcome, task: Prepared) -> float | None:
    """As asked; or what the middle optimizer reached in tuning, so that it is known before the
    last runs."""
    asked = outcome.plan.settings.target
    if asked != "auto":
        return float(asked)
    means = []
    for arm in outcome.plan.arms:
        own = [x.quality for x in outcome.choices if (x.task, x.arm) == (task.text, arm.name)]
        if own and all(x is not None for x in own):
            means.append(plain.fmean(x for x in own if x is not None))
    if not means:
        return None
    means.sort(reverse=task.direction == "max")
    return means[len(means) // 2]


def _time(result: RunResult | None, target: float | None, task: Prepared, which: int) -> float:
    if result is None or target is None:
        return math.inf
    course = [(x[which], x[2]) for x in result.validation]
    return statistics.time_to(target, course, task.direction)


def _curve(result: RunResult) -> Curve:
    stretch = max(1, math.ceil(result.steps / STRETCHES))
    places = [min(result.steps, (i + 1) * stretch) for i in range(len(result.losses))]
    return Curve(
        arm=result.key.arm,
        seed=result.key.seed,
        loss_steps=tuple(places),
        losses=result.losses,
        steps=tuple(x[0] for x in result.validation),
        seconds=tuple(x[1] for x in result.validation),
        validation=tuple(x[2] for x in result.validation),
        diverged_at=result.diverged_at,
    )


def _budget(
    plan: Plan, units: Units, own: Iterable[RunResult], arm: Arm
) -> list[list[float | None]]:
    curves = []
    for study in range(plan.settings.studies):
        tuned = [
            units.less(x.quality)
            for x in own
            if (x.key.arm, x.key.phase, x.key.study) == (arm.name, "tune", study)
        ]
        curves.append([units.back(x) for x in statistics.expected_best(tuned)])
    return curves


def _profiles(tasks: Sequence[TaskAnalysis]) -> dict[str, list[tuple[float, float]]]:
    arms = [row.arm for row in tasks[0].rows]
    return statistics.profile(
        {
            arm: [math.inf if (x := task.row(arm).steps_to_target) is None else x for task in tasks]
            for arm in arms
        }
    )


def _or_none(value: float) -> float | None:
    return value if math.isfinite(value) else None
