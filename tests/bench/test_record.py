"""A run goes to a file and comes back; other files are refused in words."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from glissade.bench.compiling import Compiling
from glissade.bench.record import FileError, read, write

from .samples import case, record, start


def test_a_run_comes_back(tmp_path: Path) -> None:
    file = tmp_path / "run.json"
    run = record(case("adamw", 100.0, 0.9, {"fused": 1.2, "optax": 1.5}), case("lion", 9.0, 0.8))
    run.kernels, run.start = [Compiling("adamw", "torch", 40.0, 1, 0)], start(0.2, 0.3)
    write(file, run)
    back = read(file)
    assert back == run
    assert [str(goal) for goal in back.goals] == [str(goal) for goal in run.goals]
    assert json.loads(json.dumps(back.document())) == json.loads(file.read_text())


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "Expecting"),
        ("[1]", "was not written by `glissade bench --json`"),
        ('{"cases": []}', "was not written by `glissade bench --json`"),
        ('{"schema": 1}', "has schema 1, this version of glissade reads 2"),
        ('{"schema": 2}', "is damaged: KeyError 'machine'"),
    ],
)
def test_other_files_are_refused(tmp_path: Path, text: str, said: str) -> None:
    file = tmp_path / "other.json"
    file.write_text(text)
    with pytest.raises(FileError) as raised:
        read(file)
    assert said in str(raised.value)
    assert str(file) in str(raised.value)
