"""The hyperparameters of a group, as plain numbers that have been looked at.

A group is the user's: schedulers and people put numbers, tensors and lists into it between any two
steps. A step reads this copy, which is brought up to date, and checked, before anything moves.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch

from . import checks
from .rule import Rule

CHOICES = ("maximize", "capturable", "differentiable", "stochastic_rounding")
OTHERS = (*CHOICES, "state_dtype", "rounding_seed", "base_lr")


def check_flags(group: Mapping[str, Any]) -> None:
    """Raise ValueError or TypeError if what is no hyperparameter of the rule cannot be."""
    for key in CHOICES:
        checks.hyperparameter(key, group[key], False)
    checks.hyperparameter("rounding_seed", group["rounding_seed"], 0)


def check_alike(rule: Rule, groups: Sequence[Mapping[str, Any]]) -> None:
    """Raise ValueError if groups differ in what they must have in common."""
    for key in (*rule.alike, *rule.shared):
        values = [checks.plain(group[key]) for group in groups]
        for number, value in enumerate(values):
            if value != values[0]:
                raise ValueError(
                    f"{rule.name}: {key} is {values[0]!r} in group 0 and {value!r} in group "
                    f"{number}: the optimizer has one for all, so give every group the same"
                )


class Settings:
    """One group's values; `values` is what kernels and rules read."""

    __slots__ = ("_given", "_keys", "_live", "_read", "_rule", "group", "values")

    def __init__(self, rule: Rule, group: dict[str, Any], number: int) -> None:
        self.group = group
        self._rule = rule
        self._keys = (*rule.hyper, *OTHERS)
        missing = [key for key in self._keys if key not in group]
        if missing:
            raise ValueError(f"group {number} has lost its {missing[0]!r}: put it back")
        self._read: Callable[[Any], tuple[Any, ...]] = operator.itemgetter(*self._keys)
        self._given: tuple[Any, ...] = ()
        self._live: tuple[str, ...] = ()
        self.values: dict[str, Any] = {}
        self._take(self._read(group), self._keys)

    def changed(self) -> bool:
        """Take over what has changed since; whether kernels must be chosen anew.

        Raises:
            ValueError, TypeError: a value that cannot be; nothing is taken over then.
        """
        given = self._read(self.group)
        # Not by ==: a tensor of float32 would pass for the number that it is near.
        if not self._live and all(map(operator.is_, given, self._given)):
            return False
        pairs = zip(self._keys, given, self._given, strict=True)
        changed = [key for key, new, old in pairs if new is not old or key in self._live]
        before = {key: checks.without_numbers(self.values[key]) for key in changed}
        self._take(given, changed)
        return any(checks.without_numbers(self.values[key]) != before[key] for key in changed)

    def _take(self, given: tuple[Any, ...], keys: Sequence[str]) -> None:
        new = dict(zip(self._keys, given, strict=True))
        values = self.values | {key: checks.plain(new[key]) for key in keys}
        self._rule.check({key: values[key] for key in keys if key not in OTHERS[:-1]})
        if any(key in OTHERS for key in keys):
            check_flags(values)
        if values["differentiable"]:  # autograd may go through tensors
            values |= {k: x for k, x in new.items() if isinstance(x, torch.Tensor)}
        live = [key for key in self._live if key not in keys]
        self.values, self._given = values, given
        self._live = (*live, *(key for key in keys if _may_change_inside(new[key])))


def _may_change_inside(x: Any) -> bool:
    """Whether a value can become another one and stay the same object."""
    if isinstance(x, (int, float, str, type(None))):
        return False
    return not isinstance(x, tuple) or any(map(_may_change_inside, x))
