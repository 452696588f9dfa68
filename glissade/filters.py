"""What `glissade list` leaves out: a pattern, and conditions on what a plan costs."""

from __future__ import annotations

import fnmatch
import operator
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from . import around, registry
from .around import Other
from .describe import Facts, facts, number
from .registry import Entry

OPERATORS: Mapping[str, Callable[[float, float], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "=": operator.eq,
    "==": operator.eq,
}
# What can be asked for, as the list shows it: matrices in float32.
MEASURES: Mapping[str, Callable[[Facts], float]] = {
    "state": lambda known: known.per_element,
    "bytes": lambda known: round(known.bytes(), 1),
    "passes": lambda known: known.passes,
}


@dataclass(frozen=True)
class Condition:
    """``state <= 1``"""

    measure: str
    operator: str
    bound: float

    def holds(self, known: Facts) -> bool:
        """Whether it is true of these facts."""
        return OPERATORS[self.operator](MEASURES[self.measure](known), self.bound)

    def __str__(self) -> str:
        return f"{self.measure} {self.operator} {number(self.bound)}"


def condition(measure: str, text: str) -> Condition:
    """The condition that ``<=1`` is on a measure; ValueError says how to write one."""
    found = re.fullmatch(r"\s*([<>]=?|==?)\s*(\d+(?:\.\d*)?)\s*", text)
    if found is None:
        raise ValueError(
            f"--{measure} {text!r}: write an operator and a number, such as '<=2'; operators are "
            f"{', '.join(OPERATORS)}"
        )
    return Condition(measure, found[1], float(found[2]))


def others(pattern: str | None) -> dict[str, list[Other]]:
    """Wrappers and optimizers that are no rules, by the heading they stand under."""
    kinds = {"Wrapper": around.WRAPPERS, "Optimizer": around.OPTIMIZERS}
    return {
        kind: [x for x in some if pattern is None or _match(x.name, pattern)]
        for kind, some in kinds.items()
    }


def matching(pattern: str | None, conditions: Sequence[Condition] = ()) -> list[Entry]:
    """The rows that fit the pattern and all conditions.

    A pattern fits what contains it in its name, class or paper, or what it describes with * and ?.
    Rows without a plan fit no condition.
    """
    return [row for row in registry.ROWS if _fits(row, pattern) and _holds(row, conditions)]


def _fits(entry: Entry, pattern: str | None) -> bool:
    paper = entry.paper
    texts = (entry.name, entry.title, paper.title, f"{paper.authors} {paper.year}")
    return pattern is None or any(_match(text, pattern) for text in texts)


def _match(text: str, pattern: str) -> bool:
    word = pattern.lower()
    glob = word if set(word) & set("*?[") else f"*{word}*"
    return fnmatch.fnmatchcase(text.lower(), glob)


def _holds(entry: Entry, conditions: Sequence[Condition]) -> bool:
    if not conditions:
        return True
    rule = entry.bind()
    if rule.matrix:
        return False
    known = facts(rule)
    return all(one.holds(known) for one in conditions)
