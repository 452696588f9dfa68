"""What a schedule is: a formula of the step with its values bound; and how one is made."""

from __future__ import annotations

import functools
import inspect
import json
import math
import warnings
from collections.abc import Callable, Iterator, Mapping
from itertools import pairwise
from typing import Any, Concatenate, ParamSpec

from ..checks import is_number, nearest, plain, unknown

P = ParamSpec("P")
Check = tuple[Callable[[Any], bool], str]  # a test, and what passes it in words
_MADE: dict[str, Callable[..., Schedule]] = {}


class _Saved(dict[str, Any]):
    """Hold a schedule as torch's LambdaLR saves it: the values in the code win on loading."""

    def update(self, *args: Any, **kwargs: Any) -> None:
        """Change nothing; warn where a checkpoint holds another schedule."""
        saved, here = dict(*args, **kwargs), from_dict(self)
        if saved and from_dict(saved) != here:
            warnings.warn(
                f"the checkpoint holds {from_dict(saved)!r} and this scheduler was made with "
                f"{here!r}: it goes on with {here!r}. Make it with the saved schedule to resume "
                "the same run",
                UserWarning,
                stacklevel=2,
            )


class Schedule:
    """Bind the values of a function of the step: the functions of this module return these."""

    __slots__ = ("_call", "_formula", "name", "values")

    def __init__(self, name: str, formula: Callable[..., float], values: Mapping[str, Any]) -> None:
        self.name = name
        self.values = dict(values)
        self._formula = formula
        self._call = functools.partial(formula, **self.values)

    def __call__(self, t: float) -> float:
        """Return the multiplier at step t, counted from 0.

        Raises:
            ValueError: t is negative, or not a finite number; the value is too large for a float.
        """
        t = plain(t)
        if not (is_number(t) and 0 <= t < math.inf):
            raise ValueError(f"step {t!r}: must be a finite number, 0 or greater")
        try:
            value = float(self._call(t))
        except OverflowError:
            value = math.inf
        if not math.isfinite(value):
            raise ValueError(
                f"{self!r} is {value} at step {t:g}: a schedule must be finite. Take values that "
                "grow more slowly"
            )
        return value

    @property
    def __dict__(self) -> dict[str, Any]:  # type: ignore[override]
        # torch's LambdaLR, MultiplicativeLR and CyclicLR save and load this of their callables.
        return _Saved(self.as_dict())

    def then(self, second: Schedule, at: float) -> Schedule:
        """This schedule up to step `at`, and from there on `second`, which starts at its 0."""
        return _make("then", {"first": self, "second": second, "at": at})

    def __mul__(self, other: Schedule) -> Schedule:
        if not isinstance(other, Schedule):
            return NotImplemented
        return _make("product", {"first": self, "second": other})

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Schedule):
            return NotImplemented
        return (self.name, self.values) == (other.name, other.values)

    def __hash__(self) -> int:
        return hash((self.name, *self.values.values()))

    def __repr__(self) -> str:
        known = inspect.signature(_MADE[self.name]).parameters
        said = [
            repr(value) if known[key].default is inspect.Parameter.empty else f"{key}={value!r}"
            for key, value in self.values.items()
            if value != known[key].default
        ]
        return f"{self.name}({', '.join(said)})"

    def __reduce__(self) -> Any:
        return _make, (self.name, self.values)

    def as_dict(self) -> dict[str, Any]:
        """Return what `from_dict` takes: names, numbers and dicts alone."""
        values = {k: v.as_dict() if isinstance(v, Schedule) else v for k, v in self.values.items()}
        return {"name": self.name, **values}

    def to_json(self) -> str:
        """Return it as JSON, which `from_json` takes."""
        return json.dumps(self.as_dict())


def _make(name: str, values: Mapping[str, Any]) -> Schedule:
    if name not in _MADE:
        raise ValueError(
            f"unknown schedule {name!r}; known are {', '.join(sorted(_MADE))}{nearest(name, _MADE)}"
        )
    return _MADE[name](**values)


def from_dict(given: Mapping[str, Any]) -> Schedule:
    """Return the schedule of `Schedule.as_dict`; ValueError or TypeError where it is none."""
    if not isinstance(given, Mapping) or not isinstance(given.get("name"), str):
        raise ValueError(f"{given!r} is no schedule: it has no name")
    values: dict[str, Any] = {}
    for key, value in given.items():
        if isinstance(value, Mapping):
            value = from_dict(value)
        values[key] = tuple(value) if isinstance(value, list) else value
    return _make(values.pop("name"), values)


def from_json(text: str) -> Schedule:
    """Return the schedule that `Schedule.to_json` wrote.

    Raises:
        ValueError: it is no JSON, no schedule, or has values that are not allowed.
    """
    return from_dict(json.loads(text))


def schedule(
    **checks: Check,
) -> Callable[[Callable[Concatenate[float, P], float]], Callable[P, Schedule]]:
    """Makes a formula of the step `t` and values a function of the values alone.

    `checks` says what each value may be; a formula whose values must fit each other raises
    ValueError where they do not, also at step 0.
    """

    def decorate(formula: Callable[Concatenate[float, P], float]) -> Callable[P, Schedule]:
        name = formula.__name__
        _, *params = inspect.signature(formula).parameters.values()
        signature = inspect.Signature(params, return_annotation="Schedule")

        @functools.wraps(formula)
        def make(*args: P.args, **kwargs: P.kwargs) -> Schedule:
            for key in kwargs:
                if key not in signature.parameters:
                    raise TypeError(unknown(name, key, signature.parameters))
            try:
                bound = signature.bind(*args, **kwargs)
            except TypeError as error:
                raise TypeError(f"{name}: {error}") from None
            bound.apply_defaults()
            values = {key: plain(value) for key, value in bound.arguments.items()}
            for key, value in values.items():
                test, text = checks[key]
                if not test(value):
                    raise ValueError(f"{name}: {key}={value!r}: must be {text}")
            made = Schedule(name, formula, values)
            _check_finite(made)
            return made

        make.__signature__ = signature  # type: ignore[attr-defined]
        make.__annotations__ = {"return": "Schedule"}
        _MADE[name] = make
        return make

    return decorate


def _check_finite(made: Schedule) -> None:
    for t in _corners(made):
        made(t)


def _corners(made: Schedule) -> Iterator[float]:
    """Steps at which a schedule may turn: where it is asked for a number when it is made."""
    yield 0
    for value in made.values.values():
        for x in value if isinstance(value, tuple) else (value,):
            if is_number(x) and x > 0:
                yield from (x, x / 2, math.nextafter(x, 0))


# Where a schedule jumps, a product or quotient of round numbers may miss by rounding alone:
# 11 / 2.2 and 100 * 0.07 are whole.
_NEAR, _NEAREST = 1e-12, 1e-3  # relative, and at most


def _whole(x: float) -> int | None:
    """Return the whole number that x is, or that it misses by rounding alone."""
    near = round(x)
    return near if abs(x - near) <= min(_NEAR * abs(x), _NEAREST) else None


def floor(x: float) -> int:
    """Return ⌊x⌋ of what x is without its rounding error."""
    near = _whole(x)
    return math.floor(x) if near is None else near


def ceil(x: float) -> int:
    """Return ⌈x⌉ of what x is without its rounding error."""
    near = _whole(x)
    return math.ceil(x) if near is None else near


def reached(t: float, mark: float) -> bool:
    """Return whether step t is `mark` or later, rounding aside."""
    return t >= mark or mark - t <= min(_NEAR * mark, _NEAREST)


# What values may be

LENGTH: Check = (lambda x: is_number(x) and 0 < x < math.inf, "a finite number above 0 (steps)")
SPAN: Check = (
    lambda x: is_number(x) and 0 <= x < math.inf,
    "a finite number, 0 or greater (steps)",
)
SHARE: Check = (lambda x: is_number(x) and 0 <= x <= 1, "a number in [0, 1]")
INSIDE: Check = (lambda x: is_number(x) and 0 < x < 1, "a number between 0 and 1")
FACTOR: Check = (
    lambda x: is_number(x) and 0 <= x < math.inf,
    "a finite number, 0 or greater",
)
POSITIVE: Check = (lambda x: is_number(x) and 0 < x < math.inf, "a finite number above 0")
RATIO: Check = (
    lambda x: is_number(x) and 1 <= x < math.inf,
    "a finite number, 1 or greater",
)
SCHEDULE: Check = (lambda x: isinstance(x, Schedule), "a schedule, such as cosine(1000)")
TRUTH: Check = (lambda x: isinstance(x, bool), "True or False")
STEPS: Check = (
    lambda x: (
        isinstance(x, tuple) and all(map(LENGTH[0], x)) and all(a < b for a, b in pairwise(x))
    ),
    "a tuple of steps above 0, each later than the one before",
)


def word(*words: Any) -> Check:
    return lambda x: x in words, " or ".join(map(repr, words))


def half_wave(x: float) -> float:
    """From 1 at 0 to 0 at 1, level at both ends."""
    return 0.5 * (1 + math.cos(math.pi * x))
