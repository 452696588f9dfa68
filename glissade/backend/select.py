"""Which backend runs a parameter: the fastest that can, or the one that was asked for by name."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Callable

import torch

from ..checks import nearest

BACKENDS = ("eager", "cpu", "triton")
OLDEST = (7, 0)  # compute capability that Triton takes
NATIVE = (torch.float32, torch.float64, torch.bfloat16, torch.float16)  # what kernels take


def known(backend: str | None) -> None:
    """Raise ValueError unless this is None (choose for me) or a backend's name."""
    if backend is not None and backend not in BACKENDS:
        words = ", ".join(map(repr, BACKENDS))
        hint = nearest(str(backend), BACKENDS)
        raise ValueError(f"backend={backend!r} is unknown; allowed are {words} and None{hint}")


def obstacle(p: torch.Tensor, differentiable: bool, backend: str) -> str:
    """Why a compiling backend cannot run a parameter, in words; empty if it can."""
    if differentiable:
        return "differentiable=True needs torch's own operations"
    if backend == "triton":
        why = without_triton()
        if why:
            return why
        allowed = "cpu" if interpreted() else "cuda"
    else:
        allowed = "cpu"
    if p.device.type != allowed:
        return f"it is on device {str(p.device)!r} (allowed is {allowed!r})"
    if allowed == "cuda" and torch.cuda.get_device_capability(p.device) < OLDEST:
        return f"{str(p.device)!r} is older than Triton supports (compute capability 7.0)"
    if p.dtype not in NATIVE:
        return f"its dtype is {p.dtype} (allowed are {', '.join(map(str, NATIVE))})"
    if type(p.data) is not torch.Tensor:
        return f"it is a {type(p.data).__name__}, whose memory is not one plain array"
    return ""


def without_triton() -> str:
    """Why there is no Triton, in words; empty if it is there."""
    if importlib.util.find_spec("triton") is None:
        return "Triton is not installed (pip install triton)"
    return ""


def interpreted() -> bool:
    """Whether Triton's kernels run in its interpreter, on tensors of the cpu: for tests."""
    return os.environ.get("TRITON_INTERPRET", "0") == "1"


def choose(
    p: torch.Tensor, backend: str | None, differentiable: bool, what: Callable[[], str]
) -> str:
    """The backend for a parameter; ValueError if the one asked for cannot run `what()`."""
    if backend == "eager":
        return backend
    fastest = backend or ("triton" if p.device.type == "cuda" else "cpu")
    why = obstacle(p, differentiable, fastest)
    if why and backend is not None:
        raise ValueError(
            f"backend={backend!r} cannot run {what()}: {why}; leave backend out to use what fits"
        )
    return "eager" if why else fastest
