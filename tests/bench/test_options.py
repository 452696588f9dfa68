"""Options become settings, and settings the options again."""

from __future__ import annotations

from typing import Any

import pytest

from glissade import registry
from glissade.bench.options import SECTIONS, settings, words
from glissade.bench.settings import Precision, Settings

USUAL: dict[str, Any] = {
    "optimizers": None, "shapes": ",".join(SECTIONS), "quick": False, "all_": False, "peers": None,
    "compile_": False, "dtype": "float32", "state_dtype": "float32", "repeat": None,
}  # fmt: skip


def asked(**given: Any) -> Settings:
    return settings(**{**USUAL, **given})


def test_by_default_it_is_every_rule_beside_torch_in_float32() -> None:
    assert asked() == Settings(registry.names(), SECTIONS)
    assert asked(all_=True).peers == ()
    assert asked(all_=True, peers="torch").peers == ("torch",)


def test_each_dtype_goes_with_each_state_dtype() -> None:
    found = asked(dtype="float32, BFLOAT16", state_dtype="float32,bfloat16").precisions
    assert found == tuple(
        Precision(a, b) for a in ("float32", "bfloat16") for b in ("float32", "bfloat16")
    )
    assert {x.dtype for x in asked(dtype="all").precisions} == {"float32", "bfloat16", "float16"}


@pytest.mark.parametrize(
    ("given", "line"),
    [
        ({}, "glissade bench"),
        ({"all_": True, "repeat": 3}, "glissade bench --all --repeat 3"),
        ({"all_": True, "peers": "torch"}, "glissade bench --all --peers torch"),
        ({"quick": True, "peers": "none"}, "glissade bench --quick --peers none"),
        (
            {"optimizers": "lion,adam", "shapes": "mlp", "dtype": "float16", "compile_": True},
            "glissade bench --compile -o lion,adam --shapes mlp --dtype float16",
        ),
    ],
)
def test_settings_say_their_command(given: dict[str, Any], line: str) -> None:
    assert " ".join(words(asked(**given))) == line
