"""Schedules made of schedules."""

from __future__ import annotations

from .base import FACTOR, SCHEDULE, SPAN, Schedule, reached, schedule


@schedule(steps=SPAN, schedule=SCHEDULE, start=FACTOR)
def warmup(t: float, steps: float, schedule: Schedule, start: float = 0.0) -> float:
    """A straight line from `start` to schedule(0), then schedule(t − steps).

    Args:
        steps: of the line.
        schedule: what follows.
        start: where the line begins; default 0.

    >>> warmup(10, cosine(90))(5)
    0.5
    """
    if t >= steps:
        return schedule(t - steps)
    return start + (schedule(0) - start) * (t / steps)


@schedule(first=SCHEDULE, second=SCHEDULE, at=SPAN)
def then(t: float, first: Schedule, second: Schedule, at: float) -> float:
    """`first` before step `at`, and from there on `second`, which starts at its own step 0.

    Args:
        first, second: the schedules.
        at: the first step of `second`.

    >>> constant().then(linear(10), at=5)(10)
    0.5
    """
    return second(max(0.0, t - at)) if reached(t, at) else first(t)


@schedule(first=SCHEDULE, second=SCHEDULE)
def product(t: float, first: Schedule, second: Schedule) -> float:
    """The one times the other.

    Args:
        first, second: the factors; ``first * second`` is the same.

    >>> (linear(10) * linear(10))(5)
    0.25
    """
    return first(t) * second(t)
