"""Totals over all tensors: the wrappers that need them, and the machinery between the tables."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor

import glissade
from glissade import Optimizer, Rule, RuleError, State, rules, wrappers
from glissade.backend.together import Together
from glissade.rule import isfinite, maximum, mean, norm, sqrt, total, where
from tests.cases import bits, engine, leaf, normal

BACKENDS = pytest.mark.parametrize("backend", ["cpu", "eager"])
SHAPES = [(3, 4), (5,), (2, 3, 4), (), (0, 3), (70, 1000)]


def gradients(t: int, scale: float = 1.0, shapes: Any = SHAPES) -> list[Tensor]:
    return [scale * normal(100 * t + i, s) for i, s in enumerate(shapes)]


def run(
    rule: Rule,
    backend: str | None = "cpu",
    steps: int = 7,
    scale: float = 1.0,
    spoil: tuple[int, ...] = (),
    value: float = math.nan,
    dtypes: tuple[torch.dtype, ...] = (torch.float64,),
) -> tuple[list[Tensor], Optimizer]:
    params = [
        leaf(normal(i, s)).detach().to(dtypes[i % len(dtypes)]).requires_grad_()
        for i, s in enumerate(SHAPES)
    ]
    optimizer = Optimizer(params, rule, backend=backend)
    for t in range(steps):
        for i, (p, g) in enumerate(zip(params, gradients(t, scale), strict=True)):
            p.grad = g.to(p.dtype)
            if t in spoil and i == 1:
                p.grad[2] = value
        optimizer.step()
    return params, optimizer


@BACKENDS
@pytest.mark.parametrize("scale", [1e-12, 1e-3, 1.0, 1e3])
@pytest.mark.parametrize("max_norm", [0.0, 0.5, 1e4])
@pytest.mark.parametrize("decay", ["l2", "decoupled"])
def test_clip_norm_is_torchs(backend: str, scale: float, max_norm: float, decay: str) -> None:
    base = rules.adamw(0.01, weight_decay=0.1, decay=decay)
    ours, _ = run(wrappers.clip_norm(base, max_norm), backend, scale=scale)
    theirs = [leaf(normal(i, s)) for i, s in enumerate(SHAPES)]
    kind = torch.optim.Adam if decay == "l2" else torch.optim.AdamW
    optimizer = kind(theirs, lr=0.01, weight_decay=0.1)
    for t in range(7):
        for p, g in zip(theirs, gradients(t, scale), strict=True):
            p.grad = g.clone()
        torch.nn.utils.clip_grad_norm_(theirs, max_norm)
        optimizer.step()
    torch.testing.assert_close(ours, theirs, rtol=1e-11, atol=1e-13)


@BACKENDS
def test_the_gradient_itself_is_left_alone(backend: str) -> None:
    params, optimizer = run(wrappers.clip_norm(rules.sgd(0.1), 1e-3), backend, steps=1)
    for p, g in zip(params, gradients(0), strict=True):
        assert p.grad is not None
        assert torch.equal(p.grad, g)
    assert optimizer.param_groups[0]["clip_norm_max"] == 1e-3


@BACKENDS
def test_the_bound_may_change_between_steps_and_differ_between_groups(backend: str) -> None:
    def sizes(bounds: tuple[float, float]) -> list[float]:
        params = [leaf(torch.zeros(3)), leaf(torch.zeros(4))]
        groups = [{"params": [p], "clip_norm_max": b} for p, b in zip(params, bounds, strict=True)]
        rule = wrappers.clip_norm(rules.sgd(1.0), 1.0)
        optimizer = Optimizer(groups, rule, backend=backend)
        for p in params:
            p.grad = torch.full_like(p, 3.0)
        optimizer.step()
        optimizer.param_groups[0]["clip_norm_max"] = 0.0
        before = params[0].detach().clone()
        optimizer.step()
        assert torch.equal(params[0], before)
        return [float(before.norm()), float(params[1].detach().norm()) / 2]

    length = 3 * math.sqrt(7)
    got = sizes((1.0, 2.0))
    want = [math.sqrt(27) / length, 2 * 6 / length]
    assert got == pytest.approx(want, rel=1e-5)


@BACKENDS
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_step_with_a_nonfinite_gradient_is_as_if_it_had_not_been(
    backend: str, value: float
) -> None:
    rule = wrappers.skip_nonfinite(wrappers.lookahead(rules.radam(0.01, weight_decay=0.1), k=2))
    got, optimizer = run(rule, backend, spoil=(0, 3), value=value)
    want = [leaf(normal(i, s)) for i, s in enumerate(SHAPES)]
    other = Optimizer(want, wrappers.lookahead(rules.radam(0.01, weight_decay=0.1), k=2),
                      backend=backend)  # fmt: skip
    for t in (1, 2, 4, 5, 6):
        for p, g in zip(want, gradients(t), strict=True):
            p.grad = g.clone()
        other.step()
    assert [bits(p) for p in got] == [bits(p) for p in want]
    for p, q in zip(got, want, strict=True):
        assert bits(optimizer.state[p]) == bits(other.state[q])
    assert optimizer.param_groups[0]["skip_nonfinite_count"] == 2


@BACKENDS
def test_a_skipped_step_is_no_write(backend: str) -> None:
    p = leaf(torch.ones(3))
    optimizer = Optimizer([p], wrappers.skip_nonfinite(rules.sgd(0.1)), backend=backend)
    p.grad = torch.ones(3)
    optimizer.step()
    version = p._version
    p.grad[1] = math.inf
    for _ in range(3):
        optimizer.step()
    assert p._version == version
    assert optimizer.state_dict()["param_groups"][0]["skip_nonfinite_count"] == 3


@BACKENDS
def test_clip_norm_alone_passes_a_nan_on_and_skip_nonfinite_does_not(backend: str) -> None:
    base = wrappers.clip_norm(rules.sgd(0.1), 1.0)
    broken, _ = run(base, backend, steps=1, spoil=(0,))
    assert all(torch.isnan(p).all() for p in broken)
    whole, _ = run(wrappers.skip_nonfinite(base), backend, steps=1, spoil=(0,))
    assert [bits(p) for p in whole] == [bits(leaf(normal(i, s))) for i, s in enumerate(SHAPES)]


def test_tensors_of_several_dtypes_and_backends_share_totals() -> None:
    """fp32 and fp64 on the cpu backend, bf16 on eager: one norm."""
    dtypes = (torch.float64, torch.bfloat16, torch.float32)
    rule = wrappers.skip_nonfinite(wrappers.clip_norm(rules.sgd(1.0), 1.0))
    params, _ = run(rule, None, steps=1, dtypes=dtypes)
    grads = [g.to(p.dtype).double() for p, g in zip(params, gradients(0), strict=True)]
    length = math.sqrt(sum(float((g * g).sum()) for g in grads))
    for i, (p, g) in enumerate(zip(params, grads, strict=True)):
        start = normal(i, SHAPES[i]).to(p.dtype).double()
        want = (start - g / (length + 1e-6)).to(p.dtype)
        torch.testing.assert_close(p.detach(), want, rtol=1e-5 if i % 3 != 1 else 1e-2, atol=1e-5)


@pytest.mark.parametrize("team", [1, 2, 3])
def test_any_number_of_threads_gives_the_same_bits(team: int) -> None:
    rule = wrappers.clip_norm(wrappers.centralize(rules.lamb(0.01)), 0.5)
    with engine(team=1, chunk=64):
        alone, _ = run(rule)
    for openmp in (True, False):
        with engine(team=team, openmp=openmp, chunk=64):
            got, _ = run(rule)
        assert [bits(p) for p in got] == [bits(p) for p in alone]


# ------------------------------------------------------------------ rules of one's own


def everything(p: Any, g: Any, s: Any, t: Any, h: Any) -> tuple[Any, State]:
    """Totals of gradients, of what needs another pass, and of states per tensor."""
    size = norm(g, per="all")
    u = g / (size + 1)
    spread = mean(u * u, per="all")  # after the first total
    own = norm(p - u)
    slowest = s.slow + own
    share = own / total(own, per="all")  # of a value per tensor
    d = u / sqrt(spread + h.eps) * share
    return h.lr * d * maximum(1.0, total(slowest, per="all")), State(slow=slowest, m=s.m + u)


@pytest.mark.parametrize("steps", [1, 5])
def test_a_rule_with_many_totals(steps: int) -> None:
    rule = Rule(everything, {"lr": 0.1, "eps": 1e-8})
    (a, one), (b, two) = run(rule, "cpu", steps), run(rule, "eager", steps)
    torch.testing.assert_close(a, b, rtol=1e-11, atol=1e-13)
    for p, q in zip(a, b, strict=True):
        torch.testing.assert_close(dict(one.state[p]), dict(two.state[q]), rtol=1e-11, atol=1e-13)


def test_only_tensors_with_a_gradient_count() -> None:
    params = [leaf(torch.zeros(1)), leaf(torch.zeros(1))]
    optimizer = Optimizer(params, wrappers.clip_norm(rules.sgd(1.0), 1.0))
    params[0].grad = torch.full((1,), 3.0)
    optimizer.step()
    assert float(params[0].detach()) == pytest.approx(-1.0, rel=1e-5)
    params[1].grad = torch.full((1,), 4.0)
    optimizer.step()
    assert float(params[1].detach()) == pytest.approx(-0.8, rel=1e-5)


def test_the_truth_of_a_total_is_refused() -> None:
    def bad(p: Any, g: Any, s: Any, t: Any, h: Any) -> tuple[Any, State]:
        return (h.lr * g if norm(g, per="all") > 1 else g), State()

    with pytest.raises(RuleError, match=r"total over all tensors.*where\(condition"):
        Optimizer([leaf(torch.ones(2))], Rule(bad, {"lr": 0.1}))


def test_a_total_in_where() -> None:
    def good(p: Any, g: Any, s: Any, t: Any, h: Any) -> tuple[Any, State]:
        return where(norm(g, per="all") > h.bound, h.lr * g, 0.0), State()

    for backend in ("cpu", "eager"):
        for bound, moved in ((1.0, True), (9.0, False)):
            p = leaf(torch.zeros(2))
            p.grad = torch.full((2,), 3.0)
            Optimizer([p], Rule(good, {"lr": 1.0, "bound": bound}), backend=backend).step()
            assert bool(p.any()) is moved


def test_a_guard_must_be_about_totals() -> None:
    rule = Rule(
        lambda p, g, s, t, h: (h.lr * g, State()),
        {"lr": 0.1},
        guard=lambda p, g, t, h: isfinite(norm(g)),
    )
    with pytest.raises(RuleError, match="a guard is a condition on totals"):
        Optimizer([leaf(torch.ones(2))], rule)


def test_a_rule_with_totals_called_by_itself_is_refused() -> None:
    with pytest.raises(RuleError, match="needs an optimizer"):
        norm(torch.ones(2), per="all")


def test_parts_that_ask_for_different_totals_do_not_wait_for_ever() -> None:
    def part(i: int) -> Any:
        yield {i: 1.0}
        return True

    assert Together([part(0), part(0)]).step
    with pytest.raises(RuntimeError, match="different totals"):
        Together([part(0), part(1)])


def test_glissade_exports_the_wrappers() -> None:
    assert set(glissade.wrappers.__all__) >= {"clip_norm", "skip_nonfinite", "accumulate", "ema"}
