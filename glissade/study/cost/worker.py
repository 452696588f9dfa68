"""What one optimizer costs on a task, measured in a process of its own."""

from __future__ import annotations

import signal
import time
import traceback
from dataclasses import dataclass
from itertools import pairwise
from multiprocessing.connection import Connection
from typing import Any, Literal

import torch

from glissade.bench import memory
from glissade.draw.trajectories import needs_closure, needs_curvature
from glissade.study.design import Job, RunKey
from glissade.study.loading import load
from glissade.study.run import FIRST_STEPS, Course, tensor_bytes

QUIET = 1e-9  # lr of what is timed: the model stays where it is, and every optimizer sees the same
Batch = int | Literal["full"] | None


@dataclass(frozen=True)
class Ready:
    """An optimizer that has taken its first steps."""

    seconds: float  # of a forward, a backward and a step
    parameters: int  # elements
    parameter_bytes: int  # buffers of the model included
    gradient_bytes: int
    state_bytes: int
    footprint: int | None  # bytes of the whole process, libraries and all
    threads: int
    device: str
    estimate: str  # how the optimizer gets its curvature; "" if it needs none
    every: int  # steps from one estimate to the next
    closure: bool  # whether its step computes the loss by itself


@dataclass(frozen=True)
class Failed:
    """An optimizer that cannot run, and why."""

    why: str


@dataclass(frozen=True)
class Timed:
    """One training step, in nanoseconds."""

    gradient: int  # forward and backward
    step: int
    curvature: int = 0  # an estimate of it, if one was taken


def job_of(task: str, optimizer: str, batch: Batch) -> Job:
    """A job whose model and batches are the same for every optimizer."""
    key = RunKey(task, optimizer, "default", 0, -1, 0)
    return Job(key, optimizer, batch, 1, 1, (0, 0), False, None)


@dataclass
class Bench:
    """An optimizer on its task, ready to be measured."""

    course: Course
    batches: Any
    device: torch.device

    @classmethod
    def of(cls, job: Job, state_dtype: str | None) -> Bench:
        task = load(job.key.task, job.batch)
        course = Course.of(job, task)
        course.scheduler = None  # the times are the optimizer's
        for group in course.optimizer.param_groups:
            if state_dtype is not None:
                if "state_dtype" not in group:
                    raise ValueError(
                        f"{type(course.optimizer).__name__} takes no state_dtype: it is no rule"
                    )
                group["state_dtype"] = state_dtype
        device = next(course.model.parameters()).device
        return cls(course, task.train.forever(course.model, job.seeds[1]), device)

    def warm(self) -> None:
        """The first steps, which compile kernels and allocate state; and quiet ones from then."""
        batch = next(self.batches)
        self.course.forward(batch)
        for group in self.course.optimizer.param_groups:
            group["lr"] = group["lr"] * QUIET
        steps = 2 if needs_closure(self.course.optimizer) else FIRST_STEPS
        for number in range(1, steps + 1):
            self.course.step(batch, number)
        self._wait()

    @property
    def every(self) -> int:
        """Steps from one estimate of the curvature to the next."""
        optimizer = self.course.optimizer
        return int(optimizer.param_groups[0]["k"]) if needs_curvature(optimizer) else 1

    def step(self, curvature: bool) -> Timed:
        """A training step on the next batch."""
        batch = next(self.batches)
        times = [self._now()]
        self.course.forward(batch)
        times.append(self._now())
        if curvature:
            self.course.curvature(batch, 1)
        times.append(self._now())
        self.course.step(batch, 2)  # by this number no estimate is due: it is timed by itself
        times.append(self._now())
        gradient, estimate, step = (b - a for a, b in pairwise(times))
        return Timed(gradient, step, estimate if curvature else 0)

    def growth(self) -> int | None:
        """Bytes on top of model and state while a training step lasts, gradients included."""
        batch = next(self.batches)
        self.course.optimizer.zero_grad()

        def whole() -> None:
            self.course.forward(batch)
            self.course.step(batch, 1)

        return memory.peak(whole, device=self.device.type)

    def ready(self, seconds: float) -> Ready:
        course, optimizer = self.course, self.course.optimizer
        params = [*course.model.parameters()]
        curved = needs_curvature(optimizer)
        group = optimizer.param_groups[0]
        estimator = ""
        if curved:
            # As the run decides it: without logits a "gnb" has only the loss to go by.
            has = hasattr(course.task.task, "logits")
            estimator = "gnb" if group["estimator"] == "gnb" and has else "hutchinson"
        return Ready(
            seconds=seconds,
            parameters=sum(p.numel() for p in params if p.requires_grad),
            parameter_bytes=sum(map(tensor_bytes, [*params, *course.model.buffers()])),
            gradient_bytes=sum(tensor_bytes(p.grad) for p in params),
            state_bytes=tensor_bytes(optimizer.state),
            footprint=self._footprint(),
            threads=torch.get_num_threads(),
            device=self.device.type,
            estimate=estimator,
            every=self.every,
            closure=needs_closure(optimizer),
        )

    def _footprint(self) -> int | None:
        try:
            return memory._kilobytes("VmHWM") * 1024
        except OSError:
            return None

    def _wait(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize()

    def _now(self) -> int:
        self._wait()
        return time.perf_counter_ns()


def serve(connection: Connection, job: Job, state_dtype: str | None, threads: int) -> None:
    """In the process: `Ready` or `Failed`, then a list of `Timed` for each number of steps that is
    asked for, and for "growth" what memory a step takes; ends with the connection."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to answer
    torch.set_num_threads(threads)
    try:
        bench = Bench.of(job, state_dtype)
        bench.warm()
        tried = [bench.step(False) for _ in range(3)]
        connection.send(bench.ready(min(x.gradient + x.step for x in tried) / 1e9))
        while True:
            asked = connection.recv()
            if asked == "growth":
                connection.send(bench.growth())
            else:
                every = bench.every
                connection.send([bench.step(number % every == 0) for number in range(asked)])
    except (EOFError, BrokenPipeError):
        return
    except Exception as error:
        connection.send(Failed(said(error)))


def said(error: BaseException) -> str:
    """An exception in a line."""
    words = " ".join(str(error).split())
    if isinstance(error, (ValueError, TypeError)) and words:
        return words
    last = traceback.extract_tb(error.__traceback__)[-1]
    return f"{type(error).__name__}: {words} ({last.filename}:{last.lineno})"
