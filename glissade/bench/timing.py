"""Timing side by side: every contestant has its turn in every round.

The clock of a shared machine drifts by more than the differences that matter, so contestants are
never timed one after the other; what is reported are medians over rounds, and ratios are medians
of the ratios within a round.
"""

from __future__ import annotations

import contextlib
import gc
import math
import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass


@dataclass
class Contestant:
    """Something to time: a step, and of how many steps its turn is a multiple."""

    name: str
    step: Callable[[], object]
    cycle: int = 1

    def turn(self, steps: int) -> float:
        """Microseconds a step, over so many in a row."""
        step = self.step
        clock = time.perf_counter_ns
        start = clock()
        for _ in range(steps):
            step()
        return (clock() - start) / steps / 1e3

    def steps(self, seconds: float) -> int:
        """How many steps take so long, from one turn; a whole number of cycles, at least one."""
        cycles = seconds * 1e6 / (self.turn(self.cycle) * self.cycle)
        if cycles > 8:  # too short a look to go by
            cycles = seconds * 1e6 / (self.turn(4 * self.cycle) * self.cycle)
        return self.cycle * max(1, math.ceil(cycles))


Rounds = Mapping[str, Sequence[float]]


@contextlib.contextmanager
def undisturbed() -> Iterator[None]:
    """No garbage collection in between."""
    enabled = gc.isenabled()
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def race(contestants: Sequence[Contestant], rounds: int, seconds: float) -> dict[str, list[float]]:
    """Microseconds a step of each contestant in each round; a turn takes about `seconds`.

    The contestants must have warmed up.
    """
    out: dict[str, list[float]] = {c.name: [] for c in contestants}
    with undisturbed():
        steps = [c.steps(seconds) for c in contestants]
        for _ in range(rounds):
            for c, n in zip(contestants, steps, strict=True):
                out[c.name].append(c.turn(n))
    return out


def ratio(over: Sequence[float], under: Sequence[float]) -> float:
    """The median over rounds of one contestant's time over another's."""
    return statistics.median(a / b for a, b in zip(over, under, strict=True))


def quartiles(times: Sequence[float]) -> tuple[float, float]:
    """The middle half."""
    if len(times) < 2:
        return times[0], times[0]
    low, _, high = statistics.quantiles(times, n=4, method="inclusive")
    return low, high
