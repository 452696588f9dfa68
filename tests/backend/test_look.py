"""The look at Python tensors by compiled code: it finds what Python finds, or does not answer."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any
from unittest import mock

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import glissade
from glissade.backend.batch import Batch
from glissade.backend.cpu import look
from tests.cases import bits, normal

SHAPE = (4, 3, 1, 2)
NATIVE = pytest.mark.skipif(look.native() is None, reason="torch has not got the functions here")


@pytest.fixture(params=["look", "ask"])
def way(request: pytest.FixtureRequest) -> Iterator[str]:
    """With compiled code that looks, and without."""
    if request.param == "look":
        if look.native() is None:
            pytest.skip("torch has not got the functions here")
        yield request.param
    else:
        with mock.patch.object(look, "native", return_value=None):
            yield request.param


def test_torch_has_the_functions() -> None:
    """On Linux the slow way should not be taken in silence by a new release of torch; before 2.9
    there was no aoti_torch_get_layout."""
    import sys

    if sys.platform == "linux" and tuple(map(int, torch.__version__.split(".")[:2])) >= (2, 9):
        assert look.native() is not None


def model(*shapes: tuple[int, ...]) -> list[nn.Parameter]:
    params = [nn.Parameter(normal(i, s).float()) for i, s in enumerate(shapes)]
    for i, p in enumerate(params):
        p.grad = normal(9 + i, tuple(p.shape)).float()
    return params


def as_read_back(g: Tensor) -> Tensor:
    return g.resolve_neg().clone(memory_format=torch.contiguous_format)


GRADIENTS: dict[str, Callable[[Tensor], Tensor]] = {
    "new memory": torch.clone,
    "an odd address": lambda g: torch.cat([g.flatten()[:1], g.flatten()])[1:].view_as(g),
    "channels last": lambda g: g.contiguous(memory_format=torch.channels_last),
    "transposed": lambda g: g.transpose(0, 1).contiguous().transpose(0, 1),
    "any stride where the size is 1": lambda g: g.as_strided(SHAPE, (6, 2, 99, 1)),
    "not negated yet": lambda g: torch._neg_view(-g),
    "expanded": lambda g: g[:1].expand(SHAPE),
    "zeros that are nowhere": lambda g: torch._efficientzerotensor(SHAPE),
}


@pytest.mark.parametrize("kind", GRADIENTS)
def test_gradients_of_every_kind(kind: str, way: str) -> None:
    (p,), (q,) = model(SHAPE), model(SHAPE)
    ours, theirs = glissade.AdamW([p]), glissade.AdamW([q])
    for t in range(6):
        g = normal(t, SHAPE).float()
        p.grad = GRADIENTS[kind](g) if t % 2 else g
        q.grad = as_read_back(GRADIENTS[kind](g)) if t % 2 else g.clone()
        before = p.grad.clone()
        ours.step()
        theirs.step()
        assert torch.equal(p.grad, before)
    assert bits(p) == bits(q)
    assert int(ours.state[p]["step"]) == 6


@NATIVE
def test_nothing_is_asked_from_python_while_all_is_plain() -> None:
    params = model((5, 4), (7,), (), (3, 2, 2))
    optimizer = glissade.AdamW(params)
    optimizer.step()
    with mock.patch.object(Batch, "parts", side_effect=AssertionError):
        for t in range(4):
            for p in params:
                p.grad = normal(t, tuple(p.shape)).float()
            optimizer.step()
    assert [int(optimizer.state[p]["step"]) for p in params] == [5] * 4
    assert [p._version for p in params] == [5] * 4


def test_a_frozen_parameter_thaws(way: str) -> None:
    params, twins = model((5,), (6,)), model((5,), (6,))
    params[1].grad, twins[1].grad = None, None
    ours, theirs = glissade.AdamW(params), torch.optim.AdamW(twins)
    for t in range(6):
        for p, q in zip(params, twins, strict=True):
            if t >= 3 or p is params[0]:
                p.grad = normal(t, tuple(p.shape)).float()
                q.grad = p.grad.clone()
        ours.step()
        theirs.step()
    torch.testing.assert_close(params, twins)
    assert [int(ours.state[p]["step"]) for p in params] == [6, 3]


def test_a_gradient_that_goes_missing(way: str) -> None:
    params = model((5,), (6,))
    optimizer = glissade.SGD(params, lr=0.1)
    optimizer.step()
    before = params[1].detach().clone()
    params[1].grad = None
    optimizer.step()
    assert torch.equal(params[1], before)
    assert [int(optimizer.state[p]["step"]) for p in params] == [2, 1]


def test_an_empty_parameter_counts_its_steps(way: str) -> None:
    params = model((0, 3), (2,))
    optimizer = glissade.AdamW(params)
    for _ in range(3):
        optimizer.step()
    params[0].grad = None
    optimizer.step()
    assert [int(optimizer.state[p]["step"]) for p in params] == [3, 4]


def test_tensors_may_be_swapped(way: str) -> None:
    """As `module.to` does when torch is told to swap: a Python tensor gets another at::Tensor."""
    (p,), (q,) = model((4,)), model((4,))
    ours, theirs = glissade.AdamW([p]), glissade.AdamW([q])
    for t in range(5):
        if t == 2:
            other = nn.Parameter(p.detach() + 1)
            q.data.add_(1)
            torch.utils.swap_tensors(p, other)
            del other
            gc.collect()
        p.grad = normal(t, (4,)).float()
        q.grad = p.grad.clone()
        ours.step()
        theirs.step()
    assert bits(p) == bits(q)


def test_many_states_that_move_are_all_noticed(way: str) -> None:
    """No kernel may write to memory that was let go."""
    params, twins = model(*[(3,)] * 700), model(*[(3,)] * 700)
    ours, theirs = glissade.AdamW(params), glissade.AdamW(twins)
    ours.step()
    theirs.step()
    for p in params[300::7]:
        ours.state[p]["v"].share_memory_()
    ours.step()
    theirs.step()
    assert all(bits(p) == bits(q) for p, q in zip(params, twins, strict=True))
    for p, q in zip(params, twins, strict=True):
        assert bits(ours.state[p]["v"]) == bits(theirs.state[q]["v"])


def test_state_goes_with_its_optimizer() -> None:
    """Not only when the garbage collector comes by: it may be gigabytes."""
    params = model((5,), (6,))
    optimizer = glissade.AdamW(params)
    gc.collect()
    gc.disable()
    try:
        for _ in range(3):
            optimizer.step()
        states = [weakref.ref(optimizer.state[p]["m"]) for p in params]
        del optimizer
        assert [ref() for ref in states] == [None, None]
    finally:
        gc.enable()


# ------------------------------------------------------------------ the trial


@NATIVE
@pytest.mark.parametrize("answer", [lambda context: 1, lambda context: 0])
def test_wrong_answers_are_found_out(answer: Any) -> None:
    made = look._compiled()
    assert look._works(made)
    assert not look._works(replace(made, look=answer))


@NATIVE
def test_a_count_that_does_not_count_is_found_out() -> None:
    made = look._compiled()
    assert not look._works(replace(made, count=lambda context: 1))


@NATIVE
def test_addresses_that_are_wrong_are_found_out() -> None:
    made = look._compiled()

    def shifted(context: int) -> int:
        said = made.look(context)
        words = np.ctypeslib.as_array((np.ctypeslib.ctypes.c_int64 * 11).from_address(context))
        row = (np.ctypeslib.ctypes.c_int64 * 21).from_address(int(words[look.at.TENSORS]))
        row[look.at.GRAD] += 4
        return said

    assert not look._works(replace(made, look=shifted))


@pytest.mark.parametrize("error", [AttributeError, OSError])
def test_a_torch_without_the_functions(error: type[Exception]) -> None:
    look.native.cache_clear()
    try:
        with mock.patch.object(look, "_resolve", side_effect=error):
            assert look.native() is None
    finally:
        look.native.cache_clear()
