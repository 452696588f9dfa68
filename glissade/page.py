"""What `glissade list` and `glissade show` print."""

from __future__ import annotations

import fnmatch
import inspect
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from . import registry
from .describe import ITEMSIZE, Facts, Path, arguments, documentation, facts
from .graph import Kind
from .registry import Entry
from .render import Mathematics, mathematics
from .rule import Rule
from .statements import short

WIDE = 112  # columns from which the list has room for everything
DECAYS = {
    "l2": "g ← g + λ·p, before anything else",
    "decoupled": "step ← step + lr·λ·p",
    "independent": "step ← step + (lr / lr₀)·λ·p",
    "corrected": "step ← step + lr·(lr / lr₀)·λ·p",
}
SIGNS = {
    "_row": "…_row: one value for each row, along the last dimension",
    "_column": "…_column: one value for each column, along the last dimension but one",
    "_matrix": "…_matrix: one value for the last two dimensions",
    "_slice": "…_slice: one value for each index of the first dimension",
    "_all": "…_all: one value for all tensors that take the step",
    "RMS(": "RMS: the root of the mean square over the whole tensor",
    "‖": "‖ ‖: the Euclidean norm of the whole tensor",
}


def number(x: float) -> str:
    """28, 29.3: one decimal where there is one."""
    return f"{x:.1f}".removesuffix(".0")


# The list


def matching(pattern: str | None) -> list[Entry]:
    """The rows whose name, class, or paper contains the pattern (or fits it, with * and ?)."""
    if pattern is None:
        return list(registry.ROWS)
    word = pattern.lower()
    glob = word if set(word) & set("*?[") else f"*{word}*"

    def fits(entry: Entry) -> bool:
        paper = entry.paper
        texts = (entry.name, entry.title, paper.title, f"{paper.authors} {paper.year}")
        return any(fnmatch.fnmatchcase(text.lower(), glob) for text in texts)

    return [entry for entry in registry.ROWS if fits(entry)]


HEAD = ("Name", "Class", "Paper", "State", "Bytes", "Passes", "Variants")


def rows(entries: Iterable[Entry]) -> tuple[list[tuple[str, ...]], list[str]]:
    """The cells of the list, and what has to be said about vectors."""
    cells: list[tuple[str, ...]] = []
    notes = []
    for entry in entries:
        rule = entry.bind()
        known = facts(rule)
        cells.append(
            (
                entry.name,
                entry.title,
                f"{entry.paper.authors} {entry.paper.year}",
                known.state,
                number(known.bytes()),
                str(known.passes),
                ", ".join(entry.variants) or "-",
            )
        )
        vectors = facts(rule, 1)
        if _cost(vectors) != _cost(known):
            notes.append(f"{entry.name} on vectors: state {vectors.state}, {_cost(vectors)}")
    return cells, notes


def _cost(known: Facts) -> str:
    plural = "es" * (known.passes != 1)
    return f"{number(known.bytes())} bytes, {known.passes} pass{plural}"


def print_list(console: Console, entries: Sequence[Entry]) -> None:
    """A table; bare aligned lines where the output is not a terminal."""
    cells, notes = rows(entries)
    if not console.is_terminal:
        plain = [tuple(head.upper() for head in HEAD), *cells]
        widths = [max(len(row[i]) for row in plain) for i in range(len(HEAD))]
        for row in plain:
            line = "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))
            console.print(line.rstrip(), soft_wrap=True, highlight=False, markup=False)
        return
    wide = console.width >= WIDE
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for head in HEAD:
        if head == "Class" and not wide:
            continue
        table.add_column(
            head,
            justify="right" if head in ("Bytes", "Passes") else "left",
            style={"Name": "bold cyan", "Paper": "", "Variants": "dim"}.get(head, ""),
            no_wrap=head in ("Name", "Class", "Bytes", "Passes"),
        )
    for row in cells:
        table.add_row(*(cell for i, cell in enumerate(row) if wide or i != 1))
    console.print(table)
    console.print()
    said = [
        "State: numbers kept for each number of a parameter. Bytes: moved to and from memory "
        "for each of them in a step (float32). Passes: over memory, in a usual step.",
        *(f"{note}." for note in notes),
        "More about one: glissade show NAME",
    ]
    for line in said:
        console.print(line, style="dim", highlight=False, markup=False)


# One optimizer


def print_show(console: Console, entry: Entry, given: Mapping[str, Any], dtype: str) -> None:
    """Everything about one row of the registry."""
    rule = entry.bind(**given)
    docs = documentation(entry.rule)
    decided = {k: x for k, x in {**entry.preset, **given}.items() if k in rule.hyper}
    forms = {n: mathematics(rule, n, decided) for n in (2, 1)}
    known = {n: facts(rule, n) for n in (2, 1)}
    one = forms[2].lines == forms[1].lines and _cost(known[1]) == _cost(known[2])

    title = docs.title
    if entry.preset:
        title = f"{entry.name} is {entry.rule.__name__} with {_call(entry.preset)}. {title}"
    console.print(Text(title, style="bold"))
    paper = entry.paper
    console.print(
        Text(f"{paper.authors} {paper.year}, {paper.title}, {paper.identifier}", style="dim")
    )
    for note in docs.notes:
        console.print(Text(note))

    usual = {k: x.default for k, x in inspect.signature(entry.rule).parameters.items()}
    variant = f" (variant {given.get('variant', usual['variant'])!r})" if entry.variants else ""
    _head(console, "Definition" + ("" if one else " for matrices") + variant)
    _lines(console, forms[2].lines)
    if not one:
        _head(console, "Definition for vectors and single numbers" + variant)
        _lines(console, forms[1].lines)
    _signs(console, forms.values())

    _head(console, "Values" if given else "Defaults")
    console.print(_defaults(entry, given, forms[2]))
    if entry.variants:
        _head(console, "Variants")
        rows = ((_marked(name, usual["variant"]), whom) for name, whom in entry.variants.items())
        console.print(_grid(rows))
    _head(console, "Weight decay")
    if "decay" in rule.hyper:
        console.print(_grid((_marked(k, usual["decay"]), said) for k, said in DECAYS.items()))
        notes = ["lr₀ is the lr that the parameter group was made with."]
        if not rule.decays:
            notes.append("`step` is the step that is wrapped: try --set decay=decoupled.")
        _lines(console, notes, "dim")
    else:
        _lines(console, ["Placed as the definition says; there is no choice of decay."])

    for n in (2,) if one else (2, 1):
        _memory(console, known[n], forms[n], dtype, "" if one else {2: "matrices", 1: "vectors"}[n])
    if docs.reach:
        _head(console, "When")
        console.print(Padding(Text(docs.reach), (0, 0, 0, 2)))
    _head(console, "Use")
    _lines(console, _use(entry, rule, given))


def _marked(name: str, default: str) -> Text:
    return Text(f"{name} (default)" if name == default else name, style="bold")


def _memory(console: Console, known: Facts, form: Mathematics, dtype: str, where: str) -> None:
    """State and passes, with their bytes."""
    of = f" of {where}" if where else ""
    _head(console, f"State{of}")
    if known.states:
        console.print(_grid(_states(known, form)))
    else:
        _lines(console, ["none"])
    size = ITEMSIZE[dtype]
    _head(console, f"Passes over memory{of}, {dtype}")
    usual = known.paths[known.usual]
    table = _grid(_sweeps(usual, size))
    table.columns[-1].justify = "right"
    console.print(table)
    average = f"{number(known.bytes(dtype))} bytes for each parameter in a step"
    if known.numbers != usual.numbers:
        average += f" on average; above, kernel {known.usual}"
    if {Kind.ROW, Kind.COLUMN} & {*known.states.values()}:
        average += ", not counting rows and columns"
    _lines(console, [average + "."])
    if len(known.paths) > 1:
        rank = "" if known.ndim == 2 or not where else f" --rank {known.ndim}"
        _lines(console, ["", f"Kernels (--kernel{rank} --leaf N prints their code):"])
        console.print(
            _grid(
                (str(i), path.when, f"{path.numbers * size} bytes", _share(path, known))
                for i, path in enumerate(known.paths)
            )
        )


def _share(path: Path, known: Facts) -> str:
    if path.share == 1:
        alone = sum(other.taken for other in known.paths) == 1
        return "every step" if alone else "every step but the first ones"
    if path.share:
        return f"{100 * path.share:.0f} % of the steps"
    return "at the start" if path.taken else "not with these values"


def _states(known: Facts, form: Mathematics) -> Iterator[tuple[str, ...]]:
    for name, kind in known.states.items():
        symbol = form.states.get(name, name)
        theirs = known.rule.aliases.get(name)
        yield (
            symbol,
            f"one number for each {kind.word}",
            "" if symbol == name else name,
            f"torch: {theirs}" if theirs else "",
        )


def _sweeps(path: Path, size: int) -> Iterator[tuple[str, ...]]:
    for i, sweep in enumerate(path.sweeps):
        sums = ", ".join(
            f"{n} per {kind}" if n > 1 else f"per {kind}" for kind, n in sweep.sums.items()
        )
        yield (
            str(i + 1),
            f"reads {', '.join(sweep.reads)}",
            f"writes {', '.join(sweep.writes)}" if sweep.writes else "writes nothing",
            f"sums {sums}" if sums else "",
            f"{sweep.numbers * size} bytes",
        )


def _signs(console: Console, forms: Iterable[Mathematics]) -> None:
    text = "\n".join(map(str, forms))
    said = [meaning for sign, meaning in SIGNS.items() if sign in text]
    if said:
        _lines(console, ["", *said], "dim")


def _defaults(entry: Entry, given: Mapping[str, Any], form: Mathematics) -> Table:
    """Each keyword with its value, its symbol, and what it means."""
    symbols = {short(key, form.hyper): value for key, value in form.hyper.items()}
    fixed = {**entry.preset, **given}
    table = _grid(
        (
            Text(arg.name, style="bold"),
            Text(repr(arg.value), style="cyan" if arg.name in fixed else ""),
            ", ".join(s for s in symbols.get(arg.name, ()) if s != arg.name),
            arg.text,
        )
        for arg in arguments(entry, given)
    )
    for column in table.columns[:-1]:
        column.no_wrap = True
    return table


def _use(entry: Entry, rule: Rule, given: Mapping[str, Any]) -> list[str]:
    words = {"lr": rule.hyper["lr"], **entry.preset, **given}
    return [
        "import glissade",
        f"opt = glissade.{entry.title}(model.parameters(), {_call(words)})",
    ]


def _call(words: Mapping[str, Any]) -> str:
    return ", ".join(f"{key}={value!r}" for key, value in words.items())


def _head(console: Console, text: str) -> None:
    console.print()
    console.print(Text(text, style="bold green"))


def _lines(console: Console, lines: Iterable[str], style: str = "") -> None:
    """Lines that are never broken."""
    for line in lines:
        console.print(Text(f"  {line}" if line else "", style=style), soft_wrap=True)


def _grid(rows: Iterable[Sequence[str | Text]]) -> Table:
    """Aligned columns, two in from the left; columns with nothing in them are left out."""
    filled = list(rows)
    table = Table(box=None, pad_edge=True, padding=(0, 0, 0, 2), show_header=False)
    kept = [cells for cells in zip(*filled, strict=True) if any(map(str, cells))]
    for _ in kept:
        table.add_column()
    for row in zip(*kept, strict=True):
        table.add_row(*(cell if isinstance(cell, Text) else Text(cell) for cell in row))
    return table
