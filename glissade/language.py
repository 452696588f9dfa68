"""What a rule is written in: its state, its hyperparameters, and the functions that it may call.

The functions take symbols (when a rule is traced into a kernel), tensors (when it runs as its own
reference) and numbers alike.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch

from . import checks
from .graph import Kind, Node, RuleError, plain_number, reduced_dims
from .ops import OPS, Asked, in_two, wide, working

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
    if not isinstance(x, torch.Tensor):
        raise RuleError(plain_number(op))
    if per == "all":
        y = x.to(torch.float64)
        if op == "norm":
            return _total_over_all((y * y).sum()).sqrt()
        found = _total_over_all(y.sum())
        return found / _total_over_all(y.new_tensor(x.numel())) if op == "mean" else found
    dims = reduced_dims(per, x.ndim)
    if not dims:
        one = x.abs() if op == "norm" else x
        return wide(one) if per == "tensor" else one
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
