"""The registry against a copy of the tables that define it: every name, keyword and default."""

from __future__ import annotations

import ast
import inspect
import re
from pathlib import Path
from typing import Any

import pytest

import glissade
from glissade import registry, rules, wrappers
from glissade.rule import DECAYS

TEXT = (Path(__file__).parent / "definitions.md").read_text()
SECTIONS = dict(re.findall(r"^### (.+?)\n(.*?)(?=^### |\Z)", TEXT, re.M | re.S))
LATER = {"Newton"}  # has a class, and no row of the registry: it is no rule
BEYOND = {"ADOPT": "decoupled", "Yogi": "l2"}  # more than the tables have, and their default decay


def cells(line: str) -> list[str]:
    return [x.strip() for x in re.split(r"(?<!\\)\|", line.strip().strip("|"))]


def table(section: str) -> list[list[str]]:
    lines = [x for x in SECTIONS[section].splitlines() if x.startswith("|")]
    return [cells(x) for x in lines[2:]]


def calls(cell: str) -> list[ast.Call]:
    """What is written as code in a cell, as calls; a name alone is one without arguments."""
    out = []
    for code in re.findall(r"`(\w+(?:\([^`]*\))?)`", cell):
        node = ast.parse(code.replace("\\", ""), mode="eval").body
        out.append(node if isinstance(node, ast.Call) else ast.Call(node, [], []))
    return out


def literal(node: ast.expr) -> Any:
    try:
        return ast.literal_eval(node)
    except ValueError:
        return inspect.Parameter.empty  # box(lo, hi) | ball(r): only the name is checked


OPTIMIZERS = [
    (call, row)
    for section in SECTIONS
    if section not in ("Wrappers: rule in, rule out", "Weight decay: one keyword, four meanings, "
                       "for every optimizer")
    for row in table(section)
    for call in calls(row[0])
]  # fmt: skip
WRAPPERS = [(call, row) for row in table("Wrappers: rule in, rule out") for call in calls(row[0])]
PRESETS = {"Ranger", "Ralamb", "RangerLARS", "Newton"}
BY_TITLE = {entry.title: entry for entry in registry.entries()}


def name_of(call: ast.Call) -> str:
    assert isinstance(call.func, ast.Name)
    return call.func.id


def test_the_tables_were_read() -> None:
    assert len(OPTIMIZERS) == 24
    assert {name_of(call) for call, _ in WRAPPERS} >= {"lookahead", "project", "Ranger", "ema"}
    keywords = [k.arg for call, _ in OPTIMIZERS for k in call.keywords]
    assert len(keywords) > 70


def test_every_optimizer_is_there() -> None:
    titles = {name_of(call) for call, _ in OPTIMIZERS} | (
        PRESETS & {name_of(call) for call, _ in WRAPPERS}
    )
    assert titles - LATER <= set(BY_TITLE)
    assert set(BY_TITLE) - titles == {*BEYOND}
    for title in BY_TITLE:
        assert BY_TITLE[title].name == title.lower()


@pytest.mark.parametrize("call", [c for c, _ in OPTIMIZERS if name_of(c) not in LATER], ids=name_of)
def test_keywords_and_defaults(call: ast.Call) -> None:
    parameters = inspect.signature(BY_TITLE[name_of(call)].rule).parameters
    assert next(iter(parameters)) == "lr"
    for key in call.keywords:
        assert key.arg is not None
        assert parameters[key.arg].default == literal(key.value), key.arg
        if key.arg != "lr":
            assert parameters[key.arg].kind is inspect.Parameter.KEYWORD_ONLY


@pytest.mark.parametrize("row", [(c, r) for c, r in OPTIMIZERS if name_of(c) not in LATER],
                         ids=lambda row: name_of(row[0]))  # fmt: skip
def test_variants(row: tuple[ast.Call, list[str]]) -> None:
    call, columns = row
    entry = BY_TITLE[name_of(call)]
    known = {"torch", "keras", "optax", "official", "paper", "inside", "inside_hat", "ema"}
    named = known & set(re.findall(r"`(\w+)`", columns[2]))
    for variant in named:
        entry.bind(variant=variant)
    default = re.search(r"`(\w+)`[^`]*?\(default|default `(\w+)`", columns[2])
    if default:
        word = default[1] or default[2]
        assert entry.rule().hyper["variant"] == word


def test_default_decays() -> None:
    sentence = re.search(r"Defaults: decoupled for (.*?);", TEXT)
    assert sentence is not None
    decoupled = set(re.findall(r"\b[A-Z]\w+", sentence[1]))
    decoupled |= {"AdagradFull"}  # "and the sign and matrix methods"
    decoupled |= {title for title, decay in BEYOND.items() if decay == "decoupled"}
    for title, entry in BY_TITLE.items():
        hyper = entry.rule().hyper
        if title in ("LARS", "LAMB"):
            with pytest.raises(TypeError, match="decay"):
                entry.bind(decay="l2")
        else:
            assert hyper["decay"] == ("decoupled" if title in decoupled else "l2"), title


def test_decays() -> None:
    section = next(text for name, text in SECTIONS.items() if name.startswith("Weight decay"))
    assert re.findall(r'^\| `"(\w+)"` \|', section, re.M) == list(DECAYS)


@pytest.mark.parametrize("call", [c for c, _ in WRAPPERS if name_of(c) not in PRESETS], ids=name_of)
def test_wrappers(call: ast.Call) -> None:
    assert name_of(call) in wrappers.__all__
    parameters = inspect.signature(getattr(wrappers, name_of(call))).parameters
    given = [a.id for a in call.args if isinstance(a, ast.Name)] + [k.arg for k in call.keywords]
    assert list(parameters) == given
    for key in call.keywords:
        assert key.arg is not None
        value = literal(key.value)
        if value is not inspect.Parameter.empty:
            assert parameters[key.arg].default == value


def test_newton() -> None:
    (call,) = (c for c, _ in WRAPPERS if name_of(c) == "Newton")
    parameters = inspect.signature(glissade.Newton).parameters
    assert {k.arg: literal(k.value) for k in call.keywords} == {
        k: parameters[k].default for k in ("damping", "saddle_free")
    }


def test_presets() -> None:
    assert rules.ranger().hyper["lookahead_k"] == 6
    assert rules.ranger().hyper["variant"] == "paper"
    hyper = rules.ranger(variant="official").hyper
    assert (hyper["betas"], hyper["eps"], hyper["variant"]) == ((0.95, 0.999), 1e-5, "torch")
    assert rules.ralamb().hyper["variant"] == "paper"
    assert rules.rangerlars().hyper["lookahead_k"] == 6
    assert registry.lookup("nesterov").bind().hyper["nesterov"] is True
