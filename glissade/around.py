"""What is no row of the registry: wrappers, and optimizers that are no rules."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from . import wrappers
from .docstrings import documentation
from .newton import Newton
from .restarts import SGDWR, AdamWR


@dataclass(frozen=True)
class Other:
    """Something with documentation of its own: its name, and what stands in front of that."""

    name: str
    home: str
    what: Callable[..., Any]

    @property
    def title(self) -> str:
        """What it is, in a line."""
        return documentation(self.what).title.removeprefix(f"{self.name}: ")


def is_wrapper(name: str) -> bool:
    """Whether a name of `glissade.wrappers` takes a rule; the others are for `project`."""
    return "rule" in inspect.signature(getattr(wrappers, name)).parameters


def find(name: str) -> Other | None:
    """What goes by this name, in any case; None if nothing does."""
    return next((x for x in (*WRAPPERS, *OPTIMIZERS) if x.name.lower() == name.lower()), None)


WRAPPERS = tuple(
    Other(name, "wrappers.", getattr(wrappers, name))
    for name in sorted(wrappers.__all__, key=lambda name: not is_wrapper(name))
)
SECOND_ORDER = (Other("Newton", "", Newton),)
RESTARTS = (Other("AdamWR", "", AdamWR), Other("SGDWR", "", SGDWR))
OPTIMIZERS = SECOND_ORDER + RESTARTS
