"""Pieces that the pages on the terminal are made of."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

SIGNS = {
    "_row": "…_row: one value for each row, along the last dimension",
    "_column": "…_column: one value for each column, along the last dimension but one",
    "_matrix": "…_matrix: one value for the last two dimensions",
    "_slice": "…_slice: one value for each index of the first dimension",
    "_all": "…_all: one value for all tensors that take the step",
    "RMS(": "RMS: the root of the mean square over the whole tensor",
    "‖": "‖ ‖: the Euclidean norm of the whole tensor",
}


def heading(console: Console, text: str) -> None:
    """A blank line, and what follows in bold."""
    console.print()
    console.print(Text(text, style="bold green"))


def lines(console: Console, texts: Iterable[str], style: str = "") -> None:
    """Lines that are never broken."""
    for text in texts:
        console.print(Text(f"  {text}" if text else "", style=style), soft_wrap=True)


def paragraph(console: Console, text: str) -> None:
    """Prose, two in from the left."""
    console.print(Padding(Text(text), (0, 0, 0, 2)))


def grid(rows: Iterable[Sequence[str | Text]]) -> Table:
    """Aligned columns, two in from the left; columns with nothing in them are left out."""
    filled = list(rows)
    table = Table(box=None, pad_edge=True, padding=(0, 0, 0, 2), show_header=False)
    kept = [cells for cells in zip(*filled, strict=True) if any(map(str, cells))]
    for _ in kept:
        table.add_column()
    for row in zip(*kept, strict=True):
        table.add_row(*(cell if isinstance(cell, Text) else Text(cell) for cell in row))
    return table


def signs(console: Console, text: str) -> None:
    """What the signs mean that occur in these equations."""
    said = [meaning for sign, meaning in SIGNS.items() if sign in text]
    if said:
        lines(console, ["", *said], "dim")
