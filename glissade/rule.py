"""What the author of a rule imports: `Rule`, `State`, and the functions that a rule may call.

A rule is a pure function ``update(p, g, s, t, h) -> (step, State)``: `p` the parameter, `g` its
gradient, `s` the state, `t` the step counted from 1, `h` the hyperparameters. The step is
**subtracted** from the parameter. Each name of the state starts at zero; a name that is not
returned stays as it was. An optional second phase ``after(p, s, t, h) -> (p, State)`` acts on the
parameter once it has moved.

The functions take symbols (when a rule is traced into a kernel), tensors (when it runs as
its own reference) and numbers alike. ``if`` works on conditions of hyperparameters and `t` alone,
and picks a specialised kernel; for conditions on data there is `where`.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar, cast

import torch

from . import checks
from .graph import RuleError
from .language import (
    NoStep,
    State,
    Update,
    Value,
    clip,
    exp,
    isfinite,
    log,
    machine_eps,
    maximum,
    mean,
    minimum,
    norm,
    rms,
    scaled,
    sign,
    sqrt,
    stands_still,
    still,
    stored,
    total,
    where,
)

__all__ = [
    "NoStep", "Rule", "RuleError", "State", "clip", "exp", "isfinite", "log", "machine_eps",
    "maximum", "mean", "minimum", "norm", "rms", "scaled", "sign", "sqrt", "stands_still", "still",
    "stored", "total", "where", "wrapper",
]  # fmt: skip

Wrapper = TypeVar("Wrapper", bound=Callable[..., "Rule"])

Before = Callable[[Any, Any, Any, Any], Value]
Gather = Callable[[Any, Any, Any, Any, Any], tuple[Value, State]]
Guard = Callable[[Any, Any, Any, Any], Value]
Idle = Callable[[Any, Any, Any, Any], State]
After = Callable[[Any, Any, Any, Any], tuple[Value, State]]


@dataclass(frozen=True)
class Rule:
    """An update rule with its hyperparameters bound.

    `hyper` holds the default of every hyperparameter; each may be set per group. Numbers (and
    tuples of numbers) may change at any step at no cost; ``None``, strings and booleans choose a
    different kernel. `choices` lists what a string may be. With `decays`, the keywords
    ``weight_decay`` and ``decay`` of `hyper` are applied around the update, as `decayed` says.
    `aliases` gives the names that torch's own code has for the states (``{"m": "exp_avg"}``), so
    that its checkpoints can be loaded.

    Wrappers use four phases more. `gather` comes first: ``gather(p, g, s, t, h) -> g, State`` makes
    the gradient of a step of several. `before` makes the gradient, before any decay, of the one
    that there is: ``before(p, g, t, h) -> g``. `after` acts on the moved parameter. `guard` says
    whether there is a step at all: a condition on totals over all tensors, ``guard(p, g, t, h)``.
    Where it does not hold nothing is changed or counted, but the hyperparameter `skips` of every
    group.

    ``"m" in s`` says whether a state has been written, for this parameter: what starts from the
    parameter or from its first gradient is made where it is absent, not where ``t == 1``, which a
    run that goes on from another optimizer's checkpoint never meets. A state that is returned as
    None is dropped. A call that takes no step raises `NoStep`.

    `shared` are numbers that the optimizer has once, such as a place in a window, with what they
    start from. They live in every group under their names, are read as hyperparameters, and a rule
    returns their new values in its State: hyperparameters, `t` and totals over all tensors may go
    into them. `alike` names hyperparameters that all groups must have in common. A parameter that
    keeps one of the `pending` states takes part in a step although it has no gradient, as if that
    were 0. ``idle(p, s, t, h) -> State`` is what happens, in a step that others take, to a
    parameter without a gradient that keeps all of the `watched` states; `real` says of a call
    whether it takes steps at all.

    `inputs` are states per element that the training loop writes (Sophia's curvature), each with
    the hyperparameter that says every how many steps it is due.

    A `matrix` rule does products, roots or sorting with torch's own functions: it is called on
    tensors alone (the eager backend), may keep states of any shape and dtype, and a state that it
    has not written reads as 0. `refuse` says in words why it cannot take a parameter, if so;
    `shapes` gives the shapes of its states, for the shape of a parameter and its group.

    `keeps` says of states, by their names, what they are kept in whatever `state_dtype` says:
    "float32" or "bfloat16". No wrapper may move the parameter after one that is `outermost`.

    >>> import glissade
    >>> from glissade.rule import Rule, State, sign
    >>> def signum(p, g, s, t, h):
    ...     m = h.momentum * s.m + (1 - h.momentum) * g
    ...     return h.lr * sign(m), State(m=m)
    >>> rule = Rule(signum, dict(lr=1e-4, momentum=0.9))
    >>> opt = glissade.Optimizer([torch.ones(3, requires_grad=True)], rule)
    """

    update: Update
    hyper: Mapping[str, Any]
    after: After | None = None
    name: str = ""
    choices: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    decays: bool = False
    aliases: Mapping[str, str] = field(default_factory=dict)
    before: Before | None = None
    gather: Gather | None = None
    guard: Guard | None = None
    skips: str = ""
    inputs: Mapping[str, str] = field(default_factory=dict)
    matrix: bool = False
    refuse: Callable[[torch.Tensor, Mapping[str, Any]], str] | None = None
    outermost: bool = False
    keeps: Mapping[str, str] = field(default_factory=dict)
    inside: frozenset[str] = frozenset()
    shared: Mapping[str, float] = field(default_factory=dict)
    alike: tuple[str, ...] = ()
    pending: tuple[str, ...] = ()
    idle: Idle | None = None
    watched: tuple[str, ...] = ()
    real: Callable[[Any], Value] | None = None
    shapes: Callable[[torch.Size, Mapping[str, Any]], Mapping[str, tuple[int, ...]]] | None = None

    def __post_init__(self) -> None:
        if not callable(self.update):
            raise RuleError(f"update={self.update!r} is not a function (p, g, s, t, h)")
        hyper = dict(self.hyper)
        if "lr" not in hyper:
            raise RuleError(f"hyper has {sorted(hyper)} but no 'lr', which every rule needs")
        hyper = {**hyper, **{k: hyper.get(k, v) for k, v in self.shared.items()}}
        object.__setattr__(self, "hyper", hyper)
        name = self.name or getattr(self.update, "__name__", "rule").strip("_")
        object.__setattr__(self, "name", name)
        choices = dict(self.choices)
        if self.decays:
            choices["decay"] = tuple(DECAYS)
        object.__setattr__(self, "choices", choices)
        self.check(hyper)

    def check(self, values: Mapping[str, Any]) -> None:
        """Raise ValueError or TypeError if one of these hyperparameter values cannot be."""
        for key, value in values.items():
            if key in self.choices:
                checks.one_of(self.name, key, value, self.choices[key])
            else:
                checks.hyperparameter(key, value, self.hyper.get(key))

    def wrap(
        self,
        name: str,
        update: Update | None = None,
        after: After | None = None,
        *,
        inside: Collection[str] = (),
        before: Before | None = None,
        outermost: bool = False,
        keeps: Mapping[str, str] | None = None,
        **hyper: Any,
    ) -> Rule:
        """This rule inside a wrapper: its functions replaced, its hyperparameters added.

        `inside` says what the new `update` does of what stands around the old one: "gradient" if it
        calls `regularized`, "step" if it calls `stepped`, both if it calls `decayed`. `outermost`
        and `keeps` are the fields of the same names.
        """
        taken = sorted(set(hyper) & set(self.hyper))
        if taken:
            raise ValueError(f"{name}: {self.name} already has {', '.join(taken)}")
        if self.outermost and outermost:
            raise ValueError(
                f"{name}({self.name}): both keep what rounding loses: take one of them"
            )
        if self.outermost and (update is not None or after is not None):
            inside, _, rest = self.name.partition("(")
            raise ValueError(
                f"{name}({self.name}): what {inside} keeps beside the parameter would not follow; "
                f"write {inside}({name}({rest.removesuffix(')')}))"
            )
        gather, first = self.gather, self.before
        if before is not None and gather is not None:  # it works on what is gathered
            gather = functools.partial(_before_gathering, before, gather)
        elif before is not None:
            first = before if first is None else functools.partial(_both, before, first)
        return replace(
            self,
            update=update or self.update,
            after=after or self.after,
            hyper={**self.hyper, **hyper},
            name=f"{name}({self.name})",
            inside=self.inside | frozenset(inside),
            before=None if "gradient" in inside else first,
            gather=None if "gradient" in inside else gather,
            outermost=outermost or self.outermost,
            keeps={**self.keeps, **(keeps or {})},
        )


def _both(outer: Before, inner: Before, p: Value, g: Value, t: Value, h: Any) -> Value:
    return inner(p, outer(p, g, t, h), t, h)


def _before_gathering(
    before: Before, gather: Gather, p: Value, g: Value, s: Any, t: Value, h: Any
) -> tuple[Value, State]:
    return gather(p, before(p, g, t, h), s, t, h)


def wrapper(function: Wrapper) -> Wrapper:
    """Decorates a function from rule to rule: what is no rule is refused by name."""

    @functools.wraps(function)
    def checked(rule: Rule, *args: Any, **kwargs: Any) -> Rule:
        if not isinstance(rule, Rule):
            given = rule.__name__ if isinstance(rule, type) else type(rule).__name__
            name = function.__name__
            raise TypeError(
                f"{name} wraps a rule, not {given}: give {name}(glissade.rules.adam(...)) to "
                "glissade.Optimizer"
            )
        return function(rule, *args, **kwargs)

    return cast(Wrapper, checked)


DECAYS: dict[str, Callable[[Any, Any], Value]] = {
    "l2": lambda h, p: 0.0,  # enters the gradient instead: see `regularized`
    "decoupled": lambda h, p: h.lr * h.weight_decay * p,
    "independent": lambda h, p: h.lr / h.base_lr * h.weight_decay * p,
    "corrected": lambda h, p: h.lr * (h.lr / h.base_lr) * h.weight_decay * p,
}


def regularized(rule: Rule, p: Value, g: Value, t: Value, h: Any) -> Value:
    """The gradient that a rule's update is given: after what wrappers do to it and an l2 decay."""
    if rule.before is not None:
        g = rule.before(p, g, t, h)
    if rule.decays and "gradient" not in rule.inside and h.decay == "l2":
        g = g + h.weight_decay * p
    return g


def stepped(rule: Rule, p: Value, g: Value, s: Any, t: Value, h: Any) -> tuple[Value, State]:
    """The update of a rule, with a weight decay that is part of the step."""
    if not rule.decays or "step" in rule.inside or h.decay == "l2":
        return rule.update(p, g, s, t, h)
    step, new = rule.update(p, g, s, t, h)
    return step + DECAYS[h.decay](h, p), new


def decayed(rule: Rule, p: Value, g: Value, s: Any, t: Value, h: Any) -> tuple[Value, State]:
    """All of it: the step of a rule of a gradient, ``decay`` being one of four."""
    if rule.gather is None:
        return stepped(rule, p, regularized(rule, p, g, t, h), s, t, h)
    g, gathered = rule.gather(p, g, s, t, h)
    step, new = stepped(rule, p, regularized(rule, p, g, t, h), s, t, h)
    return step, new | gathered
