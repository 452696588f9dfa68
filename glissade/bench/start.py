"""How long until there is anything: the import, and the first step of a fresh process."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
from dataclasses import asdict, dataclass
from typing import Any

import torch

from .timing import quartiles

RUNS, QUICK_RUNS = 7, 3
# The import of torch is not ours: ours is counted from where it ends.
CHILD = """
import sys, time
clock = time.perf_counter
start = clock()
import torch
there = clock()
import glissade
ready = clock()
torch.set_num_threads(int(sys.argv[1]))
from glissade.bench.shapes import MODELS
params = MODELS["mlp"].parameters()
before = clock()
optimizer = glissade.AdamW(params, lr=1e-6)
made = clock()
optimizer.step()
done = clock()
print(there - start, ready - there, made - before, done - made, done - before)
"""


class StartError(RuntimeError):
    """A fresh process that does not come to its first step."""


@dataclass(frozen=True)
class Seconds:
    """Median and middle half over processes."""

    median: float
    low: float
    high: float

    @staticmethod
    def of(some: list[float]) -> Seconds:
        """The figures of a few."""
        return Seconds(statistics.median(some), *quartiles(some))

    def __str__(self) -> str:
        return f"{self.median:.2f} s ({self.low:.2f} to {self.high:.2f})"


@dataclass(frozen=True)
class Start:
    """Fresh processes, one after the other."""

    processes: int
    torch: Seconds  # `import torch`
    ours: Seconds  # `import glissade`, after it
    constructor: Seconds  # of AdamW on the MLP; torch imports its compiler in any optimizer's first
    step: Seconds  # its first, with what is compiled for it
    first_step: Seconds  # both

    def record(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


def measure(quick: bool) -> Start:
    """All of it, after one process that is not counted: files come from the disk's cache.

    Raises:
        StartError: with what the process said.
    """
    runs = [_process() for _ in range(1 + (QUICK_RUNS if quick else RUNS))][1:]
    return Start(len(runs), *(Seconds.of(list(some)) for some in zip(*runs, strict=True)))


def _process() -> tuple[float, ...]:
    path = os.pathsep.join(p for p in sys.path if p)  # so that it imports this very package
    done = subprocess.run(
        [sys.executable, "-c", CHILD, str(torch.get_num_threads())],
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise StartError(f"a fresh process failed: {done.stderr.strip().splitlines()[-1:]}")
    return tuple(map(float, done.stdout.split()))
