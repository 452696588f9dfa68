"""What may happen to parameters, gradients and states between two steps, and is noticed."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import glissade
from glissade import Optimizer, registry
from tests.cases import LAYOUTS, bits, laid_out, leaf, normal, pair, with_gradient

BACKENDS = pytest.mark.parametrize("backend", ["cpu", "eager"])
SHAPE = (2, 3, 4, 5)
RULES = pytest.mark.parametrize("name", ["adamw", "adafactor", "ranger"])


def train(optimizer: Optimizer, params: list[Tensor], first: int, last: int) -> None:
    for t in range(first, last):
        for i, p in enumerate(params):
            g = normal(100 * t + i, tuple(p.shape)).to(p.dtype)
            p.grad = g.to(torch.float32).to(p.dtype)
        optimizer.step()


# ------------------------------------------------------------------ parameters


@RULES
@pytest.mark.parametrize("after", LAYOUTS)
@pytest.mark.parametrize("before", LAYOUTS)
def test_a_parameter_may_change_its_order_in_memory(name: str, before: str, after: str) -> None:
    """As `model.to(memory_format=torch.channels_last)` does."""
    p, twin = leaf(normal(0, SHAPE), before), leaf(normal(0, SHAPE))
    optimizers = [registry.lookup(name).optimizer([x], lr=0.1) for x in (p, twin)]
    for x, optimizer in zip((p, twin), optimizers, strict=True):
        train(optimizer, [x], 0, 3)
    p.data = laid_out(p.data, after)
    for x, optimizer in zip((p, twin), optimizers, strict=True):
        train(optimizer, [x], 3, 8)
    torch.testing.assert_close(p, twin, rtol=1e-12, atol=1e-14)


@BACKENDS
@RULES
def test_a_model_may_change_its_dtype(name: str, backend: str) -> None:
    """State goes along; from then on it is a model of that dtype."""
    model = nn.Linear(5, 3)
    optimizer = registry.lookup(name).optimizer(model.parameters(), lr=0.1, backend=backend)
    train(optimizer, list(model.parameters()), 0, 3)
    twin = copy.deepcopy(model).double()
    other = registry.lookup(name).optimizer(twin.parameters(), lr=0.1, backend=backend)
    other.load_state_dict(optimizer.state_dict())
    model.double()
    train(optimizer, list(model.parameters()), 3, 6)
    train(other, list(twin.parameters()), 3, 6)
    assert bits(list(model.parameters())) == bits(list(twin.parameters()))
    assert all(
        x.dtype == torch.float64
        for state in optimizer.state.values()
        for k, x in state.items()
        if k != "step"
    )


def test_a_model_may_turn_to_half_precision_and_back() -> None:
    model = nn.Linear(5, 3)
    optimizer = glissade.AdamW(model.parameters(), lr=0.1)
    for t, dtype in enumerate((torch.float32, torch.bfloat16, torch.float32)):
        model.to(dtype)
        train(optimizer, list(model.parameters()), 3 * t, 3 * t + 3)
        assert all(p.dtype == dtype and p.isfinite().all() for p in model.parameters())
    assert int(optimizer.state[model.weight]["step"]) == 9


@RULES
def test_a_parameter_may_change_its_shape_with_its_state(name: str) -> None:
    """Rows are cut off, as pruning does, and the state's with them."""
    p = leaf(normal(0, (6, 4)))
    optimizer = registry.lookup(name).optimizer([p], lr=0.1)
    train(optimizer, [p], 0, 3)
    p.data, p.grad = p.data[:3].clone(), None
    for key, x in optimizer.state[p].items():
        if key != "step" and x.shape[:1] == (6,):
            optimizer.state[p][key] = x[:3].clone()
    twin = leaf(p)
    other = registry.lookup(name).optimizer([twin], lr=0.1)
    other.load_state_dict(optimizer.state_dict())
    train(optimizer, [p], 3, 8)
    train(other, [twin], 3, 8)
    assert bits(p) == bits(twin)


@BACKENDS
def test_parameters_may_be_exchanged_in_the_groups(backend: str) -> None:
    a, b, c = (with_gradient(leaf(normal(i, (3,)))) for i in range(3))
    optimizer = glissade.Adam([a, b], lr=0.1, backend=backend)
    optimizer.step()
    optimizer.param_groups[0]["params"][1] = c
    del optimizer.state[b]
    kept = bits(b)
    optimizer.step()
    assert [int(optimizer.state[p]["step"]) for p in (a, c)] == [2, 1]
    assert b not in optimizer.state
    assert bits(b) == kept


@BACKENDS
def test_autograd_counts_each_step(backend: str) -> None:
    p = with_gradient(leaf(normal(0, (3,))))
    optimizer = glissade.AdamW([p], backend=backend)
    versions = []
    for _ in range(4):
        versions.append(p._version)
        optimizer.step()
    assert versions == sorted(set(versions))
    assert p.is_leaf
    assert p.grad_fn is None


@BACKENDS
def test_a_view_that_was_saved_is_noticed_too(backend: str) -> None:
    p = with_gradient(leaf(normal(0, (3, 4))))
    loss = (p[1:] ** 2).sum()
    glissade.SGD([p], backend=backend).step()
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        loss.backward()


# ------------------------------------------------------------------ gradients


@BACKENDS
@pytest.mark.parametrize("p_layout", LAYOUTS)
@pytest.mark.parametrize("name", ["adamw", "adafactor"])
def test_gradients_may_lie_otherwise_at_every_step(name: str, p_layout: str, backend: str) -> None:
    p, twin = leaf(normal(0, SHAPE), p_layout), leaf(normal(0, SHAPE))
    optimizers = [registry.lookup(name).optimizer([x], lr=0.1, backend=backend) for x in (p, twin)]
    for t in range(12):
        g = normal(1 + t, SHAPE)
        p.grad, twin.grad = laid_out(g, LAYOUTS[t % 4] if t % 3 else "contiguous"), g
        kept = bits(p.grad)
        for optimizer in optimizers:
            optimizer.step()
        assert bits(p.grad) == kept
    torch.testing.assert_close(p, twin, rtol=1e-12, atol=1e-14)


@BACKENDS
def test_a_gradient_may_be_an_expanded_number(backend: str) -> None:
    """What `loss = p.sum()` gives: one number seen as many."""
    ours, theirs = pair([(3, 4), (5,)])
    optimizers = [
        glissade.AdamW(ours, lr=0.1, backend=backend),
        torch.optim.AdamW(theirs, lr=0.1, foreach=False),
    ]
    for t in range(3):
        for p, q in zip(ours, theirs, strict=True):
            for x in (p, q):
                x.grad = None
                x.grad = torch.tensor(0.5 + t, dtype=torch.float64).expand(x.shape)
        for optimizer in optimizers:
            optimizer.step()
    torch.testing.assert_close(ours, theirs, rtol=1e-12, atol=0)


@BACKENDS
def test_two_parameters_may_share_a_gradient(backend: str) -> None:
    a, b = leaf(normal(0, (3,))), leaf(normal(0, (3,)))
    a.grad = b.grad = normal(1, (3,))
    glissade.AdamW([a, b], backend=backend).step()
    assert bits(a) == bits(b)


@BACKENDS
def test_shared_weights_are_one_parameter(backend: str) -> None:
    model = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4))
    model[1].weight = model[0].weight
    optimizer = glissade.AdamW(model.parameters(), backend=backend)
    model(torch.ones(2, 4)).sum().backward()
    optimizer.step()
    assert len(optimizer.state) == 3


# ------------------------------------------------------------------ states


def _shared(state: dict[str, Any]) -> None:
    for x in state.values():
        x.share_memory_()  # moves the tensor: kernels must not write where it was


def _data(state: dict[str, Any]) -> None:
    for key, x in state.items():
        if key != "step":
            x.data = x.data.clone()


def _transposed(state: dict[str, Any]) -> None:
    for key, x in state.items():
        if key != "step":
            state[key] = laid_out(x, "transposed")


def _cast(state: dict[str, Any]) -> None:
    for key, x in state.items():
        if key != "step":
            state[key] = x.double()


def _plain_numbers(state: dict[str, Any]) -> None:
    state["step"] = int(state["step"])


def _without_step(state: dict[str, Any]) -> None:
    state.update(step=torch.tensor(3.0))  # as torch keeps it


@BACKENDS
@pytest.mark.parametrize("name", ["adamw", "lamb"])
@pytest.mark.parametrize(
    "change", [_shared, _data, _transposed, _cast, _plain_numbers, _without_step]
)
def test_states_may_lie_elsewhere_or_otherwise(
    change: Callable[[dict[str, Any]], None], name: str, backend: str
) -> None:
    results = []
    for changed in (True, False):
        p = leaf(normal(0, (40, 30), torch.float32))
        optimizer = registry.lookup(name).optimizer([p], lr=0.1, backend=backend)
        train(optimizer, [p], 0, 3)
        if changed:
            change(optimizer.state[p])
        train(optimizer, [p], 3, 6)
        results.append(bits(p))
    assert results[0] == results[1]


def test_a_state_loaded_in_another_dtype_is_kept_in_the_parameters() -> None:
    p = leaf(normal(0, (3, 4)))
    optimizer = glissade.AdamW([p], lr=0.1)
    train(optimizer, [p], 0, 3)
    for dtype in (torch.float32, torch.bfloat16):
        q = leaf(p.to(dtype))
        other = glissade.AdamW([q], lr=0.1)
        other.load_state_dict(optimizer.state_dict())
        train(other, [q], 3, 4)
        assert other.state[q]["m"].dtype == torch.float32
        assert q.isfinite().all()


# ------------------------------------------------------------------ refusals that last


def test_what_is_refused_is_refused_again() -> None:
    p = with_gradient(leaf(normal(0, (3,))))
    optimizer = glissade.Adam([p])
    optimizer.step()
    before = bits([p, dict(optimizer.state[p])])
    optimizer.param_groups[0]["betas"] = (1.5, 0.9)
    for _ in range(3):
        with pytest.raises(ValueError, match=r"betas=\(1.5, 0.9\)"):
            optimizer.step()
    assert bits([p, dict(optimizer.state[p])]) == before
    optimizer.param_groups[0]["betas"] = (0.5, 0.9)
    optimizer.step()
    assert int(optimizer.state[p]["step"]) == 2


@pytest.mark.parametrize("value", [float("nan"), -1.0, "0.1"])
def test_a_groups_base_lr_is_checked(value: Any) -> None:
    with pytest.raises((ValueError, TypeError), match="base_lr="):
        glissade.AdamW([{"params": [leaf(normal(0, (3,)))], "base_lr": value}], decay="corrected")


@BACKENDS
def test_a_group_may_say_what_its_base_lr_is(backend: str) -> None:
    """A warm-up that starts at 0, say."""
    p = with_gradient(leaf(torch.ones(2)), torch.zeros(2))
    groups = [{"params": [p], "lr": 0.0, "base_lr": 0.5}]
    optimizer = glissade.SGDW(groups, weight_decay=0.1, decay="independent", backend=backend)
    optimizer.step()
    assert p.tolist() == [1.0, 1.0]
    optimizer.param_groups[0]["lr"] = 0.25
    optimizer.step()
    torch.testing.assert_close(p.detach(), torch.full((2,), 0.95))


@BACKENDS
@pytest.mark.parametrize("which", [0, 1, 2])
def test_a_wrong_gradient_of_any_parameter_moves_none(which: int, backend: str) -> None:
    """Also at the very first step, where states are made, and with half precision beside."""
    params = [with_gradient(leaf(normal(i, (3, 4)))) for i in range(2)]
    params.append(with_gradient(leaf(normal(2, (3, 4)).float())))
    optimizer = glissade.LAMB(params, backend=backend)
    params[which].grad.data = torch.ones(5, dtype=params[which].dtype)  # type: ignore[union-attr]
    before = bits(params)
    for _ in range(2):
        with pytest.raises(ValueError, match=rf"parameter {which} of group 0.*shape \(5,\)"):
            optimizer.step()
    assert bits(params) == before
    assert all(not int(state["step"]) for state in optimizer.state.values())


@BACKENDS
def test_a_sparse_gradient_is_refused_at_the_first_step_too(backend: str) -> None:
    model = nn.Embedding(5, 3, sparse=True)
    optimizer = glissade.Adam(model.parameters(), backend=backend)
    model(torch.tensor([1])).sum().backward()
    before = bits(model.weight)
    with pytest.raises(ValueError, match=r"sparse.*adam cannot take: make the layer with sparse"):
        optimizer.step()
    assert bits(model.weight) == before
