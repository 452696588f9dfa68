"""Numbers that are too small to be normal: 0 to kernels, in every thread; nothing else notices."""

from __future__ import annotations

import pytest
import torch

from glissade import Optimizer, rules
from tests.cases import bits, engine

TINY = 1e-42  # denormal in float32


def faded(team: int, openmp: bool, steps: int = 12) -> torch.Tensor:
    """The first moment of AdamW whose gradients end just over the denormal numbers."""
    p = torch.ones(700, requires_grad=True)
    with engine(team=team, openmp=openmp, chunk=64):
        optimizer = Optimizer([p], rules.adamw(lr=1e-3), backend="cpu")
        for t in range(steps):
            p.grad = torch.full_like(p, 0.0 if t else 2e-37)
            optimizer.step()
    return optimizer.state[p]["m"]


@pytest.mark.parametrize("openmp", [True, False])
def test_threads_do_not_differ_on_denormal_numbers(openmp: bool) -> None:
    alone, before = faded(1, openmp), bits(faded(1, openmp))
    for team in (2, 3):
        assert bits(faded(team, openmp)) == before
    torch.set_flush_denormal(True)
    try:
        assert bits(faded(3, openmp)) == before
    finally:
        torch.set_flush_denormal(False)
    assert (alone == 0).all()


@pytest.mark.parametrize("size", [5, 700])
@pytest.mark.parametrize("flush", [False, True])
def test_a_step_puts_back_the_mode_that_it_found(size: int, flush: bool) -> None:
    p = torch.ones(size, requires_grad=True)
    torch.set_flush_denormal(flush)
    try:
        with engine(small=64):
            optimizer = Optimizer([p], rules.adamw(lr=1e-3), backend="cpu")
            for _ in range(3):
                p.grad = torch.ones(size)
                optimizer.step()
        assert bool((torch.full((9,), TINY) * 0.5).sum() == 0) is flush
    finally:
        torch.set_flush_denormal(False)
