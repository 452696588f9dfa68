"""A comparison from its first trial to its last run, in whatever engine, within its budget."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from glissade.study.design import Choice, Phase, Plan, Planned, RunKey, RunResult
from glissade.study.engine import Engine
from glissade.study.run import Probe, execute, probe
from glissade.study.store import Store

SPARE = 1.1  # what is reserved for the last runs, times what they should take
FEWEST = 2  # rounds of trials before a budget may end tuning


class Watcher(Protocol):
    """Is told what goes on; `fresh` is False for a result that was there already."""

    def phase(self, name: Phase, runs: int) -> None: ...

    def ended(self, result: RunResult, fresh: bool) -> None: ...

    def chosen(self, choices: Sequence[Choice]) -> None: ...


@dataclass
class Outcome:
    """What a comparison gave: its runs, and how far it came."""

    plan: Plan
    results: list[RunResult]
    choices: list[Choice]
    trials: int  # of every optimizer in every study that tuning rests on
    seeds: int  # of every optimizer that the verdict rests on
    seconds: float = 0.0  # of this call
    notes: list[str] = field(default_factory=list)

    @property
    def cut(self) -> bool:
        """Whether a budget ended it early."""
        asked = self.plan.settings
        return self.trials < asked.trials or self.seeds < asked.seeds

    def of(self, phase: Phase) -> list[RunResult]:
        return [x for x in self.results if x.key.phase == phase]


@dataclass(frozen=True)
class Estimate:
    """How long a plan will take, from some steps of each optimizer."""

    runs: dict[Phase, int]
    seconds: dict[Phase, float]  # by the clock, with all workers busy
    workers: int
    errors: dict[str, str]  # arm: why it cannot run

    @property
    def total(self) -> float:
        return math.fsum(self.seconds.values())

    def least(self, plan: Plan) -> float:
        """Of what a budget must have room for: some rounds of trials, and one fresh seed."""
        tuning = self.seconds["tune"] * min(1.0, FEWEST / plan.settings.trials)
        return tuning + (self.seconds["final"] + self.seconds["default"]) / plan.settings.seeds


def estimate(plan: Plan, engine: Engine) -> Estimate:
    """Begin a run of every optimizer on every task, all workers busy, and reckon the rest."""
    keys = [
        RunKey(task.text, arm.name, "final", 0, 0, 0) for task in plan.tasks for arm in plan.arms
    ]
    probes: list[Probe] = []
    engine.run(probe, [plan.job(key) for key in keys], probes.append)
    errors = {x.job.key.arm: x.error for x in probes if x.error is not None}
    counts = plan.most_runs
    seconds: dict[Phase, float] = {}
    for phase, count in counts.items():
        share = count / len(keys)
        of_test = phase in ("default", "final")
        each = math.fsum(x.seconds - (0.0 if of_test else x.test) for x in probes)
        seconds[phase] = share * each / engine.workers
    return Estimate(counts, seconds, engine.workers, errors)


class Clock:
    """What is left of a budget."""

    def __init__(self, budget: float | None, began: float | None = None) -> None:
        self.budget, self.began = budget, time.monotonic() if began is None else began

    @property
    def elapsed(self) -> float:
        return time.monotonic() - self.began

    def room(self, reserved: float = 0.0) -> bool:
        """Whether there is time for more, when so much is reserved."""
        return self.budget is None or self.elapsed + reserved < self.budget


def compare(
    plan: Plan,
    store: Store,
    engine: Engine,
    watcher: Watcher,
    budget: float | None = None,
    began: float | None = None,
) -> Outcome:
    """Tune, confirm, and run the choices on fresh seeds; what is in the store is kept.

    `budget` is in seconds, from `began` on (of `time.monotonic`; None: now). Time for the last runs
    is reserved from the start, so that a budget that is too short costs every optimizer the same
    number of trials, then seeds, and the answer comes from what there is.
    """
    clock = Clock(budget, began)
    took: list[float] = []

    def runs(phase: Phase, keys: Sequence[RunKey], reserved: Reserve) -> list[RunResult]:
        def go() -> bool:
            return clock.room(reserved(took, engine.workers))

        return all_of(plan, store, engine, watcher, phase, keys, go, took)

    most = plan.most_runs
    per_round = most["tune"] // plan.settings.trials
    later = most["confirm"] + most["final"] + most["default"]

    def after_tuning(took: Sequence[float], workers: int) -> float:
        # The first rounds are made in any case: nothing can be chosen without them.
        if len(took) < FEWEST * per_round:
            return -math.inf
        return _reckoned(took, later, workers)

    tuned = runs("tune", plan.tuning(), after_tuning)
    trials = _whole_rounds(tuned, per_round, plan.settings.trials)
    tuned = [x for x in tuned if x.key.trial < trials]  # of a round that was cut off, none
    confirmed = runs(
        "confirm", plan.confirming(tuned, trials),
        lambda took, workers: _reckoned(took, most["final"] + most["default"], workers),
    )  # fmt: skip
    if len(confirmed) < len(plan.confirming(tuned, trials)):
        confirmed = []  # cut off: no trial may have been looked at more often than another
    choices = plan.choices([*tuned, *confirmed], trials)
    watcher.chosen(choices)
    fresh = _in_turn(plan.finals(choices), plan.defaults())
    last = runs("final", fresh, lambda took, workers: _reckoned(took, 1, workers))
    seeds = _whole_seeds(last, fresh, plan.settings.seeds)
    kept = [x for x in last if x.key.seed < seeds]
    return Outcome(plan, [*tuned, *confirmed, *kept], choices, trials, seeds, clock.elapsed)


def all_of(
    plan: Planned,
    store: Store,
    engine: Engine,
    watcher: Watcher,
    phase: Phase,
    keys: Sequence[RunKey],
    go: Callable[[], bool] = lambda: True,
    took: list[float] | None = None,
) -> list[RunResult]:
    """These runs, in the order of their keys: those in the store, and the others made now.

    None is begun once `go` says no; `took` is given the seconds of each that is made.
    """
    watcher.phase(phase, len(keys))
    results: dict[RunKey, RunResult] = {}
    for key in keys:
        if key in store.results:
            results[key] = store.results[key]
            watcher.ended(results[key], False)
            if took is not None:
                took.append(results[key].seconds)

    def told(result: RunResult) -> None:
        store.append(result)
        results[result.key] = result
        if took is not None:
            took.append(result.seconds)
        watcher.ended(result, True)

    engine.run(execute, [plan.job(key) for key in keys if key not in results], told, go)
    return [results[key] for key in keys if key in results]


class Reserve(Protocol):
    def __call__(self, took: Sequence[float], workers: int) -> float: ...


def _reckoned(took: Sequence[float], runs: int, workers: int) -> float:
    """Seconds that so many runs more will take, the last of them whole."""
    rounds = math.ceil(runs / workers)
    return SPARE * rounds * (math.fsum(took) / len(took)) if took else 0.0


def _whole_rounds(tuned: Iterable[RunResult], per_round: int, asked: int) -> int:
    """Trials that every optimizer had in every study."""
    counts = [0] * asked
    for result in tuned:
        counts[result.key.trial] += 1
    whole = next((i for i, count in enumerate(counts) if count < per_round), asked)
    return max(1, whole)


def _whole_seeds(last: Iterable[RunResult], keys: Iterable[RunKey], asked: int) -> int:
    """Fresh seeds that every optimizer has been run on."""
    ended = {result.key for result in last}
    missing = {key.seed for key in keys if key not in ended}
    return min(missing, default=asked)


def _in_turn(finals: Sequence[RunKey], defaults: Sequence[RunKey]) -> list[RunKey]:
    """By seed, so that a budget leaves whole seeds; tuned before untuned."""
    return sorted([*finals, *defaults], key=lambda key: (key.seed, key.phase != "final"))
