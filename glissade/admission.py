"""Which parameters an optimizer takes: each is looked at before anything is changed."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from .backend import select
from .backend.member import LOW, compute_dtype
from .memory import overlaps, read_only
from .rule import Rule
from .storage import asked


def admit(
    params: Sequence[Any],
    rule: Rule,
    hyper: Mapping[str, Any],
    backend: str | None,
    offload: str | None,
    where: str,
    known: set[int],
) -> None:
    """Look at the parameters of a new group.

    Args:
        params: what was given.
        rule: what will run on them.
        hyper: the group's values, with the defaults.
        backend: the one that was asked for by name.
        offload: where to take the steps instead, if anywhere.
        where: the group in words.
        known: the ids of those in other groups; these are added.

    Raises:
        TypeError: what is no tensor, or of a dtype that no optimizer takes.
        ValueError: a parameter twice, or one that this rule, these values or this backend cannot
            take.
    """
    locked = read_only(params)
    for i, p in enumerate(params):
        what = f"parameter {i} {where}"
        if not isinstance(p, Tensor):
            raise TypeError(f"{what} is a {type(p).__name__}: allowed are tensors")
        what += f", shape {tuple(p.shape)}"
        if id(p) in known:
            raise ValueError(f"{what}, was given already: a parameter may be given once")
        known.add(id(p))
        if not (p.is_floating_point() or p.is_complex()):
            raise TypeError(f"{what}, has dtype {p.dtype}: allowed are floating point and complex")
        plain = type(p.data) is Tensor and p.layout is torch.strided and not p.is_meta
        if plain and overlaps(p.detach()):
            raise ValueError(f"{what}, has elements that share memory (expand): clone it")
        if locked[i]:
            raise ValueError(f"{what}, lies in memory that is read-only: clone it")
        if offload is not None:
            if p.device.type == offload:
                raise ValueError(
                    f"offload={offload!r}, but {what}, is on the {offload} already: leave offload "
                    "out"
                )
            if backend not in (None, "cpu", "eager"):
                raise ValueError(f"offload='cpu' takes steps there, not with backend={backend!r}")
            if p.dtype in LOW and not rule.outermost and not rule.matrix:
                raise ValueError(
                    f"{what}, has dtype {p.dtype}, but {rule.name} was made without weights in "
                    "float32: give it such a parameter from the beginning, or wrap it in "
                    "glissade.wrappers.master_weights"
                )
            p = _near(p)
        _fits(p, what, rule, hyper, backend)


def _fits(p: Tensor, what: str, rule: Rule, hyper: Mapping[str, Any], backend: str | None) -> None:
    """Raise ValueError unless the rule, the group's values and the backend can take it."""
    low = asked(hyper["state_dtype"]) is not None
    why = rule.refuse(p, hyper) if rule.refuse is not None else ""
    if why:
        raise ValueError(f"{rule.name}: {what}, {why}")
    if hyper["stochastic_rounding"] and p.dtype != torch.bfloat16:
        raise ValueError(
            f"stochastic_rounding=True is for parameters of bfloat16; {what}, has dtype {p.dtype}"
        )
    if rule.matrix and (low or hyper["stochastic_rounding"]):
        raise ValueError(
            f"{rule.name} keeps matrices of its own: leave state_dtype and stochastic_rounding out"
        )
    if rule.matrix and backend not in (None, "eager"):
        raise ValueError(
            f"backend={backend!r} cannot run {rule.name}, whose matrices are torch's own: leave "
            "backend out"
        )
    if "bfloat16" in rule.keeps.values() and compute_dtype(p.dtype) != torch.float32:
        raise ValueError(
            f"{rule.name} keeps {', '.join(rule.keeps)} in bfloat16, for parameters of half "
            f"precision; {what}, has dtype {p.dtype}: leave that wrapper out"
        )
    if low and compute_dtype(p.dtype) != torch.float32:
        raise ValueError(
            f"state_dtype={hyper['state_dtype']!r}, but {what}, has dtype {p.dtype}: leave "
            "state_dtype out"
        )
    eager_only = rule.matrix or bool(hyper["differentiable"])
    chosen = select.choose(p, backend, eager_only, what.__str__)
    if hyper["capturable"] and chosen != "triton":
        where = "on the cpu" if p.device.type == "cpu" else "run by torch's own operations"
        raise ValueError(f"capturable=True, but {what}, is {where}: leave capturable out")


def still_fit(
    params: Sequence[Tensor],
    rule: Rule,
    group: Mapping[str, Any],
    backend: str | None,
    offload: str | None,
    where: str,
) -> None:
    """Look at them again where the group may have changed: one of each dtype, device and type."""
    seen: set[Any] = set()
    for i, p in enumerate(params):
        kind = (p.dtype, p.device, type(p.data)) if rule.refuse is None else i
        if kind not in seen:
            seen.add(kind)
            what = f"parameter {i} {where}, shape {tuple(p.shape)}"
            _fits(p if offload is None else _near(p), what, rule, group, backend)


def _near(p: Tensor) -> Tensor:
    """What stands for a parameter on the cpu."""
    return torch.empty((), dtype=p.dtype, device="cpu").expand(p.shape)


def warn_if_idle(rule: Rule, groups: Sequence[Mapping[str, Any]]) -> None:
    """Warn of a wrapper that keeps what rounding to half precision loses, where nothing is."""
    if rule.outermost and not any(p.dtype in LOW for group in groups for p in group["params"]):
        warnings.warn(
            f"{rule.name} keeps {', '.join(rule.keeps)} beside parameters of bfloat16 or float16, "
            "and there are none: that costs memory and gains nothing, leave the wrapper out",
            stacklevel=3,
        )
