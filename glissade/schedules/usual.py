"""Each schedule as it is mostly used for a run of so many steps: for pictures and first tries."""

from __future__ import annotations

import math
from collections.abc import Callable

from .base import Schedule
from .cycles import cyclic, momentum_cycle, normalized_decay, one_cycle, warm_restarts
from .falling import (
    constant,
    cosine,
    exponential,
    inverse_sqrt,
    linear,
    multi_step,
    polynomial,
    power,
    rex,
    slanted_triangular,
    step_drop,
    wsd,
)
from .joined import warmup


def _of(steps: int, share: float) -> float:
    """Return a share of a run, in whole steps where there are enough to tell parts apart."""
    return max(1, round(share * steps)) if steps >= 4 else share * steps


def _down_to(left: float, steps: int) -> float:
    """Return γ with γ^steps = left, in digits enough for 1 − γ: it is what repeats."""
    gamma = left ** (1 / steps)
    digits = 6 + max(0, math.floor(-math.log10(1 - gamma)))
    return float(f"{gamma:.{digits}g}")


USUAL: dict[str, Callable[[int], Schedule]] = {
    "constant": lambda n: constant(),
    "step_drop": lambda n: step_drop(_of(n, 1 / 3)),
    "multi_step": lambda n: multi_step((_of(n, 0.5), _of(n, 0.75))),
    "exponential": lambda n: exponential(_down_to(0.01, n)),
    "polynomial": lambda n: polynomial(n, power=2),
    "linear": lambda n: linear(n),
    "inverse_sqrt": lambda n: inverse_sqrt(_of(n, 0.05)),
    "slanted_triangular": lambda n: slanted_triangular(n),
    "cosine": lambda n: cosine(n),
    "warm_restarts": lambda n: warm_restarts(_of(n, 1 / 7), t_mult=2),  # three cycles
    "normalized_decay": lambda n: normalized_decay(_of(n, 1 / 7), t_mult=2),
    "cyclic": lambda n: cyclic(_of(n, 1 / 8), _of(n, 1 / 8)),
    "one_cycle": lambda n: one_cycle(n),
    "momentum_cycle": lambda n: momentum_cycle(n),
    "wsd": lambda n: wsd(n, warmup=_of(n, 0.05), decay=_of(n, 0.2)),
    "rex": lambda n: rex(n),
    "power": lambda n: power(_of(n, 0.05)),
    "warmup": lambda n: warmup(_of(n, 0.05), cosine(n - _of(n, 0.05))),
}


def usual(name: str, steps: int) -> Schedule:
    """Return the schedule of this name for a run of so many steps.

    Raises:
        ValueError: `then` and `product`, which have no usual values.

    >>> from glissade.schedules.usual import usual
    >>> usual("wsd", 1000)
    wsd(1000, 50, 200)
    """
    if name not in USUAL:
        raise ValueError(f"{name}: give its values, as in then(cosine(500), linear(500), 500)")
    return USUAL[name](steps)
