"""Inputs of a rule that somebody else writes (Sophia's curvature): whether they are there, how old
they are."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

from .rule import Rule


def check_fed(rule: Rule, groups: Sequence[dict[str, Any]]) -> None:
    """Raise RuntimeError if an input has never been given."""
    for name in rule.inputs:
        if any(group[f"{name}_age"] < 0 for group in groups):
            raise RuntimeError(
                f"{rule.name} has been given no {name}: call "
                f"optimizer.update_{name}(closure) before the first step, and then every "
                f"{groups[0][rule.inputs[name]]} steps"
            )


def grow_old(rule: Rule, groups: Sequence[dict[str, Any]]) -> None:
    """Count a step that went by the inputs as they are, and warn of those long overdue."""
    for name, every in rule.inputs.items():
        for group in groups:
            group[f"{name}_age"] = age = group[f"{name}_age"] + 1
            due = group[every]
            if age % (2 * due) == 0:
                warnings.warn(
                    f"{rule.name}: no update_{name}() for {age} steps, it is due every {due}: "
                    "the steps go by what was measured then",
                    stacklevel=7,
                )
