"""A run on the screen, part by part."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator, Sequence

import typer
from rich.console import Console

from . import table
from .case import Case
from .compare import Comparison
from .record import Record
from .shapes import MODELS


class Screen:
    """Where figures are shown: ruled on a terminal, lines of text elsewhere."""

    def __init__(self) -> None:
        self.out = Console()
        if not self.out.is_terminal:
            self.out = Console(width=160)

    def say(self, line: str) -> None:
        """A line as it is."""
        self.out.print(line, highlight=False, markup=False, soft_wrap=True)

    def cases(self, cases: Sequence[Case]) -> None:
        """A model's figures, one table for each precision."""
        for precision in dict.fromkeys(case.precision for case in cases):
            some = [case for case in cases if case.precision == precision]
            self.say("\n" + table.heading(MODELS[some[0].shape], precision))
            self.out.print(table.speeds(self.out, some), highlight=False)
            for line in table.remarks(some):
                self.say(line)

    def rest(self, record: Record) -> None:
        """What is no speed of a step: memory, compiling, starting, and the project's goals."""
        memory = table.memory(self.out, record.cases)
        if memory is not None:
            self.say("\nState, bytes for each parameter; MB more during a step, ours and others'")
            self.out.print(memory, highlight=False)
        if record.kernels:
            self.say("\nFrom nothing to the first step of a layer, and stages compiled after it")
            self.out.print(table.compile_times(self.out, record.kernels), highlight=False)
        if record.start is not None:
            self.say("\nA fresh process")
            for line in table.starts(record.start):
                self.say(line)
        if record.goals:
            self.say("\nGoals of the project")
            for text in table.goal_lines(record.goals):
                self.out.print(text, highlight=False, soft_wrap=True)
        self.say(f"\n{table.LEGEND}\n{record.seconds:.0f} s.")

    def comparison(self, comparison: Comparison) -> None:
        """Two runs."""
        self.say("\nBeside the old run")
        if comparison.rows:
            self.out.print(table.compared(self.out, comparison), highlight=False)
        for note in comparison.notes:
            self.say(note)
        for line in comparison.regressions:
            self.say(f"slower: {line}")
        if comparison.rows and not comparison.regressions:
            self.say("Nothing is slower beside its floor, beyond a tenth and the runs' spread.")


@contextlib.contextmanager
def progress() -> Iterator[Callable[[str], None]]:
    """What is being timed: one line that changes on a terminal, plain lines elsewhere.

    Nothing that moves by itself: whatever draws it would take turns with what is timed.
    """
    if not sys.stderr.isatty():
        yield lambda line: typer.echo(line, err=True) if line else None
        return

    def tell(line: str) -> None:
        typer.echo(f"\r\x1b[2K{line}", nl=False, err=True)

    try:
        yield tell
    finally:
        tell("")
