"""Optimizers for PyTorch: each one a short rule, each running as fast as memory allows.

``glissade.AdamW(model.parameters(), lr=3e-4)`` is a `torch.optim.Optimizer`; `glissade.rules` has
the rules, `glissade.wrappers` what goes around them, `glissade.Optimizer(params, rule)` runs any.
"""

from . import registry, rules, wrappers
from .graph import RuleError
from .optimizer import Optimizer
from .optimizers import (
    LAMB,
    SGD,
    SGDW,
    Adafactor,
    Adagrad,
    Adam,
    AdamW,
    Lion,
    RAdam,
    Ralamb,
    Ranger,
    RangerLARS,
    RMSprop,
)  # fmt: skip
from .rule import Rule, State

__version__ = "0.1.0.dev0"

__all__ = [
    "LAMB", "SGD", "SGDW", "Adafactor", "Adagrad", "Adam", "AdamW", "Lion", "Optimizer", "RAdam",
    "RMSprop", "Ralamb", "Ranger", "RangerLARS", "Rule", "RuleError", "State", "registry", "rules",
    "wrappers",
]  # fmt: skip
