"""The comparison that would decide between candidates: as a command, with a budget that fits."""

from __future__ import annotations

import math
import shlex
from collections.abc import Sequence
from dataclasses import dataclass

from glissade.study import statistics
from glissade.study.advise.advice import Candidate
from glissade.study.advise.look import Look
from glissade.study.design import CONFIRMED, CONFIRMING, Settings
from glissade.study.engine.local import cores
from glissade.study.task import Prepared

LONG = 2 * 3600.0  # seconds that a comparison may take before it is made smaller
SIZES = ((16, 3, 10), (8, 3, 9), (8, 2, 8), (4, 1, 0))  # trials, studies, seeds; the last: fewest
SPARE = 2.0  # of the budget over what it should take
SETUP = 0.05  # seconds of a run beside its steps
STEP = 0.3  # of forward and backward, for a step whose time is not known


@dataclass(frozen=True)
class Decision:
    """A comparison of candidates."""

    command: str
    trials: int
    studies: int
    seeds: int
    fewest: int  # seeds from which on a difference can be declared
    runs: int
    steps: int  # of each
    seconds: float  # that all of it should take here
    workers: int

    @property
    def small(self) -> bool:
        """Whether it was made smaller than usual to save time."""
        return (self.trials, self.studies) != SIZES[0][:2]


def decide(
    task: Prepared,
    look: Look,
    candidates: Sequence[Candidate],
    batch: str | None,
    before: int = 0,
) -> Decision:
    """The command that compares these; with twice the seeds `before` which all was open."""
    steps, workers = task.epochs * len(task.train), cores()
    evaluations = Settings().evaluations
    fewest = statistics.fewest_pairs(max(1, math.comb(len(candidates), 2)))
    each = [
        SETUP
        + steps * (look.seconds + (STEP * look.seconds if x.step_ms is None else x.step_ms / 1e3))
        + min(steps, evaluations) * look.evaluation
        for x in candidates
    ]
    for trials, studies, least in SIZES:
        seeds = max(least, fewest, studies, 2 * before)
        runs = studies * (trials + min(trials, CONFIRMED) * CONFIRMING) + 2 * seeds
        seconds = runs * math.fsum(each) / workers
        if seconds <= LONG:
            break
    words = ["glissade", "compare", task.text, "-o", ",".join(x.optimizer for x in candidates)]
    if batch is not None:
        words += ["--batch", batch]
    words += ["--trials", str(trials), "--studies", str(studies), "--seeds", str(seeds)]
    words += ["--budget", budget(SPARE * seconds)]
    return Decision(
        shlex.join(words), trials, studies, seeds, fewest, runs * len(candidates), steps, seconds,
        workers,
    )  # fmt: skip


def budget(seconds: float) -> str:
    """A time as ``--budget`` takes it: whole minutes, at least one."""
    minutes = max(1, math.ceil(seconds / 60))
    hours, rest = divmod(minutes, 60)
    return f"{hours}h{rest}m" if hours and rest else f"{hours}h" if hours else f"{rest}m"
