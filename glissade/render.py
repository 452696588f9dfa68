"""The mathematics of a rule, from its trace, so that it cannot differ from what runs.

Each path through the rule's host conditions is a list of assignments. The lists are merged: what
all paths share stands once, what they do not under an ``if``.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from .graph import Node
from .host import calculator
from .notation import PREVIOUS, TEXT, Expr, Notation, unify
from .rule import Rule
from .simplify import walk
from .statements import Assign, Names, Writer, roots
from .trace import Leaf, Trace, trace

OPPOSITE = {"has": "lacks", "eq": "ne", "ne": "eq", "lt": "ge", "ge": "lt", "gt": "le", "le": "gt"}


@dataclass(frozen=True)
class If:
    """What is done where the condition holds, and where it does not."""

    condition: Expr
    then: tuple[Assign | If, ...]
    otherwise: tuple[Assign | If, ...]


Step = Assign | If
Path = tuple[tuple[Expr, bool], ...]


class Line(NamedTuple):
    """A line as it is printed, and what it is about: the name that it assigns to, "if" ..."""

    about: str
    text: str


@dataclass(frozen=True)
class Mathematics:
    """The lines, and how the hyperparameters and states that occur in them are written."""

    steps: tuple[Line, ...]
    hyper: Mapping[str, tuple[str, ...]]  # {"betas": ("β₁", "β₂")}
    states: Mapping[str, str]

    @property
    def lines(self) -> tuple[str, ...]:
        """The lines as they are printed."""
        return tuple(step.text for step in self.steps)

    def __str__(self) -> str:
        return "\n".join(self.lines)


def mathematics(
    rule: Rule,
    ndim: int = 2,
    given: Mapping[str, Any] | None = None,
    write: Notation = TEXT,
) -> Mathematics:
    """The definition of a rule for parameters of rank `ndim`.

    Conditions on the hyperparameters in `given` alone are decided, all others are written out.
    """
    hyper = full(rule)
    traced = trace(rule, hyper, ndim, names=True)
    steps = program(traced, given or {})
    names = Names(traced)
    used = set(_names_in(steps))
    return Mathematics(
        tuple(_lines(steps, write)),
        {
            key: tuple(write.spell(n) for (k, *_), n in sorted(names.hyper.items()) if k == key)
            for key in rule.hyper
            if any(k == key and n in used for (k, *_), n in names.hyper.items())
        },
        {name: write.spell(n) for name, n in names.states.items() if n in used},
    )


def full(rule: Rule, hyper: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """A rule's hyperparameters with what a group adds to them."""
    values = {**rule.hyper, **(hyper or {})}
    return {**values, "base_lr": values["lr"], "maximize": False}


def conditions(traced: Trace, write: Notation = TEXT) -> tuple[str, ...]:
    """For each leaf the conditions that lead to it, or "always"."""
    return tuple(
        " and ".join(write.write(_answer(*part)) for part in path) or "always"
        for path, _ in _paths(traced, {})
    )


# All paths


def program(traced: Trace, given: Mapping[str, Any]) -> tuple[Step, ...]:
    """The assignments of all leaves, merged."""
    return _merge(_paths(traced, given))


def _paths(traced: Trace, given: Mapping[str, Any]) -> list[tuple[Path, tuple[Step, ...]]]:
    """The assignments of each leaf after the conditions that lead there."""
    leaves = _reachable(traced, given)
    names = Names(traced)
    live = {id(node) for node in walk(roots([leaf for leaf, _ in leaves]))}
    primed: set[str] = set()
    while True:
        writers = [Writer(traced, leaf, names, live, primed) for leaf, _ in leaves]
        lists = [writer.statements() for writer in writers]
        clashes = set().union(*(w.clashes for w in writers)) - primed
        if not clashes:
            break
        primed |= clashes
    return [
        (tuple((w.condition(c), yes) for c, yes in path), tuple(steps))
        for w, (_, path), steps in zip(writers, leaves, lists, strict=True)
    ]


def _reachable(
    traced: Trace, given: Mapping[str, Any]
) -> list[tuple[Leaf, tuple[tuple[Node, bool], ...]]]:
    """The leaves that `given` leaves open, with the conditions that it does not decide."""
    out = []
    for leaf in traced.leaves:
        path = []
        for node, yes in leaf.path:
            reads = {
                str(n.value[0] if n.op == "hyper" else n.op) for n in walk([node]) if not n.args
            }
            if reads - {"const"} <= {*given}:
                if bool(calculator("", [node])(1, given)[0]) is not yes:
                    break
            else:
                path.append((node, yes))
        else:
            out.append((leaf, tuple(path)))
    return out


def _merge(paths: Sequence[tuple[Path, tuple[Step, ...]]]) -> tuple[Step, ...]:
    """One program that does on each path what the path's list does."""
    if len(paths) == 1:
        return paths[0][1]
    then, otherwise = (
        _merge([(path[1:], steps) for path, steps in paths if path[0][1] is yes])
        for yes in (True, False)
    )
    return _branch(paths[0][0][0][0], then, otherwise)


WORTH = 3  # lines that must be shared for a condition to be written twice


def _branch(
    condition: Expr, then: tuple[Step, ...], otherwise: tuple[Step, ...]
) -> tuple[Step, ...]:
    """Both sides under the condition, what they share outside it."""
    if not then and not otherwise:
        return ()
    reads = set(_names_in([If(condition, (), ())]))
    best: tuple[Step, ...] = ()
    at = (0, 0)
    for i, j in itertools.product(range(len(then)), range(len(otherwise))):
        run = _shared(then[i:], otherwise[j:])
        first = not i and not j
        last = (i + len(run), j + len(run)) == (len(then), len(otherwise))
        if not first and reads & {a.target for a in run if isinstance(a, Assign)}:
            continue  # the condition would stand before what it is about
        if (first or last or _height(run) >= WORTH) and _height(run) > _height(best):
            best, at = run, (i, j)
    if not best:
        return (If(condition, then, otherwise),)
    (i, j), n = at, len(best)
    return (
        *_branch(condition, then[:i], otherwise[:j]),
        *best,
        *_branch(condition, then[i + n :], otherwise[j + n :]),
    )


def _shared(a: Sequence[Step], b: Sequence[Step]) -> tuple[Step, ...]:
    """What both lists begin with."""
    out = []
    for x, y in zip(a, b, strict=False):
        same = _same(x, y)
        if same is None:
            break
        out.append(same)
    return tuple(out)


def _height(steps: Sequence[Step]) -> int:
    """How many lines these are."""
    return sum(
        1 if isinstance(x, Assign) else 2 + _height(x.then) + _height(x.otherwise) for x in steps
    )


def _same(a: Step, b: Step) -> Step | None:
    """A step that says the same as both, or None."""
    if isinstance(a, Assign) and isinstance(b, Assign):
        value = unify(a.value, b.value)
        if value is None or (a.target, a.again) != (b.target, b.again):
            return None
        return Assign(a.target, value, a.again)
    if isinstance(a, If) and isinstance(b, If):
        condition = unify(a.condition, b.condition)
        if condition is None:
            return None
        parts = []
        for x, y in ((a.then, b.then), (a.otherwise, b.otherwise)):
            parts.append(_shared(x, y))
            if not len(parts[-1]) == len(x) == len(y):
                return None
        return If(condition, parts[0], parts[1])
    return None


# Printing


def _answer(condition: Expr, yes: bool) -> Expr:
    if yes:
        return condition
    if condition.op in OPPOSITE:
        return Expr(OPPOSITE[condition.op], condition.args)
    return Expr("not", (condition,))


def _lines(steps: Sequence[Step], write: Notation, depth: int = 0) -> Iterator[Line]:
    indent = write.indent * depth
    for step in steps:
        if isinstance(step, Assign):
            form = write.update if step.again else write.define
            text = form.format(write.spell(step.target), write.write(step.value))
            yield Line(step.target, indent + text)
            continue
        condition = write.write(_answer(step.condition, bool(step.then)))
        yield Line("if", indent + write.condition.format(condition))
        yield from _lines(step.then or step.otherwise, write, depth + 1)
        if step.then and step.otherwise:
            yield Line("otherwise", indent + write.otherwise)
            yield from _lines(step.otherwise, write, depth + 1)


def _names_in(steps: Sequence[Step]) -> Iterator[str]:
    def inside(e: Expr) -> Iterator[str]:
        if e.op == "name":
            yield e.value[0].rstrip(PREVIOUS)
        for arg in e.args:
            yield from inside(arg)

    for step in steps:
        if isinstance(step, Assign):
            yield step.target
            yield from inside(step.value)
        else:
            yield from inside(step.condition)
            yield from _names_in((*step.then, *step.otherwise))
