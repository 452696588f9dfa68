"""Estimates of curvature, alone and as Sophia uses them."""

from __future__ import annotations

import copy
import warnings
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import glissade
from glissade import Optimizer, curvature, rules, wrappers
from tests.cases import bits, leaf, normal

BACKENDS = pytest.mark.parametrize("backend", ["cpu", "eager"])


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


# ------------------------------------------------------------------ Hutchinson


def quadratic(diagonal: Tensor) -> tuple[Tensor, Tensor]:
    x = leaf(normal(0, tuple(diagonal.shape)))
    return x, (diagonal * x * x).sum() / 2


@pytest.mark.parametrize("seed", range(5))
def test_hutchinson_is_exact_on_diagonal_quadratics_with_sign_probes(seed: int) -> None:
    diagonal = normal(seed, (4, 5))
    x, loss = quadratic(diagonal)
    (h,) = curvature.hutchinson(loss, [x], probe="sign", generator=generator(seed))
    torch.testing.assert_close(h, diagonal, rtol=1e-14, atol=0)


def test_hutchinson_is_right_in_the_mean_with_gaussian_probes() -> None:
    """With error bars: u² has the mean 1 and the variance 2."""
    diagonal = torch.tensor([0.5, -3.0, 20.0], dtype=torch.float64)
    n, draws = 4000, generator(1)
    total, signs = torch.zeros(3, dtype=torch.float64), set()
    for _ in range(n):
        x, loss = quadratic(diagonal)
        (h,) = curvature.hutchinson(loss, [x], generator=draws)
        total += h
        signs |= {tuple((h > diagonal).tolist())}
    error = (total / n - diagonal).abs() / (diagonal.abs() * (2 / n) ** 0.5)
    assert float(error.max()) < 4
    assert len(signs) == 8  # every mixture of over and under: the draws are independent


def test_hutchinson_takes_the_diagonal_of_a_full_hessian_in_the_mean() -> None:
    root = normal(3, (4, 4))
    H = root @ root.T
    n, draws = 4000, generator(2)
    total = torch.zeros(4, dtype=torch.float64)
    for _ in range(n):
        x = leaf(normal(0, (4,)))
        total += curvature.hutchinson(x @ H @ x / 2, [x], probe="sign", generator=draws)[0]
    spread = ((H * H).sum(1) - H.diagonal() ** 2).sqrt() / n**0.5
    assert bool(((total / n - H.diagonal()).abs() < 4 * spread).all())


def test_probes_have_both_signs() -> None:
    """Some code drew -1 alone: then u ⊙ Hu is the sum of each row of H."""
    H = torch.tensor([[1.0, 5.0], [5.0, 1.0]])
    seen = set()
    for seed in range(20):
        x = leaf(torch.ones(2))
        h = curvature.hutchinson(x @ H @ x / 2, [x], probe="sign", generator=generator(seed))[0]
        seen.add(tuple(h.tolist()))
    assert seen == {(6.0, 6.0), (-4.0, -4.0)}


def test_hutchinson_leaves_gradients_alone_and_gives_unused_parameters_zero() -> None:
    x, y = leaf(normal(0, (3,))), leaf(normal(1, (2,)))
    hx, hy = curvature.hutchinson((x**4).sum(), [x, y], probe="sign")
    torch.testing.assert_close(hx, 12 * x.detach() ** 2)
    assert not hy.any()
    assert x.grad is None
    assert not curvature.hutchinson((x * 3).sum(), [x])[0].any()


# ------------------------------------------------------------------ Gauss-Newton-Bartlett


def test_gnb_is_the_diagonal_of_the_gauss_newton_matrix_in_the_mean() -> None:
    logits = leaf(normal(0, (1, 3)))
    p = logits.detach().softmax(-1)[0]
    n, draws = 6000, generator(0)
    total = torch.zeros(3, dtype=torch.float64)
    for _ in range(n):
        total += curvature.gauss_newton_bartlett(logits * 1, [logits], generator=draws)[0][0]
    torch.testing.assert_close(total / n, p * (1 - p), rtol=0.1, atol=0.01)


def test_gnb_scales_with_the_batch_and_is_never_negative() -> None:
    """B·ĝ⊙ĝ, ĝ being a mean over B: for independent labels its mean does not depend on B."""
    torch.manual_seed(0)
    model = nn.Linear(3, 4).double()
    sizes = {}
    for b in (4, 64):
        x = torch.ones(b, 3).double()
        seen = [
            curvature.gauss_newton_bartlett(model(x), model.parameters(), generator=generator(i))
            for i in range(800)
        ]
        assert all(bool((h >= 0).all()) for hs in seen for h in hs)
        sizes[b] = torch.stack([hs[0] for hs in seen]).mean(0)
    torch.testing.assert_close(sizes[4], sizes[64], rtol=0.25, atol=0.01)


def test_gnb_takes_logits_of_any_rank() -> None:
    logits = leaf(normal(0, (2, 5, 3)))
    (h,) = curvature.gauss_newton_bartlett(logits * 1, [logits], generator=generator())
    assert h.shape == logits.shape
    assert logits.grad is None


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda x: curvature.hutchinson(x * x, [x]), "one number, and got shape"),
        (lambda x: curvature.hutchinson((x * x).sum().detach(), [x]), "without .detach"),
        (lambda x: curvature.hutchinson(1.0, [x]), "got a float"),
        (lambda x: curvature.hutchinson((x * x).sum(), [x], probe="signs"), "allowed are"),
        (lambda x: curvature.gauss_newton_bartlett((x * x).sum(), [x]), "not its loss"),
        (lambda x: curvature.gauss_newton_bartlett(None, [x]), "got a NoneType"),
        (lambda x: curvature.gauss_newton_bartlett(x.detach()[None], [x]), "without .detach"),
    ],
)
def test_misuse(call: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call(leaf(torch.ones(3)))


# ------------------------------------------------------------------ Sophia


def sophia(backend: str | None = None, **hyper: Any) -> tuple[Tensor, Optimizer]:
    p = leaf(torch.tensor([1.0, -2.0]).double())
    return p, Optimizer([p], rules.sophia(0.1, **{"weight_decay": 0.0, **hyper}), backend=backend)


@BACKENDS
def test_sophia_without_curvature_is_refused_before_anything(backend: str) -> None:
    p, optimizer = sophia(backend, k=7)
    p.grad = torch.ones(2).double()
    called = []
    with pytest.raises(RuntimeError, match=r"no curvature: call optimizer\.update_curvature.*7"):
        optimizer.step(lambda: called.append(1))
    assert p.tolist() == [1.0, -2.0]
    assert not called
    assert not optimizer.state


@BACKENDS
@pytest.mark.parametrize("h", [0.5, 4.0, 1e3])
def test_sophia_with_constant_h_is_clipped_scaled_momentum(backend: str, h: float) -> None:
    """β2 = 0: h is the estimate itself."""
    p, optimizer = sophia(backend, estimator="hutchinson", gamma=0.5, betas=(0.9, 0.0), k=2)
    m, want = torch.zeros(2).double(), p.detach().clone()
    for t in range(9):
        if t % 2 == 0:
            optimizer.feed("curvature", [torch.full((2,), h).double()])
        g = normal(t, (2,))
        p.grad = g.clone()
        optimizer.step()
        m = 0.9 * m + (1 - 0.9) * g
        want = want - 0.1 * (m / (0.5 * h)).clamp(-1, 1)
        torch.testing.assert_close(p.detach(), want, rtol=1e-13, atol=1e-15)


def train(
    backend: str | None, estimator: str, steps: int, *, save_at: int = -1
) -> tuple[list[Tensor], Optimizer]:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 3)).double()
    x, y = normal(0, (16, 4)), torch.arange(16) % 3

    def make() -> Optimizer:
        rule = rules.sophia(1e-2, estimator=estimator, k=3)
        return Optimizer(model.parameters(), wrappers.clip_norm(rule, 1.0), backend=backend)

    optimizer, draws = make(), generator(5)

    def output() -> Tensor:
        logits: Tensor = model(x)
        return logits if estimator == "gnb" else nn.functional.cross_entropy(logits, y)

    for t in range(steps):
        if t == save_at:
            saved = copy.deepcopy(optimizer.state_dict())
            optimizer = make()
            optimizer.load_state_dict(saved)
        if t % 3 == 0:
            optimizer.update_curvature(output, generator=draws)
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(x), y).backward()
        optimizer.step()
    return list(model.parameters()), optimizer


@pytest.mark.parametrize("estimator", ["gnb", "hutchinson"])
def test_sophia_is_the_same_on_both_backends_and_resumes_to_the_bit(estimator: str) -> None:
    cpu, optimizer = train("cpu", estimator, 11)
    eager, _ = train("eager", estimator, 11)
    resumed, _ = train("cpu", estimator, 11, save_at=5)
    torch.testing.assert_close(cpu, eager, rtol=1e-11, atol=1e-13)
    assert bits(cpu) == bits(resumed)
    backwards = 4 * (1 if estimator == "gnb" else 2)
    assert optimizer.curvature_cost == (4, 4, backwards)


def test_it_cannot_be_forgotten_in_silence() -> None:
    p, optimizer = sophia(k=3, estimator="hutchinson")
    optimizer.update_curvature(lambda: (p * p).sum())
    p.grad = torch.ones(2).double()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for _ in range(5):
            optimizer.step()
    with pytest.warns(UserWarning, match=r"no update_curvature\(\) for 6 steps.*due every 3"):
        optimizer.step()
    optimizer.update_curvature(lambda: (p * p).sum())
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for _ in range(5):
            optimizer.step()


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda o, p: o.update_curvature((p * p).sum()), TypeError, "takes a function"),
        (lambda o, p: o.update_curvature(lambda: None), ValueError, "got a NoneType"),
        (lambda o, p: o.update_curvature(lambda: p * p), ValueError, "take its mean"),
    ],
)
def test_misuse_of_update_curvature(call: Any, error: type[Exception], message: str) -> None:
    p, optimizer = sophia(estimator="hutchinson")
    with pytest.raises(error, match=message):
        call(optimizer, p)
    assert optimizer.curvature_cost == (0, 0, 0)
    with pytest.raises(RuntimeError, match="no curvature"):
        optimizer.step()


def test_what_is_fed_must_fit() -> None:
    _, optimizer = sophia()
    with pytest.raises(TypeError, match=r"no input 'hessian'; it has curvature"):
        optimizer.feed("hessian", [torch.ones(2)])
    for values in ([], [torch.ones(3)]):
        with pytest.raises(ValueError, match=r"allowed are the parameters', \[\(2,\)\]"):
            optimizer.feed("curvature", values)
    assert not optimizer.state


def test_a_rule_without_curvature_says_so() -> None:
    optimizer = glissade.AdamW([leaf(torch.ones(2))])
    with pytest.raises(TypeError, match="adamw reads no curvature"):
        optimizer.update_curvature(lambda: None)


def test_groups_share_an_estimator() -> None:
    a, b = leaf(torch.ones(2)), leaf(torch.ones(2))
    groups = [{"params": [a]}, {"params": [b], "estimator": "hutchinson"}]
    with pytest.raises(ValueError, match="different estimators"):
        Optimizer(groups, rules.sophia()).update_curvature(lambda: None)


@pytest.mark.parametrize(
    ("hyper", "message"),
    [
        ({"estimator": "gbn"}, "did you mean 'gnb'"),
        ({"gamma": 0.0}, "gamma=0.0"),
        ({"k": 0}, "k=0"),
        ({"rho": 0.1}, "means nothing in variant='paper'"),
        ({"variant": "official", "gamma": 0.1}, "means nothing in variant='official'"),
    ],
)
def test_bad_values(hyper: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        rules.sophia(**hyper)
