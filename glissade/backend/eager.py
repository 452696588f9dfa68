"""The rule itself, called on torch tensors: any device and dtype, and the float64 reference."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from typing import Any

import torch

from ..ops import Asked, working
from ..rule import Hyper, Rule, State, ZeroState, decayed
from . import interpret
from .member import Member, compute_dtype, real


def step(
    rule: Rule,
    p: torch.Tensor,
    g: torch.Tensor,
    state: Mapping[str, Any],
    t: int,
    hyper: Mapping[str, Any],
) -> tuple[torch.Tensor, dict[str, torch.Tensor]] | None:
    """The new parameter and the new states, or None where the rule's guard says no; nothing is
    changed in place."""
    p, g = real(p), real(g)
    dtype = compute_dtype(p.dtype)
    working.dtype, h = dtype, Hyper(hyper)
    g = g.to(dtype)
    if rule.guard is not None and not bool(rule.guard(p, g, t, h)):
        return None
    g = -g if hyper.get("maximize") else g
    kind = ZeroState if rule.matrix else State
    old = kind(**{k: v for k, v in state.items() if k != "step"})
    # Where autograd is to run through, what it saves must not be the tensor that is moved.
    p = given = p.to(dtype, copy=bool(hyper.get("differentiable")))
    subtract, new = decayed(rule, p, g, old, t, h)
    p = p - subtract
    if rule.after is not None:
        p, more = rule.after(p, old | new, t, h)
        p, new = torch.as_tensor(p, dtype=dtype, device=given.device), new | more
    # The caller copies these in one by one: State(slow=p) must not be the parameter itself.
    inputs = {id(x) for x in (given, *old.values())}
    stored = {}
    for name, value in new.items():
        x = torch.as_tensor(value, dtype=None if rule.matrix else dtype, device=p.device)
        x = x.clone() if id(x) in inputs else x
        stored[name] = x if rule.matrix else x.broadcast_to(state[name].shape)
    return p, stored


def advance(
    rule: Rule, member: Member, g: torch.Tensor
) -> Generator[dict[int, float], Mapping[int, float], bool]:
    """One step of a parameter with its state, in place: see `together`."""
    group, program, t = member.group, member.program, member.t + 1
    if program is not None:
        leaf = program.choose(t, group)
        for name in (*program.plans[leaf].states, *program.trace.leaves[leaf].reads):
            if name not in member.state:
                member.fit(name)
    differentiable = bool(group["differentiable"])
    totals: list[float] = []
    while True:
        working.totals, working.asked = totals, 0
        try:
            with torch.set_grad_enabled(differentiable), working.on(real(member.param).dtype):
                if program is not None and program.rounds:
                    out = interpret.step(program, leaf, member.param, g, member.state, t, group)
                else:
                    out = step(rule, member.param, g, member.state, t, group)
            break
        except Asked as asked:  # rules are pure: once the total is known, from the beginning
            at, share = len(totals), asked.share
        finally:
            working.totals = None
        totals.append((yield {at: share})[at])
    if out is None:
        return False
    moved, states = out
    with torch.set_grad_enabled(differentiable):
        real(member.param).copy_(moved)
        for name, value in states.items():
            if differentiable or name not in member.state:
                dict.__setitem__(member.state, name, value)
            else:
                member.state[name].copy_(value)
    member.t = t
    return True
