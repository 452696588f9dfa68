"""From a rule to graphs: one for each path through its host conditions.

The rule is called on symbols. A condition on hyperparameters and `t` alone is answered once True
and once False, depth first, so that each reachable combination gets a graph of its own (a *leaf*);
at run time the same conditions, evaluated on the host, pick the leaf. The kind of each state
(per element, row, column ...) is not declared: it starts as a number per tensor and is widened to
what the rule returns until nothing changes.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import FrameType
from typing import Any

from .checks import is_number, plain
from .graph import Graph, Kind, Node, RuleError, no_number
from .language import Hyper
from .rule import NoStep, Rule, State, decayed

MAX_LEAVES = 256
T, P, G = "t", "p", "g"
NUMBER = "#"  # stands for "a number" in a structure


def structure(hyper: Mapping[str, Any]) -> tuple[tuple[str, Any], ...]:
    """What of the hyperparameters is built into a kernel: everything but the numbers' values."""

    def shape(x: Any) -> Any:
        if type(x) is float or type(x) is int:
            return NUMBER
        x = plain(x)
        if isinstance(x, tuple):
            return tuple(shape(y) for y in x)
        return NUMBER if is_number(x) else x

    return tuple((key, shape(value)) for key, value in hyper.items())


@dataclass(frozen=True)
class Leaf:
    """One path: the host conditions that lead here, what is subtracted, what comes out."""

    path: tuple[tuple[Node, bool], ...]
    step: Node
    param: Node  # the new parameter
    state: Mapping[str, Node]  # the new states; a state that is not here stays as it was
    reads: frozenset[str] = frozenset()  # the states that the rule looks at, used or not
    totals: tuple[Node, ...] = ()  # over all tensors, in the order in which the rule asks for them
    guard: Node | None = None  # whether there is a step at all
    counts: bool = True  # whether it is a step, and not a call that only keeps states
    drops: frozenset[str] = frozenset()  # the states that are no longer kept after it
    shared: Mapping[str, Node] = field(default_factory=dict)  # what the optimizer has once
    # Where names were asked for: what the rule's source calls which values, in its order, and the
    # states as the update returned them, before `after`.
    names: tuple[tuple[Node, str], ...] = ()
    updated: Mapping[str, Node] = field(default_factory=dict)


@dataclass(frozen=True)
class Trace:
    """All leaves of a rule for one structure of hyperparameters (and rank, where it matters)."""

    rule: Rule
    leaves: tuple[Leaf, ...]
    states: Mapping[str, Kind]
    rank_matters: bool


def trace(
    rule: Rule, hyper: Mapping[str, Any], ndim: int, *, names: bool = False, idle: bool = False
) -> Trace:
    """Trace `rule` for a parameter of rank `ndim`; with `names`, note the source's local names;
    with `idle`, what it does to parameters without a gradient.

    `hyper` must hold every hyperparameter that the rule reads, `base_lr` and `maximize` included.
    Raises RuleError where the rule does what a rule may not do.
    """
    kinds: dict[str, Kind] = dict.fromkeys(rule.inputs, Kind.ELEMENT)
    while True:
        graph = Graph(ndim)
        leaves = _leaves(rule, structure(hyper), graph, kinds, names, idle)
        grown = dict(kinds)
        for leaf in leaves:
            for name, node in leaf.state.items():
                grown[name] = grown.get(name, Kind.TENSOR) | node.kind | Kind.TENSOR
            for name in leaf.reads:  # also one that is always returned as it was
                grown.setdefault(name, Kind.TENSOR)
        if grown == kinds:
            return Trace(rule, leaves, kinds, graph.rank_matters)
        kinds = grown


def _leaves(
    rule: Rule,
    shape: tuple[tuple[str, Any], ...],
    graph: Graph,
    kinds: Mapping[str, Kind],
    names: bool,
    idle: bool,
) -> tuple[Leaf, ...]:
    leaves: list[Leaf] = []
    prefix: tuple[bool, ...] | None = ()
    read: set[str] = set()
    returned: set[str] = set()
    while prefix is not None:
        if len(leaves) >= MAX_LEAVES:
            raise RuleError(f"{rule.name}: more than {MAX_LEAVES} paths through host conditions")
        graph.start(prefix)
        run = _Run(rule, shape, graph, kinds, names)
        try:
            leaves.append(run.idle() if idle else run.step())
        except ArithmeticError as why:
            raise no_number(rule.name, "1", why) from None
        read |= run.read
        returned |= run.returned
        answers = [answer for _, answer in graph.path]
        while answers and not answers[-1]:
            answers.pop()
        prefix = (*answers[:-1], False) if answers else None
    lost = sorted(read - returned - rule.inputs.keys())
    if lost:
        raise RuleError(
            f"{rule.name}: the rule reads s.{lost[0]} but never returns it; it returns "
            f"State({', '.join(sorted(returned))}): add {lost[0]}=... to the State"
        )
    return tuple(leaves)


class _States(State):
    """The state as symbols; a name that is read for the first time comes into being here."""

    __slots__ = ("_has", "_make", "_read")

    def __init__(self, graph: Graph, kinds: Mapping[str, Kind], read: set[str]) -> None:
        super().__init__()
        object.__setattr__(self, "_read", read)
        object.__setattr__(self, "_has", lambda name: graph.node("has", value=name, bool_=True))
        object.__setattr__(
            self,
            "_make",
            lambda name: graph.node("state", value=name, kind=kinds.get(name, Kind.TENSOR)),
        )

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        self._read.add(name)
        return self._make(name)

    def __getitem__(self, name: str) -> Any:
        return getattr(self, name)

    def __contains__(self, name: object) -> bool:
        return bool(self._has(name))


class _After(_States):
    """The state as `after` sees it: what the update returned, else what was there before."""

    __slots__ = ("_new",)

    def __init__(
        self, graph: Graph, kinds: Mapping[str, Kind], read: set[str], new: Mapping[str, Node]
    ) -> None:
        super().__init__(graph, kinds, read)
        object.__setattr__(self, "_new", new)

    def __getattr__(self, name: str) -> Any:
        return self._new[name] if name in self._new else super().__getattr__(name)

    def __contains__(self, name: object) -> bool:
        return name in self._new or super().__contains__(name)


class _Run:
    """One call of a rule on symbols."""

    def __init__(
        self,
        rule: Rule,
        shape: tuple[tuple[str, Any], ...],
        graph: Graph,
        kinds: Mapping[str, Kind],
        names: bool,
    ) -> None:
        self.rule, self.graph, self.kinds = rule, graph, kinds
        self.p = graph.node("p", value=P, kind=Kind.ELEMENT)
        self.t = graph.node("t", value=T)
        self.h = Hyper({key: _symbol(graph, (key,), what) for key, what in shape})
        self.local = _Locals() if names else None
        self.read: set[str] = set()
        self.returned: set[str] = set()

    def step(self) -> Leaf:
        """The leaf of a parameter with a gradient."""
        rule, graph, p, t, h = self.rule, self.graph, self.p, self.t, self.h
        g = graph.node("g", value=G, kind=Kind.ELEMENT)
        grad = -g if getattr(h, "maximize", False) is True else g
        states = _States(graph, self.kinds, self.read)
        with self.local or contextlib.nullcontext():
            guard = None if rule.guard is None else _condition(rule, rule.guard(p, g, t, h))
            try:
                step, new = _pair(rule, "update", decayed(rule, p, grad, states, t, h), "step")
            except NoStep as waits:
                return self.leaf(graph.lift(0.0), p, _new_state(rule, graph, waits.state), guard)
            step = graph.lift(step)
            state = updated = _new_state(rule, graph, new)
            moved = p - step
            if rule.after is not None:
                after = _After(graph, self.kinds, self.read, state.nodes)
                moved, more = _pair(rule, "after", rule.after(moved, after, t, h), "p")
                moved = graph.lift(moved)
                state = state | _new_state(rule, graph, more)
        for what, node in (("step", step), ("parameter", moved)):
            if node.bool_:
                raise RuleError(f"{rule.name}: the {what} that the rule returns is a truth value")
        return self.leaf(step, moved, state, guard, counts=True, updated=updated.nodes)

    def idle(self) -> Leaf:
        """The leaf of a parameter without a gradient, in a step that others take."""
        rule, h, new = self.rule, self.h, State()
        if rule.idle is not None and (rule.real is None or rule.real(h)):
            new = rule.idle(self.p, _States(self.graph, self.kinds, self.read), self.t, h)
        new_state = _new_state(rule, self.graph, new)
        return self.leaf(self.graph.lift(0.0), self.p, new_state, None)

    def leaf(
        self,
        step: Node,
        moved: Node,
        state: _New,
        guard: Node | None,
        *,
        counts: bool = False,
        updated: Mapping[str, Node] | None = None,
    ) -> Leaf:
        """What has come out."""
        same = [k for k, x in state.nodes.items() if x.op == "state" and x.value == k]
        self.returned |= state.nodes.keys() | state.drops
        leaf = Leaf(
            tuple(self.graph.path),
            step,
            moved,
            {k: node for k, node in state.nodes.items() if k not in same},
            frozenset(self.read),
            tuple(self.graph.totals),
            guard,
            counts,
            state.drops,
            state.shared,
        )
        if self.local is None:
            return leaf
        return replace(leaf, names=self.local.noted, updated=updated or {})


def _condition(rule: Rule, guard: Any) -> Node:
    if not (isinstance(guard, Node) and guard.bool_ and guard.late):
        raise RuleError(f"{rule.name}: a guard is a condition on totals over all tensors")
    return guard


def _symbol(graph: Graph, key: tuple[Any, ...], what: Any) -> Any:
    if what is NUMBER:
        return graph.node("hyper", value=key)
    if isinstance(what, tuple):
        return tuple(_symbol(graph, (*key, i), x) for i, x in enumerate(what))
    return what


def _pair(rule: Rule, where: str, out: Any, first: str) -> tuple[Any, State]:
    if not (isinstance(out, tuple) and len(out) == 2 and isinstance(out[1], State)):
        raise RuleError(
            f"{rule.name}: {where} returned {_describe(out)}; allowed is a pair ({first}, "
            f"State(name=value, ...)), with State() if there is no state"
        )
    return out


def _describe(out: Any) -> str:
    if isinstance(out, tuple):
        return f"({', '.join(type(x).__name__ for x in out)})"
    return f"a {type(out).__name__}"


@dataclass(frozen=True)
class _New:
    """What a rule returned as its State: states, those to drop, numbers of the whole optimizer."""

    nodes: Mapping[str, Node]
    drops: frozenset[str]
    shared: Mapping[str, Node]

    def __or__(self, other: _New) -> _New:
        nodes = {k: v for k, v in self.nodes.items() if k not in other.drops}
        drops = (self.drops - other.nodes.keys()) | other.drops
        return _New({**nodes, **other.nodes}, drops, {**self.shared, **other.shared})


def _new_state(rule: Rule, graph: Graph, new: State) -> _New:
    nodes: dict[str, Node] = {}
    drops = set()
    for name, value in new.items():
        if value is None:
            drops.add(name)
            continue
        if not isinstance(value, Node) and not is_number(value):
            raise RuleError(
                f"{rule.name}: State({name}=...) is a {type(value).__name__}; a state is a value "
                "of the rule (per element, row, column or tensor), a number, or None to drop it"
            )
        nodes[name] = graph.lift(value)
        if nodes[name].bool_:
            raise RuleError(f"{rule.name}: State({name}=...) is a truth value; use where(c, 1, 0)")
        if name == "step":
            raise RuleError(f"{rule.name}: State(step=...) is taken: `step` is where t is kept")
    shared = {name: nodes.pop(name) for name in rule.shared if name in nodes}
    for name, node in shared.items():
        if node.kind is not Kind.HOST:
            raise RuleError(
                f"{rule.name}: State({name}=...) differs per {node.kind.word}, but the optimizer "
                f"has {name} once: take a total over all tensors, as in total(x, per='all')"
            )
    return _New(nodes, frozenset(drops), shared)


class _Locals:
    """Notes which names a rule's source gives to which values, in the order in which it does.

    The rule's own functions are those that are given the hyperparameters: their variables count,
    and the arguments that a wrapper changed. Of other functions, which are helpers, only the name
    of one that returns a choice (`where`) counts, unless the rule has a name for it.
    """

    OURS = (__name__, Node.__module__, Hyper.__module__, Rule.__module__)

    def __init__(self) -> None:
        self._bound: list[tuple[Node, str, bool]] = []  # the last: named by the rule itself

    @property
    def noted(self) -> tuple[tuple[Node, str], ...]:
        """Each value with its name; with several names, once for each."""
        named = {id(node) for node, _, own in self._bound if own}
        return tuple((x, name) for x, name, own in self._bound if own or id(x) not in named)

    def __enter__(self) -> None:
        self.before = sys.gettrace()
        sys.settrace(self._call)

    def __exit__(self, *_: object) -> None:
        sys.settrace(self.before)

    def _call(self, frame: FrameType, event: str, arg: Any) -> Any:
        if frame.f_globals.get("__name__") in self.OURS:
            return None
        count = frame.f_code.co_argcount + frame.f_code.co_kwonlyargcount
        values = [frame.f_locals.get(name) for name in frame.f_code.co_varnames[:count]]
        if not any(isinstance(value, Hyper) for value in values):
            frame.f_trace_lines = False
            return self._helper
        seen: dict[str, Node] = {}

        def look(frame: FrameType, event: str, arg: Any) -> Any:
            for name, value in frame.f_locals.items():
                if isinstance(value, Node) and seen.get(name) is not value:
                    seen[name] = value
                    self._bound.append((value, name, True))
            return look

        return look(frame, event, arg)

    def _helper(self, frame: FrameType, event: str, arg: Any) -> Any:
        if event == "return" and isinstance(arg, Node) and arg.op == "where":
            self._bound.append((arg, frame.f_code.co_name.strip("_"), False))
        return self._helper
