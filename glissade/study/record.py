"""Plans as plain data: versions, hashes, and what differs between two."""

from __future__ import annotations

import hashlib
import json
import platform
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version


def versions() -> dict[str, str]:
    """What the numbers depend on besides the plan: packages, Python, kind of processor."""
    found = {"python": platform.python_version(), "machine": platform.machine()}
    for package in ("glissade", "torch", "numpy", "scipy", "scikit-learn"):
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "not installed"
    return found


def fingerprint(record: Mapping[str, object]) -> str:
    """A short hash of plain data."""
    return hashlib.sha256(json.dumps(record, sort_keys=True).encode()).hexdigest()[:16]


def differences(
    stored: Mapping[str, object], asked: Mapping[str, object], prefix: str = ""
) -> list[str]:
    """One phrase for each entry in which two records differ."""
    found: list[str] = []
    for name in sorted({*stored, *asked}):
        old, new = stored.get(name), asked.get(name)
        if isinstance(old, Mapping) and isinstance(new, Mapping):
            found += differences(old, new, f"{prefix}{name}.")
        elif old != new:
            found.append(f"{prefix}{name} was {_short(old)}, is now {_short(new)}")
    return found


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) < 60 else text[:56] + " ..."
