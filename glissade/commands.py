"""The commands `glissade list` and `glissade show`, and the application that holds all of them."""

from __future__ import annotations

import ast
import importlib
import inspect
from collections.abc import Callable
from typing import Annotated, Any, NoReturn

import typer
from rich.console import Console

from . import __version__, page, registry
from .checks import nearest
from .describe import ITEMSIZE, facts
from .registry import Entry

EXTRA = "pip install 'glissade[study]'"


def fail(command: str, message: str, code: int) -> NoReturn:
    """End with one line that says what is wrong."""
    typer.echo(f"glissade {command}: {message}", err=True)
    raise typer.Exit(code)


def _print(what: Callable[[Console], None]) -> None:
    """Print to the terminal; into a pipe or a file without the blanks that fill up lines."""
    console = Console()
    if console.is_terminal:
        what(console)
        return
    with console.capture() as held:
        what(console)
    typer.echo("\n".join(line.rstrip() for line in held.get().splitlines()))


def list_(
    pattern: Annotated[
        str | None,
        typer.Argument(
            metavar="PATTERN",
            help="Only what contains this in its name, class or paper; * and ? work.",
        ),
    ] = None,
) -> None:
    """List the optimizers.

    Paper, state, bytes moved in a step, passes over memory, variants.
    """
    entries = page.matching(pattern)
    if not entries:
        hint = nearest(str(pattern).lower(), registry.names())
        fail("list", f"no optimizer matches {pattern!r}{hint}", 1)
    _print(lambda console: page.print_list(console, entries))


def show(
    name: Annotated[str, typer.Argument(metavar="NAME", help="One of `glissade list`.")],
    variant: Annotated[
        str | None, typer.Option(metavar="NAME", help="One of the optimizer's variants.")
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Another value: --set amsgrad=True"),
    ] = None,
    dtype: Annotated[
        str, typer.Option(metavar="TYPE", help=f"{' or '.join(ITEMSIZE)}.")
    ] = "float32",
    kernel: Annotated[
        bool, typer.Option("--kernel", help="Print the generated LLVM code instead.")
    ] = False,
    assembly: Annotated[
        bool, typer.Option("--assembly", help="Print the machine code instead.")
    ] = False,
    leaf: Annotated[
        int | None, typer.Option(metavar="N", help="Which kernel  [default: that of a usual step]")
    ] = None,
    rank: Annotated[
        int,
        typer.Option(min=0, metavar="N", help="The kernel for tensors of this many dimensions."),
    ] = 2,
) -> None:
    """Show one optimizer, or its code.

    Definition, defaults and whose they are, variants, state, passes over memory.
    """
    try:
        entry = registry.lookup(name)
        if dtype not in ITEMSIZE:
            raise ValueError(f"unknown dtype {dtype!r}; known are {', '.join(ITEMSIZE)}")
        given: dict[str, Any] = {} if variant is None else {"variant": variant}
        given |= _settings(entry, settings or [])
        if variant is not None and not entry.variants:
            raise ValueError(f"{entry.name} has no variants")
        entry.bind(**given)
        if kernel or assembly:
            text = code(entry, given, dtype, leaf, rank, assembly=assembly)
        elif leaf is not None:
            raise ValueError("--leaf goes with --kernel or --assembly")
    except (ValueError, TypeError) as error:
        fail("show", str(error), 2)
    if kernel or assembly:
        typer.echo(text)
    else:
        _print(lambda console: page.print_show(console, entry, given, dtype))


def _settings(entry: Entry, settings: list[str]) -> dict[str, Any]:
    """--set KEY=VALUE as keywords of the rule."""
    known = list(inspect.signature(entry.rule).parameters)
    out: dict[str, Any] = {}
    for setting in settings:
        key, equals, value = setting.partition("=")
        if not equals:
            raise ValueError(f"--set {setting}: write KEY=VALUE")
        if key not in known:
            raise ValueError(
                f"--set {setting}: unknown keyword {key!r}; known are {', '.join(known)}"
                f"{nearest(key, known)}"
            )
        try:
            out[key] = ast.literal_eval(value)
        except (ValueError, SyntaxError):
            out[key] = value  # a word
    return out


def code(
    entry: Entry,
    given: dict[str, Any],
    dtype: str,
    leaf: int | None,
    rank: int,
    *,
    assembly: bool,
) -> str:
    """The code of one kernel, with a comment that says which one it is."""
    from .backend.cpu.compile import compile_plan, vector_bytes

    known = facts(entry.bind(**given), rank)
    at = known.usual if leaf is None else leaf
    if not 0 <= at < len(known.plans):
        raise ValueError(f"--leaf {leaf}: {entry.name} has the leaves 0 to {len(known.plans) - 1}")
    plan = known.plans[at]
    mark = "#" if assembly else ";"
    head = [
        f"{entry.name}, {dtype}, {rank} dimensions, for vectors of {vector_bytes()} bytes",
        f"leaf {at} of 0 to {len(known.plans) - 1}: {known.paths[at].when}"
        + (" (--leaf N for another)" if len(known.plans) > 1 else ""),
    ]
    kernel = compile_plan(plan, dtype)
    text = kernel.assembly if assembly else kernel.ir
    return "\n".join([*(f"{mark} {line}" for line in head), text.strip()])


def _version(asked: bool) -> None:
    if asked:
        typer.echo(f"glissade {__version__}")
        raise typer.Exit


def root(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_version, is_eager=True, help="Print the version."),
    ] = False,
) -> None:
    """Optimizers for PyTorch: one short rule, compiled to one fused pass over memory."""


def application() -> typer.Typer:
    """All commands."""
    app = typer.Typer(
        name="glissade",
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        rich_markup_mode=None,
    )
    app.callback()(root)
    app.command("list")(list_)
    app.command("show")(show)
    for name, module in (
        ("compare", "glissade.study.compare"),
        ("bench", "glissade.bench.command"),
    ):
        command = _elsewhere(name, module)
        if command is not None:
            app.command(name)(command)
    return app


def _elsewhere(name: str, module: str) -> Callable[..., None] | None:
    """A command of another module; one that says what it lacks if something is not installed."""
    try:
        found: Callable[..., None] = getattr(importlib.import_module(module), name)
    except ModuleNotFoundError as error:
        lacking = (error.name or "").partition(".")[0]
        if lacking == "glissade":
            return None

        def command() -> None:
            fail(name, f"needs {lacking}: {EXTRA}", 1)

        command.__doc__ = f"(Not available without {lacking}: {EXTRA}.)"
        return command
    return found
