"""What a comparison runs: equal numbers of trials, then the winners on fresh seeds.

A run is named by its `RunKey` and decided by its key and the `configuration` alone, so
results can be kept, skipped and mixed across interruptions.
"""

from __future__ import annotations

import hashlib
import json
import math
import platform
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import Literal

import numpy as np

from glissade import registry
from glissade.study.tasks import Task

Phase = Literal["tune", "final"]

TUNING_SEEDS = (0, 1)
FIRST_FINAL_SEED = 100  # far from the tuning seeds: final runs are always fresh
MOST_EPOCHS = 10_000


@dataclass(frozen=True)
class Settings:
    """What the user asked for; wrong values raise ValueError."""

    optimizers: tuple[str, ...] = ("sgd", "momentum", "adam", "adamw", "lion", "radam", "ranger")
    seeds: int = 5
    lrs: int = 7
    epochs: int = 25
    target: float = 0.04
    backend: str | None = None
    batch_size: int = 64
    evaluate_every: int = 4

    def __post_init__(self) -> None:
        if not self.optimizers:
            raise ValueError("no optimizer named: give at least one, as in -o sgd,adamw")
        names = [registry.lookup(name).name for name in self.optimizers]
        for name in names:
            if names.count(name) > 1:
                raise ValueError(f"optimizer {name!r} is named twice: name each only once")
        if self.seeds < 1:
            raise ValueError(f"seeds must be at least 1, not {self.seeds}")
        if self.lrs < 2:
            raise ValueError(f"lrs must be at least 2, not {self.lrs}")
        if not 1 <= self.epochs <= MOST_EPOCHS:
            raise ValueError(f"epochs must be from 1 to {MOST_EPOCHS}, not {self.epochs}")
        if not 0 < self.target < 1:
            raise ValueError(
                f"target must be an error between 0 and 1 (0.04 for 4 %), not {self.target}"
            )
        object.__setattr__(self, "optimizers", tuple(names))

    @property
    def final_seeds(self) -> range:
        """Seeds of the final runs: the same for every optimizer, none used in tuning."""
        return range(FIRST_FINAL_SEED, FIRST_FINAL_SEED + self.seeds)

    @property
    def runs(self) -> int:
        """How many runs there are if every optimizer trains at some learning rate."""
        return len(self.optimizers) * (self.lrs * len(TUNING_SEEDS) + self.seeds)


@dataclass(frozen=True)
class RunKey:
    """The name of one training run."""

    optimizer: str
    phase: Phase
    lr: float
    seed: int


@dataclass(frozen=True)
class RunResult:
    """What one training run gave. A diverged run counts as all wrong (error 1)."""

    key: RunKey
    losses: tuple[float, ...]  # one a step, of that step's batch, before the step
    validation: tuple[tuple[int, float], ...]  # (step, error), every few steps
    validation_error: float
    validation_loss: float | None  # None where not finite
    test_error: float | None  # final runs only, measured once, after the last step
    steps_to_target: int | None  # None: the target was missed
    diverged_at: int | None  # the step whose loss was not finite
    step_ms: float | None  # median of optimizer.step() alone, without the first steps
    state_bytes: int
    seconds: float

    @property
    def diverged(self) -> bool:
        return self.diverged_at is not None


@dataclass(frozen=True)
class Choice:
    """The learning rate that tuning chose; None if every one diverged."""

    optimizer: str
    lr: float | None
    error: float | None  # mean validation error over the tuning seeds
    tried: tuple[float, ...]

    @property
    def label(self) -> str:
        """What tables, pictures and messages call the optimizer."""
        return registry.lookup(self.optimizer).label

    @property
    def warning(self) -> str | None:
        """Why the choice is not to be trusted, if so."""
        if self.lr is None:
            return f"{self.label} diverged at every learning rate tried"
        if self.lr not in (self.tried[0], self.tried[-1]):
            return None
        end = "lowest" if self.lr == self.tried[0] else "highest"
        return (
            f"{self.label}: the best learning rate, {self.lr:g}, is the {end} tried; "
            "a better one may lie beyond"
        )


def learning_rates(low: float, high: float, count: int) -> tuple[float, ...]:
    """Log-spaced from `low` to `high`, at three significant digits."""
    return tuple(float(f"{lr:.3g}") for lr in np.geomspace(low, high, count))


def tried_by(optimizer: str, settings: Settings) -> tuple[float, ...]:
    """The learning rates at which this optimizer is tuned."""
    return learning_rates(*registry.lookup(optimizer).lr_range, settings.lrs)


def tuning_runs(settings: Settings) -> list[RunKey]:
    """Every optimizer at as many learning rates; optimizers take turns, so all share drift."""
    grids = {name: tried_by(name, settings) for name in settings.optimizers}
    return [
        RunKey(name, "tune", grids[name][place], seed)
        for place in _middle_out(settings.lrs)
        for seed in TUNING_SEEDS
        for name in settings.optimizers
    ]


def final_runs(settings: Settings, choices: Iterable[Choice]) -> list[RunKey]:
    """Each chosen learning rate on the fresh seeds, optimizers taking turns."""
    chosen = [(choice.optimizer, choice.lr) for choice in choices]
    return [
        RunKey(name, "final", lr, seed)
        for seed in settings.final_seeds
        for name, lr in chosen
        if lr is not None
    ]


def choose(optimizer: str, tried: tuple[float, ...], results: Iterable[RunResult]) -> Choice:
    """The learning rate of least mean validation error; validation loss breaks ties.

    A learning rate at which any tuning run diverged is out.
    """
    runs: dict[float, list[RunResult]] = {lr: [] for lr in tried}
    for result in results:
        runs[result.key.lr].append(result)
    best: tuple[float, float, float] | None = None
    for lr, of_lr in runs.items():
        if not of_lr or any(run.diverged for run in of_lr):
            continue
        error = math.fsum(run.validation_error for run in of_lr) / len(of_lr)
        losses = [run.validation_loss for run in of_lr]
        loss = math.fsum(math.inf if x is None else x for x in losses) / len(of_lr)
        if best is None or (error, loss, lr) < best:
            best = (error, loss, lr)
    if best is None:
        return Choice(optimizer, None, None, tried)
    return Choice(optimizer, best[2], best[0], tried)


def configuration(settings: Settings, task: Task) -> dict[str, object]:
    """Everything besides its key that decides a run, and that tuning was equal for all.

    Not in it: which optimizers and how many seeds, so that a comparison can be widened.
    """
    return {
        "task": dict(task.facts),
        "epochs": settings.epochs,
        "batch_size": settings.batch_size,
        "evaluate_every": settings.evaluate_every,
        "lrs": settings.lrs,
        "tuning_seeds": list(TUNING_SEEDS),
        "target": settings.target,
        "backend": settings.backend,
        "versions": versions(),
    }


def versions() -> dict[str, str]:
    """What the numbers depend on besides the plan: packages, Python, kind of processor."""
    found = {"python": platform.python_version(), "machine": platform.machine()}
    for package in ("glissade", "torch", "numpy", "scikit-learn"):
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "not installed"
    return found


def fingerprint(config: Mapping[str, object]) -> str:
    """A short hash of a configuration."""
    return hashlib.sha256(json.dumps(config, sort_keys=True).encode()).hexdigest()[:16]


def differences(
    stored: Mapping[str, object], asked: Mapping[str, object], prefix: str = ""
) -> list[str]:
    """One phrase for each entry in which two configurations differ."""
    found: list[str] = []
    for name in sorted({*stored, *asked}):
        old, new = stored.get(name), asked.get(name)
        if isinstance(old, Mapping) and isinstance(new, Mapping):
            found += differences(old, new, f"{prefix}{name}.")
        elif old != new:
            found.append(f"{prefix}{name} was {old!r}, is now {new!r}")
    return found


def _middle_out(count: int) -> list[int]:
    """Places from the middle outwards: likely learning rates first, for whoever watches."""
    return sorted(range(count), key=lambda place: abs(2 * place - count + 1))
