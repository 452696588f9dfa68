"""Numbers of 16 bits as kernels read and write them, against torch: each bit of each of them."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from glissade import Optimizer, Rule, State
from tests.cases import bits, engine, leaf

LOW = pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=["bf16", "fp16"])
HALF = pytest.mark.parametrize("half", [False, None], ids=["integers", "instructions"])
SMALLEST = torch.finfo(torch.float32).smallest_normal


def _copy(p: Any, g: Any, s: Any, t: Any, h: Any) -> tuple[Any, State]:
    """Twice the old parameter goes into a state of float32, an input into the parameter."""
    return 0.0, State(seen=p * 2.0)


def _put(p: Any, s: Any, t: Any, h: Any) -> tuple[Any, State]:
    return s.x, State()


def through_a_kernel(p: Tensor, x: Tensor, half: bool | None, width: int) -> tuple[Tensor, Tensor]:
    """Twice the float32 that a kernel reads of p, and what it makes of a float32 x."""
    rule = Rule(_copy, {"lr": 1.0, "k": 1}, after=_put, inputs={"x": "k"})
    p = leaf(p)
    p.grad = torch.zeros_like(p)
    with engine(half=half, width=width):
        optimizer = Optimizer([p], rule, backend="cpu")
        optimizer.feed("x", [x])
        optimizer.step()
    return optimizer.state[p]["seen"], p.detach()


def assert_same(x: Tensor, y: Tensor) -> None:
    """The same bits, but for those of a NaN."""
    nan = y.isnan()
    assert torch.equal(x.isnan(), nan)
    assert bits(x[~nan]) == bits(y[~nan])


@LOW
@HALF
@pytest.mark.parametrize("width", [16, 32])
def test_every_number_is_read_as_torch_reads_it(
    dtype: torch.dtype, half: bool | None, width: int
) -> None:
    every = torch.arange(-(1 << 15), 1 << 15, dtype=torch.int32).to(torch.int16).view(dtype)
    seen, _ = through_a_kernel(every, torch.zeros(1 << 16), half, width)
    wanted = every.float()
    wanted = 2 * torch.where(wanted.abs() < SMALLEST, 0.0 * wanted, wanted)  # denormal: counts as 0
    assert_same(seen, wanted)


def hard(dtype: torch.dtype) -> Tensor:
    """Numbers around all ties between two neighbours, and beyond both ends of the range."""
    every = torch.arange(-(1 << 15), 1 << 15, dtype=torch.int32).to(torch.int16).view(dtype).float()
    every = every[every.isfinite()]
    ties = every.view(torch.int32) + (1 << (15 if dtype == torch.bfloat16 else 12))
    around = [(ties + k).view(torch.float32) for k in (-1, 0, 1)]
    small = [torch.linspace(-1, 1, 4097) * torch.finfo(dtype).smallest_normal * k for k in (1, 3)]
    odd = torch.tensor([0.0, -0.0, torch.inf, -torch.inf, torch.nan, 65519.9, 65520.0, 3.4e38])
    return torch.cat([every, *around, *small, odd, -odd])


@LOW
@HALF
@pytest.mark.parametrize("width", [16, 32])
def test_every_tie_is_rounded_as_torch_rounds_it(
    dtype: torch.dtype, half: bool | None, width: int
) -> None:
    x = hard(dtype)
    _, got = through_a_kernel(torch.zeros(len(x), dtype=dtype), x, half, width)
    wanted = x.to(dtype)
    assert_same(got, wanted)
