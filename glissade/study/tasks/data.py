"""Data of the built-in tasks: inputs with targets, splits, columns on one scale."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import TensorDataset

SPLIT_SEED = 20261122


class Part(TensorDataset):
    """Inputs with their targets: the train, validation or test part, or one batch.

    Unpacks as a batch does: ``inputs, labels = part``.
    """

    def __init__(self, inputs: Tensor, labels: Tensor) -> None:
        super().__init__(inputs, labels)
        self.inputs, self.labels = inputs, labels

    def __iter__(self) -> Iterator[Tensor]:
        return iter(self.tensors)


Parts = tuple[Part, Part, Part]
Indices = tuple[np.ndarray, np.ndarray, np.ndarray]


def split(labels: np.ndarray, seed: int = SPLIT_SEED, stratify: bool = True) -> Indices:
    """Indices of a 60/20/20 split into train, validation and test, stratified by label."""
    from sklearn.model_selection import (  # type: ignore[import-untyped,unused-ignore]
        train_test_split,
    )

    everything = np.arange(len(labels))
    by = labels if stratify else None
    train, rest = train_test_split(everything, test_size=0.4, stratify=by, random_state=seed)
    by = labels[rest] if stratify else None
    validation, test = train_test_split(rest, test_size=0.5, stratify=by, random_state=seed)
    return train, validation, test


def standard(values: np.ndarray, train: np.ndarray) -> np.ndarray:
    """Each column with the mean 0 and deviation 1 of its train part; one that never changes
    there is only centred."""
    mean, deviation = values[train].mean(axis=0), values[train].std(axis=0)
    found: np.ndarray = ((values - mean) / np.where(deviation > 0, deviation, 1)).astype(np.float32)
    return found


def cut(inputs: np.ndarray | Tensor, targets: np.ndarray | Tensor, indices: Indices) -> Parts:
    """The three parts, each with its own copy."""
    all_of = torch.as_tensor(inputs), torch.as_tensor(targets)
    train, validation, test = (Part(*(x[torch.from_numpy(i)] for x in all_of)) for i in indices)
    return train, validation, test


def in_turn(inputs: Tensor, targets: Tensor, counts: tuple[int, int, int]) -> Parts:
    """The three parts of made data: the first so many rows, the next, the last."""
    pairs = zip(*(torch.split(x, list(counts)) for x in (inputs, targets)), strict=True)
    train, validation, test = (Part(x, y) for x, y in pairs)
    return train, validation, test
