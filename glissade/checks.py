"""What a hyperparameter may be: one table by name, and errors that say what to do."""

from __future__ import annotations

import difflib
import math
from collections.abc import Callable, Collection, Iterable
from typing import Any

import torch


def is_number(x: Any) -> bool:
    """A number that may change from step to step (a bool is a choice, not a number)."""
    return isinstance(x, (int, float)) and not isinstance(x, bool)


def plain(x: Any) -> Any:
    """x with one-element tensors (torch allows ``lr`` to be one) and NumPy numbers as numbers."""
    if isinstance(x, (tuple, list)):
        return tuple(plain(y) for y in x)
    if type(x) in (float, int, bool, str) or x is None:
        return x
    if isinstance(x, torch.Tensor) and x.numel() != 1:
        return x  # refused by the check that follows
    return x.item() if hasattr(x, "item") else x


def _at_least(low: float) -> Callable[[Any], bool]:
    return lambda x: is_number(x) and math.isfinite(x) and x >= low


def _between(low: float, high: float) -> Callable[[Any], bool]:
    return lambda x: is_number(x) and low <= x < high


def _positive(x: Any) -> bool:
    return is_number(x) and math.isfinite(x) and x > 0


def _bounds(x: Any) -> bool:
    if x is None:
        return True
    return isinstance(x, tuple) and len(x) == 2 and all(map(is_number, x)) and 0 <= x[0] <= x[1]


_NOT_NEGATIVE = (_at_least(0.0), "a finite number that is 0 or more")
_UNIT = (_between(0.0, 1.0), "a number in [0, 1)")
_COUNT = (lambda x: isinstance(x, int) and not isinstance(x, bool) and x >= 1, "an integer >= 1")

# By the last part of the name: lookahead_k is checked as k, centralize_eps as eps.
ALLOWED: dict[str, tuple[Callable[[Any], bool], str]] = {
    "lr": _NOT_NEGATIVE,
    "base_lr": _NOT_NEGATIVE,
    "eps": _NOT_NEGATIVE,
    "weight_decay": _NOT_NEGATIVE,
    "momentum": _NOT_NEGATIVE,
    "lr_decay": _NOT_NEGATIVE,
    "initial_accumulator_value": _NOT_NEGATIVE,
    "betas": _UNIT,
    "beta1": _UNIT,
    "beta2": _UNIT,
    "rho": _UNIT,
    "decay_rate": _UNIT,
    "rmsprop_alpha": _UNIT,
    "alpha": (lambda x: is_number(x) and 0 <= x <= 1, "a number in [0, 1]"),
    "k": _COUNT,
    "d": (_positive, "a finite number over 0"),
    "beta2_decay": (lambda x: is_number(x) and math.isfinite(x) and x <= 0, "a number <= 0"),
    "phi_bounds": (_bounds, "None or (low, high) with 0 <= low <= high"),
}


def hyperparameter(key: str, value: Any, like: Any) -> None:
    """Raise unless `value` may be the hyperparameter `key`, whose default is `like`."""
    value, like = plain(value), plain(like)
    test, text = ALLOWED.get(key) or ALLOWED.get(key.rsplit("_", 1)[-1]) or (None, "")
    if key in ALLOWED and _bounds is test:
        if not _bounds(value):
            raise ValueError(f"{key}={value!r}: allowed is {text}")
        return
    if isinstance(like, bool):
        if not isinstance(value, bool):
            raise TypeError(f"{key}={value!r}: allowed is True or False")
        return
    if isinstance(like, tuple):
        if not isinstance(value, tuple) or len(value) != len(like):
            raise TypeError(f"{key}={value!r}: allowed is a tuple of {len(like)}, such as {like}")
        for x, y in zip(value, like, strict=True):
            if x is not None or y is not None:
                _number(key, value, x, test, text)
        return
    if is_number(like) or (like is None and test is not None and value is not None):
        _number(key, value, value, test, text)
    elif isinstance(value, torch.Tensor):
        raise TypeError(f"{key} is a tensor of shape {tuple(value.shape)}: allowed is a number")


def _number(key: str, value: Any, x: Any, test: Callable[[Any], bool] | None, text: str) -> None:
    if not is_number(x):
        raise TypeError(f"{key}={value!r}: allowed is {text or 'a finite number'}")
    if not math.isfinite(x) or (test is not None and not test(x)):
        raise ValueError(f"{key}={value!r}: allowed is {text or 'a finite number'}")


def one_of(owner: str, key: str, value: Any, allowed: Collection[str]) -> None:
    """Raise ValueError unless `value` is one of the words allowed for `key` of `owner`."""
    if value not in allowed:
        words = ", ".join(map(repr, allowed))
        hint = nearest(str(value), allowed)
        raise ValueError(f"{owner}: {key}={value!r} is unknown; allowed are {words}{hint}")


def idle(owner: str, variant: str, **given: tuple[Any, Any]) -> None:
    """Raise ValueError if a hyperparameter that this variant has no use for is not its default."""
    for key, (value, default) in given.items():
        if plain(value) != default:
            raise ValueError(
                f"{owner}: {key}={value!r} means nothing in variant={variant!r}; allowed there is "
                f"{default!r}"
            )


def nearest(word: str, known: Iterable[str]) -> str:
    """'; did you mean X?' for the known word that is closest, or nothing."""
    found = difflib.get_close_matches(word, list(known), n=1, cutoff=0.5)
    return f"; did you mean {found[0]!r}?" if found else ""
