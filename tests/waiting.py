"""Waiting for what another process does, on a machine that may be busy."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

LIMIT = 600.0  # seconds: many times what it takes where nothing else runs
patient = pytest.mark.timeout(1800)  # in place of the limit that pytest is called with


def until(event: Callable[[], object], what: str, limit: float = LIMIT) -> None:
    """Return once `event` is true; fail with `what` was waited for if it never is."""
    end = time.monotonic() + limit
    while not event():
        assert time.monotonic() < end, f"waited {limit:g} s for {what}"
        time.sleep(0.01)
