"""What a hyperparameter may be: one table by name, and errors that say what to do."""

from __future__ import annotations

import difflib
import inspect
import math
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from .rule import Rule


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


def without_numbers(x: Any) -> Any:
    """x with 0 for every number in it: what is left may choose a kernel."""
    x = plain(x)
    if isinstance(x, tuple):
        return tuple(map(without_numbers, x))
    return 0 if is_number(x) else x


def _at_least(low: float) -> Callable[[Any], bool]:
    return lambda x: is_number(x) and math.isfinite(x) and x >= low


def _unit(x: Any) -> bool:
    return is_number(x) and 0 <= x < 1


def _pair(x: Any, test: Callable[[Any], bool]) -> bool:
    return isinstance(x, tuple) and len(x) == 2 and all(map(test, x))


def _eps(x: Any) -> bool:
    fits = _at_least(0.0)
    return fits(x) or _pair(x, lambda y: y is None or fits(y))  # a pair: Adafactor's


def _bounds(x: Any) -> bool:
    return x is None or (_pair(x, is_number) and 0 <= x[0] <= x[1])


_NOT_NEGATIVE = (_at_least(0.0), "a finite number that is 0 or more")
_POSITIVE = (lambda x: is_number(x) and 0 < x < math.inf, "a finite number over 0")
_SHARE = (lambda x: is_number(x) and 0 <= x <= 1, "a number in [0, 1]")
_UNIT = (_unit, "a number in [0, 1)")
_TRUTH = (lambda x: isinstance(x, bool), "True or False")
# A schedule makes 4.0 of 4.
_COUNT = (lambda x: is_number(x) and x >= 1 and x == x // 1, "an integer >= 1")

# By name, or by the last word of it: lookahead_k is checked as k.
ALLOWED: dict[str, tuple[Callable[[Any], bool], str]] = {
    "lr": _NOT_NEGATIVE,
    "base_lr": _NOT_NEGATIVE,
    "eps": (_eps, _NOT_NEGATIVE[1]),
    "weight_decay": _NOT_NEGATIVE,
    "momentum": _NOT_NEGATIVE,
    "lr_decay": _NOT_NEGATIVE,
    "initial_accumulator_value": _NOT_NEGATIVE,
    "betas": (lambda x: _pair(x, _unit), "a pair of numbers in [0, 1)"),
    "beta1": _UNIT,
    "beta2": _UNIT,
    "beta3": _UNIT,
    "rho": _UNIT,
    "beta1_decay": _SHARE,
    "momentum_decay": _NOT_NEGATIVE,
    "trust_coefficient": _NOT_NEGATIVE,
    "final_lr": _POSITIVE,
    "gamma": _POSITIVE,
    "bs": _POSITIVE,
    "alpha": _SHARE,
    "k": _COUNT,
    "max_size": _COUNT,
    "rounding_seed": (
        lambda x: isinstance(x, int) and not isinstance(x, bool) and x >= 0,
        "an integer >= 0",
    ),
    "damping": _NOT_NEGATIVE,
    "saddle_free": _TRUTH,
    "l1": _NOT_NEGATIVE,
    "delta": _NOT_NEGATIVE,
    "accumulate_n": _COUNT,
    "ema_decay": _UNIT,
    "clip_norm_max": _NOT_NEGATIVE,
    "project_radius": _POSITIVE,
    "d": _POSITIVE,
    "beta2_decay": (lambda x: is_number(x) and -math.inf < x <= 0, "a finite number <= 0"),
    "phi_bounds": (_bounds, "None or (low, high) with 0 <= low <= high"),
    "amsgrad": _TRUTH,
    "bias_correction": _TRUTH,
    "centered": _TRUTH,
    "nesterov": _TRUTH,
    "maximize": _TRUTH,
    "capturable": _TRUTH,
    "differentiable": _TRUTH,
    "stochastic_rounding": _TRUTH,
}


def hyperparameter(key: str, value: Any, like: Any) -> None:
    """Raise unless `value` may be the hyperparameter `key`, which is `like` by default.

    TypeError where it is not even numbers, ValueError where they are out of range.
    """
    value, like = plain(value), plain(like)
    words = key.split("_")  # a wrapper's begin with its name: layerwise_phi_bounds
    ends = ("_".join(words[i:]) for i in range(len(words)))
    test, text = next((ALLOWED[end] for end in ends if end in ALLOWED), (None, ""))
    if value is None and test is not None and test(None):
        return  # phi_bounds
    if isinstance(like, tuple) and not (isinstance(value, tuple) and len(value) == len(like)):
        raise TypeError(f"{key}={value!r}: it must be a tuple of {len(like)}, such as {like}")
    if is_number(like) and isinstance(value, tuple):
        raise TypeError(f"{key}={value!r}: it must be one number, such as {like}")
    if test is None:  # a rule's own: what it is by default it stays
        if isinstance(like, bool):
            test, text = _TRUTH
        elif is_number(like):
            test, text = (lambda x: is_number(x) and math.isfinite(x)), "a finite number"
        else:
            return
    if not test(value):
        parts = value if isinstance(value, tuple) else (value,)
        numeric = all(x is None or is_number(x) for x in parts)
        raise (ValueError if numeric else TypeError)(f"{key}={value!r}: allowed is {text}")


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


def pair(key: str, value: Any, such_as: str) -> None:
    """Raise TypeError unless `value` is a pair."""
    if not _pair(plain(value), lambda _: True):
        raise TypeError(f"{key}={value!r}: allowed is a pair, such as {such_as}")


def named(function: Callable[..., Any]) -> list[str]:
    """The keywords that a function takes by name alone."""
    parameters = inspect.signature(function).parameters.values()
    return [p.name for p in parameters if p.kind is p.KEYWORD_ONLY]


def unknown(owner: str, key: str, known: Collection[str]) -> str:
    """What to say of a keyword that there is not."""
    return (
        f"{owner}: unknown keyword {key!r}; known are {', '.join(known) or 'none'}"
        f"{nearest(key, known)}"
    )


def misplaced(owner: str, given: Mapping[str, Any], known: Collection[str], rule: Rule) -> str:
    """What to say of keywords that are none of an optimizer's, but may be its rule's."""
    key, value = next(iter(given.items()))
    if key not in rule.hyper:
        return unknown(owner, key, known)
    return (
        f"{owner}: {key}={value!r} is a hyperparameter of the rule ({rule.name}): give it there, "
        "as in glissade.Optimizer(params, glissade.rules.adam(lr=0.1))"
    )


SYNONYMS = {"learning_rate": "lr", "epsilon": "eps", "wd": "weight_decay"}


def nearest(word: str, known: Iterable[str]) -> str:
    """'; did you mean X?' for the known word that is closest, or nothing."""
    known = list(known)
    if SYNONYMS.get(word) in known:
        return f"; did you mean {SYNONYMS[word]!r}?"
    found = difflib.get_close_matches(word, known, n=1, cutoff=0.6)
    return f"; did you mean {found[0]!r}?" if found else ""
