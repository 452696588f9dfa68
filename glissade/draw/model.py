"""A real model and its loss: `my.py:build`, or a built-in one."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from glissade.checks import nearest
from glissade.draw import own
from glissade.study.tasks import Part, Task, digits, mlp

BATCH = 64
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


class _Digits:
    """The loss of the digits task: mini-batches by step, or the whole train part."""

    def __init__(self, task: Task, seed: int) -> None:
        self.task, self.seed, self.order = task, seed, (-1, torch.empty(0))

    def __call__(self, model: nn.Module, step: int | None) -> Tensor:
        train = self.task.train
        if step is None:
            return self.task.loss(model, train)
        epoch, place = divmod(step, len(train) // BATCH)
        if self.order[0] != epoch:
            seed = int(np.random.SeedSequence((self.seed, epoch)).generate_state(1)[0])
            order = torch.Generator().manual_seed(seed)
            self.order = epoch, torch.randperm(len(train), generator=order)
        chosen = self.order[1][place * BATCH : (place + 1) * BATCH]
        return self.task.loss(model, Part(train.inputs[chosen], train.labels[chosen]))


BUILT_IN = ("digits", "digits-small")


def built_in(name: str, seed: int) -> Problem:
    """Handwritten digits, with the model of `glissade compare` or one of about 1,000 numbers."""
    task = digits()
    model = task.build(seed) if name == "digits" else mlp(SMALL, seed)
    title = task.title if name == "digits" else f"handwritten digits, MLP {_dashed(SMALL)}"
    return Problem(name, name, title, model, _Digits(task, seed), f"mini-batches of {BATCH} images")


def _dashed(widths: Sequence[int]) -> str:
    return "-".join(map(str, widths))


def load(text: str, seed: int = 0) -> Problem:
    """The model of ``my.py:build`` or a built-in one; ValueError says what is wrong with it.

    ``build()`` or ``build(seed)`` returns ``(model, loss)``. ``loss(model)`` returns one number
    with a gradient, on a fixed set; ``loss(model, step)`` that of a mini-batch, and of the whole
    set where step is None.
    """
    if text in BUILT_IN:
        return built_in(text, seed)
    place, _, name = text.rpartition(":")
    if not place and not text.endswith(".py"):
        raise ValueError(
            f"unknown model {text!r}; known are {', '.join(BUILT_IN)}, and FILE.py:BUILD"
            f"{nearest(text, BUILT_IN)}"
        )
    if not place or not name.isidentifier():
        raise ValueError(f"model {text!r}: write FILE.py:BUILD")
    path = Path(place)
    if not path.is_file():
        raise ValueError(f"model {text!r}: there is no file {path}")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        module = own.module_of(path)
        build = getattr(module, name, None)
        if not callable(build):
            known = [key for key, value in vars(module).items() if callable(value)]
            raise ValueError(
                f"model {text!r}: no function {name!r} in {path}{nearest(name, known)}"
            )
        problem = _built(text, build, seed)
        _try(problem)
    return problem


def _built(text: str, build: Any, seed: int) -> Problem:
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
