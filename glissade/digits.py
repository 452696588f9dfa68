"""Round numbers to few digits, where they are used rounded: enough to tell them from each other."""

from __future__ import annotations

import math

import numpy as np


def rounded(value: float, low: float, high: float, digits: int, *, log: bool = True) -> float:
    """Return a value between two ends in `digits` digits, or in more where the ends are close.

    Rounding then moves it by at most a share of about 10^−digits of the range, and never out of it.
    """
    exponent = math.floor(math.log10(max(abs(low), abs(high))))
    if log:
        width = math.floor(math.log10(math.log(high / low)))
    else:
        width = math.floor(math.log10(high - low)) - exponent
    short = float(f"{value:.{min(17, digits + max(0, -width))}g}")
    return min(max(short, low), high)


def log_spaced(low: float, high: float, count: int, digits: int = 3) -> list[float]:
    """Return log-spaced numbers in few digits, no two of them the same."""
    values = np.geomspace(low, high, count).tolist()
    if not low < high:
        return [float(f"{x:.{digits}g}") for x in values]
    for more in range(digits, 18):
        found = [rounded(x, low, high, more) for x in values]
        if len(set(found)) == count:
            return found
    return found
