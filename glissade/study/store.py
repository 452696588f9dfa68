"""Keeps every run as it ends, safe against kill -9 at any byte."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from glissade.study.design import RunKey, RunResult, differences, fingerprint


class StoreError(Exception):
    """The results file cannot be used as asked; nothing was run."""


@dataclass
class Store:
    """The results file: one JSON object a line, only ever appended to.

    The first line is the configuration; every other is a run. A line that a killed process
    left unfinished is skipped and noted, and is closed before the next is written.
    """

    path: Path
    config: dict[str, object]
    results: dict[RunKey, RunResult] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    descriptor: int = -1

    @classmethod
    def open(cls, folder: Path, config: dict[str, object], resume: bool) -> Store:
        """Start a file in `folder`, or go on with the one there if `resume` says so."""
        store = cls(folder / "runs.jsonl", config)
        if resume and not folder.is_dir():
            raise StoreError(f"nothing to resume: there is no folder {folder}")
        try:
            folder.mkdir(parents=True, exist_ok=True)
            flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | getattr(os, "O_BINARY", 0)
            store.descriptor = os.open(store.path, flags, 0o644)
            content = store.path.read_bytes()
        except OSError as error:
            raise StoreError(f"cannot write in {folder}: {error.strerror}") from error
        try:
            if content and not resume:
                raise StoreError(
                    f"{store.path} already holds results: pass --resume to go on with them, "
                    "or another --out"
                )
            has_header = store._read(content)
            if content and not content.endswith(b"\n"):
                store._write(b"\n")
            if not has_header:
                header = {"kind": "config", "config_hash": store.hash, "config": config}
                store._write(_line(header))
        except BaseException:
            store.close()
            raise
        return store

    @property
    def hash(self) -> str:
        return fingerprint(self.config)

    def append(self, result: RunResult) -> None:
        """Keep a result: when this returns it is on the disk."""
        values = asdict(result)
        key = values.pop("key")
        run = {"kind": "run", **key, "config_hash": self.hash}
        self._write(_line({**run, "versions": self.config["versions"], **values}))
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

    def _read(self, content: bytes) -> bool:
        """Take in what is there; True if the configuration's line is among it."""
        has_header = False
        lines = content.split(b"\n")
        for number, line in enumerate(lines, 1):
            if not line:
                continue
            try:
                record = json.loads(line)
                if record["config_hash"] != self.hash:
                    raise StoreError(self._mismatch(record))
                if record["kind"] == "config":
                    has_header = True
                    continue
                result = _result(record)
                self.results.setdefault(result.key, result)
            except (ValueError, TypeError, KeyError):
                self.notes.append(
                    f"line {number} of {self.path.name} is not complete (a run that was cut "
                    "off): it is ignored"
                )
        return has_header

    def _mismatch(self, record: Mapping[str, Any]) -> str:
        stored = record.get("config", {"versions": record.get("versions", {})})
        asked = self.config if "config" in record else {"versions": self.config["versions"]}
        changed = differences(stored, asked) or ["its settings are not known"]
        return (
            f"{self.path} was made with another configuration: {'; '.join(changed)}. "
            "Repeat the command with the old values, or pass another --out"
        )


def _line(record: Mapping[str, object]) -> bytes:
    return json.dumps(record, allow_nan=False, separators=(",", ":")).encode() + b"\n"


def _result(record: Mapping[str, Any]) -> RunResult:
    """A run from its line; KeyError, TypeError or ValueError if it is none."""
    if record["kind"] != "run" or record["phase"] not in ("tune", "final"):
        raise ValueError("not a run")
    names = set(RunResult.__dataclass_fields__) - {"key", "losses", "validation"}
    return RunResult(
        key=RunKey(record["optimizer"], record["phase"], record["lr"], record["seed"]),
        losses=tuple(record["losses"]),
        validation=tuple((step, error) for step, error in record["validation"]),
        **{name: record[name] for name in names},
    )
