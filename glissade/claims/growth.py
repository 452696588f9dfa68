"""How the best learning rate grows with the batch."""

from __future__ import annotations

import numpy as np

from glissade.claims import readings
from glissade.claims.base import Claim, Measure, Setup
from glissade.claims.batches import TAIWAN, steps
from glissade.claims.charts import Line, Lines
from glissade.claims.readings import Runs, Values
from glissade.claims.sweeps import ERROR, MLP, places

GROWING = (8, 32, 128, 512)
Between = tuple[float, float]


def _growth(
    name: str, optimizer: str, saying: str, source: str, rates: list[float], between: Between
) -> Claim:
    """The best learning rate by batch: the slope in logarithms, seed by seed, between two."""
    title = readings.titled(optimizer)
    low, high = between
    ends = str(GROWING[-1]), str(GROWING[0])
    arms = {
        f"{batch}|{i}": Setup("digits", f"{optimizer}(lr={lr})", steps(batch, 10), batch)
        for batch in GROWING
        for i, lr in enumerate(rates)
    }

    def read(runs: Runs) -> Values:
        best = [readings.preferred(runs, str(batch), rates) for batch in GROWING]
        slopes = readings.slopes(best, np.log10(GROWING).tolist())
        return [slopes, [high - x for x in slopes]]

    def chart(runs: Runs) -> Lines:
        labels = [str(batch) for batch in GROWING]
        drawn = [Line(f"batch {x.label}", x.x, x.y)
                 for x in readings.by_setting(runs, labels, rates)]  # fmt: skip
        return Lines("learning rate", ERROR, drawn, log_y=True)

    return Claim(
        name, saying, source, f"{MLP}, ten epochs with batches of 8, 32, 128 and 512",
        f"{title} at {len(rates)} learning rates over three decades for each batch, without "
        "warm-up; for each seed the rate with the least validation error (the mean in logarithms "
        "where some tie); the slope of its logarithm over that of the batch, which is 1 if it "
        f"grows linearly and 0.5 with the root: as claimed if it is between {low} and {high}.",
        ends, 12, arms,
        [
            Measure("slope of the log of the best rate over the log of the batch", low),
            Measure(f"what is missing from that slope to {high}: under it, as claimed"),
        ],
        read, chart, tuned=tuple(str(batch) for batch in GROWING),
    )  # fmt: skip


CLAIMS = (
    _growth(
        "rate-and-batch-sgd", "sgd",
        "With SGD the best learning rate grows linearly with the batch.",
        f"Goyal et al. 2017, arXiv:1706.02677, in {TAIWAN}", places(0.005, 5.0, 11), (0.75, 1.25),
    ),
    _growth(
        "rate-and-batch-adam", "adam",
        "With Adam the best learning rate grows with the square root of the batch.",
        f"the root in {TAIWAN}, after Hoffer et al. 2017; for Adam Malladi et al. 2022, "
        "arXiv:2205.10287", places(2e-4, 0.2, 11), (0.25, 0.75),
    ),
)  # fmt: skip
