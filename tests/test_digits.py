"""Numbers that are used as they are shown: rounded, and still different and in their range."""

from __future__ import annotations

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import assume, given

from glissade.digits import log_spaced, rounded
from glissade.study.space import Dimension, searched

ends = st.floats(1e-8, 1e6)
narrow = st.floats(1e-9, 3.0)  # the width of a range, over its lower end


@given(low=ends, width=narrow, log=st.booleans(), count=st.integers(2, 16))
def test_a_narrow_range_has_as_many_values_as_places(
    low: float, width: float, log: bool, count: int
) -> None:
    """between(.9999, .99995) was one value in 16 places, uniform(.999, .99999) ended at 1.0."""
    high = low * (1 + width)
    assume(low < high)
    one = Dimension("x", low, high, log)
    shares = np.linspace(0, 1, count)
    values = [one.at(float(share)) for share in shares]
    assert all(low <= value <= high for value in values)
    assert values == sorted(set(values))
    for value, share in zip(values, shares, strict=True):
        assert one.share(value) == pytest.approx(share, abs=2e-3)


@pytest.mark.parametrize(
    ("dimension", "share", "value"),
    [
        (Dimension("lr", 1e-4, 0.1), 0.5, 0.003162),
        (Dimension("lr", 3e-4, 3e-2), 0.1, 0.0004755),
        (Dimension("momentum", 0.8, 0.99, False), 1 / 3, 0.8633),
        (Dimension("beta", 0.999, 0.99999, False), 1.0, 0.99999),
        (Dimension("beta", 0.9999, 0.99995), 0.5, 0.99992500),
        (Dimension("x", -1.0, 1.0, False), 0.25, -0.5),
    ],
)
def test_values_have_as_few_digits_as_their_range_allows(
    dimension: Dimension, share: float, value: float
) -> None:
    assert dimension.at(share) == value


def test_two_narrow_ranges_are_not_named_alike() -> None:
    both = "adam(eps=between(0.99999991, 0.99999999)), adam(eps=between(0.99999991, 0.99999998))"
    assert len({one.spec.label for one in searched(both)}) == 2


@given(low=ends, width=st.floats(1e-9, 1e6), count=st.integers(2, 30))
def test_no_two_of_a_grid_are_the_same(low: float, width: float, count: int) -> None:
    high = low * (1 + width)
    assume(low < high)
    found = log_spaced(low, high, count)
    assert found == sorted(set(found))
    assert all(low <= x <= high for x in found)
    assert found == pytest.approx(np.geomspace(low, high, count).tolist(), rel=5e-3)


def test_a_wide_grid_has_three_digits() -> None:
    assert log_spaced(1e-4, 1.0, 4) == [1e-4, 0.00215, 0.0464, 1.0]
    assert log_spaced(0.1, 0.1, 2) == [0.1, 0.1]
    assert rounded(0.123456, 0.1, 1.0, 3) == 0.123
