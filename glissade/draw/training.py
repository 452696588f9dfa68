"""Training a real model with the optimizers of a command line, its path kept on the way."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from glissade.digits import log_spaced
from glissade.draw.desk import Tick
from glissade.draw.model import Problem, flat, kept
from glissade.draw.trajectories import SOPHIA_GAMMA, needs_closure, needs_curvature
from glissade.spec import Spec

SNAPSHOTS = 200  # over all paths together
MEMORY = 2**30  # bytes for them
TRIALS = 7
SMALL = 100_000  # parameters
LOST = 1000.0  # a loss so many times that of the start is not coming back


@dataclass
class Trained:
    """One optimizer's run."""

    spec: Spec
    lr: float | None  # None: the optimizer's own default
    path: Tensor  # (snapshots, parameters), float32, the start first
    losses: list[float]  # of each step's batch, before the step
    end: Tensor  # (parameters,), as precise as the model
    buffers: list[Tensor]  # as training left them
    loss: float  # over the whole set at the end, in eval mode
    diverged: bool

    @property
    def label(self) -> str:
        """For legends."""
        if self.spec.lr is not None:
            return self.spec.label  # has it
        rate = "its default lr" if self.lr is None else f"lr {self.lr:.3g}"
        return f"{self.spec.label}, {rate}"


class Training:
    """An optimizer on a model's weights, one step at a time: `gradient`, then `advance`."""

    def __init__(self, problem: Problem, spec: Spec, lr: float | None, seed: int) -> None:
        torch.manual_seed(seed)  # for dropout, and for an optimizer that draws: the same for all
        self.problem, self.params, self.name = problem, problem.params, spec.text
        if spec.name == "sophia" and "estimator" not in spec.hyper:  # it is given no logits
            more = {"estimator": "hutchinson", "gamma": SOPHIA_GAMMA["hutchinson"]}
            spec = replace(spec, hyper={**more, **spec.hyper})
        self.optimizer: Any = spec.optimizer(self.params, lr)
        self.scheduler = spec.scheduler(self.optimizer)
        self.generator = torch.Generator(device=self.params[0].device).manual_seed(seed)

    def gradient(self, step: int) -> float:
        """The loss of a step, its gradient put in place."""
        for p in self.params:
            p.grad = None
        loss = self.problem.loss(self.problem.model, step)
        if not needs_closure(self.optimizer):
            torch.autograd.backward(loss)
        return loss.item()

    def advance(self, step: int) -> None:
        """Take the step."""

        def closure() -> Tensor:
            return self.problem.loss(self.problem.model, step)

        optimizer = self.optimizer
        try:
            if needs_curvature(optimizer) and step % optimizer.param_groups[0]["k"] == 0:
                optimizer.update_curvature(closure, generator=self.generator)
            optimizer.step(*[closure] * needs_closure(optimizer))
        except RuntimeError as error:  # Newton where the Hessian is singular
            raise ValueError(f"{self.name} at step {step}: {error}".partition("\n")[0]) from None
        if self.scheduler is not None:
            self.scheduler.step()


def train(
    problem: Problem,
    spec: Spec,
    lr: float | None,
    steps: int,
    seed: int,
    keep: Sequence[int] = (),
    tick: Tick | None = None,
) -> Trained:
    """Train from the model's own weights, and leave the model as it was.

    `keep` are the steps after which the weights are kept; 0 is the start.
    """
    at = set(keep)
    with kept(problem.model):
        params = problem.params
        path = [flat(params).float()] if 0 in at else []
        losses: list[float] = []
        bound, lost = LOST * max(abs(problem.whole()), 1e-30), False
        training = Training(problem, spec, lr, seed)
        for step in range(steps):
            losses.append(training.gradient(step))
            lost = not abs(losses[-1]) <= bound
            if lost:
                break
            training.advance(step)
            if tick is not None:
                tick((step + 1) / steps)
            if step + 1 in at:
                path.append(flat(params).float())
        if lost and path:
            path.append(flat(params).float())  # it is seen leaving
        path = [row for row in path if bool(row.isfinite().all())]
        last = problem.whole()
        lost = lost or not abs(last) <= bound
        rows = torch.stack(path) if path else torch.empty(0, problem.size)
        buffers = [buffer.detach().clone() for buffer in problem.model.buffers()]
        return Trained(spec, lr, rows, losses, flat(params), buffers, last, lost)


@contextmanager
def one_thread(problem: Problem) -> Iterator[None]:
    """One torch thread for a small model, which is faster so, most of all beside other work."""
    threads = torch.get_num_threads()
    if problem.size <= SMALL:
        torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def snapshots(problem: Problem, runs: int, steps: int) -> list[int]:
    """After which steps the weights are kept, so that all paths fit in memory."""
    from glissade.draw.scene import every

    room = min(SNAPSHOTS // runs, MEMORY // (4 * problem.size * runs))
    return every(steps + 1, max(room, 8))


def rehearse(problem: Problem, specs: Sequence[Spec], seed: int) -> None:
    """One step of every optimizer; ValueError names what cannot be run."""
    for spec in specs:
        try:
            train(problem, spec, min(spec.lr_range), 1, seed)
        except (TypeError, RuntimeError, NotImplementedError, ValueError) as error:
            said = str(error).partition("\n")[0]
            raise ValueError(f"{spec.text} on {problem.text}: {said}") from None


def rate(text: str) -> float | str:
    """Of `--lr`: "tuned", "default", or a number for all."""
    if text.lower() in ("tuned", "default"):
        return text.lower()
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not (math.isfinite(number) and number > 0):
        raise ValueError(f"--lr {text}: write tuned, default, or a number over 0 for all")
    return number


def chosen(
    problem: Problem, spec: Spec, how: float | str, steps: int, seed: int, tick: Tick
) -> tuple[float | None, list[str]]:
    """The learning rate that is an optimizer's due, and doubts about it."""
    if spec.lr is not None:
        return spec.lr, []
    if how == "default":
        return None, []
    if how != "tuned":
        return float(how), []
    rates = log_spaced(*spec.lr_range, TRIALS)
    ends = []
    for i, lr in enumerate(rates):
        run = train(problem, spec, lr, steps, seed)
        ends.append(math.inf if run.diverged else run.loss)
        tick((i + 1) / TRIALS)
    best = min(range(TRIALS), key=lambda i: ends[i])
    if not math.isfinite(ends[best]):
        return rates[best], [f"{spec.label}: diverged at every one of {TRIALS} learning rates"]
    if best in (0, TRIALS - 1):
        edge = "lowest" if best == 0 else "highest"
        return rates[best], [
            f"{spec.label}: its learning rate {rates[best]:g} is the {edge} that was tried"
        ]
    return rates[best], []


def rule_of(how: float | str, specs: Sequence[Spec]) -> str:
    """How learning rates and curvatures came to be, for the caption."""
    said = _rates(how, any(spec.lr is not None for spec in specs))
    if any(spec.name == "sophia" for spec in specs):
        said += " Sophia’s curvature is Hutchinson’s estimate, from seeded probes."
    return said


def _rates(how: float | str, some_given: bool) -> str:
    kept_ = "; a rate that was given with an optimizer was kept" if some_given else ""
    if how == "tuned":
        return (
            f"Learning rates: tuned, each the best of {TRIALS} (log-spaced over its usual range) "
            f"by the loss over the whole set at the end, one run each from the same start{kept_}."
        )
    if how == "default":
        return f"Learning rates: each optimizer’s default, not tuned{kept_}."
    return f"Learning rate: {how:g} for all, not tuned{kept_}."
