"""Comparisons without training: a made landscape with noise in the place of every run."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from glissade.study import conduct
from glissade.study.analysis import Analysis, analyse
from glissade.study.design import Choice, Job, Phase, Plan, RunKey, RunResult, Settings
from glissade.study.loading import load
from glissade.study.store import Store

Landscape = Callable[[RunKey, Mapping[str, float]], float]
TWINS = "adam, adam(eps=1e-08)"  # one optimizer under two names


class Kept(Store):
    """A store in memory."""

    def append(self, result: RunResult) -> None:
        self.results[result.key] = result


class Silent:
    """A watcher that notes what it is told."""

    def __init__(self) -> None:
        self.fresh: list[bool] = []
        self.phases: list[tuple[str, int]] = []

    def phase(self, name: Phase, runs: int) -> None:
        self.phases.append((name, runs))

    def ended(self, result: RunResult, fresh: bool) -> None:
        self.fresh.append(fresh)

    def chosen(self, choices: Sequence[Choice]) -> None: ...


class Made:
    """An engine whose runs are looked up in a landscape; inf is a run that diverged."""

    workers = 2

    def __init__(self, plan: Plan, landscape: Landscape) -> None:
        self.plan, self.landscape = plan, landscape

    def run(
        self,
        function: Any,
        jobs: Sequence[Job],
        told: Callable[[Any], None],
        go: Callable[[], bool] = lambda: True,
    ) -> None:
        for job in jobs:
            if not go():
                return
            told(result(job, self.landscape(job.key, self.plan.values(job.key))))

    def close(self) -> None: ...


class Here:
    """An engine without processes: for tests in which they do not matter."""

    workers = 1

    def run(
        self,
        function: Callable[[Job], Any],
        jobs: Sequence[Job],
        told: Callable[[Any], None],
        go: Callable[[], bool] = lambda: True,
    ) -> None:
        threads = torch.get_num_threads()
        try:
            for job in jobs:
                if not go():
                    return
                told(function(job))
        finally:
            torch.set_num_threads(threads)

    def close(self) -> None: ...


def result(job: Job, value: float) -> RunResult:
    """What a run of this quality gives."""
    lost = not np.isfinite(value)
    quality = None if lost else value
    course = () if lost else ((job.steps // 2, 0.5, value + 1.0), (job.steps, 1.0, value))
    return RunResult(
        job.key, job.optimizer, () if lost else (1.0, value), course, quality,
        quality if job.test else None, 1 if lost else None, None, job.steps, 0.1, 8, 1.0,
    )  # fmt: skip


def noise(seed: int, key: RunKey) -> float:
    """Standard normal; independent for every run of every optimizer."""
    digest = hashlib.sha256(f"{seed} {key}".encode()).digest()
    return float(np.random.default_rng(int.from_bytes(digest[:8], "big")).normal())


def compare(landscape: Landscape, **asked: Any) -> Analysis:
    """A whole comparison: tables, trials, confirmation, choices, fresh seeds, verdict."""
    tasks = asked.pop("tasks", ("digits",))
    plan = Plan(Settings(tasks, **asked), tuple(load(text) for text in tasks))
    store = Kept(Path("nowhere"), plan.hash)
    return analyse(conduct.compare(plan, store, Made(plan, landscape), Silent()))
