"""The figures of one rule on one model, in one precision."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from ..storage import FULL
from ..study.typed import Damaged, conform
from .settings import Precision
from .timing import quartiles, ratio

POSITIVE = ("us", "low", "high", "ratio", "ratio_low", "ratio_high")


@dataclass
class Timed:
    """Microseconds a step: median and the middle half of the rounds."""

    us: float
    low: float
    high: float
    ratio: float  # to ours: the median of the rounds' ratios
    ratio_low: float  # their middle half
    ratio_high: float
    peak_bytes: int | None = None  # that a step takes for a moment
    first_step_s: float | None = None  # of what compiles at its first step

    @staticmethod
    def of(own: Sequence[float], ours: Sequence[float]) -> Timed:
        """The figures of one contestant, beside ours in the same rounds."""
        shares = quartiles([a / b for a, b in zip(own, ours, strict=True)])
        return Timed(statistics.median(own), *quartiles(own), ratio(own, ours), *shares)


@dataclass
class Case:
    """The figures of one rule on one model, in one precision."""

    rule: str
    shape: str
    dtype: str = "float32"
    state_dtype: str = FULL
    bytes_per_parameter: float = 0.0  # that the plan moves in a step
    bytes_moved: float = 0.0
    state_bytes: float = 0.0  # for each parameter, by the plan
    held_bytes: float | None = None  # the same as measured: by how much the process grew
    passes: dict[str, float] = field(default_factory=dict)  # how often each mix runs in a step
    ours: Timed | None = None
    floor: Timed | None = None
    peers: dict[str, Timed] = field(default_factory=dict)
    host_us: float | None = None  # until a step is handed to a device
    over_float32: float | None = None  # times as fast as the same rule in float32
    busy_cores_of_others: float | None = None
    notes: list[str] = field(default_factory=list)
    error: str = ""

    @property
    def precision(self) -> Precision:
        """What its numbers are kept in."""
        return Precision(self.dtype, self.state_dtype)

    @property
    def gb_per_s(self) -> float:
        """What a step moves, over its time."""
        return self.bytes_moved / self.ours.us / 1e3 if self.ours else 0.0

    @property
    def floor_percent(self) -> float:
        """100 when a step takes no longer than its streams."""
        return 100 * self.floor.ratio if self.floor else 0.0

    def peer_percent(self, form: str) -> float:
        """The same of a peer, held against the floor of ours."""
        return self.floor_percent / self.peers[form].ratio

    def record(self) -> dict[str, Any]:
        """For JSON."""
        return {**asdict(self), "gb_per_s": self.gb_per_s, "floor_percent": self.floor_percent}

    @staticmethod
    def read(record: Mapping[str, Any], where: str = "") -> Case:
        """Return the case of a file, or raise Damaged."""
        given = {k: v for k, v in record.items() if k not in ("gb_per_s", "floor_percent")}
        case = conform(Case, given, where)
        for who, timed in {"ours": case.ours, "floor": case.floor, **case.peers}.items():
            if timed is not None and min(vars(timed)[name] for name in POSITIVE) <= 0:
                raise Damaged(f"{where}.{who}: times and ratios must be above 0")
        return case
