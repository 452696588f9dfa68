"""What the author of a rule imports: `Rule`, `State`, and the functions that a rule may call.

A rule is a pure function ``update(p, g, s, t, h) -> (step, State)``: `p` the parameter, `g` its
gradient, `s` the state, `t` the step counted from 1, `h` the hyperparameters. The step is
**subtracted** from the parameter. Each name of the state starts at zero; a name that is not
returned stays as it was. An optional second phase ``after(p, s, t, h) -> (p, State)`` acts on the
parameter once it has moved.

The functions below take symbols (when a rule is traced into a kernel), tensors (when it runs as
its own reference) and numbers alike. ``if`` works on conditions of hyperparameters and `t` alone,
and picks a specialised kernel; for conditions on data there is `where`.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar, cast

import torch

from . import checks
from .graph import Kind, Node, RuleError, reduced_dims
from .ops import OPS, Asked, in_two, wide, working

__all__ = [
    "NoStep", "Rule", "RuleError", "State", "clip", "exp", "isfinite", "log", "machine_eps",
    "maximum", "mean", "minimum", "norm", "rms", "scaled", "sign", "sqrt", "stands_still", "still",
    "stored", "total", "where", "wrapper",
]  # fmt: skip

Wrapper = TypeVar("Wrapper", bound=Callable[..., "Rule"])
Value = Any  # a Node, a tensor or a number: what flows through a rule


class State(Mapping[str, Value]):
    """The state of one parameter: ``State(m=m, v=v)``, read as ``s.m``, joined with ``|``."""

    __slots__ = ("_values",)

    def __init__(self, **values: Value) -> None:
        object.__setattr__(self, "_values", values)

    def __getattr__(self, name: str) -> Value:
        try:
            return self._values[name]
        except KeyError:
            raise AttributeError(f"no state {name!r}; there are {sorted(self._values)}") from None

    def __setattr__(self, name: str, value: Value) -> None:
        raise RuleError(f"s.{name} = ... in a rule: rules are pure; return State({name}=...)")

    def __getitem__(self, name: str) -> Value:
        return self._values[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __or__(self, other: Mapping[str, Value]) -> State:
        return State(**{**self._values, **other})


class HeldState(State):
    """The state as a rule sees it that is called on tensors: what it has not written yet reads as
    zeros, and is not ``in`` it."""

    __slots__ = ("_zeros",)

    def __init__(self, values: Mapping[str, Value], zeros: Callable[[str], Value]) -> None:
        super().__init__(**values)
        object.__setattr__(self, "_zeros", zeros)

    def __getattr__(self, name: str) -> Value:
        return self._values[name] if name in self._values else self._zeros(name)

    def __or__(self, other: Mapping[str, Value]) -> State:
        return HeldState({**self._values, **other}, self._zeros)


class NoStep(Exception):
    """Raised by a rule that takes no step now, with the states that it keeps all the same.

    The parameter does not move, the step is not counted, and no wrapper around the rule acts:
    ``raise NoStep(State(total=s.total + g))``.
    """

    def __init__(self, state: State) -> None:
        super().__init__(state)
        self.state = state


class Hyper:
    """The hyperparameters as a rule sees them: ``h.lr``, ``h.betas``."""

    __slots__ = ("_values",)

    def __init__(self, values: Mapping[str, Any]) -> None:
        self._values = values

    def __getattr__(self, name: str) -> Any:
        try:
            return self._values[name]
        except KeyError:
            known = ", ".join(sorted(self._values))
            raise RuleError(f"a rule read h.{name}, which nobody set; there are: {known}") from None


def _apply(op: str, *xs: Value) -> Value:
    for x in xs:
        if isinstance(x, Node):
            return x.graph.apply(op, *xs)
    if any(isinstance(x, torch.Tensor) for x in xs):
        return OPS[op].torch(*xs)
    return OPS[op].host(*xs)


def sqrt(x: Value) -> Value:
    """The square root."""
    return _apply("sqrt", x)


def exp(x: Value) -> Value:
    """e to the power x."""
    return _apply("exp", x)


def log(x: Value) -> Value:
    """The natural logarithm."""
    return _apply("log", x)


def sign(x: Value) -> Value:
    """-1, 0 or 1; NaN where x is NaN (torch.sign gives 0 there)."""
    return _apply("sign", x)


def maximum(a: Value, b: Value) -> Value:
    """The larger of two values; NaN if either is NaN."""
    return _apply("maximum", a, b)


def minimum(a: Value, b: Value) -> Value:
    """The smaller of two values; NaN if either is NaN."""
    return _apply("minimum", a, b)


def clip(x: Value, lo: Value, hi: Value) -> Value:
    """x, but at least lo and at most hi."""
    return minimum(maximum(x, lo), hi)


def isfinite(x: Value) -> Value:
    """True where x is neither infinite nor NaN."""
    return _apply("isfinite", x)


def where(condition: Value, a: Value, b: Value) -> Value:
    """a where the condition holds, else b."""
    return _apply("where", condition, a, b)


def scaled(x: Value, factor: Value) -> Value:
    """x times a number of the whole tensor, which may be too large or too small for x's dtype.

    Such a factor, one over the norm of a gradient that vanishes, say, is taken in two steps, so
    that the product is right wherever it fits.
    """
    if not (isinstance(x, torch.Tensor) and isinstance(factor, torch.Tensor)):
        return factor * x
    return in_two(x, factor)


def _total_over_all(share: torch.Tensor) -> torch.Tensor:
    """The total, over all tensors that take a step, of what this one adds to it."""
    if working.totals is None:
        raise RuleError("per='all' needs an optimizer: the rule was called by itself")
    at, working.asked = working.asked, working.asked + 1
    if at == len(working.totals):
        raise Asked(float(share))
    return torch.tensor(working.totals[at], dtype=torch.float64, device=share.device)


def _reduce(op: str, x: Value, per: str) -> Value:
    if isinstance(x, Node):
        return x.graph.reduce(op, x, per)
    if per == "all":
        y = x.to(torch.float64)
        if op == "norm":
            return _total_over_all((y * y).sum()).sqrt()
        found = _total_over_all(y.sum())
        return found / _total_over_all(y.new_tensor(x.numel())) if op == "mean" else found
    dims = reduced_dims(per, x.ndim)
    if not dims:
        return x.abs() if op == "norm" else x
    keep = per != "tensor"  # per row (n, 1), per column (1, m), which broadcast; a tensor's is ()
    y = wide(x)  # squares leave the range of float32 where their root does not
    if op == "norm":
        found = torch.linalg.vector_norm(y, dim=dims, keepdim=keep)
    else:
        found = torch.sum(y, dim=dims, keepdim=keep)
    if op == "mean":
        found = found / max(1, math.prod(x.shape[d] for d in dims))
    # What a whole tensor has is a double, as in kernels.
    return found.to(x.dtype) if keep else found


def norm(x: Value, per: str = "tensor") -> Value:
    """The Euclidean norm, one `per` "tensor", "slice", "matrix", "row" or "column", or of "all".

    A row is what lies along the last dimension, a column along the one before it, a matrix both,
    a slice everything under one index of the first dimension; "all" are all tensors that take this
    step, as if they were one.
    """
    return _reduce("norm", x, per)


def mean(x: Value, per: str = "tensor") -> Value:
    """The mean, `per` "tensor", "slice", "matrix", "row" or "column", or of "all": see `norm`."""
    return _reduce("mean", x, per)


def total(x: Value, per: str = "tensor") -> Value:
    """The sum, `per` "tensor", "slice", "matrix", "row" or "column", or of "all": see `norm`."""
    return _reduce("sum", x, per)


def rms(x: Value, per: str = "tensor") -> Value:
    """The root of the mean square (see `norm`)."""
    return sqrt(mean(x * x, per))


def machine_eps(p: Value) -> Value:
    """The machine epsilon of the parameter's dtype."""
    if isinstance(p, Node):
        return p.graph.node("machine_eps", kind=Kind.TENSOR)
    return torch.finfo(working.kept or p.dtype).eps


def stored(x: Value) -> Value:
    """x as a parameter of the dtype at hand would hold it, rounded to the nearest."""
    if isinstance(x, Node):
        return x.graph.node("nearest", (x,), kind=x.kind)
    return x.to(working.kept or x.dtype).to(x.dtype)


def still(x: Value, g: Value, *known: Value) -> Value:
    """x, and 0 where x is no finite number though the gradient is one and nothing `known` is NaN.

    Where a sum of squares has left the range of its dtype, or a divisor is 0, no step is better
    than one to infinity. What was NaN before comes out as NaN.
    """
    return _apply("still", x, g, *known)


Update = Callable[[Any, Any, Any, Any, Any], tuple[Value, State]]


def _differs(x: Value) -> bool:
    """Whether it is more than one number for a whole tensor."""
    return x.kind > Kind.TENSOR if isinstance(x, Node) else isinstance(x, torch.Tensor)


def stands_still(average: str = "") -> Callable[[Update], Update]:
    """Decorate an update: where a finite gradient gives no finite step there is no step.

    Args:
        average: the name of a state that is a moving average of the gradients, if there is one: it
            is finite where they are, so that a later pass need not read the gradient again.
    """

    def decorate(update: Update) -> Update:
        @functools.wraps(update)
        def guarded(p: Value, g: Value, s: Any, t: Value, h: Any) -> tuple[Value, State]:
            step, new = update(p, g, s, t, h)
            if checks.is_number(step):
                return step, new
            known = [x for x in new.values() if _differs(x)]
            return still(step, new[average] if average else g, *known), new

        return guarded

    return decorate


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
