"""What was measured, as one thing: in memory, and as a file."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypedDict

from ..study.record import parsed, sealed, unsealed
from ..study.typed import Damaged, conform
from .case import Case
from .compiling import Compiling
from .goals import Goal, goals
from .machine import Machine
from .settings import Settings
from .shapes import MODELS
from .start import Start

SCHEMA = 2


class FileError(ValueError):
    """A file that holds no figures of this program."""


@dataclass
class Record:
    """A run."""

    machine: Machine
    settings: Settings
    cases: list[Case] = field(default_factory=list)
    kernels: list[Compiling] = field(default_factory=list)
    start: Start | None = None
    started: str = ""
    seconds: float = 0.0
    busy_cores_of_others: float | None = None

    @property
    def goals(self) -> Sequence[Goal]:
        """What the project wants of these figures."""
        return list(goals(self.cases, self.kernels, self.start))

    def document(self) -> dict[str, Any]:
        """For JSON."""
        shapes = dict.fromkeys(case.shape for case in self.cases)
        return {
            "schema": SCHEMA,
            "machine": vars(self.machine),
            "settings": self.settings.record(),
            "shapes": {
                name: {"tensors": MODELS[name].tensors, "parameters": MODELS[name].elements}
                for name in shapes
            },
            "cases": [case.record() for case in self.cases],
            "compile": [kernel.record() for kernel in self.kernels],
            "start": self.start and self.start.record(),
            "goals": [goal.record() for goal in self.goals],
            "started": self.started,
            "seconds": self.seconds,
            "busy_cores_of_others": self.busy_cores_of_others,
        }


def write(path: Path, record: Record) -> None:
    """Replace the file as a whole, or leave it as it was."""
    handle, name = tempfile.mkstemp(dir=path.resolve().parent, prefix=path.name, suffix=".part")
    try:
        with os.fdopen(handle, "w") as out:
            json.dump(sealed(record.document()), out, indent=1)
            out.write("\n")
        os.replace(name, path)
    except BaseException:
        os.unlink(name)
        raise


def read(path: Path) -> Record:
    """The run that a file holds.

    Raises:
        FileError: it cannot be read, is of another schema, or is something else.
    """
    try:
        found = parsed(path.read_bytes())
    except (OSError, Damaged) as error:
        raise FileError(f"{path}: {getattr(error, 'strerror', None) or error}") from None
    schema = found.get("schema")
    if schema is None:
        raise FileError(f"{path} was not written by `glissade bench --json`")
    if schema != SCHEMA:
        raise FileError(
            f"{path} has schema {schema}, this version of glissade reads {SCHEMA}: "
            "take the figures again with this version"
        )
    try:
        whole = conform(_File, unsealed(found))
        return Record(
            machine=whole["machine"],
            settings=whole["settings"],
            cases=[Case.read(case, f"cases[{i}]") for i, case in enumerate(whole["cases"])],
            kernels=whole["compile"],
            start=whole["start"],
            started=whole["started"],
            seconds=whole["seconds"],
            busy_cores_of_others=whole["busy_cores_of_others"],
        )
    except Damaged as error:
        raise FileError(f"{path} is damaged: {error}. Take the figures again") from None


class _File(TypedDict):
    machine: Machine
    settings: Settings
    cases: list[dict[str, Any]]
    compile: list[Compiling]
    start: Start | None
    started: str
    seconds: float
    busy_cores_of_others: float | None
