"""A user's own function as a surface: `my.py:function`."""

from __future__ import annotations

import importlib.util
import math
import sys
import traceback
import warnings
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import Tensor

from glissade.checks import nearest
from glissade.draw.surfaces import Box, Function, Point, Surface

BOX: Box = (-5.0, 5.0, -5.0, 5.0)


def load(text: str, box: Box | None = None, start: Point | None = None) -> Surface:
    """The surface of ``my.py:function``; ValueError says what is wrong with it.

    The function takes two tensors, x and y, and returns their height, a tensor of the same shape
    with a gradient. It may have attributes: box, start, minima, title, formula, steps, bounded.
    """
    place, _, name = text.rpartition(":")
    path = Path(place)
    if not place or not name.isidentifier():
        raise ValueError(f"surface {text!r}: write FILE.py:FUNCTION")
    if not path.is_file():
        raise ValueError(f"surface {text!r}: there is no file {path}")
    module = module_of(path)
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
        _guarded(function, text, path),
        area,
        start or _numbers(function, "start", 2, corner, text),
        steps=int(getattr(function, "steps", 200)),
        minima=tuple((float(x), float(y)) for x, y in getattr(function, "minima", ())),
        bounded=bool(getattr(function, "bounded", True)),
    ).placed()
    _try(surface, text)
    return surface


def module_of(path: Path) -> ModuleType:
    """The module in a file; it can be found by its name while no other has it, for pickles."""
    spec = importlib.util.spec_from_file_location(path.stem, path.resolve())
    if spec is None or spec.loader is None:
        raise ValueError(f"{path} is no Python file: its name has to end in .py")
    module = importlib.util.module_from_spec(spec)
    there = sys.modules.get(path.stem)
    if there is None or getattr(there, "__file__", None) == str(path.resolve()):
        sys.modules[path.stem] = module
    sys.path.insert(0, str(path.resolve().parent))  # as `python my.py` would have it
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        raise ValueError(f"{path} cannot be loaded: {said(error, path)}") from None
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


def _guarded(function: Function, text: str, path: Path) -> Function:
    """The function; what it raises is told in one line, with the line that did."""

    def guarded(x: Tensor, y: Tensor) -> Tensor:
        try:
            return function(x, y)
        except Exception as error:
            raise ValueError(f"surface {text!r}: {said(error, path)}") from None

    return guarded


def _try(surface: Surface, text: str) -> None:
    """Raise ValueError unless the function has a value and a gradient at the start."""
    point = torch.tensor(surface.start, dtype=torch.float64, requires_grad=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # float(x) warns, and is told of below
        value: Any = surface.value(point)
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


def said(error: BaseException, path: Path) -> str:
    """An exception in one line, with the place in the user's own files: those beside `path`."""
    inside = traceback.extract_tb(error.__traceback__)[1:]  # the first is who called
    frames = [(Path(x.filename), x.lineno) for x in inside]
    words = str(error)
    if isinstance(error, SyntaxError) and error.filename:
        frames.append((Path(error.filename), error.lineno))
        words = error.msg
    at = ""
    for file, line in frames:  # the innermost is the last
        if file.is_relative_to(path.resolve().parent) and "site-packages" not in file.parts:
            at = f"{_short(file)}:{line}: "
    return at + f"{type(error).__name__}: {words}".partition("\n")[0].rstrip(": ")


def _short(path: Path) -> Path:
    """As seen from here, if it is below."""
    here = Path.cwd()
    return path.relative_to(here) if path.is_relative_to(here) else path
