"""The scoring code against cases worked by hand."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from glissade.study import statistics
from glissade.study.statistics import Interval

INF = math.inf


def test_pairs_with_lost_runs() -> None:
    found = statistics.paired([1.0, INF, 2.0, INF], [3.0, 1.0, INF, INF])
    assert found.tolist() == [-2.0, INF, -INF, 0.0]
    # 9, 10 and 11 of 360 wrong, in percent: equal steps, equal differences, no dust
    one, two, three = (100 * (1 - right / 360) for right in (351, 350, 349))
    found = statistics.paired([one, two, three, one], [two, three, two, one])
    assert found[0] == found[1] == -found[2]
    assert found[3] == statistics.paired([one], [2.5])[0] == 0
    with pytest.raises(ValueError, match="no pairs"):
        statistics.paired([1.0], [1.0, 2.0])


def test_signed_ranks_by_hand() -> None:
    # |d| = 1, 2, 2, 5: ranks 1, 2.5, 2.5, 4; signs + - + +
    assert float(statistics.signed_rank(np.array([1.0, -2.0, 2.0, 5.0]))) == 1 - 2.5 + 2.5 + 4


@pytest.mark.parametrize(
    ("d", "p"),
    [
        ([1, 1, 1, 1, 1], 2 / 32),  # only all signs alike are as far out
        ([1, 2, 3, -4], 14 / 16),  # |sum of signed ranks| is 2; only 4 of 16 have 0
        ([1, 2, 3, 4, INF], 2 / 32),  # a lost run is one pair, however far it is
        ([0, 0, 0], 1.0),
        ([-1], 1.0),
    ],
)
def test_permutation_by_hand(d: list[float], p: float) -> None:
    if d == [1, 2, 3, -4]:  # counted out, to be sure of the hand
        sums = [abs(sum(s * r for s, r in zip(signs, (1, 2, 3, 4), strict=True)))
                for signs in itertools.product((1, -1), repeat=4)]  # fmt: skip
        p = sum(x >= 2 for x in sums) / 16
    assert statistics.permutation(d) == pytest.approx(p)


@given(st.lists(st.integers(-3, 3), min_size=2, max_size=9))
@settings(max_examples=40, deadline=None)
def test_the_count_is_that_of_all_patterns(d: list[int]) -> None:
    from scipy.stats import permutation_test

    expected = permutation_test(
        (np.array(d, float),), statistics.signed_rank, permutation_type="samples",
        vectorized=True, n_resamples=np.inf,
    ).pvalue  # fmt: skip
    assert statistics.permutation(d) == pytest.approx(float(expected))


def test_many_pairs_are_still_exact() -> None:
    """So that hundreds of comparisons, too, can be told apart."""
    for n in (20, 60, 300):
        assert statistics.permutation(np.linspace(0.1, 2, n)) == pytest.approx(2.0 ** (1 - n))


def test_who_is_better_with_many_ties() -> None:
    """6 pairs of 21 are better and none is worse: p = 2/64, and the typical difference is 0."""
    (one,) = statistics.differences({"a": [0.0] * 6 + [1.0] * 15, "b": [1.0] * 21})
    assert (one.typical, one.p, one.better) == (0.0, 2 / 64, "a")


def test_how_many_pairs_are_needed() -> None:
    for comparisons in (1, 3, 6, 21):
        n = statistics.fewest_pairs(comparisons)
        assert comparisons * statistics.least_p(n) < 0.05 <= comparisons * statistics.least_p(n - 1)
    assert (statistics.fewest_pairs(1), statistics.fewest_pairs(6)) == (6, 8)


def test_holm_by_hand() -> None:
    # sorted 0.01, 0.03, 0.04: times 3, 2, 1, and never falling
    assert statistics.holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert statistics.holm([0.6, 0.7]) == [1.0, 1.0]
    assert statistics.holm([]) == []


def test_hodges_lehmann_by_hand() -> None:
    # means of two of 1, 2, 4: 1, 1.5, 2, 2.5, 3, 4
    assert float(statistics.hodges_lehmann(np.array([1.0, 2.0, 4.0]))) == 2.25


def test_bootstrap_covers_and_degenerates() -> None:
    assert statistics.bootstrap([3.0]) is None
    assert statistics.bootstrap([2.0] * 5) == Interval(2.0, 2.0)
    assert statistics.bootstrap([INF] * 5) == Interval(INF, INF)
    found = statistics.bootstrap([0.0] * 5 + [INF] * 5)
    assert found is not None
    assert found.low < INF == found.high
    rng = np.random.default_rng(0)
    intervals = [statistics.bootstrap(rng.normal(1.0, 1.0, size=12), seed) for seed in range(120)]
    covered = np.mean([x is not None and x.low <= 1.0 <= x.high for x in intervals])
    assert 0.85 <= covered <= 1.0


def test_differences_of_three() -> None:
    values = {"a": [1.0, 2, 3, 4, 5, 6, 7, 8], "b": [2.0, 3, 4, 5, 6, 7, 8, INF], "c": [9.0] * 8}
    ab, ac, bc = statistics.differences(values)
    assert (ab.one, ab.other, ab.typical) == ("a", "b", -1.0)
    assert ab.interval is not None
    assert ab.interval.high == -1.0
    assert ab.p == 2 / 256
    assert ab.adjusted == pytest.approx(3 * 2 / 256)
    assert ab.found
    assert ab.better == "a"
    assert ac.better == "a"
    assert not bc.found
    assert bc.better is None


def test_median_counts_lost_runs() -> None:
    assert statistics.median([1.0, 3.0, INF]) == 3.0
    assert statistics.median([1.0, INF]) == INF
    assert statistics.median([2.0, 1.0, 4.0, 3.0]) == 2.5


def test_expected_best_by_hand() -> None:
    # of two out of 1, 2, 3: {1,2} {1,3} {2,3}: least 1, 1, 2
    assert statistics.expected_best([3.0, 1.0, 2.0]) == pytest.approx([2.0, 4 / 3, 1.0])
    assert statistics.expected_best([INF, 1.0]) == [INF, 1.0]


@given(st.lists(st.floats(-5, 5), min_size=1, max_size=7))
@settings(max_examples=30, deadline=None)
def test_expected_best_is_the_mean_over_all_draws(values: list[float]) -> None:
    for k, found in enumerate(statistics.expected_best(values), 1):
        every = [min(draw) for draw in itertools.combinations(values, k)]
        assert found == pytest.approx(sum(every) / len(every), abs=1e-9)


def test_time_to_target() -> None:
    course = [(1, 0.9), (2, 0.5), (3, 0.4), (4, 0.6)]
    assert statistics.time_to(0.5, course) == 2
    assert statistics.time_to(0.3, course) == INF
    assert statistics.time_to(0.7, course, "max") == 1


def test_profiles_by_hand() -> None:
    found = statistics.profile({"a": [1, 4, INF, INF], "b": [2, 2, 3, INF]})
    assert found == {"a": [(1.0, 0.25), (2.0, 0.5)], "b": [(1.0, 0.25), (1.0, 0.5), (2.0, 0.75)]}
