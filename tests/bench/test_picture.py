"""The picture: which cases, in which order, and that it is there."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from glissade.bench.peers import COLUMNS
from glissade.bench.picture import _mark, chosen, draw
from glissade.bench.settings import Precision

from .samples import case, record


def test_gpt2_in_float32_sorted_by_share() -> None:
    low = case("adam", 1.0, 2.0, precision=Precision("bfloat16"))
    small = [case(name, 1.0, 1.0, shape="mlp") for name in ("sgd", "lion", "adam")]
    some = [*small, case("adamw", 1.0, 0.8), low, case("lamb", 1.0, 0.9)]
    assert [(c.rule, c.shape) for c in chosen(some)] == [("lamb", "gpt2"), ("adamw", "gpt2")]
    assert len(chosen([*small, low])) == 3
    with pytest.raises(ValueError, match="nothing to draw"):
        chosen([])


def test_peers_are_held_against_our_floor() -> None:
    assert case("adamw", 100.0, 0.9, {"fused": 1.5}).peer_percent("fused") == pytest.approx(60)
    looks = {(_mark(form).get_color(), _mark(form).get_marker()) for form in COLUMNS}
    assert len(looks) == len(COLUMNS)


def test_it_is_written_with_its_command(tmp_path: Path) -> None:
    path = tmp_path / "roofline.png"
    peers = dict.fromkeys(COLUMNS, 1.5)
    draw(path, record(*(case(f"rule{i}", 1.0, 1 - i / 40, peers) for i in range(30))))
    with Image.open(path) as image:
        assert image.width == 1200
        assert image.height < 2400
        assert "glissade bench" in image.text["Command"]
        assert "Two-dimensional" not in image.text["Description"]
