"""Colours that stay apart, text that fits, files that are whole or not there."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest
from matplotlib.colors import to_rgb
from numpy.typing import NDArray

from glissade.draw import style
from glissade.draw.flat import GROUND

# Machado, Oliveira & Fernandes 2009: what is seen without one kind of cone, in linear RGB.
SEEN = {
    "normal": np.eye(3),
    "protanopia": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216],
                   [-0.003882, -0.048116, 1.051998]],
    "deuteranopia": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413],
                     [-0.011820, 0.042940, 0.968881]],
    "tritanopia": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602],
                   [0.004733, 0.691367, 0.303900]],
}  # fmt: skip
TO_XYZ = np.array(
    [[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]
)  # fmt: skip


def _lab(colour: str, vision: str) -> NDArray[np.float64]:
    """CIELAB of a colour as it is seen."""
    rgb = np.array(to_rgb(colour))
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    xyz = TO_XYZ @ np.clip(np.array(SEEN[vision]) @ linear, 0, 1) / (0.9505, 1, 1.089)
    f = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


@pytest.mark.parametrize("vision", SEEN)
def test_colours_stay_apart_in_every_vision(vision: str) -> None:
    for a, b in itertools.combinations(style.COLOURS, 2):
        assert np.linalg.norm(_lab(a, vision) - _lab(b, vision)) > 15, (a, b)
    for a, b in itertools.product(style.COLOURS, (*GROUND, "#FFFFFF")):
        assert np.linalg.norm(_lab(a, vision) - _lab(b, vision)) > 15, (a, b)


def test_no_two_series_are_alike_without_colour_either() -> None:
    some = [style.series(i) for i in range(27)]
    assert len(set(map(str, some))) == 27
    assert len({s.marker for s in some[:12]}) == 12
    for a, b in itertools.combinations(some, 2):
        if a.colour == b.colour:
            assert (a.dash, a.plotly_dash) != (b.dash, b.plotly_dash)


def test_lines_are_broken_where_they_fit() -> None:
    text = "a few words that do not fit into one line, and " + "sgd," * 40
    lines = style.wrap(text, 10, 2.0)
    assert len(lines) > 3
    assert "".join(lines).replace(" ", "") == text.replace(" ", "")
    assert all(style.width(line, 10) <= 2.0 for line in lines)
    assert lines[-1].startswith("sgd,")  # names are not cut in two
    assert style.wrap("x" * 400, 10, 1.0)[0].count("x") > 5
    assert style.wrap("", 10, 1.0) == []


def test_a_file_is_whole_or_not_there(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.write_text("old")
    with pytest.raises(TypeError), style.whole(path) as temporary:
        temporary.write_text("half") and temporary.write_text(None)  # type: ignore[arg-type]
    assert path.read_text() == "old"
    with style.whole(path) as temporary:
        assert temporary.suffix == ".png"
        temporary.write_text("new")
    assert [p.name for p in tmp_path.iterdir()] == ["a.png"]
    assert path.read_text() == "new"


def test_a_folder_that_nothing_can_be_written_in(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ValueError, match=r"cannot write in .*file.*: "):
        style.writable(tmp_path / "file" / "folder")
    style.writable(tmp_path / "new" / "folder")
    assert not list((tmp_path / "new" / "folder").iterdir())
