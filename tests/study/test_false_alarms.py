"""How often the verdict is wrong: twins must rarely differ, and a planted difference must show.

Whole comparisons are simulated, with their tuning: a landscape in which several settings are
nearly as good as the best, which is where the luck of tuning is largest, and noise as large as
what is planted. Seeds are independent for the two names, which is harder than the pairs of a real
comparison.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import pytest

from glissade.study.design import RunKey
from tests.study import simulated

COMPARISONS = 200


def landscape(simulation: int, planted: float, steep: float) -> simulated.Landscape:
    """Quality in standard deviations: a bowl in log lr and log decay, and noise."""

    def value(key: RunKey, values: Mapping[str, float]) -> float:
        bowl = 0.0
        if key.trial >= 0:
            lr = math.log10(values["lr"]) + 2.5  # 3 decades wide, the middle best
            decay = math.log10(values["weight_decay"]) + 4  # 4 decades
            bowl = steep * ((lr / 3) ** 2 + (decay / 4) ** 2)
        behind = planted if key.arm == "adam" else 0.0
        return 10 + bowl + behind + simulated.noise(simulation, key)

    return value


def declared(planted: float, *steep: float, count: int = COMPARISONS, **asked: int) -> float:
    """The share of comparisons in which a difference is declared; landscapes take turns."""
    found = 0
    for simulation in range(count):
        analysis = simulated.compare(
            landscape(simulation, planted, steep[simulation % len(steep)]),
            optimizers=simulated.TWINS,
            seed=simulation,
            **asked,
        )
        (difference,) = analysis.tasks[0].differences
        assert ("No difference" in analysis.tasks[0].verdict) != difference.found
        found += difference.found
    return found / count


def test_twins_are_declared_different_in_at_most_7_percent() -> None:
    """From a plain to a gorge; near 30 the luck of tuning is largest."""
    assert declared(0.0, 0.0, 10.0, 20.0, 30.0, 50.0) <= 0.07


def test_a_planted_difference_of_one_deviation_is_found_in_most() -> None:
    """Of one standard deviation of the pairs' differences: √2 of a single run's."""
    assert declared(math.sqrt(2), 30.0, count=100) > 0.6


@pytest.mark.slow
def test_twins_where_the_luck_of_tuning_is_largest() -> None:
    assert declared(0.0, 30.0, count=1000) <= 0.07


@pytest.mark.slow
def test_one_deviation_of_a_single_run_is_found_in_most() -> None:
    assert declared(1.0, 30.0) > 0.5
    assert declared(1.0, 30.0, seeds=16) > 0.6
