"""Tasks are found by name or in a file, and checked: a message for whatever one lacks."""

from __future__ import annotations

import hashlib
import inspect
import json
import math
import pickle
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from itertools import combinations
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, IterableDataset

from glissade.checks import nearest
from glissade.draw import own
from glissade.study.task import Batches, Prepared, only_tensors


class TaskError(ValueError):
    """A task cannot be used as it is; says what it lacks."""


NEEDED = {
    "build": "build(seed), which returns a torch.nn.Module",
    "loss": "loss(model, batch), which returns one number with a gradient",
    "metric": "metric(model, batches), which returns a float",
    "train": "train, a torch Dataset or DataLoader",
    "validation": "validation, a torch Dataset or DataLoader on which settings are chosen",
    "test": "test, a torch Dataset or DataLoader that is used once, at the end",
    "direction": 'direction, "min" if less of the metric is better, else "max"',
}
ARGUMENTS = {"build": 1, "loss": 2, "metric": 2}


def load(text: str, batch: int | Literal["full"] | None = None) -> Prepared:
    """The task of a command line, with its checks: a built-in name, ``my.py`` or ``my.py:name``.

    `batch` is a batch size, ``"full"`` for the whole train part, None for the task's own.

    Raises:
        TaskError: there is none, or it lacks something; the message says what.
    """
    return prepare(find(text), text, batch)


def find(text: str) -> Any:
    """The task itself, unchecked."""
    from glissade.study.tasks import BUILT_IN

    if text in BUILT_IN:
        try:
            return BUILT_IN[text]()
        except ImportError as error:
            said = str(error).strip().partition("\n")[0].rstrip(".")
            raise TaskError(
                f"task {text!r}: {said}; what the built-in tasks need comes with "
                "pip install glissade[study]"
            ) from None
    place, _, name = text.rpartition(":")
    if text.endswith(".py"):
        place, name = text, "task"
    if not place:
        raise TaskError(
            f"unknown task {text!r}; known are {', '.join(BUILT_IN)}, and your own, as "
            f"my.py:task{nearest(text, list(BUILT_IN))}"
        )
    path = Path(place)
    if not path.is_file():
        raise TaskError(f"task {text!r}: there is no file {path}")
    try:
        module = own.module_of(path)
    except ValueError as error:
        raise TaskError(f"task {text!r}: {error}") from None
    found = getattr(module, name, None)
    if found is None:
        known = [key for key in vars(module) if not key.startswith("_")]
        raise TaskError(f"task {text!r}: {path} has no {name!r}{nearest(name, known)}")
    return instance(found, text, path)


def instance(found: Any, text: str, path: Path) -> Any:
    """The task of a class or of a function without arguments; an object is one itself."""
    is_object = hasattr(found, "build") or isinstance(found, nn.Module)
    if isinstance(found, type) or (callable(found) and not is_object):
        try:
            return found()
        except Exception as error:
            raise TaskError(f"task {text!r}: {own.said(error, path)}") from None
    return found


def prepare(task: Any, text: str, batch: int | Literal["full"] | None = None) -> Prepared:
    """A task with its batches, after checks of its attributes; nothing of it is run."""
    if isinstance(task, (tuple, list)):
        raise TaskError(
            f"task {text!r}: it is a {type(task).__name__}, not an object with "
            f"{', '.join(NEEDED)}; a pair (model, loss) does for glissade lrfind and draw alone"
        )
    missing = [name for name in NEEDED if not _has(task, text, name)]
    if missing:
        lacks = "; and ".join(NEEDED[name] for name in missing)
        raise TaskError(f"task {text!r}: it lacks {lacks}")
    for name, count in ARGUMENTS.items():
        _callable(task, text, name, count)
    if task.direction not in ("min", "max"):
        raise TaskError(f'task {text!r}: direction is {task.direction!r}; write "min" or "max"')
    for name in ("epochs", "batch_size", "processes"):
        number = getattr(task, name, 1)
        if not isinstance(number, int) or isinstance(number, bool) or number < 1:
            raise TaskError(f"task {text!r}: {name} is {number!r}; write a whole number from 1")
    given = getattr(task, "facts", {})
    if not isinstance(given, Mapping):
        raise TaskError(f"task {text!r}: facts is {_kind(given)}; write a dict of what there is")
    try:
        json.dumps(dict(given), allow_nan=False)
    except (TypeError, ValueError) as error:
        raise TaskError(
            f"task {text!r}: facts must be what JSON can hold, numbers and texts ({error})"
        ) from None
    if batch is not None and batch != "full" and batch < 1:
        raise TaskError(f"task {text!r}: no batches of {batch}; write a number from 1, or full")
    parts = {
        part: _batches(task, text, part, batch if part == "train" else None)
        for part in ("train", "validation", "test")
    }
    contents = _contents(text, parts)
    for one, other in combinations(parts, 2):
        same = contents.get(f"{one}_data", one) == contents.get(f"{other}_data", other)
        if same or parts[one].data is parts[other].data:
            raise TaskError(
                f"task {text!r}: {one} and {other} are the same data; they have to be disjoint, or "
                "what is found says nothing of new data; torch.utils.data.random_split cuts one"
            )
    return Prepared(text, task, **parts, facts={"task": text, **given, **contents})


def _has(task: Any, text: str, name: str) -> bool:
    """Whether it has the attribute; a property of that name that fails is told."""
    with told(text, name):
        return hasattr(task, name) or (hasattr(type(task), name) and bool(getattr(task, name)))


def _callable(task: Any, text: str, name: str, count: int) -> None:
    function = getattr(task, name)
    if not callable(function):
        raise TaskError(f"task {text!r}: {name} is no function; write {NEEDED[name]}")
    try:
        inspect.signature(function).bind(*[None] * count)
    except TypeError:
        raise TaskError(
            f"task {text!r}: {name} takes other arguments; write {NEEDED[name]}"
        ) from None
    except ValueError:
        return  # built in C: unknown


def _batches(task: Any, text: str, part: str, batch: int | Literal["full"] | None) -> Batches:
    given = getattr(task, part)
    loader = given if isinstance(given, DataLoader) else None
    data: Any = given if loader is None else loader.dataset
    if loader is None and isinstance(data, (tuple, Mapping, str)):
        raise TaskError(
            f"task {text!r}: {part} is {_kind(data)}; make it one data set, as "
            "torch.utils.data.TensorDataset(inputs, targets)"
        )
    if loader is None and not (hasattr(data, "__getitem__") and hasattr(data, "__len__")):
        raise TaskError(f"task {text!r}: {part} is {_kind(data)}; write {NEEDED[part]}")
    counted = loader if loader is not None and isinstance(data, IterableDataset) else data
    try:
        count = len(counted)
    except TypeError:
        raise TaskError(
            f"task {text!r}: {part} has no length: give its data set a __len__, so that steps can "
            "be counted"
        ) from None
    if count == 0:
        raise TaskError(f"task {text!r}: {part} has length 0: there is nothing in it")
    if loader is None:
        size = int(getattr(task, "batch_size", 64))
        size = size if part == "train" else max(size, min(count, 1024))
    else:
        size = loader.batch_size or 1
    found = Batches(data, size, part == "train", loader)
    if batch is not None:
        if found._as_it_is:
            raise TaskError(f"task {text!r}: train's loader has its own batches; leave --batch out")
        found = Batches(data, count if batch == "full" else batch, True, loader)
    if len(found) == 0:
        raise TaskError(
            f"task {text!r}: no batch of {found.size} in {part}, which has {count} examples: "
            "take smaller batches"
        )
    return found


def _contents(text: str, parts: Mapping[str, Batches]) -> dict[str, object]:
    """What is in a task, for the plan: sizes, and hashes of its file and of plain tensors."""
    found: dict[str, object] = {"batch": parts["train"].size}
    place = _file(text)
    if place and Path(place).is_file():
        found["file"] = hashlib.sha256(Path(place).read_bytes()).hexdigest()[:16]
    for name, part in parts.items():
        found[name] = len(part.data) if hasattr(part.data, "__len__") else len(part)
        if only_tensors(part.data):
            content = hashlib.sha256()
            for tensor in part.data.tensors:
                content.update(
                    tensor.detach().cpu().contiguous().view(torch.uint8).numpy().tobytes()
                )
            found[f"{name}_data"] = content.hexdigest()[:16]
    return found


def check(task: Prepared) -> None:
    """Build a model, take a loss and its gradient, measure it: what is wrong comes out now.

    Torch's own random numbers are kept.

    Raises:
        TaskError: says which part of the task does what it must not.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = _check_build(task)
        _check_loss(task, model)
        _check_metric(task, model)


def _check_build(task: Prepared) -> nn.Module:
    text = task.text
    with told(text, "build(0)"):
        model = task.build(0)
    if not isinstance(model, nn.Module):
        raise TaskError(f"task {text!r}: build(0) returned {_kind(model)}, no torch.nn.Module")
    if not any(p.requires_grad for p in model.parameters()):
        raise TaskError(f"task {text!r}: the model has no parameter with a gradient")
    try:
        pickle.dumps(model)
    except Exception as error:
        stem, at = Path(_file(text)).stem, Path(_file(text)).resolve()
        other = getattr(sys.modules.get(stem), "__file__", str(at)) != str(at)
        raise TaskError(
            f"task {text!r}: the model cannot be pickled, as copies and clusters need ({error}); "
            + (
                f"rename the file, for another module is called {stem}, too"
                if _file(text) and other
                else "in place of a lambda or a function within a function, write a def or an "
                "nn.Module at the top level of the file"
            )
        ) from None
    with told(text, "build(0) again"):
        other_model = task.build(0)
    if {id(p) for p in model.parameters()} & {id(p) for p in other_model.parameters()}:
        raise TaskError(
            f"task {text!r}: build(0) returned the same parameters again, which the run before has "
            "trained: make a new model in each call"
        )
    first, again = (dict(x.state_dict()) for x in (model, other_model))
    for name in {**first, **again}:
        one, other = first.get(name), again.get(name)
        if isinstance(one, Tensor) and isinstance(other, Tensor):
            same = one is other or torch.equal(one, other)
        else:
            same = name in first and name in again
        if not same:
            raise TaskError(
                f"task {text!r}: build(0) gave other values of {name} the second time: a seed has "
                "to mean the same start for every optimizer; draw them with torch, or from a "
                "generator that is seeded with it"
            )
    return model


def _check_loss(task: Prepared, model: nn.Module) -> None:
    text = task.text
    with told(text, "train"):
        batch = next(task.train.over(model, first=True), None)
    if batch is None:
        raise TaskError(f"task {text!r}: train gives no batch")
    with told(text, "loss(model, batch)"):
        loss = task.task.loss(model, batch)
    if not isinstance(loss, Tensor) or loss.numel() != 1:
        raise TaskError(
            f"task {text!r}: loss returned {_kind(loss)}; return one number, as .mean()"
        )
    if not loss.requires_grad:
        raise TaskError(
            f"task {text!r}: the loss has no gradient: compute it with torch's functions from the "
            "model it is given (without .item(), .detach() or no_grad)"
        )
    if not math.isfinite(loss.item()):
        raise TaskError(f"task {text!r}: the loss is {loss.item():g} before the first step")
    params = {name: p for name, p in model.named_parameters() if p.requires_grad}
    with told(text, "the gradient of loss(model, batch)"):
        grads = torch.autograd.grad(loss.sum(), list(params.values()), allow_unused=True)
    if all(grad is None for grad in grads):
        raise TaskError(
            f"task {text!r}: the loss does not depend on the model it is given: loss(model, batch) "
            "has to use its first argument"
        )
    for name, grad in zip(params, grads, strict=True):
        if grad is not None and not grad.is_sparse and not grad.isfinite().all():
            raise TaskError(
                f"task {text!r}: the gradient by {name} is not finite before the first step"
            )


def _check_metric(task: Prepared, model: nn.Module) -> None:
    text = task.text
    model.eval()
    with told(text, "metric(model, batches)"), torch.no_grad():
        value = task.task.metric(model, task.validation.over(model))
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        how = ", with .item()" if isinstance(value, Tensor) else ""
        raise TaskError(f"task {text!r}: metric returned {_kind(value)}; return a float{how}")
    if not math.isfinite(value):
        raise TaskError(f"task {text!r}: the metric is {value:g} before the first step")


@contextmanager
def told(text: str, what: str) -> Iterator[None]:
    """An exception of the user's own code, as a message with its line."""
    try:
        yield
    except Exception as error:
        place = _file(text)
        said = own.said(error, Path(place)) if place else f"{type(error).__name__}: {error}"
        raise TaskError(f"task {text!r}: {what}: {said}") from error


def _file(text: str) -> str:
    """Of a task of one's own; empty for a built-in one."""
    return text if text.endswith(".py") else text.rpartition(":")[0]


def _kind(x: object) -> str:
    what = type(x).__name__
    return f"a tensor of shape {tuple(x.shape)}" if isinstance(x, Tensor) else f"a {what}"
