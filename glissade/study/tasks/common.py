"""What the built-in tasks share: losses with their metrics, small networks."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from glissade.study.task import Direction
from glissade.study.tasks.data import Part


def drawn(seed: int, make: Callable[[], nn.Module]) -> nn.Module:
    """A model with the random numbers of `seed`; the global generator is kept."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return make()


@dataclass(frozen=True)
class Supervised:
    """Inputs, targets and a model between them; subclasses say the loss and the metric."""

    title: str
    train: Part
    validation: Part
    test: Part
    model: Callable[[], nn.Module]
    metric_name: str = "loss"
    direction: Direction = "min"
    batch_size: int = 64
    epochs: int = 25
    facts: dict[str, object] = field(default_factory=dict)

    def build(self, seed: int) -> nn.Module:
        """The model drawn from `seed`; the global generator is kept."""
        return drawn(seed, self.model)

    def batches(self, seed: int, epochs: int, size: int) -> Iterator[Part]:
        """Mini-batches in an order that depends on `seed` alone; each epoch is reshuffled."""
        order = torch.Generator().manual_seed(seed)
        for _ in range(epochs):
            shuffled = torch.randperm(len(self.train), generator=order)
            for first in range(0, self.steps(1, size) * size, size):
                chosen = shuffled[first : first + size]
                yield Part(self.train.inputs[chosen], self.train.labels[chosen])

    def steps(self, epochs: int, size: int) -> int:
        """Steps in so many epochs: whole batches only."""
        return epochs * (len(self.train) // size)

    def loss(self, model: nn.Module, batch: Any) -> Tensor:
        raise NotImplementedError

    def metric(self, model: nn.Module, batches: Iterable[Any]) -> float:
        raise NotImplementedError


class Classifying:
    """Mean cross-entropy; judged by the share that is classified wrongly, in percent."""

    def logits(self, model: nn.Module, batch: Any) -> Tensor:
        inputs, _ = batch
        found: Tensor = model(inputs)
        return found

    def loss(self, model: nn.Module, batch: Any) -> Tensor:
        _, labels = batch
        return functional.cross_entropy(self.logits(model, batch), labels)

    def metric(self, model: nn.Module, batches: Iterable[Any]) -> float:
        """An output that is not finite counts as wrong."""
        right = total = 0
        for inputs, labels in batches:
            logits = model(inputs)
            right += int(((logits.argmax(1) == labels) & logits.isfinite().all(1)).sum())
            total += len(labels)
        return 100 * (1 - right / total)


@dataclass(frozen=True)
class Classification(Classifying, Supervised):
    """Classes from inputs."""

    metric_name: str = "error, %"

    @torch.no_grad()
    def evaluate(self, model: nn.Module, part: Part) -> Score:
        """Loss and error on a part."""
        return Score(self.loss(model, part).item(), self.metric(model, [part]) / 100)


@dataclass(frozen=True)
class Regression(Supervised):
    """Mean squared error; judged by its root, in the unit of the target before it was scaled."""

    metric_name: str = "RMSE"
    scale: float = 1.0  # how many of the target's own units the model's unit is

    def loss(self, model: nn.Module, batch: Any) -> Tensor:
        inputs, targets = batch
        return functional.mse_loss(model(inputs), targets)

    def metric(self, model: nn.Module, batches: Iterable[Any]) -> float:
        squares, count = 0.0, 0
        for inputs, targets in batches:
            squares += float((model(inputs) - targets).square().sum())
            count += targets.numel()
        return self.scale * math.sqrt(squares / count)


@dataclass(frozen=True)
class Score:
    """What a classifier is worth on one part; `error` is the fraction classified wrongly."""

    loss: float
    error: float


def mlp(
    widths: tuple[int, ...], seed: int | None = None, between: type[nn.Module] = nn.ReLU
) -> nn.Sequential:
    """Linear layers with ReLU between them; drawn from `seed`, if there is one."""
    if seed is not None:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            return mlp(widths, between=between)
    layers: list[nn.Module] = []
    for inputs, outputs in pairwise(widths):
        layers += [nn.Linear(inputs, outputs), between()]
    return nn.Sequential(*layers[:-1])
