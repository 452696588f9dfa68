"""The rule itself, called on torch tensors: any device and dtype, and the float64 reference."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from ..graph import no_number
from ..language import HeldState, Hyper
from ..ops import Asked, working
from ..rule import NoStep, Rule, State, decayed
from . import interpret
from .member import Member, compute_dtype, real
from .outcome import Outcome, number
from .together import WRITES, Part


def step(
    rule: Rule,
    p: Tensor,
    g: Tensor | None,
    state: Mapping[str, Any],
    t: int,
    hyper: Mapping[str, Any],
    zeros: Callable[[str], Any] = lambda name: 0.0,
) -> Outcome | None:
    """What a step comes to, or None where the rule's guard says no; nothing is changed in place.

    `state` holds the states that are there, `zeros` makes another. Without a gradient it is what a
    parameter has of a step that others take.
    """
    h, dtype = Hyper(hyper), compute_dtype(real(p).dtype)
    working.dtype = dtype
    old = HeldState({k: v for k, v in state.items() if k != "step"}, zeros)
    # Where autograd is to run through, what it saves must not be the tensor that is moved.
    p = given = real(p).to(dtype, copy=bool(hyper.get("differentiable")))
    if g is None:
        acts = rule.real is None or rule.real(h)
        new = State() if rule.idle is None or not acts else rule.idle(p, old, t, h)
        return _outcome(rule, None, new, (given, *old.values()), counts=False)
    kept = (given, *old.values(), real(g))
    g = real(g).to(dtype)
    if rule.guard is not None and not bool(rule.guard(p, g, t, h)):
        return None
    g = -g if hyper.get("maximize") else g
    try:
        subtract, new = decayed(rule, p, g, old, t, h)
    except NoStep as waits:
        return _outcome(rule, None, waits.state, (*kept, g), counts=False)
    p = p - subtract
    if rule.after is not None:
        p, more = rule.after(p, old | new, t, h)
        p, new = torch.as_tensor(p, dtype=dtype, device=given.device), new | more
    return _outcome(rule, p, new, (*kept, g), counts=True)


def _outcome(
    rule: Rule, moved: Tensor | None, new: State, inputs: Sequence[Any], *, counts: bool
) -> Outcome:
    """With every state as a tensor of its own; `inputs` are what the rule was given, the parameter
    first."""
    # States are copied one by one later: State(slow=p) must not be the parameter itself. What a
    # rule on matrices returns is kept, so it must not share memory with anything.
    p, given = inputs[0], {id(x) for x in inputs}
    taken = {_memory(x) for x in inputs if isinstance(x, Tensor)} if rule.matrix else set()
    stored, drops, shared = {}, set(), {}
    if moved is not None:
        _check_real(moved)
    for name, value in new.items():
        _check_real(value)
        if name in rule.shared:
            shared[name] = number(value)
        elif value is None:
            drops.add(name)
        elif not rule.matrix:
            x = value
            if not isinstance(x, Tensor) or x.dtype != p.dtype or x.device != p.device:
                x = torch.as_tensor(value, dtype=p.dtype, device=p.device)
            stored[name] = x.clone() if id(x) in given else x
        else:
            dtype = None if isinstance(value, Tensor) else torch.float64
            x = torch.as_tensor(value, dtype=dtype, device=p.device)
            if _memory(x) in taken:
                x = x.clone(memory_format=torch.contiguous_format)
            taken.add(_memory(x))
            stored[name] = x
    return Outcome(moved, stored, frozenset(drops), shared, counts)


def _check_real(x: Any) -> None:
    if x.is_complex() if isinstance(x, Tensor) else isinstance(x, complex):
        raise ArithmeticError("a root of a negative number")


def _memory(x: Tensor) -> int:
    return x.untyped_storage().data_ptr()


def advance(member: Member, rule: Rule, g: Tensor | None, counts: npt.NDArray[np.int64]) -> Part:
    """One step of a parameter with its state: see `together`. All is computed before anything is
    written, which takes memory for the new parameter and its new states; without a gradient it is
    what the parameter has of a step of others."""
    hyper, program = member.settings.values, member.program
    t = int(counts[member.index]) + 1
    if program is not None:
        leaf = program.choose(t, hyper, member.have)
        for name in (*program.plans[leaf].states, *program.trace.leaves[leaf].reads):
            if name not in member.state:
                member.fit(name)
    there = {name: x for name, x in member.state.items() if name in member.have}
    differentiable = bool(hyper["differentiable"])

    def zeros(name: str) -> Any:
        return torch.zeros_like(member.state[name]) if name in member.state else 0.0

    def compute() -> Outcome | None:
        if g is not None and program is not None and program.rounds:
            return interpret.step(program, leaf, member.param, g, member.state, there, t, hyper)
        return step(rule, member.param, g, there, t, hyper, zeros)

    out = yield from _asking(
        rule, t, compute, real(member.param).dtype, differentiable=differentiable
    )
    if out is None:
        return None
    if not rule.matrix:
        for name, x in out.states.items():
            shape = member.state[name].shape
            if x.shape != shape:
                out.states[name] = x.broadcast_to(shape)
    yield WRITES
    write(member, out, differentiable=differentiable)
    counts[member.index] += out.counts
    return out.shared


def of_nobody(rule: Rule, p: Tensor, t: int, hyper: Mapping[str, Any]) -> dict[str, Any]:
    """What becomes of what the optimizer has once in a step in which no parameter takes part: all
    totals are 0."""
    zero = torch.zeros_like(p)
    asking = _asking(rule, t, lambda: step(rule, p, zero, {}, t, hyper), real(p).dtype)
    try:
        asked = next(asking)
        while True:
            asked = asking.send(dict.fromkeys(asked, 0.0))
    except StopIteration as stop:
        return {} if stop.value is None else stop.value.shared


def _asking(
    rule: Rule,
    t: int,
    compute: Callable[[], Outcome | None],
    dtype: torch.dtype,
    *,
    differentiable: bool = False,
) -> Generator[dict[int, float], Mapping[int, float], Outcome | None]:
    """What `compute` returns, once all totals are known that it asks for: it yields the share in
    each. Rules are pure, so it begins anew with each total."""
    totals: list[float] = []
    while True:
        working.totals, working.asked = totals, 0
        try:
            with torch.set_grad_enabled(differentiable), working.on(dtype):
                return compute()
        except Asked as asked:
            at, share = len(totals), asked.share
        except ArithmeticError as why:
            raise no_number(rule.name, t, why) from None
        finally:
            working.totals = None
        totals.append((yield {at: share})[at])


def write(member: Member, out: Outcome, *, differentiable: bool) -> None:
    """Put a step's outcome in place."""
    with torch.set_grad_enabled(differentiable):
        if out.param is not None:
            real(member.param).copy_(out.param)
        for name, value in out.states.items():
            if differentiable or name not in member.state or _other(value, member.state[name]):
                member.state[name] = value
            else:
                member.state[name].copy_(value)
    read = member.have & member.program.states.keys() if member.program else ()
    member.keep({*out.states, *read} - out.drops, out.drops)


def _other(x: Tensor, y: Tensor) -> bool:
    """Whether a matrix rule has returned a state of another shape than it had."""
    return x.shape != y.shape
