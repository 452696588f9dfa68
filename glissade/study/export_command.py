"""The command `glissade export`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from glissade.commands import fail
from glissade.study import export as exports


def export(
    folder: Annotated[Path, typer.Argument(help="Of a comparison: what its --out was.")],
    to: Annotated[str, typer.Option("--to", help=f"{', '.join(exports.TRACKERS)}.")],
) -> None:
    """Write the runs of a comparison for an experiment tracker; a second time adds what is new.

    Example: glissade export glissade-out/compare-digits --to tensorboard
    """
    try:
        done = exports.export(folder, to)
    except (exports.Missing, exports.TrackerError) as error:
        fail("export", str(error), 1)
    except exports.ExportError as error:
        fail("export", str(error), 2)
    except OSError as error:
        fail("export", f"cannot write: {error.strerror or error}", 1)
    for note in done.notes:
        typer.echo(note)
    before = f", {done.there} were there already" if done.there else ""
    typer.echo(f"{done.written} runs written{before}\nTo see them: {done.place}")
