"""Optimizers on a surface: the library's own engine in float64, side by side."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from glissade.draw.surfaces import Surface
from glissade.newton import Newton
from glissade.spec import Spec

REACH = 3.0  # a path is cut where it leaves the box, grown so many times
SOPHIA_GAMMA = {"gnb": 0.05, "hutchinson": 0.01}

Ticker = Callable[[int], None]  # told of every step


@dataclass
class Run:
    """One optimizer's path; the first entries are the start's."""

    spec: Spec
    lr: float
    points: list[tuple[float, float]]
    losses: list[float]
    norms: list[float] = field(default_factory=list)  # of the gradients that steps were taken by
    slow: list[tuple[float, float]] = field(default_factory=list)  # Lookahead's slow weights
    longest: float = 0.0  # step that was taken inside of the box
    end: str = ""  # "", "diverged", "left" (downhill, where there is no bottom) or why it stopped
    curvature: bool = False  # whether it read one, by Hutchinson's estimate

    @property
    def steps(self) -> int:
        """That were taken and are finite."""
        return len(self.points) - 1

    @property
    def diverged(self) -> bool:
        """Whether it ended before its time, and not downhill."""
        return self.end not in ("", "left")


@dataclass(frozen=True)
class _Runner:
    """A run under way."""

    run: Run
    point: Tensor
    optimizer: torch.optim.Optimizer
    scheduler: Any
    closure: Callable[[], Tensor]
    seed: int

    def step(self, t: int) -> None:
        """Step t, counted from 0, by the gradient that is in place."""
        optimizer: Any = self.optimizer
        if needs_closure(optimizer):
            optimizer.step(self.closure)
        else:
            group = optimizer.param_groups[0]
            if needs_curvature(optimizer) and t % group["k"] == 0:
                # Not a power of two: of a seed's bits the lower 32 count.
                generator = torch.Generator().manual_seed(t + 1_000_003 * self.seed)
                optimizer.update_curvature(self.closure, generator=generator)
            optimizer.step()
        if self.scheduler is not None:
            self.scheduler.step()


def needs_closure(optimizer: object) -> bool:
    """Whether it takes no step without the loss: Newton."""
    return isinstance(optimizer, Newton)


def needs_curvature(optimizer: Any) -> bool:
    """Whether it reads a curvature: Sophia."""
    return "curvature" in getattr(getattr(optimizer, "rule", None), "inputs", ())


def follow(
    surface: Surface,
    pairs: Sequence[tuple[Spec, float]],
    steps: int,
    *,
    seed: int = 0,
    backend: str | None = None,
    tick: Ticker | None = None,
) -> list[Run]:
    """The runs of several optimizers, each with a learning rate (its own, if it has one, wins).

    All gradients of a step are taken in one evaluation, as that is what takes the time; nothing
    else is shared. Where the surface has noise, all get the same.
    """
    gradient = torch.zeros(len(pairs), 2, dtype=torch.float64)
    points = torch.tensor([surface.start] * len(pairs), dtype=torch.float64)
    noise = _noise(surface, steps, seed)
    pull = torch.zeros(2, dtype=torch.float64)  # this step's noise, for those that take a closure
    runners = [
        _start(surface, spec, lr, points[i], gradient[i], pull, backend, seed)
        for i, (spec, lr) in enumerate(pairs)
    ]
    losses, grads = slopes(surface, points)
    for runner, loss in zip(runners, losses, strict=True):
        runner.run.losses.append(loss)
    for t in range(steps):
        if tick is not None:
            tick(t)
        pull.copy_(noise[t])
        gradient.copy_(grads + pull)
        norms = gradient.norm(dim=1).tolist()
        alive = [(i, r) for i, r in enumerate(runners) if not r.run.end]
        for i, runner in alive:
            runner.run.norms.append(norms[i])
            _advance(runner, t)
        losses, grads = slopes(surface, points)
        for i, runner in alive:
            _record(surface, runner, points[i].tolist(), losses[i])
            if runner.run.end:
                points[i] = torch.tensor(surface.start, dtype=torch.float64)  # out of the way
    return [runner.run for runner in runners]


def slopes(surface: Surface, points: Tensor) -> tuple[list[float], Tensor]:
    """The losses, and the gradients (n, 2), at points of shape (n, 2)."""
    free = points.detach().clone().requires_grad_()
    try:
        losses = surface.function(free[:, 0], free[:, 1])
        fits = isinstance(losses, Tensor) and losses.shape == (len(points),)
    except Exception:  # a user's function may be written for single numbers
        fits = False
    if not fits:
        losses = torch.stack([surface.value(point).reshape(()) for point in free])
    (grads,) = torch.autograd.grad(losses.sum(), free)
    return losses.detach().tolist(), grads


def _noise(surface: Surface, steps: int, seed: int) -> Tensor:
    if not surface.noise:
        return torch.zeros(steps, 2, dtype=torch.float64)
    # NumPy's, not torch's: there, how many are drawn decides what the first ones are.
    noise = np.random.default_rng(seed).standard_normal((steps, 2))
    return surface.noise * torch.from_numpy(noise)


def _start(
    surface: Surface,
    spec: Spec,
    lr: float,
    row: Tensor,
    gradient: Tensor,
    pull: Tensor,
    backend: str | None,
    seed: int,
) -> _Runner:
    point = row.detach().requires_grad_()  # shares the memory of all points
    point.grad = gradient
    optimizer = spec.optimizer([point], lr, backend=backend)
    run = Run(spec, lr if spec.lr is None else spec.lr, [surface.start], [])
    if needs_curvature(optimizer):
        run.curvature = True
        _by_hutchinson(optimizer)
    if "lookahead_k" in optimizer.param_groups[0]:
        run.slow.append(surface.start)
    return _Runner(
        run,
        point,
        optimizer,
        spec.scheduler(optimizer),
        lambda: surface.value(point) + (pull * point).sum(),
        seed,
    )


def _by_hutchinson(optimizer: torch.optim.Optimizer) -> None:
    """A surface has no logits to draw labels from: Sophia's other estimator serves."""
    for group in optimizer.param_groups:
        if group.get("estimator") == "gnb":
            group["estimator"] = "hutchinson"
            if group.get("gamma") == SOPHIA_GAMMA["gnb"]:
                group["gamma"] = SOPHIA_GAMMA["hutchinson"]


def _advance(runner: _Runner, t: int) -> None:
    try:
        runner.step(t)
    except RuntimeError as error:  # Newton where the Hessian is singular
        runner.run.end = str(error).removeprefix("Newton: ").partition(":")[0]


def _record(surface: Surface, runner: _Runner, point: list[float], loss: float) -> None:
    run = runner.run
    if run.end:
        return
    x, y = point
    if not all(map(math.isfinite, (x, y, loss))):
        run.end = "diverged"
        return
    before = run.points[-1]
    if surface.inside(*before):
        run.longest = max(run.longest, math.dist(before, (x, y)))
    run.points.append((x, y))
    run.losses.append(loss)
    if run.slow:
        state = runner.optimizer.state[runner.point]
        run.slow.append(tuple(state["lookahead_slow"].tolist()))
    if not surface.inside(x, y, REACH):
        downhill = not surface.bounded and loss < run.losses[0]
        run.end = "left" if downhill else "diverged"
