"""Steps in which every array ends, or begins, where memory does: `python -m tests.backend.guarded`.

Whatever a kernel reads or writes beyond an array ends the process with a segmentation fault. Each
array lies against a page that may not be touched, at its end or at its beginning; fresh memory is
filled with bytes that are NaN as floats and far away as addresses.
"""

from __future__ import annotations

import ctypes
import mmap
import sys
from collections.abc import Sequence
from typing import Any
from unittest import mock

import numpy as np
import torch
from torch import Tensor

from glissade import Optimizer, Rule, registry
from glissade.backend import tables
from tests.cases import engine, feed, normal

PAGE = mmap.PAGESIZE
SHAPES = [
    (),
    (1,),
    (17,),
    (100,),
    (3, 1),
    (1, 3),
    (5, 7),
    (33, 40),
    (2, 3, 5),
    (3, 2, 4, 3),
    (2, 64),
]
CODED = [(4099,), (19, 256), (70, 100), (3,)]  # of states in 8 bits
_libc = ctypes.CDLL(None, use_errno=True)
_held: list[mmap.mmap] = []


def guarded(size: int, at_end: bool) -> Any:
    """A buffer of `size` bytes with a forbidden page right after it, or right before it."""
    pages = -(-max(size, 1) // PAGE)
    block = mmap.mmap(-1, (pages + 2) * PAGE)
    _held.append(block)
    start = ctypes.addressof(ctypes.c_char.from_buffer(block))
    ctypes.memset(start + PAGE, 0xFF, pages * PAGE)
    for page in (start, start + (pages + 1) * PAGE):
        if _libc.mprotect(ctypes.c_void_p(page), ctypes.c_size_t(PAGE), 0):
            raise OSError(ctypes.get_errno(), "mprotect")
    offset = PAGE + (pages * PAGE - size if at_end else 0)
    return (ctypes.c_char * size).from_address(start + offset)


def tensor(like: Tensor, at_end: bool) -> Tensor:
    """A copy between forbidden pages, in the same order of memory."""
    if not like.numel():
        return like.clone()
    flat = torch.frombuffer(guarded(like.numel() * like.element_size(), at_end), dtype=like.dtype)
    out = flat.as_strided(like.shape, like.stride())
    out.copy_(like)
    return out


class Numpy:
    """NumPy with arrays between forbidden pages."""

    def __init__(self, at_end: bool) -> None:
        self.at_end = at_end

    def __getattr__(self, name: str) -> Any:
        return getattr(np, name)

    def array(self, values: Any, dtype: Any = None) -> Any:
        plain = np.array(values, dtype)
        buffer = guarded(max(8, plain.nbytes), self.at_end)
        out = np.frombuffer(buffer, plain.dtype, plain.size).reshape(plain.shape)
        out[...] = plain
        return out

    def zeros(self, shape: Any, dtype: Any = float) -> Any:
        return self.array(np.zeros(shape, dtype))


def step(
    rule: Rule,
    dtype: torch.dtype,
    at_end: bool,
    shapes: Sequence[tuple[int, ...]],
    state_dtype: Any = None,
) -> None:
    """Some steps with every array between forbidden pages."""

    def scratch(table: tables.Table, n: int, kind: torch.dtype) -> Tensor:
        table._keep.append(tensor(torch.empty(max(n, 1), dtype=kind), at_end))
        return table._keep[-1]

    with (
        mock.patch.object(tables, "np", Numpy(at_end)),
        mock.patch.object(tables.Table, "_array", scratch),
    ):
        params = [
            tensor(normal(i, s, dtype), at_end).requires_grad_() for i, s in enumerate(shapes)
        ]
        optimizer = Optimizer(params, rule, backend="cpu", state_dtype=state_dtype)
        for t in range(7):
            for i, p in enumerate(params):
                p.grad = tensor(normal(100 * t + i, tuple(p.shape), dtype), at_end)
            feed(optimizer)
            optimizer.step()
            if t in (0, 5):
                for p in params:
                    for name, value in list(optimizer.state[p].items()):
                        if name != "step":
                            optimizer.state[p][name] = tensor(value, at_end)
    for p in params:
        assert torch.isfinite(p).all(), (rule.name, tuple(p.shape))
    _held.clear()


def main(names: Sequence[str]) -> None:
    for name in names:
        entry = registry.lookup(name)
        for variant in entry.variants or [""]:
            rule = entry.optimizer(
                [torch.ones(1)], **({"variant": variant} if variant else {})
            ).rule
            for dtype in (torch.float32, torch.float64):
                for at_end in (True, False):
                    for team, chunk in ((1, None), (3, 64)):
                        with engine(team=team, chunk=chunk):
                            step(rule, dtype, at_end, SHAPES)
            coded = {"m": "int8"} if name in ("yogi", "sophia") else "int8"
            for at_end in (True, False):
                with engine(team=3, chunk=512):
                    step(rule, torch.bfloat16, at_end, CODED, coded)
        print(name, flush=True)


if __name__ == "__main__":
    torch.utils.deterministic.fill_uninitialized_memory = True
    torch.use_deterministic_algorithms(True)
    main(sys.argv[1:] or [row.name for row in registry.compiled()])
