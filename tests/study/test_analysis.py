"""What is said of a comparison, against cases worked by hand."""

from __future__ import annotations

import io
import json
import math
from collections.abc import Mapping
from typing import Any

import pytest
from rich.console import Console

from glissade.study import table
from glissade.study.analysis import Analysis
from glissade.study.design import RunKey
from glissade.study.units import Units, digits, seconds, size
from tests.study import simulated


def made(values: Mapping[str, Mapping[int, float]], **asked: Any) -> Analysis:
    """A comparison whose fresh seeds have these test values; every trial is worth 3."""

    def landscape(key: RunKey, settings: Mapping[str, float]) -> float:
        if key.phase == "final":
            return values[key.arm][key.seed]
        return 5.0 if key.phase == "default" else 3.0

    usual = {"optimizers": ", ".join(values), "trials": 2, "studies": 1}
    return simulated.compare(landscape, **{**usual, **asked})


def by_seed(*values: float) -> dict[int, float]:
    return dict(enumerate(values))


CLEAR = {
    "adam": by_seed(1, 2, 3, 4, 5, 6, 7, 8),
    "lion": by_seed(2, 3, 4, 5, 6, 7, 8, 9),
}


def test_a_winner() -> None:
    analysis = made(CLEAR, seeds=8)
    (task,) = analysis.tasks
    assert [row.label for row in task.rows] == ["Adam", "Lion"]
    assert [row.test for row in task.rows] == [4.5, 5.5]
    assert [row.default for row in task.rows] == [5.0, 5.0]
    assert task.verdict == (
        "Adam won: its error, 4.50 %, is 1.00 points lower than Lion's (95 % interval 1.00 to "
        "1.00, adjusted p = 0.0078)."
    )
    behind = task.between("lion", "adam")
    assert (behind.typical, behind.better) == (1.0, "adam")
    assert json.dumps(analysis.record(), allow_nan=False)


def test_too_few_seeds_are_told() -> None:
    values = {"adam": by_seed(1, 2, 3, 4, 5), "lion": by_seed(9, 9, 9, 9, 9)}
    (task,) = made(values, seeds=5).tasks
    assert task.verdict == (
        "No difference detected, nor could one be: 1 comparison need 6 seeds or more, and there "
        "are 5."
    ).replace("comparison need", "comparison needs")
    (said, *_) = made(values, seeds=5).caveats
    assert said.startswith("5 seeds cannot show a difference among 1 comparison")


def test_pairs_before_medians() -> None:
    """Better in every pair, and the verdict says so, though a median may be in another order."""
    adam = by_seed(1, 1, 1, 1, 9, 9, 9, 9, 9, 9)
    lion = by_seed(2, 2, 2, 2, 9.5, 9.5, 9.5, 9.5, 9.5, 9.5)
    (task,) = made({"lion": lion, "adam": adam}, seeds=10).tasks
    assert task.rows[0].label == "Adam"
    assert task.verdict.startswith("Adam won")


def test_lost_runs_are_worse_than_any() -> None:
    lost = by_seed(1, math.inf, 1, math.inf, 1, math.inf, 1, math.inf)
    analysis = made({"adam": by_seed(*[2.0] * 8), "lion": lost}, seeds=8)
    (task,) = analysis.tasks
    lion = task.row("lion")
    assert (lion.test, lion.runs_lost, lion.runs) == (None, 4, 8)
    assert any("Lion diverged in 4 of 8 fresh seeds" in line for line in analysis.caveats)
    assert task.rows[0].label == "Adam"
    assert "No difference" in task.verdict


def test_an_optimizer_whose_trials_all_diverge() -> None:
    def landscape(key: RunKey, settings: Mapping[str, float]) -> float:
        return math.inf if key.arm == "lion" else 1.0 + simulated.noise(0, key)

    analysis = simulated.compare(landscape, optimizers="lion, adam", trials=2, studies=2, seeds=6)
    (task,) = analysis.tasks
    lion = task.row("lion")
    assert (lion.runs_lost, lion.trials_lost, lion.test) == (6, 4, None)
    assert [x.trial for x in lion.chosen] == [None, None]
    assert task.verdict.startswith("Adam won")
    assert json.dumps(analysis.record(), allow_nan=False)


def test_three_of_which_two_are_level() -> None:
    values = {
        "adam": by_seed(1, 2, 1, 2, 1, 2, 1, 2, 1, 2),
        "radam": by_seed(2, 1, 2, 1, 2, 1, 2, 1, 2, 1),
        "lion": by_seed(*[9.0] * 10),
    }
    (task,) = made(values, seeds=10).tasks
    assert task.verdict == (
        "No difference detected between Adam and RAdam (typically 0 points apart, 95 % interval "
        "−1.00 to 1.00, adjusted p = 1); both beat Lion."
    )


def test_the_target_is_known_before_the_last_runs() -> None:
    (task,) = made(CLEAR, seeds=8).tasks
    assert task.target == 3.0  # what tuning reached; the course is v + 1, then v
    assert task.row("adam").reached == 3  # the seeds of 1, 2 and 3
    assert task.row("adam").steps_to_target is None
    (task,) = made(CLEAR, seeds=8, target=8.0).tasks
    assert task.row("adam").reached == 8
    assert task.row("lion").reached == 7
    assert task.row("adam").times_to_target == (200, 200, 200, 200, 200, 200, 200, 400)


def test_the_table_has_the_same_numbers() -> None:
    analysis = made(CLEAR, seeds=8)
    out = io.StringIO()
    Console(file=out, width=130).print(table.table(analysis.tasks[0], 130))
    said = " ".join(out.getvalue().split())
    assert "Adam 4.50" in said
    assert "Lion 5.50 1.00 [1.00, 1.00] 0.0078 5.00" in said


def test_profiles_from_four_tasks_on() -> None:
    def landscape(key: RunKey, settings: Mapping[str, float]) -> float:
        return 1.0 if key.arm == "adam" else 2.0

    texts = ("digits", "breast_cancer", "diabetes", "sparse")
    analysis = simulated.compare(
        landscape, tasks=texts, optimizers="adam, lion", trials=1, studies=1, seeds=6, target=1.5
    )
    assert analysis.profiles == {"adam": [(1.0, x / 4) for x in (1, 2, 3, 4)], "lion": []}
    assert simulated.compare(
        landscape, tasks=texts[:3], optimizers="adam, lion", trials=1, studies=1, seeds=6
    ).profiles is None  # fmt: skip


@pytest.mark.parametrize(
    ("x", "said"),
    [(0, "0"), (0.000123, "0.000123"), (1e-7, "1.00e-07"), (3.14159, "3.14"), (31.41, "31.4"),
     (314.1, "314"), (31415.9, "31,416"), (-0.5, "-0.5"), (2e9, "2.00e+09")],
)  # fmt: skip
def test_numbers_are_short(x: float, said: str) -> None:
    assert digits(x) == said


def test_units() -> None:
    assert (seconds(0.44), seconds(75), seconds(200), seconds(7500)) == (
        "0.4 s", "75 s", "3 min 20 s", "2 h 5 min",
    )  # fmt: skip
    assert (size(48), size(137856), size(3 * 2**30)) == ("48 B", "135 KiB", "3.00 GiB")
    up = Units.of("PSNR, dB", "max")
    assert (up.name, up.unit, up.less(3.0), up.back(-3.0)) == ("PSNR", "dB", -3.0, 3.0)
    assert (up.less(None), up.median([1.0, None, None])) == (math.inf, None)
    assert Units.of("loss", "min").value(2.0) == "2.00"
    assert Units.of("error, %", "min").amount(-0.5) == "0.5 points"


def test_one_noisy_leader_does_not_hide_what_is_sure() -> None:
    """A is not told apart from B or C, and B beats C all the same."""
    values = {
        "adam": by_seed(1, 9, 1, 9, 1, 9, 1, 9, 1, 9),
        "radam": by_seed(*[5.0] * 10),
        "lion": by_seed(*[5.5] * 10),
    }
    (task,) = made(values, seeds=10).tasks
    assert task.between("radam", "lion").better == "radam"
    assert "RAdam beats Lion" in task.verdict
    assert "between Adam, RAdam and Lion" not in task.verdict


def test_ranges_are_seen_in_the_table() -> None:
    """Brackets are no markup there; and one optimizer may have two ranges."""
    text = "adam(lr=between(1e-3, 1e-2)), adam(lr=between(1e-2, 1e-1))"
    analysis = simulated.compare(
        lambda key, settings: 1.0, optimizers=text, trials=1, studies=1, seeds=6
    )
    out = io.StringIO()
    Console(file=out, width=160).print(table.table(analysis.tasks[0], 160))
    assert "[lr=between(0.001, 0.01)]" in out.getvalue()
    assert "[lr=between(0.01, 0.1)]" in out.getvalue()


def test_a_run_that_diverged_ends_where_it_did() -> None:
    from glissade.study.analysis import _curve
    from glissade.study.design import Job

    key = RunKey("digits", "adam", "final", 0, 0, 0)
    job = Job(key, "adam", None, 1000, 1, (0, 0), True, None)
    from dataclasses import replace

    lost = replace(simulated.result(job, math.inf), losses=(1.0, 2.0), diverged_at=12)
    assert _curve(lost).loss_steps == (5, 10)
