"""A comparison's folder: its plan, written first, and every run as it ends.

``runs.jsonl`` is only ever appended to, one JSON object a line, each with a checksum. It is safe
against kill -9 at any byte, and against what happens to files: a line that is damaged is noted and
skipped, and its run is made again.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, TypedDict

from glissade.study.design import Planned, RunKey, RunResult
from glissade.study.record import differences, fingerprint, parsed, sealed, unsealed
from glissade.study.typed import Damaged, conform

LISTED = 10  # numbers of damaged lines in a message


class StoreError(Exception):
    """The folder cannot be used as asked; nothing was run."""


@dataclass(frozen=True)
class Written:
    """A folder's plan, as its file has it."""

    path: Path
    hash: str
    plan: Mapping[str, Any]
    checks: bool = False  # whether every line of runs.jsonl has a checksum; older ones have none

    def verify(self) -> None:
        """Raise StoreError if the plan is not the one that was hashed."""
        if fingerprint(self.plan) != self.hash:
            raise StoreError(
                f"{self.path} is damaged: hash={self.hash!r} does not belong to its plan: one of "
                f"the two has changed since it was written. {OTHERWISE}"
            )


@dataclass(frozen=True)
class Lines:
    """The runs in a file's lines. A run that failed is not among them: it is made again."""

    results: dict[RunKey, RunResult]
    damaged: tuple[int, ...] = ()  # line numbers, from 1

    def note(self, what: str) -> list[str]:
        """Say which lines are damaged, and `what` becomes of their runs; nothing if none is."""
        if not self.damaged:
            return []
        lines = "1 damaged line" if len(self.damaged) == 1 else f"{len(self.damaged)} damaged lines"
        numbers = ", ".join(map(str, self.damaged[:LISTED]))
        more = len(self.damaged) - LISTED
        which = f"line{'s' * (len(self.damaged) > 1)} {numbers}"
        which += f" and {more} more" if more > 0 else ""
        these = "this run is" if len(self.damaged) == 1 else "these runs are"
        return [f"{lines} in runs.jsonl ({which}): {these} {what}"]


OTHERWISE = "Put back what was there, or start anew with another --out"
AGAIN = "made again, unless a later line holds the same"


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
        checks = True
        if resume:
            written = read_plan(folder)
            _same(written.plan, plan)
            written.verify()
            checks = written.checks
        elif store.path.exists() and store.path.stat().st_size:
            raise StoreError(
                f"{store.path} already holds results: pass --resume to go on with them, or "
                "another --out"
            )
        try:
            folder.mkdir(parents=True, exist_ok=True)
            if not resume:
                record = {"hash": plan.hash, "checks": True, "plan": plan.record}
                _write_whole(folder / "plan.json", record)
            flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | getattr(os, "O_BINARY", 0)
            store.descriptor = os.open(store.path, flags, 0o644)
            content = store.path.read_bytes()
        except OSError as error:
            raise StoreError(f"cannot write in {folder}: {error.strerror}") from error
        try:
            _lock(store.descriptor, folder)
            lines = read_runs(content, plan.hash, checks)
            store.results, store.notes = lines.results, lines.note(AGAIN)
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
        text = json.dumps(sealed(line), allow_nan=False, separators=(",", ":"))
        self._write(text.encode() + b"\n")
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


def read_plan(folder: Path) -> Written:
    """Return a folder's plan; `Written.verify` has to follow."""
    path = folder / "plan.json"
    try:
        record = parsed(path.read_bytes())
        file = conform(_PlanFile, record)
    except FileNotFoundError:
        raise StoreError(f"nothing to resume: there is no {path}") from None
    except OSError as error:
        raise StoreError(f"{path} cannot be read: {error.strerror}") from None
    except Damaged as error:
        raise StoreError(f"{path} is damaged: {error}. {OTHERWISE}") from None
    return Written(path, file["hash"], file["plan"], record.get("checks") is True)


class _PlanFile(TypedDict):
    plan: dict[str, Any]
    hash: str


def read_runs(content: bytes, plan: str, checks: bool = False) -> Lines:
    """Return the runs of a plan in a file's bytes. With `checks` a line without one is damaged."""
    results: dict[RunKey, RunResult] = {}
    damaged = []
    for number, line in enumerate(content.split(b"\n"), 1):
        if not line.strip():
            continue
        try:
            record = unsealed(parsed(line), checks)
            of = conform(str, record.pop("plan", None), "plan")
            result = _result(record)
        except Damaged:
            damaged.append(number)
            continue
        if of != plan:
            raise StoreError(f"line {number} of runs.jsonl belongs to another plan")
        if result.error is None:
            results.setdefault(result.key, result)
    return Lines(results, tuple(damaged))


def _result(record: Mapping[str, Any]) -> RunResult:
    """Return a run from its line; Damaged if it is none."""
    rest = dict(record)
    if rest.pop("kind", None) != "run":
        raise Damaged("not a run")
    key = {name: rest.pop(name) for name in RunKey.__dataclass_fields__ if name in rest}
    return conform(RunResult, {**rest, "key": key})


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
