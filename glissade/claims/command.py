"""The command `glissade claims`."""

from __future__ import annotations

import shutil
import time
from pathlib import Path
from typing import Annotated, Any

import typer

from glissade.checks import nearest
from glissade.claims import CLAIMS, lab, page, words
from glissade.commands import fail
from glissade.draw import desk
from glissade.study import options, units
from glissade.study.engine import Engine, EngineError, make
from glissade.study.store import StoreError


def claims(
    names: Annotated[
        list[str] | None, typer.Argument(metavar="[NAME]...", help="Claims; all: every one.")
    ] = None,
    out: Annotated[Path, typer.Option(help="Folder for runs, numbers and pictures.")] = Path(
        "glissade-out/claims"
    ),
    to: Annotated[
        Path | None,
        typer.Option("--page", metavar="FILE.md", help="Write a page of them, with its pictures."),
    ] = None,
    workers: Annotated[int | None, typer.Option(help="Runs at a time.")] = None,
) -> None:
    """Put to the test what is said of optimizers: reproduced, not reproduced or inconclusive.

    Without a name it lists the claims. What is run and from where on a claim counts as reproduced
    is written before anything runs; a claim that was interrupted goes on where it was.

    Example: glissade claims adamw-separates
    """
    if not names:
        for claim in CLAIMS.values():
            typer.echo(f"{claim.name}\n    {claim.saying}")
        return
    wanted = list(CLAIMS) if names == ["all"] else names
    for name in wanted:
        if name not in CLAIMS:
            fail("claims", f"unknown claim {name!r}{nearest(name, list(CLAIMS))}", 2)
    options.end_as_interrupted()
    made: Engine | None = None
    began = time.monotonic()
    try:
        options.reachable(out, resume=True)
        made = make("local", workers)
        records = [_one(name, out / name, made) for name in wanted]
        if to is not None:
            _page(to, out, records)
    except StoreError as error:
        fail("claims", " ".join(str(error).split()), 2)
    except (ValueError, EngineError) as error:
        fail("claims", " ".join(str(error).split()), 1)
    except KeyboardInterrupt:
        fail("claims", "interrupted; what was run is kept, the same command goes on", 130)
    except OSError as error:
        fail("claims", f"cannot write: {error.strerror or error}", 1)
    finally:
        if made is not None:
            made.close()
    typer.echo(f"{units.seconds(time.monotonic() - began)}. Written in {out}: found.json and a "
               "picture for each")  # fmt: skip


def _one(name: str, folder: Path, engine: Engine) -> dict[str, Any]:
    """Run a claim, write and print what was found, and return its record."""
    from glissade.claims.picture import picture

    notes: list[str] = []
    with desk.progress(name) as report:
        found = lab.run(CLAIMS[name], folder, engine, lambda share: report("", share), notes.append)
    for note in notes:
        typer.echo(note)
    record = lab.write(folder, found)
    picture(folder / f"{name}.png", found, f"glissade claims {name}")
    typer.echo(f"{name}: {found.verdict}")
    for part in found.parts:
        typer.echo(f"    {part.measure.what}: {part.measured}: {part.verdict}")
    if found.edges:
        typer.echo(f"    {words.edges(found.edges)}")
    return record


def _page(path: Path, out: Path, records: list[dict[str, Any]]) -> None:
    """Write the page, and beside it a folder of its pictures."""
    pictures = path.parent / "claims"
    pictures.mkdir(parents=True, exist_ok=True)
    for record in records:
        name = record["name"]
        shutil.copyfile(out / name / f"{name}.png", pictures / f"{name}.png")
    page.write(path, records, "claims")
    typer.echo(f"{path}")
