"""Two runs side by side: what has become slower beyond what noise explains.

Milliseconds of two runs do not compare: the machine, and what else runs on it, changes. What is
held against each other is each run's ratio to the floor of its own rounds.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from .case import Case, Timed
from .machine import Machine
from .record import Record

WORSE = 1.10  # times as long, beside the floor, beyond the middle halves of both runs
OURS = "ours"
Key = tuple[str, str, str, str]


@dataclass(frozen=True)
class Row:
    """One contestant in both runs."""

    shape: str
    rule: str
    numbers: str
    who: str
    old_ms: float
    new_ms: float

    @property
    def ratio(self) -> float:
        """How many times as long it takes now."""
        return self.new_ms / self.old_ms


@dataclass(frozen=True)
class Comparison:
    """What there is in both runs, what has become slower, and what to know about the runs."""

    rows: Sequence[Row]
    regressions: Sequence[str]
    notes: Sequence[str]


def compare(old: Record, new: Record) -> Comparison:
    """The new run held against the old one."""
    before, now = _timed(old), _timed(new)
    both = [key for key in now if key in before]
    rows = [Row(*key, before[key].us / 1e3, now[key].us / 1e3) for key in both]
    notes = list(_machines(old.machine, new.machine))
    for some, others, which in ((before, now, "old"), (now, before, "new")):
        alone = sum(key not in others for key in some)
        if alone:
            notes.append(f"{alone} of the figures are in the {which} run alone.")
    if not rows:
        notes.append("The two runs have nothing in common.")
    return Comparison(rows, list(_regressions(old.cases, new.cases)), notes)


def _timed(record: Record) -> dict[Key, Timed]:
    out = {}
    for case in record.cases:
        some = {OURS: case.ours, **case.peers} if case.ours else {}
        for who, timed in some.items():
            if timed is not None:
                out[case.shape, case.rule, str(case.precision), who] = timed
    return out


def _machines(old: Machine, new: Machine) -> Iterator[str]:
    if (old.cpu, old.cores) != (new.cpu, new.cores):
        yield (
            f"Another machine: {old.cpu}, {old.cores} cores, then {new.cpu}, {new.cores} cores. "
            "Only the share of the floor compares, and that roughly."
        )
    if old.threads != new.threads:
        yield f"Another number of threads: {old.threads}, then {new.threads}."
    if old.torch != new.torch:
        yield f"Another torch, of which peers are: {old.torch}, then {new.torch}."


def _regressions(old: Sequence[Case], new: Sequence[Case]) -> Iterator[str]:
    before = {(c.shape, c.rule, c.precision): c for c in old if c.floor}
    for case in new:
        was = before.get((case.shape, case.rule, case.precision))
        if was is None or was.floor is None:
            continue
        what = f"{case.rule} on {case.shape}, {case.precision}"
        if case.floor is None:
            yield f"{what}: {was.floor_percent:.0f} % of its floor before, now {case.error}"
        elif case.floor.ratio_high * WORSE < was.floor.ratio_low:
            yield f"{what}: {_share(was.floor)} of its floor before, now {_share(case.floor)}"


def _share(floor: Timed) -> str:
    low, high = 100 * floor.ratio_low, 100 * floor.ratio_high
    return f"{100 * floor.ratio:.0f} % ({low:.0f} to {high:.0f})"
