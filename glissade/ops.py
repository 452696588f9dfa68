"""The operations of the rule language, on numbers and on tensors."""

from __future__ import annotations

import contextlib
import math
import operator
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch


class _Working(threading.local):
    """What the eager backend computes at the moment: in which dtype, with which totals known."""

    dtype: torch.dtype | None = None
    kept: torch.dtype | None = None  # the parameter's own
    totals: list[float] | None = None  # over all tensors, in the order in which a rule asks
    asked = 0  # how many it has asked for

    @contextlib.contextmanager
    def on(self, kept: torch.dtype) -> Iterator[None]:
        """While a rule runs on a parameter that is kept in this dtype."""
        self.kept = kept
        try:
            yield
        finally:
            self.kept = None


working = _Working()


class Asked(Exception):
    """A rule on tensors asks for a total over all tensors that is not known yet."""

    def __init__(self, share: float) -> None:
        super().__init__(share)
        self.share = share  # this tensor's


def _sign(x: torch.Tensor) -> torch.Tensor:
    return torch.where(torch.isnan(x), x, torch.sign(x))  # torch.sign(NaN) is 0: a trap


def _pair(fn: Callable[..., torch.Tensor]) -> Callable[[Any, Any], torch.Tensor]:
    """Let a binary torch function take numbers beside tensors, without changing the dtype."""

    def call(a: Any, b: Any) -> torch.Tensor:
        like = a if isinstance(a, torch.Tensor) else b
        cast = [x if isinstance(x, torch.Tensor) else like.new_tensor(x) for x in (a, b)]
        return fn(*cast)

    return call


def _where(condition: Any, a: Any, b: Any) -> Any:
    """torch.where for numbers too: two of them would come out in torch's default dtype."""
    if not isinstance(condition, torch.Tensor):
        return a if condition else b
    if not any(isinstance(x, (torch.Tensor, bool)) for x in (a, b)):
        a = torch.tensor(a, dtype=working.dtype, device=condition.device)
    return torch.where(condition, a, b)


def wide(x: torch.Tensor) -> torch.Tensor:
    """x in double precision, where its device has any."""
    return x if x.device.type == "mps" else x.to(torch.float64)


SMALL, LARGE = 2.0**-126, 2.0**127  # what float32 has normal numbers between
PART = 2.0**100  # of a factor that is not


def in_two(x: torch.Tensor, factor: torch.Tensor) -> torch.Tensor:
    """x·factor where the factor, a double, may not fit the dtype of x: see `language.scaled`."""
    if factor.device.type == "cpu" and factor.numel() == 1:  # no device to wait for
        known = abs(factor.item())
        if known == 0 or not math.isfinite(known) or SMALL <= known < LARGE:
            return x * factor.to(x.dtype)
    size = factor.abs()
    fits = (size == 0) | ~torch.isfinite(size) | ((size >= SMALL) & (size < LARGE))
    part = torch.where(size < 1, torch.full_like(size, 1 / PART), torch.full_like(size, PART))
    first = torch.where(fits, factor, part * torch.sign(factor))
    second = torch.where(fits, torch.ones_like(factor), factor / first)
    return x * first.to(x.dtype) * second.to(x.dtype)


def _still(x: Any, g: Any, *known: Any) -> Any:
    # One look where it costs no wait for a device: a sum is finite only of finite numbers.
    if x.device.type == "cpu" and math.isfinite(x.detach().sum().item()):
        return x
    waits = ~torch.isfinite(x) & torch.isfinite(g)
    for y in known:
        waits = waits & (y == y) if isinstance(y, torch.Tensor) else waits
    return torch.where(waits, 0.0, x)


def _host_pow(x: float, y: float) -> float:
    try:
        return math.pow(x, y)
    except ValueError:  # where Python's ** would give a complex number
        raise ArithmeticError(f"({x!r}) ** {y!r} is no real number") from None


def _host_inverse(x: float) -> float:
    return 1 / x if x else math.copysign(math.inf, x)


def _host_sqrt(x: float) -> float:
    return math.sqrt(x) if x >= 0 else math.nan


def _host_log(x: float) -> float:
    return math.log(x) if x > 0 else (-math.inf if x == 0 else math.nan)


def _host_sign(x: float) -> float:
    return math.copysign(1.0, x) if x > 0 or x < 0 else x


def _host_max(a: float, b: float) -> float:
    return a if a != a or a > b else b


def _host_min(a: float, b: float) -> float:
    return a if a != a or a < b else b


@dataclass(frozen=True)
class Op:
    """An operation on numbers (`host`) and on tensors (`torch`); `bool_` when it gives a truth."""

    host: Callable[..., Any]
    torch: Callable[..., Any]
    bool_: bool = False


OPS: dict[str, Op] = {
    "add": Op(operator.add, operator.add),
    "sub": Op(operator.sub, operator.sub),
    "mul": Op(operator.mul, operator.mul),
    "div": Op(operator.truediv, operator.truediv),
    "pow": Op(_host_pow, operator.pow),
    "inverse": Op(_host_inverse, torch.reciprocal),  # of a number that divides elements
    "mod": Op(operator.mod, operator.mod),
    "neg": Op(operator.neg, operator.neg),
    "abs": Op(abs, abs),
    "sqrt": Op(_host_sqrt, torch.sqrt),
    "exp": Op(math.exp, torch.exp),
    "log": Op(_host_log, torch.log),
    "sign": Op(_host_sign, _sign),
    "maximum": Op(_host_max, _pair(torch.maximum)),
    "minimum": Op(_host_min, _pair(torch.minimum)),
    "isfinite": Op(math.isfinite, torch.isfinite, bool_=True),
    "lt": Op(operator.lt, operator.lt, bool_=True),
    "le": Op(operator.le, operator.le, bool_=True),
    "gt": Op(operator.gt, operator.gt, bool_=True),
    "ge": Op(operator.ge, operator.ge, bool_=True),
    "eq": Op(operator.eq, operator.eq, bool_=True),
    "ne": Op(operator.ne, operator.ne, bool_=True),
    "and": Op(lambda a, b: bool(a and b), operator.and_, bool_=True),
    "or": Op(lambda a, b: bool(a or b), operator.or_, bool_=True),
    "not": Op(operator.not_, operator.invert, bool_=True),
    "still": Op(lambda x, *_: x, _still),
    "where": Op(lambda c, a, b: a if c else b, _where),
}
