"""A real model and its loss: a task, built-in or `my.py:task`, or a pair from `my.py:build`."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from glissade.checks import nearest
from glissade.draw import own
from glissade.study import loading, tasks
from glissade.study.task import Prepared, only_tensors

BUILT_IN = ("digits", "digits-small", *(name for name in tasks.BUILT_IN if name != "digits"))
SMALL = (64, 13, 10)  # 985 parameters


@dataclass(frozen=True)
class Problem:
    """A model with the loss it is trained on."""

    text: str  # as it was given
    name: str  # for files
    title: str
    model: nn.Module
    loss: Callable[[nn.Module, int | None], Tensor]  # of the batch of a step; None: the whole set
    batches: str  # in words; "" where every step takes the whole set
    epoch: int = 0  # steps in one pass over the data; 0: nobody knows

    @property
    def params(self) -> list[nn.Parameter]:
        """What is trained."""
        return [p for p in self.model.parameters() if p.requires_grad]

    @property
    def size(self) -> int:
        """How many numbers that are."""
        return sum(p.numel() for p in self.params)

    def whole(self) -> float:
        """The loss over the whole set, in eval mode; nothing is changed."""
        modes = [(module, module.training) for module in self.model.modules()]
        self.model.eval()
        try:
            with torch.no_grad():
                return float(self.loss(self.model, None))
        finally:
            for module, mode in modes:
                module.training = mode


# Loading


ROWS = 2048  # of the train set that are put through the model at once


class _Steps:
    """The loss of a task: of the mini-batch of a step, in an order of the seed, or of all."""

    def __init__(self, task: Prepared, seed: int) -> None:
        self.task, self.seed, self.step = task, seed, -1
        self.rest: Iterator[Any] = iter(())
        self.batch: Any = None

    def __call__(self, model: nn.Module, step: int | None) -> Tensor:
        if step is not None:
            batch = self._batch(model, step)
            with loading.told(self.task.text, f"loss at step {step}"):
                return self.task.loss(model, batch)
        train = self.task.train
        rows = ROWS if only_tensors(train.data) else train.size
        parts = [
            (_length(batch), self.task.loss(model, batch))
            for batch in replace(train, size=rows, whole=False).over(model)
        ]
        count = sum(n for n, _ in parts)
        return torch.stack([n / count * loss for n, loss in parts]).sum()

    def _batch(self, model: nn.Module, step: int) -> Any:
        """Steps come one after another, or one again; any other costs a new pass up to it."""
        train = self.task.train
        while self.step != step:
            epoch, place = divmod(self.step + 1, len(train))
            if step < self.step or step // len(train) > epoch:
                epoch, place = step // len(train), 0
            if place == 0:
                seed = int(np.random.SeedSequence((self.seed, epoch)).generate_state(1)[0])
                self.rest = train.over(model, seed)
            self.step = epoch * len(train) + place
            self.batch = next(self.rest, None)
            if self.batch is None:
                raise ValueError(f"task {self.task.text!r}: train has fewer batches than its len()")
        return self.batch


def _length(batch: Any) -> int:
    """How many examples a batch has, by the first tensor in it."""
    while isinstance(batch, (Mapping, tuple, list)):
        batch = next(iter(batch.values() if isinstance(batch, Mapping) else batch), None)
    return len(batch) if isinstance(batch, Tensor) and batch.ndim else 1


def of_task(task: Prepared, seed: int) -> Problem:
    """A task's model, trained in mini-batches in an order of the seed."""
    model = task.build(seed)
    if sum(p.numel() for p in model.parameters() if p.requires_grad) < 2:
        raise ValueError(f"task {task.text!r}: its model needs two parameters that are trained")
    what = "images" if task.text.startswith("digits") else "examples"
    return Problem(
        task.text, task.name, task.title, model, _Steps(task, seed),
        f"mini-batches of {task.train.size} {what}", len(task.train),
    )  # fmt: skip


def built_in(name: str, seed: int) -> Problem:
    """A task of `glissade compare`, or its digits with a model of about 1,000 numbers."""
    if name != "digits-small":
        return of_task(loading.load(name), seed)
    small, title = tasks.mlp(SMALL, seed), f"handwritten digits, MLP {'-'.join(map(str, SMALL))}"
    problem = of_task(loading.load("digits"), seed)
    return replace(problem, text=name, name=name, title=title, model=small)


def load(text: str, seed: int = 0) -> Problem:
    """The model of a task, built-in or ``my.py:task``, or of ``my.py:build``.

    A task is what `glissade.study.task.Task` says. ``build()`` or ``build(seed)`` returns ``(model,
    loss)``: ``loss(model)`` returns one number with a gradient, on a fixed set; ``loss(model,
    step)`` that of a mini-batch, and of the whole set where step is None. Of ``my.py`` alone its
    `task` is taken, else its `build`.

    Raises:
        ValueError: says what is wrong with it.
    """
    if text in BUILT_IN:
        return built_in(text, seed)
    found = _own(text, seed)
    return of_task(found, seed) if isinstance(found, Prepared) else found


def opened(text: str) -> Callable[[int], Problem]:
    """What makes the problem of a seed, as `load` does, but reads a task's data only once."""
    found = None if text in BUILT_IN else _own(text, 0)
    return partial(of_task, found) if isinstance(found, Prepared) else partial(load, text)


def _own(text: str, seed: int) -> Problem | Prepared:
    place, _, name = text.rpartition(":")
    if not place and not text.endswith(".py"):
        raise ValueError(
            f"unknown model {text!r}; known are {', '.join(BUILT_IN)}, and FILE.py:TASK or "
            f"FILE.py:BUILD{nearest(text, BUILT_IN)}"
        )
    if text.endswith(".py"):
        place, name = text, ""
    elif not name.isidentifier():
        raise ValueError(f"model {text!r}: write FILE.py:BUILD or FILE.py:TASK")
    path = Path(place)
    if not path.is_file():
        more = "" if name else "; write FILE.py:BUILD or FILE.py:TASK"
        raise ValueError(f"model {text!r}: there is no file {path}{more}")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        module = own.module_of(path)
        name = name or ("task" if hasattr(module, "task") else "build")
        found = getattr(module, name, None)
        if not callable(found) and not _is_task(found):
            known = [key for key, value in vars(module).items() if callable(value)]
            raise ValueError(
                f"model {text!r}: no function {name!r} in {path}{nearest(name, known)}"
            )
        if _is_task(found):
            return _ready(loading.instance(found, text, path), text)
        problem = _built(f"{place}:{name}", found, seed)
        if isinstance(problem, Problem):
            _try(problem)
        return problem


def _is_task(x: object) -> bool:
    """Whether it is meant as a task: a pair and a function are not."""
    return any(hasattr(x, name) for name in loading.ARGUMENTS)


def _ready(task: Any, text: str) -> Prepared:
    prepared = loading.prepare(task, text)
    loading.check(prepared)
    return prepared


def _built(text: str, build: Any, seed: int) -> Problem | Prepared:
    count = _arity(build)
    if count > 1:
        raise ValueError(
            f"model {text!r}: it takes {count} arguments; write build() or build(seed)"
        )
    path = Path(text.rpartition(":")[0])
    try:
        made = build(*[seed][:count])
    except Exception as error:
        raise ValueError(f"model {text!r}: {own.said(error, path)}") from None
    if _is_task(made):
        return _ready(made, text)
    if not (isinstance(made, (tuple, list)) and len(made) == 2):
        raise ValueError(f"model {text!r} returns no pair (model, loss) but {_kind(made)}")
    model, loss = made
    if not isinstance(model, nn.Module):
        raise ValueError(f"model {text!r}: its model is no torch.nn.Module but {_kind(model)}")
    if not callable(loss):
        raise ValueError(f"model {text!r}: its loss is no function but {_kind(loss)}")
    takes = _arity(loss)
    if takes not in (1, 2):
        raise ValueError(
            f"model {text!r}: its loss takes {takes} arguments; write loss(model) or "
            "loss(model, step)"
        )
    if sum(p.numel() for p in model.parameters() if p.requires_grad) < 2:
        raise ValueError(f"model {text!r}: a plane needs two parameters that are trained, or more")

    def said(model: nn.Module, step: int | None) -> Tensor:
        try:
            value = loss(model, step) if takes == 2 else loss(model)
        except Exception as error:
            where = "" if step is None else f" at step {step}"
            raise ValueError(f"model {text!r}: its loss{where}: {own.said(error, path)}") from None
        if not isinstance(value, Tensor) or value.numel() != 1:
            raise ValueError(
                f"model {text!r}: its loss returns no scalar tensor but {_kind(value)}"
            )
        return value.reshape(())

    name = text.rpartition(":")[2]
    return Problem(text, name, text, model, said, "mini-batches of its own" if takes == 2 else "")


def _arity(function: Any) -> int:
    """How many arguments it takes by position; `step` and `seed` count with a default, too."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return 1
    places = [p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    return sum(p.default is p.empty or p.name in ("step", "seed") for p in places)


def _kind(x: object) -> str:
    what = type(x).__name__
    return f"a {what} of shape {tuple(x.shape)}" if isinstance(x, Tensor) else f"a {what}"


def _try(problem: Problem) -> None:
    """Raise ValueError unless both losses can be computed, are finite and have a gradient."""
    with kept(problem.model):
        for step in (0, None) if problem.batches else (None,):
            value = problem.loss(problem.model, step)
            if not value.requires_grad:
                raise ValueError(
                    f"model {problem.text!r}: its loss has no gradient: compute it with torch's "
                    "functions from the model it is given"
                )
            if not math.isfinite(value.item()):
                raise ValueError(
                    f"model {problem.text!r}: its loss is {value.item():g} at the start"
                )


# Weights as one row of numbers


@torch.no_grad()
def flat(params: Sequence[Tensor]) -> Tensor:
    """A copy of all of them in a row, on the CPU."""
    precise = any(p.dtype == torch.float64 for p in params)
    dtype = torch.float64 if precise else torch.float32
    return torch.cat([p.detach().reshape(-1).to("cpu", dtype) for p in params])


@torch.no_grad()
def put(params: Sequence[Tensor], row: Tensor) -> None:
    """Write such a row back."""
    at = 0
    for p in params:
        p.copy_(row[at : at + p.numel()].reshape(p.shape))
        at += p.numel()


@contextmanager
def kept(model: nn.Module) -> Iterator[None]:
    """Whatever is done to the model inside, and to torch's random numbers, is undone after."""
    tensors = [*model.parameters(), *model.buffers()]
    values = [t.detach().clone() for t in tensors]
    grads = [(p, p.grad, None if p.grad is None else p.grad.clone()) for p in model.parameters()]
    modes = [(module, module.training) for module in model.modules()]
    try:
        with torch.random.fork_rng(devices=[]):
            yield
    finally:
        with torch.no_grad():
            for tensor, value in zip(tensors, values, strict=True):
                tensor.copy_(value)
            for p, grad, numbers in grads:
                p.grad = grad
                if grad is not None and numbers is not None:
                    grad.copy_(numbers)
        for module, mode in modes:
            module.training = mode


@torch.no_grad()
def put_buffers(model: nn.Module, values: Sequence[Tensor]) -> None:
    """Write back what `Trained.buffers` has."""
    for buffer, value in zip(model.buffers(), values, strict=True):
        buffer.copy_(value)
