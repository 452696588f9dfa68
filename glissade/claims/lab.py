"""Where claims are run: through the study's runs, store and engines."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch

from glissade.claims import readings
from glissade.claims.base import Claim, Found, Part
from glissade.study import conduct
from glissade.study.design import Choice, Job, Phase, RunKey, RunResult
from glissade.study.engine import Engine
from glissade.study.loading import load
from glissade.study.record import fingerprint, versions
from glissade.study.store import Store

SEED = 7  # of all claims


@dataclass(frozen=True)
class Registered:
    """A claim as the study's runs see it: every arm on the same seeds."""

    claim: Claim

    @cached_property
    def record(self) -> dict[str, Any]:
        tasks = sorted({arm.task for arm in self.claim.arms.values()})
        facts = {text: dict(load(text).facts) for text in tasks}
        return {**self.claim.record, "tasks": facts, "versions": versions()}

    @property
    def hash(self) -> str:
        return fingerprint(self.record)

    @property
    def keys(self) -> list[RunKey]:
        """Seed by seed, so that all arms share the machine's drift."""
        return [
            RunKey(arm.task, label, "final", 0, 0, seed)
            for seed in range(self.claim.seeds)
            for label, arm in self.claim.arms.items()
        ]

    def job(self, key: RunKey) -> Job:
        arm = self.claim.arms[key.arm]
        init, order = np.random.SeedSequence((SEED, key.seed)).generate_state(2)
        return Job(
            key, arm.optimizer, arm.batch, arm.steps, arm.evaluations, (int(init), int(order)),
            True, None, arm.fit,
        )  # fmt: skip


@dataclass
class Told:
    """A watcher that reports the share that is done."""

    report: Callable[[float], None]
    total: int = 1
    done: int = 0
    errors: list[str] = field(default_factory=list)

    def phase(self, name: Phase, runs: int) -> None:
        self.total = max(1, runs)

    def ended(self, result: RunResult, fresh: bool) -> None:
        self.done += 1
        if result.error is not None:
            self.errors.append(f"{result.optimizer}: {result.error}")
        self.report(self.done / self.total)

    def chosen(self, choices: Sequence[Choice]) -> None: ...


def run(
    claim: Claim,
    folder: Path,
    engine: Engine,
    report: Callable[[float], None],
    say: Callable[[str], None] = print,
) -> Found:
    """Register, run what is missing, and judge; `say` is told of damaged lines.

    Raises:
        ValueError: a run failed, which a claim must not count as diverged.
    """
    registered = Registered(claim)
    resume = any((folder / name).exists() for name in ("plan.json", "runs.jsonl"))
    store = Store.open(folder, registered, resume)
    for note in store.notes:
        say(f"{claim.name}: {note}")
    told = Told(report)
    if claim.compute is not None:
        store.close()
        threads = torch.get_num_threads()
        torch.set_num_threads(1)  # as runs do: small tensors gain nothing by more
        began = time.perf_counter()
        try:
            values = claim.compute()
        finally:
            torch.set_num_threads(threads)
        return judged(claim, values, time.perf_counter() - began)
    try:
        results = conduct.all_of(registered, store, engine, told, "final", registered.keys)
    finally:
        store.close()
    if told.errors:
        raise ValueError(f"{claim.name}: {len(told.errors)} runs failed: {told.errors[0]}")
    return judged(claim, by_arm(results), math.fsum(x.seconds for x in results))


def by_arm(results: Sequence[RunResult]) -> dict[str, list[RunResult]]:
    """Runs by arm, each in the order of its seeds."""
    found: dict[str, list[RunResult]] = {}
    for result in sorted(results, key=lambda x: x.key.seed):
        found.setdefault(result.key.arm, []).append(result)
    return found


def judged(claim: Claim, runs: Mapping[str, Any], seconds: float = 0.0) -> Found:
    """By the rule that was registered; arms in the claim's own order."""
    ordered = {label: runs[label] for label in claim.arms or runs}
    edges = readings.edges(ordered, claim.tuned, claim.by)
    parts = [
        Part(measure, tuple(float(x) for x in each))
        for measure, each in zip(claim.measures, claim.read(ordered), strict=True)
    ]
    return Found(claim, parts, claim.chart(ordered), seconds, edges)


def write(folder: Path, found: Found) -> dict[str, Any]:
    """Write what was found beside the registered plan and the runs, and return it."""
    record = {
        "name": found.claim.name,
        "saying": found.claim.saying,
        "source": found.claim.source,
        "scale": found.claim.scale,
        "plan": found.claim.plan,
        "seeds": found.claim.seeds,
        "verdict": found.verdict,
        "seconds": round(found.seconds, 1),
        "edges": list(found.edges),
        "parts": [
            {
                **asdict(part.measure),
                "verdict": part.verdict,
                "typical": _number(part.typical), "each": [_number(x) for x in part.each],
                "interval": [_number(part.interval.low), _number(part.interval.high)],
            }
            for part in found.parts
        ],
    }  # fmt: skip
    text = json.dumps(record, indent=1, allow_nan=False)
    (folder / "found.json").write_text(text + "\n", encoding="utf-8")
    return record


def _number(x: float) -> float | None:
    return x if math.isfinite(x) and abs(x) < 1e100 else None
