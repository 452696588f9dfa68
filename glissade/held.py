"""Signals held back while a step writes: Ctrl-C comes before it or after it."""

from __future__ import annotations

import signal
import threading
from types import FrameType, TracebackType
from typing import Any

try:  # without the enumerations of `signal`, which take longer than a small step
    from _signal import getsignal  # type: ignore[import-not-found]
    from _signal import signal as handle
except ImportError:  # pragma: no cover - a Python that has it otherwise
    from signal import getsignal
    from signal import signal as handle

# Those that people and schedulers send, and timers; what ends the process at once cannot wait.
NAMES = ["INT", "TERM", "HUP", "ALRM", "VTALRM", "PROF", "USR1", "USR2", "CHLD", "BREAK"]
SIGNALS = tuple(int(getattr(signal, f"SIG{x}")) for x in NAMES if hasattr(signal, f"SIG{x}"))


class held:
    """Let no signal's handler run inside ``with held():``; those that came run right after it.

    Python runs handlers between two instructions of the main thread, so an exception of theirs
    (KeyboardInterrupt) can be anywhere. In other threads there is nothing to hold.
    """

    __slots__ = ("_came", "_handlers")

    def __enter__(self) -> None:
        self._came: list[int] = []
        self._handlers: dict[int, Any] = {}
        if threading.get_ident() != threading.main_thread().ident:
            return
        for number in SIGNALS:
            handler = getsignal(number)
            # In a block inside a block the outer one notes what comes.
            if callable(handler) and getattr(handler, "__func__", None) is not held._later:
                self._handlers[number] = handler
        try:
            for number in self._handlers:
                handle(number, self._later)
        except BaseException:  # of a handler that was not replaced yet
            self._restore()
            raise

    def _later(self, number: int, frame: FrameType | None) -> None:
        self._came.append(number)

    def _restore(self) -> None:
        try:
            for number, handler in self._handlers.items():
                handle(number, handler)
        except BaseException:  # of a handler that is back already: the others must come back, too
            self._restore()
            raise

    def _pass_on(self) -> None:
        try:
            while self._came:
                signal.raise_signal(self._came.pop(0))
        finally:  # one that raises must not keep the others from theirs
            if self._came:
                self._pass_on()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            self._restore()
        finally:
            self._pass_on()
