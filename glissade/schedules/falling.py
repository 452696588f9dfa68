"""Schedules that fall, most of them after a line up."""

from __future__ import annotations

import math

from .base import (
    FACTOR,
    INSIDE,
    LENGTH,
    RATIO,
    SHARE,
    SPAN,
    STEPS,
    ceil,
    half_wave,
    reached,
    schedule,
    word,
)
from .base import (
    floor as whole,
)


@schedule()
def constant(t: float) -> float:
    """1 throughout.

    >>> constant()(7)
    1.0
    """
    return 1.0


@schedule(every=LENGTH, factor=FACTOR)
def step_drop(t: float, every: float, factor: float = 0.1) -> float:
    """factor^⌊t/every⌋: smaller by `factor` every so many steps (torch's StepLR).

    Args:
        every: steps between drops.
        factor: of each drop; default torch's.

    >>> step_drop(30)(60)
    0.010000000000000002
    """
    return float(factor ** whole(t / every))


@schedule(milestones=STEPS, factor=FACTOR)
def multi_step(t: float, milestones: tuple[float, ...], factor: float = 0.1) -> float:
    """Smaller by `factor` at each of the milestones (torch's MultiStepLR).

    Args:
        milestones: steps at which it drops.
        factor: of each drop; default torch's.

    >>> multi_step((30, 80))(30)
    0.1
    """
    return float(factor ** sum(reached(t, mark) for mark in milestones))


@schedule(gamma=FACTOR)
def exponential(t: float, gamma: float) -> float:
    """γ^t.

    Args:
        gamma: share that is left after a step.

    >>> exponential(0.5)(2)
    0.25
    """
    return float(gamma**t)


@schedule(total=LENGTH, power=FACTOR, floor=SHARE)
def polynomial(t: float, total: float, power: float = 1.0, floor: float = 0.0) -> float:
    """floor + (1−floor)(1−t/total)^power, and floor after `total` steps.

    Args:
        total: steps until the floor.
        power: 1 is a straight line.
        floor: share that is left at the end.

    >>> polynomial(100, power=2)(50)
    0.25
    """
    return float(floor + (1 - floor) * (1 - min(t, total) / total) ** power)


@schedule(total=LENGTH, floor=SHARE)
def linear(t: float, total: float, floor: float = 0.0) -> float:
    """A straight line from 1 to `floor` in `total` steps, and `floor` from there on.

    Args:
        total: steps until the floor.
        floor: share that is left at the end.

    >>> linear(100)(25)
    0.75
    """
    return floor + (1 - floor) * (1 - min(t, total) / total)


@schedule(warmup=LENGTH)
def inverse_sqrt(t: float, warmup: float) -> float:
    """min(t/warmup, √(warmup/t)): a line up, then down with the root of the step.

    Args:
        warmup: steps up to 1.

    >>> inverse_sqrt(100)(400)
    0.5

    Source: Vaswani et al. 2017, arXiv:1706.03762, section 5.3.
    """
    return t / warmup if t < warmup else math.sqrt(warmup / t)


@schedule(total=LENGTH, cut_frac=INSIDE, ratio=RATIO)
def slanted_triangular(t: float, total: float, cut_frac: float = 0.1, ratio: float = 32.0) -> float:
    """A short line up from 1/ratio to 1, at the step ⌈total·cut_frac⌉, and a long one down again.

    Args:
        total: steps in all.
        cut_frac: share of them that goes up; default the paper's.
        ratio: of the peak to the ends; default the paper's.

    >>> slanted_triangular(100)(10)
    1.0

    Source: Howard & Ruder 2018, arXiv:1801.06146, equation 3.
    """
    cut = ceil(total * cut_frac)
    p = t / cut if t < cut else max(0.0, 1 - (t - cut) / (cut * (1 / cut_frac - 1)))
    return (1 + p * (ratio - 1)) / ratio


@schedule(total=LENGTH, floor=SHARE)
def cosine(t: float, total: float, floor: float = 0.0) -> float:
    """floor + ½(1−floor)(1+cos(π·t/total)), and floor after `total` steps.

    Args:
        total: steps until the floor.
        floor: share that is left at the end.

    >>> cosine(100)(50)
    0.5

    Source: Loshchilov & Hutter 2017, arXiv:1608.03983, without restarts.
    """
    return floor + (1 - floor) * half_wave(min(t, total) / total)


@schedule(total=LENGTH, warmup=SPAN, decay=SPAN, floor=SHARE,
           shape=word("linear", "cosine", "1-sqrt", "exponential"))  # fmt: skip
def wsd(
    t: float, total: float, warmup: float, decay: float, floor: float = 0.0, shape: str = "linear"
) -> float:
    """Warm-up, stable, decay: a line up, 1, and down to `floor` in the last `decay` steps.

    `shape` is that of the last part, in x from 0 to 1: "linear" 1−x, "cosine", "1-sqrt" 1−√x, or
    "exponential" floor^x, which needs a floor over 0.

    Args:
        total: steps in all.
        warmup, decay: steps of the first and of the last part.
        floor: share that is left at the end.
        shape: of the last part.

    >>> wsd(100, warmup=10, decay=20)(90)
    0.5

    Source: Hu et al. 2024, arXiv:2404.06395; 1-sqrt: Hägele et al. 2024, arXiv:2405.18392.
    """
    if not reached(total, warmup + decay):
        raise ValueError(
            f"wsd: warmup={warmup!r} and decay={decay!r} are longer than total={total!r} together"
        )
    if t < warmup:
        return t / warmup
    start = total - decay
    if not reached(t, start):
        return 1.0
    x = min(1.0, max(0.0, t - start) / decay) if decay else 1.0
    if shape == "exponential":
        if floor == 0:
            raise ValueError("wsd: shape='exponential' needs a floor over 0, such as floor=0.01")
        return float(floor**x)
    left = {"linear": 1 - x, "cosine": half_wave(x), "1-sqrt": 1 - math.sqrt(x)}[shape]
    return floor + (1 - floor) * left


@schedule(total=LENGTH, floor=SHARE)
def rex(t: float, total: float, floor: float = 0.0) -> float:
    """floor + (1−floor)·(1−z)/(½ + ½(1−z)), z = t/total: high for long, and down fast at the end.

    Args:
        total: steps until the floor.
        floor: share that is left at the end.

    >>> rex(100)(50)
    0.6666666666666666

    Source: Chen et al. 2021, arXiv:2107.04197.
    """
    left = 1 - min(t, total) / total
    return floor + (1 - floor) * left / (0.5 + 0.5 * left)


@schedule(knee=LENGTH, exponent=FACTOR)
def power(t: float, knee: float, exponent: float = 0.51) -> float:
    """min(1, (t/knee)^−exponent): level, then falling for ever; no total need be known.

    Args:
        knee: steps until it falls.
        exponent: default the paper's.

    >>> power(100, exponent=0.5)(400)
    0.5

    Source: Shen et al. 2024, arXiv:2408.13359 (exponent 0.51); 0.5 is `inverse_sqrt`'s fall.
    """
    return 1.0 if t <= knee else float((t / knee) ** -exponent)
