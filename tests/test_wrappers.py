"""Laws that wrappers keep, whatever they are put around."""

from __future__ import annotations

from typing import Any

import hypothesis.strategies as st
import pytest
import torch
from hypothesis import given
from torch import Tensor

import glissade
from glissade import Optimizer, Rule, around, registry, rules, wrappers

SHAPES = [(7, 5), (11,), (), (3, 4, 2, 2)]
BASES = [
    rules.sgd(0.1, momentum=0.9),
    rules.adamw(0.1, weight_decay=0.2),
    rules.radam(0.1, weight_decay=0.2, variant="paper"),
    rules.lamb(0.1),
    rules.adafactor(0.1),
]
each_base = pytest.mark.parametrize("base", BASES, ids=lambda rule: rule.name)
each_backend = pytest.mark.parametrize("backend", ["cpu", "eager"])


def run(
    rule: Rule, steps: int = 9, *, backend: str = "eager", scale: float = 1.0, seed: int = 0
) -> list[list[Tensor]]:
    """The parameters before the first step and after each, in float64."""
    generator = torch.Generator().manual_seed(seed)
    params = [torch.randn(s, generator=generator, dtype=torch.float64) for s in SHAPES]
    optimizer = Optimizer([p.requires_grad_() for p in params], rule, backend=backend)
    path = [[p.detach().clone() for p in params]]
    for _ in range(steps):
        for p in params:
            p.grad = scale * torch.randn(p.shape, generator=generator, dtype=torch.float64)
        optimizer.step()
        path.append([p.detach().clone() for p in params])
    return path


def close(a: list[list[Tensor]], b: list[list[Tensor]]) -> None:
    torch.testing.assert_close(a, b, rtol=1e-11, atol=1e-13)


@each_backend
@each_base
def test_lookahead_with_alpha_1_is_its_base(base: Rule, backend: str) -> None:
    close(run(wrappers.lookahead(base, k=3, alpha=1.0), backend=backend), run(base))


@each_backend
@each_base
def test_lookahead_with_alpha_0_goes_back(base: Rule, backend: str) -> None:
    path = run(wrappers.lookahead(base, k=3, alpha=0.0), backend=backend)
    for t in (3, 6, 9):
        assert all(torch.equal(x, y) for x, y in zip(path[t], path[0], strict=True))
    assert not torch.equal(path[4][0], path[0][0])


@each_base
def test_the_first_sync_moves(base: Rule) -> None:
    """Slow weights start before the first step, not at the first sync (where some ports do)."""
    alone = run(base, 3)
    path = run(wrappers.lookahead(base, k=3, alpha=0.5), 3)
    halfway = [start + 0.5 * (end - start) for start, end in zip(alone[0], alone[3], strict=True)]
    close([path[3]], [halfway])


@each_backend
@pytest.mark.parametrize("bounds", [None, (0.0, 1.5)])
def test_layerwise_adam_with_decay_is_lamb(
    backend: str, bounds: tuple[float, float] | None
) -> None:
    adam = rules.adamw(0.1, eps=1e-6, weight_decay=0.3)
    lamb = rules.lamb(0.1, weight_decay=0.3, phi_bounds=bounds)
    close(run(wrappers.layerwise(adam, phi_bounds=bounds), backend=backend), run(lamb))


@given(
    lr=st.floats(1e-6, 10.0),
    scale=st.sampled_from([1e-12, 1e-3, 1.0, 1e3]),
    bounds=st.sampled_from([None, (0.0, 2.0), (5.0, 9.0)]),
    backend=st.sampled_from(["cpu", "eager"]),
)
def test_lambs_step_has_the_norm_of_the_weights(
    lr: float, scale: float, bounds: tuple[float, float] | None, backend: str
) -> None:
    rule = rules.lamb(lr, weight_decay=0.1, phi_bounds=bounds)
    before, after = run(rule, 1, backend=backend, scale=scale)
    for p, q in zip(before, after, strict=True):
        phi = p.norm() if bounds is None else p.norm().clamp(*bounds)
        torch.testing.assert_close((p - q).norm(), lr * phi, rtol=1e-9, atol=1e-14)


@each_backend
@each_base
def test_centralized_gradients_have_no_mean(base: Rule, backend: str) -> None:
    seen = run(wrappers.centralize(rules.sgd(0.1)), 1, backend=backend)
    for before, after in zip(*seen, strict=True):
        moved = (after - before).flatten(1) if before.ndim >= 2 else None
        if moved is None:
            assert before.numel() == 1 or (after - before).mean().abs() > 1e-3
        else:
            torch.testing.assert_close(moved.mean(1), torch.zeros(len(moved)).double(),
                                       rtol=0, atol=1e-15)  # fmt: skip
            assert (after - before).abs().max() > 1e-3


@each_backend
@pytest.mark.parametrize("entry", registry.compiled(), ids=lambda entry: entry.name)
def test_zero_gradients_give_zero_not_nan(entry: registry.Entry, backend: str) -> None:
    rule = entry.bind(0.1, weight_decay=0.0)
    path = run(rule, 8, backend=backend, scale=0.0)
    for before, after in zip(path[0], path[-1], strict=True):
        torch.testing.assert_close(before, after, rtol=1e-12, atol=0)


@given(
    lr=st.floats(1e-3, 1.0), decay=st.floats(0.0, 0.5), backend=st.sampled_from(["cpu", "eager"])
)
def test_proposition_1(lr: float, decay: float, backend: str) -> None:
    """For plain SGD, l2 with λ/lr0 is independent decay with λ."""
    l2 = rules.sgd(lr, weight_decay=decay / lr)
    independent = rules.sgd(lr, weight_decay=decay, decay="independent")
    close(run(l2, backend=backend), run(independent, backend=backend))


def test_proposition_2() -> None:
    """For Adam it is not, whatever λ': the two gradients in a step cannot both be matched."""
    decayed = run(rules.adam(0.1, weight_decay=0.2, decay="independent"), 2)
    nearest = min(
        (run(rules.adam(0.1, weight_decay=x), 2)[2][0] - decayed[2][0]).abs().max()
        for x in torch.logspace(-3, 3, 61).tolist()
    )
    assert nearest > 1e-2


@pytest.mark.parametrize("name", [x for x in wrappers.__all__ if around.is_wrapper(x)])
@pytest.mark.parametrize(
    "given", [glissade.Newton, rules.adam, object()], ids=["class", "function", "object"]
)
def test_what_is_no_rule_is_refused(name: str, given: Any) -> None:
    """Other libraries wrap optimizers: that must not end in an AttributeError."""
    said = r" wraps a rule, not (Newton|function|object): give \w+\(glissade.rules.adam\(...\)\)"
    with pytest.raises(TypeError, match=name + said):
        getattr(wrappers, name)(given)
    optimizer = glissade.Adam([torch.nn.Parameter(torch.ones(2))])
    with pytest.raises(TypeError, match=f"{name} wraps a rule, not Adam"):
        getattr(wrappers, name)(optimizer)


def test_names_that_collide_are_refused() -> None:
    once = wrappers.lookahead(rules.sgd())
    with pytest.raises(ValueError, match="already has lookahead_alpha, lookahead_k"):
        wrappers.lookahead(once)


def test_wrapped_values_are_in_the_group_under_their_own_names() -> None:
    rule = wrappers.lookahead(wrappers.layerwise(rules.radam()), k=7)
    group = glissade.Optimizer([torch.ones(2, requires_grad=True)], rule).param_groups[0]
    assert group["lookahead_k"] == 7
    assert group["lookahead_alpha"] == 0.5
    assert group["layerwise_phi_bounds"] is None
    assert group["betas"] == (0.9, 0.999)
