"""Options of a cluster, from an environment variable: ``GLISSADE_RAY="cpus=2 gpus=0.5"``."""

from __future__ import annotations

import os
import shlex
from collections.abc import Mapping
from typing import Any

from glissade.checks import nearest
from glissade.study.engine.base import EngineError


def options(variable: str, known: Mapping[str, type]) -> dict[str, Any]:
    """The values that a variable of the environment gives; those not given are left out.

    Raises:
        EngineError: a name is unknown, or a value is not of its kind.
    """
    found: dict[str, Any] = {}
    text = os.environ.get(variable, "")
    try:
        parts = shlex.split(text)
    except ValueError as error:
        raise EngineError(f"{variable}={text!r} cannot be read: {error}") from None
    for part in parts:
        name, equals, value = part.partition("=")
        if name not in known:
            raise EngineError(
                f"{variable}: unknown option {name!r}; known are {', '.join(known)}"
                f"{nearest(name, [*known])}"
            )
        try:
            found[name] = known[name](value if equals else "")
        except ValueError:
            kind = {int: "a whole number", float: "a number"}.get(known[name], "other words")
            raise EngineError(f"{variable}: {name}={value!r}, where {kind} is needed") from None
    return found
