"""One parameter with what belongs to it, as every backend takes it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ..graph import Kind
from ..program import Program
from ..storage import LOWER

LOW = (torch.float16, torch.bfloat16)


def real(x: Tensor) -> Tensor:
    """Complex numbers as pairs of reals, as torch's own optimizers see them."""
    return torch.view_as_real(x) if x.is_complex() else x


def compute_dtype(dtype: torch.dtype) -> torch.dtype:
    """Half precision is computed, and its state kept, in float32."""
    return torch.float32 if dtype in LOW else dtype


def state_shape(kind: Kind, shape: torch.Size) -> tuple[int, ...]:
    """The shape of a state of some kind: the parameter's, with 1 where it does not differ."""
    n = len(shape)
    if kind is Kind.TENSOR:
        return ()
    if kind is Kind.SLICE:
        return (*shape[:1], *(1 for _ in shape[1:]))
    rows = shape[-2:-1] if kind & Kind.ROW == Kind.ROW else (1,)
    columns = shape[-1:] if kind & Kind.COLUMN == Kind.COLUMN else (1,)
    return (*shape[:-2], *rows, *columns)[-n:] if n else ()


def in_place(p: Tensor, flat: bool) -> bool:
    """Whether kernels can run on the parameter's own memory.

    Where only elements matter any dense order will do (channels-last, say): gradient and state
    share it.
    """
    if p.is_contiguous():
        return True
    if not flat:
        return False
    like = torch.empty_like(p, device="meta", memory_format=torch.preserve_format)
    return like.stride() == p.stride()


class Moved(Exception):
    """A parameter's data was exchanged for data of another shape, dtype, device or order."""


@dataclass
class Member:
    """A parameter, its group and state, the steps it has taken so far, and its program."""

    param: Tensor
    group: Mapping[str, Any]
    state: dict[str, Any]
    t: int
    program: Program | None  # None for a matrix rule, which is not traced

    def __post_init__(self) -> None:
        self._layout = self._laid_out()

    def _laid_out(self) -> Any:
        p = self.param
        return p.shape, p.stride(), p.dtype, p.device

    def stay(self) -> None:
        """Raise Moved unless the parameter is laid out as when this was made."""
        if self._laid_out() != self._layout:
            raise Moved

    def fit(self, name: str) -> None:
        """See that the state `name` is there as backends expect it: dtype, device, shape, order.

        Raises ValueError if what is there has another shape.
        """
        assert self.program is not None  # matrix rules keep what states they like
        p, kind = real(self.param.detach()), self.program.states[name]
        low = self.program.storage.get(name)
        dtype = compute_dtype(p.dtype) if low is None else LOWER[low]
        if kind is Kind.ELEMENT:
            # Elements in the parameter's own order if that is dense, else row by row.
            fresh = torch.zeros_like(p, dtype=dtype)
            if not (self.program.flat and fresh.stride() == p.stride()):
                fresh = fresh.contiguous()
        else:
            fresh = p.new_zeros(state_shape(kind, p.shape), dtype=dtype)
        have = self.state.get(name)
        if have is not None:
            if tuple(have.shape) != tuple(fresh.shape):
                raise ValueError(
                    f"the state {name!r} of a parameter of shape {tuple(self.param.shape)} has "
                    f"shape {tuple(have.shape)}; allowed is {tuple(fresh.shape)}"
                )
            same = have.dtype == fresh.dtype and have.device == fresh.device
            if same and have.stride() == fresh.stride():
                return
            fresh.copy_(have)
        dict.__setitem__(self.state, name, fresh)
