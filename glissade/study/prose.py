"""Prose on a terminal or in a file: lines broken at blanks, with nothing behind them."""

from __future__ import annotations

from rich.console import Console
from rich.text import Text


def hang(console: Console, head: str, text: str, left: int = 0) -> None:
    """A text that hangs under the end of its head."""
    lines = Text(text).wrap(console, console.width - left - len(head))
    for place, line in enumerate(lines):
        line.rstrip()
        front = " " * left + (" " * len(head) if place else head)
        console.print(front + line.plain, soft_wrap=True, highlight=False, markup=False)
