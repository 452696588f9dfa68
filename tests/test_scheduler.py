"""The scheduler: any hyperparameter of any optimizer, the same float however a step is reached."""

from __future__ import annotations

import copy
import io
import math
from typing import Any

import hypothesis.strategies as st
import pytest
import torch
from hypothesis import given

import glissade
from glissade import Scheduler
from glissade.schedules import constant, cosine, linear, momentum_cycle, warm_restarts, warmup

OPTIMIZERS = [torch.optim.AdamW, glissade.AdamW]
each_optimizer = pytest.mark.parametrize("cls", OPTIMIZERS, ids=["torch", "glissade"])


def model(seed: int = 0) -> list[torch.nn.Parameter]:
    generator = torch.Generator().manual_seed(seed)
    return [torch.nn.Parameter(torch.randn(3, 4, generator=generator)) for _ in range(2)]


def train(
    optimizer: torch.optim.Optimizer, scheduler: Any, first: int, last: int
) -> list[tuple[Any, ...]]:
    """Steps whose gradients depend on the step alone; what the groups were in each."""
    seen = []
    for t in range(first, last):
        generator = torch.Generator().manual_seed(t)
        for group in optimizer.param_groups:
            for p in group["params"]:
                p.grad = torch.randn(p.shape, generator=generator)
        group = optimizer.param_groups[0]
        seen.append((group["lr"], group["weight_decay"], group["betas"]))
        optimizer.step()
        scheduler.step()
    return seen


LR = warmup(5, cosine(40))
HOW: dict[str, Any] = {
    "lr": LR,
    "weight_decay": linear(30, floor=0.5),
    "betas": (momentum_cycle(45), None),
}


@each_optimizer
def test_it_drives_any_hyperparameter(cls: Any) -> None:
    optimizer = cls(model(), lr=0.3, weight_decay=0.1, betas=(0.9, 0.95))
    scheduler = Scheduler(optimizer, **HOW)
    for t, (lr, decay, betas) in enumerate(train(optimizer, scheduler, 0, 45)):
        assert lr == 0.3 * LR(t)
        assert decay == 0.1 * linear(30, floor=0.5)(t)
        assert betas == (0.9 * momentum_cycle(45)(t), 0.95)
    assert scheduler.get_last_lr() == scheduler.get_lr() == [0.3 * LR(45)]
    assert scheduler.last_epoch == scheduler.t == 45
    assert scheduler.base_lrs == [0.3]


@each_optimizer
@pytest.mark.parametrize("at", [1, 17, 44])
def test_resuming_gives_the_same_bits(cls: Any, at: int) -> None:
    """Through a file, whatever is made or loaded first."""
    params = model()
    optimizer = cls(params, lr=0.3, weight_decay=0.1)
    scheduler = Scheduler(optimizer, **HOW)
    seen = train(optimizer, scheduler, 0, at)
    file = io.BytesIO()
    torch.save([optimizer.state_dict(), scheduler.state_dict(), [p.data for p in params]], file)
    seen += train(optimizer, scheduler, at, 60)
    for order in ("optimizer first", "scheduler first", "made last"):
        again = model(1)
        file.seek(0)
        held = torch.load(file, weights_only=True)
        for p, x in zip(again, held[2], strict=True):
            p.data.copy_(x)
        optimizer = cls(again, lr=0.3, weight_decay=0.1)
        if order == "made last":
            optimizer.load_state_dict(held[0])
            scheduler = Scheduler(optimizer, **HOW)
            scheduler.load_state_dict(held[1])
        else:
            scheduler = Scheduler(optimizer, **HOW)
            pairs = [(optimizer, held[0]), (scheduler, held[1])]
            for what, state in pairs if order == "optimizer first" else reversed(pairs):
                what.load_state_dict(state)
        assert scheduler.t == at
        assert train(optimizer, scheduler, at, 60) == seen[at:]
        for p, q in zip(again, params, strict=True):
            assert torch.equal(p, q), order


@given(t=st.integers(0, 200))
def test_closed_form_stepped_and_resumed_are_one_float(t: int) -> None:
    schedule = warm_restarts(7, t_mult=1.5, floor=0.1, peak_decay=0.9)
    made = [Scheduler(torch.optim.SGD(model(), lr=0.3), lr=schedule) for _ in range(3)]
    for _ in range(t):
        made[0].step()
    made[1].step(t)
    made[2].load_state_dict(made[0].state_dict())
    assert {x.get_last_lr()[0] for x in made} == {0.3 * schedule(t)}


@each_optimizer
def test_one_that_is_made_after_loading_starts_from_the_same_base(cls: Any) -> None:
    """The values of a loaded group are those of its step: what they came from is beside them."""
    old = cls(model(), lr=0.1, weight_decay=0.2)
    Scheduler(old, lr=cosine(100), weight_decay=linear(100)).step(50)
    new = cls(model(), lr=0.1, weight_decay=0.2)
    new.load_state_dict(old.state_dict())
    scheduler = Scheduler(new, lr=cosine(100), weight_decay=linear(100))
    scheduler.step(50)
    group = new.param_groups[0]
    assert (group["lr"], group["weight_decay"]) == (0.1 * cosine(100)(50), 0.1)
    theirs = torch.optim.AdamW(model(), lr=0.1)
    torch.optim.lr_scheduler.CosineAnnealingLR(theirs, 100)
    theirs.param_groups[0]["lr"] = 0.05  # as after 50 steps
    new = cls(model(), lr=0.1)
    new.load_state_dict(theirs.state_dict())
    again = Scheduler(new, lr=cosine(100))
    again.step(50)
    assert again.get_last_lr() == [0.1 * cosine(100)(50)]


def test_an_optimizer_that_brings_its_schedule_takes_no_other() -> None:
    with pytest.raises(ValueError, match="AdamWR brings its schedule: leave this one out"):
        Scheduler(glissade.AdamWR(model(), t_0=10), lr=cosine(10))


def test_fractions_of_a_step() -> None:
    """As SGDR has it: the epoch and the share of it."""
    scheduler = Scheduler(torch.optim.SGD(model(), lr=1.0), lr=cosine(10))
    scheduler.step(2.5)
    assert scheduler.get_last_lr() == [cosine(10)(2.5)]


def test_groups_with_schedules_of_their_own() -> None:
    a, b = model()
    optimizer = glissade.SGD([{"params": [a], "lr": 1.0}, {"params": [b], "lr": 2.0}])
    scheduler = Scheduler(optimizer, lr=[linear(10), None])
    scheduler.step(5)
    assert scheduler.get_last_lr() == [0.5, 2.0]
    with pytest.raises(ValueError, match="lr: a list of 3 schedules for 2 groups"):
        Scheduler(optimizer, lr=[None, None, None])
    with pytest.raises(ValueError, match="lr: a list of 1 schedules, and the optimizer has 2"):
        Scheduler(optimizer, lr=[None])


@each_optimizer
def test_groups_added_later_follow(cls: Any) -> None:
    a, b = model()
    optimizer = cls([a], lr=1.0)
    scheduler = Scheduler(optimizer, lr=linear(10))
    scheduler.step(4)
    optimizer.add_param_group({"params": [b], "lr": 3.0})
    scheduler.step()
    assert scheduler.get_last_lr() == [0.5, 1.5]
    assert scheduler.base_lrs == [1.0, 3.0]
    again = Scheduler(cls([{"params": [a]}, {"params": [b]}], lr=7.0), lr=linear(10))
    again.load_state_dict(scheduler.state_dict())
    assert again.get_last_lr() == [0.5, 1.5]
    scheduler = Scheduler(cls([a], lr=1.0), lr=[linear(10)])
    scheduler.optimizer.add_param_group({"params": [b]})
    with pytest.raises(ValueError, match="a list of 1 schedules, and the optimizer has 2 groups"):
        scheduler.step()


def test_a_learning_rate_that_is_a_tensor_is_filled() -> None:
    lr = torch.tensor(0.5)
    optimizer = torch.optim.SGD(model(), lr=lr)
    scheduler = Scheduler(optimizer, lr=linear(10))
    scheduler.step(5)
    assert optimizer.param_groups[0]["lr"] is lr
    assert lr.item() == 0.25
    (last,) = scheduler.get_last_lr()
    assert last is not lr


def test_any_function_of_the_step() -> None:
    def mine(t: float) -> float:
        return 1 / (1 + t)

    scheduler = Scheduler(torch.optim.SGD(model(), lr=1.0), lr=mine)
    scheduler.step(3)
    assert scheduler.get_last_lr() == [0.25]
    again = Scheduler(torch.optim.SGD(model(), lr=1.0), lr=mine)
    again.load_state_dict(scheduler.state_dict())
    other = Scheduler(torch.optim.SGD(model(), lr=1.0), lr=cosine(10))
    with pytest.raises(ValueError, match=r"lr was function .*mine and is cosine\(10\) now"):
        other.load_state_dict(scheduler.state_dict())
    with pytest.raises(ValueError, match="which it cannot hold"):
        other.load_state_dict(scheduler.state_dict(), changed="saved")


def test_another_length_on_resuming_is_an_error_or_a_choice() -> None:
    def made(total: int) -> Scheduler:
        return Scheduler(
            torch.optim.AdamW(model(), lr=1.0), lr=linear(total), betas=(None, constant())
        )

    old = made(100)
    old.step(50)
    saved = copy.deepcopy(old.state_dict())
    new = made(200)
    with pytest.raises(ValueError, match=r"lr was linear\(100\) and is linear\(200\) now\. .*"):
        new.load_state_dict(saved)
    assert (new.t, new.get_last_lr()) == (0, [1.0])
    new.load_state_dict(saved, changed="new")
    assert (new.t, new.get_last_lr()) == (50, [0.75])
    new = made(200)
    new.load_state_dict(saved, changed="saved")
    assert (new.t, new.get_last_lr()) == (50, [0.5])
    assert new.schedules == old.schedules
    with pytest.raises(ValueError, match="changed='old': must be"):
        new.load_state_dict(saved, changed="old")
    other = Scheduler(torch.optim.AdamW(model(), lr=1.0), lr=linear(100))
    with pytest.raises(ValueError, match=r"betas was .* and is not scheduled now"):
        other.load_state_dict(saved)


def test_what_is_refused() -> None:
    optimizer = torch.optim.AdamW(model(), lr=0.3)
    before = copy.deepcopy(optimizer.state_dict())
    for kind, said, how in (
        (ValueError, "no schedule: give one by name", {}),
        (ValueError, "AdamW has no 'weight_decya' to schedule; .* did you mean 'weight_decay'",
         {"weight_decya": constant()}),
        (TypeError, "amsgrad=False is no number", {"amsgrad": constant()}),
        (TypeError, "lr=0.5: must be a schedule", {"lr": 0.5}),
        (TypeError, r"betas=\(0.9, 0.999\) takes a tuple of 2 schedules", {"betas": constant()}),
        (TypeError, "takes a tuple of 2", {"betas": (constant(),)}),
        (ValueError, "lr would be 0.3 times nan at step 0", {"lr": lambda t: math.nan}),
        (ValueError, "lr would be 0.3 times 'x'", {"lr": lambda t: "x"}),
    ):  # fmt: skip
        with pytest.raises(kind, match=said):
            Scheduler(optimizer, **how)
    assert optimizer.state_dict() == before
    with pytest.raises(TypeError, match=r"cosine\(10\) has no name: .*optimizer, lr=cosine\(10\)"):
        Scheduler(optimizer, cosine(10))  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=r"Linear is no torch.optim.Optimizer"):
        Scheduler(torch.nn.Linear(1, 1), lr=constant())  # type: ignore[arg-type]


def test_only_hyperparameters_are_offered() -> None:
    optimizer = glissade.Adagrad(model())
    Scheduler(optimizer, lr=cosine(10))
    with pytest.raises(ValueError, match=r"no 'learning_rate' to .*did you mean 'lr'") as caught:
        Scheduler(optimizer, learning_rate=cosine(10))
    offered = str(caught.value).partition("it has ")[2].partition(";")[0].split(", ")
    assert set(offered) == {"lr", "lr_decay", "weight_decay", "initial_accumulator_value", "eps"}


def test_a_jump_to_nan_changes_nothing() -> None:
    optimizer = torch.optim.SGD(model(), lr=1.0, momentum=0.5)
    scheduler = Scheduler(
        optimizer, momentum=linear(10), lr=lambda t: math.nan if t >= 3 else 1 - t / 10
    )
    scheduler.step()
    scheduler.step()
    with pytest.raises(ValueError, match=r"lr would be 1\.0 times nan at step 3"):
        scheduler.step()
    group = optimizer.param_groups[0]
    assert (group["lr"], group["momentum"], scheduler.t) == (0.8, 0.4, 2)
    with pytest.raises(ValueError, match=r"lr would be 1\.0 times inf at step"):
        Scheduler(torch.optim.SGD(model(), lr=1.0), lr=lambda t: 10.0**t).step(1000)


def test_a_state_of_torch_is_told() -> None:
    optimizer = torch.optim.SGD(model(), lr=1.0)
    theirs = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 10).state_dict()
    ours = Scheduler(torch.optim.SGD(model(), lr=1.0), lr=cosine(10))
    with pytest.raises(ValueError, match=r"no state of a glissade.Scheduler .*scheduler.step\(t\)"):
        ours.load_state_dict(theirs)
    a, b = model()
    two = Scheduler(torch.optim.SGD([{"params": [a]}, {"params": [b]}], lr=1.0), lr=cosine(10))
    with pytest.raises(ValueError, match="the state has 1 parameter groups and the optimizer 2"):
        two.load_state_dict(ours.state_dict())


def test_it_is_a_scheduler_of_torch() -> None:
    optimizer = glissade.AdamW(model(), lr=1.0)
    step = optimizer.step
    scheduler = Scheduler(optimizer, lr=cosine(10))
    assert isinstance(scheduler, torch.optim.lr_scheduler.LRScheduler)
    assert optimizer.step == step  # torch's own would wrap it
    assert optimizer.param_groups[0]["initial_lr"] == 1.0
    both = torch.optim.lr_scheduler.ChainedScheduler([scheduler], optimizer)
    both.step()
    assert scheduler.t == 1


def test_changing_numbers_in_a_tuple_keeps_the_kernels() -> None:
    """betas is a tuple, and tuples may choose kernels: its numbers do not."""
    optimizer = glissade.AdamW(model(), lr=0.1)
    scheduler = Scheduler(optimizer, betas=(momentum_cycle(45), None))
    train(optimizer, scheduler, 0, 2)
    line = optimizer._line
    train(optimizer, scheduler, 2, 8)
    assert optimizer._line is line
    optimizer.param_groups[0]["amsgrad"] = True
    train(optimizer, scheduler, 8, 9)
    assert optimizer._line is not line
