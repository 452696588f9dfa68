"""What the project wants of its own speed, held against the figures."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from .case import Case
from .compiling import Compiling
from .run import ITEM
from .settings import REFERENCE, Precision
from .shapes import MODELS
from .start import Start


@dataclass(frozen=True)
class Goal:
    """One wish: a figure, its limit, and on which side of it the figure should lie."""

    what: str
    value: float
    limit: float
    at_most: bool
    unit: str = ""

    @property
    def met(self) -> bool:
        """Whether the figure is on the right side."""
        return self.value <= self.limit if self.at_most else self.value >= self.limit

    @property
    def now(self) -> str:
        """The figure in words."""
        return _number(self.value, 3) + self.unit

    @property
    def wanted(self) -> str:
        """The limit in words."""
        return f"{'at most' if self.at_most else 'at least'} {self.limit:,g}{self.unit}"

    @property
    def verdict(self) -> str:
        """Met, or by how much it is missed."""
        by = _number(abs(self.value - self.limit), 2)
        return "met" if self.met else f"{'over' if self.at_most else 'short'} by {by}"

    def __str__(self) -> str:
        missed = "" if self.met else f", {self.verdict}"
        return f"{self.what}: {self.now} ({self.wanted}{missed})"

    def record(self) -> dict[str, Any]:
        """For JSON."""
        return {**asdict(self), "met": self.met}


def _number(x: float, digits: int) -> str:
    return f"{x:.{digits}g}" if abs(x) < 1000 else f"{x:,.0f}"


FLOOR = 90.0  # percent of its floor that every rule should reach on gpt2

# AdamW beside a form of torch's: at least so many times as fast.
FASTER = (
    ("gpt2", "fused", 1.1), ("gpt2", "default", 5.0), ("small", "fused", 1.4),
    ("mlp", "default", 15.0), ("mlp", "fused", 8.0), ("many", "fused", 8.0),
)  # fmt: skip
# AdamW, microseconds a step: at most.
SHORTER = (("mlp", 12.0), ("many", 12_000.0))
# AdamW on gpt2, beside itself in float32: at least so many times as fast.
LOWER = ((Precision("bfloat16", "bfloat16"), 1.5), (Precision("bfloat16", "int8"), 1.0))


def goals(
    cases: Sequence[Case], kernels: Sequence[Compiling] = (), start: Start | None = None
) -> Iterator[Goal]:
    """The goals that these figures speak to."""
    full = [case for case in cases if case.ours and case.floor and case.precision.full]
    done = {(case.rule, case.shape): case for case in full}
    if any(case.host_us is not None for case in full):
        yield from _on_a_device(done)
        return
    yield from _of_adamw(done)
    yield from _in_lower_precision(cases)
    yield from _of_floors(done)
    yield from _of_memory(full)
    if kernels:
        slowest = max(kernels, key=lambda k: k.ms)
        name = f"{slowest.rule} {slowest.variant}".strip()
        yield Goal(f"compiling, the slowest is {name}", slowest.ms, 150.0, True, " ms")
        again = sum(k.again for k in kernels)
        yield Goal("stages compiled again when lr, shapes or groups change", again, 0, True)
    if start is not None:
        yield Goal("import glissade, after torch", start.ours.median, 0.3, True, " s")
        what = "AdamW in a fresh process, until its first step is done"
        yield Goal(what, start.first_step.median, 0.3, True, " s")


def _on_a_device(done: dict[tuple[str, str], Case]) -> Iterator[Goal]:
    """Of a data-centre GPU."""
    large, small = done.get((REFERENCE, "billion")), done.get((REFERENCE, "thousand"))
    if large:
        what = f"{REFERENCE} on billion, of the speed of memory"
        yield Goal(what, large.floor_percent, FLOOR, False, " %")
        if "fused" in large.peers:
            what = f"{REFERENCE} on billion, times as fast as torch fused"
            yield Goal(what, large.peers["fused"].ratio, 1.2, False, "x")
    if small and small.host_us is not None:
        what = f"{REFERENCE} on thousand, until a step is handed over"
        yield Goal(what, small.host_us, 20.0, True, " µs")
    lamb = done.get(("lamb", "billion"))
    if lamb and lamb.ours and large and large.ours:
        over = lamb.ours.us / large.ours.us
        yield Goal(f"lamb on billion, times {REFERENCE}", over, 1.45, True, "x")


def _of_adamw(done: dict[tuple[str, str], Case]) -> Iterator[Goal]:
    for shape, form, limit in FASTER:
        case = done.get((REFERENCE, shape))
        if case and form in case.peers:
            what = f"{REFERENCE} on {shape}, times as fast as torch {form}"
            yield Goal(what, case.peers[form].ratio, limit, False, "x")
    for shape, limit in SHORTER:
        case = done.get((REFERENCE, shape))
        if case and case.ours:
            yield Goal(f"{REFERENCE} on {shape}, a step", case.ours.us, limit, True, " µs")


def _in_lower_precision(cases: Sequence[Case]) -> Iterator[Goal]:
    for case in cases:
        limit = dict(LOWER).get(case.precision)
        if (case.rule, case.shape) != (REFERENCE, "gpt2") or limit is None:
            continue
        if case.over_float32 is not None:
            what = f"{REFERENCE} on gpt2 in {case.precision}, times as fast as in float32"
            yield Goal(what, case.over_float32, limit, False, "x")


def _of_floors(done: dict[tuple[str, str], Case]) -> Iterator[Goal]:
    for rule in ("lamb", "adafactor"):
        case = done.get((rule, "gpt2"))
        if case:
            what = f"{rule} on gpt2, times its floor"
            yield Goal(what, 100 / case.floor_percent, 1.3, True, "x")
    shares = [(case.floor_percent, rule) for (rule, shape), case in done.items() if shape == "gpt2"]
    if shares:
        share, rule = min(shares)
        yield Goal(f"the furthest from its floor on gpt2 is {rule}", share, FLOOR, False, " %")
    lamb, adamw = done.get(("lamb", "gpt2")), done.get((REFERENCE, "gpt2"))
    if lamb and lamb.ours and adamw and adamw.ours:
        over = lamb.ours.us / adamw.ours.us
        yield Goal(f"lamb on gpt2, times {REFERENCE}", over, 2.3, True, "x")


def _of_memory(cases: Sequence[Case]) -> Iterator[Goal]:
    for shape in ("gpt2", "small"):
        peaks = [(c.ours.peak_bytes, c.rule) for c in cases if c.shape == shape and c.ours]
        known = [(peak, rule) for peak, rule in peaks if peak is not None]
        if known:
            peak, rule = max(known)
            share = 100 * peak / (ITEM * MODELS[shape].elements)
            what = f"memory taken by a step on {shape} for a moment, most by {rule}"
            yield Goal(what, share, 10.0, True, " % of a copy of the parameters")
