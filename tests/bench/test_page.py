"""docs/benchmarks.md is what `python tools/benchmarks.py` makes of docs/benchmarks.json."""

from __future__ import annotations

from types import ModuleType

import pytest
from PIL import Image

from glissade import registry
from glissade.bench.compiling import Compiling
from glissade.bench.record import read
from glissade.bench.settings import Precision
from tests.tool import load

from .samples import case, record, start


@pytest.fixture(scope="module")
def tool() -> ModuleType:
    return load("benchmarks")


def test_the_page_is_what_the_tool_writes(tool: ModuleType) -> None:
    written = tool.PAGE.read_text(encoding="utf-8") == tool.page(read(tool.FILE))
    assert written, "docs/benchmarks.md is out of date: run `python tools/benchmarks.py`"


def test_every_rule_is_in_it_and_the_picture_is_there(tool: ModuleType) -> None:
    text = tool.PAGE.read_text(encoding="utf-8")
    for name in registry.names():
        assert f"\n| {name} |" in text
    with Image.open(tool.PICTURE) as image:
        assert image.width == 1200


def test_the_page_says_what_the_figures_are(tool: ModuleType) -> None:
    low = case("adamw", 50_000, 0.8, precision=Precision("bfloat16", "bfloat16"), over=1.7)
    small = case("adamw", 9.5, 0.5, shape="mlp")
    run = record(case("adamw", 90_000, 0.85, {"fused": 1.25}), low, small)
    refused = case("lion", 1.0, 1.0)
    refused.ours = refused.floor = None
    refused.error = "refused: no such dtype"
    run.cases.append(refused)
    run.kernels, run.start = [Compiling("lamb", "", 140.0, 3, 0)], start(0.25, 1.2)
    text = tool.page(run)
    for words in (
        "| adamw | 90 ms | 28 |", "85, short by 5.0 | 1.25 |", "× torch fused",
        "| bfloat16, state in bfloat16 | 50 ms |", "| 80 | 1.70 |",
        "| an MLP of 17k | 10 | 9.5 µs |",
        "| lion | refused: no such dtype |", "140 ms for the slowest (lamb)",
        "| import glissade, after torch | 0.25 s | at most 0.3 s | met |", "over by 0.9 |",
        "glissade bench -o adamw --shapes gpt2 --json docs/benchmarks.json",
    ):  # fmt: skip
        assert words in text, words
