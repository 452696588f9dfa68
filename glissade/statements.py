"""One path through a rule as a list of assignments, in the order and with the names of its source.

Read like a program: `=` gives a name to a value, `←` a new value to a name that had one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from . import notation, wrappers
from .graph import Kind, Node
from .notation import PREVIOUS, Expr
from .simplify import walk
from .trace import Leaf, Trace

SYMBOLS = ("const", "hyper", "t", "p", "g", "state")


@dataclass(frozen=True)
class Assign:
    """``target = value``, or ``target ← value`` where the target had a value."""

    target: str
    value: Expr
    again: bool


class Names:
    """What hyperparameters and states are called, the same on every path."""

    def __init__(self, traced: Trace) -> None:
        self.states = {name: short(name, traced.states) for name in traced.states}
        keys = traced.rule.hyper
        taken = {*self.states.values()}
        self.hyper: dict[tuple[Any, ...], str] = {}
        noted: dict[tuple[Any, ...], str] = {}
        for leaf in traced.leaves:
            for node, name in leaf.names:
                if node.op == "hyper":
                    noted.setdefault(node.value, name)
        for node in walk(roots(traced.leaves)):
            if node.op == "hyper" and node.value not in self.hyper:
                key, *index = node.value
                stem = short(key, {**keys, **dict.fromkeys(taken)})
                stem = {"betas": "beta", "phi_bounds": "phi"}.get(stem, stem)
                default = stem + "".join(str(i + 1) for i in index)
                name = noted.get(node.value, default)
                used = {"p", "g", "t", "step", *taken, *self.hyper.values()}
                self.hyper[node.value] = f"h_{name}" if name in used else name


def short(name: str, others: Mapping[str, Any]) -> str:
    """A wrapper's ``lookahead_k`` as k, unless something else is called so."""
    for wrapper in wrappers.__all__:
        rest = name.removeprefix(wrapper + "_")
        if rest != name and rest not in others:
            return rest
    return name


def roots(leaves: Sequence[Leaf]) -> list[Node]:
    return [
        node
        for leaf in leaves
        for node in (
            leaf.step,
            leaf.param,
            *leaf.state.values(),
            *leaf.shared.values(),
            *(c for c, _ in leaf.path),
        )
    ]


class Writer:
    """Turns one leaf into assignments, keeping track of what each name stands for."""

    def __init__(
        self, traced: Trace, leaf: Leaf, names: Names, live: set[int], primed: set[str]
    ) -> None:
        graph = leaf.step.graph
        self.names = names
        self.leaf = leaf
        self.live = live
        self.primed = primed  # names that may not be given to another value
        self.clashes: set[str] = set()  # names that turn out to belong there
        self.out: list[Assign] = []
        self.before = {"t": graph.node("t", value="t")}  # as the step begins
        for node in walk(roots(traced.leaves)):
            if node.op == "hyper":
                self.before[names.hyper[node.value]] = node
        self.before["p"] = graph.node("p", value="p", kind=Kind.ELEMENT)
        self.before["g"] = graph.node("g", value="g", kind=Kind.ELEMENT)
        for name, kind in traced.states.items():
            self.before[names.states[name]] = graph.node("state", value=name, kind=kind)
        self.now = dict(self.before)

    def statements(self) -> list[Assign]:
        """The leaf as assignments."""
        leaf = self.leaf
        if leaf.counts:
            self._step(leaf)
        else:  # only states change
            self.moved = leaf.step
            self._begin(leaf.state, leaf.names)
        for k in list(self.late):
            self._assign_late(k)
        for key, node in leaf.shared.items():
            if (key,) in self.names.hyper:
                self._assign(self.names.hyper[(key,)], node)
        if leaf.counts:
            self._last()
        return self.out

    def _step(self, leaf: Leaf) -> None:
        self.moved = leaf.step.graph.apply("sub", self.before["p"], leaf.step)
        after = _users(self.moved, leaf)
        updated = {k: n for k, n in leaf.updated.items() if id(n) in self.live}
        self._begin(updated, [b for b in leaf.names if b[0] not in after])
        for k in list(self.late):
            old = self.before.get(k)
            if old is None or leaf.step not in _users(old, leaf):
                self._assign_late(k)
        if self.now.get("step") is not leaf.step:
            self._assign("step", leaf.step)
        for k in list(self.late):
            self._assign_late(k)
        self._put("p", Expr("sub", (notation.name("p"), notation.name("step"))), self.moved)
        # What `after` set back to what it was is not among the leaf's states.
        back = {k: self.before[self.names.states[k]] for k in updated if k not in leaf.state}
        self._begin({**leaf.state, **back}, [b for b in leaf.names if b[0] in after])
        read = set(walk([leaf.param]))
        if any(self.now[k] in read for k in self.late) and not after & {*self.late.values()}:
            self._last()  # it reads a state that is about to change

    def _last(self) -> None:
        if self.now["p"] is not self.leaf.param:
            self._assign("p", self.leaf.param)

    def _begin(self, states: Mapping[str, Node], names: Sequence[tuple[Node, str]]) -> None:
        """Assign what has a variable in the source of `update`, or of `after`."""
        self.new = {self.names.states[k]: node for k, node in states.items()}
        bindings = self._bindings(names)
        # A state is assigned where the source has a variable of its name, else at the end.
        bound = {(id(node), name) for node, name in bindings}
        self.late = {k: n for k, n in self.new.items() if (id(n), k) not in bound}
        for node, name in bindings:
            self._bind(node, name)

    def _bindings(self, names: Sequence[tuple[Node, str]]) -> list[tuple[Node, str]]:
        """The names in the source that are worth a line."""
        found = []
        kept = set(self.new.values())
        final: set[str] = set()
        for node, name in names:
            name = short(name, {})
            if id(node) not in self.live or node.op in SYMBOLS or node is self.moved:
                continue
            if name == "p" and node in kept:
                continue  # the state first, then p from it
            if name in final and self.new[name] is not node:
                if node in kept:
                    continue  # the variable has gone on to hold another state
                name += "'"
            if self.new.get(name) is node:
                final.add(name)
            found.append((node, name))
        return found

    def _bind(self, node: Node, name: str) -> None:
        known = any(x is node for x in self.now.values())
        if known and self.new.get(name) is not node:
            return  # a second name for the same value
        if self.now.get(name) is node:
            return
        first = self.before.get(name)
        while self.new.get(name) is not node and (
            (first is not None and first.op == "hyper")
            or (name in self.primed and name in self.now)
        ):
            name += "'"
            first = self.before.get(name)
        self._assign(name, node)

    def _assign_late(self, name: str) -> None:
        node = self.late.pop(name, None)
        if node is not None and self.now.get(name) is not node:
            self._assign(name, node)

    def _assign(self, name: str, node: Node) -> None:
        self._prepare(node, name)
        self._put(name, self.value(node, name), node)

    def _prepare(self, node: Node, name: str) -> None:
        """Assign first what the value is computed from and has a name of its own."""
        for part in walk([node]):
            if part is not node and not any(part is x for x in self.now.values()):
                for k, new in list(self.late.items()):
                    if new is part and k != name and part.op not in SYMBOLS:
                        self._assign_late(k)

    def _put(self, name: str, value: Expr, node: Node) -> None:
        again = name in self.now or name in self.names.states.values()
        self.out.append(Assign(name, value, again))
        self.now[name] = node

    def condition(self, node: Node) -> Expr:
        """A host condition, which stands for the same all through the step."""
        now, slots = self.now, {"p", "g", *self.names.states.values()}
        self.now = {k: x for k, x in now.items() if x.kind is Kind.HOST and k not in slots}
        made = self.value(node)
        self.now = now
        return made

    def value(self, node: Node, target: str = "") -> Expr:
        """The value in terms of what has a name now; `target` is the name it is about to get."""
        if node.op == "const":
            return Expr("number", value=node.value)
        if node.op == "has":
            return Expr("has", (notation.name(self.names.states.get(node.value, node.value)),))
        names = [name for name, x in self.now.items() if x is node]
        if names:
            return notation.name(*names)
        for name, x in self.before.items():
            if x is node:
                if node.op == "state" or name == "p":
                    return notation.name(name + PREVIOUS)
                self.clashes.add(name)
        if node.op == "still":  # what it is for everywhere but at the ends of the range
            return self.value(node.args[0], target)
        if not target:  # did it have a name that stands for something else by now?
            had = {short(name, {}) for x, name in self.leaf.names if x is node}
            self.clashes |= {a.target for a in self.out if a.target.rstrip("'") in had}
        value = node.value if node.op in ("sum", "sumsq") else None
        return Expr(node.op, tuple(self.value(a) for a in node.args), value)


def _users(source: Node, leaf: Leaf) -> set[Node]:
    """Every value of a leaf that `source` enters, itself included."""
    users: set[Node] = set()
    for node in walk(roots([leaf])):
        if node is source or any(arg in users for arg in node.args):
            users.add(node)
    return users
