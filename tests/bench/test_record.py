"""A run goes to a file and comes back; other files are refused in words."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from glissade.bench.compare import compare
from glissade.bench.compiling import Compiling
from glissade.bench.record import FileError, Record, read, write
from glissade.study.record import unsealed
from tests.study import mutations

from .samples import case, record, start


def test_a_run_comes_back(tmp_path: Path) -> None:
    file = tmp_path / "run.json"
    run = record(case("adamw", 100.0, 0.9, {"fused": 1.2, "optax": 1.5}), case("lion", 9.0, 0.8))
    run.kernels, run.start = [Compiling("adamw", "torch", 40.0, 1, 0)], start(0.2, 0.3)
    write(file, run)
    back = read(file)
    assert back == run
    assert [str(goal) for goal in back.goals] == [str(goal) for goal in run.goals]
    there = unsealed(json.loads(file.read_text()), needed=True)
    assert json.loads(json.dumps(back.document())) == there


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "Expecting"),
        ("[1]", "it holds [1], where an object belongs"),
        ('{"schema": NaN}', "NaN is no number of JSON"),
        ('{"cases": []}', "was not written by `glissade bench --json`"),
        ('{"schema": 1}', "has schema 1, this version of glissade reads 2"),
        ('{"schema": 2}', "is damaged: machine is missing"),
    ],
)
def test_other_files_are_refused(tmp_path: Path, text: str, said: str) -> None:
    file = tmp_path / "other.json"
    file.write_text(text)
    with pytest.raises(FileError) as raised:
        read(file)
    assert said in str(raised.value)
    assert str(file) in str(raised.value)


def whole() -> Record:
    run = record(case("adamw", 100.0, 0.9, {"fused": 1.2}), case("lion", 9.0, 0.8))
    run.kernels, run.start = [Compiling("adamw", "torch", 40.0, 1, 0)], start(0.2, 0.3)
    return run


def tried(file: Path) -> Record | None:
    """The run in a file; None where an error of one line names the file."""
    try:
        return read(file)
    except FileError as error:
        said = str(error)
    assert str(file) in said
    assert "\n" not in said
    return None


@settings(max_examples=200)
@given(data=st.data())
def test_damaged_figures_are_taken(data: st.DataObject) -> None:
    """They are what they were, or an error says which file is damaged."""
    with tempfile.TemporaryDirectory() as name:
        file = Path(name) / "run.json"
        write(file, whole())
        file.write_bytes(data.draw(mutations.file_changed(file.read_bytes())))
        found = tried(file)
    assert found is None or found == whole()


def old(tmp_path: Path) -> dict[str, Any]:
    """Figures as they were written before there were checksums."""
    write(tmp_path / "run.json", whole())
    return unsealed(json.loads((tmp_path / "run.json").read_bytes()), needed=True)


def test_figures_from_before_checksums_are_lost(tmp_path: Path) -> None:
    file = tmp_path / "old.json"
    file.write_text(json.dumps(old(tmp_path)))
    assert read(file) == whole()


@settings(max_examples=200)
@given(data=st.data())
def test_old_figures_of_wrong_types_are_taken(data: st.DataObject) -> None:
    """A number may be another; what is read can be compared."""
    with tempfile.TemporaryDirectory() as name:
        file = Path(name) / "old.json"
        file.write_text(json.dumps(data.draw(mutations.value_changed(old(Path(name))))))
        found = tried(file)
    if found is not None:
        compare(found, whole())
        assert all(str(goal) for goal in found.goals)
