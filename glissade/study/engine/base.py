"""What an engine is, and the choice of one by name."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol, TypeVar

import glissade
from glissade.study.design import Job

T = TypeVar("T")
RETRIES = 3  # of a run whose worker died
NAMES = ("local", "ray", "slurm")


class EngineError(RuntimeError):
    """An engine cannot be had or has broken; what has ended is kept."""


class Engine(Protocol):
    """Makes runs, several at a time."""

    workers: int  # how many at a time

    def run(
        self,
        function: Callable[[Job], T],
        jobs: Sequence[Job],
        told: Callable[[T], None],
        go: Callable[[], bool] = lambda: True,
    ) -> None:
        """Call the function on every job, wherever, and `told` here with what each returned.

        Jobs start in their order; no further one starts once `go` says no, and those under way
        are waited for. A worker that dies is replaced and its job tried again, `RETRIES` times;
        then `told` is given ``lost(job)``.
        """

    def close(self) -> None:
        """Let go of all workers; none is left behind, whatever happened."""


def lost(function: Callable[[Job], Any], job: Job, why: str) -> Any:
    """What stands for a job whose worker died each time it was tried."""
    from glissade.study.run import Probe, failed, probe

    return Probe(job, 0, 0, 0, 0, why) if function is probe else failed(job, why)


def path() -> str:
    """PYTHONPATH for processes that are started anew, so that they find this very glissade."""
    root = str(Path(glissade.__file__).resolve().parent.parent)
    return os.pathsep.join([root, *filter(None, [os.environ.get("PYTHONPATH")])])


def make(name: str, workers: int | None = None) -> Engine:
    """The engine of a name. `workers` is how many runs at a time; None: what is there."""
    if name == "local":
        from glissade.study.engine.local import Local

        return Local(workers)
    if name == "ray":
        from glissade.study.engine.ray import Ray

        return Ray(workers)
    if name == "slurm":
        from glissade.study.engine.slurm import Slurm

        return Slurm(workers)
    raise EngineError(f"unknown engine {name!r}; known are {', '.join(NAMES)}")
