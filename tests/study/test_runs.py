"""A run: paired by its seed whatever draws numbers, and lost for the right reason."""

from __future__ import annotations

import dataclasses
import json
import math
import random
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset, RandomSampler, WeightedRandomSampler

from glissade.study import options, run
from glissade.study.compare import _plan
from glissade.study.design import Job, RunKey
from glissade.study.loading import TaskError, check, prepare
from glissade.study.store import Store, StoreError
from glissade.study.task import Batches
from tests.study.tiny import Tiny


class Drawing(Dataset[Tensor]):
    """Draws from everything that there is."""

    def __len__(self) -> int:
        return 16

    def __getitem__(self, i: int) -> Tensor:
        return torch.tensor(
            [random.random(), np.random.rand(), float(torch.rand(())), float(i)]  # noqa: NPY002
        )


@pytest.mark.parametrize(
    "loader",
    [
        DataLoader(Drawing(), 4, shuffle=True),
        DataLoader(
            Drawing(), 4,
            sampler=WeightedRandomSampler([1.0] * 16, 16, generator=torch.Generator()),
        ),
    ],
    ids=["shuffled", "sampler"],
)  # fmt: skip
def test_a_seed_is_the_same_batches_whoever_drew_before(loader: DataLoader[Any]) -> None:
    part = Batches(loader.dataset, 4, True, loader)
    first = list(part.over(seed=3))
    random.random(), np.random.rand(), torch.rand(5)  # noqa: NPY002
    before = random.getstate(), torch.get_rng_state()
    again = list(part.over(seed=3))
    other = list(part.over(seed=4))
    assert torch.equal(torch.cat(first), torch.cat(again))
    assert not torch.equal(torch.cat(first), torch.cat(other))
    assert random.getstate() == before[0]  # others' numbers are left alone
    assert torch.equal(torch.get_rng_state(), before[1])


def test_a_sampler_of_a_part_is_kept() -> None:
    data = Drawing()
    loader = DataLoader(data, 4, sampler=RandomSampler(data, replacement=True, num_samples=8))
    assert len(Batches(data, 4, True, loader)) == 2
    assert len(Batches(data, 4, True, DataLoader(data, 4, shuffle=True))) == 4


def test_data_that_end_for_good_are_told() -> None:
    class Once(torch.utils.data.IterableDataset[Tensor]):
        def __init__(self) -> None:
            self.left = iter([torch.ones(1)] * 3)

        def __iter__(self) -> Any:
            return self.left

        def __len__(self) -> int:
            return 3

    part = Batches(Once(), 1, True, DataLoader(Once(), None))
    with pytest.raises(ValueError, match="no batch in a later pass"):
        for _ in zip(range(10), part.forever(nn.Linear(1, 1), 0), strict=False):
            pass


def test_a_model_that_is_made_once_is_refused() -> None:
    class Once(Tiny):
        model = nn.Linear(4, 1)

        def build(self, seed: int) -> nn.Module:
            return self.model

    with pytest.raises(TaskError, match="make a new model in each call"):
        check(prepare(Once(), "once"))


def test_facts_must_be_plain() -> None:
    class Odd(Tiny):
        facts = {"root": Path("data")}  # noqa: RUF012

    with pytest.raises(TaskError, match="facts must be what JSON can hold"):
        prepare(Odd(), "odd")


class Strict(Tiny):
    """Its metric raises on what is not finite, as scikit-learn's do."""

    def metric(self, model: nn.Module, batches: Iterable[Any]) -> float:
        for p in model.parameters():
            if not p.isfinite().all():
                raise ValueError("Input contains NaN")
        return super().metric(model, batches)


def job(optimizer: str, steps: int = 40) -> Job:
    key = RunKey("strict", "sgd", "tune", 0, 0, 0)
    return Job(key, optimizer, None, steps, 4, (1, 2), False, None)


def test_a_metric_that_raises_on_nan_is_a_divergence() -> None:
    task = prepare(Strict(), "strict")
    found = run.train(job("sgd(lr=1e6)"), task)
    assert (found.quality, found.error) == (None, None)
    assert found.diverged_at is not None
    assert run.train(job("sgd(lr=0.01)"), task).quality is not None


def test_the_train_part_is_measured_where_it_is_asked_for() -> None:
    """All of it, though steps are of whole batches only; and nothing else is changed."""
    seen: list[tuple[int, bool]] = []

    class Counting(Tiny):
        def metric(self, model: nn.Module, batches: Iterable[Any]) -> float:
            each = [len(batch[0]) for batch in batches]
            seen.append((sum(each), model.training))
            return float(sum(each))

    task = prepare(Counting(), "counting")
    seen.clear()
    plain = run.train(job("sgd(lr=0.01)"), task)
    assert plain.fit is None
    count = len(seen)
    asked = run.train(dataclasses.replace(job("sgd(lr=0.01)"), fit=True), task)
    assert asked.losses == plain.losses
    assert len(seen) == 2 * count + 1
    assert asked.fit == len(task.train.data)
    assert seen[-1] == (len(task.train.data), False)
    lost = run.train(dataclasses.replace(job("sgd(lr=1e30)"), fit=True), prepare(Strict(), "s"))
    assert lost.fit is None


def test_a_train_metric_that_is_infinite_cannot_be_written() -> None:
    class Unbounded(Tiny):
        def metric(self, model: nn.Module, batches: Iterable[Any]) -> float:
            held = [*batches]
            of_train = sum(len(x) for x, _ in held) == len(self.train)
            return math.inf if of_train else super().metric(model, held)

    task = prepare(Unbounded(), "unbounded")
    result = run.train(dataclasses.replace(job("sgd(lr=0.01)"), fit=True), task)
    assert (result.fit, result.error) == (None, None)
    assert result.quality is not None
    json.dumps(dataclasses.asdict(result), allow_nan=False)


def test_two_at_work_in_one_folder_are_refused(tmp_path: Path) -> None:
    pytest.importorskip("fcntl")
    asked = {"tasks": ("tests/study/tiny.py",), "optimizers": "adam", "trials": 1, "studies": 1,
             "seeds": 1}  # fmt: skip
    first = Store.open(tmp_path, _plan(asked, None), resume=False)
    with pytest.raises(StoreError, match="another process is at work"):
        Store.open(tmp_path, _plan(asked, None), resume=True)
    first.close()
    Store.open(tmp_path, _plan(asked, None), resume=True).close()


@pytest.mark.parametrize(
    ("text", "seconds"), [("90", 90), ("90s", 90), ("20m", 1200), ("1h30m", 5400), (None, None)]
)
def test_times_are_read(text: str | None, seconds: float | None) -> None:
    assert options.seconds_of(text) == seconds
