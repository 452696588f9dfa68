"""Figures made up for tests."""

from __future__ import annotations

from collections.abc import Mapping

from glissade.bench.case import Case, Timed
from glissade.bench.machine import machine
from glissade.bench.record import Record
from glissade.bench.settings import FLOAT32, Precision, Settings
from glissade.bench.start import Seconds, Start


def case(
    rule: str,
    us: float,
    floor: float,
    peers: Mapping[str, float] | None = None,
    *,
    shape: str = "gpt2",
    precision: Precision = FLOAT32,
    spread: float = 0.0,
    over: float | None = None,
) -> Case:
    """A rule whose floor is `floor` of its time, with rounds that spread about it."""
    ours = [us] * 5
    rounds = [us * floor * (1 + spread * x) for x in (-1, -1, 0, 1, 1)]
    timed = {form: Timed.of([us * times] * 5, ours) for form, times in (peers or {}).items()}
    return Case(
        rule, shape, precision.dtype, precision.state_dtype, 28.0, ours=Timed.of(ours, ours),
        floor=Timed.of(rounds, ours), peers=timed, over_float32=over,
    )  # fmt: skip


def record(*cases: Case) -> Record:
    """A run on this machine."""
    return Record(machine(), Settings(("adamw",), ("gpt2",)), list(cases))


def start(ours: float, first: float) -> Start:
    """Five processes that took as long."""
    one, two = Seconds.of([ours] * 5), Seconds.of([first] * 5)
    return Start(5, one, one, two, two, two)
