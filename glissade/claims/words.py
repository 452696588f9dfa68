"""Numbers of claims as pictures and the page write them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeGuard

MOST = 1e100  # what is further off rests on lost runs


def number(x: float, digits: int = 3) -> str:
    """With a true minus sign: ``0.0123``, ``−4.5``, ``12,300``, ``1.2e−5``."""
    rounded = float(f"{x:.{digits}g}") or 0.0  # no −0
    mantissa, e, power = f"{rounded:,.6g}".partition("e")
    return (mantissa + (f"e{int(power)}" if e else "")).replace("-", "−")


def result(typical: float | None, ends: Sequence[float | None], verdict: str) -> str:
    """A value and its interval; None, or a number without bound, is what lost runs make of them."""
    low, high = ends
    # Which side a lost end is on: the lower one is above all numbers only if the whole interval is.
    below = number(low) if finite(low) else "∞" if verdict == "reproduced" else "−∞"
    above = number(high) if finite(high) else "−∞" if verdict == "not reproduced" else "∞"
    if finite(typical):
        said = number(typical)
    elif (below, above) == ("−∞", "∞"):
        said = "lost runs"
    else:
        said = above if above == "∞" else "−∞"
    return f"{said} ({below} to {above})"


def measured(
    typical: float | None,
    ends: Sequence[float | None],
    verdict: str,
    threshold: float,
    values: int,
    base: float | None = None,
) -> str:
    """A part's result, with its interval if it is of several values, its threshold, and the factor
    that a logarithm stands for."""
    said = result(typical, ends, verdict)
    factor = ""
    if base is not None and finite(typical):
        factor = f", a factor of {number(base**typical)}"
        if values > 1 and finite(ends[0]) and finite(ends[1]):
            factor += f" ({number(base ** ends[0])} to {number(base ** ends[1])})"
    if values == 1:
        said = said.partition(" (")[0]
    return said + factor + (f", threshold {number(threshold)}" if threshold else "")


def finite(x: float | None) -> TypeGuard[float]:
    """Whether it is a number that no lost run has a part in."""
    return x is not None and abs(x) < MOST


def edges(names: Sequence[str]) -> str:
    """What a best setting at an end of what was tried means; "" if there is none."""
    if not names:
        return ""
    listed = " and ".join([", ".join(names[:-1]), names[-1]] if names[1:] else names)
    each = "lies at an end of its range" if len(names) == 1 else "lie at an end of their ranges"
    return (
        f"The best setting{'s' if names[1:] else ''} of {listed} {each}: a better one may lie "
        "beyond, so nothing is concluded."
    )
