"""Timing side by side: every contestant has its turn in every round.

The speed of a shared machine drifts by more than the differences that matter, so contestants are
never timed one after the other; what is reported are medians over rounds, and ratios are medians
of the ratios within a round.
"""

from __future__ import annotations

import contextlib
import gc
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from .machine import Bystanders

BUSY = 0.1  # cores kept busy by others: from here on figures are not to be trusted


@dataclass
class Contestant:
    """Something to time: a step, and of how many steps a turn is a multiple."""

    name: str
    step: Callable[[], object]
    cycle: int = 1
    wait: Callable[[], object] | None = None  # for a device that steps are only handed to

    def turn(self, seconds: float) -> float:
        """Microseconds a step, over about so many seconds of steps in a row.

        Many steps go by between two looks at the clock, but never more than about an eighth of
        the turn: where others hold the processor, a step can take a thousand times as long as
        the one before.
        """
        step, cycle, clock = self.step, self.cycle, time.perf_counter_ns
        done, some, wait = 0, cycle, self.wait or (lambda: None)
        wait()
        start = clock()
        while True:
            for _ in range(some):
                step()
            wait()
            done += some
            taken = clock() - start
            if taken >= seconds * 1e9:
                return taken / done / 1e3
            eighth = seconds * 1e9 / 8 / (taken / done)
            some = cycle * max(1, min(done, int(eighth)) // cycle)

    def handing_over(self, steps: int = 20, times: int = 9) -> float | None:
        """Microseconds until a step has been handed to the device; None where none is."""
        if self.wait is None:
            return None
        taken = []
        for _ in range(times):
            self.wait()
            start = time.perf_counter_ns()
            for _ in range(steps):
                self.step()
            taken.append((time.perf_counter_ns() - start) / steps / 1e3)
        self.wait()
        return statistics.median(taken)


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


def race(
    contestants: Sequence[Contestant], rounds: int, seconds: float, patience: int = 1
) -> tuple[dict[str, list[float]], float | None]:
    """Microseconds a step of each contestant in each round, and how busy others kept the cores.

    A turn takes about `seconds`. Rounds that others disturb are taken again, `patience` times as
    many rounds at most; the quietest are kept. The contestants must have warmed up.
    """
    taken: list[tuple[float, list[float]]] = []
    known = True
    with undisturbed():
        quiet = 0
        while len(taken) < rounds or (known and quiet < rounds and len(taken) < rounds * patience):
            bystanders = Bystanders()
            turns = [c.turn(seconds) for c in contestants]
            busy = bystanders.cores()
            known = busy is not None
            quiet += busy is not None and busy <= BUSY
            taken.append((busy or 0.0, turns))
    kept = sorted(taken, key=lambda round_: round_[0])[:rounds]
    times = {c.name: [turns[i] for _, turns in kept] for i, c in enumerate(contestants)}
    return times, max(busy for busy, _ in kept) if known else None


def ratio(over: Sequence[float], under: Sequence[float]) -> float:
    """The median over rounds of one contestant's time over another's."""
    return statistics.median(a / b for a, b in zip(over, under, strict=True))


def quartiles(times: Sequence[float]) -> tuple[float, float]:
    """The middle half."""
    if len(times) < 2:
        return times[0], times[0]
    low, _, high = statistics.quantiles(times, n=4, method="inclusive")
    return low, high
