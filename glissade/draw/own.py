"""A user's own function as a surface: `my.py:function`."""

from __future__ import annotations

import importlib.util
import math
import sys
import warnings
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import Tensor

from glissade.checks import nearest
from glissade.draw.surfaces import Box, Point, Surface

BOX: Box = (-5.0, 5.0, -5.0, 5.0)


def load(text: str, box: Box | None = None, start: Point | None = None) -> Surface:
    """The surface of ``my.py:function``; ValueError says what is wrong with it.

    The function takes two tensors without dimensions, x and y, and returns one. It may have
    attributes: box, start, minima, title, formula, steps, bounded.
    """
    place, _, name = text.rpartition(":")
    path = Path(place)
    if not place or not name.isidentifier():
        raise ValueError(f"surface {text!r}: write FILE.py:FUNCTION")
    if not path.is_file():
        raise ValueError(f"surface {text!r}: there is no file {path}")
    module = _module(path)
    function = getattr(module, name, None)
    if not callable(function):
        known = [key for key, value in vars(module).items() if callable(value)]
        raise ValueError(f"surface {text!r}: no function {name!r} in {path}{nearest(name, known)}")
    area: Box = box or _numbers(function, "box", 4, BOX, text)
    x0, x1, y0, y1 = area
    corner = (x0 + 0.15 * (x1 - x0), y1 - 0.1 * (y1 - y0))
    surface = Surface(
        name,
        str(getattr(function, "title", name)),
        str(getattr(function, "formula", "")),
        function,
        area,
        start or _numbers(function, "start", 2, corner, text),
        steps=int(getattr(function, "steps", 200)),
        minima=tuple((float(x), float(y)) for x, y in getattr(function, "minima", ())),
        bounded=bool(getattr(function, "bounded", True)),
    ).placed()
    _try(surface, text)
    return surface


def _module(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None:
        raise ValueError(f"{path} is no Python file: its name has to end in .py")
    module = importlib.util.module_from_spec(spec)
    sys.path.insert(0, str(path.resolve().parent))  # as `python my.py` would have it
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        raise ValueError(f"{path} cannot be loaded: {_said(error)}") from None
    finally:
        sys.path.pop(0)
    return module


def _numbers(function: Any, key: str, count: int, default: Any, text: str) -> Any:
    given = getattr(function, key, default)
    try:
        numbers = tuple(float(x) for x in given)
    except (TypeError, ValueError):
        numbers = ()
    if len(numbers) != count:
        raise ValueError(f"surface {text!r}: its {key} is {given!r}, not {count} numbers")
    return numbers


def _try(surface: Surface, text: str) -> None:
    """Raise ValueError unless the function has a value and a gradient at the start."""
    point = torch.tensor(surface.start, dtype=torch.float64, requires_grad=True)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # float(x) warns, and is told of below
            value: Any = surface.value(point)
    except Exception as error:
        raise ValueError(f"surface {text!r} raises {_said(error)}") from None
    if not isinstance(value, Tensor) or value.numel() != 1:
        what = type(value).__name__
        if isinstance(value, Tensor):
            what += f" of shape {tuple(value.shape)}"
        raise ValueError(f"surface {text!r} returns no scalar tensor but a {what}")
    if not value.requires_grad:
        raise ValueError(
            f"surface {text!r} has no gradient: compute it with torch's functions of x and y"
        )
    if not math.isfinite(value.item()):
        x, y = surface.start
        raise ValueError(f"surface {text!r} is {value.item():g} at the start {x:g},{y:g}")


def _said(error: BaseException) -> str:
    """An exception in one line."""
    return f"{type(error).__name__}: {error}".partition("\n")[0].rstrip(": ")
