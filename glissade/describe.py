"""The facts about an optimizer that its plan and its documentation hold.

State per parameter, bytes per parameter a step, passes over memory: all read off the plans that
run, none written down anywhere.
"""

from __future__ import annotations

import functools
import inspect
import math
import re
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from . import rules
from .graph import Kind
from .plan import Pass, Plan
from .program import Program
from .registry import Entry
from .render import conditions, full
from .rule import Rule
from .trace import trace

ITEMSIZE = {"float32": 4, "float64": 8}
LATE = 10_001  # a step by which everything that happens at the start is over
_LONGEST = 50_000


@dataclass(frozen=True)
class Sweep:
    """One pass over memory: the arrays that it reads and writes, and what it adds up."""

    reads: tuple[str, ...]
    writes: tuple[str, ...]
    sums: Mapping[str, int]  # how many per tensor, row ...

    @property
    def numbers(self) -> int:
        """Numbers per element moved."""
        return len(self.reads) + len(self.writes)


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
        return self.numbers * ITEMSIZE[dtype]

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


_ORDER = [Kind.ROW, Kind.COLUMN, Kind.SLICE, Kind.MATRIX, Kind.TENSOR]
_PLURALS = {Kind.ROW: "rows", Kind.COLUMN: "columns", Kind.SLICE: "slices"}


def facts(rule: Rule, ndim: int = 2) -> Facts:
    """The facts about a rule for parameters of rank `ndim`."""
    hyper = full(rule)
    traced = trace(rule, hyper, ndim, names=True)
    program = Program(traced)
    taken = Counter(program.choose(t, hyper) for t in range(LATE, LATE + _period(hyper)))
    started = {program.choose(t, hyper) for t in range(1, 100)}
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
    )


# Documentation


@dataclass(frozen=True)
class Argument:
    """One keyword of a rule's factory, its value, and what the documentation says about it."""

    name: str
    value: Any
    text: str


@dataclass(frozen=True)
class Documentation:
    """A factory's docstring, taken apart."""

    title: str = ""
    notes: tuple[str, ...] = ()
    args: Mapping[str, str] = field(default_factory=dict)  # "betas" or "k, alpha": text
    reach: str = ""

    def text(self, name: str) -> tuple[str, str]:
        """The names that are documented together with this one, and what is said."""
        for names, text in self.args.items():
            if name in names.split(", "):
                return names, text
        return name, ""


@functools.cache
def documentation(factory: Callable[..., Rule]) -> Documentation:
    """The docstring of a rule's factory; "as in `adam`" is replaced by what adam says."""
    title, _, body = (inspect.getdoc(factory) or "").partition("\n")
    notes, reach, args = [], "", {}
    for block in re.split(r"\n\s*\n", body.strip()):
        words = " ".join(block.split())
        if block.startswith("Args:"):
            args = _args(block)
        elif words.startswith("Reach for it"):
            reach = words
        elif words and not re.match(r"\.\. |>>>|Source:|Raises:", words):
            notes.append(words)
    return Documentation(title, tuple(notes), args, reach)


def _args(block: str) -> dict[str, str]:
    entries = re.findall(r"^    (\w[\w, ]*): (.*(?:\n     .*)*)", block, re.MULTILINE)
    args = {names: " ".join(text.split()) for names, text in entries}
    found: dict[str, str] = {}
    for names, text in args.items():
        other = re.fullmatch(r"as in `(\w+)`\.", text)
        if other is None or other[1] not in rules.__all__:
            found[names] = text
            continue
        known = documentation(getattr(rules, other[1]))
        for name in names.split(", "):
            group, said = known.text(name)
            found[group if set(group.split(", ")) <= set(names.split(", ")) else name] = said
    return found


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
