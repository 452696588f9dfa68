"""What an adapter on an installed package declares."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from .transcriptions import DECAYS, Shape, Stepper, Wrappers

__all__ = ["DECAYS", "Case", "Hyper", "effective_decay"]

Hyper = dict[str, Any]


@dataclass(frozen=True)
class Case:
    """One thing that an installed package can stand for."""

    id: str
    package: str
    name: str
    hyper: Hyper
    wrappers: Wrappers
    build: Callable[[Sequence[Shape], float], Stepper]


def effective_decay(hyper: Hyper, lr: float, lr0: float) -> float:
    """What a package that computes `lr * weight_decay * p` must be given for this decay."""
    wd = hyper.get("weight_decay", 0.0)
    return float(
        {"l2": wd, "decoupled": wd, "independent": wd / lr0, "corrected": wd * lr / lr0}[
            hyper["decay"]
        ]
    )
