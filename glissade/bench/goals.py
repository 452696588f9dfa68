"""What the project wants of its own speed, held against the figures."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from .compiling import Compiling
from .run import ITEM, Case
from .shapes import MODELS


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

    def __str__(self) -> str:
        side = "at most" if self.at_most else "at least"
        return f"{self.what}: {self.value:.3g}{self.unit} ({side} {self.limit:g}{self.unit})"

    def record(self) -> dict[str, Any]:
        """For JSON."""
        return {**asdict(self), "met": self.met}


# AdamW beside a form of torch's: at least so many times as fast.
FASTER = (
    ("gpt2", "fused", 1.0), ("gpt2", "default", 5.0), ("small", "fused", 1.4),
    ("mlp", "default", 15.0), ("mlp", "fused", 8.0), ("many", "fused", 8.0),
)  # fmt: skip


def goals(cases: Sequence[Case], kernels: Sequence[Compiling]) -> Iterator[Goal]:
    """The goals that these figures speak to."""
    done = {(case.rule, case.shape): case for case in cases if case.ours and case.floor}
    us = {key: case.ours.us for key, case in done.items() if case.ours}
    for shape, form, limit in FASTER:
        case = done.get(("adamw", shape))
        if case and form in case.peers:
            what = f"adamw on {shape}, times as fast as torch {form}"
            yield Goal(what, case.peers[form].ratio, limit, False, "x")
    if ("adamw", "mlp") in us:
        yield Goal("adamw on mlp, a step", us["adamw", "mlp"], 25.0, True, " µs")
    for rule in ("lamb", "adafactor"):
        case = done.get((rule, "gpt2"))
        if case:
            what = f"{rule} on gpt2, times its floor"
            yield Goal(what, 100 / case.floor_percent, 1.3, True, "x")
    shares = [(case.floor_percent, rule) for (rule, shape), case in done.items() if shape == "gpt2"]
    if shares:
        share, rule = min(shares)
        yield Goal(f"the furthest from its floor on gpt2 is {rule}", share, 80.0, False, " %")
    if ("lamb", "gpt2") in us and ("adamw", "gpt2") in us:
        over = us["lamb", "gpt2"] / us["adamw", "gpt2"]
        yield Goal("lamb on gpt2, times adamw", over, 2.3, True, "x")
    if kernels:
        slowest = max(kernels, key=lambda k: k.ms)
        name = f"{slowest.rule} {slowest.variant}".strip()
        yield Goal(f"compiling, the slowest is {name}", slowest.ms, 150.0, True, " ms")
        again = sum(k.again for k in kernels)
        yield Goal("stages compiled again when lr, shapes or groups change", again, 0, True)
    for shape in ("gpt2", "small"):
        peaks = [(c.ours.peak_bytes, c.rule) for c in cases if c.shape == shape and c.ours]
        known = [(peak, rule) for peak, rule in peaks if peak is not None]
        if known:
            peak, rule = max(known)
            share = 100 * peak / (ITEM * MODELS[shape].elements)
            what = f"memory taken by a step on {shape} for a moment, most by {rule}"
            yield Goal(what, share, 10.0, True, " % of a copy of the parameters")
