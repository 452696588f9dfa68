"""`glissade draw` as the program has it, and what each of its commands does with bad input."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from glissade.commands import application


def run(*words: str) -> Result:
    """`glissade draw` with these words."""
    return CliRunner().invoke(application(), ["draw", *words], prog_name="glissade")


def refuses(
    folder: Path, monkeypatch: pytest.MonkeyPatch, command: str, words: Sequence[str], said: str
) -> None:
    """One line that begins with the command and says what is wrong, and 2; nothing is written."""
    there = sorted(folder.iterdir())
    monkeypatch.chdir(folder)
    result = run(*command.split(), *words)
    assert result.exit_code == 2
    assert not result.stdout
    (line,) = result.stderr.strip().splitlines()
    assert line.startswith(f"glissade draw {command}".rstrip() + ": ")
    assert re.search(said, line), line
    assert sorted(p for p in folder.iterdir() if p.name != "__pycache__") == there
