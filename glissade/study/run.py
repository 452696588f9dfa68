"""Executes the runs of a comparison."""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Protocol

import numpy as np
import torch
from torch import Tensor, nn

from glissade import Optimizer, registry
from glissade.study.design import (
    Choice,
    RunKey,
    RunResult,
    Settings,
    choose,
    final_runs,
    tried_by,
    tuning_runs,
)
from glissade.study.store import Store
from glissade.study.tasks import Part, Task

FIRST_STEPS = 10  # not timed: they build kernels and state


class Watcher(Protocol):
    """Is told what goes on; `fresh` is False for a result that was there already."""

    def evaluated(self, key: RunKey, step: int, loss: float) -> None: ...

    def ended(self, result: RunResult, fresh: bool) -> None: ...

    def chosen(self, choice: Choice) -> None: ...


def compare(
    task: Task, settings: Settings, store: Store, watcher: Watcher
) -> tuple[list[Choice], list[RunResult]]:
    """Tune every optimizer, then re-run each choice on fresh seeds; stored runs are kept.

    Returns the choices and the results of this plan, in the plan's order.
    """

    def all_of(keys: list[RunKey]) -> list[RunResult]:
        results = []
        for key in keys:
            fresh = key not in store.results
            if fresh:
                store.append(execute(key, settings, task, watcher))
            watcher.ended(store.results[key], fresh)
            results.append(store.results[key])
        return results

    with _one_thread():
        tuning = all_of(tuning_runs(settings))
        choices = []
        for name in settings.optimizers:
            of_name = [result for result in tuning if result.key.optimizer == name]
            choices.append(choose(name, tried_by(name, settings), of_name))
            watcher.chosen(choices[-1])
        return choices, tuning + all_of(final_runs(settings, choices))


def rehearse(task: Task, settings: Settings) -> None:
    """One step of every optimizer, so that what cannot run is known before anything is run."""
    for name in settings.optimizers:
        entry = registry.lookup(name)
        model = task.build(0)
        try:
            optimizer = entry.optimizer(
                model.parameters(), lr=entry.lr_range[0], backend=settings.backend
            )
            batch = next(task.batches(0, 1, settings.batch_size))
            _curvature(optimizer, model, batch, 1)
            torch.autograd.backward(task.loss(model, batch))
            optimizer.step()
        except (ValueError, TypeError, RuntimeError, NotImplementedError) as error:
            raise ValueError(f"{name} cannot run here: {error}") from error


def _curvature(optimizer: Optimizer, model: nn.Module, batch: Part, step: int) -> None:
    """Bring what a rule reads beside the gradient, when it is due."""
    for every in optimizer.rule.inputs.values():
        if (step - 1) % optimizer.param_groups[0][every] == 0:
            optimizer.update_curvature(lambda: model(batch.inputs))


def execute(key: RunKey, settings: Settings, task: Task, watcher: Watcher) -> RunResult:
    """One training run. Its seed decides initial weights and batch order, nothing else does."""
    started = time.perf_counter()
    init_seed, order_seed = (int(s) for s in np.random.SeedSequence(key.seed).generate_state(2))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(init_seed)  # for an optimizer that draws
        model = task.build(init_seed)
        optimizer = registry.lookup(key.optimizer).optimizer(
            model.parameters(), lr=key.lr, backend=settings.backend
        )
        losses: list[float] = []
        times: list[int] = []
        validation: list[tuple[int, float]] = []
        validation_loss = math.inf
        diverged_at = None
        last = task.steps(settings.epochs, settings.batch_size)
        batches = task.batches(order_seed, settings.epochs, settings.batch_size)
        for step, batch in enumerate(batches, 1):
            optimizer.zero_grad()
            loss = task.loss(model, batch)
            value = loss.item()
            if not math.isfinite(value):
                diverged_at = step
                break
            losses.append(float(f"{value:.5g}"))
            torch.autograd.backward(loss)
            before = time.perf_counter_ns()
            _curvature(optimizer, model, batch, step)
            optimizer.step()
            times.append(time.perf_counter_ns() - before)
            if step % settings.evaluate_every == 0 or step == last:
                score = task.evaluate(model, task.validation)
                validation_loss = score.loss
                if not math.isfinite(score.loss):
                    diverged_at = step
                    break
                validation.append((step, score.error))
                watcher.evaluated(key, step, value)
        test_error = None
        if key.phase == "final":
            test_error = 1.0 if diverged_at else task.evaluate(model, task.test).error
    timed = times[min(FIRST_STEPS, len(times) // 2) :]
    reached = (step for step, error in validation if error <= settings.target)
    return RunResult(
        key=key,
        losses=tuple(losses),
        validation=tuple(validation),
        validation_error=1.0 if diverged_at else validation[-1][1],
        validation_loss=None if diverged_at else validation_loss,
        test_error=test_error,
        steps_to_target=next(reached, None),
        diverged_at=diverged_at,
        step_ms=round(statistics.median(timed) / 1e6, 6) if timed else None,
        state_bytes=tensor_bytes(optimizer.state),
        seconds=round(time.perf_counter() - started, 4),
    )


def tensor_bytes(state: object) -> int:
    """Bytes of all tensors in nested dicts, lists and tuples."""
    if isinstance(state, Tensor):
        return state.numel() * state.element_size()
    if isinstance(state, Mapping):
        return sum(tensor_bytes(value) for value in state.values())
    if isinstance(state, (list, tuple)):
        return sum(tensor_bytes(value) for value in state)
    return 0


@contextmanager
def _one_thread() -> Iterator[None]:
    """One torch thread: small matrices train faster so, and step times mean something."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
