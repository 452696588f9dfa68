"""Parameters and gradients of half precision, the same for every test."""

from __future__ import annotations

import torch

SHAPES = [(5,), (7, 33), (3, 4, 5), (), (40, 70)]
LOW = [torch.bfloat16, torch.float16]
BF16 = 2.0**-7  # how far apart numbers of bfloat16 are at 1


def parameters(dtype: torch.dtype, seed: int = 0) -> list[torch.nn.Parameter]:
    generator = torch.Generator().manual_seed(seed)
    return [torch.nn.Parameter(torch.randn(s, generator=generator).to(dtype)) for s in SHAPES]


def gradients(params: list[torch.nn.Parameter], t: int) -> None:
    for i, p in enumerate(params):
        generator = torch.Generator().manual_seed(1000 * t + i)
        p.grad = torch.randn(p.shape, generator=generator).to(p.dtype)
