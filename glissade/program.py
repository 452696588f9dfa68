"""A rule made ready to run for parameters of one rank: its trace, plans and host functions."""

from __future__ import annotations

import functools
import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

from .blocks import BLOCK, CODES, SMALL
from .checks import plain
from .graph import Kind
from .host import (
    Choose,
    Late,
    Numbers,
    Shared,
    calculator,
    chooser,
    late_calculator,
    shared_calculator,
)
from .plan import Plan, plan
from .rule import Rule
from .simplify import walk
from .storage import asked, in_codes, of_states, rounded
from .trace import Trace, structure, trace


class Program:
    """What every backend needs of a rule: `choose` the leaf at t, then its plan and numbers."""

    def __init__(
        self, traced: Trace, storage: Mapping[str, str] | None = None, *, random: bool = False
    ) -> None:
        self.trace = traced
        self.storage = storage or {}  # the states that are kept in fewer bits, and in what
        self.rounds = bool(storage) or random  # whether the rule's own function is not all there is
        self.leaves = tuple(rounded(leaf, self.storage, random) for leaf in traced.leaves)
        self.choose: Choose = chooser(traced)
        self.kernels: dict[Any, Any] = {}  # what a backend has compiled, by its own keys
        self.plans: tuple[Plan, ...] = tuple(
            plan(x, traced.states, self.storage) for x in self.leaves
        )

    def calls(
        self, hyper: Mapping[str, Any], t: int = 0, have: Collection[str] = ()
    ) -> Iterator[int]:
        """The leaves of one call after the other, from where `t` steps have been taken; totals
        over all tensors count as 0."""
        hyper, held = dict(hyper), set(have)
        while True:
            at = self.choose(t + 1, hyper, held)
            leaf = self.trace.leaves[at]
            yield at
            totals = dict.fromkeys(range(len(leaf.totals)), 0.0)
            hyper |= self.shared[at](t + 1, hyper, totals)
            held = (held | leaf.state.keys()) - leaf.drops
            t += leaf.counts

    @property
    def states(self) -> Mapping[str, Kind]:
        """The kind of each state."""
        return self.trace.states

    @property
    def codes(self) -> bool:
        """Whether any state is kept in 8 bits."""
        return any(kept in CODES for kept in self.storage.values())

    @functools.cached_property
    def numbers(self) -> tuple[Numbers, ...]:
        """For each leaf the function that computes its plan's host numbers."""
        return tuple(calculator(self.trace.rule.name, p.hosts) for p in self.plans)

    @functools.cached_property
    def late(self) -> tuple[tuple[Late, ...], ...]:
        """For each leaf, for each of its plan's breaks, what comes after it."""
        name = self.trace.rule.name
        return tuple(
            tuple(late_calculator(name, cut, p.totals) for cut in p.breaks) for p in self.plans
        )

    @functools.cached_property
    def cleared(self) -> frozenset[str]:
        """The states that are read as zeros after they have been dropped."""
        dropped = frozenset(name for leaf in self.leaves for name in leaf.drops)
        absent = {
            node.value
            for leaf in self.leaves
            for node in walk([leaf.param, *leaf.state.values()])
            if node.op == "state"
            and not any(
                answer and x.op == "has" and x.value == node.value for x, answer in leaf.path
            )
        }
        return dropped & absent

    @functools.cached_property
    def shared(self) -> tuple[Shared, ...]:
        """For each leaf the function that computes what the optimizer has once."""
        name = self.trace.rule.name
        return tuple(shared_calculator(name, p.shared, p.totals) for p in self.plans)

    @functools.cached_property
    def flat(self) -> bool:
        """Whether only elements and whole tensors matter, so that any dense order of memory will
        do for all of a parameter, its gradient and its state."""
        return all(p.flat for p in self.plans)

    @property
    def totals(self) -> bool:
        """Whether the rule takes totals over all tensors."""
        return any(p.breaks for p in self.plans)

    def reads(self, key: str) -> bool:
        """Whether any leaf or condition depends on the hyperparameter `key`."""
        for leaf in self.trace.leaves:
            roots = [leaf.param, *leaf.state.values(), *(c for c, _ in leaf.path)]
            roots += leaf.shared.values()
            if any(n.op == "hyper" and n.value[0] == key for n in walk(roots)):
                return True
        return False


class Programs:
    """The programs of one rule, made as structures of hyperparameters and ranks turn up."""

    def __init__(self, rule: Rule) -> None:
        self.rule = rule
        self._made: dict[Any, Program] = {}

    def of(self, hyper: Mapping[str, Any], shape: Sequence[int], *, idle: bool = False) -> Program:
        """The program for a group's hyperparameters and parameters of a shape: 8 bits are for
        large ones, and where rows or columns matter for those whose rows are whole blocks. See
        `get`."""
        program = self.get(hyper, len(shape), codes=math.prod(shape) >= SMALL, idle=idle)
        if program.codes and not program.flat and shape[-1] % BLOCK:
            return self.get(hyper, len(shape), codes=False, idle=idle)
        return program

    def get(
        self, hyper: Mapping[str, Any], ndim: int, *, codes: bool = True, idle: bool = False
    ) -> Program:
        """The program for a group's hyperparameters and parameters of a rank; without `codes` no
        state is in 8 bits; with `idle` it is for those without a gradient.

        Raises:
            RuleError: the rule cannot be traced.
            ValueError: base_lr is 0 where the rule divides by it.
        """
        program = self._program(hyper, ndim, codes, idle)
        if plain(hyper["base_lr"]) == 0 and program.reads("base_lr"):
            raise ValueError(
                f"{self.rule.name}: lr=0 when the group was made, but the rule divides by that "
                "value (base_lr): start with the lr that schedules multiply, or set base_lr"
            )
        return program

    def _program(self, hyper: Mapping[str, Any], ndim: int, codes: bool, idle: bool) -> Program:
        shape = structure({k: hyper[k] for k in (*self.rule.hyper, "base_lr", "maximize")})
        low, random = asked(hyper.get("state_dtype")), bool(hyper.get("stochastic_rounding"))
        choice = (shape, low, random, codes or not in_codes(low), idle)
        for key in ((choice, None), (choice, ndim)):
            if key in self._made:
                return self._made[key]
        traced = trace(self.rule, {key: hyper[key] for key, _ in shape}, ndim, idle=idle)
        rule = self.rule
        storage = of_states(low, traced.states, rule, traced.leaves)
        if not codes:
            storage = {name: kept for name, kept in storage.items() if kept not in CODES}
        program = Program(traced, storage, random=random)
        self._made[(choice, ndim if traced.rank_matters else None)] = program
        return program
