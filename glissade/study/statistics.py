"""The statistics of a comparison, from numbers alone. Less is better throughout, and a run that
was lost is `inf`: worse than any, never left out.

The decision rule, stated once: two optimizers differ if a sign-flip permutation test over their
pairs (the same fresh seed) rejects at 5 %, two-sided, after Holm's adjustment for all pairs of
optimizers in the comparison. Its statistic is the sum of signed ranks, so that one lost run weighs
no more than one pair. Pairs are dealt out over independent tuning studies, so that the luck of
tuning is part of the spread; tests/study/test_false_alarms.py measures how often equals are
declared different.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

LEVEL = 0.05
RESAMPLES = 9999
DIGITS = 12  # of the largest value: a difference below them is rounding
LOST = 1e300  # stands for `inf` where sums are formed


@dataclass(frozen=True)
class Interval:
    """A 95 % interval; an end is `inf` where it rests on lost runs."""

    low: float
    high: float


@dataclass(frozen=True)
class Difference:
    """How one optimizer compares with another: negative means `one` is better."""

    one: str
    other: str
    each: tuple[float, ...]  # a pair's difference, by seed
    typical: float  # Hodges and Lehmann's estimate: the median of all means of two
    signed: float  # sum of signed ranks, which the test is of: its sign says who is better
    interval: Interval | None  # paired BCa bootstrap; None with a single pair
    p: float
    adjusted: float  # Holm's

    @property
    def found(self) -> bool:
        return self.adjusted < LEVEL

    @property
    def better(self) -> str | None:
        """Which of the two, if a difference is found."""
        if not self.found:
            return None
        return self.one if self.signed < 0 else self.other  # `typical` may be 0, with many ties


def paired(one: Sequence[float], other: Sequence[float]) -> np.ndarray:
    """Differences by pair; two lost runs are a tie.

    What is smaller than rounding is cut off: 100·(1 − 351/360) − 2.5 is a tie with 0, and equal
    differences have equal ranks.
    """
    a, b = np.asarray(one, float), np.asarray(other, float)
    if a.shape != b.shape:
        raise ValueError(f"{len(a)} and {len(b)} values are no pairs")
    same = np.isinf(a) & (a == b)
    found = np.where(same, 0.0, np.where(same, 0.0, a) - np.where(same, 0.0, b))
    values = np.abs(np.concatenate([a, b]))
    scale = float(values[np.isfinite(values)].max(initial=0.0))
    if scale > 0:
        unit = 10.0 ** (math.floor(math.log10(scale)) - DIGITS)
        found = np.round(found / unit) * unit
    return found


def signed_rank(differences: np.ndarray, axis: int = -1) -> np.ndarray:
    """Sum of the ranks of |d| with the signs of d; ties share their ranks' mean."""
    from scipy.stats import rankdata

    ranks = rankdata(np.abs(differences), axis=axis)
    return np.asarray(np.sum(np.sign(differences) * ranks, axis=axis))


def permutation(differences: Sequence[float] | np.ndarray) -> float:
    """The exact two-sided p of a sign-flip test: the share of all 2ⁿ sign patterns whose sum of
    signed ranks is as far from 0.

    Counted rank by rank, for any number of pairs; ties and zeros have their mean ranks, of which
    those of zeros are never signed (Pratt 1959).
    """
    from scipy.stats import rankdata

    d = np.asarray(differences, float)
    doubled = np.rint(2 * rankdata(np.abs(d))).astype(int)  # whole numbers, ties too
    signs = np.sign(d).astype(int)
    most = int(doubled.sum())
    shares = np.zeros(2 * most + 1)  # of the patterns, by their sum
    shares[most] = 1.0
    for rank in doubled[signs != 0]:
        shares = (np.roll(shares, rank) + np.roll(shares, -rank)) / 2
    observed = abs(int((signs * doubled).sum()))
    far = np.abs(np.arange(-most, most + 1)) >= observed
    return float(min(1.0, shares[far].sum()))


def least_p(pairs: int) -> float:
    """The least p that so many pairs can give."""
    return 2.0 ** (1 - pairs)


def fewest_pairs(comparisons: int) -> int:
    """Pairs from which on a difference can be declared at all, among so many comparisons."""
    return math.floor(1 + math.log2(comparisons / LEVEL)) + 1


def holm(ps: Sequence[float]) -> list[float]:
    """Adjusted p-values, in the order given (Holm 1979)."""
    order = sorted(range(len(ps)), key=lambda i: ps[i])
    adjusted, most = [0.0] * len(ps), 0.0
    for place, i in enumerate(order):
        most = max(most, min(1.0, (len(ps) - place) * ps[i]))
        adjusted[i] = most
    return adjusted


def hodges_lehmann(values: np.ndarray, axis: int = -1) -> np.ndarray:
    """The median of the means of all pairs of values, each with itself too."""
    x = np.moveaxis(np.asarray(values, float), axis, -1)
    i, j = np.triu_indices(x.shape[-1])
    return np.asarray(np.median((x[..., i] + x[..., j]) / 2, axis=-1))


def bootstrap(values: Sequence[float] | np.ndarray, seed: int = 0) -> Interval | None:
    """The 95 % BCa interval of Hodges and Lehmann's estimate; None for a single value.

    Where all resamples agree, the interval is that one value.
    """
    from scipy import stats

    x = np.clip(np.asarray(values, float), -LOST, LOST)
    if len(x) < 2:
        return None
    if np.ptp(x) == 0:
        return Interval(_back(x[0]), _back(x[0]))
    for method in ("BCa", "percentile"):  # BCa has no value if leaving one out changes nothing
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            found = stats.bootstrap(
                (x,), hodges_lehmann, n_resamples=RESAMPLES, method=method, vectorized=True,
                rng=np.random.default_rng(seed),
            ).confidence_interval  # fmt: skip
        if not (math.isnan(found.low) or math.isnan(found.high)):
            break
    return Interval(_back(found.low), _back(found.high))


def _back(value: float) -> float:
    """`inf` again, where a lost run is in it."""
    return math.copysign(math.inf, value) if abs(value) > LOST / 1e6 else float(value)


def differences(values: Mapping[str, Sequence[float]], seed: int = 0) -> list[Difference]:
    """Every pair of optimizers, each with its values by seed, Holm-adjusted together."""
    pairs = list(combinations(values, 2))
    each = [paired(values[one], values[other]) for one, other in pairs]
    ps = [permutation(d) for d in each]
    return [
        Difference(
            one, other, tuple(float(x) for x in d),
            _back(float(hodges_lehmann(np.clip(d, -LOST, LOST)))), float(signed_rank(d)),
            bootstrap(d, seed), p, adjusted,
        )
        for (one, other), d, p, adjusted in zip(pairs, each, ps, holm(ps), strict=True)
    ]  # fmt: skip


def median(values: Sequence[float]) -> float:
    """`inf` if half of the runs or more were lost."""
    ordered = sorted(values)
    low, high = ordered[(len(ordered) - 1) // 2], ordered[len(ordered) // 2]
    return math.inf if math.isinf(high) else (low + high) / 2


def expected_best(values: Sequence[float]) -> list[float]:
    """The expected best of k trials drawn from these without repeats, for k = 1, 2, ...

    Dodge et al. 2019, arXiv:1909.03004, with Tang et al.'s correction (2020): `inf` as long as
    all of k trials may have been lost.
    """
    ordered, n = sorted(values), len(values)
    curve = []
    for k in range(1, n + 1):
        # The i-th least is the best of k if the other k - 1 are among the n - 1 - i after it.
        weights = [math.comb(n - 1 - i, k - 1) / math.comb(n, k) for i in range(n)]
        terms = [w * x for w, x in zip(weights, ordered, strict=True) if w]
        curve.append(math.fsum(terms) if not any(math.isinf(x) for x in terms) else math.inf)
    return curve


def time_to(target: float, course: Sequence[tuple[float, float]], direction: str = "min") -> float:
    """The first time at which a metric is as good as the target; `inf` if it never is."""
    for at, value in course:
        if value <= target if direction == "min" else value >= target:
            return at
    return math.inf


def profile(times: Mapping[str, Sequence[float]]) -> dict[str, list[tuple[float, float]]]:
    """Performance profiles (Dolan & Moré 2002): for each optimizer, with its times on the same
    tasks, steps (ratio to the best time, share of tasks within it). A task that nobody solves
    counts as missed by all."""
    names = list(times)
    table = np.array([times[name] for name in names], float)
    best = table.min(axis=0)
    solved = np.isfinite(best)
    found = {}
    for name, row in zip(names, table, strict=True):
        ratios = np.sort(row[solved] / best[solved])
        ratios = ratios[np.isfinite(ratios)]
        found[name] = [(float(x), (i + 1) / table.shape[1]) for i, x in enumerate(ratios)]
    return found
