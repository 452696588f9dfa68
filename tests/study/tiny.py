"""A task whose runs take milliseconds: least squares in four dimensions."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import TensorDataset


def part(seed: int, count: int) -> TensorDataset:
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(count, 4, generator=generator)
    noise = 0.1 * torch.randn(count, 1, generator=generator)
    return TensorDataset(x, x @ torch.tensor([[1.0], [-2.0], [0.5], [3.0]]) + noise)


class Tiny:
    title = "least squares in four dimensions"
    metric_name = "squared error"
    direction = "min"
    epochs = 4
    batch_size = 8
    train, validation, test = part(0, 64), part(1, 32), part(2, 32)

    def build(self, seed: int) -> nn.Module:
        return nn.Linear(4, 1)

    def loss(self, model: nn.Module, batch: Any) -> Tensor:
        x, y = batch
        return ((model(x) - y) ** 2).mean()

    def metric(self, model: nn.Module, batches: Iterable[Any]) -> float:
        found = [float(self.loss(model, batch)) for batch in batches]
        return sum(found) / len(found)


class Raising(Tiny):
    """Raises where an environment variable says, as long as a file is there."""

    def loss(self, model: nn.Module, batch: Any) -> Tensor:
        loss = super().loss(model, batch)
        if float(loss.detach()) > 1e3 and os.path.exists(os.environ.get("TINY_RAISES", "")):
            raise RuntimeError("the sensor fell off")
        return loss


task = Tiny()
raising = Raising()
