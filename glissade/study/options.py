"""Options that several commands have."""

from __future__ import annotations

import os
import re
import signal
import threading
from pathlib import Path
from typing import Literal


def target_of(text: str | None) -> float | Literal["auto"] | None:
    """Of ``--target``; ValueError if it is neither auto nor a number."""
    if text is None or text == "auto":
        return "auto" if text else None
    try:
        return float(text)
    except ValueError:
        raise ValueError(f"--target {text}: write auto or a number") from None


def batch_of(text: str | None) -> int | Literal["full"] | None:
    """Of ``--batch``; ValueError if it is neither full nor a number from 1."""
    if text is None or text == "full":
        return "full" if text else None
    if not text.isdigit() or int(text) < 1:
        raise ValueError(f"--batch {text}: write full or a number from 1")
    return int(text)


def seconds_of(text: str | None) -> float | None:
    """Of ``--budget``; ValueError if it is no time."""
    if text is None:
        return None
    parts = re.fullmatch(r"(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s?)?", text)
    if not parts or not any(parts.groups()):
        raise ValueError(f"--budget {text}: write a time such as 20m, 90s or 1h30m")
    hours, minutes, seconds = (int(x or 0) for x in parts.groups())
    return float(3600 * hours + 60 * minutes + seconds)


def reachable(folder: Path, resume: bool) -> None:
    """ValueError if it cannot be made or written in, or holds results; nothing is made yet."""
    runs = folder / "runs.jsonl"
    if not resume and runs.is_file() and runs.stat().st_size:
        raise ValueError(
            f"{runs} already holds results: give another --out; or go on with them: "
            f"--resume --out {folder}"
        )
    above = next(one for one in (folder, *folder.absolute().parents) if one.exists())
    if not above.is_dir():
        raise ValueError(f"cannot write in {folder}: {above} is no folder")
    if not os.access(above, os.W_OK):
        raise ValueError(f"cannot write in {folder}: no permission in {above}")


def end_as_interrupted() -> None:
    """A closed terminal and a polite kill end a command as Ctrl-C does: workers and queued jobs
    are let go, and what to do next is said."""
    if threading.current_thread() is not threading.main_thread():
        return
    for name in ("SIGTERM", "SIGHUP"):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.default_int_handler)
