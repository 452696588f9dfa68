"""Optimizers for PyTorch: each one a short rule, each running as fast as memory allows.

``glissade.AdamW(model.parameters(), lr=3e-4)`` is a `torch.optim.Optimizer`; `glissade.rules` has
the rules, `glissade.wrappers` what goes around them, `glissade.Optimizer(params, rule)` runs any.
"""

from . import curvature, optimizers, registry, rules, scaling, schedules, snapshots, wrappers
from .graph import RuleError
from .newton import Newton
from .optimizer import Optimizer
from .optimizers import *  # noqa: F403 - one class a row of the registry, declared in optimizers.pyi
from .restarts import SGDWR, AdamWR
from .rule import Rule, State
from .scheduler import Scheduler

__version__ = "0.1.0.dev0"

__all__ = [
    "SGDWR", "AdamWR", "Newton", "Optimizer", "Rule", "RuleError", "Scheduler", "State",
    "curvature", "registry", "rules", "scaling", "schedules", "snapshots", "wrappers",
]  # fmt: skip
__all__ += optimizers.__all__
