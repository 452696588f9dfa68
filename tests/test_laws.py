"""What must hold between optimizers, or of one, whatever the numbers."""

from __future__ import annotations

from typing import Any

import hypothesis.strategies as st
import pytest
import torch
from hypothesis import given
from torch import Tensor

from glissade import Optimizer, Rule, State, rules
from tests.cases import leaf, normal, rate

each_backend = pytest.mark.parametrize("backend", ["cpu", "eager"])
SHAPES = [(7, 5), (11,), (), (3, 4, 2, 2)]


def run(
    rule: Rule, backend: str = "cpu", steps: int = 12, *, scale: float = 1.0, lr: float = 0.05
) -> list[list[Tensor]]:
    """The parameters after each step, in float64, with another learning rate at each."""
    params = [leaf(normal(i, s)) for i, s in enumerate(SHAPES)]
    optimizer = Optimizer(params, rule, backend=backend)
    path = []
    for t in range(steps):
        optimizer.param_groups[0]["lr"] = lr * rate(t)
        for i, p in enumerate(params):
            p.grad = scale * normal(100 * t + i, tuple(p.shape))
        optimizer.step()
        path.append([p.detach().clone() for p in params])
    return path


def close(a: Any, b: Any, rtol: float = 1e-10) -> None:
    torch.testing.assert_close(a, b, rtol=rtol, atol=rtol)


# ------------------------------------------------------------------ one is the other


@each_backend
def test_adabound_with_wide_bounds_is_adam(backend: str) -> None:
    wide = rules.adabound(0.05, gamma=1e-13, final_lr=1.0)
    close(run(wide, backend), run(rules.adam(0.05, variant="keras"), backend))


@each_backend
def test_adabound_with_closed_bounds_is_sgd(backend: str) -> None:
    closed = rules.adabound(0.05, gamma=1e13, final_lr=0.2)
    sgd = rules.sgd(0.2, momentum=0.9, variant="ema")
    close(run(closed, backend), run(sgd, backend, lr=0.2))


@each_backend
def test_amsbound_is_adabound_until_v_falls(backend: str) -> None:
    growing = [float(1 + t) for t in range(6)]

    def path(rule: Rule, sizes: list[float]) -> Tensor:
        p = leaf(torch.ones(3).double())
        optimizer = Optimizer([p], rule, backend=backend)
        for x in sizes:
            p.grad = torch.full((3,), x).double()
            optimizer.step()
        return p.detach()

    close(path(rules.amsbound(0.1), growing), path(rules.adabound(0.1), growing))
    falling = [*growing, 0.0, 0.0, 0.1]
    assert not torch.equal(path(rules.amsbound(0.1), falling), path(rules.adabound(0.1), falling))


@each_backend
def test_lamb_with_ratio_1_is_adamw(backend: str) -> None:
    """Its step, taken out of the ratio, is AdamW's."""
    (lamb,) = run(rules.lamb(0.05, weight_decay=0.3), backend, 1)
    (adamw,) = run(rules.adamw(0.05, eps=1e-6, weight_decay=0.3), backend, 1)
    for i, (x, y) in enumerate(zip(lamb, adamw, strict=True)):
        start = normal(i, SHAPES[i])
        d_lamb, d_adamw = start - x, start - y
        ratio = start.norm() / (d_adamw.norm() / (0.05 * rate(0)))
        close(d_lamb / ratio, d_adamw)


@each_backend
def test_adamod_that_forgets_at_once_is_adam(backend: str) -> None:
    keras = rules.adamw(0.05, variant="keras", weight_decay=0.0)
    close(run(rules.adamod(0.05, beta3=0.0), backend), run(keras, backend))


@each_backend
def test_amsgrad_torch_is_adam_amsgrad(backend: str) -> None:
    close(run(rules.amsgrad(0.05, variant="torch"), backend),
          run(rules.adam(0.05, amsgrad=True), backend))  # fmt: skip


@each_backend
def test_lars_is_layerwise_momentum_and_signum_lion_with_one_beta(backend: str) -> None:
    from glissade import wrappers

    base = rules.sgd(0.05, momentum=0.9, variant="ema", weight_decay=0.1)
    close(run(wrappers.layerwise(base), backend), run(rules.lars(0.05, weight_decay=0.1), backend))
    lion = rules.lion(0.05, betas=(0.8, 0.8))
    close(run(lion, backend), run(rules.signum(0.05, momentum=0.8), backend))


@each_backend
def test_nesterovs_stored_sequence_is_the_textbook_one(backend: str) -> None:
    """θ = p + μv, the gradient being taken at θ - μv = p, on a quadratic."""
    H = torch.diag(torch.tensor([1.0, 10.0, 100.0]).double())
    mu, lr = 0.9, 0.005
    p = leaf(torch.ones(3).double())
    optimizer = Optimizer([p], rules.sgd(lr, momentum=mu, nesterov=True, variant="paper"),
                          backend=backend)  # fmt: skip
    theta, v = torch.ones(3).double(), torch.zeros(3).double()
    for _ in range(50):
        p.grad = H @ p.detach()
        optimizer.step()
        v = mu * v + lr * (H @ (theta - mu * v))
        theta = theta - v
        close(p.detach() + mu * optimizer.state[p]["v"], theta, 1e-11)


# ------------------------------------------------------------------ of one


@given(
    scale=st.sampled_from([1e-9, 1e-3, 0.5, 8.0, 1e5]),
    name=st.sampled_from(["adam", "adamax", "nadam", "lamb", "lion", "signum", "adabound"]),
    backend=st.sampled_from(["cpu", "eager"]),
)
def test_steps_do_not_depend_on_the_size_of_gradients(
    scale: float, name: str, backend: str
) -> None:
    """What Adam's paper says of Adam; without its eps it is exact."""
    hyper: dict[str, Any] = {} if name in ("lion", "signum") else {"eps": 0.0}
    if name == "adamax":
        hyper = {"variant": "paper"}
    if name == "adabound":  # m itself is scaled: only while the rate is Adam's
        hyper |= {"gamma": 1e-13, "final_lr": 1.0}
    rule = getattr(rules, name)(0.05, **hyper)
    close(run(rule, backend, scale=scale), run(rule, backend), 1e-9)


@each_backend
def test_adafactors_clip_shrinks_large_updates_and_leaves_small_ones_alone(backend: str) -> None:
    """At the first step v is g² and u has RMS 1 (the paper's, for vectors)."""

    def step(d: float) -> Tensor:
        p = leaf(torch.ones(8).double())
        rule = rules.adafactor(0.1, variant="paper", d=d, weight_decay=0.0)
        optimizer = Optimizer([p], rule, backend=backend)
        p.grad = normal(0, (8,))
        optimizer.step()
        return 1 - p.detach()

    free = step(1e9)
    close(step(2.0), free)
    close(step(1.0), free)
    close(step(0.25), free / 4)


@each_backend
def test_amsgrads_rates_never_grow(backend: str) -> None:
    p = leaf(normal(0, (40,)))
    optimizer = Optimizer([p], rules.amsgrad(0.1), backend=backend)
    before = torch.full((40,), torch.inf).double()
    for t in range(60):
        p.grad = normal(t, (40,)) * (10.0 if t == 20 else 0.01 if t > 40 else 1.0)
        optimizer.step()
        now = 0.1 / (optimizer.state[p]["v_max"].sqrt() + 1e-8)
        assert bool((now <= before).all())
        before = now.clone()


# ------------------------------------------------------------------ the propositions on decay


@each_backend
def test_proposition_1(backend: str) -> None:
    """Plain SGD: l2 with λ/lr₀ is independent decay with λ."""
    a = rules.sgd(0.05, weight_decay=0.02 / 0.05)
    b = rules.sgd(0.05, weight_decay=0.02, decay="independent")
    close(run(a, backend), run(b, backend))


def test_proposition_2() -> None:
    """Adam: no λ' makes l2 what the independent decay is."""
    wanted = run(rules.adam(0.05, weight_decay=0.1, decay="independent"), steps=20)[-1]
    plain = run(rules.adam(0.05), steps=20)[-1]
    moved = float(sum((x - y).norm() ** 2 for x, y in zip(wanted, plain, strict=True)))
    for exponent in range(-60, 61):
        l2 = run(rules.adam(0.05, weight_decay=2.0 ** (exponent / 3)), steps=20)[-1]
        off = float(sum((x - y).norm() ** 2 for x, y in zip(wanted, l2, strict=True)))
        assert off > 0.05 * moved, exponent


@each_backend
def test_proposition_3(backend: str) -> None:
    """With a fixed preconditioner 1/s, independent decay is l2 on √s·p."""

    def decoupled(p: Any, g: Any, s: Any, t: Any, h: Any) -> tuple[Any, State]:
        s_ = s.scale if t > 1 else 1 + g * g  # fixed from the first gradient on
        return h.lr * g / s_, State(scale=s_)

    def scaled(p: Any, g: Any, s: Any, t: Any, h: Any) -> tuple[Any, State]:
        s_ = s.scale if t > 1 else 1 + g * g
        return h.lr * (g + h.l2 * s_ * p) / s_, State(scale=s_)

    hyper = {"lr": 0.05, "weight_decay": 0.02, "decay": "independent"}
    a = Rule(decoupled, hyper, decays=True)
    b = Rule(scaled, {"lr": 0.05, "l2": 0.02 / 0.05})
    close(run(a, backend), run(b, backend))
