"""Parameters on a device whose steps the cpu takes: state there, and a copy of each parameter.

A step fetches the gradients, runs the cpu's kernels over the copies, and sends these back. Where
parameters are in half precision the copies are, too: `wrappers.master_weights` keeps the weights
themselves in float32, and its kernel writes the rounded copy in the same pass.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils.weak import WeakTensorKeyDictionary

from .backend.member import LOW
from .rule import Rule
from .wrappers.master_weights import master_weights

PLACES = (None, "cpu")


def known(place: Any) -> None:
    """Raise ValueError unless this is None or "cpu"."""
    if place not in PLACES:
        raise ValueError(f"offload={place!r}: allowed are None and 'cpu'")


def listed(params: Iterable[Any]) -> list[Any]:
    """The same, with groups whose parameters can be gone through more than once."""

    def group(given: Any) -> Any:
        inside = given.get("params", []) if isinstance(given, dict) else None
        if inside is None or isinstance(inside, Tensor):
            return given
        return {**given, "params": list(inside)}

    return [group(given) for given in params]


def with_masters(rule: Rule, params: Iterable[Any]) -> Rule:
    """The rule, with weights in float32 beside parameters of half precision."""

    def tensors(given: Any) -> list[Any]:
        if isinstance(given, dict):
            inside = given.get("params", [])
            return (
                [inside] if isinstance(inside, Tensor) else [x for y in inside for x in tensors(y)]
            )
        return [given[1] if isinstance(given, tuple) else given]

    half = any(getattr(x, "dtype", None) in LOW for given in params for x in tensors(given))
    return master_weights(rule) if half and not rule.outermost and not rule.matrix else rule


class Offload:
    """The copies of one optimizer's parameters."""

    def __init__(self) -> None:
        self._near: WeakTensorKeyDictionary = WeakTensorKeyDictionary()

    def near(self, p: Tensor) -> Tensor:
        """The copy of a parameter, made when it is first asked for."""
        if p not in self._near:
            self._near[p] = (_empty(p.detach()), -1)
        near: Tensor = self._near[p][0]
        return near

    def fetch(self, params: Sequence[Tensor], check: Callable[[int, Tensor], None]) -> None:
        """Copy the gradients, and parameters that somebody has written to; `check` them first."""
        for i, p in enumerate(params):
            if p.grad is not None:
                check(i, p.grad)
        for p in params:
            near, version = self.near(p), self._near[p][1]
            if p._version != version:
                near.detach().copy_(p.detach(), non_blocking=_pinned(p))
            if p.grad is None:
                near.grad = None
            else:
                near.grad = _empty(p.grad) if near.grad is None else near.grad
                near.grad.copy_(p.grad, non_blocking=_pinned(p))
        # Kernels here read them next, and write over what may still be on its way back.
        for device in {p.device for p in params if _pinned(p)}:
            torch.cuda.synchronize(device)

    def send(self, params: Sequence[Tensor]) -> None:
        """Copy the new parameters to where they belong."""
        for p in params:
            near = self.near(p)
            if near.grad is not None:
                p.detach().copy_(near.detach(), non_blocking=_pinned(p))
            self._near[p] = (near, p._version)


def _empty(like: Tensor) -> Tensor:
    """Memory on the cpu for a tensor of a device, pinned where that makes copies faster."""
    near = torch.empty_like(like, device="cpu", memory_format=torch.preserve_format)
    return near.pin_memory() if _pinned(like) else near


def _pinned(p: Tensor) -> bool:
    """Whether its copy is in memory that its device can read by itself."""
    return p.device.type == "cuda"
