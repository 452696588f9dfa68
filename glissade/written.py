"""Values that schedules put into groups: what they are, and whether they still stand there."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from .checks import is_number, plain

Multiplier = Callable[[float], float]
Group = dict[str, Any]


@dataclass
class Written:
    """Know what a scheduler wrote into a group, so that another's change is seen."""

    group: Group | None = None  # None: into whichever stands there, by a checkpoint's word
    values: dict[str, Any] = field(default_factory=dict)
    factors: dict[str, Any] = field(default_factory=dict)  # of the base, in these values
    versions: dict[str, tuple[Tensor, int]] = field(default_factory=dict)

    def note(self, group: Group, key: str, value: Any, factor: Any) -> None:
        """Keep what has just been written."""
        self.group = group
        self.expect(key, value, factor)
        x = group[key]
        if isinstance(x, Tensor) and not x.is_inference():
            self.versions[key] = (x, x._version)

    def expect(self, key: str, value: Any, factor: Any) -> None:
        """Keep what a group must have if only a scheduler has written into it."""
        self.values[key], self.factors[key] = value, factor

    def still_in(self, group: Group, key: str) -> bool:
        """Return whether the group still has the value that was written, or nothing is known."""
        other = self.group is not None and self.group is not group
        if other or key not in self.values:
            return True
        x = group[key]
        held, version = self.versions.get(key, (None, 0))
        if held is not None and x is held and held._version == version:
            return True  # without waiting for a device
        return bool(plain(x) == as_stored(self.values[key], x))


def put_into(group: Group, key: str, value: Any) -> None:
    """Give a group a value: in place where it has a tensor."""
    if isinstance(group[key], Tensor):
        group[key].fill_(value)
    else:
        group[key] = value


def kept_for_itself(key: str, group: Mapping[str, Any]) -> bool:
    """Return whether an optimizer or a scheduler keeps it in a group for itself."""
    base = key.startswith("initial_") and key.removeprefix("initial_") in group
    return (
        base
        or key in ("params", "base_lr", "rounding_seed", "accumulate_done")
        or key.endswith("_age")
    )


def can_be_scheduled(value: Any) -> bool:
    """Return whether a hyperparameter is a number or a tuple of numbers."""
    value = plain(value)
    return is_number(value) or (
        isinstance(value, tuple) and len(value) > 0 and all(map(is_number, value))
    )


def value_at(key: str, base: float, f: Multiplier | None, t: float) -> tuple[float, float | None]:
    """Return the value at step t, and the factor in it."""
    if f is None:
        return base, None
    try:
        factor = plain(f(t))
        value = base * factor if is_number(factor) else math.nan
    except OverflowError:
        factor = value = math.inf
    if not math.isfinite(value):
        raise ValueError(
            f"{key} would be {base!r} times {factor!r} at step {t}, by {f!r}: must be a finite "
            "number"
        )
    return float(value), float(factor)


def as_stored(value: Any, like: Any) -> Any:
    """Return a value as the tensor that it is written into rounds it."""
    if isinstance(like, Tensor) and not isinstance(value, tuple):
        return torch.tensor(value, dtype=like.dtype, device="cpu").item()
    return value


def as_tuple(value: Any) -> Any:
    """Return a list, which JSON makes of tuples, as a tuple again."""
    return tuple(value) if isinstance(value, list) else value
