"""Plans and results as plain data: versions, hashes, checksums, and differences between two."""

from __future__ import annotations

import hashlib
import json
import platform
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from typing import Any, NoReturn

from glissade.study.typed import Damaged

CHECK = "check"  # the key of a record's checksum
DEEPEST = 50  # lists and objects in each other


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


def sealed(record: Mapping[str, Any]) -> dict[str, Any]:
    """Return a record with the checksum of all that it holds."""
    return {**record, CHECK: fingerprint(record)}


def unsealed(record: Mapping[str, Any], needed: bool = False) -> dict[str, Any]:
    """Return a record without its checksum.

    Raises:
        Damaged: the checksum is not that of the rest; or there is none, where one is `needed`
            (what was written before there were checksums has none).
    """
    rest = dict(record)
    if CHECK not in rest:
        if needed:
            raise Damaged(f"{CHECK} is missing")
        return rest
    check = rest.pop(CHECK)
    if check != fingerprint(rest):
        raise Damaged(
            f"{CHECK}={_short(check)} does not belong to the rest: a value has changed since it "
            "was written"
        )
    return rest


def parsed(content: bytes) -> dict[str, Any]:
    """Return the object that JSON text holds.

    Raises:
        Damaged: it is no JSON, or something other than an object.
    """
    try:
        found = json.loads(content, parse_constant=_no_number)
    except RecursionError:
        raise Damaged("it is nested too deeply") from None
    except UnicodeDecodeError:
        raise Damaged("it is not JSON (some bytes are no text)") from None
    except ValueError as error:
        raise Damaged(f"it is not JSON ({error})") from None
    if _deeper(found, DEEPEST):
        raise Damaged("it is nested too deeply")
    if not isinstance(found, dict):
        raise Damaged(f"it holds {_short(found)}, where an object belongs")
    return found


def _no_number(text: str) -> NoReturn:
    raise ValueError(f"{text} is no number of JSON")


def _deeper(value: object, most: int) -> bool:
    """Say whether lists and objects hold each other deeper than `most`: `repr` could not go on."""
    level = [value]
    for _ in range(most):
        level = [
            x
            for one in level
            if isinstance(one, (dict, list))
            for x in (one.values() if isinstance(one, dict) else one)
        ]
    return any(isinstance(one, (dict, list)) for one in level)


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
