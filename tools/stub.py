"""Writes glissade/optimizers.pyi: the named classes with the signatures of their rules."""

from __future__ import annotations

import inspect
from pathlib import Path

from glissade import registry
from glissade.optimizers import OPTIONS

PATH = Path(__file__).parents[1] / "glissade" / "optimizers.pyi"


def stub() -> str:
    """The text of optimizers.pyi."""
    lines = [
        '"""The named classes; written by `python tools/stub.py`: do not edit."""',
        "",
        "from collections.abc import Iterable",
        "from typing import Any",
        "",
        "from .optimizer import Optimizer",
        "",
        f"__all__ = {[entry.title for entry in registry.entries()]!r}".replace("'", '"'),
        "",
    ]
    for entry in registry.entries():
        lines += [f"class {entry.title}(Optimizer):", "    def __init__(", "        self,"]
        lines += ["        params: Iterable[Any],"]
        for p in inspect.signature(entry.rule).parameters.values():
            star = ["        *,"] if p.name == "lr" else []
            lines += [f"        {p.name}: {p.annotation} = {p.default!r},".replace("'", '"'), *star]
        for p in OPTIONS:
            lines += [f"        {p.name}: {p.annotation} = {p.default!r},"]
        lines += ["    ) -> None: ...", ""]
    return "\n".join(lines)


if __name__ == "__main__":
    PATH.write_text(stub())
