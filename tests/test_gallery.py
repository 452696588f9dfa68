"""docs/gallery.md is what `python tools/gallery.py` writes, and its pictures are there."""

from __future__ import annotations

import shlex
from types import ModuleType

import pytest

from tests.tool import load

pytest.importorskip("typer")
Image = pytest.importorskip("PIL.Image")


@pytest.fixture(scope="module")
def tool() -> ModuleType:
    return load("gallery")


def test_the_page_is_what_the_tool_writes(tool: ModuleType) -> None:
    written = tool.PAGE.read_text(encoding="utf-8") == tool.page()
    assert written, "docs/gallery.md is out of date: run `python tools/gallery.py --page`"


def test_every_picture_is_there_and_can_be_read(tool: ModuleType) -> None:
    named = {name for picture in tool.PICTURES for name in picture.files}
    assert {path.name for path in tool.FOLDER.iterdir()} == named
    for name in named:
        with Image.open(tool.FOLDER / name) as image:
            assert image.width >= 500
        assert (tool.FOLDER / name).stat().st_size < 4_000_000


def test_commands_are_those_of_the_program(tool: ModuleType) -> None:
    """Every word after `glissade` that is a command, is one; the rest is in the tests of each."""
    from typer.main import get_command

    from glissade.commands import application

    program = get_command(application())
    for picture in tool.PICTURES:
        first, command, *rest = shlex.split(picture.command)
        assert first == "glissade"
        assert command in program.commands  # type: ignore[attr-defined]
        assert rest
