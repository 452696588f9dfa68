"""Docstrings taken apart: what the documentation of a rule, a wrapper or a class says."""

from __future__ import annotations

import functools
import inspect
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from . import rules


@dataclass(frozen=True)
class Documentation:
    """The parts of a docstring."""

    title: str = ""
    notes: tuple[str, ...] = ()
    formula: str = ""  # LaTeX
    args: Mapping[str, str] = field(default_factory=dict)  # "betas" or "k, alpha": text
    when: str = ""  # from "Reach for it" on
    not_when: str = ""  # from a sentence that begins with "Not" on
    source: str = ""

    def text(self, name: str) -> tuple[str, str]:
        """The names that are documented together with this one, and what is said."""
        for names, text in self.args.items():
            if name in names.split(", "):
                return names, text
        return name, ""


@functools.cache
def documentation(what: Callable[..., Any]) -> Documentation:
    """The docstring of a function or class; "as in `adam`" is replaced by what adam says."""
    title, _, body = (inspect.getdoc(what) or "").partition("\n")
    notes: list[str] = []
    parts: dict[str, Any] = {}
    for block in re.split(r"\n\s*\n", body.strip()):
        words = " ".join(block.split())
        if block.startswith("Args:"):
            parts["args"] = _args(block)
        elif words.startswith(".. math::"):
            parts["formula"] = words.removeprefix(".. math::").strip()
        elif words.startswith("Reach for it"):
            parts["when"], parts["not_when"] = _reach(words)
        elif words.startswith("Source:"):
            parts["source"] = words.removeprefix("Source:").strip()
        elif words and not re.match(r">>>|Raises:|Returns:", words):
            notes.append(words)
    return Documentation(title, tuple(notes), **parts)


def _reach(words: str) -> tuple[str, str]:
    """When to take it, and when not to: what stands from "Not ..." on."""
    when, *rest = re.split(r"(?<=[.?!]) (?=Not\b)", words, maxsplit=1)
    return when, "".join(rest)


def _args(block: str) -> dict[str, str]:
    entries = re.findall(r"^    (\w[\w, ]*): (.*(?:\n     .*)*)", block, re.MULTILINE)
    args = {names: " ".join(text.split()) for names, text in entries}
    found: dict[str, str] = {}
    for names, text in args.items():
        other = re.fullmatch(r"as in `(\w+)`\.", text)
        if other is None or other[1] not in rules.__all__:
            found[names] = text
            continue
        known = documentation(getattr(rules, other[1]))
        for name in names.split(", "):
            group, said = known.text(name)
            found[group if set(group.split(", ")) <= set(names.split(", ")) else name] = said
    return found
