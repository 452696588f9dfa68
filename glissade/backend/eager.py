"""The rule itself, called on torch tensors: any device and dtype, and the float64 reference."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from ..graph import Kind
from ..rule import Hyper, Rule, State, decayed

LOW = (torch.float16, torch.bfloat16)


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


def compute_dtype(dtype: torch.dtype) -> torch.dtype:
    """Half precision is computed, and its state kept, in float32."""
    return torch.float32 if dtype in LOW else dtype


def real(x: torch.Tensor) -> torch.Tensor:
    """Complex numbers as pairs of reals, as torch's own optimizers see them."""
    return torch.view_as_real(x) if x.is_complex() else x


def new_state(p: torch.Tensor, kind: Kind) -> torch.Tensor:
    """Zeros for a state of the parameter."""
    p = real(p.detach())
    dtype = compute_dtype(p.dtype)
    if kind is Kind.ELEMENT:
        return torch.zeros_like(p, dtype=dtype)
    return p.new_zeros(state_shape(kind, p.shape), dtype=dtype)


def step(
    rule: Rule,
    p: torch.Tensor,
    g: torch.Tensor,
    state: Mapping[str, Any],
    t: int,
    hyper: Mapping[str, Any],
) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    """The new parameter and the new states; nothing is changed in place."""
    p, g = real(p), real(g)
    dtype = compute_dtype(p.dtype)
    h = Hyper(hyper)
    g = g.to(dtype)
    g = -g if hyper.get("maximize") else g
    old = State(**{k: v for k, v in state.items() if k != "step"})
    p = given = p.to(dtype)
    subtract, new = decayed(rule, p, g, old, t, h)
    p = p - subtract
    if rule.after is not None:
        p, more = rule.after(p, old | new, t, h)
        new = new | more
    # The caller copies these in one by one: State(slow=p) must not be the parameter itself.
    inputs = {id(x) for x in (given, *old.values())}
    stored = {}
    for name, value in new.items():
        x = torch.as_tensor(value, dtype=dtype, device=p.device)
        x = x.clone() if id(x) in inputs else x
        stored[name] = x.broadcast_to(state[name].shape)
    return p, stored
