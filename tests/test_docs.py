"""Public names are documented, in the same order everywhere, and their examples run."""

from __future__ import annotations

import doctest
import importlib
import inspect
import pkgutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

import glissade
from glissade import registry, rules, wrappers
from tests.tool import load

ROOT = Path(__file__).parents[1]
MODULES = [
    importlib.import_module(info.name)
    for info in pkgutil.walk_packages(glissade.__path__, "glissade.")
    if info.name.split(".")[1] in ("rules", "wrappers", "rule", "optimizer", "registry")
]


@pytest.mark.parametrize("module", MODULES, ids=lambda module: module.__name__)
def test_examples_run(module: ModuleType) -> None:
    assert doctest.testmod(module, raise_on_error=False).failed == 0


def test_there_are_examples() -> None:
    found = doctest.DocTestFinder()
    count = sum(len(test.examples) for m in MODULES for test in found.find(m))
    assert count >= 2 * (len(rules.__all__) + len(wrappers.__all__))


@pytest.mark.parametrize("entry", registry.entries(), ids=lambda entry: entry.name)
def test_a_rule_says_what_users_need(entry: registry.Entry) -> None:
    """The formula, every keyword, errors, when to use it, an example, the source: in this order."""
    text = inspect.getdoc(entry.rule) or ""
    places = [
        text.index(word)
        for word in (".. math::", "Args:", "Raises:", "Reach for it", ">>>", "Source:")
    ]
    assert places == sorted(places)
    arguments = text[places[1] : places[2]]
    for name in inspect.signature(entry.rule).parameters:
        assert f"{name}:" in arguments or f"{name}," in arguments, name


@pytest.mark.parametrize("name", wrappers.__all__)
def test_a_wrapper_says_what_users_need(name: str) -> None:
    text = inspect.getdoc(getattr(wrappers, name)) or ""
    if name in ("box", "ball", "simplex"):  # what project takes
        return
    assert all(word in text for word in (".. math::", ">>>", "Source:"))


@pytest.mark.parametrize("name", glissade.__all__)
def test_every_public_name_is_documented(name: str) -> None:
    assert inspect.getdoc(getattr(glissade, name))


def test_the_declared_classes_are_those_of_the_registry() -> None:
    """`python tools/stub.py` writes glissade/optimizers.pyi anew."""
    stub = load("stub")
    written = stub.PATH.read_text() == stub.stub()
    assert written, "glissade/optimizers.pyi is out of date: run `python tools/stub.py`"


def test_the_readme_lists_every_optimizer_and_its_rule_is_the_example() -> None:
    readme = (ROOT / "README.md").read_text()
    for entry in registry.entries():
        assert f"`{entry.title}`" in readme
    for name in wrappers.__all__:
        assert f"`{name}`" in readme
    example = (ROOT / "examples" / "own_rule.py").read_text()
    rule = example[example.index("def my_rule") : example.index("WAYS =")].strip()
    assert rule in readme


def test_the_core_imports_nothing_of_the_extras() -> None:
    """`pip install glissade` brings torch, numpy and llvmlite: that must be enough."""
    code = (
        "import sys, glissade; "
        "bad = {'typer', 'rich', 'matplotlib', 'sklearn', 'scipy'} & set(sys.modules); "
        "sys.exit(f'imported {bad}' if bad else 0)"
    )
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True)
