"""What the tests share: shapes, parameters in odd layouts, every rule of the registry, an engine
whose threads and chunks can be set."""

from __future__ import annotations

import contextlib
import dataclasses
import math
from collections.abc import Iterator
from typing import Any
from unittest import mock

import torch
from torch import Tensor

from glissade.backend.cpu import compile as compiling
from glissade.backend.cpu import tables, threads
from glissade.backend.cpu.target import host

Shape = tuple[int, ...]


@contextlib.contextmanager
def engine(
    *,
    team: int = 1,
    openmp: bool = True,
    chunk: int | None = None,
    width: int | None = None,
    half: bool | None = None,
    small: int = 0,
) -> Iterator[None]:
    """The cpu backend on `team` threads also where tensors are small, `chunk` elements a piece.

    Without `openmp` the parts run on the pool of Python threads; `width` is that of a vector in
    bytes; without `half` the processor is one that has no instructions for float16.
    """
    before = torch.get_num_threads()
    chunk = chunk or tables.CHUNK
    target = dataclasses.replace(
        host(),
        vector_bytes=width or host().vector_bytes,
        half=host().half if half is None else half,
    )
    openmp = openmp and threads.team_lives()
    with (
        mock.patch.object(threads, "SMALL", small),
        mock.patch.object(tables, "CHUNK", chunk),
        mock.patch.object(tables, "MIN_ROWS", max(1, min(tables.MIN_ROWS, chunk // 16))),
        mock.patch.object(compiling, "host", return_value=target),
        mock.patch.object(threads, "team_lives", return_value=openmp),
    ):
        torch.set_num_threads(team)
        try:
            yield
        finally:
            torch.set_num_threads(before)


# ------------------------------------------------------------------ parameters

LAYOUTS = ("contiguous", "strided", "transposed", "channels_last")


def laid_out(x: Tensor, layout: str) -> Tensor:
    """The same values in another order in memory; a layout that x has no rank for is contiguous."""
    if layout == "strided" and x.ndim >= 1:
        wide = torch.zeros(*x.shape[:-1], 2 * x.shape[-1], dtype=x.dtype)
        wide[..., ::2] = x
        return wide[..., ::2]
    if layout == "transposed" and x.ndim >= 2:
        return x.transpose(-1, -2).contiguous().transpose(-1, -2)
    if layout == "channels_last" and x.ndim == 4:
        return x.contiguous(memory_format=torch.channels_last)
    return x.clone(memory_format=torch.contiguous_format)


def leaf(x: Tensor, layout: str = "contiguous") -> Tensor:
    """A parameter."""
    return laid_out(x.detach(), layout).requires_grad_()


def normal(seed: int, shape: Shape, dtype: torch.dtype = torch.float64) -> Tensor:
    """Normal numbers that are exact in float32, so that every dtype starts from the same."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=generator, dtype=torch.float32).to(dtype)


def rate(t: int) -> float:
    """A learning rate's factor that is another at every step."""
    return 1.1 + math.cos(t)


def bits(x: Any) -> Any:
    """Something that compares equal for equal bits only, NaN included."""
    if isinstance(x, Tensor):
        x = x.detach()
        raw = x.contiguous().view(torch.uint8) if x.ndim else x.reshape(1).view(torch.uint8)
        return (str(x.dtype), tuple(x.shape), raw.numpy().tobytes())
    if isinstance(x, dict):
        return {k: bits(v) for k, v in x.items()}
    if isinstance(x, (list, tuple)):
        return [bits(v) for v in x]
    return x


def with_gradient(p: Tensor, g: Tensor | None = None) -> Tensor:
    """The parameter, with a gradient."""
    p.grad = normal(77, tuple(p.shape), p.dtype) if g is None else g
    return p


def pair(
    shapes: list[Shape], dtype: torch.dtype = torch.float64
) -> tuple[list[Tensor], list[Tensor]]:
    """The same parameters twice."""
    start = [normal(i, shape, dtype) for i, shape in enumerate(shapes)]
    return [leaf(p) for p in start], [leaf(p) for p in start]


# ------------------------------------------------------------------ rules with an input


def curvature(shape: Shape) -> Tensor:
    """Some curvature for a parameter, the same in every test."""
    n = math.prod(shape)
    return ((torch.arange(n, dtype=torch.float64) % 7 + 1) / 4).reshape(shape)


def feed(optimizer: Any, *_: Any) -> None:
    """Give an optimizer the inputs that its rule reads, if they are due."""
    for name, every in optimizer.rule.inputs.items() if hasattr(optimizer, "rule") else ():
        group = optimizer.param_groups[0]
        if not 0 <= group[f"{name}_age"] < group[every]:
            params = [p for g in optimizer.param_groups for p in g["params"]]
            optimizer.feed(name, [curvature(tuple(p.shape)) for p in params])
