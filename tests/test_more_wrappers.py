"""Laws of cautious, accumulate, ema and project."""

from __future__ import annotations

import copy
import itertools
import math
from typing import Any

import hypothesis.strategies as st
import pytest
import torch
from hypothesis import given
from torch import Tensor

from glissade import Optimizer, Rule, rules, wrappers
from glissade.wrappers import ball, box
from tests.cases import bits, leaf, normal
from tests.test_wrappers import close, each_backend, each_base, run

# ------------------------------------------------------------------ cautious


@each_backend
def test_cautious_without_momentum_is_its_base(backend: str) -> None:
    close(run(wrappers.cautious(rules.sgd(0.1)), backend=backend), run(rules.sgd(0.1)))


@each_backend
def test_cautious_never_goes_against_the_gradient_and_makes_up_for_it(backend: str) -> None:
    p = leaf(torch.tensor([1.0, 2.0, 3.0, 4.0]))
    rule = wrappers.cautious(rules.sgd(1.0, momentum=0.9, weight_decay=0.5, decay="decoupled"))
    optimizer = Optimizer([p], rule, backend=backend)
    p.grad = torch.tensor([1.0, 1.0, 1.0, 1.0])
    optimizer.step()
    before = p.detach().clone()
    p.grad = torch.tensor([-0.1, 1.0, 1.0, 0.0])  # v = 0.8, 1.9, 1.9, 0.9: two are left out
    optimizer.step()
    masked = torch.tensor([0.0, 1.9, 1.9, 0.0]) / 0.5
    torch.testing.assert_close(p.detach(), before - masked - 0.5 * before)  # decay is not masked


@each_backend
def test_a_mask_of_nothing_is_no_step_and_no_nan(backend: str) -> None:
    p = leaf(torch.ones(3))
    optimizer = Optimizer([p], wrappers.cautious(rules.adam(0.1)), backend=backend)
    p.grad = torch.zeros(3)
    optimizer.step()
    assert p.tolist() == [1.0, 1.0, 1.0]


# ------------------------------------------------------------------ accumulate


@each_backend
@each_base
def test_accumulate_is_its_base_on_means(base: Rule, backend: str) -> None:
    n = 3
    fast, slow = leaf(normal(0, (4, 5))), leaf(normal(0, (4, 5)))
    one = Optimizer([fast], base, backend=backend)
    many = Optimizer([slow], wrappers.accumulate(base, n), backend=backend)
    for t in range(4):
        grads = [normal(10 * t + i, (4, 5)) for i in range(n)]
        for i, g in enumerate(grads):
            before = slow.detach().clone()
            slow.grad = g.clone()
            many.step()
            if i < n - 1:
                assert torch.equal(slow, before)
        fast.grad = sum(grads, torch.zeros(4, 5).double()) / n
        one.step()
        torch.testing.assert_close(slow, fast, rtol=1e-11, atol=1e-13)


@each_backend
def test_accumulate_counts_the_steps_of_what_it_holds(backend: str) -> None:
    """Lookahead inside syncs every k of its own steps; a clip inside clips the mean."""
    inner = wrappers.lookahead(wrappers.clip_norm(rules.adam(0.1), 0.5), k=2)
    fast, slow = leaf(normal(0, (6,))), leaf(normal(0, (6,)))
    one = Optimizer([fast], inner, backend=backend)
    many = Optimizer([slow], wrappers.accumulate(inner, 2), backend=backend)
    for t in range(12):
        g = normal(t // 2, (6,))
        slow.grad = g.clone()
        many.step()
        if t % 2:
            fast.grad = g.clone()
            one.step()
    torch.testing.assert_close(slow, fast, rtol=1e-11, atol=1e-13)


def test_accumulating_reads_no_more_than_it_must() -> None:
    from glissade.program import Programs
    from glissade.render import full

    rule = wrappers.accumulate(rules.adamw(), 4)
    program = Programs(rule).get(full(rule), 1)
    calls = itertools.islice(program.calls(full(rule)), 8)
    moved = [program.plans[at].numbers_per_element for at in calls]
    # g -> G; twice g, G -> G; p, g, m, v, G -> p, m, v.
    assert moved == [2, 3, 3, 8] * 2


# ------------------------------------------------------------------ ema


@each_backend
@each_base
def test_ema_is_the_average_and_the_base_is_itself(base: Rule, backend: str) -> None:
    path = run(wrappers.ema(base, 0.8), backend=backend)
    close(path, run(base, backend=backend))
    average = path[1]
    for now in path[2:]:
        average = [0.8 * a + 0.2 * p for a, p in zip(average, now, strict=True)]
    params = [leaf(p) for p in path[0]]
    optimizer = Optimizer(params, wrappers.ema(base, 0.8), backend=backend)
    generator = torch.Generator().manual_seed(0)
    for p in params:
        torch.randn(p.shape, generator=generator, dtype=torch.float64)
    for _ in range(9):
        for p in params:
            p.grad = torch.randn(p.shape, generator=generator, dtype=torch.float64)
        optimizer.step()
    close([[optimizer.state[p]["ema_average"] for p in params]], [average])


@each_backend
def test_swap_ema_is_undone_to_the_bit(backend: str) -> None:
    p = leaf(normal(0, (5,)))
    optimizer = Optimizer([p], wrappers.ema(rules.adam(0.1), 0.9), backend=backend)
    with pytest.raises(RuntimeError, match="no average is kept"), optimizer.swap_ema():
        pass
    for t in range(3):
        p.grad = normal(t, (5,))
        optimizer.step()
    before, average = bits(p), bits(optimizer.state[p]["ema_average"])

    def refused(*calls: Any) -> None:
        for call in calls:
            with pytest.raises(RuntimeError, match="inside of swap_ema"):
                call()

    with pytest.raises(KeyError), optimizer.swap_ema():  # noqa: PT012 - it is about the block
        assert bits(p) == average
        assert p.requires_grad
        refused(optimizer.step, optimizer.state_dict, optimizer.swap_ema().__enter__)
        raise KeyError  # whatever ends the block, the parameters come back
    assert (bits(p), bits(optimizer.state[p]["ema_average"])) == (before, average)
    optimizer.step()


def test_swap_ema_does_not_round_the_average() -> None:
    p = torch.nn.Parameter(torch.randn(50).to(torch.bfloat16))
    optimizer = Optimizer([p], wrappers.ema(rules.sgd(0.1), 0.9))
    for t in range(3):
        p.grad = normal(t, (50,)).to(torch.bfloat16)
        optimizer.step()
    before, average = bits(p), bits(optimizer.state[p]["ema_average"])
    with optimizer.swap_ema():
        assert bits(p) != before
    assert (bits(p), bits(optimizer.state[p]["ema_average"])) == (before, average)


def test_an_average_is_saved_and_loaded() -> None:
    p, q = leaf(normal(0, (5,))), leaf(normal(0, (5,)))
    one = Optimizer([p], wrappers.ema(rules.adam(0.1), 0.9))
    two = Optimizer([q], wrappers.ema(rules.adam(0.1), 0.9))
    for t in range(6):
        p.grad = normal(t, (5,))
        one.step()
        if t == 2:
            q.data = p.detach().clone()
            two.load_state_dict(copy.deepcopy(one.state_dict()))
        if t > 2:
            q.grad = normal(t, (5,))
            two.step()
    assert bits(one.state[p]) == bits(two.state[q])


# ------------------------------------------------------------------ project


@given(
    dtype=st.sampled_from([torch.float32, torch.float64]),
    backend=st.sampled_from(["cpu", "eager"]),
    lr=st.floats(1e-3, 1e6),
    r=st.floats(1e-3, 1e3),
    seed=st.integers(0, 99),
)
def test_projections_land_inside_to_the_last_bit(
    dtype: torch.dtype, backend: str, lr: float, r: float, seed: int
) -> None:
    hi = float(torch.tensor(r, dtype=dtype))
    for onto, inside in (
        (box(-hi / 3, hi), lambda p: bool(((p >= -hi / 3) | (p == _f(-hi / 3, p))).all())
         and bool((p <= hi).all())),
        (ball(hi), lambda p: math.fsum(x * x for x in p.double().flatten().tolist()) <= hi * hi),
    ):  # fmt: skip
        for shape in ((), (7,), (33, 5)):
            p = leaf(normal(seed, shape).to(dtype))
            rule = wrappers.project(rules.sgd(lr), onto=onto)
            optimizer = Optimizer([p], rule, backend=backend)
            for t in range(3):
                p.grad = normal(seed + t + 1, shape).to(dtype)
                optimizer.step()
                assert inside(p.detach())


def _f(x: float, like: Tensor) -> Tensor:
    return torch.tensor(x, dtype=like.dtype)


@each_backend
def test_a_projection_leaves_alone_what_is_inside(backend: str) -> None:
    close(run(wrappers.project(rules.adam(0.1), onto=ball(1e3)), backend=backend),
          run(rules.adam(0.1)))  # fmt: skip
    close(run(wrappers.project(rules.adam(0.1), onto=box(-1e3, 1e3)), backend=backend),
          run(rules.adam(0.1)))  # fmt: skip


@each_backend
def test_a_projection_onto_a_ball_is_the_nearest_point(backend: str) -> None:
    p = leaf(torch.zeros(2).double())
    optimizer = Optimizer([p], wrappers.project(rules.sgd(1.0), onto=ball(1.0)), backend=backend)
    p.grad = torch.tensor([-3.0, 4.0]).double()
    optimizer.step()
    torch.testing.assert_close(p.detach(), torch.tensor([0.6, -0.8]).double())


@each_backend
def test_a_nan_stays_a_nan(backend: str) -> None:
    for onto in (box(-1, 1), ball(1.0)):
        p = leaf(torch.zeros(2))
        p.grad = torch.tensor([math.nan, 1.0])
        Optimizer([p], wrappers.project(rules.sgd(1.0), onto=onto), backend=backend).step()
        assert torch.isnan(p[0])


@pytest.mark.parametrize(
    ("make", "error", "match"),
    [
        (lambda: box(1.0, -1.0), ValueError, "lo may not be over hi"),
        (lambda: box(math.nan, 1.0), ValueError, "lo may not be over hi"),
        (lambda: ball(0.0), ValueError, "over 0"),
        (lambda: ball(math.inf), ValueError, "over 0"),
        (lambda: wrappers.project(rules.sgd(0.1), (0, 1)), TypeError, "allowed are box"),
        (lambda: wrappers.accumulate(rules.sgd(0.1), 0), ValueError, "accumulate_n=0"),
        (lambda: wrappers.accumulate(rules.sgd(0.1), 1.5), ValueError, "accumulate_n=1.5"),
        (lambda: wrappers.ema(rules.sgd(0.1), 1.0), ValueError, "ema_decay=1.0"),
        (lambda: wrappers.clip_norm(rules.sgd(0.1), -1.0), ValueError, "clip_norm_max=-1.0"),
        (lambda: wrappers.clip_norm(wrappers.clip_norm(rules.sgd(0.1), 1.0), 1.0), ValueError,
         "already has clip_norm_max"),
    ],
)  # fmt: skip
def test_bad_input(make: Any, error: type[Exception], match: str) -> None:
    with pytest.raises(error, match=match):
        make()
