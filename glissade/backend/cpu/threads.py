"""How many threads a kernel runs on, and the plain-Python way to run it where OpenMP is not."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import torch

# Below this many elements a second thread costs more than it saves.
SMALL = 1 << 16

_pool: ThreadPoolExecutor | None = None
_forked = False


def _after_fork() -> None:
    global _pool, _forked
    _pool, _forked = None, True  # neither a pool's nor OpenMP's threads live on in a child


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


def count(elements: int) -> int:
    """Threads for a step over this many elements: torch's own number, or 1 if it is small."""
    return 1 if elements < SMALL else torch.get_num_threads()


def team_lives() -> bool:
    """Whether OpenMP's threads can be called: in a forked child they hang."""
    return not _forked


def run_parts(stage: Callable[[int, int], None], context: int, parts: int) -> None:
    """stage(context, part) for all parts, on a pool of Python threads; kernels release the GIL."""
    global _pool
    if _pool is None or _pool._max_workers < parts - 1:
        _pool = ThreadPoolExecutor(parts - 1, thread_name_prefix="glissade")
    others = [_pool.submit(stage, context, part) for part in range(1, parts)]
    stage(context, 0)
    for other in others:
        other.result()
