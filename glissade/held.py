"""Signals held back while a step writes: Ctrl-C comes before it or after it."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator
from types import FrameType

# Those that people and schedulers send, and timers; what ends the process at once cannot wait.
NAMES = ["INT", "TERM", "HUP", "ALRM", "VTALRM", "PROF", "USR1", "USR2", "CHLD", "BREAK"]
SIGNALS = tuple(getattr(signal, f"SIG{x}") for x in NAMES if hasattr(signal, f"SIG{x}"))


@contextlib.contextmanager
def held() -> Iterator[None]:
    """Let no signal's handler run inside the block; those that came run right after it.

    Python runs handlers between two instructions of the main thread, so an exception of theirs
    (KeyboardInterrupt) can be anywhere. In other threads there is nothing to hold.
    """
    if threading.get_ident() != threading.main_thread().ident:
        yield
        return
    came: list[int] = []

    def later(number: int, frame: FrameType | None) -> None:
        came.append(number)

    handlers = {x: handler for x in SIGNALS if callable(handler := signal.getsignal(x))}
    try:
        for number in handlers:
            signal.signal(number, later)
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
        for number in came:
            signal.raise_signal(number)
