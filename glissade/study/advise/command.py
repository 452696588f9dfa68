"""The command `glissade advise`."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from glissade.bench.options import check_files
from glissade.commands import fail
from glissade.draw import desk
from glissade.study import loading
from glissade.study.advise import advice, earlier, fit
from glissade.study.advise.advice import Advice
from glissade.study.advise.decide import Decision, decide
from glissade.study.advise.earlier import Earlier
from glissade.study.advise.look import look
from glissade.study.advise.text import Page
from glissade.study.options import batch_of
from glissade.study.task import Prepared


def advise(
    task: Annotated[
        str,
        typer.Argument(metavar="TASK", help="One of `glissade tasks`, or your own: my.py:task"),
    ] = "digits",
    memory: Annotated[
        str | None,
        typer.Option(metavar="8GB", help="What all of it has to fit into; GiB, MB, ... as well."),
    ] = None,
    batch: Annotated[
        str | None, typer.Option(metavar="full|K", help="Batch size  [default: the task's]")
    ] = None,
    results: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER",
            help="Where earlier comparisons of the task are  [default: glissade-out]",
        ),
    ] = None,
    json_file: Annotated[
        Path | None, typer.Option("--json", metavar="FILE", help="Write all of it as data, too.")
    ] = None,
) -> None:
    """Which optimizers should I compare on my task? Two or three, with reasons, and the command.

    First what cannot be otherwise: memory, and what an optimizer asks for. Then evidence: your own
    comparisons of this task, and what authors report on models such as yours. Nothing is trained.

    Example: glissade advise my.py:task --memory 8GB --batch 512
    """
    try:
        limit = None if memory is None else fit.bytes_of(memory)
        size = batch_of(batch)
        check_files(json_file, None)
        if results is not None and not results.is_dir():
            raise ValueError(f"--results {results}: there is no such folder")
        prepared = loading.load(task, size)
        with desk.progress("advise") as report:
            report("the task", 0.1)
            loading.check(prepared)
            report("the model", 0.3)
            try:
                seen = look(prepared)
            except RuntimeError as error:
                raise ValueError(f"task {task!r}: {str(error).partition(chr(10))[0]}") from None
            report("optimizers", 0.6)
            before, notes = earlier.search(prepared, results or Path("glissade-out"))
            found = advice.advise(prepared, size, seen, limit, before)
        found.notes += notes
        decision = _decision(prepared, found, batch)
    except ValueError as error:
        fail("advise", " ".join(str(error).split()), 2)
    except KeyboardInterrupt:
        fail("advise", "interrupted", 130)
    console = Console()
    console.width = min(console.width, 100) if console.is_terminal else 96
    Page(console, prepared, found, decision, memory).show()
    if json_file is not None:
        try:
            text = json.dumps(record(prepared, found, decision), indent=1)
            json_file.write_text(text + "\n", encoding="utf-8")
        except OSError as error:
            fail("advise", f"cannot write {json_file}: {error.strerror or error}", 1)
        typer.echo(f"Written: {json_file}")


def _decision(task: Prepared, found: Advice, batch: str | None) -> Decision | None:
    """The comparison to make; where there is one candidate, none."""
    if len(found.candidates) < 2:
        return None
    return decide(task, found.look, found.candidates, batch, found.open_after)


def record(task: Prepared, found: Advice, decision: Decision | None) -> dict[str, Any]:
    """All that was found, as plain data."""
    seen = found.look
    return {
        "task": {"title": task.title, **task.facts},
        "model": {
            "kinds": seen.kinds, "because": seen.because, "parameters": seen.parameters,
            "dtypes": seen.dtypes, "device": seen.device, "model_bytes": seen.model_bytes,
            "gradient_bytes": seen.gradient_bytes, "activation_bytes": seen.activations,
            "sparse": seen.sparse, "sharded": seen.sharded, "tables": seen.touched,
            "gradient_seconds": seen.seconds, "evaluation_seconds": seen.evaluation,
        },
        "memory": found.limit,
        "optimizers": [
            {
                "optimizer": x.spec.text, "state_bytes": x.bytes, "passing_bytes": x.passing,
                "needs": found.needs(x), "fits": fits,
            }
            for fits, some in ((True, found.states), (False, found.large)) for x in some
        ],
        "refused": [{"optimizer": label, "why": why} for label, why in found.refused],
        "lower": [asdict(x) for x in found.lower],
        "reports": [
            {"optimizer": x.name, "reported": x.said, "on": x.scale, "source": x.source,
             "year": x.year}
            for x in found.reports
        ],
        "earlier": [_plain(x, found.decided) for x in found.earlier],
        "candidates": [asdict(x) for x in found.candidates],
        "decision": None if decision is None else asdict(decision),
        "notes": found.notes,
    }  # fmt: skip


def _plain(one: Earlier, decided: Earlier | None) -> dict[str, Any]:
    from glissade.study.analysis import finite

    plain: dict[str, Any] = finite({**asdict(one), "folder": str(one.folder)})
    return {**plain, "winner": one.winner, "decides": one is decided}
