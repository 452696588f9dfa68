"""Find who else sets the numbers of an optimizer."""

from __future__ import annotations

import gc
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary, WeakSet

import torch
from torch.optim import lr_scheduler as theirs

if TYPE_CHECKING:
    from .scheduler import Scheduler

_OURS: WeakKeyDictionary[torch.optim.Optimizer, WeakSet[Scheduler]] = WeakKeyDictionary()

# These multiply what they find, so that two of them, or one of them and ours, give the product.
_FOLLOW = (
    theirs.MultiplicativeLR, theirs.StepLR, theirs.MultiStepLR, theirs.ConstantLR, theirs.LinearLR,
    theirs.ExponentialLR, theirs.PolynomialLR, theirs.CosineAnnealingLR, theirs.ReduceLROnPlateau,
)  # fmt: skip
_PACKAGE = __name__.partition(".")[0]
_CONTAINERS = (theirs.SequentialLR, theirs.ChainedScheduler)


def register(scheduler: Scheduler) -> None:
    """Note that a scheduler drives its optimizer, for as long as it lives."""
    _OURS.setdefault(scheduler.optimizer, WeakSet()).add(scheduler)


def ours(optimizer: torch.optim.Optimizer) -> list[Scheduler]:
    """Return the schedulers of this library that drive an optimizer."""
    return list(_OURS.get(optimizer, ()))


def others(optimizer: torch.optim.Optimizer) -> list[Any]:
    """Return the schedulers of torch and of other libraries that hold an optimizer.

    They are nowhere registered, so this looks at all objects that Python keeps track of: some
    hundredths of a second, for where a change has been seen and its author is to be named.
    """
    params = {id(p) for group in optimizer.param_groups for p in group["params"]}
    kinds = _Kinds()
    return [x for x in gc.get_objects() if kinds[type(x)] and _holds(x, params)]


def names(schedulers: list[Any]) -> str:
    """Return the names of schedulers' classes, each once."""
    return " and ".join(sorted({type(x).__name__ for x in schedulers}))


def overwrites(scheduler: Any) -> bool:
    """Return whether a scheduler overwrites what it finds."""
    return not isinstance(scheduler, _FOLLOW)


class _Kinds(dict[type, bool]):
    """Whether each class is that of a scheduler; there are a thousand objects of most."""

    def __missing__(self, kind: type) -> bool:
        self[kind] = answer = _schedules(kind)
        return answer


def _schedules(kind: type) -> bool:
    if issubclass(kind, theirs.LRScheduler):
        mine = any(base.__module__.partition(".")[0] == _PACKAGE for base in kind.__mro__)
        return not mine and not issubclass(kind, _CONTAINERS)
    return kind.__name__.endswith(("Scheduler", "Warmup"))


def _holds(x: Any, params: set[int]) -> bool:
    """Return whether x holds an optimizer of these parameters, itself or in a wrapper."""
    try:
        groups = vars(x)["optimizer"].param_groups
        return any(id(p) in params for group in groups for p in group["params"])
    except Exception:  # any object may stand in Python's list of them, proxies of dead ones too
        return False
