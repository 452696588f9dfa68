"""Schedules that come back: restarts, triangles, one cycle."""

from __future__ import annotations

import math
from itertools import pairwise

from .base import (
    FACTOR,
    INSIDE,
    LENGTH,
    POSITIVE,
    RATIO,
    SHARE,
    TRUTH,
    Check,
    floor,
    half_wave,
    reached,
    schedule,
    word,
)


def cycle(t: float, t_0: float, t_mult: float) -> tuple[int, float, float]:
    """Return the cycle of step t, the steps since its start, and its length: t_0·t_mult^i."""
    if t_mult == 1:
        i = floor(t / t_0)
        return i, max(0.0, t - i * t_0), t_0
    # Neither the logarithm nor a start that is no whole number is exact: at a restart, where it
    # counts most, either could be off by a cycle.
    i = max(0, int(math.log(t / t_0 * (t_mult - 1) + 1, t_mult)) - 1)
    while reached(t, start(i + 1, t_0, t_mult)):
        i += 1
    return i, max(0.0, t - start(i, t_0, t_mult)), t_0 * t_mult**i


def start(i: int, t_0: float, t_mult: float) -> float:
    """Return the step at which cycle i starts; whole where t_0 and t_mult are."""
    if t_mult == 1:
        return i * t_0
    if float(t_mult).is_integer() and float(t_0).is_integer():
        return float(int(t_0) * (int(t_mult) ** i - 1) // (int(t_mult) - 1))
    return float(t_0 * (t_mult**i - 1) / (t_mult - 1))


@schedule(t_0=LENGTH, t_mult=RATIO, floor=SHARE, peak_decay=FACTOR)
def warm_restarts(
    t: float, t_0: float, t_mult: float = 1.0, floor: float = 0.0, peak_decay: float = 1.0
) -> float:
    """Cosines one after the other: cycle i takes t_0·t_mult^i steps and starts at peak_decay^i.

    At a restart the value is the new cycle's peak (torch's CosineAnnealingWarmRestarts).

    Args:
        t_0: steps of the first cycle.
        t_mult: how many times as long each cycle is as the one before.
        floor: share of the peak that is left at the end of a cycle.
        peak_decay: how many times as high each peak is as the one before.

    >>> warm_restarts(10, t_mult=2)(10)
    1.0

    Source: Loshchilov & Hutter 2017, arXiv:1608.03983, equation 5.
    """
    i, since, length = cycle(t, t_0, t_mult)
    return float(peak_decay**i) * (floor + (1 - floor) * half_wave(since / length))


@schedule(t_0=LENGTH, t_mult=RATIO)
def normalized_decay(t: float, t_0: float, t_mult: float = 1.0) -> float:
    """1/√(steps of the cycle that step t is in): for the decay beside `warm_restarts`.

    λ = λ_norm·√(b/(B·T)), where b/(B·T), batch size over examples and epochs, is one over the
    number of steps.

    Args:
        t_0, t_mult: of `warm_restarts`.

    >>> normalized_decay(100)(0)
    0.1

    Source: Loshchilov & Hutter 2019, arXiv:1711.05101, appendix B.1.
    """
    return 1 / math.sqrt(cycle(t, t_0, t_mult)[2])


@schedule(up=LENGTH, down=LENGTH, low=SHARE, decay=FACTOR)
def cyclic(t: float, up: float, down: float, low: float = 0.1, decay: float = 1.0) -> float:
    """Triangles: from `low` to 1 in `up` steps and back in `down`; the height shrinks by `decay`
    a cycle (torch's CyclicLR).

    Args:
        up, down: steps of the two sides.
        low: where each triangle begins and ends.
        decay: height of a triangle over that of the one before.

    >>> cyclic(10, 10, low=0.5)(5)
    0.75

    Source: Smith 2017, arXiv:1506.01186.
    """
    i, since, _ = cycle(t, up + down, 1)
    height = since / up if since < up else 1 - (since - up) / down
    return float(low + (1 - low) * height * decay**i)


_ANNEAL: Check = word("cos", "linear")


def _between(a: float, b: float, x: float, anneal: str) -> float:
    return a + (b - a) * (x if anneal == "linear" else 1 - half_wave(x))


def _peak(name: str, total: float, pct_start: float, three_phase: bool) -> float:
    peak = pct_start * total - 1  # as torch counts
    if not 1e-12 * total < peak < (total - 1) / (2 if three_phase else 1):
        raise ValueError(
            f"{name}: pct_start={pct_start!r} of {total!r} steps leaves no steps "
            + ("to go up: give it more" if peak <= 0 else "to come down: give it less")
        )
    return peak


def _phases(t: float, marks: tuple[float, ...], values: tuple[float, ...], anneal: str) -> float:
    """From values[i] to values[i + 1] between marks[i] and marks[i + 1], then level."""
    for (a, b), (x, y) in zip(pairwise(marks), pairwise(values), strict=True):
        if t <= b:
            return _between(x, y, (t - a) / (b - a), anneal)
    return values[-1]


@schedule(total=RATIO, pct_start=INSIDE, anneal=_ANNEAL, div_factor=RATIO,
           final_div_factor=POSITIVE, three_phase=TRUTH)  # fmt: skip
def one_cycle(
    t: float,
    total: float,
    pct_start: float = 0.3,
    anneal: str = "cos",
    div_factor: float = 25.0,
    final_div_factor: float = 1e4,
    three_phase: bool = False,
) -> float:
    """Up from 1/div_factor to 1, then down to 1/(div_factor·final_div_factor): torch's OneCycleLR
    with the base value as its max_lr.

    The peak is at step pct_start·total − 1, the end at step total − 1; `three_phase` goes down to
    where it began, as long as it went up, and then to the end.

    Args:
        total: steps in all.
        pct_start: share of them that goes up.
        anneal: "cos" or "linear".
        div_factor: 1 over the first value.
        final_div_factor: the first value over the last one.
        three_phase: whether to come back to the first value first. Defaults are torch's.

    >>> one_cycle(100)(29)
    1.0

    Source: Smith & Topin 2018, arXiv:1708.07120.
    """
    low = 1 / div_factor
    peak = _peak("one_cycle", total, pct_start, three_phase)
    if three_phase:
        marks = (0.0, peak, 2 * peak, total - 1)
        return _phases(t, marks, (low, 1.0, low, low / final_div_factor), anneal)
    return _phases(t, (0.0, peak, total - 1), (low, 1.0, low / final_div_factor), anneal)


@schedule(total=RATIO, pct_start=INSIDE, anneal=_ANNEAL, low=SHARE, three_phase=TRUTH)
def momentum_cycle(
    t: float,
    total: float,
    pct_start: float = 0.3,
    anneal: str = "cos",
    low: float = 0.85 / 0.95,
    three_phase: bool = False,
) -> float:
    """From 1 down to `low` and back, against `one_cycle` of the same values: for the momentum.

    Args:
        total, pct_start, anneal, three_phase: of `one_cycle`.
        low: the least value; default torch's 0.85 over its 0.95.

    >>> momentum_cycle(100, low=0.9)(29)
    0.9
    """
    peak = _peak("momentum_cycle", total, pct_start, three_phase)
    if three_phase:
        return _phases(t, (0.0, peak, 2 * peak, total - 1), (1.0, low, 1.0, 1.0), anneal)
    return _phases(t, (0.0, peak, total - 1), (1.0, low, 1.0), anneal)
