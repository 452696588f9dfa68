"""Checkpoints resume bit for bit, also torch's own; state that the user replaces is noticed."""

from __future__ import annotations

import copy
import io
import pickle
import re
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import glissade
from glissade import Optimizer, registry, rules, wrappers

Make = Callable[[list[Tensor]], Optimizer]
MAKERS: dict[str, Make] = {
    **{
        entry.name: lambda params, entry=entry: entry.optimizer(params, 0.01, **entry.preset)
        for entry in registry.entries()
    },
    "momentum": lambda params: glissade.SGD(params, 0.01, momentum=0.9, dampening=0.2),
    "amsgrad": lambda params: glissade.Adam(params, 0.01, amsgrad=True),
    "wrapped": lambda params: Optimizer(
        params, wrappers.lookahead(wrappers.centralize(rules.lion(0.01)), k=3)
    ),
}


def leaves(seed: int = 0) -> list[Tensor]:
    generator = torch.Generator().manual_seed(seed)
    shapes = [(4, 3), (5,), (), (2, 3, 2, 2)]
    return [torch.randn(s, generator=generator).requires_grad_() for s in shapes]


def steps(optimizer: Optimizer, params: list[Tensor], first: int, last: int) -> None:
    for t in range(first, last):
        generator = torch.Generator().manual_seed(100 + t)
        for p in params:
            p.grad = torch.randn(p.shape, generator=generator, dtype=torch.float32).to(p.dtype)
        optimizer.step()


def assert_equal(a: list[Tensor], b: list[Tensor]) -> None:
    for x, y in zip(a, b, strict=True):
        assert torch.equal(x, y)


def saved(state_dict: dict[str, Any]) -> dict[str, Any]:
    """Through a file, with nothing but plain data allowed in it."""
    file = io.BytesIO()
    torch.save(state_dict, file)
    file.seek(0)
    return torch.load(file, weights_only=True)


@pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS.keys())
def test_resumes_bit_for_bit(make: Make) -> None:
    straight = leaves()
    steps(make(straight), straight, 0, 11)
    first = leaves()
    optimizer = make(first)
    steps(optimizer, first, 0, 7)
    kept = saved(optimizer.state_dict())
    second = [p.detach().clone().requires_grad_() for p in first]
    resumed = make(second)
    resumed.load_state_dict(kept)
    steps(resumed, second, 7, 11)
    assert_equal(second, straight)
    # The state was copied: the first optimizer goes on by itself.
    steps(optimizer, first, 7, 11)
    assert_equal(first, straight)


@pytest.mark.parametrize("how", [copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))])
@pytest.mark.parametrize("name", ["adamw", "wrapped", "rangerlars"])
def test_copies_go_on_alike(how: Callable[[Any], Any], name: str) -> None:
    params = leaves()
    optimizer = MAKERS[name](params)
    steps(optimizer, params, 0, 5)
    other, theirs = how((optimizer, params))
    steps(optimizer, params, 5, 9)
    steps(other, theirs, 5, 9)
    assert_equal(params, theirs)


FROM_TORCH: list[tuple[str, dict[str, Any]]] = [
    ("SGD", {"lr": 0.01, "momentum": 0.9, "dampening": 0.3, "weight_decay": 0.1}),
    ("Adagrad", {"lr": 0.01, "lr_decay": 0.1, "weight_decay": 0.1}),
    ("RMSprop", {"lr": 0.01, "momentum": 0.5, "centered": True}),
    ("Adam", {"lr": 0.01, "amsgrad": True}),
    ("AdamW", {"lr": 0.01, "weight_decay": 0.1}),
    ("RAdam", {"lr": 0.01, "weight_decay": 0.1, "decoupled_weight_decay": True}),
    ("Adafactor", {"lr": 0.01, "weight_decay": 0.1, "eps": (1e-6, 1e-3)}),
]


@pytest.mark.parametrize(("name", "hyper"), FROM_TORCH, ids=[name for name, _ in FROM_TORCH])
def test_takes_over_from_torch(name: str, hyper: dict[str, Any]) -> None:
    theirs = [p.detach().double().requires_grad_() for p in leaves()]
    before = getattr(torch.optim, name)(theirs, **hyper)
    steps(before, theirs, 0, 6)
    params = [p.detach().clone().requires_grad_() for p in theirs]
    ours = {k: v for k, v in hyper.items() if k != "decoupled_weight_decay"}
    optimizer = getattr(glissade, name)(params, **{**ours, "lr": 99.0})
    optimizer.load_state_dict(saved(before.state_dict()))
    assert optimizer.param_groups[0]["lr"] == 0.01
    assert optimizer.param_groups[0]["base_lr"] == 0.01
    steps(before, theirs, 6, 12)
    steps(optimizer, params, 6, 12)
    for x, y in zip(params, theirs, strict=True):
        torch.testing.assert_close(x, y, rtol=1e-10, atol=1e-13)


def test_base_lr_comes_from_initial_lr() -> None:
    """torch's schedulers note there what the schedule multiplies."""
    params = leaves()
    before = torch.optim.AdamW(params, lr=0.5)
    torch.optim.lr_scheduler.LambdaLR(before, lambda t: 0.25)
    optimizer = glissade.AdamW(leaves(), lr=1.0)
    optimizer.load_state_dict(before.state_dict())
    group = optimizer.param_groups[0]
    assert (group["lr"], group["base_lr"]) == (0.125, 0.5)


def named(order: list[str]) -> list[tuple[str, Tensor]]:
    return [(name, torch.full((3,), float(i)).requires_grad_()) for i, name in enumerate(order)]


def test_parameters_are_matched_by_name() -> None:
    first = named(["a", "b", "c"])
    optimizer = glissade.AdamW(first, lr=0.1)
    for i, (_, p) in enumerate(first):
        p.grad = torch.full((3,), i + 1.0)
    optimizer.step()
    second = named(["c", "a", "b"])
    other = glissade.AdamW(second, lr=0.1)
    other.load_state_dict(saved(optimizer.state_dict()))
    m = {name: other.state[p]["m"] for name, p in second}
    for name, p in first:
        assert torch.equal(m[name], optimizer.state[p]["m"])
    assert not torch.equal(m["a"], m["b"])


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: glissade.AdamW(leaves()[:3], lr=0.1), "4 parameters and the optimizer 3"),
        (lambda: glissade.AdamW([{"params": [p]} for p in leaves()], lr=0.1), "1 parameter groups"),
        (lambda: glissade.AdamW(leaves()[::-1], lr=0.1), "must have"),
    ],
)
def test_what_does_not_fit_is_refused(make: Callable[[], Optimizer], words: str) -> None:
    params = leaves()
    source = glissade.AdamW(params, lr=0.5)
    steps(source, params, 0, 2)
    optimizer = make()
    before = copy.deepcopy(optimizer.state_dict()["param_groups"])
    with pytest.raises(ValueError, match=words):
        optimizer.load_state_dict(source.state_dict())
    assert optimizer.state_dict()["param_groups"] == before
    assert not optimizer.state


PAIRS: list[tuple[str, Make, str, Make]] = [
    ("adam", glissade.Adam, "lion", glissade.Lion),  # both call it m
    (
        "adam",
        glissade.Adam,
        "lookahead(adam)",
        lambda params: Optimizer(params, wrappers.lookahead(rules.adam())),
    ),
    (
        "sgdwr",
        lambda params: glissade.SGDWR(params, t_0=3),
        "adamwr",
        lambda params: glissade.AdamWR(params, t_0=3),
    ),
]


@pytest.mark.parametrize(
    ("saver", "make", "loader", "other"), PAIRS, ids=[pair[2] for pair in PAIRS]
)
def test_another_rules_state_is_refused(saver: str, make: Make, loader: str, other: Make) -> None:
    first, second = leaves(), leaves()
    source, optimizer = make(first), other(second)
    steps(source, first, 0, 2)
    steps(optimizer, second, 0, 1)
    kept, before = saved(source.state_dict()), saved(optimizer.state_dict())
    said = rf"of the rule {re.escape(saver)}, and this optimizer runs {re.escape(loader)}: .*into"
    with pytest.raises(ValueError, match=said):
        optimizer.load_state_dict(kept)
    now = optimizer.state_dict()
    assert now["param_groups"] == before["param_groups"]
    assert now["glissade"] == before["glissade"]
    for i, state in before["state"].items():
        assert all(torch.equal(now["state"][i][key], value) for key, value in state.items())


def test_one_rule_under_another_name_and_a_state_without_a_name_are_taken() -> None:
    params = leaves()
    source = glissade.AdamW(params, 0.1)
    steps(source, params, 0, 2)
    Optimizer(leaves(), rules.adamw(variant="keras")).load_state_dict(source.state_dict())
    momentum = registry.lookup("momentum")
    momentum.optimizer(leaves()).load_state_dict(glissade.SGD(leaves()).state_dict())
    kept = source.state_dict()
    del kept["glissade"]["rule"]  # as before the name was saved
    glissade.Adam(leaves()).load_state_dict(kept)


def test_a_missing_name_is_refused() -> None:
    source, optimizer = glissade.SGD(named(["a", "b"])), glissade.SGD(named(["a", "c"]))
    with pytest.raises(ValueError, match=r"no parameter named 'c'.*'b'"):
        optimizer.load_state_dict(source.state_dict())


def _replace(optimizer: Optimizer, p: Tensor) -> None:
    for state in optimizer.state.values():
        for key, value in state.items():
            state[key] = value.clone()  # a common idiom after loading
    for key, value in optimizer.state[p].items():
        if key != "step":
            value.mul_(2)


def _in_place(optimizer: Optimizer, p: Tensor) -> None:
    for key, value in optimizer.state[p].items():
        if key != "step":
            value.mul_(2)


def _new_dict(optimizer: Optimizer, p: Tensor) -> None:
    old = optimizer.state[p]
    optimizer.state[p] = {k: v if k == "step" else v * 2 for k, v in old.items()}


def _new_state(optimizer: Optimizer, p: Tensor) -> None:
    _new_dict(optimizer, p)
    optimizer.state = dict(optimizer.state)


@pytest.mark.parametrize("change", [_replace, _in_place, _new_dict, _new_state])
@pytest.mark.parametrize("backend", ["cpu", "eager"])
def test_state_changed_by_the_user_is_used(change: Callable[..., None], backend: str) -> None:
    results = []
    for edit in (_in_place, change):
        params = leaves()
        optimizer = glissade.AdamW(params, lr=0.1, backend=backend)
        steps(optimizer, params, 0, 3)
        edit(optimizer, params[0])
        steps(optimizer, params, 3, 6)
        results.append(params)
    assert_equal(*results)
    untouched = leaves()
    steps(glissade.AdamW(untouched, lr=0.1, backend=backend), untouched, 0, 6)
    assert not torch.equal(untouched[0], results[0][0])


@pytest.mark.parametrize("backend", ["cpu", "eager"])
def test_a_cleared_state_starts_anew(backend: str) -> None:
    params = leaves()
    optimizer = glissade.AdamW(params, lr=0.1, backend=backend)
    steps(optimizer, params, 0, 3)
    fresh = [p.detach().clone().requires_grad_() for p in params]
    optimizer.state.clear()
    steps(optimizer, params, 3, 6)
    steps(glissade.AdamW(fresh, lr=0.1, backend=backend), fresh, 3, 6)
    assert_equal(params, fresh)
    assert int(optimizer.state[params[0]]["step"]) == 3


def test_the_state_dict_is_plain() -> None:
    params = leaves()
    optimizer = glissade.LAMB(params)
    steps(optimizer, params, 0, 2)
    kept = optimizer.state_dict()
    assert kept["glissade"] == {"version": 2, "rule": "lamb"}
    assert all(type(state) is dict for state in kept["state"].values())
    assert {key: int(kept["state"][key]["step"]) for key in kept["state"]} == dict.fromkeys(
        range(4), 2
    )


def test_a_model_cast_after_steps_keeps_its_state() -> None:
    models = [nn.Linear(3, 2), nn.Linear(3, 2)]
    models[1].load_state_dict(models[0].state_dict())
    optimizers = [glissade.AdamW(model.parameters(), lr=0.1) for model in models]
    for model, optimizer in zip(models, optimizers, strict=True):
        steps(optimizer, list(model.parameters()), 0, 3)
    models[0].double()
    for model, optimizer in zip(models, optimizers, strict=True):
        steps(optimizer, list(model.parameters()), 3, 6)
    for x, y in zip(models[0].parameters(), models[1].parameters(), strict=True):
        assert x.dtype == torch.float64
        torch.testing.assert_close(x.float(), y, rtol=1e-5, atol=1e-6)
