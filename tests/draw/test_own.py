"""A user's own function as a surface."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from glissade.draw import own
from glissade.draw.trajectories import follow
from glissade.spec import specs

GOOD = """
import torch
import helper_of_mine
def bowl(x, y):
    return x**2 + torch.cos(y)
bowl.box = (-1, 3, -2, 2)
bowl.start = (2, 1)
bowl.title = "A bowl"
def plain(x, y):
    return x * y
def number(x, y):
    return 3.0
def pair(x, y):
    return torch.stack([x, y])
def constant(x, y):
    return torch.tensor(1.0)
def floats(x, y):
    return torch.tensor(float(x) ** 2)
def broken(x, y):
    return 1 / 0
def helped(x, y):
    return helper_of_mine.wrong(x)
def torches(x, y):
    return torch.special.entr(torch.ones(2) @ torch.ones(3))
def infinite(x, y):
    return x / 0
def short(x):
    return x
def placed(x, y):
    return x
placed.box = (1, 2)
thing = 5
"""


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delitem(sys.modules, "helper_of_mine", raising=False)
    path = tmp_path / "my.py"
    path.write_text(GOOD)
    (tmp_path / "helper_of_mine.py").write_text("def wrong(x):\n    return {}['x']\n")
    return path


def test_a_function_with_attributes(module: Path) -> None:
    surface = own.load(f"{module}:bowl")
    assert (surface.name, surface.title) == ("bowl", "A bowl")
    assert surface.box == (-1, 3, -2, 2)
    assert surface.start == (2, 1)
    assert follow(surface, [(specs("adam")[0], 0.1)], 5)[0].steps == 5


def test_a_function_without_and_with_options(module: Path) -> None:
    surface = own.load(f"{module}:plain")
    assert surface.inside(*surface.start)
    assert own.load(f"{module}:bowl", (0, 9, 0, 9), (5, 5)).start == (5, 5)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("number", "returns no scalar tensor but a float"),
        ("pair", "returns no scalar tensor but a Tensor of shape"),
        ("constant", "has no gradient"),
        ("floats", "has no gradient"),
        ("broken", r"my.py:broken': \S*my.py:20: ZeroDivisionError: division by zero"),
        ("helped", r"\S*helper_of_mine.py:2: KeyError: 'x'"),
        ("torches", r"\S*my.py:24: RuntimeError: "),  # not the line of torch's
        ("infinite", "is inf at the start|is -inf at the start"),
        ("short", r"my.py:short': TypeError: short\(\) takes 1 positional argument"),
        ("placed", "not 4 numbers"),
        ("bowll", "no function 'bowll' in .*did you mean 'bowl'"),
        ("thing", "no function 'thing'"),
        ("1x", "FILE.py:FUNCTION"),
    ],
)
def test_what_is_wrong_with_a_function(module: Path, name: str, words: str) -> None:
    with pytest.raises(ValueError, match=words) as caught:
        own.load(f"{module}:{name}")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("no.py:f", "there is no file no.py"),
        ("no.py", "FILE.py:FUNCTION"),
        ("{tmp}/wrong.py:f", r"cannot be loaded: \S*wrong.py:1: SyntaxError"),
        ("{tmp}/text.txt:f", "is no Python file"),
    ],
)
def test_what_is_wrong_with_a_file(tmp_path: Path, text: str, words: str) -> None:
    (tmp_path / "wrong.py").write_text("def f(:\n")
    (tmp_path / "text.txt").write_text("")
    with pytest.raises(ValueError, match=words):
        own.load(text.format(tmp=tmp_path))
