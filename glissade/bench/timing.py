"""Timing side by side: every contestant has its turn in every round.

The clock of a shared machine drifts by more than the differences that matter, so contestants are
never timed one after the other; what is reported are medians over rounds, and ratios are medians
of the ratios within a round.
"""

from __future__ import annotations

import contextlib
import gc
import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass


@dataclass
class Contestant:
    """Something to time: a step, and of how many steps a turn is a multiple."""

    name: str
    step: Callable[[], object]
    cycle: int = 1

    def turn(self, seconds: float) -> float:
        """Microseconds a step, over about so many seconds of steps in a row.

        Many steps go by between two looks at the clock, but never more than about an eighth of
        the turn: where others hold the processor, a step can take a thousand times as long as
        the one before.
        """
        step, cycle, clock = self.step, self.cycle, time.perf_counter_ns
        done, some = 0, cycle
        start = clock()
        while True:
            for _ in range(some):
                step()
            done += some
            taken = clock() - start
            if taken >= seconds * 1e9:
                return taken / done / 1e3
            eighth = seconds * 1e9 / 8 / (taken / done)
            some = cycle * max(1, min(done, int(eighth)) // cycle)


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
        for _ in range(rounds):
            for c in contestants:
                out[c.name].append(c.turn(seconds))
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
