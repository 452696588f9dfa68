"""A traced rule on torch tensors, node by node: the reference where states are kept in fewer bits.

There a rule cannot simply be called: what it returns as a new state has to be rounded before the
rest of it goes on.
"""

from __future__ import annotations

import functools
import math
import operator
from collections.abc import Collection, Mapping
from typing import Any

import torch

from .. import blocks
from ..blocks import CODES, SHIFT, scale_name
from ..graph import Kind, Node, reduced_dims, wide_factor
from ..ops import OPS, Asked, in_two, wide, working
from ..program import Program
from ..simplify import walk
from ..storage import PARAMETER, key, noise, stochastic
from ..trace import Leaf
from .member import as_states, compute_dtype, in_place, memory, real, state_shape
from .outcome import Outcome, number


def step(
    program: Program,
    at: int,
    p: torch.Tensor,
    g: torch.Tensor,
    state: Mapping[str, Any],
    there: Collection[str],
    t: int,
    hyper: Mapping[str, Any],
) -> Outcome | None:
    """As `eager.step`, of one leaf of a program; `state` has memory for every state, those that
    are not `there` count as 0."""
    leaf = program.leaves[at]
    p, g = real(p), real(g)
    dtype = compute_dtype(p.dtype)
    working.dtype = dtype
    start, g = p.to(dtype), g.to(dtype)
    known: dict[int, Any] = {}
    coded: dict[int, tuple[torch.Tensor, torch.Tensor]] = {}  # and their scales
    guards = [] if leaf.guard is None else [leaf.guard]

    def source(node: Node) -> Any:
        if node.op == "hyper":
            name, *rest = node.value
            return functools.reduce(operator.getitem, rest, hyper[name])
        if node.op == "count":
            whole, part = (math.prod(state_shape(kind, p.shape)) for kind in node.value)
            return p.new_tensor(whole / part, dtype=dtype)
        if node.op == "key":
            return key(node.value, t, hyper["rounding_seed"])
        if node.op == "state":
            held = state[node.value]
            if node.value not in there:
                return torch.zeros_like(held, dtype=dtype)
            if program.storage.get(node.value) in CODES:
                return blocks.decode(held, state[scale_name(node.value)])
            return held.to(dtype)
        if node.op == "machine_eps":
            return p.new_tensor(torch.finfo(p.dtype).eps, dtype=dtype)
        return {"t": t, "p": start, "g": g, "const": node.value}[node.op]

    def value(node: Node) -> Any:
        args = [_held_as(node, known[id(a)], dtype) for a in node.args]
        if node.op == "all":
            return _total(leaf, node, args[0])
        if not args:
            return source(node)
        if node.op in ("sum", "sumsq"):
            x = wide(args[0])
            dims = reduced_dims(node.value, x.ndim)
            x = x * x if node.op == "sumsq" else x
            if node.value == "tensor":
                return torch.sum(x)
            return torch.sum(x, dim=dims, keepdim=True) if dims else x
        if node.op == "nearest":
            return args[0].to(p.dtype).to(dtype)
        if node.op == "noise":
            return noise(args[0], _places(p, program.flat))
        if node.op == "stored":
            kept, half = node.value
            if kept in CODES:
                x = as_states(p, program.flat, dtype).copy_(torch.as_tensor(args[0]))
                some = memory(as_states(p, program.flat, torch.int64).copy_(args[1]))
                some = some >> 32 - SHIFT if half else some & (1 << SHIFT) - 1
                codes = coded[id(node)] = blocks.encode(memory(x), CODES[kept], some)
                return _values(blocks.decode(*codes), x)
            low = p.dtype == torch.bfloat16 if kept == PARAMETER else True
            return stochastic(args[0], args[1], half) if low else args[0]
        factor = wide_factor(node)
        if factor is not None and all(isinstance(x, torch.Tensor) for x in args):
            x, by = args if node.args[1] is factor else args[::-1]
            return in_two(x, wide(by))
        tensors = any(isinstance(x, torch.Tensor) for x in args)
        return (OPS[node.op].torch if tensors else OPS[node.op].host)(*args)

    shared = leaf.shared.values()
    for node in walk([*leaf.totals, *guards, leaf.param, *leaf.state.values(), *shared]):
        known[id(node)] = _held_as(node, value(node), dtype)
        if node is leaf.guard and not bool(known[id(node)]):
            return None

    def result(node: Node) -> torch.Tensor:
        return torch.as_tensor(known[id(node)], dtype=dtype, device=p.device)

    # The caller copies these in one by one: State(slow=p) must not be the parameter itself.
    inputs = {id(p), *map(id, state.values())}
    stored = {}
    for name, node in leaf.state.items():
        if program.storage.get(name) in CODES:
            codes, stored[scale_name(name)] = coded[id(node)]
            stored[name] = _values(codes, state[name])
            continue
        x = result(node)
        stored[name] = (x.clone() if id(x) in inputs else x).broadcast_to(state[name].shape)
    moved = result(leaf.param) if leaf.counts else None
    values = {name: number(known[id(node)]) for name, node in leaf.shared.items()}
    return Outcome(moved, stored, leaf.drops, values, leaf.counts)


def _held_as(node: Node, x: Any, dtype: torch.dtype) -> Any:
    """Elements, and what they are computed of, in the dtype that they are computed in; what there
    is per row, column ... in double, as kernels have it."""
    if not isinstance(x, torch.Tensor) or node.kind <= Kind.TENSOR or not x.is_floating_point():
        return x
    return x.to(dtype if node.kind is Kind.ELEMENT else torch.float64)


def _values(x: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
    """What is in the order of memory, as a tensor that lies like another."""
    out = torch.empty_like(like, dtype=x.dtype)
    memory(out).copy_(x)
    return out


def _places(p: torch.Tensor, flat: bool) -> torch.Tensor:
    """Each element's place, as kernels count them: in memory, or row by row in a copy."""
    count = torch.arange(p.numel(), device=p.device)
    return count.as_strided(p.shape, p.stride()) if in_place(p, flat) else count.reshape(p.shape)


def _total(leaf: Leaf, node: Node, share: torch.Tensor) -> torch.Tensor:
    """A total over all tensors: see `language._total_over_all`."""
    at = next(i for i, total in enumerate(leaf.totals) if total is node)
    totals = working.totals or []
    if at >= len(totals):
        raise Asked(float(share))
    return torch.tensor(totals[at], dtype=torch.float64, device=share.device)
