"""The numbers that claims are read from, against values worked out by hand."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest

from glissade.claims import readings, schedules, sophia, variants
from glissade.claims.decay import matched
from glissade.study.design import Job, RunKey, RunResult
from tests.study import simulated


def run(value: float, seed: int = 0, arm: str = "a|0", **more: object) -> RunResult:
    job = Job(RunKey("digits", arm, "final", 0, 0, seed), "sgd", None, 100, 4, (0, 0), True, None)
    return dataclasses.replace(simulated.result(job, value), **more)  # type: ignore[arg-type]


def arms(**values: list[float]) -> dict[str, list[RunResult]]:
    return {
        name.replace("_", "|"): [run(x, seed) for seed, x in enumerate(each)]
        for name, each in values.items()
    }


def test_families_are_of_whole_names() -> None:
    runs = arms(lion_16_0=[1], lion_16_1=[2], lion_160_0=[0], lions_0=[0])
    assert readings.family(runs, "lion|16") == ["lion|16|0", "lion|16|1"]
    assert readings.best(runs, "lion|16") == "lion|16|0"
    assert readings.edges(runs, ["lion|16"]) == ["lion|16"]


def test_ties_of_medians_go_to_the_least_mean() -> None:
    runs = arms(a_0=[2, 2, 9], a_1=[2, 2, 1], a_2=[2, 2, math.inf], a_3=[1, 3, 3])
    assert readings.best(runs, "a") == "a|1"
    assert readings.edges(runs, ["a"]) == []


def test_ends_are_of_rates_and_of_the_highest_decay() -> None:
    def at(best: str) -> list[str]:
        labels = [f"a|{i}|{j}" for i in range(3) for j in range(3)]
        runs = {label: [run(1 if label == f"a|{best}" else 2)] for label in labels}
        return readings.edges(runs, ["a"])

    assert [best for best in ("1|0", "1|1", "1|2", "0|1", "2|1", "0|0") if at(best)] == [
        "1|2", "0|1", "2|1", "0|0",
    ]  # fmt: skip


def test_the_preferred_setting_is_the_middle_of_what_ties() -> None:
    runs = arms(a_0=[3, 1, math.inf], a_1=[2, 1, 5], a_2=[2, 4, 7])
    # seed 0: 10 and 100 tie; seed 1: 1 and 10; seed 2: 10 alone, as the first was lost
    assert readings.preferred(runs, "a", [1, 10, 100]) == pytest.approx([1.5, 0.5, 1.0])


def test_slopes_are_of_each_seed() -> None:
    assert readings.slopes([[0, 1], [2, 1], [4, 1]], [0, 1, 2]) == pytest.approx([2, 0])


def test_a_lost_run_is_as_bad_as_can_be() -> None:
    runs = arms(a_0=[1, math.inf])
    assert readings.tests(runs, "a|0") == [1, math.inf]
    assert readings.losses(runs, "a|0")[1] == math.inf
    assert readings.fits(runs, "a|0") == [math.inf, math.inf]
    np.testing.assert_allclose(readings.logs(readings.table(runs, "a")), [[0, math.log(100)]])
    course = ((100, 0.1, 1.0), (200, 0.2, 1.0))
    lost = {"a|0": [run(math.inf, validation=course)]}
    assert readings.jumps(lost, "a|0") == [math.inf]


def test_spread_and_jumps() -> None:
    assert readings.spread([1, 5, 3]) == [2, 2, 0]
    assert readings.spread([math.inf, math.inf, 1]) == [0, 0, math.inf]
    course = tuple((step, 0.1, value) for step, value in ((25, 9), (50, 1), (75, 4), (100, 6)))
    runs = {"a|0": [run(6, validation=course)]}
    assert readings.jumps(runs, "a|0") == [2.0]


@pytest.mark.parametrize(
    ("losses", "tests", "other_losses", "other_tests", "apart"),
    [
        ([0.1], [2.0], [0.11, 0.5], [5.0, 9.0], 3.0),
        ([0.1, 0.4], [2.0, 2.0], [0.11, 0.5], [5.0, 9.0], 3.0),  # 0.4 has none that is alike
        ([0.1, 0.5], [2.0, 2.0], [0.11, 0.5], [5.0, 9.0], 5.0),
        ([0.1], [2.0], [1.0], [5.0], math.nan),
        ([math.inf, 0.0], [2.0, 2.0], [0.1], [5.0], math.nan),
        ([0.1], [2.0], [math.inf], [5.0], math.nan),
    ],
)
def test_runs_are_matched_by_their_loss(
    losses: list[float],
    tests: list[float],
    other_losses: list[float],
    other_tests: list[float],
    apart: float,
) -> None:
    found = matched(losses, tests, other_losses, other_tests)
    assert found == apart or (math.isnan(found) and math.isnan(apart))


def test_restarts_are_read_at_the_end_of_the_last_cycle() -> None:
    count = schedules.WHOLE // schedules.EVERY
    course = tuple((20 * (i + 1), 0.1, float(i)) for i in range(count))
    runs = {"a|0": [run(1, validation=course), run(math.inf, validation=course[:3])]}
    held = schedules.anytime(runs, "a|0", schedules.ENDS)[:, 0]
    assert list(held[:4]) == [0, 1, 2, 3]  # before there is one, as it is
    assert (set(held[4:14]), set(held[14:])) == ({4}, {14})  # of steps 100 and 300
    own = schedules.anytime(runs, "a|0")
    assert list(own[:, 0]) == list(range(count - 1))
    assert np.isinf(own[:, 1]).all()


def test_passes_to_a_loss() -> None:
    """240 steps in 120 stretches of two: a mean over ten of them is at 3.5 when ... it is."""
    losses = tuple([4.0] * 60 + [3.0] * 60)
    one = run(3, arm="sophia|0", losses=losses, steps=240)
    smooth = sophia.smooth(losses, 2)
    assert (smooth[59], smooth[64], smooth[69]) == (4, 3.5, 3)
    assert sophia.to_loss(one, 3.5, 1.1) == pytest.approx(65 * 2 * 1.1)
    worse = run(3, arm="adamw|0", losses=tuple([4.0] * 90 + [3.5] * 30), steps=240)
    found = math.log2(100 * 2 / (65 * 2 * 1.1))  # to 3.5, the last that both reach
    assert sophia.fewer(one, worse) == pytest.approx(found)
    assert sophia.fewer(worse, one) == pytest.approx(-found)
    lost = run(math.inf)
    assert [sophia.fewer(lost, one), sophia.fewer(one, lost)] == [-math.inf, math.inf]
    assert sophia.fewer(lost, lost) == 0


def test_examples_and_seconds_to_the_goal() -> None:
    course = ((10, 0.5, 30.0), (20, 1.0, 9.0), (30, 1.5, 5.0))
    runs = {"any|0": [run(5, arm="mini|0", validation=course)], "x|0": [run(5, arm="batch|3")]}
    assert variants._reached(runs, "any|0", "examples") == pytest.approx([math.log10(640)])
    assert variants._reached(runs, "any|0", "seconds") == [0.0]
    assert variants._reached(runs, "x|0", "examples") == pytest.approx([math.log10(50 * 1078)])
