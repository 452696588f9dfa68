"""Optimizers as a command line writes them: ``sgd, lookahead(adam, k=5), adamw @ cosine(1000)``.

Python's own syntax, read but never run: names of `glissade list` with their keywords, wrappers
around them, and after ``@`` a schedule of the learning rate from `glissade.schedules`.
"""

from __future__ import annotations

import ast
import inspect
import warnings
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch

from . import around, registry, schedules, wrappers
from .checks import nearest, unknown
from .optimizer import Optimizer
from .rule import Rule
from .scheduler import Scheduler
from .schedules import Schedule
from .schedules.usual import usual

HINT = "write it as in 'sgd, lookahead(adam, k=5), adamw @ cosine(1000)'"


@dataclass(frozen=True)
class Spec:
    """One optimizer, what is around it, and its schedule."""

    text: str  # as it was written
    label: str  # for tables and pictures
    name: str  # of the registry's row inside, or of what is no rule, in lower case
    lr: float | None  # None: not said
    schedule: Schedule | None
    hyper: Mapping[str, Any] = field(default_factory=dict)  # of the optimizer, without lr
    around: tuple[tuple[str, Mapping[str, Any]], ...] = ()  # wrappers, the innermost first

    @property
    def row(self) -> registry.Entry | None:
        """The row of the registry; None for what is no rule, such as Newton."""
        return None if around.find(self.name) else registry.lookup(self.name)

    @property
    def lr_range(self) -> tuple[float, float]:
        """Where a learning rate is searched for."""
        return self.row.lr_range if self.row else _OTHERS[self.name].lr_range

    def rule(self, lr: float | None = None) -> Rule:
        """The rule with its wrappers; `lr` counts where the text says none."""
        assert self.row is not None
        rule = self.row.bind(self.lr if self.lr is not None else lr, **self.hyper)
        for name, options in self.around:
            rule = getattr(wrappers, name)(rule, **options)
        return rule

    def optimizer(
        self, params: Iterable[Any], lr: float | None = None, *, backend: str | None = None
    ) -> torch.optim.Optimizer:
        """The optimizer on these parameters; `lr` counts where the text says none."""
        if self.row is not None:
            return Optimizer(params, self.rule(lr), backend=backend)
        at = self.lr if self.lr is not None else lr
        made: torch.optim.Optimizer = _OTHERS[self.name].make(
            params, **({} if at is None else {"lr": at}), **self.hyper
        )
        return made

    def scheduler(self, optimizer: torch.optim.Optimizer) -> Scheduler | None:
        """The scheduler to step after each of the optimizer's steps; None without a schedule."""
        return None if self.schedule is None else Scheduler(optimizer, lr=self.schedule)


@dataclass(frozen=True)
class _Other:
    make: Callable[..., Any]
    lr_range: tuple[float, float]


_OTHERS = {
    other.name.lower(): _Other(
        other.what,
        (0.1, 1.0) if other.name == "Newton" else registry.lookup(other.name[:-1]).lr_range,
    )
    for other in around.OPTIMIZERS
}


def specs(text: str) -> tuple[Spec, ...]:
    """The optimizers of a list such as ``sgd, lookahead(adam, k=5), adamw @ cosine(1000)``.

    Raises:
        ValueError: it cannot be read, a name or keyword is unknown, a value is not allowed, or one
            is there twice.
    """
    try:
        tree = ast.parse(text.strip(), mode="eval").body
    except SyntaxError as error:
        raise ValueError(f"cannot read {text!r} ({error.msg}): {HINT}") from None
    parts = tree.elts if isinstance(tree, ast.Tuple) else [tree]
    found = tuple(_spec(part) for part in parts)
    for one in found:
        if sum(other.text == one.text for other in found) > 1:
            raise ValueError(f"{one.text} is named twice: name each only once")
    return found


def schedule_of(text: str) -> Schedule:
    """The schedule that a text such as ``warmup(100, cosine(900))`` makes.

    Raises:
        ValueError: it cannot be read, a name or keyword is unknown, or a value is not allowed.
    """
    try:
        return _schedule(ast.parse(text.strip(), mode="eval").body)
    except SyntaxError as error:
        raise ValueError(f"cannot read {text!r} ({error.msg})") from None


def schedules_of(text: str, steps: int) -> tuple[Schedule, ...]:
    """Schedules of a list such as ``cosine, warmup(100, cosine(900))``: a name alone is as usual
    for a run of so many steps.

    Raises:
        ValueError: as for `schedule_of`.
    """
    try:
        tree = ast.parse(text.strip(), mode="eval").body
    except SyntaxError as error:
        raise ValueError(f"cannot read {text!r} ({error.msg})") from None
    found = []
    for node in tree.elts if isinstance(tree, ast.Tuple) else [tree]:
        usually = isinstance(node, ast.Name) and node.id in _known()
        made = usual(node.id, steps) if usually else _schedule(node)  # type: ignore[attr-defined]
        if made in found:
            raise ValueError(f"{made!r} is named twice: name each only once")
        found.append(made)
    return tuple(found)


def _known() -> list[str]:
    return [x for x in schedules.__all__ if x.islower() and not x.startswith("from_")]


def _spec(node: ast.expr) -> Spec:
    text, schedule = ast.unparse(node), None
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.MatMult):
        schedule = _schedule(node.right)
        node = node.left
    outside: list[tuple[str, Mapping[str, Any]]] = []
    name, args, keywords = _call(node)
    while name in wrappers.__all__ and around.is_wrapper(name):
        if not args:
            raise ValueError(f"{name}() has nothing to wrap: write {name}(adam)")
        inner, *more = args
        if more:
            raise ValueError(f"{name}: give its values by name, as in lookahead(adam, k=5)")
        outside.append((name, {key: _value(value) for key, value in keywords.items()}))
        _keywords(name, getattr(wrappers, name), keywords, "rule")
        name, args, keywords = _call(inner)
    known = _optimizer(name, args)
    if args:
        raise ValueError(f"{name}: give its values by name, as in {name}(lr=0.01)")
    hyper = {key: _value(value) for key, value in keywords.items()}
    made = Spec(text, "", known, hyper.pop("lr", None), schedule, hyper, tuple(reversed(outside)))
    _try(made)
    label = _label(made) + (f" @ {schedule!r}" if schedule else "")
    return Spec(text, label, known, made.lr, schedule, hyper, made.around)


def _optimizer(name: str, args: list[ast.expr]) -> str:
    """The optimizer of this name, in lower case; ValueError names the nearest."""
    known = [*registry.names(), *_OTHERS]
    if name.lower() in known:
        return name.lower()
    wraps = [x for x in wrappers.__all__ if around.is_wrapper(x)]
    around_another = bool(args) and isinstance(args[0], (ast.Name, ast.Call))
    kind, those = ("wrapper", wraps) if around_another else ("optimizer", known)
    raise registry.UnknownOptimizer(
        f"unknown {kind} {name!r}{nearest(name.lower(), [*those, *wraps])} "
        f"(known are {', '.join(those)})"
    )


def _keywords(name: str, what: Callable[..., Any], given: Iterable[str], first: str) -> None:
    """Raise ValueError for a keyword that `what` does not have; its `first` is no keyword here."""
    known = [key for key in inspect.signature(what).parameters if key != first]
    for key in given:
        if key not in known:
            raise ValueError(unknown(name, key, known))


def _call(node: ast.expr) -> tuple[str, list[ast.expr], dict[str, ast.expr]]:
    """A name with its arguments; a name alone is one without any."""
    if isinstance(node, ast.Name):
        return node.id, [], {}
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
        keywords = {word.arg: word.value for word in node.keywords if word.arg is not None}
        if len(keywords) == len(node.keywords):
            return node.func.id, node.args, keywords
    raise ValueError(f"cannot read {ast.unparse(node)!r}: {HINT}")


def _value(node: ast.expr) -> Any:
    """A number, word, tuple or truth; or a set to project onto."""
    if isinstance(node, ast.Call):
        name, args, keywords = _call(node)
        if name in wrappers.__all__ and not around.is_wrapper(name):
            values = {key: _value(value) for key, value in keywords.items()}
            _keywords(name, getattr(wrappers, name), values, "")
            return _called(name, getattr(wrappers, name), map(_value, args), values)
    try:
        return ast.literal_eval(node)
    except ValueError:
        if isinstance(node, ast.Name):
            return node.id  # a word without its quotes: decay=l2
        raise ValueError(f"cannot read {ast.unparse(node)!r}: a number or a word") from None


def _schedule(node: ast.expr) -> Schedule:
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Mult):
        return _schedule(node.left) * _schedule(node.right)
    name, args, keywords = _call(node)
    known = _known()
    if name not in known:
        raise ValueError(
            f"unknown schedule {name!r}; known are {', '.join(known)}{nearest(name, known)}"
        )
    values = {
        key: _value(value) if key in ("shape", "anneal") else _part(value)
        for key, value in keywords.items()
    }
    made: Schedule = _called(name, getattr(schedules, name), map(_part, args), values)
    return made


def _part(node: ast.expr) -> Any:
    """A value of a schedule, which may be a schedule."""
    if isinstance(node, (ast.BinOp, ast.Call)) or (
        isinstance(node, ast.Name) and node.id in schedules.__all__
    ):
        return _schedule(node)
    return _value(node)


def _called(name: str, what: Any, args: Iterable[Any], values: Mapping[str, Any]) -> Any:
    try:
        return what(*args, **values)
    except TypeError as error:
        said = str(error)
        raise ValueError(said if said.startswith(name) else f"{name}: {said}") from None


def _try(spec: Spec) -> None:
    """Raise ValueError if the optimizer cannot be made."""
    what = spec.row.rule if spec.row else _OTHERS[spec.name].make
    _keywords(spec.name, what, spec.hyper, "params")
    if spec.row is None and spec.around:
        raise ValueError(f"{spec.around[0][0]} wraps a rule, and {spec.name} is none")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of what does not suit this parameter, a stand-in
            spec.optimizer([torch.nn.Parameter(torch.ones(2, dtype=torch.float64))])
    except TypeError as error:
        raise ValueError(str(error)) from None


def _label(spec: Spec) -> str:
    given = {**({} if spec.lr is None else {"lr": spec.lr}), **spec.hyper}
    said = next((x.name for x in around.OPTIMIZERS if x.name.lower() == spec.name), None)
    if said is None:
        said = registry.lookup(spec.name).label
    if given:
        said += f"({', '.join(f'{key}={value}' for key, value in given.items())})"
    for name, options in spec.around:
        more = "".join(f", {key}={value}" for key, value in options.items())
        said = f"{name}({said}{more})"
    return said
