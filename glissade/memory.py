"""What of memory a step must not touch: read-only pages, elements that share an address."""

from __future__ import annotations

import bisect
import sys
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

EXACT = 1 << 20  # elements up to which addresses are compared one by one


def _plain(x: Any) -> bool:
    """Whether it is a tensor whose elements lie in the memory of the cpu."""
    kind = isinstance(x, Tensor) and x.device.type == "cpu" and x.layout is torch.strided
    return kind and type(x.data) is Tensor and x.numel() > 0


def overlaps(x: Tensor) -> bool:
    """Return whether two elements of a tensor share memory, as after ``expand``."""
    if not x.numel():
        return False
    extent, sure = 1, True
    pairs = zip(x.stride(), x.shape, strict=True)
    for stride, size in sorted((s, n) for s, n in pairs if n > 1):
        if stride == 0:
            return True
        sure = sure and stride >= extent
        extent += (size - 1) * stride
    if sure or x.numel() > EXACT:
        return not sure
    places = torch.zeros(x.shape, dtype=torch.int64, device="cpu")
    for dim, (stride, size) in enumerate(zip(x.stride(), x.shape, strict=True)):
        shape = [1] * x.ndim
        shape[dim] = size
        places += (torch.arange(size, device="cpu") * stride).view(shape)
    return len(torch.unique(places)) < x.numel()


def read_only(tensors: Sequence[Any]) -> list[bool]:
    """Return for each tensor whether it lies in memory that the process may not write to, such as
    ``numpy.memmap(..., mode="r")``; False where the system does not say (anything but Linux)."""
    if not (sys.platform.startswith("linux") and any(map(_plain, tensors))):
        return [False] * len(tensors)
    try:
        with open("/proc/self/maps") as file:
            lines = [line.split(maxsplit=2)[:2] for line in file]
    except OSError:
        return [False] * len(tensors)
    starts = [int(where.partition("-")[0], 16) for where, _ in lines]
    ends = [int(where.partition("-")[2], 16) for where, _ in lines]

    def locked(x: Any) -> bool:
        if not _plain(x):
            return False
        at = x.data_ptr()
        k = bisect.bisect_right(starts, at) - 1
        return k >= 0 and at < ends[k] and "w" not in lines[k][1]

    return [locked(x) for x in tensors]
