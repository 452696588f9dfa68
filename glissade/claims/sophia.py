"""Sophia beside AdamW, by the passes over batches that they take."""

from __future__ import annotations

import math

import numpy as np

from glissade.claims import readings
from glissade.claims.base import Claim, Measure
from glissade.claims.charts import Line, Lines
from glissade.claims.readings import Runs, Values
from glissade.claims.sweeps import places, sweep
from glissade.study.design import RunResult

STEPS = 240
EVERY = 10  # steps between two curvatures, each a forward and a backward pass more
PASSES = {"sophia": 1 + 1 / EVERY, "adamw": 1.0}  # per step
WINDOW = 20  # steps that a loss is a mean of


def smooth(losses: tuple[float, ...], stretch: int) -> list[float]:
    """Means over the last `WINDOW` steps, at the end of each stretch of steps."""
    width = max(1, WINDOW // stretch)
    return [math.fsum(losses[max(0, i - width) : i]) / min(i, width)
            for i in range(1, len(losses) + 1)]  # fmt: skip


def _stretch(run: RunResult) -> int:
    return -(-run.steps // max(1, len(run.losses)))


def to_loss(run: RunResult, target: float, passes: float) -> float:
    """Passes until the mean loss is at a target that it reaches."""
    stretch = _stretch(run)
    course = enumerate(smooth(run.losses, stretch), 1)
    reached = (i for i, loss in course if i * stretch >= WINDOW and loss <= target)
    return min(run.steps, next(reached) * stretch) * passes


def _passes(run: RunResult) -> float:
    return PASSES[run.key.arm.partition("|")[0]]  # the run's own, whatever its label is now


def fewer(one: RunResult, other: RunResult) -> float:
    """log2 of how many times fewer passes the first takes to the last loss that both reach; a lost
    run takes infinitely many."""
    if one.lost or other.lost:
        return 0.0 if one.lost and other.lost else -math.inf if one.lost else math.inf
    target = max(smooth(run.losses, _stretch(run))[-1] for run in (one, other))
    spent, others = (to_loss(run, target, _passes(run)) for run in (one, other))
    return math.log2(others / spent)


def _steps() -> Claim:
    names = ("sophia", "adamw")
    rates = {"sophia": places(3e-4, 1e-2, 4), "adamw": places(1e-3, 3e-2, 4)}
    forms = {
        "sophia": f"sophia(lr={{lr}}, weight_decay=0.1, k={EVERY}) @ cosine({STEPS})",
        "adamw": f"adamw(lr={{lr}}, weight_decay=0.1) @ cosine({STEPS})",
    }

    def read(runs: Runs) -> Values:
        at = {name: runs[readings.best(runs, name, readings.losses)] for name in names}
        return [[fewer(*pair) for pair in zip(at["sophia"], at["adamw"], strict=True)]]

    def chart(runs: Runs) -> Lines:
        drawn = []
        for name in names:
            arm = [run for run in runs[readings.best(runs, name, readings.losses)] if not run.lost]
            each = [smooth(run.losses, _stretch(run)) for run in arm]
            y = [float(value) for value in np.median(each, axis=0)] if arm else []
            x = [(i + 1) * _stretch(run) * _passes(run) for run in arm[:1] for i in range(len(y))]
            drawn.append(Line(readings.titled(name), x, y))
        return Lines("passes over batches", "training loss, nats per byte", drawn, log_x=False)

    return Claim(
        "sophia-passes",
        "Sophia reaches Adam's loss on language with fewer passes, those for its curvature "
        "counted.",
        "Liu et al. 2023, arXiv:2305.14342, as the HKUST lecture tells it",
        f"bytes of Python's standard library, a transformer of two layers, {STEPS} steps of 1,024 "
        "bytes",
        f"Sophia (Gauss-Newton-Bartlett, every {EVERY} steps) and AdamW, each with a cosine, at "
        "four learning rates over one and a half decades; the best by training loss; passes until "
        f"each one's loss, a mean over {WINDOW} steps, is the last one that both reach: AdamW's, "
        "if Sophia gets there, else Sophia's. (In a first run it was AdamW's in any case, and "
        "Sophia never there.)",
        names, 8, sweep(forms, rates, task="text", steps=STEPS, evaluations=1),
        [Measure("log2 of how many times fewer passes Sophia takes to the last loss that both "
                 "reach", base=2)],
        read, chart,
        tuned=names, by=readings.losses,
    )  # fmt: skip


CLAIMS = (_steps(),)
