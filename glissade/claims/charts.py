"""What a claim's picture shows beside its parts, as plain data: `picture` draws it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from glissade.study.grid import Map


@dataclass(frozen=True)
class Line:
    """One optimizer's values."""

    label: str
    x: Sequence[float]
    y: Sequence[float]  # nan where there is none
    joined: bool = True  # False: a cloud of points


@dataclass(frozen=True)
class Lines:
    """Values over a common axis."""

    x: str
    y: str
    lines: Sequence[Line]
    log_x: bool = True
    log_y: bool = False


@dataclass(frozen=True)
class Maps:
    """Learning rate by weight decay, one map beside the other, with the same colours."""

    maps: Sequence[Map]


@dataclass(frozen=True)
class Paths:
    """Ways over a surface of `glissade draw`, from above."""

    surface: str
    lines: Sequence[Line]


Chart = Lines | Maps | Paths
