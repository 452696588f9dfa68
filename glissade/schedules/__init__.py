"""Schedules: pure functions of the step.

``cosine(1000)`` is a function of the step, counted from 0, that returns a multiplier of the base
value. Fractions of a step are allowed. A schedule can be called at any step in any order, compares
equal to another with the same values, prints as the call that makes it, goes to JSON and back, and
can be joined: ``warmup(100, cosine(900))``, ``a.then(b, at=500)``, ``a * b``. `glissade.Scheduler`
drives the hyperparameters of an optimizer by them.

A value out of range is a ValueError that names the range.
"""

from .base import Schedule, from_dict, from_json
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
from .joined import product, then, warmup

__all__ = [
    "Schedule", "constant", "cosine", "cyclic", "exponential", "from_dict", "from_json",
    "inverse_sqrt", "linear", "momentum_cycle", "multi_step", "normalized_decay", "one_cycle",
    "polynomial", "power", "product", "rex", "slanted_triangular", "step_drop", "then",
    "warm_restarts", "warmup", "wsd",
]  # fmt: skip
