"""What optimizers are compared on: the protocol of a task, and its batches."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import (
    DataLoader,
    Dataset,
    RandomSampler,
    SequentialSampler,
    TensorDataset,
)
from torch.utils.data.dataloader import default_collate

Direction = Literal["min", "max"]
Data = Dataset[Any] | DataLoader[Any]


class Task(Protocol):
    """What a comparison needs of a task; an object, or a function that returns one.

    Attributes:
        train, validation, test: disjoint data sets or their ``DataLoader``\\ s. A loader's data
            set, batch size, collate function and workers are used; the order is drawn anew from
            each run's seed, unless the loader has a sampler of its own.
        direction: ``"min"`` if less of the metric is better, ``"max"`` if more is.

    These may be there:
        title: in words, for tables and pictures [the name]
        metric_name: what the metric is, with its unit ["metric"]
        batch_size: of a data set without a loader [64]
        epochs: passes over the train part in one run [10]
        facts: what results depend on beside the code, such as the data's hash [{}]
        logits: ``logits(model, batch)``, for curvature by Gauss-Newton-Bartlett (Sophia)
        processes: how many processes ``torchrun`` gives to each run [1]
    """

    train: Data
    validation: Data
    test: Data
    direction: Direction

    def build(self, seed: int) -> nn.Module:
        """A new model; torch's generator has been seeded with the same number."""

    def loss(self, model: nn.Module, batch: Any) -> Tensor:
        """The loss of a mini-batch, one number with a gradient."""

    def metric(self, model: nn.Module, batches: Iterable[Any]) -> float:
        """What the model is worth over all these batches, in eval mode and without gradients."""


@dataclass(frozen=True)
class Prepared:
    """A task that has been found fit, with its batches."""

    text: str  # as it was given: digits, or my.py:task
    task: Any
    train: Batches
    validation: Batches
    test: Batches
    facts: Mapping[str, object] = field(default_factory=dict)

    @property
    def title(self) -> str:
        return str(getattr(self.task, "title", self.text))

    @property
    def metric_name(self) -> str:
        return str(getattr(self.task, "metric_name", "metric"))

    @property
    def direction(self) -> Direction:
        found: Direction = self.task.direction
        return found

    @property
    def epochs(self) -> int:
        return int(getattr(self.task, "epochs", 10))

    @property
    def processes(self) -> int:
        return int(getattr(self.task, "processes", 1))

    @property
    def name(self) -> str:
        """For files."""
        return (
            self.text.replace(".py:task", "")
            .replace(".py", "")
            .rpartition("/")[2]
            .replace(":", "-")
        )

    def worse(self, one: float, other: float) -> bool:
        """Whether the one value is worse than the other."""
        return one > other if self.direction == "min" else one < other

    def build(self, seed: int) -> nn.Module:
        """The model of a seed; torch's own random numbers are kept."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            model: nn.Module = self.task.build(seed)
            return model

    def loss(self, model: nn.Module, batch: Any) -> Tensor:
        loss: Tensor = self.task.loss(model, batch)
        return loss.reshape(())

    def logits(self, model: nn.Module, batch: Any) -> Callable[[], Tensor] | None:
        """For a curvature; None if the task does not say what its logits are."""
        said = getattr(self.task, "logits", None)
        return None if said is None else lambda: said(model, batch)

    def metric(self, model: nn.Module, part: Batches) -> float:
        """The metric over a part; modes of the model's modules are put back."""
        modes = [(module, module.training) for module in model.modules()]
        model.eval()
        try:
            with torch.no_grad():
                return float(self.task.metric(model, part.over(model)))
        finally:
            for module, mode in modes:
                module.training = mode


@dataclass(frozen=True)
class Batches:
    """One part of a task in batches of a size."""

    data: Any
    size: int
    whole: bool  # only whole batches, in an order of the seed: the train part
    loader: DataLoader[Any] | None = None  # as the user made it

    def __len__(self) -> int:
        """Batches in one pass."""
        if self._as_it_is:
            assert self.loader is not None
            return len(self.loader)
        count = len(self.data)
        return count // self.size if self.whole else -(-count // self.size)

    @property
    def _as_it_is(self) -> bool:
        """Whether the user's loader decides the order."""
        if self.loader is None:
            return False
        sampler = self.loader.sampler
        usual = isinstance(sampler, SequentialSampler) or (
            isinstance(sampler, RandomSampler)
            and not sampler.replacement
            and sampler.num_samples == len(self.data)
        )
        return not usual or self.loader.batch_size is None

    @property
    def _tensors(self) -> tuple[Tensor, ...] | None:
        """Of a data set that is nothing but tensors: batches of it are cut without a loader."""
        plain = self.loader is None or self.loader.collate_fn is default_collate
        return self.data.tensors if plain and only_tensors(self.data) else None

    def over(
        self, model: nn.Module | None = None, seed: int = 0, first: bool = False
    ) -> Iterator[Any]:
        """One pass, on the model's device; in the order of `seed` where it is shuffled."""
        device = next((p.device for p in model.parameters()), None) if model is not None else None
        for batch in self._pass(seed):
            yield batch if device is None or device.type == "cpu" else _moved(batch, device)
            if first:
                return

    def forever(self, model: nn.Module, seed: int) -> Iterator[Any]:
        """Pass after pass, each in another order."""
        seeds = torch.Generator().manual_seed(seed)
        while True:
            count = 0
            for batch in self.over(model, int(torch.randint(2**31, (), generator=seeds))):
                count += 1
                yield batch
            if not count:
                raise ValueError("train gave no batch in a later pass: it has to start anew")

    def _pass(self, seed: int) -> Iterator[Any]:
        tensors = self._tensors
        if self._as_it_is or tensors is None:
            yield from _apart(self._loader(seed), seed)
            return
        count = len(tensors[0])
        generator = torch.Generator().manual_seed(seed)
        order = torch.randperm(count, generator=generator) if self.whole else None
        for start in range(0, len(self) * self.size, self.size):
            chosen = (
                slice(start, start + self.size)
                if order is None
                else order[start : start + self.size]
            )
            yield tuple(tensor[chosen] for tensor in tensors)

    def _loader(self, seed: int) -> DataLoader[Any]:
        of = self.loader
        if of is not None and self._as_it_is:
            return of
        more: dict[str, Any] = {} if of is None else {
            "collate_fn": of.collate_fn, "num_workers": of.num_workers,
            "pin_memory": of.pin_memory, "worker_init_fn": of.worker_init_fn,
            "timeout": of.timeout, "multiprocessing_context": of.multiprocessing_context,
            "prefetch_factor": of.prefetch_factor,
        }  # fmt: skip
        return DataLoader(
            self.data, self.size, shuffle=self.whole, drop_last=self.whole,
            generator=torch.Generator().manual_seed(seed), **more,
        )  # fmt: skip


def only_tensors(data: object) -> bool:
    """Whether a data set is tensors of the same length and nothing else."""
    return isinstance(data, TensorDataset) and type(data).__getitem__ is TensorDataset.__getitem__


def _apart(loader: DataLoader[Any], seed: int) -> Iterator[Any]:
    """A loader's batches; what it draws from random numbers begins at `seed`, and is apart from
    what model and optimizer draw between two batches."""
    for of in (loader, loader.sampler, loader.batch_sampler):
        generator = getattr(of, "generator", None)
        if isinstance(generator, torch.Generator):
            generator.manual_seed(seed)
    batches, end = None, object()
    mine = _Random.seeded(seed)
    while True:
        others = _Random.now()
        mine.put()
        try:
            batches = iter(loader) if batches is None else batches
            batch = next(batches, end)
            mine = _Random.now()
        finally:
            others.put()
        if batch is end:
            return
        yield batch


@dataclass(frozen=True)
class _Random:
    """The states of the generators that a data set may draw from: torch's on the cpu, Python's and
    NumPy's. A model's own on a GPU are left alone."""

    torch: Tensor
    python: Any
    numpy: Any

    @classmethod
    def now(cls) -> _Random:
        return cls(torch.get_rng_state(), random.getstate(), np.random.get_state())  # noqa: NPY002

    @classmethod
    def seeded(cls, seed: int) -> _Random:
        made = torch.Generator().manual_seed(seed).get_state()
        state = np.random.RandomState(seed % 2**32).get_state()
        return cls(made, random.Random(seed).getstate(), state)

    def put(self) -> None:
        torch.set_rng_state(self.torch)
        random.setstate(self.python)
        np.random.set_state(self.numpy)  # noqa: NPY002


def _moved(batch: Any, device: torch.device) -> Any:
    if isinstance(batch, Tensor):
        return batch.to(device, non_blocking=True)
    if isinstance(batch, Mapping):
        return {key: _moved(value, device) for key, value in batch.items()}
    if isinstance(batch, (tuple, list)):
        moved = [_moved(value, device) for value in batch]
        return type(batch)(*moved) if hasattr(batch, "_fields") else type(batch)(moved)
    return batch
