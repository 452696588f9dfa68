"""The vectors' own exponential: every case against torch's in float64."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch

from glissade import Optimizer, Rule, State
from glissade.rule import exp
from tests.cases import engine, leaf


def negated(p: Any, g: Any, s: Any, t: Any, h: Any) -> tuple[Any, State]:
    return -exp(g), State()


@pytest.mark.parametrize("width", [16, 32, 64])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["fp32", "fp64"])
def test_exp(dtype: torch.dtype, width: int) -> None:
    about = torch.finfo(dtype)
    edge = math.log(about.max)
    least = math.log(about.tiny) + math.log(about.eps)  # of the smallest number that there is
    x = torch.cat([
        torch.linspace(1.1 * least, 1.1 * edge, 30_011, dtype=torch.float64),
        torch.linspace(-1e-3, 1e-3, 1001, dtype=torch.float64),
        torch.tensor([math.nan, math.inf, -math.inf, 0.0, -0.0, edge, edge + 1e-3, least]).double(),
    ]).to(dtype)  # fmt: skip
    p = leaf(torch.zeros_like(x))
    p.grad = x
    with engine(width=width):
        Optimizer([p], Rule(negated, {"lr": 1.0}), backend="cpu").step()
    got, want = p.detach(), torch.exp(x.double()).to(dtype)
    assert torch.equal(torch.isnan(got), torch.isnan(want))
    # A result that is too small to be normal counts as 0, and so may one that nearly is.
    assert bool((got[want < about.tiny] == 0).all())
    known = ~torch.isnan(want) & (want > about.tiny * (1 + 8 * about.eps))
    off = (got - want)[known & torch.isfinite(want)].abs()
    size = want[known & torch.isfinite(want)]
    # Two units in the last place; of the numbers without a leading 1, two of the smallest.
    assert bool((off <= 2 * torch.clamp(size * about.eps, min=about.tiny * about.eps)).all())
    # Where it becomes infinite the last place decides.
    sure = known & ((x - edge).abs() > 1e-4)
    assert torch.equal(torch.isinf(got)[sure], torch.isinf(want)[sure])
