"""One parameter with what belongs to it, as every backend takes it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor

from .. import blocks
from ..blocks import CODES, SCALE, scale_name
from ..graph import Kind
from ..program import Program
from ..settings import Settings
from ..states import ParamState, States
from ..storage import DTYPES

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


def as_states(p: Tensor, flat: bool, dtype: torch.dtype) -> Tensor:
    """Zeros that lie as the states per element of a parameter do: in its own order if that is
    dense and only elements matter, else row by row."""
    fresh = torch.zeros_like(p, dtype=dtype)
    return fresh if flat and fresh.stride() == p.stride() else fresh.contiguous()


def memory(x: Tensor) -> Tensor:
    """A dense tensor as one dimension, in the order of memory."""
    return x.as_strided((x.numel(),), (1,))


class Moved(Exception):
    """A parameter's data was exchanged for data of another shape, dtype, device or order."""


class Member:
    """A parameter with its group's values, its states and its program.

    `state` is what a step works on. `States`, which the user sees, are given what a step has
    written once it has: a step that does not come about leaves nothing behind.
    """

    def __init__(
        self,
        param: Tensor,
        settings: Settings,
        program: Program | None,
        *,
        index: int = 0,
        key: Tensor | None = None,
        states: States | None = None,
        step: Tensor | None = None,
    ) -> None:
        self.param = param
        self.settings = settings
        self.program = program  # None for a matrix rule, which is not traced
        self.index = index  # among all parameters of the optimizer
        self._key = param if key is None else key  # under which its states are kept
        self._states = States() if states is None else states
        entry = self._states.get(self._key) or {}
        self.state: dict[str, Any] = dict(entry)
        if step is not None:
            self.state["step"] = step
        self.have = frozenset(entry)  # the names of the states that are there
        self._layout = self._laid_out()

    def shows(self, names: Iterable[str]) -> bool:
        """Whether the user sees these states as a step works on them."""
        entry, state = self._states.get(self._key) or {}, self.state
        parts = (part for name in names for part in (name, scale_name(name)))
        return all(
            (part in state and entry.get(part) is state[part])
            or (part not in state and part not in entry and part.endswith(SCALE))
            for part in parts
        )

    def keep(self, names: Iterable[str], drops: Iterable[str] = ()) -> None:
        """Show the user the states that a step has written, and no longer those to drop."""
        entry = self._states.get(self._key)
        if entry is None:
            entry = ParamState(self._states, {"step": self.state["step"]})
            dict.__setitem__(self._states, self._key, entry)
        for name in names:
            for part in (name, scale_name(name)):
                value = self.state.get(part)
                if value is not None and entry.get(part) is not value:
                    dict.__setitem__(entry, part, value)
            if scale_name(name) not in self.state:
                dict.pop(entry, scale_name(name), None)
        for name in drops:
            dict.pop(entry, name, None)
            dict.pop(entry, scale_name(name), None)
        self.have = frozenset(entry)

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
        have = self.state.get(name)
        if low in CODES or (have is not None and have.dtype in blocks.OF):
            return self._fit_codes(name, p, low)
        dtype = compute_dtype(p.dtype) if low is None else DTYPES[low]
        if kind is Kind.ELEMENT:
            fresh = as_states(p, self.program.flat, dtype)
        else:
            fresh = p.new_zeros(state_shape(kind, p.shape), dtype=dtype)
        if have is not None:
            self._check_shape(name, have, fresh)
            same = have.dtype == fresh.dtype and have.device == fresh.device
            if same and have.stride() == fresh.stride():
                return
            fresh.copy_(have)
        self.state[name] = fresh

    def _fit_codes(self, name: str, p: Tensor, low: str | None) -> None:
        """The same for a state that is to be in 8 bits, or was."""
        assert self.program is not None
        flat, scales = self.program.flat, scale_name(name)
        have, scale = self.state.get(name), self.state.get(scales)
        dtype = compute_dtype(p.dtype) if low is None else DTYPES[low]
        fresh = as_states(p, flat, dtype)
        if have is None:
            have, scale = fresh, p.new_zeros(blocks.count(p.numel()), dtype=torch.float32)
        self._check_shape(name, have, fresh)
        if have.dtype in blocks.OF:
            if scale is None or tuple(scale.shape) != (blocks.count(p.numel()),):
                what = "is missing" if scale is None else f"has shape {tuple(scale.shape)}"
                raise ValueError(
                    f"the state {scales!r} of a parameter of {p.numel()} elements {what}; allowed "
                    f"is {(blocks.count(p.numel()),)}"
                )
            if (have.dtype, have.device, have.stride()) == (dtype, p.device, fresh.stride()):
                self.state[name] = have
                self.state[scales] = scale.to(p.device).contiguous()
                return
            have = blocks.decode(have, scale.to(have.device))
        self.state.pop(scales, None)
        if low in CODES:
            values = as_states(p, flat, torch.float32).copy_(have)
            codes, scale = blocks.encode(memory(values), CODES[str(low)], None)
            memory(fresh).copy_(codes)
            self.state[scales] = scale
        else:
            fresh.copy_(have)
        self.state[name] = fresh

    def _check_shape(self, name: str, have: Tensor, like: Tensor) -> None:
        if tuple(have.shape) != tuple(like.shape):
            raise ValueError(
                f"the state {name!r} of a parameter of shape {tuple(self.param.shape)} has "
                f"shape {tuple(have.shape)}; allowed is {tuple(like.shape)}"
            )
