"""Snapshots at the ends of cycles: in memory and in files, their means, and batch norm."""

from __future__ import annotations

import copy
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import glissade
from glissade import AdamWR, Scheduler
from glissade.schedules import cosine, warm_restarts, warmup
from glissade.snapshots import Snapshots, recompute_batch_norm


def net(seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.ReLU(), nn.Linear(4, 2))


def train(model: nn.Module, optimizer: Any, snapshots: Snapshots, first: int, last: int) -> None:
    for t in range(first, last):
        x = torch.randn(8, 3, generator=torch.Generator().manual_seed(t))
        optimizer.zero_grad()
        model(x).square().mean().backward()
        optimizer.step()
        snapshots.step()


@pytest.mark.parametrize("kept", ["memory", "files"])
def test_they_are_taken_where_cycles_end(kept: str, tmp_path: Path) -> None:
    model = net()
    optimizer = AdamWR(model.parameters(), lr=0.1, t_0=3, t_mult=2)
    folder = tmp_path / "deep" / "down" if kept == "files" else None
    snapshots = Snapshots(model, optimizer, folder=folder)
    at: dict[int, dict[str, torch.Tensor]] = {}
    for t in range(22):
        train(model, optimizer, snapshots, t, t + 1)
        if t + 1 in (3, 9, 21):
            at[t + 1] = {k: v.clone() for k, v in model.state_dict().items()}
    assert snapshots.steps == [3, 9, 21]
    assert len(snapshots) == 3
    for step, wanted in at.items():
        found = snapshots.weights(step)
        assert found.keys() == wanted.keys()
        for name, value in wanted.items():
            assert torch.equal(found[name], value)
            assert found[name].dtype == value.dtype
    if folder is not None:
        names = sorted(path.name for path in folder.iterdir())
        assert names == [f"snapshot-{step:08d}.safetensors" for step in (3, 9, 21)]
        assert Snapshots(model, optimizer, folder=folder, resume=True).steps == [3, 9, 21]
    with pytest.raises(KeyError, match="no snapshot of step 4; there are those of"):
        snapshots.weights(4)


@pytest.mark.parametrize(
    ("cycles", "steps"),
    [
        (5, [5, 10, 15]),
        (warm_restarts(5), [5, 10, 15]),
        (warm_restarts(2.5), [3, 5, 8, 10, 13, 15]),
        (warm_restarts(10, t_mult=1.1), [10]),
        (warm_restarts(4, t_mult=1.5), [4, 10]),
        (warmup(3, warm_restarts(5)), [8, 13]),
        (warmup(2, warm_restarts(2, t_mult=2)), [4, 8, 16]),
        (warmup(2.5, warm_restarts(5)), [8, 13]),
    ],
)
def test_what_says_where_cycles_end(cycles: Any, steps: list[int]) -> None:
    model = net()
    snapshots = Snapshots(model, cycles)
    assert [t for t in range(1, 18) if snapshots.step()] == steps


def test_a_scheduler_says_so_too_and_keeps_the_step() -> None:
    model = net()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    scheduler = Scheduler(optimizer, lr=warm_restarts(5))
    scheduler.step(4)  # resumed there
    snapshots = Snapshots(model, scheduler)
    scheduler.step()
    assert snapshots.step()
    assert snapshots.steps == [5]
    for wrong, said in (
        (
            Scheduler(torch.optim.SGD(model.parameters(), lr=0.1), lr=cosine(5)),
            r"cycles is a Scheduler with lr=cosine\(5\)",
        ),
        (cosine(5), r"cycles=cosine\(5\)"),
        (warmup(2, cosine(5)), r"cycles=warmup\(2, cosine\(5\)\)"),
        ("5", "cycles='5'"),
        (optimizer, r"cycles is an optimizer \(SGD\), which has no cycles by itself"),
    ):
        with pytest.raises(TypeError, match=f"^{said}: must be an AdamWR or SGDWR"):
            Snapshots(model, wrong)
    with pytest.raises(ValueError, match="cycles=0"):
        Snapshots(model, 0)


def test_a_folder_of_another_run_is_refused(tmp_path: Path) -> None:
    model = net()
    first = Snapshots(model, 1, folder=tmp_path)
    first.step()
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    with pytest.raises(ValueError, match=r"holds snapshots of steps 1 already.*resume=True"):
        Snapshots(net(1), 1, folder=tmp_path)
    for other, said in (
        (nn.Linear(3, 4), "'weight' is missing, here a torch.float32 of shape"),
        (net().double(), "'0.weight' is a torch.float32 of shape .*, here a torch.float64"),
        (nn.Sequential(*net()[:1]), "'1.[a-z_]+' is a torch.* of shape .* here missing"),  # type: ignore[index]
    ):
        with pytest.raises(ValueError, match=f"snapshots of another model: there {said}"):
            Snapshots(other, 1, folder=tmp_path, resume=True)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before
    again = Snapshots(model, 1, folder=tmp_path, resume=True)
    again.load_state_dict(first.state_dict())
    again.step()
    assert again.steps == [1, 2]
    empty = tmp_path / "none yet"
    assert Snapshots(model, 1, folder=empty, resume=True).steps == []


def made(tmp_path: Path | None = None) -> tuple[nn.Module, Snapshots]:
    model = net()
    optimizer = AdamWR(model.parameters(), lr=0.3, t_0=4)
    snapshots = Snapshots(model, optimizer, folder=tmp_path)
    train(model, optimizer, snapshots, 0, 14)
    return model, snapshots


@pytest.mark.parametrize("last", [None, 1, 2])
def test_predictions_are_averaged(last: int | None, tmp_path: Path) -> None:
    model, snapshots = made(tmp_path)
    x = torch.randn(5, 3)
    model.eval()
    before = {k: v.clone() for k, v in model.state_dict().items()}
    found = snapshots.predict(lambda m: m(x).softmax(1), last=last)
    each = []
    for step in [4, 8, 12][-(last or 3) :]:
        other = net(1).eval()
        other.load_state_dict(snapshots.weights(step))
        each.append(other(x).softmax(1).double())
    assert torch.allclose(found, torch.stack(each).mean(0), rtol=1e-6)
    assert torch.allclose(found.sum(1), torch.ones(5, dtype=torch.float64))
    for name, value in model.state_dict().items():
        assert torch.equal(value, before[name])  # the model is as it was


def test_predictions_are_made_in_eval_mode() -> None:
    model, snapshots = made()
    assert model.training
    x = torch.randn(5, 3)
    seen: list[bool] = []

    def function(m: nn.Module) -> torch.Tensor:
        seen.append(m.training or m[1].training)  # type: ignore[index]
        return m(x)  # type: ignore[no-any-return]

    assert torch.equal(snapshots.predict(function), snapshots.predict(function))
    assert not any(seen)
    assert model.training


def test_the_model_comes_back_when_a_prediction_fails() -> None:
    model, snapshots = made()
    before = {k: v.clone() for k, v in model.state_dict().items()}
    with pytest.raises(ZeroDivisionError):
        snapshots.predict(lambda m: torch.tensor(1 / 0))
    assert all(torch.equal(v, before[k]) for k, v in model.state_dict().items())


def test_weights_are_averaged() -> None:
    model, snapshots = made()
    mean = snapshots.average()
    name = "0.weight"
    wanted = torch.stack([snapshots.weights(step)[name].double() for step in (4, 8, 12)]).mean(0)
    assert torch.equal(mean[name], wanted.float())
    assert mean["1.num_batches_tracked"].item() == 12  # a count has no mean
    model.load_state_dict(mean)
    assert torch.equal(snapshots.average(last=1)[name], snapshots.weights(12)[name])


def test_too_few() -> None:
    model = net()
    snapshots = Snapshots(model, 5)
    with pytest.raises(ValueError, match="there is no snapshot yet"):
        snapshots.average()
    model, snapshots = made()
    with pytest.raises(ValueError, match="last=4: must be 1 to 3"):
        snapshots.predict(lambda m: torch.zeros(1), last=4)


def test_in_memory_they_are_saved_and_loaded() -> None:
    model, snapshots = made()
    other = Snapshots(net(1), AdamWR(model.parameters(), t_0=4))
    other.load_state_dict(snapshots.state_dict())
    assert other.steps == snapshots.steps
    assert torch.equal(other.weights(8)["0.weight"], snapshots.weights(8)["0.weight"])


def test_tied_weights_and_half_written_files(tmp_path: Path) -> None:
    class Tied(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a = nn.Linear(3, 3)
            self.b = nn.Linear(3, 3)
            self.b.weight = self.a.weight

    snapshots = Snapshots(Tied(), 1, folder=tmp_path)
    (tmp_path / "snapshot-00000009.123.part").write_bytes(b"half")
    (tmp_path / "notes.txt").write_text("mine")
    snapshots.step()
    assert snapshots.steps == [1]
    assert torch.equal(snapshots.weights(1)["b.weight"], snapshots.weights(1)["a.weight"])


def test_batch_norm_statistics() -> None:
    """Those of all the data, whatever the momentum; and the layers are as before otherwise."""
    model = nn.Sequential(nn.BatchNorm1d(2, momentum=0.3), nn.Dropout(0.5)).eval()
    batches = [torch.tensor([[1.0, 5.0], [3.0, 7.0]]), torch.tensor([[5.0, 1.0], [7.0, 3.0]])]
    recompute_batch_norm(model, [(x, None) for x in batches])
    norm: Any = model[0]
    assert norm.running_mean.tolist() == [4.0, 4.0]
    assert norm.running_var.tolist() == [2.0, 2.0]  # the mean of the batches' own
    assert norm.momentum == 0.3
    assert not model.training
    with pytest.raises(ValueError, match="the loader is empty"):
        recompute_batch_norm(model, [])
    recompute_batch_norm(nn.Linear(2, 2), [])  # nothing to do


def test_an_average_wants_new_statistics() -> None:
    model, snapshots = made()
    model.load_state_dict(snapshots.average())
    data = [torch.randn(16, 3, generator=torch.Generator().manual_seed(t)) for t in range(4)]
    recompute_batch_norm(model, data)
    hidden = torch.stack([model[0](x).detach().mean(0) for x in data]).mean(0)  # type: ignore[index]
    found = model[1].running_mean  # type: ignore[index]
    assert torch.allclose(found, hidden, atol=1e-6)
    assert math.isfinite(model(data[0]).sum().item())
    assert glissade.snapshots.Snapshots is Snapshots


# Schedulers that do not count one step a call


def counted(
    moves: list[float | None], per_epoch: int = 1
) -> tuple[list[float], Snapshots, dict[float, float]]:
    """A weight that grows by 1 with every batch; the scheduler goes on once an epoch."""
    model = nn.Linear(1, 1, bias=False)
    nn.init.zeros_(model.weight)
    scheduler = Scheduler(torch.optim.SGD(model.parameters(), lr=1.0), lr=warm_restarts(3))
    snapshots = Snapshots(model, scheduler)
    said = []
    for move in moves:
        for _ in range(per_epoch):
            model.weight.data += 1
            if snapshots.step():
                said.append(scheduler.t)
        scheduler.step(move)
    if snapshots.step():
        said.append(scheduler.t)
    return said, snapshots, {t: snapshots.weights(t)["weight"].item() for t in snapshots.steps}


def test_time_in_fractions_takes_one_a_cycle_at_its_end() -> None:
    """There was one at 3, 3.25, 3.5 and 3.75, each over the last: from after the restart."""
    said, _, weights = counted([i / 4 for i in range(1, 30)])
    assert said == [3, 6]
    assert weights == {3: 12.0, 6: 24.0}


@pytest.mark.parametrize("parts", [3, 7, 10, 13])
def test_time_in_fractions_that_are_not_exact(parts: int) -> None:
    """0.1 + 0.2 and its kind: epoch + i / parts, as torch's documentation has it."""
    moves = [epoch + i / parts for epoch in range(7) for i in range(parts)][1:]
    _, _, weights = counted(moves)
    assert weights == {3: 3.0 * parts, 6: 6.0 * parts}


def test_time_that_passes_the_end_between_two_calls() -> None:
    """By 2 it kept the ends 6 and 12 of 3, 6, 9 and 12."""
    said, _, weights = counted([float(t) for t in range(2, 14, 2)])
    assert said == [4, 6, 10, 12]
    assert weights == {4: 2.0, 6: 3.0, 10: 5.0, 12: 6.0}
    assert counted([2.5, 4.75, 6.5])[2] == {4.75: 2.0, 6.5: 3.0}


def test_a_scheduler_that_counts_epochs_beside_batches() -> None:
    """One was taken at each batch of the epoch after the restart."""
    said, _, weights = counted([None] * 10, per_epoch=4)
    assert said == [3, 6, 9]
    assert weights == {3: 12.0, 6: 24.0, 9: 36.0}  # before a batch of the next cycle


def test_going_back_and_loading_take_none() -> None:
    _, snapshots, _ = counted([1.0, 2.0, 3.0])
    scheduler: Any = snapshots._scheduler
    state = Scheduler(torch.optim.SGD([nn.Parameter(torch.ones(1))]), lr=warm_restarts(3))
    state.step(7)
    scheduler.step(1)
    scheduler.load_state_dict(state.state_dict())
    assert not snapshots.step()
    assert snapshots.steps == [3]


def test_steps_in_fractions_are_kept_in_files(tmp_path: Path) -> None:
    model = nn.Linear(2, 2)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    scheduler = Scheduler(optimizer, lr=warm_restarts(0.5))
    snapshots = Snapshots(model, scheduler, folder=tmp_path)
    for i in range(1, 13):
        scheduler.step(i / 8)
        snapshots.step()
    assert snapshots.steps == [0.5, 1, 1.5]
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "snapshot-00000000.5.safetensors",
        "snapshot-00000001.5.safetensors",
        "snapshot-00000001.safetensors",
    ]
    assert len(snapshots.average()) == 2
    again = Snapshots(model, scheduler, folder=tmp_path, resume=True)
    assert again.steps == [0.5, 1, 1.5]


def test_a_snapshot_does_not_keep_the_scheduler_from_being_saved() -> None:
    model = net()
    optimizer = AdamWR(model.parameters(), lr=0.1, t_0=2)
    snapshots = Snapshots(model, optimizer)
    again = copy.deepcopy(optimizer)
    train(model, again, snapshots, 0, 4)
    assert snapshots.steps == []  # of the optimizer that it was made with
    train(model, optimizer, snapshots, 0, 4)
    assert snapshots.steps == [2, 4]


def test_a_number_of_numpy_is_a_number_of_steps() -> None:
    snapshots = Snapshots(net(), np.int64(2))
    assert [t for t in range(1, 6) if snapshots.step()] == [2, 4]
