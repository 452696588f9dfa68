"""Read plain JSON data as the type that it should be, and say where it is not."""

from __future__ import annotations

import math
import types
from collections.abc import Callable, Mapping, Sequence
from dataclasses import MISSING, fields, is_dataclass
from functools import cache
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints, is_typeddict

T = TypeVar("T")
SHOWN = 60  # characters of a wrong value
LARGEST = 10**300  # of whole numbers
WORDS = {bool: "true or false", int: "a whole number", float: "a number", str: "a text"}


class Damaged(ValueError):
    """Data that do not have the type they should have; the message names the place."""


def conform(kind: type[T], value: object, where: str = "") -> T:
    """Return JSON data as `kind`: a dataclass, a TypedDict, or what the two are made of.

    A dataclass takes no unknown key, as its keys are what the value stands on; a TypedDict takes
    them, and its data come back as they are. A number has to be finite.

    Raises:
        Damaged: a key is missing or unknown, or a value has another type.
    """
    found: T = _read(kind, value, where)
    return found


def _read(kind: Any, value: Any, where: str) -> Any:
    if kind is Any:
        return value
    if kind is None or kind is type(None):
        return value if value is None else _wrong(kind, value, where)
    if kind in WORDS:
        return _plain(kind, value, where)
    if is_dataclass(kind):
        return _dataclass(kind, value, where)
    if is_typeddict(kind):
        return _open(kind, value, where)
    origin, inner = get_origin(kind), get_args(kind)
    if origin is Literal:
        # `True == 1`: the type counts as well
        fits = any(type(one) is type(value) and one == value for one in inner)
        return value if fits else _wrong(kind, value, where)
    if origin in (Union, types.UnionType):
        return _either(kind, inner, value, where)
    return _READERS[origin](kind, inner, value, where)


def _plain(kind: type, value: Any, where: str) -> Any:
    whole = isinstance(value, int) and not isinstance(value, bool)
    if whole and abs(value) > LARGEST:  # float() would raise OverflowError
        _wrong(kind, value, where)
    if whole and kind is float:
        return float(value)
    fits = isinstance(value, kind) and (kind is bool or not isinstance(value, bool))
    if not fits or (isinstance(value, float) and not math.isfinite(value)):
        _wrong(kind, value, where)
    return value


def _either(kind: Any, inner: Sequence[Any], value: Any, where: str) -> Any:
    rest = [one for one in inner if one is not type(None)]
    if value is None and len(rest) < len(inner):
        return None
    if len(rest) == 1:
        return _read(rest[0], value, where)
    for one in rest:
        try:
            return _read(one, value, where)
        except Damaged:
            continue
    return _wrong(kind, value, where)


def _tuple(kind: Any, inner: Sequence[Any], value: Any, where: str) -> Any:
    if not isinstance(value, (list, tuple)):
        _wrong(kind, value, where)
    if inner[-1] is Ellipsis:
        inner = [inner[0]] * len(value)
    if len(inner) != len(value):
        raise Damaged(f"{where} holds {len(value)} values, where {len(inner)} belong")
    return tuple(_read(k, x, f"{where}[{i}]") for i, (k, x) in enumerate(zip(inner, value)))  # noqa: B905


def _list(kind: Any, inner: Sequence[Any], value: Any, where: str) -> Any:
    if not isinstance(value, (list, tuple)):
        _wrong(kind, value, where)
    return [_read(inner[0], x, f"{where}[{i}]") for i, x in enumerate(value)]


def _mapping(kind: Any, inner: Sequence[Any], value: Any, where: str) -> Any:
    if not isinstance(value, Mapping):
        _wrong(kind, value, where)
    return {name: _read(inner[1], x, _join(where, name)) for name, x in value.items()}


_READERS: Mapping[Any, Callable[[Any, Sequence[Any], Any, str], Any]] = {
    tuple: _tuple, list: _list, Sequence: _list, dict: _mapping, Mapping: _mapping,
}  # fmt: skip
_HINTS = cache(get_type_hints)


def _dataclass(kind: Any, value: Any, where: str) -> Any:
    if not isinstance(value, Mapping):
        _wrong(kind, value, where)
    hints, given = _HINTS(kind), {}
    known = {one.name: one for one in fields(kind) if one.init}
    for name in value:
        if name not in known:
            raise Damaged(f"{_join(where, str(name))} is unknown; known are {', '.join(known)}")
    for name, one in known.items():
        if name in value:
            given[name] = _read(hints[name], value[name], _join(where, name))
        elif one.default is MISSING and one.default_factory is MISSING:
            raise Damaged(f"{_join(where, name)} is missing")
    try:
        return kind(**given)
    except Damaged:
        raise
    except ValueError as error:  # of a constructor that checks what it is given
        raise Damaged(f"{where or kind.__name__}: {error}") from None


def _open(kind: Any, value: Any, where: str) -> Any:
    if not isinstance(value, Mapping):
        _wrong(kind, value, where)
    found = dict(value)
    for name, of in _HINTS(kind).items():
        if name in value:
            found[name] = _read(of, value[name], _join(where, name))
        elif name in kind.__required_keys__:
            raise Damaged(f"{_join(where, name)} is missing")
    return found


def _join(where: str, name: object) -> str:
    return f"{where}.{name}" if where else str(name)


def _wrong(kind: Any, value: object, where: str) -> Any:
    text = repr(value)
    text = text if len(text) <= SHOWN else text[: SHOWN - 4] + " ..."
    raise Damaged(f"{where or 'it'}={text}: must be {_said(kind)}")


def _said(kind: Any) -> str:
    if kind in WORDS:
        return WORDS[kind]
    if kind is None or kind is type(None):
        return "null"
    origin, inner = get_origin(kind), get_args(kind)
    if origin is Literal:
        return " or ".join(map(repr, inner))
    if origin in (Union, types.UnionType):
        return " or ".join(map(_said, inner))
    return "a list" if origin in (tuple, list, Sequence) else "an object"
