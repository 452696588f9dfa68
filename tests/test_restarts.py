"""AdamWR and SGDWR: what they are made of, and that they resume in the middle of a cycle."""

from __future__ import annotations

import copy
import io
import json
import math
import pickle
import warnings
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


# The clock stands in the groups


def test_the_clock_is_one_number_in_every_group() -> None:
    p, q = parameters()
    optimizer = AdamWR([{"params": [p]}, {"params": [q]}], lr=1.0, t_0=4)
    train(optimizer, 0, 3)
    optimizer.add_param_group({"params": [torch.nn.Parameter(torch.ones(2))]})
    assert [group["restarts_t"] for group in optimizer.param_groups] == [3, 3, 3]
    optimizer.param_groups[1]["restarts_t"] = 2
    values = [x.detach().clone() for x in (p, q)]
    with pytest.raises(ValueError, match="restarts_t is 3 in group 0 and 2 in group 1"):
        optimizer.step()
    assert torch.equal(p, values[0])
    state = optimizer.state_dict()
    leaves = [*parameters(), torch.nn.Parameter(torch.ones(2))]
    new = AdamWR([{"params": [leaf]} for leaf in leaves], t_0=4)
    with pytest.raises(ValueError, match="restarts_t is 3 in group 0 and 2 in group 1"):
        new.load_state_dict(state)
    assert new.schedule.t == 0
    del state["param_groups"][1]["restarts_t"]
    with pytest.raises(ValueError, match="restarts_t is 3 in group 0 and None in group 1"):
        new.load_state_dict(state)


@each
@pytest.mark.parametrize("how", ["groups and states alone", "into the groups", "json"])
def test_tools_that_save_groups_and_states_save_the_clock(
    cls: Any, rule: Any, hyper: dict[str, Any], how: str
) -> None:
    """torch's distributed tools drop other keys of a state_dict: schedule.t was 0 afterwards."""
    params, again = parameters(), parameters(1)
    optimizer = cls(params, lr=0.1, **CYCLES, **hyper)
    train(optimizer, 0, 6)
    for p, q in zip(params, again, strict=True):
        q.data.copy_(p.data)
    resumed = cls(again, lr=0.7, **CYCLES, **hyper)
    state = copy.deepcopy(optimizer.state_dict())
    if how == "into the groups":  # as ZeroRedundancyOptimizer does
        resumed.load_state_dict(copy.deepcopy(resumed.state_dict()))
        for group, held in zip(resumed.param_groups, state["param_groups"], strict=True):
            group.update({key: x for key, x in held.items() if key != "params"})
        for p, q in zip(params, again, strict=True):
            resumed.state[q] = copy.deepcopy(dict(optimizer.state[p]))
    else:
        groups = state["param_groups"]
        if how == "json":
            groups = json.loads(json.dumps(groups))
            for group in groups:
                for key in ("betas",):
                    if key in group:
                        group[key] = tuple(group[key])
        resumed.load_state_dict({"state": state["state"], "param_groups": groups})
    assert resumed.schedule.t == 6
    assert resumed.schedule.get_last_lr() == optimizer.schedule.get_last_lr()
    train(optimizer, 6, 20)
    train(resumed, 6, 20)
    for p, q in zip(params, again, strict=True):
        assert torch.equal(p, q)


def old_state(optimizer: Any) -> dict[str, Any]:
    """A state_dict as it was when the clock stood beside the groups."""
    state: dict[str, Any] = copy.deepcopy(optimizer.state_dict())
    for group in state["param_groups"]:
        del group["restarts_t"], group["restarts_cycles"]
    schedule = optimizer.schedule.state_dict()
    for key in ("written", "count_updates"):
        del schedule[key]
    state.setdefault("glissade", {})["schedule"] = schedule
    return state


def test_a_checkpoint_from_before_the_clock_stood_in_the_groups_loads() -> None:
    params, again = parameters(), parameters(1)
    optimizer = AdamWR(params, lr=0.1, **CYCLES)
    train(optimizer, 0, 6)
    state = old_state(optimizer)
    for p, q in zip(params, again, strict=True):
        q.data.copy_(p.data)
    other = AdamWR(again, lr=0.1, **{**CYCLES, "t_0": 5})
    with pytest.raises(ValueError, match=r"lr was warm_restarts\(4, .* is warm_restarts\(5, "):
        other.load_state_dict(state)
    assert other.schedule.t == 0
    resumed = AdamWR(again, lr=0.7, **CYCLES)
    resumed.load_state_dict(state)
    train(optimizer, 6, 20)
    train(resumed, 6, 20)
    for p, q in zip(params, again, strict=True):
        assert torch.equal(p, q)


def test_an_optimizer_pickled_before_the_clock_stood_in_the_groups_goes_on() -> None:
    optimizer = AdamWR(parameters(), lr=0.1, **CYCLES)
    train(optimizer, 0, 6)
    held = copy.deepcopy(optimizer).__getstate__()
    del held["cycles"]
    for group in held["param_groups"]:
        del group["restarts_t"], group["restarts_cycles"]
    held["schedule"] = optimizer.schedule.state_dict()
    again = AdamWR.__new__(AdamWR)
    again.__setstate__(held)
    assert again.schedule.t == 6
    train(optimizer, 6, 20)
    train(again, 6, 20)
    for p, q in zip(
        optimizer.param_groups[0]["params"], again.param_groups[0]["params"], strict=True
    ):
        assert torch.equal(p, q)


def test_cycles_in_the_groups_cannot_be_changed_in_silence() -> None:
    optimizer = AdamWR(parameters(), t_0=10)
    optimizer.param_groups[0]["restarts_cycles"] = (20, 1.0, 0.0, 1.0)
    with pytest.raises(ValueError, match=r"restarts_cycles of group 0 is \(20, .* made with \(10"):
        train(optimizer, 0, 1)


def test_groups_of_another_run_begin_anew() -> None:
    """An optimizer may be made of another's groups."""
    old = AdamWR(parameters(), lr=0.1, t_0=10)
    train(old, 0, 3)
    noted = ("initial_lr", "initial_weight_decay")
    groups = [{k: x for k, x in g.items() if k not in noted} for g in old.param_groups]
    groups[0]["lr"] = 0.1
    new = AdamWR(groups, t_0=20)
    assert new.schedule.t == 0
    assert new.param_groups[0]["lr"] == 0.1


# A look at a new one does not move it


def look(optimizer: Any) -> None:
    """What torch.distributed.checkpoint does to see a state's layout."""
    params = [p for group in optimizer.param_groups for p in group["params"]]
    for p in params:
        p.grad = torch.zeros_like(p)
    rates = [group["lr"] for group in optimizer.param_groups]
    for group in optimizer.param_groups:
        group["lr"] = torch.tensor(0.0) if isinstance(group["lr"], torch.Tensor) else 0.0
    optimizer.step(closure=None)
    for group, lr in zip(optimizer.param_groups, rates, strict=True):
        group["lr"] = lr
    optimizer.zero_grad(set_to_none=True)


@each
@pytest.mark.parametrize("lr", [0.1, torch.tensor(0.1)], ids=["number", "tensor"])
def test_a_look_at_the_state_is_no_step(
    cls: Any, rule: Any, hyper: dict[str, Any], lr: Any
) -> None:
    params = parameters()
    before = [p.detach().clone() for p in params]
    optimizer = cls(params, lr=copy.deepcopy(lr), **CYCLES, **hyper)
    optimizer.state_dict()
    look(optimizer)
    assert optimizer.schedule.t == 0
    assert [float(group["lr"]) for group in optimizer.param_groups] == [float(lr)]
    for p, q in zip(params, before, strict=True):
        assert torch.equal(p, q)
    train(optimizer, 0, 5)
    wanted = float(torch.tensor(0.1)) if isinstance(lr, torch.Tensor) else 0.1
    now = float(optimizer.param_groups[0]["lr"])
    assert now == pytest.approx(wanted * warm_restarts(**CYCLES)(5), rel=1e-6)


def test_torchs_distributed_checkpoint_saves_and_loads_the_clock(tmp_path: Any) -> None:
    from torch.distributed.checkpoint.state_dict import (
        get_optimizer_state_dict,
        set_optimizer_state_dict,
    )

    def made() -> tuple[torch.nn.Module, AdamWR]:
        torch.manual_seed(0)
        model = torch.nn.Linear(4, 3)
        return model, AdamWR(model.parameters(), lr=0.1, **CYCLES)

    model, optimizer = made()
    train(optimizer, 0, 6)
    state = copy.deepcopy(get_optimizer_state_dict(model, optimizer))
    again, resumed = made()
    again.load_state_dict(model.state_dict())
    get_optimizer_state_dict(again, resumed)  # the layout
    assert resumed.schedule.t == 0
    set_optimizer_state_dict(again, resumed, state)
    assert resumed.schedule.t == 6
    train(optimizer, 6, 20)
    train(resumed, 6, 20)
    for p, q in zip(model.parameters(), again.parameters(), strict=True):
        assert torch.equal(p, q)


@pytest.mark.skipif(not torch.distributed.is_available(), reason="no torch.distributed")
def test_zero_redundancy_keeps_the_clock(tmp_path: Any) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # torch's own
        from torch.distributed.optim import ZeroRedundancyOptimizer

    torch.distributed.init_process_group(
        "gloo", init_method=f"file://{tmp_path}/meet", rank=0, world_size=1
    )
    try:
        params, again = parameters(), parameters(1)
        optimizer = ZeroRedundancyOptimizer(params, AdamWR, lr=0.1, **CYCLES)
        train(optimizer, 0, 6)
        optimizer.consolidate_state_dict()
        state = copy.deepcopy(optimizer.state_dict())
        for p, q in zip(params, again, strict=True):
            q.data.copy_(p.data)
        resumed = ZeroRedundancyOptimizer(again, AdamWR, lr=0.1, **CYCLES)
        resumed.load_state_dict(state)
        train(optimizer, 6, 20)
        train(resumed, 6, 20)
        assert resumed.optim.schedule.t == 20
        for p, q in zip(params, again, strict=True):
            assert torch.equal(p, q)
    finally:
        torch.distributed.destroy_process_group()


# Others that set its numbers


@pytest.mark.parametrize(
    "other",
    [
        lambda o: torch.optim.lr_scheduler.LambdaLR(o, lambda t: 1.0),
        lambda o: torch.optim.lr_scheduler.StepLR(o, 1),
        lambda o: torch.optim.lr_scheduler.OneCycleLR(o, 1.0, total_steps=20),
    ],
    ids=["LambdaLR", "StepLR", "OneCycleLR"],
)
def test_another_scheduler_is_named_at_the_next_step(other: Any) -> None:
    """One silently overwrote the other."""
    optimizer = AdamWR(parameters(), lr=0.1, t_0=10)
    scheduler = other(optimizer)
    name = type(scheduler).__name__
    with pytest.raises(ValueError, match=f"(?s){name} drives it as well, and AdamWR brings its"):
        train(optimizer, 0, 2, scheduler)


def test_a_trainer_can_be_given_its_own_schedule() -> None:
    """schedule.step() by hand went twice as fast."""
    ours, theirs = parameters(), parameters()
    alone, stepped = AdamWR(ours, lr=0.1, **CYCLES), AdamWR(theirs, lr=0.1, **CYCLES)
    train(alone, 0, 10)
    train(stepped, 0, 10, stepped.schedule)
    assert stepped.schedule.t == stepped.schedule.last_epoch == 10
    for p, q in zip(ours, theirs, strict=True):
        assert torch.equal(p, q)
    stepped.schedule.load_state_dict(stepped.schedule.state_dict())
    with pytest.raises(ValueError, match=r"step\(3\): AdamWR moves its schedule by itself"):
        stepped.schedule.step(3)
    with pytest.raises(ValueError, match=r"AdamWR moves its schedule by itself"):
        torch.optim.lr_scheduler.SequentialLR(stepped, [stepped.schedule], [])
    other = AdamWR(parameters(), t_0=3)
    with pytest.raises(ValueError, match=r"lr was warm_restarts\(4, .* make AdamWR with the saved"):
        other.schedule.load_state_dict(stepped.schedule.state_dict())


@pytest.mark.parametrize("when", ["in the loop", "before saving"])
def test_a_change_of_your_own_is_gone_on_from(when: str) -> None:
    optimizer = AdamWR(parameters(), lr=0.1, weight_decay=0.3, **CYCLES)
    train(optimizer, 0, 5)
    optimizer.param_groups[0]["lr"] *= 0.5
    if when == "before saving":
        again = AdamWR(parameters(), lr=0.1, weight_decay=0.3, **CYCLES)
        again.load_state_dict(copy.deepcopy(optimizer.state_dict()))
        optimizer = again
    train(optimizer, 5, 9)
    group = optimizer.param_groups[0]
    assert group["lr"] == pytest.approx(0.05 * warm_restarts(**CYCLES)(9))
    assert group["weight_decay"] == 0.3 * normalized_decay(4, t_mult=2)(9)


def test_a_plateau_beside_it_stays() -> None:
    optimizer = AdamWR(parameters(), lr=0.1, t_0=10)
    plateau = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, factor=0.1, patience=0)
    train(optimizer, 0, 3)
    plateau.step(1.0)
    plateau.step(1.0)
    train(optimizer, 3, 5)
    assert optimizer.param_groups[0]["lr"] == pytest.approx(0.01 * warm_restarts(10)(5))


def test_a_group_has_no_cycles_of_its_own() -> None:
    """They were taken for notes, and the group restarted with the others."""
    p, q = parameters()
    with pytest.raises(ValueError, match="t_0=5 in a parameter group: all groups restart together"):
        AdamWR([{"params": [p], "t_0": 5}], t_0=10)
    optimizer = AdamWR([{"params": [p], "t_0": 10}], t_0=10)
    with pytest.raises(ValueError, match=r"peak_decay=0\.5 in a parameter group"):
        optimizer.add_param_group({"params": [q], "peak_decay": 0.5})
    assert len(optimizer.param_groups) == 1
