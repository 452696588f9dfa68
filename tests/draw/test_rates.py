"""Who gets which learning rate, and what the caption says of it."""

from __future__ import annotations

import pytest

from glissade.draw import surfaces
from glissade.draw.rates import LONGEST, TRIALS, Rates, choose, score
from glissade.draw.trajectories import follow
from glissade.spec import Spec, specs

RAVINE = surfaces.lookup("ravine")


def test_what_lr_may_be() -> None:
    assert Rates.parse("tuned").how == "tuned"
    assert Rates.parse("0.01").how == 0.01
    for text in ("fast", "0", "-1", "nan", "inf"):
        with pytest.raises(ValueError, match="tuned, shared, or a number over 0"):
            Rates.parse(text)


def test_a_number_is_for_all_but_those_that_have_one() -> None:
    outcome = choose(RAVINE, specs("sgd, adam(lr=0.5), lion"), Rates(0.02), 5)
    assert [run.lr for run in outcome.runs] == [0.02, 0.5, 0.02]
    assert "0.02 for all, not tuned" in outcome.rule
    assert "was kept" in outcome.rule


def test_all_their_own() -> None:
    outcome = choose(RAVINE, specs("sgd(lr=0.01), adam(lr=0.5)"), Rates("tuned"), 5)
    assert outcome.rule == "Learning rates: as they were given with the optimizers, not tuned."


def test_tuned_is_the_best_of_equally_many() -> None:
    (spec,) = specs("momentum")
    outcome = choose(RAVINE, (spec,), Rates("tuned"), 60)
    (run,) = outcome.runs
    lowest = RAVINE.grid(101)[2].min().item()
    low, high = spec.lr_range
    best = score(RAVINE, run, 60, lowest)
    assert best[0] == 0
    assert run.longest <= LONGEST * RAVINE.diagonal
    for factor in (0.3, 0.55, 1.8, 3.2):  # the neighbours that were tried are no better
        other = follow(RAVINE, [(spec, run.lr * factor)], 60)[0]
        assert best <= score(RAVINE, other, 60, lowest)
    assert low / 10 < run.lr < high * 100
    assert f"best of {TRIALS}" in outcome.rule
    assert not outcome.warnings


def test_shared_is_one_for_all() -> None:
    outcome = choose(RAVINE, specs("sgd, momentum, adam, lion(lr=0.5)"), Rates("shared"), 40)
    rates = [run.lr for run in outcome.runs]
    assert len(set(rates[:3])) == 1
    assert rates[3] == 0.5
    assert "median" in outcome.rule


def test_an_edge_is_warned_of() -> None:
    hill = surfaces.lookup("plateau").placed(start=(-3.0, 2.0))
    outcome = choose(hill, specs("newton"), Rates("tuned"), 30)  # goes up, at whatever rate
    assert "lowest that was tried" in outcome.warnings[0]


def test_a_run_that_diverges_is_never_the_best() -> None:
    wild = follow(RAVINE, specs_pairs("sgd", 5.0), 20)[0]
    long = follow(RAVINE, specs_pairs("sgd", 0.15), 20)[0]
    tame = follow(RAVINE, specs_pairs("sgd", 1e-4), 20)[0]
    assert score(RAVINE, tame, 20, 0) < score(RAVINE, long, 20, 0) < score(RAVINE, wild, 20, 0)


def specs_pairs(text: str, lr: float) -> list[tuple[Spec, float]]:
    return [(spec, lr) for spec in specs(text)]
