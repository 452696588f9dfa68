"""What a step on torch tensors has come to."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from torch import Tensor


@dataclass
class Outcome:
    """What a step has come to, before anything is written."""

    param: Tensor | None  # the new parameter; None where it stays as it is
    states: dict[str, Tensor]
    drops: frozenset[str] = frozenset()
    shared: dict[str, Any] = field(default_factory=dict)
    counts: bool = True


def number(x: Any) -> int | float:
    """A number of the whole optimizer: totals over all tensors are tensors here."""
    return float(x) if isinstance(x, Tensor) else x
