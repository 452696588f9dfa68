"""AdamWR and SGDWR: what they are made of, and that they resume in the middle of a cycle."""

from __future__ import annotations

import copy
import io
import math
import pickle
from typing import Any

import pytest
import torch

import glissade
from glissade import AdamWR, Optimizer, Scheduler, rules
from glissade.schedules import normalized_decay, warm_restarts

CLASSES = [
    (glissade.AdamWR, rules.adamw, {}),
    (glissade.SGDWR, rules.sgdw, {"momentum": 0.9}),
]
each = pytest.mark.parametrize(("cls", "rule", "hyper"), CLASSES, ids=["AdamWR", "SGDWR"])
CYCLES: dict[str, Any] = {"t_0": 4, "t_mult": 2, "floor": 0.1, "peak_decay": 0.5}


def parameters(seed: int = 0) -> list[torch.nn.Parameter]:
    generator = torch.Generator().manual_seed(seed)
    return [torch.nn.Parameter(torch.randn(3, 4, generator=generator)) for _ in range(2)]


def train(optimizer: Any, first: int, last: int, after: Any = None) -> None:
    for t in range(first, last):
        generator = torch.Generator().manual_seed(t)
        for group in optimizer.param_groups:
            for p in group["params"]:
                p.grad = torch.randn(p.shape, generator=generator)
        optimizer.step()
        if after is not None:
            after.step()


@each
def test_it_is_the_rule_with_both_schedules(cls: Any, rule: Any, hyper: dict[str, Any]) -> None:
    ours, theirs = parameters(), parameters()
    optimizer = cls(ours, lr=0.1, weight_decay=0.3, **CYCLES, **hyper)
    base = rule(0.1, weight_decay=0.3, decay="independent", **hyper)
    other = Optimizer(theirs, base)
    scheduler = Scheduler(
        other, lr=warm_restarts(**CYCLES), weight_decay=normalized_decay(4, t_mult=2)
    )
    train(optimizer, 0, 30)
    train(other, 0, 30, scheduler)
    for p, q in zip(ours, theirs, strict=True):
        assert torch.equal(p, q)


def test_the_decay_is_scheduled_once_and_normalised() -> None:
    """Without gradients the weights shrink by (1 − η_t·λ/√T_i) a step: lr has no part in it."""
    p = torch.nn.Parameter(torch.ones(1, dtype=torch.float64))
    optimizer = glissade.SGDWR([p], lr=0.37, weight_decay=0.3, t_0=4, t_mult=2)
    wanted = 1.0
    for t in range(12):
        length, since = (4, t) if t < 4 else (8, t - 4)
        eta = 0.5 * (1 + math.cos(math.pi * since / length))
        wanted *= 1 - eta * 0.3 / math.sqrt(length)
        p.grad = torch.zeros_like(p)
        optimizer.step()
    assert p.item() == pytest.approx(wanted, rel=1e-12)


@each
@pytest.mark.parametrize("at", [3, 4, 9])
def test_stopped_in_mid_cycle_it_ends_on_the_same_bits(
    cls: Any, rule: Any, hyper: dict[str, Any], at: int
) -> None:
    params = parameters()
    optimizer = cls(params, lr=0.1, **CYCLES, **hyper)
    train(optimizer, 0, at)
    file = io.BytesIO()
    torch.save([optimizer.state_dict(), [p.data for p in params]], file)
    file.seek(0)
    state, values = torch.load(file, weights_only=True)
    copied = copy.deepcopy(optimizer)
    pickled = pickle.loads(pickle.dumps(optimizer))
    train(optimizer, at, 30)
    again = parameters(1)
    for p, x in zip(again, values, strict=True):
        p.data.copy_(x)
    resumed = cls(again, lr=0.1, **CYCLES, **hyper)
    resumed.load_state_dict(state)
    for other in (resumed, copied, pickled):
        assert other.schedule.t == at
        train(other, at, 30)
        for p, q in zip(other.param_groups[0]["params"], params, strict=True):
            assert torch.equal(p, q)


def test_on_digits_through_a_restart_and_resumed_in_mid_cycle() -> None:
    """A real run: two cycles and a half, against the same run stopped in the second and resumed."""
    pytest.importorskip("sklearn")
    from glissade.study.tasks import digits

    task = digits()
    cycle, stop, last = 16, 25, 40
    batches = list(task.batches(0, 3, 64))[:last]

    def steps(model: torch.nn.Module, optimizer: AdamWR, first: int, last: int) -> None:
        for batch in batches[first:last]:
            optimizer.zero_grad()
            torch.autograd.backward(task.loss(model, batch))
            optimizer.step()

    model = task.build(0)
    optimizer = AdamWR(model.parameters(), lr=3e-3, t_0=cycle)
    steps(model, optimizer, 0, stop)
    assert optimizer.schedule.t == stop
    file = io.BytesIO()
    torch.save([model.state_dict(), optimizer.state_dict()], file)
    steps(model, optimizer, stop, last)
    file.seek(0)
    weights, state = torch.load(file, weights_only=True)
    again = task.build(1)
    again.load_state_dict(weights)
    resumed = AdamWR(again.parameters(), lr=3e-3, t_0=cycle)
    resumed.load_state_dict(state)
    steps(again, resumed, stop, last)
    for p, q in zip(again.parameters(), model.parameters(), strict=True):
        assert torch.equal(p, q)
    assert task.evaluate(model, task.validation).error < 0.15


def test_other_cycles_and_other_checkpoints_are_refused() -> None:
    a = AdamWR(parameters(), t_0=10)
    train(a, 0, 3)
    b = AdamWR(parameters(), t_0=20)
    with pytest.raises(ValueError, match=r"lr was warm_restarts\(10\) and is warm_restarts\(20\)"):
        b.load_state_dict(a.state_dict())
    assert b.schedule.t == 0
    plain = torch.optim.AdamW(parameters())
    with pytest.raises(ValueError, match="this state_dict has no schedule, which AdamWR needs"):
        b.load_state_dict(plain.state_dict())
    one = AdamWR(parameters()[:1], t_0=10)
    state = a.state_dict()
    with pytest.raises(ValueError, match="has 2 parameters and the optimizer 1"):
        one.load_state_dict(state)
    assert one.schedule.t == 0


def test_groups_added_later_follow_at_once() -> None:
    p, q = parameters()
    optimizer = AdamWR([p], lr=1.0, weight_decay=0.3, t_0=9)
    train(optimizer, 0, 3)
    optimizer.add_param_group({"params": [q], "lr": 2.0})
    first, second = optimizer.param_groups
    assert second["lr"] == 2 * first["lr"] == 2 * warm_restarts(9)(3)
    assert second["weight_decay"] == 0.3 / 3
    assert second["base_lr"] == 2.0


def test_hooks_and_closures_work() -> None:
    (p, _) = parameters()
    optimizer = AdamWR([p], lr=1.0, t_0=4)
    seen: list[float] = []
    optimizer.register_step_post_hook(lambda opt, *_: seen.append(opt.param_groups[0]["lr"]))

    def closure() -> torch.Tensor:
        optimizer.zero_grad()
        loss = p.square().sum()
        loss.backward()
        return loss

    assert optimizer.step(closure) > 0
    assert seen == [warm_restarts(4)(1)]


def test_bad_cycles_are_refused() -> None:
    with pytest.raises(ValueError, match="t_0=0: must be a finite number above 0"):
        AdamWR(parameters(), t_0=0)
    with pytest.raises(TypeError, match="t_0"):
        AdamWR(parameters())  # type: ignore[call-arg]
    with pytest.raises(TypeError, match="t_zero"):
        AdamWR(parameters(), t_0=1, t_zero=3)
