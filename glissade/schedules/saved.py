"""Schedules in a checkpoint: as numbers, words, lists and dicts, and compared with others."""

from __future__ import annotations

import math
import types
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from ..checks import plain
from .base import Schedule, from_dict

_DEEP, _LONG = 4, 32  # what is nested further or longer is noted by its type alone


def saved(given: Any) -> Any:
    """Return schedules as what JSON can hold; of another function its name and what it holds."""
    if isinstance(given, list):
        return [saved(one) for one in given]
    if isinstance(given, tuple):
        return {"each": [saved(one) for one in given]}
    if given is None or isinstance(given, Schedule):
        return given if given is None else given.as_dict()
    return _function(given, _DEEP)


def restored(given: Any) -> Any:
    """Return the schedules that `saved` was given.

    Raises:
        ValueError: one of them was a function, of which a checkpoint holds only a description.
    """
    if isinstance(given, list):
        return [restored(one) for one in given]
    if given is None or "name" in given:
        return given if given is None else from_dict(given)
    if "each" in given:
        return tuple(restored(one) for one in given["each"])
    raise ValueError(
        f"the checkpoint was made with the function {given['function']}, which it cannot hold: "
        "make the scheduler with it, and load with changed='new'"
    )


def same(was: Any, now: Any) -> bool:
    """Return whether two saved schedules are the same, also if one has been through JSON."""
    if isinstance(was, (list, tuple)):
        fits = isinstance(now, (list, tuple)) and len(was) == len(now)
        return fits and all(map(same, was, now))
    if isinstance(was, Mapping) and isinstance(now, Mapping):
        if "function" in was and "holds" not in was:  # older checkpoints have the name alone
            return bool(was["function"] == now.get("function"))
        return was.keys() == now.keys() and all(same(was[key], now[key]) for key in was)
    return bool(was == now)


def said(given: Any) -> str:
    """Return saved schedules as a call would have them."""
    if isinstance(given, list):
        return f"[{', '.join(map(said, given))}]"
    if isinstance(given, Mapping) and "function" in given:
        holds = given.get("holds")
        return f"function {given['function']}" + (f" with {holds}" if holds else "")
    if isinstance(given, Mapping) and "each" in given:
        return f"({', '.join(map(said, given['each']))})"
    return repr(restored(given))


def difference(was: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    """Return in words where the schedules of a checkpoint are not those here; "" if they are."""
    parts = []
    for key in {**was, **now}:
        if key in was and key in now and same(was[key], now[key]):
            continue
        then, here = (said(x[key]) if key in x else "not scheduled" for x in (was, now))
        parts.append(f"{key} was {then} and is {here} now")
    return "; ".join(parts)


# Functions: their names, and the values that tell two of one name apart


def _function(f: Callable[..., Any], deep: int) -> dict[str, Any]:
    name = getattr(f, "__qualname__", type(f).__qualname__)
    if isinstance(f, partial):
        holds: list[Any] = [f.func, list(f.args), dict(f.keywords)]
    elif isinstance(f, types.FunctionType):
        holds = _bound_in(f)
    elif isinstance(f, types.MethodType):
        holds = [_attributes(f.__self__)]
    else:
        holds = [_attributes(f)]
    kept = [_value(x, deep - 1) for x in holds if not _empty(x)]
    return {"function": name, "holds": kept} if kept else {"function": name}


def _bound_in(f: types.FunctionType) -> list[Any]:
    """Return the numbers that a function is written with, its defaults, and what it closes over."""
    cells = {}
    for name, cell in zip(f.__code__.co_freevars, f.__closure__ or (), strict=True):
        try:
            cells[name] = cell.cell_contents
        except ValueError:  # not assigned yet
            continue
    numbers = [x for x in f.__code__.co_consts if isinstance(x, float)]
    return [numbers, list(f.__defaults__ or ()), dict(f.__kwdefaults__ or {}), cells]


def _attributes(x: Any) -> dict[str, Any]:
    """Return an object's values, where it is small enough to be a schedule and no model."""
    names = [*getattr(x, "__dict__", ())]
    for kind in type(x).__mro__:
        slots = kind.__dict__.get("__slots__", ())
        names += [slots] if isinstance(slots, str) else slots
    found = {name: getattr(x, name) for name in names if hasattr(x, name)}
    return found if len(found) <= _LONG else {}


def _empty(x: Any) -> bool:
    return isinstance(x, (list, dict)) and not x


def _value(x: Any, deep: int) -> Any:
    if getattr(x, "shape", None) and hasattr(x, "tolist"):  # an array, a tensor
        x = x.tolist() if math.prod(x.shape) <= _LONG else type(x).__qualname__
    elif not isinstance(x, (list, tuple)):
        x = plain(x)
    if x is None or type(x) in (bool, int, float, str):
        return x
    if isinstance(x, Schedule):
        return x.as_dict()
    if deep > 0 and isinstance(x, (list, tuple)) and len(x) <= _LONG:
        return [_value(one, deep - 1) for one in x]
    if deep > 0 and isinstance(x, dict) and len(x) <= _LONG:
        return {str(key): _value(one, deep - 1) for key, one in x.items()}
    if deep > 0 and callable(x) and not isinstance(x, type):
        return _function(x, deep)
    return type(x).__qualname__
