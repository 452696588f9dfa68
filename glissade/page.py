"""What `glissade list` and `glissade show` print."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from .around import Other
from .describe import (
    WHERE,
    Facts,
    Path,
    arguments,
    definitions,
    facts,
    needs,
    number,
)
from .docstrings import documentation
from .graph import Kind
from .registry import Entry
from .render import Mathematics
from .rule import Rule
from .statements import short
from .terminal import grid, heading, lines, paragraph, signs

WIDE = 112  # columns from which the list has room for everything
DECAYS = {
    "l2": "g ← g + λ·p, before anything else",
    "decoupled": "step ← step + lr·λ·p",
    "independent": "step ← step + (lr / lr₀)·λ·p",
    "corrected": "step ← step + lr·(lr / lr₀)·λ·p",
}


# The list


HEAD = ("Name", "Class", "Paper", "State", "Bytes", "Passes", "Variants")


def rows(entries: Iterable[Entry]) -> tuple[list[tuple[str, ...]], list[str]]:
    """The cells of the list, and what has to be said about vectors."""
    cells: list[tuple[str, ...]] = []
    notes = []
    for entry in entries:
        rule = entry.bind()
        cost = ("-", "-", "-")  # of a rule without a plan
        if not rule.matrix:
            known, vectors = facts(rule), facts(rule, 1)
            cost = (known.state, number(known.bytes()), str(known.passes))
            if vectors.cost != known.cost:
                notes.append(f"{entry.name} on vectors: state {vectors.state}, {vectors.cost}")
        if needs(rule):
            notes.append(f"{entry.name} needs {needs(rule)}")
        paper = f"{entry.paper.authors} {entry.paper.year}"
        variants = ", ".join(entry.variants) or "-"
        cells.append((entry.name, entry.title, paper, *cost, variants))
    return cells, notes


def print_list(
    console: Console, entries: Sequence[Entry], others: Mapping[str, Sequence[Other]]
) -> None:
    """Tables; bare aligned lines where the output is not a terminal."""
    if entries:
        _print_rows(console, entries)
    first = not entries
    for head, some in others.items():
        if some:
            if not first:
                console.print()
            _print_others(console, head, some)
            first = False
    if console.is_terminal:
        console.print()
        console.print("More about one: glissade show NAME", style="dim", highlight=False)


def _print_others(console: Console, head: str, others: Sequence[Other]) -> None:
    cells = [(other.name, other.title) for other in others]
    if not console.is_terminal:
        _plain(console, (head, "What it does"), cells)
        return
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    table.add_column(head, style="bold cyan", no_wrap=True)
    table.add_column("What it does")
    for row in cells:
        table.add_row(*row)
    console.print(table)


def _plain(console: Console, head: Sequence[str], cells: Sequence[Sequence[str]]) -> None:
    plain = [tuple(word.upper() for word in head), *cells]
    widths = [max(len(row[i]) for row in plain) for i in range(len(head))]
    for row in plain:
        line = "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        console.print(line.rstrip(), soft_wrap=True, highlight=False, markup=False)


def _print_rows(console: Console, entries: Sequence[Entry]) -> None:
    cells, notes = rows(entries)
    if not console.is_terminal:
        _plain(console, HEAD, cells)
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
    ]
    for line in said:
        console.print(line, style="dim", highlight=False, markup=False)


# One optimizer


def print_other(console: Console, other: Other) -> None:
    """Everything about a wrapper, or an optimizer that is no rule."""
    docs = documentation(other.what)
    console.print(Text(other.title, style="bold"))
    for note in docs.notes:
        console.print(Text(note))
    for head, text in (("Definition, as documented", docs.formula), ("Source", docs.source)):
        if text:
            heading(console, head)
            paragraph(console, text)
    if docs.args:
        heading(console, "Arguments")
        console.print(grid([(names, text) for names, text in docs.args.items()]))
    if docs.when:
        heading(console, "When")
        paragraph(console, f"{docs.when} {docs.not_when}".rstrip())
    heading(console, "Use")
    lines(console, ["import glissade", f"glissade.{other.home}{other.name}(...)"])


def print_show(console: Console, entry: Entry, given: Mapping[str, Any], dtype: str) -> None:
    """Everything about one row of the registry."""
    rule = entry.bind(**given)
    docs = documentation(entry.rule)
    forms = definitions(entry, given)
    known = {} if rule.matrix else {n: facts(rule, n) for n in WHERE}
    one = len(forms) == 1 and len({x.cost for x in known.values()}) <= 1

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
    if rule.matrix:
        variant = ", as documented"
    for where, form in forms.items():
        heading(console, "Definition" + (f" for {where}" if where else "") + variant)
        if rule.matrix:
            paragraph(console, str(form))
        else:
            lines(console, form.lines)
    signs(console, "\n".join(map(str, forms.values())))

    heading(console, "Values" if given else "Defaults")
    console.print(_defaults(entry, given, next(iter(forms.values()))))
    if entry.variants:
        heading(console, "Variants")
        rows = ((_marked(name, usual["variant"]), whom) for name, whom in entry.variants.items())
        console.print(grid(rows))
    heading(console, "Weight decay")
    if "decay" in rule.hyper:
        console.print(grid((_marked(k, usual["decay"]), said) for k, said in DECAYS.items()))
        notes = ["lr₀ is the lr that the parameter group was made with."]
        if not rule.decays:
            notes.append("`step` is the step that is wrapped: try --set decay=decoupled.")
        lines(console, notes, "dim")
    else:
        lines(console, ["Placed as the definition says; there is no choice of decay."])

    for n in known if not one else list(known)[:1]:
        form = forms.get(WHERE[n]) or forms[""]
        _memory(console, known[n], form, dtype, "" if one else WHERE[n].split()[0])
    if rule.matrix:
        heading(console, "State and passes")
        paragraph(
            console,
            "Computed by torch's own functions, not compiled: there is neither trace nor plan.",
        )
    for text, said in (("When", docs.when), ("When not", docs.not_when)):
        if said:
            heading(console, text)
            paragraph(console, said)
    if entry.disagreements:
        heading(console, "Elsewhere")
        console.print(grid(("-", said) for said in entry.disagreements))
    heading(console, "Use")
    lines(console, _use(entry, rule, given))


def _marked(name: str, default: str) -> Text:
    return Text(f"{name} (default)" if name == default else name, style="bold")


def _memory(console: Console, known: Facts, form: Mathematics, dtype: str, where: str) -> None:
    """State and passes, with their bytes."""
    of = f" of {where}" if where else ""
    heading(console, f"State{of}")
    if known.states:
        console.print(grid(_states(known, form)))
    else:
        lines(console, ["none"])
    heading(console, f"Passes over memory{of}, {dtype}")
    usual = known.paths[known.usual]
    table = grid(_sweeps(usual, dtype))
    table.columns[-1].justify = "right"
    console.print(table)
    average = f"{number(known.bytes(dtype))} bytes for each parameter in a step"
    if known.numbers != usual.numbers:
        average += f" on average; above, kernel {known.usual}"
    if {Kind.ROW, Kind.COLUMN} & {*known.states.values()}:
        average += ", not counting rows and columns"
    lines(console, [average + "."])
    if len(known.paths) > 1:
        rank = "" if known.ndim == 2 or not where else f" --rank {known.ndim}"
        lines(console, ["", f"Kernels (--kernel cpu{rank} --leaf N prints their code):"])
        console.print(
            grid(
                (str(i), path.when, f"{path.bytes(dtype)} bytes", _share(path, known))
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


def _sweeps(path: Path, dtype: str) -> Iterator[tuple[str, ...]]:
    for i, sweep in enumerate(path.sweeps):
        sums = ", ".join(
            f"{n} per {kind}" if n > 1 else f"per {kind}" for kind, n in sweep.sums.items()
        )
        yield (
            str(i + 1),
            f"reads {', '.join(sweep.reads)}",
            f"writes {', '.join(sweep.writes)}" if sweep.writes else "writes nothing",
            f"sums {sums}" if sums else "",
            f"{sweep.bytes(dtype)} bytes",
        )


def _defaults(entry: Entry, given: Mapping[str, Any], form: Mathematics) -> Table:
    """Each keyword with its value, its symbol, and what it means."""
    symbols = {short(key, form.hyper): value for key, value in form.hyper.items()}
    fixed = {**entry.preset, **given}
    table = grid(
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
