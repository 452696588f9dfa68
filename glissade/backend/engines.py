"""The backends that compile plans, by name."""

from __future__ import annotations

import functools

from .batch import Engine


@functools.cache
def engine(name: str) -> Engine:
    """A compiling backend; what it needs is imported when it is asked for."""
    if name == "triton":
        from .triton.captured import CapturedLane
        from .triton.compile import compile_plans as to_triton
        from .triton.tables import Table as OnDevice

        return Engine(name, to_triton, OnDevice, CapturedLane)
    from .cpu.compile import compile_plans
    from .cpu.tables import Table

    return Engine(name, compile_plans, Table)
