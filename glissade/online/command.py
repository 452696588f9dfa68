"""The command `glissade regret`."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from glissade.commands import fail
from glissade.draw import style
from glissade.online.bounds import Bound, bound, ratios
from glissade.online.game import Regret, horizons, play
from glissade.online.game import regret as measure
from glissade.online.lineup import LAM, learners
from glissade.online.problems import PROBLEMS, problem
from glissade.study import files, units

Row = tuple[str, Regret, Bound]


def regret(
    name: Annotated[
        str, typer.Argument(metavar="PROBLEM", help=f"One of {', '.join(PROBLEMS)}.")
    ] = "counterexample",
    optimizers: Annotated[
        str,
        typer.Option("-o", "--optimizers", help="As in 'sgd, adagrad(lr=0.5), eg, da'."),
    ] = "sgd,adagrad,adam,amsgrad",
    rounds: Annotated[int, typer.Option(help="How many losses.")] = 10_000,
    seed: Annotated[int, typer.Option(help="Of the losses.")] = 0,
    lam: Annotated[
        float, typer.Option(help="Adam's and AMSGrad's β1 is β1·lam^(t-1); 1 leaves it alone.")
    ] = LAM,
    out: Annotated[
        Path | None, typer.Option(help="Folder  [default: glissade-out/regret-PROBLEM]")
    ] = None,
) -> None:
    """Regret against the best fixed point, beside the bounds of the theorems.

    What is left out of an optimizer is what its theorem asks for: the learning rate from the size
    of the set, falling as 1/√t where the method's own rates do not.

    Example: glissade regret counterexample -o adagrad,adam,amsgrad
    """
    console = Console()
    folder = out or Path("glissade-out") / f"regret-{name}"
    try:
        chosen = problem(name)
        if rounds < 10:
            raise ValueError(f"--rounds {rounds}: allowed is 10 or more")
        if seed < 0:
            raise ValueError(f"--seed {seed}: allowed is 0 or more")
        stream = chosen.stream(rounds, seed)
        players = learners(optimizers, stream, chosen.region, chosen.hyper, lam)
        rows: list[Row] = []
        for player in players:
            run = play(stream, player, chosen.region)
            measured = measure(run, horizons(rounds))
            rows.append((player.label, measured, bound(run, measured)))
        style.writable(folder)
    except (ValueError, TypeError) as error:
        fail("regret", " ".join(str(error).split()), 2)
    words = ["glissade", "regret", name, "-o", optimizers, "--rounds", str(rounds)]
    words += ["--seed", str(seed)] if seed else []
    words += ["--lam", str(lam)] if lam != LAM else []
    command = shlex.join(words)
    where = f"{rounds:,} rounds on {chosen.region!r} in {_dimensions(stream.dim)}"
    _say(console, f"{chosen.title}: {where}. {chosen.says}")
    _print(console, rows, rounds)
    try:
        _write(folder, chosen.title, f"{chosen.says} {where}.", rows, command)
    except OSError as error:
        fail("regret", f"cannot write: {error.strerror or error}", 1)
    _say(console, f"Written in {folder}: regret.png  regret.csv")
    _say(console, f"To do it again:\n  {command}")


def _dimensions(dim: int) -> str:
    return "one dimension" if dim == 1 else f"{dim} dimensions"


def _print(console: Console, rows: list[Row], rounds: int) -> None:
    table = Table(box=None, pad_edge=False)
    table.add_column("learner", overflow="fold")
    for head in ("regret", "regret/√T", "bound", "ratio"):
        table.add_column(head, justify="right", no_wrap=True)
    table.add_column("whose bound", overflow="fold")
    for label, measured, found in rows:
        last = float(measured.values[-1])
        share = ratios(found, measured)
        table.add_row(
            label,
            units.digits(last),
            units.digits(last / rounds**0.5),
            "-" if found.values is None else units.digits(float(found.values[-1])),
            "-" if share is None else units.digits(share[-1]),
            found.why or found.source + ("; refuted" if found.refuted else ""),
        )
    console.print(table, highlight=False)


def _write(folder: Path, title: str, subtitle: str, rows: list[Row], command: str) -> None:
    from glissade.online.picture import picture

    picture(folder / "regret.png", title, subtitle, rows, command)
    head = ["learner", "rounds", "regret", "average", "bound", "ratio", "gap", "whose", "refuted"]
    table: list[list[object]] = []
    for label, measured, found in rows:
        share = ratios(found, measured)
        for i, T in enumerate(measured.at):
            bound = None if found.values is None else float(found.values[i])
            table.append(
                [label, T, float(measured.values[i]), float(measured.average[i]), bound,
                 None if share is None else share[i], float(measured.gaps[i]), found.source,
                 int(found.refuted)]
            )  # fmt: skip
    files.table(folder / "regret.csv", head, table)


def _say(console: Console, line: str) -> None:
    console.print(line, highlight=False, markup=False, soft_wrap=True)
