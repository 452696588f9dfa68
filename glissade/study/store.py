"""A comparison's folder: its plan, written first, and every run as it ends.

``runs.jsonl`` is only ever appended to, one JSON object a line, and is safe against kill -9 at any
byte: a line that was cut off is skipped and noted, and its run is made again.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from glissade.study.design import PHASES, Planned, RunKey, RunResult
from glissade.study.record import differences


class StoreError(Exception):
    """The folder cannot be used as asked; nothing was run."""


@dataclass
class Store:
    """The results of a plan; `open` it, `append` to it, `close` it."""

    folder: Path
    hash: str  # of the plan
    results: dict[RunKey, RunResult] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    descriptor: int = -1

    @property
    def path(self) -> Path:
        return self.folder / "runs.jsonl"

    @classmethod
    def open(cls, folder: Path, plan: Planned, resume: bool) -> Store:
        """Start in `folder`, or go on with what is there if `resume` says so."""
        store = cls(folder, plan.hash)
        if resume:
            _same(read_plan(folder), plan)
        elif store.path.exists() and store.path.stat().st_size:
            raise StoreError(
                f"{store.path} already holds results: pass --resume to go on with them, or "
                "another --out"
            )
        try:
            folder.mkdir(parents=True, exist_ok=True)
            if not resume:
                _write_whole(folder / "plan.json", {"hash": plan.hash, "plan": plan.record})
            flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | getattr(os, "O_BINARY", 0)
            store.descriptor = os.open(store.path, flags, 0o644)
            content = store.path.read_bytes()
        except OSError as error:
            raise StoreError(f"cannot write in {folder}: {error.strerror}") from error
        try:
            _lock(store.descriptor, folder)
            store.results, store.notes = read_runs(content, plan.hash)
            if content and not content.endswith(b"\n"):
                store._write(b"\n")
        except BaseException:
            store.close()
            raise
        return store

    def append(self, result: RunResult) -> None:
        """Keep a result: when this returns it is on the disk."""
        record = asdict(result)
        line = {"kind": "run", "plan": self.hash, **record.pop("key"), **record}
        self._write(json.dumps(line, allow_nan=False, separators=(",", ":")).encode() + b"\n")
        self.results[result.key] = result

    def close(self) -> None:
        if self.descriptor >= 0:
            os.close(self.descriptor)
            self.descriptor = -1

    def _write(self, line: bytes) -> None:
        written = os.write(self.descriptor, line)
        if written != len(line):
            raise OSError(f"only {written} of {len(line)} bytes written to {self.path}: disk full?")
        os.fsync(self.descriptor)


def _lock(descriptor: int, folder: Path) -> None:
    """Until the file is closed, or its process is gone, by whatever end."""
    try:
        import fcntl
    except ModuleNotFoundError:  # not on Windows
        return
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise StoreError(f"another process is at work in {folder}: let it end first") from None
    except OSError:
        return  # a file system without locks


def read_plan(folder: Path) -> dict[str, Any]:
    """The record of a folder's plan."""
    path = folder / "plan.json"
    try:
        record: dict[str, Any] = json.loads(path.read_bytes())["plan"]
        return record
    except FileNotFoundError:
        raise StoreError(f"nothing to resume: there is no {path}") from None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise StoreError(f"{path} cannot be read: {error}") from None


def read_runs(content: bytes, plan: str) -> tuple[dict[RunKey, RunResult], list[str]]:
    """The runs of a plan in a file's bytes, and notes on lines that are none.

    A run that failed is not among them: it is made again.
    """
    results: dict[RunKey, RunResult] = {}
    notes: list[str] = []
    for number, line in enumerate(content.split(b"\n"), 1):
        if not line:
            continue
        try:
            record = json.loads(line)
            if record["plan"] != plan:
                raise StoreError(f"line {number} of runs.jsonl belongs to another plan")
            result = _result(record)
        except (ValueError, TypeError, KeyError):
            notes.append(
                f"line {number} of runs.jsonl is not complete (a run that was cut off): it is "
                "ignored"
            )
            continue
        if result.error is None:
            results.setdefault(result.key, result)
    return results, notes


def _result(record: Mapping[str, Any]) -> RunResult:
    """A run from its line; KeyError, TypeError or ValueError if it is none."""
    if record["kind"] != "run" or record["phase"] not in PHASES:
        raise ValueError("not a run")
    of_key = RunKey.__dataclass_fields__
    key = RunKey(**{name: record[name] for name in of_key})
    names = set(RunResult.__dataclass_fields__) - {"key", "losses", "validation", "fit"}
    return RunResult(
        key=key,
        losses=tuple(record["losses"]),
        validation=tuple((step, at, value) for step, at, value in record["validation"]),
        **{name: record[name] for name in names},
        fit=record.get("fit"),  # older runs have none
    )


def _same(stored: Mapping[str, object], plan: Planned) -> None:
    asked = json.loads(json.dumps(plan.record))
    changed = differences(stored, asked)
    changed = [
        x
        if ".file was" not in x
        else f"{x.partition('.file was')[0].removeprefix('tasks.')} has been edited since"
        for x in changed
    ]
    if changed:
        raise StoreError(
            f"the plan there is another: {'; '.join(changed)}. Go on with what there was, or "
            "start anew with another --out"
        )


def _write_whole(path: Path, record: Mapping[str, object]) -> None:
    """A file that is there whole or not at all."""
    part = path.with_suffix(".part")
    with part.open("w", encoding="utf-8") as file:
        file.write(json.dumps(record, indent=1, allow_nan=False) + "\n")
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)
