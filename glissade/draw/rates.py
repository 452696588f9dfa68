"""Which learning rate each optimizer gets, and how it was chosen: in words, for the caption."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from glissade.digits import log_spaced
from glissade.draw.surfaces import Surface
from glissade.draw.trajectories import Run, Ticker, follow
from glissade.spec import Spec

TRIALS = 25
# What suits a network is in `glissade list`; surfaces are another matter, hence wider.
WIDER = (0.1, 100.0)
SHARED = (1e-5, 10.0)
LONGEST = 1 / 20  # of the box' diagonal: so long may a step be if one is to follow the path
WORDS = ("tuned", "shared")


@dataclass(frozen=True)
class Rates:
    """How learning rates are chosen: "tuned", "shared", or a number for all."""

    how: str | float

    @staticmethod
    def parse(text: str) -> Rates:
        """Of `--lr`."""
        if text.lower() in WORDS:
            return Rates(text.lower())
        try:
            number = float(text)
        except ValueError:
            number = math.nan
        if not (math.isfinite(number) and number > 0):
            raise ValueError(f"--lr {text}: write tuned, shared, or a number over 0 for all")
        return Rates(number)

    def __str__(self) -> str:
        return self.how if isinstance(self.how, str) else f"{self.how:g}"


@dataclass(frozen=True)
class Outcome:
    """The runs to draw, and what has to be said about their learning rates."""

    runs: tuple[Run, ...]
    rule: str
    warnings: tuple[str, ...] = ()


def choose(
    surface: Surface,
    specs: Sequence[Spec],
    rates: Rates,
    steps: int,
    *,
    seed: int = 0,
    backend: str | None = None,
    tick: Ticker | None = None,
) -> Outcome:
    """Run every optimizer at the learning rate that is its due; its own wins over all rules."""
    tried = [_trials(spec, rates) for spec in specs]
    pairs = [(spec, lr) for spec, lrs in zip(specs, tried, strict=True) for lr in lrs]
    runs = follow(surface, pairs, steps, seed=seed, backend=backend, tick=tick)
    by_spec, at = [], 0
    for lrs in tried:
        by_spec.append(runs[at : at + len(lrs)])
        at += len(lrs)
    lowest = surface.grid(101)[2].min().item()
    free = [i for i, spec in enumerate(specs) if spec.lr is None]
    picked = dict.fromkeys(range(len(specs)), 0)
    warnings: list[str] = []
    if rates.how == "tuned":
        for i in free:
            scores = [score(surface, run, steps, lowest) for run in by_spec[i]]
            picked[i] = _best(scores)
            warnings += _doubts(specs[i].label, scores, picked[i], by_spec[i][picked[i]].lr)
    elif rates.how == "shared" and free:
        table = [[score(surface, run, steps, lowest) for run in by_spec[i]] for i in free]
        scores = [_median([row[k] for row in table]) for k in range(TRIALS)]
        best = _best(scores)
        picked |= dict.fromkeys(free, best)
        warnings += _doubts("the shared one", scores, best, by_spec[free[0]][best].lr)
    chosen = tuple(by_spec[i][picked[i]] for i in range(len(specs)))
    return Outcome(chosen, _rule(rates, len(free), len(specs), surface.bounded), tuple(warnings))


def _trials(spec: Spec, rates: Rates) -> list[float]:
    if spec.lr is not None:
        return [spec.lr]
    if rates.how == "tuned":
        low, high = spec.lr_range
        return _grid(low * WIDER[0], high * WIDER[1])
    if rates.how == "shared":
        return _grid(*SHARED)
    return [float(rates.how)]


def _grid(low: float, high: float) -> list[float]:
    """Log-spaced, to three digits: what a caption says is what was run."""
    return log_spaced(low, high, TRIALS)


Score = tuple[int, float]  # the lower the better: 0, mean loss; or 1, longest step; or 2 (diverged)


def score(surface: Surface, run: Run, steps: int, lowest: float) -> Score:
    """The mean loss over all steps, of a path that can be followed.

    Where a surface has no bottom, no loss counts as lower than the lowest in the box.
    """
    if run.diverged:
        return (2, -float(run.steps))
    if run.longest > LONGEST * surface.diagonal:
        return (1, run.longest)
    losses = np.array(run.losses + [run.losses[-1]] * (steps + 1 - len(run.losses)))
    return (0, float(np.mean(losses if surface.bounded else losses.clip(lowest))))


def _median(scores: list[Score]) -> Score:
    """The upper one of two: more than half are at least as good."""
    return sorted(scores)[len(scores) // 2]


def _best(scores: list[Score]) -> int:
    return min(range(len(scores)), key=lambda i: scores[i])


def _doubts(label: str, scores: list[Score], best: int, lr: float) -> list[str]:
    kind = scores[best][0]
    if kind == 2:
        return [f"{label}: diverged or stopped at every one of {len(scores)} learning rates"]
    if kind == 1:
        return [f"{label}: has longer steps at every one of {len(scores)} learning rates"]
    if best in (0, len(scores) - 1):
        edge = "lowest" if best == 0 else "highest"
        return [f"{label}: its learning rate {lr:g} is the {edge} that was tried"]
    return []


def _rule(rates: Rates, free: int, count: int, bounded: bool) -> str:
    own = "" if free == count else "; a rate that was given with an optimizer was kept"
    if not free:
        return "Learning rates: as they were given with the optimizers, not tuned."
    mean = "mean loss over the steps"
    if not bounded:
        mean += " (as far down as the picture goes)"
    if rates.how == "tuned":
        return (
            f"Learning rates: tuned, each the best of {TRIALS} (log-spaced from 1/10 to 100 times "
            f"its usual range) by {mean}, among those whose "
            f"longest step is under 1/20 of the box’s diagonal{own}."
        )
    if rates.how == "shared":
        return (
            f"Learning rate: shared by all, of {TRIALS} from {SHARED[0]:g} to {SHARED[1]:g} the "
            f"one at which the median over the optimizers of the {mean} is "
            f"lowest; a step over 1/20 of the box’s diagonal is worse than any loss{own}."
        )
    return f"Learning rate: {rates.how:g} for all, not tuned{own}."
