"""Run the machine for some seconds, with examples that are new each time."""

from __future__ import annotations

import os
import time
from typing import Any

import hypothesis
from hypothesis.stateful import run_state_machine_as_test

from .machine import Sequences

CHUNK = 25  # examples a seed


class Counted(Sequences):
    """Counts its examples."""

    examples = 0

    def __init__(self) -> None:
        super().__init__()
        type(self).examples += 1


def search(seconds: float, seed: int | None = None, shrink: bool = True, **also: Any) -> int:
    """Draw examples until the time is over; return how many.

    Raises:
        Mismatch: an example on which the optimizer and its model differ, as small as it gets, with
            a note that says how to draw it again.
    """
    phases = [hypothesis.Phase.generate, *([hypothesis.Phase.shrink] if shrink else [])]
    settings = hypothesis.settings(
        max_examples=CHUNK,
        stateful_step_count=also.pop("steps", 20),
        deadline=None,
        database=None,
        derandomize=False,
        phases=phases,
        report_multiple_bugs=False,
        suppress_health_check=list(hypothesis.HealthCheck),
    )
    seed = int.from_bytes(os.urandom(4), "little") if seed is None else seed
    end, Counted.examples = time.monotonic() + seconds, 0
    while time.monotonic() < end:
        hypothesis.seed(seed)(Counted)
        try:
            run_state_machine_as_test(Counted, settings=settings)
        except Exception:
            print(f"to draw it again: GLISSADE_SEQUENCES_SEED={seed}")
            raise
        seed += 1
    return Counted.examples
