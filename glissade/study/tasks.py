"""The tasks that optimizers are compared on."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

SPLIT_SEED = 20261122


class UnknownTask(ValueError):
    """No task has this name."""


@dataclass(frozen=True)
class Part:
    """Inputs with their labels: the train, validation or test part, or one batch."""

    inputs: Tensor
    labels: Tensor

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True)
class Score:
    """What a model is worth on one part; `error` is the fraction classified wrongly."""

    loss: float
    error: float


@dataclass(frozen=True)
class Task:
    """A classification problem: three disjoint parts and the model to train on them."""

    name: str
    title: str
    train: Part
    validation: Part
    test: Part
    build: Callable[[int], nn.Module]
    facts: Mapping[str, object]  # what a result depends on, for the configuration's hash

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

    def loss(self, model: nn.Module, batch: Part) -> Tensor:
        """The mean cross-entropy, which is what the optimizer is given."""
        return functional.cross_entropy(model(batch.inputs), batch.labels)

    @torch.no_grad()
    def evaluate(self, model: nn.Module, part: Part) -> Score:
        """Loss and error on a part; an output that is not finite counts as wrong."""
        logits = model(part.inputs)
        right = (logits.argmax(1) == part.labels) & logits.isfinite().all(1)
        loss = functional.cross_entropy(logits, part.labels).item()
        return Score(loss, 1 - int(right.sum()) / len(part))


def mlp(widths: tuple[int, ...], seed: int) -> nn.Sequential:
    """Linear layers with ReLU between them, drawn from `seed`; the global generator is kept."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        layers: list[nn.Module] = []
        for inputs, outputs in pairwise(widths):
            layers += [nn.Linear(inputs, outputs), nn.ReLU()]
        return nn.Sequential(*layers[:-1])


def split(labels: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Indices of a stratified 60/20/20 split into train, validation and test."""
    from sklearn.model_selection import (  # type: ignore[import-untyped,unused-ignore]
        train_test_split,
    )

    everything = np.arange(len(labels))
    train, rest = train_test_split(everything, test_size=0.4, stratify=labels, random_state=seed)
    validation, test = train_test_split(
        rest, test_size=0.5, stratify=labels[rest], random_state=seed
    )
    return train, validation, test


@cache
def digits() -> Task:
    """1797 handwritten digits of 8×8 pixels, bundled with scikit-learn; MLP 64-128-64-10.

    Each pixel is standardised by mean and deviation over the train part; pixels that never
    change there are only centred.
    """
    from sklearn.datasets import load_digits  # type: ignore[import-untyped,unused-ignore]

    pixels, labels = load_digits(return_X_y=True)
    indices = split(labels, SPLIT_SEED)
    mean = pixels[indices[0]].mean(axis=0)
    deviation = pixels[indices[0]].std(axis=0)
    standard = ((pixels - mean) / np.where(deviation > 0, deviation, 1)).astype(np.float32)
    parts = [
        Part(torch.from_numpy(standard[i]), torch.from_numpy(labels[i].astype(np.int64)))
        for i in indices
    ]
    content = hashlib.sha256()
    for part in parts:
        content.update(part.inputs.numpy().tobytes() + part.labels.numpy().tobytes())
    widths = (64, 128, 64, 10)
    return Task(
        name="digits",
        title="handwritten digits (scikit-learn), MLP 64-128-64-10",
        train=parts[0],
        validation=parts[1],
        test=parts[2],
        build=lambda seed: mlp(widths, seed),
        facts={
            "name": "digits",
            "model": "mlp " + "-".join(map(str, widths)),
            "split_seed": SPLIT_SEED,
            "train": len(parts[0]),
            "validation": len(parts[1]),
            "test": len(parts[2]),
            "data": content.hexdigest()[:16],
        },
    )


TASKS: dict[str, Callable[[], Task]] = {"digits": digits}


def load(name: str) -> Task:
    """The task of this name."""
    if name not in TASKS:
        raise UnknownTask(f"unknown task {name!r}: the known tasks are {', '.join(TASKS)}")
    return TASKS[name]()
