"""How much memory a step takes for a moment, and its state for good, on Linux."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from pathlib import Path

import torch

STATUS = Path("/proc/self/status")
CLEAR = Path("/proc/self/clear_refs")


def _kilobytes(key: str, where: Path = STATUS) -> int:
    for line in where.read_text().splitlines():
        if line.startswith(key + ":"):
            return int(line.split()[1])
    raise OSError(f"{where} has no {key}")


def peak(step: Callable[[], object], times: int = 1, device: str = "cpu") -> int | None:
    """Bytes by which this process grows while it steps; None where that cannot be told.

    The state must exist: take a step before.
    """
    if device != "cpu":
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        for _ in range(times):
            step()
        torch.cuda.synchronize()
        return int(torch.cuda.max_memory_allocated() - before)
    try:
        _trim()
        CLEAR.write_text("5")  # the peak starts again at what is held now
        before = _kilobytes("VmRSS")
        for _ in range(times):
            step()
        return max(0, _kilobytes("VmHWM") - before) * 1024
    except (OSError, AttributeError):
        return None


def kept(make: Callable[[], object], device: str = "cpu") -> int | None:
    """Bytes that this process holds after a call and did not before; None where that cannot be
    told."""
    if device != "cpu":
        before = torch.cuda.memory_allocated()
        make()
        return int(torch.cuda.memory_allocated() - before)
    try:
        _trim()
        before = _kilobytes("VmRSS")
        make()
        _trim()
        return (_kilobytes("VmRSS") - before) * 1024
    except (OSError, AttributeError):
        return None


def _trim() -> None:
    """Give back what was freed, or new arrays would fit into it unseen."""
    ctypes.CDLL(None).malloc_trim(0)


def available(device: str = "cpu") -> int | None:
    """Bytes that can be had without swapping; None where that cannot be told."""
    if device != "cpu":
        return int(torch.cuda.mem_get_info()[0])
    try:
        return _kilobytes("MemAvailable", Path("/proc/meminfo")) * 1024
    except OSError:
        return None
