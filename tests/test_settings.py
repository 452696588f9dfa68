"""Hyperparameters that change between steps: checked, as numbers, before anything moves."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor

import glissade
from glissade import Optimizer, Rule, State, rules, wrappers
from glissade.rule import NoStep, total
from tests.cases import bits, normal

each_backend = pytest.mark.parametrize("backend", ["cpu", "eager"])


def leaf(*values: float, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.tensor(values, dtype=dtype, requires_grad=True)


def step(optimizer: Any, *gradients: Tensor | None) -> None:
    given = [p for group in optimizer.param_groups for p in group["params"]]
    for p, g in zip(given, gradients, strict=True):
        p.grad = g
    optimizer.step()


WRONG = [
    (rules.adamw(), "lr", -1.0, "lr=-1.0"),
    (rules.adamw(), "lr", math.nan, "lr=nan"),
    (rules.adamw(), "lr", "0.1", "lr='0.1'"),
    (rules.adamw(), "lr", None, "lr=None"),
    (rules.adamw(), "lr", torch.tensor([0.1, 0.2]), "lr="),
    (rules.adamw(), "betas", (0.9,), "betas"),
    (rules.adamw(), "betas", [0.9, 1.0], "betas"),
    (rules.adamw(), "eps", (1e-8, 1e-3), "eps=.*one number"),
    (rules.adamw(), "weight_decay", -0.1, "weight_decay"),
    (rules.adamw(), "decay", "l3", "decay"),
    (rules.adamw(), "maximize", 1, "maximize"),
    (wrappers.ema(rules.sgd()), "ema_decay", 1.5, "ema_decay"),
    (wrappers.accumulate(rules.sgd(), 2), "accumulate_n", 0, "accumulate_n=0"),
    (wrappers.accumulate(rules.sgd(), 2), "accumulate_n", 2.5, "accumulate_n=2.5"),
    (wrappers.lookahead(rules.sgd()), "lookahead_k", 0, "lookahead_k"),
    (wrappers.clip_norm(rules.sgd(), 1.0), "clip_norm_max", -1.0, "clip_norm_max"),
]


@each_backend
@pytest.mark.parametrize(("rule", "key", "value", "said"), WRONG)
def test_a_value_in_a_group_that_cannot_be_moves_nothing(
    rule: Rule, key: str, value: Any, said: str, backend: str
) -> None:
    p = leaf(1.0, -2.0)
    optimizer = Optimizer([p], rule, backend=backend)
    step(optimizer, torch.ones(2, dtype=torch.float64))
    before = optimizer.param_groups[0][key]
    was = bits([p.detach(), dict(optimizer.state[p])])
    optimizer.param_groups[0][key] = value
    for _ in range(2):  # and again, as long as it stands there
        with pytest.raises((ValueError, TypeError), match=said):
            optimizer.step()
    assert bits([p.detach(), dict(optimizer.state[p])]) == was
    optimizer.param_groups[0][key] = before
    optimizer.step()


@each_backend
def test_another_change_is_not_lost_when_one_is_refused(backend: str) -> None:
    p, q = leaf(1.0), leaf(1.0)
    rule = rules.sgd(lr=0.5)
    optimizer = Optimizer([{"params": [p]}, {"params": [q]}], rule, backend=backend)
    one = torch.ones(1, dtype=torch.float64)
    step(optimizer, one, one)
    optimizer.param_groups[0]["maximize"] = True
    optimizer.param_groups[1]["lr"] = -1.0
    with pytest.raises(ValueError, match="lr=-1"):
        optimizer.step()
    optimizer.param_groups[1]["lr"] = 0.5
    optimizer.step()
    assert (p.item(), q.item()) == (1.0, 0.0)


@each_backend
def test_a_schedule_may_drive_whole_numbers(backend: str) -> None:
    p = leaf(0.0)
    rule = wrappers.accumulate(rules.sgd(lr=1.0), 4)
    optimizer = Optimizer([p], rule, backend=backend)
    scheduler = glissade.Scheduler(optimizer, accumulate_n=lambda t: 1.0 if t < 4 else 0.5)
    seen = []
    for _ in range(8):
        step(optimizer, torch.ones(1, dtype=torch.float64))
        scheduler.step()
        seen.append(p.item())
    assert seen == [0.0, 0.0, 0.0, -1.0, -1.0, -2.0, -2.0, -3.0]


@each_backend
@pytest.mark.parametrize(
    ("key", "value"), [("lr", 0.0219), ("weight_decay", 0.3), ("betas", (0.87, 0.93))]
)
def test_a_tensor_of_float32_is_the_number_that_it_is(key: str, value: Any, backend: str) -> None:
    """Arithmetic on the host is in double, whatever the tensor's dtype."""

    def as_tensors(x: Any) -> Any:
        return tuple(map(as_tensors, x)) if isinstance(x, tuple) else torch.tensor(x)

    tensors = as_tensors(value)
    numbers = tuple(x.item() for x in tensors) if isinstance(value, tuple) else tensors.item()
    found = []
    for given in (tensors, numbers):
        p = leaf(1.0, -2.0)
        optimizer = Optimizer([p], rules.adamw(), backend=backend)
        for t in range(5):
            if t == 2:
                optimizer.param_groups[0][key] = given
            step(optimizer, normal(t, (2,)))
        found.append(bits(p.detach()))
    assert found[0] == found[1]


@each_backend
def test_a_tensor_that_is_changed_in_place_counts(backend: str) -> None:
    p, lr = leaf(0.0), torch.tensor(0.5)
    optimizer = Optimizer([p], rules.sgd(lr=lr), backend=backend)
    step(optimizer, torch.ones(1, dtype=torch.float64))
    lr.fill_(0.25)
    step(optimizer, torch.ones(1, dtype=torch.float64))
    assert p.item() == -0.75


# ------------------------------------------------------------------ one number for the optimizer


def _counts(p: Any, g: Any, s: Any, t: Any, h: Any) -> tuple[Any, State]:
    """Every second call takes a step, by how large all gradients have been so far."""
    seen = h.seen + total(g, per="all")
    if (h.calls + 1) % 2:
        raise NoStep(State(calls=h.calls + 1, seen=seen))
    return h.lr * g * seen, State(calls=h.calls + 1, seen=seen)


@each_backend
def test_a_rule_of_ones_own_has_a_number_for_all_parameters(backend: str) -> None:
    p, q = leaf(0.0), leaf(0.0)
    rule = Rule(_counts, {"lr": 1.0}, shared={"calls": 0, "seen": 0.0})
    optimizer = Optimizer([{"params": [p]}, {"params": [q]}], rule, backend=backend)
    one = torch.ones(1, dtype=torch.float64)
    step(optimizer, one, None)  # seen: 1
    step(optimizer, one, one)  # 3
    assert (p.item(), q.item()) == (-3.0, -3.0)
    step(optimizer, None, one)  # 4
    step(optimizer, 2 * one, None)  # 6
    assert (p.item(), q.item()) == (-15.0, -3.0)
    assert [(g["calls"], g["seen"]) for g in optimizer.param_groups] == [(4, 6.0)] * 2
    assert [int(optimizer.state[x]["step"]) for x in (p, q)] == [2, 1]
    optimizer.add_param_group({"params": [leaf(0.0)]})
    assert optimizer.param_groups[2]["seen"] == 6.0
