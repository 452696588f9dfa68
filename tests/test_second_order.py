"""What needs matrices or sorting: full-matrix AdaGrad, Newton's method, the simplex."""

from __future__ import annotations

import copy
import itertools
import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

import glissade
from glissade import Newton, Optimizer, rules, wrappers
from glissade.wrappers import project, simplex
from tests.cases import bits, leaf, normal

# ------------------------------------------------------------------ AdagradFull


def steps(rule: Any, grads: list[Tensor], **options: Any) -> list[Tensor]:
    p = leaf(normal(0, tuple(grads[0].shape)))
    optimizer = Optimizer([p], rule, **options)
    out = []
    for g in grads:
        p.grad = g.clone()
        optimizer.step()
        out.append(p.detach().clone())
    return out


@pytest.mark.parametrize("variant", ["mirror", "dual"])
def test_on_diagonal_gradients_it_is_adagrad(variant: str) -> None:
    """One element at a time: G stays diagonal."""
    grads = []
    for t in range(12):
        g = torch.zeros(4, dtype=torch.float64)
        g[t % 4] = float(normal(t, ()))
        grads.append(g)
    full = steps(rules.adagradfull(0.1, delta=1e-10, variant=variant), grads)
    if variant == "mirror":
        torch.testing.assert_close(full, steps(rules.adagrad(0.1), grads), rtol=1e-9, atol=1e-9)
    total, size = sum(grads, torch.zeros(4).double()), sum((g * g for g in grads), grads[0] * 0)
    if variant == "dual":
        want = normal(0, (4,)) - 0.1 * total / (1e-10 + size.sqrt())
        torch.testing.assert_close(full[-1], want, rtol=1e-9, atol=1e-9)


def test_the_full_matrix_does_not_depend_on_the_axes() -> None:
    """Rotated gradients give rotated steps: what the diagonal form does not do."""
    Q = torch.linalg.qr(normal(7, (5, 5))).Q
    grads = [normal(t, (5,)) for t in range(8)]
    rule = rules.adagradfull(0.1, delta=1e-3)

    def moves(gs: list[Tensor]) -> list[Tensor]:
        path = [normal(0, (5,)), *steps(rule, gs)]
        return [b - a for a, b in itertools.pairwise(path)]

    turned = [Q @ d for d in moves(grads)]
    torch.testing.assert_close(moves([Q @ g for g in grads]), turned, rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize("backend", ["cpu", "eager"])
def test_l1_makes_zeros(backend: str) -> None:
    p = leaf(torch.tensor([1.0, 0.05, -0.05]).double())
    optimizer = Optimizer([p], rules.adagradfull(0.1, delta=0.0, l1=1.0), backend=backend)
    p.grad = torch.tensor([1.0, 0.5, -0.5]).double()
    optimizer.step()  # H = |g|: 1 - 0.1, then 0.1·l1/H less; the others cross 0 and stay there
    torch.testing.assert_close(p.detach(), torch.tensor([0.8, 0.0, 0.0]).double())
    assert p[1] == 0
    assert p[2] == 0


def test_it_keeps_float64_and_resumes_to_the_bit() -> None:
    grads = [normal(t, (2, 3)).float() for t in range(8)]
    p, q = leaf(normal(0, (2, 3)).float()), leaf(normal(0, (2, 3)).float())
    one = glissade.Optimizer([p], rules.adagradfull(0.1))
    two = glissade.Optimizer([q], rules.adagradfull(0.1))
    for t, g in enumerate(grads):
        p.grad = g.clone()
        one.step()
        if t == 3:
            q.data = p.detach().clone()
            two.load_state_dict(copy.deepcopy(one.state_dict()))
        if t > 3:
            q.grad = g.clone()
            two.step()
    assert bits(p) == bits(q)
    assert one.state[p]["G"].dtype == torch.float64
    assert p.dtype == torch.float32


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: Optimizer([leaf(torch.ones(65, 65))], rules.adagradfull()), ValueError,
         r"parameter 0 of group 0, shape \(65, 65\), has 4225 elements.*4096"),
        (lambda: Optimizer([leaf(torch.ones(2))], rules.adagradfull(), backend="cpu"), ValueError,
         "backend='cpu' cannot run adagradfull"),
        (lambda: rules.adagradfull(l1=0.1, variant="dual"), ValueError, "leave out 'dual'"),
        (lambda: rules.adagradfull(max_size=0), ValueError, "max_size=0"),
        (lambda: rules.adagradfull(delta=-1.0), ValueError, "delta=-1"),
        (lambda: Optimizer([{"params": [leaf(torch.ones(2))], "l1": 0.1}], rules.adagradfull()),
         ValueError, "a group of its own l1"),
    ],
)  # fmt: skip
def test_misuse(make: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        make()


def test_wrappers_around_a_matrix_rule() -> None:
    rule = rules.adagradfull(0.1, delta=1e-3)
    inner = wrappers.lookahead(wrappers.clip_norm(rule, 0.5), k=2)
    slow, fast = leaf(normal(0, (3,))), leaf(normal(0, (3,)))
    many = Optimizer([slow], wrappers.accumulate(wrappers.ema(inner, 0.9), 2))
    one = Optimizer([fast], inner)
    for t in range(12):
        slow.grad = normal(t // 2, (3,))
        many.step()
        if t % 2:
            fast.grad = normal(t // 2, (3,))
            one.step()
    torch.testing.assert_close(slow, fast, rtol=1e-12, atol=1e-14)
    slow.grad = torch.full((3,), math.nan).double()
    before = bits(slow)
    guarded = Optimizer([slow], wrappers.skip_nonfinite(rule))
    guarded.step()
    assert bits(slow) == before
    assert guarded.param_groups[0]["skip_nonfinite_count"] == 1


# ------------------------------------------------------------------ Newton


def test_one_step_solves_a_quadratic() -> None:
    root = normal(0, (5, 5))
    H, b = root @ root.T + torch.eye(5).double(), normal(1, (5,))
    x, y = leaf(normal(2, (2,))), leaf(normal(3, (3, 1)))
    optimizer = Newton([x, y])

    def loss() -> Tensor:
        z = torch.cat([x, y.flatten()])
        return z @ H @ z / 2 - b @ z

    first = optimizer.step(loss)
    assert not first.requires_grad
    found = torch.cat([x, y.flatten()]).detach()
    torch.testing.assert_close(found, torch.linalg.solve(H, b), rtol=1e-9, atol=1e-11)
    assert x.grad is None


def test_it_goes_to_a_saddle_unless_told_not_to() -> None:
    def end(saddle_free: bool) -> list[float]:
        p = leaf(torch.tensor([1.0, 0.5]).double())
        optimizer = Newton([p], lr=0.5, saddle_free=saddle_free)
        for _ in range(6):
            optimizer.step(lambda: p[0] ** 2 - p[1] ** 2)
        return [float(x) for x in p.detach()]

    x, y = end(False)
    assert abs(x) < 0.02
    assert abs(y) < 0.02
    x, y = end(True)
    assert abs(x) < 0.02
    assert y > 5


def test_damping() -> None:
    p = leaf(torch.tensor([3.0]).double())
    Newton([p], damping=2.0).step(lambda: (p * p).sum())  # g = 6, H = 2
    assert p.tolist() == [1.5]
    p = leaf(torch.tensor([3.0]).double())
    Newton([p], damping=2.0, saddle_free=True).step(lambda: -(p * p).sum())
    assert p.tolist() == [4.5]


def test_newton_takes_schedulers_and_single_precision() -> None:
    p = leaf(torch.tensor([4.0]))
    optimizer = Newton([p])
    schedule = torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.5)
    optimizer.step(lambda: (p * p).sum())
    assert p.item() == 0.0
    schedule.step()
    p.data.fill_(4.0)
    optimizer.step(lambda: (p * p).sum())
    assert p.item() == 2.0


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda p: Newton([p]).step(), TypeError, "needs a closure"),
        (lambda p: Newton([p]).step(lambda: p * p), ValueError, "one number"),
        (lambda p: Newton([p]).step(lambda: 1.0), ValueError, "one number"),
        (lambda p: Newton([p]).step(lambda: (p * 3).sum()), RuntimeError, "singular.*damping"),
        (lambda p: Newton([p], saddle_free=True).step(lambda: (p * 3).sum()), RuntimeError,
         "singular.*damping"),
        (lambda p: Newton([p], max_size=1), ValueError, "2 parameters; allowed are 1"),
        (lambda p: Newton([p], damping=-1.0), ValueError, "damping=-1"),
        (lambda p: Newton([p], lr=math.nan), ValueError, "lr=nan"),
        (lambda p: Newton([{"params": [p]}, {"params": [leaf(torch.ones(1))], "lr": 0.5}]),
         ValueError, "different lr"),
    ],
)  # fmt: skip
def test_misuse_of_newton(call: Any, error: type[Exception], message: str) -> None:
    p = leaf(torch.tensor([1.0, 2.0]).double())
    with pytest.raises(error, match=message):
        call(p)
    assert p.tolist() == [1.0, 2.0]


# ------------------------------------------------------------------ the simplex


def test_the_projection_onto_the_simplex_is_the_nearest_point() -> None:
    """Against a search: no other point of the simplex is nearer."""
    for seed in range(10):
        target = 2 * normal(seed, (3,))
        p = leaf(torch.zeros(3).double())
        optimizer = Optimizer([p], project(rules.sgd(1.0), onto=simplex()))
        p.grad = -target
        optimizer.step()
        got = p.detach()
        assert float(got.min()) >= 0
        assert float(got.sum()) == pytest.approx(1, abs=1e-15)
        others = np.random.default_rng(seed).dirichlet(np.ones(3), 4000)
        nearest = np.linalg.norm(others - target.numpy(), axis=1).min()
        assert float((got - target).norm()) <= nearest + 1e-12


def test_the_simplex_around_a_rule_with_state() -> None:
    p = leaf(normal(0, (2, 3)).float())
    optimizer = Optimizer([p], project(rules.adam(0.1), onto=simplex()))
    for t in range(5):
        p.grad = normal(t, (2, 3)).float()
        optimizer.step()
        assert float(p.detach().sum()) == pytest.approx(1, abs=1e-6)
        assert float(p.detach().min()) >= 0
    with pytest.raises(ValueError, match="backend='cpu' cannot run"):
        Optimizer([p], project(rules.adam(0.1), onto=simplex()), backend="cpu")
