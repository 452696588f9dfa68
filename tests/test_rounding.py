"""Rounding at random, right in the mean; and what keeps a parameter's lost bits instead."""

from __future__ import annotations

import math

import pytest
import torch

import glissade
from glissade import Optimizer, Rule, State, rules, wrappers
from tests.low import BF16, gradients, parameters


@pytest.mark.parametrize("backend", ["eager", "cpu"])
def test_the_mean_of_many_roundings_is_the_value(backend: str) -> None:
    """Over elements of one step, and over the steps of one element: within 5 standard errors."""

    n, steps = 100_000, 60
    value = 1.0 + 0.3 * BF16  # three tenths of the way from one number to the next
    p = torch.nn.Parameter(torch.zeros(n))
    p.grad = torch.full((n,), value)
    rule = Rule(lambda p, g, s, t, h: (0.0, State(a=g + 0.0 * s.a)), {"lr": 1.0})
    optimizer = Optimizer([p], rule, backend=backend, state_dtype="bfloat16")
    ups = []
    for _ in range(steps):
        optimizer.step()
        a = optimizer.state[p]["a"].float()
        assert set(a.unique().tolist()) == {1.0, 1.0 + BF16}
        ups.append(a > 1)
    every = torch.stack(ups).double()
    error = math.sqrt(0.3 * 0.7)
    assert abs(every.mean() - 0.3) < 5 * error / math.sqrt(n * steps)
    assert (every.mean(1) - 0.3).abs().max() < 5 * error / math.sqrt(n)
    assert (every.mean(0) - 0.3).abs().mean() < 1.2 * error / math.sqrt(steps)
    together = (every[1:] * every[:-1]).mean()  # steps do not know of each other
    assert abs(together - 0.09) < 0.002
    beside = (every[:, 1:] * every[:, :-1]).mean()  # nor do neighbours
    assert abs(beside - 0.09) < 0.002


def test_two_states_and_the_parameter_have_noise_of_their_own() -> None:
    n = 50_000
    value = 1.0 + 0.5 * BF16
    p = torch.nn.Parameter(torch.zeros(n, dtype=torch.bfloat16))
    p.grad = torch.full((n,), 1.0, dtype=torch.bfloat16)
    scaled = Rule(lambda p, g, s, t, h: (g * -h.c, State(a=g * h.c + 0.0 * s.a,
                                                         b=g * h.c + 0.0 * s.b)),
                  {"lr": 1.0, "c": value})  # fmt: skip
    optimizer = Optimizer([p], scaled, state_dtype="bfloat16", stochastic_rounding=True)
    optimizer.step()
    state = optimizer.state[p]
    ups = [x.detach().float() > 1 for x in (p, state["a"], state["b"])]
    for i, x in enumerate(ups):
        assert abs(x.double().mean() - 0.5) < 0.015
        for y in ups[:i]:
            assert abs((x & y).double().mean() - 0.25) < 0.015


@pytest.mark.parametrize("backend", ["eager", "cpu"])
def test_an_average_is_not_stuck(backend: str) -> None:
    """v ← 0.999·v loses a thousandth a step, a quarter of what bfloat16 can tell apart."""
    p = torch.nn.Parameter(torch.ones(20_000))
    optimizer = glissade.Adam([p], lr=0.0, backend=backend, state_dtype="bfloat16")
    p.grad = torch.ones_like(p)
    optimizer.step()
    p.grad = torch.zeros_like(p)
    for _ in range(1000):
        optimizer.step()
    v = optimizer.state[p]["v"].double().mean()
    assert v == pytest.approx(1e-3 * 0.999**1000, rel=0.01)


CHANGE = 1e-5  # of a parameter of 1: a four-hundredth of its last place


@pytest.mark.parametrize("backend", ["eager", "cpu"])
@pytest.mark.parametrize("how", ["nearest", "stochastic", "kahan", "master_weights"])
def test_changes_far_under_the_last_place_add_up(how: str, backend: str) -> None:
    p = torch.nn.Parameter(torch.ones(4096, dtype=torch.bfloat16))
    p.grad = torch.ones_like(p)
    rule = rules.sgd(CHANGE)
    if how in ("kahan", "master_weights"):
        rule = getattr(wrappers, how)(rule)
    stochastic = how == "stochastic"
    optimizer = Optimizer([p], rule, backend=backend, stochastic_rounding=stochastic)
    for _ in range(2000):
        optimizer.step()
    moved = 1 - float(p.detach().double().mean())
    if how == "nearest":
        assert moved == 0  # lost, all of it
    else:
        assert moved == pytest.approx(2000 * CHANGE, rel=0.05)


def test_the_seed_decides_the_noise() -> None:
    ends = []
    for seed in (0, 0, 1):
        p = torch.nn.Parameter(torch.ones(1000, dtype=torch.bfloat16))
        p.grad = torch.full_like(p, 0.3)
        optimizer = glissade.SGD([p], lr=1e-3, stochastic_rounding=True, rounding_seed=seed)
        for _ in range(3):
            optimizer.step()
        ends.append(p.detach().clone())
    assert torch.equal(ends[0], ends[1])
    assert not torch.equal(ends[0], ends[2])


def test_other_orders_of_memory_have_the_same_noise_on_every_backend() -> None:
    ends = []
    for backend in ("eager", "cpu"):
        generator = torch.Generator().manual_seed(0)
        made = torch.randn(2, 3, 5, 4, generator=generator).to(torch.bfloat16)
        p = torch.nn.Parameter(made.to(memory_format=torch.channels_last))
        q = torch.nn.Parameter(torch.randn(6, 9, generator=generator).to(torch.bfloat16).t())
        optimizer = glissade.SGD(
            [p, q], lr=1e-3, momentum=0.9, backend=backend, state_dtype="bfloat16",
            stochastic_rounding=True,
        )  # fmt: skip
        for t in range(4):
            gradients([p, q], t)
            optimizer.step()
        ends.append([p.detach().clone(), q.detach().clone()])
    for x, y in zip(*ends, strict=True):
        assert (x != y).float().mean() < 0.01


@pytest.mark.parametrize("wrapper", ["kahan", "master_weights"])
def test_more_bits_go_outermost(wrapper: str) -> None:
    outer = getattr(wrappers, wrapper)
    rule = outer(wrappers.lookahead(rules.sgd(0.1)))
    assert wrappers.clip_norm(rule, 1.0).name == f"clip_norm({wrapper}(lookahead(sgd)))"
    said = rf"lookahead\({wrapper}\(sgd\)\): .*write {wrapper}\(lookahead\(sgd\)\)"
    with pytest.raises(ValueError, match=said):
        wrappers.lookahead(outer(rules.sgd(0.1)))
    with pytest.raises(ValueError, match="both keep what rounding loses: take one of them"):
        wrappers.kahan(outer(rules.sgd(0.1)))


@pytest.mark.parametrize("wrapper", ["kahan", "master_weights"])
def test_more_bits_than_there_are_warn(wrapper: str) -> None:
    full, low = torch.ones(2, requires_grad=True), torch.ones(2, dtype=torch.float16)
    rule = wrappers.clip_norm(getattr(wrappers, wrapper)(rules.adam()), 1.0)
    said = rf"clip_norm\({wrapper}\(adam\)\) keeps {wrapper}\w* .*and there are none"
    with pytest.warns(UserWarning, match=said):
        Optimizer([full], rule)
    Optimizer([full, low.requires_grad_()], rule)  # one of them is enough: norms stay in float32


def test_master_weights_are_training_in_float32() -> None:
    """To the bit: the same steps as a float32 parameter's, seen through rounding."""
    (low,) = parameters(torch.bfloat16)[1:2]
    full = torch.nn.Parameter(low.detach().float())
    one = Optimizer([low], wrappers.master_weights(rules.adamw(1e-3)))
    other = glissade.AdamW([full], lr=1e-3)
    for t in range(20):
        gradients([low], t)
        full.grad = low.grad.float()  # type: ignore[union-attr]
        one.step()
        other.step()
        torch.testing.assert_close(
            one.state[low]["master_weights"], full.detach(), rtol=1e-6, atol=0
        )
        assert torch.equal(low.detach(), one.state[low]["master_weights"].to(torch.bfloat16))
