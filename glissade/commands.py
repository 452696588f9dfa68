"""The commands `glissade list` and `glissade show`, and the application that holds all of them."""

from __future__ import annotations

import ast
import importlib
import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, NoReturn

import typer
from rich.console import Console

from . import __version__, around, diff, filters, latex, page, registry
from .checks import nearest
from .describe import facts
from .plan import SIZES
from .registry import Entry

EXTRA = "pip install 'glissade[study]'"

COMPILED = ("cpu", "triton")  # backends: LLVM code, Triton source


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


def _condition(measure: str, what: str) -> Any:
    return typer.Option(f"--{measure}", metavar="CONDITION", help=f"Only with {what}.")


def list_(
    pattern: Annotated[
        str | None,
        typer.Argument(
            metavar="PATTERN",
            help="Only what contains this in its name, class or paper; * and ? work.",
        ),
    ] = None,
    state: Annotated[
        list[str] | None,
        _condition("state", "so many numbers of state an element (rows, columns: 0): '<=1'"),
    ] = None,
    bytes_: Annotated[
        list[str] | None, _condition("bytes", "so many bytes moved an element and step: '<20'")
    ] = None,
    passes: Annotated[
        list[str] | None, _condition("passes", "so many passes over memory: '=1'")
    ] = None,
) -> None:
    """List the optimizers, and the wrappers around them.

    Paper, state, bytes moved in a step, passes over memory, variants. Conditions are on the
    defaults and on matrices, as the list shows them; several must all hold.
    """
    given = {"state": state, "bytes": bytes_, "passes": passes}
    try:
        asked = [filters.condition(k, text) for k, texts in given.items() for text in texts or ()]
    except ValueError as error:
        fail("list", str(error), 2)
    entries = filters.matching(pattern, asked)
    others = {} if asked else filters.others(pattern)  # they have no figures of their own
    if not entries and not any(others.values()):
        fail("list", _nothing(pattern, asked), 1)
    _print(lambda console: page.print_list(console, entries, others))


def _nothing(pattern: str | None, asked: Sequence[filters.Condition]) -> str:
    words = "no optimizer"
    if pattern is not None:
        words += f" matches {pattern!r}"
        if not filters.matching(pattern):
            return words + nearest(pattern.lower(), registry.names())
    return f"{words} with {' and '.join(map(str, asked))}"


def show(
    name: Annotated[str, typer.Argument(metavar="NAME", help="One of `glissade list`.")],
    variant: Annotated[
        str | None, typer.Option(metavar="NAME", help="One of the optimizer's variants.")
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Another value: --set amsgrad=True"),
    ] = None,
    as_latex: Annotated[
        bool, typer.Option("--latex", help="Print the definition as LaTeX instead.")
    ] = False,
    beside: Annotated[
        str | None,
        typer.Option(
            "--diff",
            metavar="NAME[,NAME]",
            help="Two variants side by side, or one beside the default; --latex works.",
        ),
    ] = None,
    dtype: Annotated[str, typer.Option(metavar="TYPE", help=f"{', '.join(SIZES)}.")] = "float32",
    kernel: Annotated[
        str | None,
        typer.Option("--kernel", metavar="BACKEND", help=f"Print its code: {', '.join(COMPILED)}."),
    ] = None,
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
    text = None
    options = (variant, settings, as_latex, beside, kernel, assembly, leaf)
    other = around.find(name)
    if other is not None and not any(x is not None and x is not False for x in options):
        _print(lambda console: page.print_other(console, other))
        return
    try:
        if other is not None:
            raise ValueError(f"{other.name} is no rule of its own: show it without options")
        entry = registry.lookup(name)
        if dtype not in SIZES:
            raise ValueError(f"unknown dtype {dtype!r}; known are {', '.join(SIZES)}")
        if kernel is not None and kernel not in COMPILED:
            raise ValueError(
                f"--kernel {kernel}: allowed are {', '.join(COMPILED)}{nearest(kernel, COMPILED)}"
            )
        if leaf is not None and not (kernel or assembly):
            raise ValueError("--leaf goes with --kernel or --assembly")
        given: dict[str, Any] = {} if variant is None else {"variant": variant}
        given |= _settings(entry, settings or [])
        if variant is not None and not entry.variants:
            raise ValueError(f"{entry.name} has no variants")
        _apart(
            {
                "--kernel": kernel is not None,
                "--assembly": assembly,
                "--latex": as_latex,
                "--diff": beside is not None,
                "--variant": "variant" in given,
            }
        )
        names = None if beside is None else diff.variants(entry, beside, given)
        entry.bind(**given)
        if kernel or assembly:
            text = code(entry, given, dtype, leaf, rank, kernel or "assembly")
    except (ValueError, TypeError) as error:
        fail("show", str(error), 2)
    if as_latex:
        text = diff.document(entry, names, given) if names else latex.document(entry, given)
    if text is not None:
        typer.echo(text)
    elif names is not None:
        _print(lambda console: diff.print_diff(console, entry, names, given))
    else:
        _print(lambda console: page.print_show(console, entry, given, dtype))


_APART = (
    ("--kernel", "--assembly"), ("--kernel", "--latex"), ("--assembly", "--latex"),
    ("--kernel", "--diff"), ("--assembly", "--diff"), ("--variant", "--diff"),
)  # fmt: skip


def _apart(given: Mapping[str, bool]) -> None:
    """Refuse two options of which each asks for another thing."""
    for a, b in _APART:
        if given[a] and given[b]:
            raise ValueError(f"{a} and {b} do not go together")


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
    what: str,
) -> str:
    """The code of one kernel (for a backend, or `assembly`), with a comment that says which."""
    known = facts(entry.bind(**given), rank)
    at = known.usual if leaf is None else leaf
    if not 0 <= at < len(known.plans):
        raise ValueError(f"--leaf {leaf}: {entry.name} has the leaves 0 to {len(known.plans) - 1}")
    plan = known.plans[at]
    head = [
        f"{entry.name}, {dtype}, {rank} dimensions",
        f"leaf {at} of 0 to {len(known.plans) - 1}: {known.paths[at].when}"
        + (" (--leaf N for another)" if len(known.plans) > 1 else ""),
    ]
    if what == "triton":
        from .backend.triton.emit import emit, module

        text = module(x for segment in emit(plan, dtype) for x in segment)
    else:
        from .backend.cpu.compile import assembly, compile_plan
        from .backend.cpu.target import host

        text = compile_plan(plan, dtype).ir if what == "cpu" else assembly(plan, dtype)
        head[0] += f", for vectors of {host().vector_bytes} bytes"
    mark = ";" if what == "cpu" else "#"
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
        ("draw", "glissade.draw.application"),
        ("compare", "glissade.study.compare"),
        ("heatmap", "glissade.study.heatmap"),
        ("tasks", "glissade.study.tasks_command"),
        ("cost", "glissade.study.cost.command"),
        ("advise", "glissade.study.advise.command"),
        ("lrfind", "glissade.study.lrfind_command"),
        ("export", "glissade.study.export_command"),
        ("claims", "glissade.claims.command"),
        ("regret", "glissade.online.command"),
        ("bench", "glissade.bench.command"),
    ):
        command = _elsewhere(name, module)
        if isinstance(command, typer.Typer):
            app.add_typer(command, name=name)
        elif command is not None:
            app.command(name)(command)
    return app


def _elsewhere(name: str, module: str) -> Callable[..., None] | typer.Typer | None:
    """A command of another module; one that says what it lacks if something is not installed."""
    try:
        imported = importlib.import_module(module)
        found: Callable[..., None] | typer.Typer = getattr(imported, name)
    except ModuleNotFoundError as error:
        lacking = (error.name or "").partition(".")[0]
        if lacking == "glissade":
            return None

        def command() -> None:
            fail(name, f"needs {lacking}: {EXTRA}", 1)

        command.__doc__ = f"(Not available without {lacking}: {EXTRA}.)"
        return command
    return found
