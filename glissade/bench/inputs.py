"""What a rule reads from outside, made up: a kernel takes as long whatever it is."""

from __future__ import annotations

import torch

from ..optimizer import Optimizer


def fed(optimizer: Optimizer) -> Optimizer:
    """The optimizer with every input that its rule reads, which will never be too old for it."""
    params = [p for group in optimizer.param_groups for p in group["params"]]
    for name in optimizer.rule.inputs:
        optimizer.feed(name, [torch.full_like(p, 0.25, requires_grad=False) for p in params])
        for group in optimizer.param_groups:
            group[f"{name}_age"] = 0.5  # warnings come at whole numbers
    return optimizer
