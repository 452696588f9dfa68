"""One training run, from its job to its result; in whatever process or machine."""

from __future__ import annotations

import math
import statistics
import time
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any, Literal

import torch
from torch import Tensor, distributed, nn

from glissade.draw.trajectories import SOPHIA_GAMMA, needs_closure, needs_curvature
from glissade.spec import Spec, specs
from glissade.study.design import Job, RunResult
from glissade.study.loading import load
from glissade.study.task import Batches, Prepared

FIRST_STEPS = 10  # not timed: they build kernels and state
STRETCHES = 200  # of losses that are kept of a run
PROBED = 0.6  # seconds of training that an estimate rests on


@cache
def _task(text: str, batch: int | Literal["full"] | None) -> Prepared:
    """A worker reads a task once."""
    return load(text, batch)


def execute(job: Job) -> RunResult:
    """Train as a job says. What is raised on the way becomes the result's `error`."""
    began = time.perf_counter()
    torch.set_num_threads(1)  # a process for each core instead
    try:
        task = _task(job.key.task, job.batch)
        if task.processes > 1:
            from glissade.study.engine import torchrun

            return torchrun.launch(job, task.processes)
        return train(job, task)
    except Exception as error:
        return failed(job, said(error), time.perf_counter() - began)


def said(error: BaseException) -> str:
    """An exception with the line that raised it."""
    last = traceback.extract_tb(error.__traceback__)[-1]
    return f"{type(error).__name__}: {error} ({last.filename}:{last.lineno})"


def failed(job: Job, why: str, seconds: float = 0.0) -> RunResult:
    """What stands for a run that ended in an error."""
    nothing = None, None, None
    return RunResult(
        job.key, job.optimizer, (), (), *nothing, why, job.steps, None, 0, round(seconds, 4)
    )


@dataclass
class Course:
    """A model on its way: `forward` computes a loss and its gradient, `step` moves."""

    task: Prepared
    model: nn.Module
    optimizer: Any
    scheduler: Any
    curvature: Callable[[Any, int], None]
    on_gpu: bool

    @classmethod
    def of(cls, job: Job, task: Prepared) -> Course:
        (spec,) = specs(job.optimizer)
        torch.manual_seed(job.seeds[0])  # for dropout and for an optimizer that draws
        model = task.build(job.seeds[0])
        model.train()
        params = [p for p in model.parameters() if p.requires_grad]
        optimizer: Any = _suited(spec, task).optimizer(params, backend=job.backend)
        curvature = _curvature(optimizer, task, model)
        on_gpu = any(p.is_cuda for p in params)
        return cls(task, model, optimizer, spec.scheduler(optimizer), curvature, on_gpu)

    def now(self) -> int:
        """Nanoseconds, when all that was asked of a GPU is done."""
        if self.on_gpu:
            torch.cuda.synchronize()
        return time.perf_counter_ns()

    @property
    def finite(self) -> bool:
        """Whether every parameter is."""
        return all(bool(p.isfinite().all()) for p in self.model.parameters())

    def metric(self, part: Batches) -> float:
        """Of a part; nan where the model has diverged and the metric raises for it."""
        try:
            return agreed(self.task.metric(self.model, part))
        except Exception:
            if self.finite:
                raise
            return math.nan

    def forward(self, batch: Any) -> float:
        self.optimizer.zero_grad()
        loss = self.task.loss(self.model, batch)
        value = agreed(loss.item())
        if math.isfinite(value) and not needs_closure(self.optimizer):
            torch.autograd.backward(loss)
        return value

    def step(self, batch: Any, number: int) -> None:
        if needs_closure(self.optimizer):
            self.optimizer.step(lambda: self.task.loss(self.model, batch))
        else:
            self.curvature(batch, number)
            self.optimizer.step()
        if self.scheduler is not None:
            self.scheduler.step()


def agreed(value: float) -> float:
    """The mean over the processes of a torchrun job: they all go on, or they all stop.

    One that stopped alone would leave the others waiting for it in a backward pass.
    """
    if not distributed.is_available() or not distributed.is_initialized():
        return value
    count = distributed.get_world_size()
    if count == 1:
        return value
    total = torch.tensor([value], dtype=torch.float64)
    distributed.all_reduce(total)
    return total.item() / count


def _suited(spec: Spec, task: Prepared) -> Spec:
    """Sophia without logits estimates its curvature by Hutchinson's method."""
    if spec.name != "sophia" or "estimator" in spec.hyper or hasattr(task.task, "logits"):
        return spec
    more = {"estimator": "hutchinson", "gamma": SOPHIA_GAMMA["hutchinson"]}
    return replace(spec, hyper={**more, **spec.hyper})


def _curvature(optimizer: Any, task: Prepared, model: nn.Module) -> Callable[[Any, int], None]:
    """Brings what a rule reads beside the gradient, when it is due."""
    if not needs_curvature(optimizer):
        return lambda batch, number: None
    group = optimizer.param_groups[0]

    def bring(batch: Any, number: int) -> None:
        if (number - 1) % group["k"] == 0:
            logits = task.logits(model, batch)
            closure = logits if group["estimator"] == "gnb" and logits else None
            optimizer.update_curvature(closure or (lambda: task.loss(model, batch)))

    return bring


@dataclass
class Kept:
    """What is kept of a run on its way."""

    stretch: int  # steps whose losses become one number
    held: list[float] = field(default_factory=list)
    losses: list[float] = field(default_factory=list)
    times: list[int] = field(default_factory=list)  # of optimizer.step(), in nanoseconds
    validation: list[tuple[int, float, float]] = field(default_factory=list)
    training: int = 0  # nanoseconds, without evaluation

    def step(self, loss: float, began: int, before: int, ended: int, last: bool) -> None:
        self.times.append(ended - before)
        self.training += ended - began
        self.held.append(loss)
        if len(self.held) == self.stretch or last:
            self.losses.append(float(f"{statistics.fmean(self.held):.5g}"))
            self.held = []

    @property
    def step_ms(self) -> float | None:
        timed = self.times[min(FIRST_STEPS, len(self.times) // 2) :]
        return round(statistics.median(timed) / 1e6, 6) if timed else None


def train(job: Job, task: Prepared) -> RunResult:
    """The run itself. Its seeds decide first weights and batches, nothing else does."""
    began = time.perf_counter()
    with torch.random.fork_rng(devices=[]):
        course = Course.of(job, task)
        kept = Kept(max(1, math.ceil(job.steps / STRETCHES)))
        diverged_at = _follow(course, job, kept)
        test = fit = None
        if job.test and diverged_at is None:
            test = course.metric(task.test)
            if not math.isfinite(test):
                test, diverged_at = None, job.steps
        if job.fit and diverged_at is None:
            value = course.metric(replace(task.train, whole=False))
            fit = value if math.isfinite(value) else None
    return RunResult(
        key=job.key,
        optimizer=job.optimizer,
        losses=tuple(kept.losses),
        validation=tuple(kept.validation),
        quality=None if diverged_at else kept.validation[-1][2],
        test=test,
        diverged_at=diverged_at,
        error=None,
        steps=job.steps,
        step_ms=kept.step_ms,
        state_bytes=tensor_bytes(course.optimizer.state),
        seconds=round(time.perf_counter() - began, 4),
        fit=fit,
    )


def _follow(course: Course, job: Job, kept: Kept) -> int | None:
    """All steps of a run; the one at which it diverged, if it did."""
    every = max(1, job.steps // job.evaluations)
    batches = course.task.train.forever(course.model, job.seeds[1])
    for number in range(1, job.steps + 1):
        began = course.now()
        batch = next(batches)
        try:
            loss = course.forward(batch)
            if not math.isfinite(loss):
                return number
            before = course.now()
            course.step(batch, number)
        except Exception:
            if course.finite:
                raise
            return number  # it did not fail, it diverged
        last = number == job.steps
        kept.step(loss, began, before, course.now(), last)
        if number % every == 0 or last:
            metric = course.metric(course.task.validation)
            if not math.isfinite(metric):
                return number
            kept.validation.append((number, round(kept.training / 1e9, 6), metric))
    return None


@dataclass(frozen=True)
class Probe:
    """How long a run will take, from its first steps."""

    job: Job
    setup: float  # seconds: model, optimizer, first step
    step: float
    evaluation: float
    test: float
    error: str | None = None

    @property
    def seconds(self) -> float:
        """Of the whole run."""
        every = max(1, self.job.steps // self.job.evaluations)
        times = math.ceil(self.job.steps / every)
        of_test = self.test if self.job.test else 0.0
        return self.setup + self.job.steps * self.step + times * self.evaluation + of_test


def probe(job: Job) -> Probe:
    """Some steps of a run, to find what cannot run and how long the rest will take."""
    torch.set_num_threads(1)
    try:
        task = _task(job.key.task, job.batch)
        with torch.random.fork_rng(devices=[]):
            for _ in range(2):  # the first time builds kernels, which a worker keeps
                began = time.perf_counter()
                course = Course.of(job, task)
                batches = task.train.forever(course.model, job.seeds[1])
                _steps(course, batches, 0, 1)
            ready = time.perf_counter()
            done, most = 0, max(1, min(job.steps, 1000) - 1)
            while not done or (done < most and time.perf_counter() - ready < PROBED):
                done += _steps(course, batches, 1 + done, min(10, most - done))
            trained = time.perf_counter()
            course.metric(task.validation)
            ended = time.perf_counter()
    except Exception as error:
        return Probe(job, 0, 0, 0, 0, said(error))
    evaluation = ended - trained
    share = len(task.test) * task.test.size / max(1, len(task.validation) * task.validation.size)
    return Probe(job, ready - began, (trained - ready) / done, evaluation, evaluation * share)


def _steps(course: Course, batches: Any, first: int, count: int) -> int:
    """So many steps, for their time alone: one that diverges goes on with what it is."""
    for number in range(first + 1, first + 1 + count):
        batch = next(batches)
        loss = course.forward(batch)
        try:
            course.step(batch, number)
        except Exception:
            if math.isfinite(loss) and course.finite:
                raise
    return count


def tensor_bytes(state: object) -> int:
    """Bytes of all tensors in nested dicts, lists and tuples."""
    if isinstance(state, Tensor):
        return state.numel() * state.element_size()
    if isinstance(state, Mapping):
        return sum(tensor_bytes(value) for value in state.values())
    if isinstance(state, (list, tuple)):
        return sum(tensor_bytes(value) for value in state)
    return 0
