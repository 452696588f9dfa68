"""Two variants of an optimizer beside each other: which lines of their definitions differ."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

from .checks import nearest
from .describe import arguments, definitions, facts
from .docstrings import documentation
from .latex import LATEX, block
from .notation import TEXT, Notation
from .registry import Entry
from .render import Line
from .terminal import grid, heading, lines, signs

# What stands between two lines, and what it means.
MARKS = {" ": "", "|": "the two differ", "<": "only {}", ">": "only {}"}


@dataclass(frozen=True)
class Row:
    """A line of one definition beside one of the other; "" where there is none."""

    left: str
    right: str

    @property
    def mark(self) -> str:
        """What stands between them: one of `MARKS`."""
        if self.left == self.right:
            return " "
        return "|" if self.left and self.right else "<" if self.left else ">"


def align(left: Sequence[Line], right: Sequence[Line]) -> list[Row]:
    """The lines of both, those beside each other that are about the same.

    Of all ways to do so, in their order, one with the most equal lines, then the most pairs.
    """
    table: dict[tuple[int, int], tuple[int, list[Row]]] = {}
    for i in range(len(left), -1, -1):
        for j in range(len(right), -1, -1):
            ways: list[tuple[int, list[Row]]] = []
            if i < len(left) and j < len(right) and left[i].about == right[j].about:
                a, b = left[i].text, right[j].text
                score, rest = table[i + 1, j + 1]
                ways.append((score + (100 if a == b else 1), [Row(a, b), *rest]))
            if i < len(left):
                score, rest = table[i + 1, j]
                ways.append((score, [Row(left[i].text, ""), *rest]))
            if j < len(right):
                score, rest = table[i, j + 1]
                ways.append((score, [Row("", right[j].text), *rest]))
            table[i, j] = max(ways, key=lambda way: way[0], default=(0, []))
    return table[0, 0][1]


@dataclass(frozen=True)
class Difference:
    """Two variants of a row, and in what they differ."""

    names: tuple[str, str]
    blocks: Mapping[str, list[Row]]  # for all parameters: "", or for matrices and for vectors
    values: tuple[tuple[str, str, str], ...]  # keyword, and what it is by default in either
    costs: tuple[tuple[str, str, str], ...]  # state, bytes and passes, likewise


def variants(entry: Entry, words: str, given: Mapping[str, Any]) -> tuple[str, str]:
    """The two variants that "torch,paper" names, or "paper" beside the default.

    ValueError where there are no such two, or where one of them cannot be with the values given.
    """
    usual = inspect.signature(entry.rule).parameters.get("variant")
    if usual is None or not entry.variants:
        raise ValueError(f"--diff: {entry.name} has no variants")
    known = _known(entry)
    names = [word.strip() for word in words.split(",")]
    allowed = f"known are {', '.join(known)}"
    if len(names) > 2:
        raise ValueError(f"--diff {words}: name two variants, or one to set beside {usual.default}")
    for name in names:
        if name not in known:
            raise ValueError(
                f"--diff {words}: {entry.name} has no variant {name!r}; {allowed}"
                f"{nearest(name, known)}"
            )
    left, right = names if len(names) == 2 else (usual.default, names[0])
    if left == right:
        what = "is the default" if len(names) == 1 else "is one and the same"
        raise ValueError(f"--diff {words}: {left} {what}; name another; {allowed}")
    for name in (left, right):
        if entry.bind(**{**given, "variant": name}).matrix:
            raise ValueError(
                f"--diff: torch's own functions compute {entry.name}: it has no lines to compare"
            )
    return left, right


def _known(entry: Entry) -> list[str]:
    """The variants of the row, and what its rule takes beside them: Adam's "paper" is "torch"."""
    words = [*entry.variants, *entry.bind().choices.get("variant", ())]
    return [word for word in dict.fromkeys(words) if _binds(entry, word)]


def _binds(entry: Entry, variant: str) -> bool:
    try:
        entry.bind(variant=variant)
    except ValueError:
        return False
    return True


def difference(
    entry: Entry, names: tuple[str, str], given: Mapping[str, Any], write: Notation = TEXT
) -> Difference:
    """What differs between two variants with the same values given."""
    both = [{**given, "variant": name} for name in names]
    left, right = (definitions(entry, one, write) for one in both)
    blocks = {}
    for where in left if len(left) > len(right) else right:
        a, b = (forms.get(where) or forms[""] for forms in (left, right))
        blocks[where] = align(a.steps, b.steps)
    return Difference(names, blocks, tuple(_values(entry, both)), tuple(_costs(entry, both)))


def _values(entry: Entry, both: Sequence[Mapping[str, Any]]) -> Iterator[tuple[str, str, str]]:
    for a, b in zip(*(arguments(entry, one) for one in both), strict=True):
        if a.name != "variant" and a.value != b.value:
            yield a.name, repr(a.value), repr(b.value)


def _costs(entry: Entry, both: Sequence[Mapping[str, Any]]) -> Iterator[tuple[str, str, str]]:
    rules = [entry.bind(**one) for one in both]
    if any(rule.matrix for rule in rules):
        return
    said = set()
    for ndim, of in ((2, ""), (1, " of vectors")):
        a, b = (facts(rule, ndim) for rule in rules)
        for what, x, y in (("state", a.state, b.state), ("a step", a.cost, b.cost)):
            if x != y and (what, x, y) not in said:
                said.add((what, x, y))
                yield what + of, x, y


def document(entry: Entry, names: tuple[str, str], given: Mapping[str, Any]) -> str:
    """Both definitions as LaTeX, in two columns; lines that differ have a ≠ between them."""
    found = difference(entry, names, given, LATEX)
    paper = entry.paper
    parts = [
        f"% {entry.label}: {paper.authors} {paper.year}, {paper.identifier}",
        f"% variants {names[0]} and {names[1]}",
    ]
    head = [rf"\text{{{name}}}".replace("_", r"\_") for name in names]
    for where, rows in found.blocks.items():
        if where:
            parts.append(f"% for {where}")
        cells = [
            " & ".join([row.left, r"\neq\quad" if row.mark.strip() else "", row.right])
            for row in rows
        ]
        cells = [re.sub(" +", " ", cell).strip() for cell in (" & & ".join(head), *cells)]
        parts.append(block(cells))
    return "\n".join(parts)


# On the terminal


def print_diff(
    console: Console, entry: Entry, names: tuple[str, str], given: Mapping[str, Any]
) -> None:
    """Both definitions beside each other, or one under the other where they do not fit."""
    found = difference(entry, names, given)
    usual = inspect.signature(entry.rule).parameters["variant"].default
    titles = [f"{name} (default)" if name == usual else name for name in names]
    console.print(Text(documentation(entry.rule).title, style="bold"))
    for where, rows in found.blocks.items():
        heading(console, "Definition" + (f" for {where}" if where else ""))
        _beside(console, titles, rows)
    marks = {row.mark for rows in found.blocks.values() for row in rows} - {" "}
    signs(
        console, "\n".join(row.left + row.right for rows in found.blocks.values() for row in rows)
    )
    said = [f"{mark}  {MARKS[mark].format(names[mark == '>'])}" for mark in MARKS if mark in marks]
    lines(console, ["", *(said or ["No line differs."])], "dim")
    if found.values:
        heading(console, "Values that differ")
        console.print(grid([("", *titles), *found.values]))
    if found.costs:
        heading(console, "Costs that differ")
        console.print(grid([("", *titles), *found.costs]))
    heading(console, "Variants")
    console.print(
        grid(
            (Text(title, style="bold"), entry.variants.get(name, ""))
            for title, name in zip(titles, names, strict=True)
        )
    )


def _beside(console: Console, titles: Sequence[str], rows: Sequence[Row]) -> None:
    """Two columns with the marks between them, or two blocks with the marks before the lines."""
    left = max(map(cell_len, [titles[0], *(row.left for row in rows)]))
    right = max(map(cell_len, [titles[1], *(row.right for row in rows)]))
    if left + right + 7 <= console.width:
        _line(console, titles[0] + " " * (left - cell_len(titles[0]) + 5) + titles[1], "bold")
        for row in rows:
            gap = " " * (left - cell_len(row.left))
            style = "yellow" if row.mark.strip() else ""
            _line(console, f"{row.left}{gap}  {row.mark}  {row.right}", style)
        return
    for title, side in zip(titles, ("left", "right"), strict=True):
        if side == "right":
            console.print()
        _line(console, f"   {title}", "bold")
        for row in rows:
            text = getattr(row, side)
            if text:
                _line(console, f"{row.mark}  {text}", "yellow" if row.mark.strip() else "")


def _line(console: Console, text: str, style: str) -> None:
    console.print(Text(f"  {text}".rstrip(), style=style), soft_wrap=True)
