"""What the subcommands of `glissade draw` share: words, errors, progress, the lines at the end."""

from __future__ import annotations

import shlex
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from glissade.commands import fail
from glissade.spec import Spec, specs

Report = Callable[[str, float], None]  # what is being done, and which share of it is
Tick = Callable[[float], None]  # told which share is done


def asked(text: str, most: int) -> tuple[Spec, ...]:
    """The optimizers of `-o`, not more than can be told apart."""
    found = specs(text)
    if len(found) > most:
        raise ValueError(f"{len(found)} optimizers: {most} can be told apart in this picture")
    return found


def between(option: str, value: int, low: int, high: int) -> None:
    """Raise ValueError unless an option's number is in its range."""
    if not low <= value <= high:
        raise ValueError(f"{option} {value}: allowed are {low} to {high}")


def folder(out: Path | None, kind: str) -> Path:
    """Where the pictures go; made, or ValueError says why not."""
    from glissade.draw import style

    found = out or Path("glissade-out") / f"draw-{kind}-{time.strftime('%Y%m%d-%H%M%S')}"
    style.writable(found)
    return found


def again(words: Sequence[str]) -> str:
    """A command as one types it."""
    return shlex.join(["glissade", "draw", *words])


@contextmanager
def errors(name: str) -> Iterator[None]:
    """Bad input as one line and 2; a disk that fails as one line and 1."""
    try:
        yield
    except ValueError as error:
        fail(name, " ".join(str(error).split()), 2)
    except KeyboardInterrupt:
        fail(name, "interrupted; what was written is whole", 130)
    except OSError as error:
        fail(name, f"cannot write: {error.strerror or error}", 1)


@contextmanager
def progress(name: str) -> Iterator[Report]:
    """A bar on a terminal, a line at the start elsewhere."""
    console = Console(stderr=True)
    if not console.is_terminal or console.is_dumb_terminal:
        typer.echo(f"{name} ...", err=True)
        yield lambda part, share: None
        return
    columns = TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn()
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task(name, total=1.0)
        yield lambda part, share: bar.update(task, description=f"{name}: {part}", completed=share)


def part(report: Report, what: str, first: float = 0.0, last: float = 1.0) -> Tick:
    """A ticker for one part of the work, from one share of its bar to another."""
    return lambda share: report(what, first + share * (last - first))


def done(began: float, written: Sequence[Path], command: str, out: Path) -> None:
    """The files, and the command that makes them again."""
    typer.echo(f"{time.monotonic() - began:.0f} s. Written:")
    for path in written:
        typer.echo(f"  {path}")
    typer.echo(f"To draw them again:\n  {command} {shlex.join(['--out', str(out)])}")


def warn(name: str, lines: Sequence[str]) -> None:
    """Say doubts aloud."""
    for line in lines:
        typer.echo(f"glissade {name}: {line}", err=True)
