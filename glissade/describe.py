"""The facts about an optimizer that its trace, its plan and its documentation hold.

Equations, state per parameter, bytes per parameter a step, passes over memory: all read off what
runs, none written down anywhere. Rules that compute with torch's own functions (`Rule.matrix`) have
neither trace nor plan: they have the formula of their documentation.
"""

from __future__ import annotations

import inspect
import itertools
import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .docstrings import documentation
from .graph import Kind
from .notation import TEXT, Notation
from .plan import SIZES, Pass, Plan
from .program import Program
from .registry import Entry
from .render import Line, Mathematics, conditions, full, mathematics
from .rule import Rule
from .trace import trace

LATE = 10_000  # steps after which everything that happens at the start is over
BEGIN = 100  # calls in which it happens
_LONGEST = 50_000


@dataclass(frozen=True)
class Sweep:
    """One pass over memory: the arrays that it reads and writes, and what it adds up."""

    reads: tuple[str, ...]
    writes: tuple[str, ...]
    sums: Mapping[str, int]  # how many per tensor, row ...
    own: int  # of the arrays, how often they are the parameter or its gradient

    @property
    def numbers(self) -> int:
        """Numbers per element moved."""
        return len(self.reads) + len(self.writes)

    def bytes(self, dtype: str) -> int:
        """Bytes per element moved: states have four at least."""
        size = SIZES[dtype]
        return self.own * size + (self.numbers - self.own) * max(size, 4)


@dataclass(frozen=True)
class Path:
    """One leaf of the trace: when it is taken, and what it does to memory."""

    when: str
    share: float  # of the steps of a long run
    taken: bool  # whether these hyperparameters ever lead here
    sweeps: tuple[Sweep, ...]

    @property
    def numbers(self) -> int:
        """Numbers per element moved by all passes."""
        return sum(sweep.numbers for sweep in self.sweeps)

    def bytes(self, dtype: str) -> int:
        """Bytes per element moved by all passes."""
        return sum(sweep.bytes(dtype) for sweep in self.sweeps)


@dataclass(frozen=True)
class Facts:
    """What a rule with its values bound costs for parameters of one rank."""

    rule: Rule
    ndim: int
    paths: tuple[Path, ...]
    plans: tuple[Plan, ...]
    usual: int  # the path that most steps take
    states: Mapping[str, Kind]  # of those that these values make use of
    rank_matters: bool

    @property
    def numbers(self) -> float:
        """Numbers per element moved to and from memory in a step, on average."""
        return sum(path.share * path.numbers for path in self.paths)

    @property
    def passes(self) -> int:
        """Passes over memory of a usual step."""
        return len(self.paths[self.usual].sweeps)

    def bytes(self, dtype: str = "float32") -> float:
        """Bytes per element moved to and from memory in a step, on average."""
        return sum(path.share * path.bytes(dtype) for path in self.paths)

    @property
    def per_element(self) -> int:
        """Numbers of state for each element of a parameter, not counting rows and columns."""
        return sum(kind is Kind.ELEMENT for kind in self.states.values())

    @property
    def cost(self) -> str:
        """Bytes and passes in words."""
        return f"{number(self.bytes())} bytes, {self.passes} pass{'es' * (self.passes != 1)}"

    @property
    def state(self) -> str:
        """The state of a parameter in words: "2" numbers per element, "rows + columns"."""
        count = Counter(self.states.values())
        whole = count.pop(Kind.ELEMENT, 0)
        parts = [
            ("" if n == 1 else f"{n} ") + _PLURALS.get(kind, f"1 a {kind.word}")
            for kind, n in sorted(count.items(), key=lambda item: _ORDER.index(item[0]))
        ]
        return " + ".join(([str(whole)] if whole or not parts else []) + parts)


def number(x: float) -> str:
    """28, 29.3: one decimal where there is one."""
    return f"{x:.1f}".removesuffix(".0")


_ORDER = [Kind.ROW, Kind.COLUMN, Kind.SLICE, Kind.MATRIX, Kind.TENSOR]
_PLURALS = {Kind.ROW: "rows", Kind.COLUMN: "columns", Kind.SLICE: "slices"}


def facts(rule: Rule, ndim: int = 2) -> Facts:
    """The facts about a rule for parameters of rank `ndim`; ValueError if it has no plan."""
    if rule.matrix:
        raise ValueError(
            f"{rule.name} has no plan and no kernels: torch's own functions compute it"
        )
    hyper = full(rule)
    traced = trace(rule, hyper, ndim, names=True)
    program = Program(traced)
    late = program.calls(hyper, LATE, program.states)
    taken = Counter(itertools.islice(late, BEGIN, BEGIN + _period(hyper)))
    started = set(itertools.islice(program.calls(hyper), BEGIN))
    ever = {*taken, *started}
    paths = tuple(
        Path(when, taken[i] / taken.total(), i in ever, tuple(map(_sweep, plan.passes)))
        for i, (when, plan) in enumerate(zip(conditions(traced), program.plans, strict=True))
    )
    used = {name for i in ever for name in program.plans[i].states}
    return Facts(
        rule,
        ndim,
        paths,
        program.plans,
        taken.most_common(1)[0][0],
        {name: kind for name, kind in traced.states.items() if name in used},
        traced.rank_matters,
    )


def _period(hyper: Mapping[str, Any]) -> int:
    """Steps after which the order of things repeats: of whatever happens every k steps."""
    every = [x for x in hyper.values() if type(x) is int and 1 <= x <= _LONGEST]
    return min(math.lcm(60, *every), _LONGEST)


def _sweep(part: Pass) -> Sweep:
    reads = [name or what for what, name in part.loads]
    writes = [*part.stores, *([] if part.param is None else ["p"])]
    first = {"g": 0, "p": 1}
    return Sweep(
        tuple(sorted(reads, key=lambda x: (first.get(x, 2), x))),
        tuple(writes),
        {kind.word: n for kind in _ORDER if (n := sum(x.kind is kind for x in part.sums))},
        sum(what in ("p", "g") for what, _ in (*part.loads, *part.written)),
    )


def needs(rule: Rule) -> str:
    """What a rule needs beside gradients: "curvature every k steps", or nothing."""
    return ", ".join(f"{what} every {key} steps" for what, key in rule.inputs.items())


# Equations

WHERE = {2: "matrices", 1: "vectors and single numbers"}


def definitions(
    entry: Entry, given: Mapping[str, Any], write: Notation = TEXT
) -> dict[str, Mathematics]:
    """The equations of a row with these values; those of matrices and of vectors if they differ.

    The keys say what they are for: "", or the words of `WHERE`.
    """
    rule = entry.bind(**given)
    if rule.matrix:
        return {"": Mathematics((Line("", documentation(entry.rule).formula),), {}, {})}
    decided = {k: x for k, x in {**entry.preset, **given}.items() if k in rule.hyper}
    forms = {n: mathematics(rule, n, decided, write) for n in WHERE}
    if forms[2].lines == forms[1].lines:
        return {"": forms[2]}
    return {WHERE[n]: form for n, form in forms.items()}


# Documentation


@dataclass(frozen=True)
class Argument:
    """One keyword of a rule's factory, its value, and what the documentation says about it."""

    name: str
    value: Any
    text: str


def arguments(entry: Entry, given: Mapping[str, Any]) -> tuple[Argument, ...]:
    """The keywords of a row's factory in the order of its documentation, with their values."""
    rule = entry.bind(**given)
    docs = documentation(entry.rule)
    signature = inspect.signature(entry.rule).parameters
    values: dict[str, Any] = {}
    for name, parameter in signature.items():
        values[name] = {**entry.preset, **given}.get(name, parameter.default)
        if values[name] is None:  # which value that is, the rule knows
            values[name] = rule.hyper.get(name)
    order = [name for names in docs.args for name in names.split(", ") if name in values]
    out, said = [], ""
    for name in sorted(values, key=lambda x: order.index(x) if x in order else len(order)):
        names, text = docs.text(name)
        out.append(Argument(name, values[name], "" if names == said else text))
        said = names
    return tuple(out)
