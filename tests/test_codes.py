"""What 8 bits stand for: `glissade.blocks`."""

from __future__ import annotations

import math

import pytest
import torch

from glissade import blocks
from glissade.blocks import BLOCK, CODES, SHIFT, Code


def noise(n: int, seed: int) -> torch.Tensor:
    return torch.randint(0, 1 << SHIFT, (n,), generator=torch.Generator().manual_seed(seed))


def numbers(code: Code, n: int = 1000) -> torch.Tensor:
    x = torch.randn(n, generator=torch.Generator().manual_seed(n)) ** 3
    return x if code.signed else x * x


EACH_CODE = pytest.mark.parametrize("code", CODES.values(), ids=CODES)


@EACH_CODE
def test_every_code_is_of_a_number_and_back(code: Code) -> None:
    every = torch.arange(-code.last if code.signed else 0, code.last + 1, dtype=torch.int32)
    codes = torch.zeros(2 * BLOCK, dtype=code.dtype)
    codes[: len(every)] = every.to(code.dtype)
    codes[BLOCK] = code.last
    scale = torch.tensor([3.0, 0.1])
    values = blocks.decode(codes, scale)
    assert values[: len(every)].diff().min() > 0  # in order
    again, _ = blocks.encode(values, code, None)
    assert torch.equal(again, codes)


@EACH_CODE
def test_to_the_nearest_it_is_off_by_half_a_code_at_most(code: Code) -> None:
    x = numbers(code)
    codes, scale = blocks.encode(x, code, None)
    y = blocks.decode(codes, scale)
    unit = scale.repeat_interleave(BLOCK)[:1000]
    apart = (x.abs() / unit + code.offset) / 16  # of the codes at x: 16 between it and its double
    assert (
        ((y - x).abs() / unit <= apart / 2 * 1.01 + 1e-6).logical_or(y.abs() <= unit * 1e-6).all()
    )


@EACH_CODE
def test_the_mean_of_many_roundings_is_the_value(code: Code) -> None:
    x = numbers(code)
    rounds = [blocks.decode(*blocks.encode(x, code, noise(1000, k))) for k in range(2000)]
    y = torch.stack(rounds).double()
    deviation = y.std(0) / math.sqrt(len(rounds))
    unit = x.abs().max().double()
    assert ((y.mean(0) - x).abs() <= 5 * deviation + 2e-6 * unit).all()


def test_small_second_moments_stay_alive() -> None:
    """A million times under the largest of its block a number is still told from 0 and others."""
    x = torch.full((BLOCK,), 1.0)
    x[1:8] = torch.tensor([1e-2, 1e-3, 1e-4, 1e-5, 3e-6, 1e-7, 1e-20])
    x[8] = 0.0
    for some in (None, noise(BLOCK, 0), torch.zeros(BLOCK, dtype=torch.int64)):
        y = blocks.decode(*blocks.encode(x, CODES["uint8"], some))
        torch.testing.assert_close(y[:5], x[:5], rtol=0.12, atol=0)
        assert (y[5:8] > 0).all()
        assert y[8] == 0


@EACH_CODE
def test_blocks_of_zeros_of_nan_and_of_infinities(code: Code) -> None:
    x = torch.ones(5 * BLOCK)
    x[:BLOCK] = 0
    x[BLOCK + 3] = float("nan")
    x[2 * BLOCK + 3] = float("inf")
    x[3 * BLOCK :] = 1e-42  # its reciprocal is infinite
    y = blocks.decode(*blocks.encode(x, code, noise(5 * BLOCK, 0))).reshape(5, BLOCK)
    assert (y[0] == 0).all()
    assert y[1].isnan().all()
    assert not y[2].isfinite().any()
    assert (y[3:] == 0).all()
