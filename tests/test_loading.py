"""Checkpoints that are not right, and those of other optimizers: named, and nothing is changed."""

from __future__ import annotations

import copy
import io
import os
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

import glissade
from glissade import Optimizer, Rule, registry, rules, wrappers
from tests.cases import bits, feed

SHAPES = ((4, 3), (3,))
OLD = Path(__file__).parent / "checkpoints" / "version1.pt"


def params(dtype: torch.dtype = torch.float32) -> list[Tensor]:
    generator = torch.Generator().manual_seed(5)
    return [torch.randn(s, generator=generator).to(dtype).requires_grad_() for s in SHAPES]


def gradients(t: int) -> list[Tensor]:
    generator = torch.Generator().manual_seed(100 + t)
    return [torch.randn(s, generator=generator) for s in SHAPES]


def steps(optimizer: Any, given: list[Tensor], first: int, last: int) -> None:
    for t in range(first, last):
        feed(optimizer)
        for p, g in zip(given, gradients(t), strict=True):
            p.grad = g.to(p.dtype)
        optimizer.step()


def torchs(kind: Any, given: list[Tensor], count: int = 5, **hyper: Any) -> dict[str, Any]:
    """The state_dict of a torch optimizer after some steps."""
    optimizer = kind(given, **hyper)
    steps(optimizer, given, 0, count)
    return copy.deepcopy(optimizer.state_dict())


def everything(optimizer: Optimizer) -> Any:
    groups = [{k: v for k, v in g.items() if k != "params"} for g in optimizer.param_groups]
    return bits([groups, [dict(s) for s in optimizer.state.values()]])


# ------------------------------------------------------------------ files of the first version

AROUND: dict[str, Callable[[], Rule]] = {
    "momentum": lambda: rules.sgd(0.01, momentum=0.9),
    "rmsprop centered": lambda: rules.rmsprop(
        0.01, centered=True, momentum=0.5, alpha=0.9, init="first_gradient"
    ),
    "adam amsgrad": lambda: rules.adam(0.01, amsgrad=True),
    "lookahead(adamw)": lambda: wrappers.lookahead(rules.adamw(0.01), k=3),
    "ema(adam)": lambda: wrappers.ema(rules.adam(0.01), 0.9),
    "accumulate(adamw)": lambda: wrappers.accumulate(rules.adamw(0.01), 2),
    "accumulate(sgd momentum)": lambda: wrappers.accumulate(rules.sgd(0.01, momentum=0.9), 2),
    "ema(accumulate(clip_norm(sgd)))": lambda: wrappers.ema(
        wrappers.accumulate(wrappers.clip_norm(rules.sgd(0.01, momentum=0.9), 1.0), 2), 0.9
    ),
    "skip_nonfinite(ema(adam))": lambda: wrappers.skip_nonfinite(
        wrappers.ema(rules.adam(0.01), 0.9)
    ),
    "layerwise(cautious(centralize(radam)))": lambda: wrappers.layerwise(
        wrappers.cautious(wrappers.centralize(rules.radam(0.01)))
    ),
    "adagradfull dual": lambda: rules.adagradfull(0.01, variant="dual", delta=0.1),
}
SAVED: dict[str, Any] = torch.load(OLD, weights_only=True)


def made(name: str, given: list[Tensor]) -> Optimizer:
    if name == "AdamWR":
        return glissade.AdamWR(given, lr=0.05, t_0=4)
    if name == "SGDWR":
        return glissade.SGDWR(given, lr=0.05, t_0=4, momentum=0.9)
    make = AROUND.get(name)
    return Optimizer(given, make() if make else registry.lookup(name).bind(0.01))


@pytest.mark.parametrize("name", SAVED)
def test_a_file_of_version_1_goes_on_as_it_did(name: str) -> None:
    saved = SAVED[name]
    given = [p.clone().requires_grad_() for p in saved["at"]]
    optimizer = made(name, given)
    optimizer.load_state_dict(saved["state_dict"])
    steps(optimizer, given, 5, 8)
    for p, wanted in zip(given, saved["after"], strict=True):
        torch.testing.assert_close(p.detach(), wanted, rtol=1e-6, atol=1e-7)


# ------------------------------------------------------------------ of another optimizer


@pytest.mark.parametrize(
    ("kind", "hyper", "rule", "name"),
    [
        (torch.optim.Adam, {}, rules.lion(), "exp_avg"),
        (torch.optim.Adam, {}, rules.rmsprop(), "exp_avg"),
        (torch.optim.Adam, {}, rules.yogi(), "exp_avg"),
        (torch.optim.AdamW, {}, rules.sgd(momentum=0.9), "exp_avg"),
        (torch.optim.SGD, {"momentum": 0.9}, rules.adamw(), "momentum_buffer"),
        (torch.optim.Adam, {}, rules.adafactor(), "eps"),
        (torch.optim.RMSprop, {}, rules.adagrad(), "square_avg"),
    ],
)
def test_states_of_another_optimizer_are_refused_by_name(
    kind: Any, hyper: dict[str, Any], rule: Rule, name: str
) -> None:
    saved = torchs(kind, params(), **hyper)
    optimizer = Optimizer(params(), rule)
    before = everything(optimizer)
    with pytest.raises((ValueError, TypeError), match=name):
        optimizer.load_state_dict(saved)
    assert everything(optimizer) == before


def test_adamw_stays_decoupled_after_adams_checkpoint() -> None:
    given = [torch.ones(1, requires_grad=True)]
    saved = torchs(torch.optim.Adam, [torch.ones(1, requires_grad=True)], count=0)
    optimizer = glissade.AdamW(given, lr=0.1, weight_decay=0.5)
    optimizer.load_state_dict(saved)
    optimizer.param_groups[0].update(lr=0.1, weight_decay=0.5)
    given[0].grad = torch.zeros(1)
    optimizer.step()
    assert given[0].item() == pytest.approx(0.95)


# States that start from the parameter are made from it where they are absent.
BESIDE: dict[str, Callable[[Rule], Rule]] = {
    "master_weights": wrappers.master_weights,
    "kahan": wrappers.kahan,
    "ema": lambda rule: wrappers.ema(rule, 0.9),
    "lookahead": lambda rule: wrappers.lookahead(rule, k=2),
    "lookahead(layerwise)": lambda rule: wrappers.lookahead(wrappers.layerwise(rule), k=2),
    "ema(lookahead)": lambda rule: wrappers.ema(wrappers.lookahead(rule, k=2), 0.9),
}


@pytest.mark.parametrize("name", BESIDE)
@pytest.mark.parametrize("backend", ["cpu", "eager"])
def test_torchs_checkpoint_into_a_wrapped_rule_starts_from_the_parameter(
    name: str, backend: str
) -> None:
    low = name in ("master_weights", "kahan")
    given = params(torch.bfloat16 if low else torch.float32)
    saved = torchs(torch.optim.AdamW, given, count=7, lr=1e-3)
    start = [p.detach().clone().float() for p in given]
    optimizer = Optimizer(given, BESIDE[name](rules.adamw(lr=1e-3)), backend=backend)
    optimizer.load_state_dict(saved)
    steps(optimizer, given, 7, 8)
    for p, before in zip(given, start, strict=True):
        torch.testing.assert_close(p.float(), before, rtol=0.02, atol=0.01)
        assert int(optimizer.state[p]["step"]) == 8
    if "ema" in name:
        now = [p.detach().clone() for p in given]
        with optimizer.swap_ema():
            for p, wanted in zip(given, now, strict=True):
                torch.testing.assert_close(p.detach(), wanted)


@pytest.mark.parametrize("backend", ["cpu", "eager"])
def test_torchs_checkpoint_into_accumulate_begins_a_window(backend: str) -> None:
    given, beside = params(), params()
    saved = torchs(torch.optim.AdamW, given, count=100, lr=1e-3)
    other = torch.optim.AdamW(beside, lr=1e-3)
    steps(other, beside, 0, 100)
    rule = wrappers.accumulate(rules.adamw(lr=1e-3), 4)
    optimizer = Optimizer(given, rule, backend=backend)
    optimizer.load_state_dict(saved)
    for t in range(3):
        before = bits(given)
        steps(optimizer, given, t, t + 1)
        assert bits(given) == before
    steps(optimizer, given, 3, 4)
    for p, g in zip(beside, zip(*map(gradients, range(4)), strict=True), strict=True):
        p.grad = sum(g) / 4  # type: ignore[assignment]
    other.step()
    for p, q in zip(given, beside, strict=True):
        torch.testing.assert_close(p, q, rtol=1e-5, atol=1e-7)
    assert int(optimizer.state[given[0]]["step"]) == 101


# ------------------------------------------------------------------ what cannot be


def state_of(saved: dict[str, Any], index: int = 0) -> dict[str, Any]:
    return saved["state"][index]  # type: ignore[no-any-return]


def group_of(saved: dict[str, Any]) -> dict[str, Any]:
    return saved["param_groups"][0]  # type: ignore[no-any-return]


def under_another_name(saved: dict[str, Any]) -> None:
    state_of(saved)["first_moment"] = state_of(saved).pop("m")


def json_keys(saved: dict[str, Any]) -> None:
    saved["state"] = {str(k): v for k, v in saved["state"].items()}


WRONG: dict[str, tuple[Callable[[dict[str, Any]], Any], str]] = {
    "a negative step": (lambda s: state_of(s).update(step=-3), "step=-3"),
    "a fraction of a step": (lambda s: state_of(s).update(step=2.7), "step=2.7"),
    "a step of NaN": (lambda s: state_of(s).update(step=torch.tensor(float("nan"))), "step=nan"),
    "no step": (lambda s: state_of(s).pop("step"), "no 'step'"),
    "no v": (lambda s: state_of(s).pop("v"), "no state 'v'"),
    "m under another name": (under_another_name, "no state 'm'"),
    "keys as JSON has them": (json_keys, "the key '0'"),
    "a key of no parameter": (lambda s: s["state"].update({7: state_of(s)}), "the key 7"),
    "a negative lr": (lambda s: group_of(s).update(lr=-1.0), "lr=-1"),
    "an lr in words": (lambda s: group_of(s).update(lr="x"), "lr='x'"),
    "no lr": (lambda s: group_of(s).pop("lr"), "'lr'"),
    "betas of one": (lambda s: group_of(s).update(betas=(0.9,)), "betas"),
    "m of another shape": (lambda s: state_of(s).update(m=torch.ones(1)), "'m' has shape"),
    "m as a number": (lambda s: state_of(s).update(m=0.5), "'m' is a float"),
    "a state that is a list": (lambda s: s["state"].update({0: [1]}), "state is a list"),
    "no groups": (lambda s: s.pop("param_groups"), "param_groups"),
    "no state": (lambda s: s.pop("state"), "'state'"),
    "groups in words": (lambda s: s.update(param_groups="x"), "param_groups"),
    "a group in words": (lambda s: s.update(param_groups=["x"]), "param_groups"),
    "no params": (lambda s: group_of(s).pop("params"), "params"),
    "a parameter twice": (lambda s: group_of(s).update(params=[0, 0]), "twice"),
    "a later version": (lambda s: s["glissade"].update(version=99), "version"),
    "another rule": (lambda s: s["glissade"].update(rule="lion"), "lion"),
    "a flag in words": (lambda s: group_of(s).update(maximize="yes"), "maximize"),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_cannot_be_is_named(name: str) -> None:
    given = params()
    optimizer = glissade.AdamW(given)
    steps(optimizer, given, 0, 3)
    saved, before = copy.deepcopy(optimizer.state_dict()), everything(optimizer)
    change, said = WRONG[name]
    change(saved)
    with pytest.raises((ValueError, TypeError), match=said):
        optimizer.load_state_dict(saved)
    assert everything(optimizer) == before
    steps(optimizer, given, 3, 4)  # and it goes on


def test_without_the_packages_entry_the_states_still_tell() -> None:
    given = params()
    optimizer = Optimizer(given, rules.lion())
    steps(optimizer, given, 0, 3)
    saved = optimizer.state_dict()
    del saved["glissade"]
    with pytest.raises(ValueError, match="no state 'v'"):
        glissade.AdamW(params()).load_state_dict(saved)


def test_groups_must_agree_on_what_the_optimizer_has_once() -> None:
    given = params()
    groups = [{"params": [p]} for p in given]
    optimizer = Optimizer(groups, wrappers.accumulate(rules.adam(), 4))
    steps(optimizer, given, 0, 2)
    saved = copy.deepcopy(optimizer.state_dict())
    saved["param_groups"][1]["accumulate_done"] = 1
    with pytest.raises(ValueError, match="accumulate_done is 2 in group 0 and 1 in group 1"):
        optimizer.load_state_dict(saved)


# ------------------------------------------------------------------ changed anywhere

ODD: tuple[Any, ...] = (
    None, -1, 2.5, "x", [], {}, (0.9,), float("nan"), True, torch.ones(2), torch.tensor(-1.0), b"",
)  # fmt: skip


def places(x: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Every place in dicts and lists."""
    found = [path] if path else []
    if isinstance(x, dict):
        for key in x:
            found += places(x[key], (*path, key))
    elif isinstance(x, list):
        for i in range(len(x)):
            found += places(x[i], (*path, i))
    return found


def mutated(saved: dict[str, Any], draw: random.Random) -> dict[str, Any]:
    """A copy in which some entry is missing, renamed or something else."""
    saved = copy.deepcopy(saved)
    *path, last = draw.choice(places(saved))
    inside: Any = saved
    for key in path:
        inside = inside[key]
    how = draw.choice(("drop", "rename", "odd", "odd", "odd"))
    if how == "odd" or isinstance(inside, list):
        inside[last] = draw.choice(ODD)
    else:
        value = inside.pop(last)
        if how == "rename":
            inside[f"{last}_"] = value
    return saved


def refusal(optimizer: Any, saved: dict[str, Any]) -> Exception | None:
    """The error that loading raises, if any."""
    try:
        optimizer.load_state_dict(saved)
    except Exception as error:
        return error
    return None


MUTATIONS = int(os.environ.get("MUTATIONS", "400"))


def test_a_changed_checkpoint_is_loaded_or_changes_nothing() -> None:
    seed = random.SystemRandom().randrange(2**32)
    print(f"seed {seed}")
    draw = random.Random(seed)
    makers: list[Callable[[list[Tensor]], Any]] = [
        lambda p: glissade.AdamW(p),
        lambda p: Optimizer(p, wrappers.ema(wrappers.accumulate(rules.sgd(momentum=0.9), 2))),
        lambda p: Optimizer([{"params": [x]} for x in p], rules.adafactor()),
        lambda p: glissade.AdagradFull(p),
    ]
    for make in makers:
        given = params()
        optimizer = make(given)
        steps(optimizer, given, 0, 3)
        saved = copy.deepcopy(optimizer.state_dict())
        file = io.BytesIO()
        torch.save(saved, file)
        for _ in range(MUTATIONS // len(makers)):
            other = mutated(saved, draw)
            fresh = make(given)
            before = everything(fresh)
            said = refusal(fresh, other)
            if said is None:
                steps(fresh, given, 3, 4)  # what was taken can be gone on from
                continue
            assert type(said) in (ValueError, TypeError), repr(said)
            assert len(str(said)) > 20
            assert everything(fresh) == before
