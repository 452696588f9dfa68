"""`glissade draw schedule`: what it draws, and what it answers to bad input."""

from __future__ import annotations

import shlex
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from glissade.draw.schedule import places
from glissade.schedules import cosine, step_drop, warm_restarts
from tests.draw.program import refuses, run


def test_it_draws_and_says_how_to_draw_it_again(tmp_path: Path) -> None:
    out = tmp_path / "deep" / "schedules.png"
    words = ["cosine,warm_restarts, warmup(50, rex(450))", "--steps", "500"]
    result = run("schedule", *words, "--out", str(out))
    assert result.exit_code == 0, result.output
    assert [path.name for path in out.parent.iterdir()] == ["schedules.png"]
    with Image.open(out) as image:
        assert image.width == 1200
        command = image.info["Command"]
        assert "Description" not in image.info  # nothing of two dimensions, and no ranking
    assert shlex.split(command) == ["glissade", "draw", "schedule", *words]
    again = shlex.split(result.stdout.strip().splitlines()[-1])
    before = out.read_bytes()
    assert run(*again[2:]).exit_code == 0
    assert out.read_bytes() == before
    log = tmp_path / "log.png"
    assert run("schedule", *words, "--log", "--out", str(log)).exit_code == 0
    assert log.read_bytes() != before


def test_jumps_are_drawn_from_both_sides() -> None:
    """However few points there are, a restart is no slope."""
    for schedule, jump in ((warm_restarts(333), 333.0), (step_drop(777, factor=0.5), 777.0)):
        at = places(schedule, 1_000_000)
        i = int(np.searchsorted(at, jump * (1 - 1e-12)))
        below, above = at[i - 1], at[i]
        assert above - below < 1e-3
        assert abs(schedule(float(above)) - schedule(float(below))) > 0.4
    assert len(places(cosine(100), 100)) == 101


def test_help_has_an_example() -> None:
    assert "Example: glissade draw schedule cosine" in run("schedule", "--help").output


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["cosin"], "unknown schedule 'cosin'.*did you mean 'cosine'"),
        (["cosine("], r"cannot read 'cosine\('"),
        (["cosine(-5)"], "total=-5: must be"),
        (["cosine,cosine(10000)"], r"cosine\(10000\) is named twice"),
        (["then"], "then: give its values, as in"),
        ([",".join(f"cosine({i})" for i in range(1, 11))], "10 schedules: at most 9"),
        (["cosine", "--out", "x.pdf"], "--out x.pdf: its name has to end in .png"),
        (["cosine", "--out", "/proc/none/x.png"], "cannot write in /proc/none"),
    ],
)
def test_bad_input_is_one_line_and_2_before_anything_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: list[str], said: str
) -> None:
    refuses(tmp_path, monkeypatch, "schedule", words, said)
