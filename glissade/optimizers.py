"""The named classes: `Optimizer` bound to each rule of the registry.

Made here, declared with their signatures in `optimizers.pyi`, which ``python tools/stub.py``
writes anew after a change.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterable
from typing import Any

from . import registry
from .checks import unknown
from .optimizer import Optimizer

_FRONT = inspect.signature(Optimizer.__init__).parameters
OPTIONS = [p for p in _FRONT.values() if p.kind is p.KEYWORD_ONLY]


def _named(entry: registry.Entry) -> type[Optimizer]:
    """The class of a row: the rule's keywords beside Optimizer's own."""
    rule = inspect.signature(entry.rule)
    words = [*rule.parameters, *(p.name for p in OPTIONS)]

    class Named(Optimizer):
        def __init__(self, params: Iterable[Any], *args: Any, **keywords: Any) -> None:
            for key in keywords:
                if key not in words:
                    raise TypeError(unknown(entry.title, key, words))
            if len(args) > 1:
                raise TypeError(
                    f"{entry.title}: {len(args)} values after params; only lr may come without "
                    "its name"
                )
            front = {p.name: keywords.pop(p.name) for p in OPTIONS if p.name in keywords}
            super().__init__(params, entry.rule(*args, **keywords), **front)

    Named.__name__ = Named.__qualname__ = entry.title
    Named.__module__ = "glissade"  # where it is imported from, and where pickle looks
    Named.__doc__ = entry.rule.__doc__
    first = inspect.Parameter("params", inspect.Parameter.POSITIONAL_OR_KEYWORD)
    Named.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
        [first, *rule.parameters.values(), *OPTIONS]
    )
    return Named


__all__ = [entry.title for entry in registry.entries()]
globals().update({entry.title: _named(entry) for entry in registry.entries()})
