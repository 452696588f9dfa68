"""Tiny tasks in a file, as a user has them; what is written here is copied into it."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import TensorDataset


class Plain:
    """A classifier, with nothing that need not be there."""

    direction, epochs, batch_size = "min", 1, 32

    def __init__(self, inputs: Tensor, classes: int, model: Any) -> None:
        self.train, self.validation, self.test = (
            TensorDataset(inputs, labels_of(classes, len(inputs), part)) for part in range(3)
        )
        self.model = model

    def build(self, seed: int) -> nn.Module:
        torch.manual_seed(seed)
        model: nn.Module = self.model()
        return model

    def loss(self, model: nn.Module, batch: Any) -> Tensor:
        return functional.cross_entropy(model(batch[0]), batch[1])

    def metric(self, model: nn.Module, batches: Any) -> float:
        return sum(self.loss(model, batch).item() for batch in batches)


def labels_of(classes: int, count: int, seed: int) -> Tensor:
    return torch.randint(classes, (count,), generator=torch.Generator().manual_seed(seed))


class WithLogits(Plain):
    def logits(self, model: nn.Module, batch: Any) -> Tensor:
        out: Tensor = model(batch[0])
        return out


class Bag(nn.Module):
    """A table of features, of which a batch uses few."""

    def __init__(self, sparse: bool) -> None:
        super().__init__()
        self.table = nn.Embedding(2000, 16, sparse=sparse)
        self.out = nn.Linear(16, 3)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.out(self.table(x).mean(1))
        return out


class Words(nn.Module):
    """A transformer on tokens."""

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(20, 16)
        self.layer = nn.TransformerEncoderLayer(16, 2, 16, batch_first=True)
        self.out = nn.Linear(16, 4)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.out(self.layer(self.table(x)).mean(1))
        return out


def pictures() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 3)
    )


def sparse() -> nn.Module:
    return Bag(True)


def dense() -> nn.Module:
    return Bag(False)


def linear() -> nn.Module:
    return nn.Linear(8, 3)


def wide() -> nn.Module:
    return nn.Sequential(nn.Linear(8, 3000), nn.ReLU(), nn.Linear(3000, 3))


def _numbers(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0))


def _indices(below: int, *shape: int) -> Tensor:
    return torch.randint(below, shape, generator=torch.Generator().manual_seed(0))


convolutions = WithLogits(_numbers(64, 1, 8, 8), 3, pictures)
words = WithLogits(_indices(20, 64, 6), 4, Words)
silent = Plain(_indices(20, 64, 6), 4, Words)
rare = Plain(_indices(2000, 64, 4), 3, sparse)
full = Plain(_indices(2000, 64, 4), 3, dense)
convex = WithLogits(_numbers(64, 8), 3, linear)
large = WithLogits(_numbers(64, 8), 3, wide)
