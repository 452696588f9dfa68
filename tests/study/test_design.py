"""A comparison is decided before it runs, and is the same for every optimizer."""

from __future__ import annotations

import dataclasses
import json
import math
from typing import Any

import numpy as np
import pytest

from glissade import registry
from glissade.study import design, space
from glissade.study.design import Plan, RunKey, RunResult, Settings
from glissade.study.loading import load
from tests.study.simulated import result

TASK = "tests/study/tiny.py"


def plan(**asked: Any) -> Plan:
    usual = {"tasks": (TASK,), "optimizers": "momentum, adam", "trials": 4, "seeds": 4}
    return Plan(Settings(**{**usual, **asked}), (load(TASK),))


def runs(made: Plan, keys: list[RunKey], quality: Any) -> list[RunResult]:
    return [result(made.job(key), quality(key)) for key in keys]


def test_trials_are_equal_and_from_one_table() -> None:
    made = plan()
    keys = made.tuning()
    assert len(keys) == 2 * 3 * 4 == len(set(keys))
    for study in range(3):
        points = made.tables[study]
        for arm in made.arms:
            own = [k for k in keys if (k.arm, k.study) == (arm.name, study)]
            assert [k.trial for k in own] == [0, 1, 2, 3]
            lr = arm.searched.dimensions[0]
            assert [made.values(k)["lr"] for k in own] == [lr.at(x) for x in points[:, 0]]
    assert not np.array_equal(made.tables[0], made.tables[1])
    again = plan()
    assert made.hash == again.hash
    assert made.hash != plan(seed=1).hash
    assert json.loads(json.dumps(made.record)) == json.loads(json.dumps(again.record))


def test_runs_are_paired_and_fresh_seeds_are_fresh() -> None:
    made = plan()
    tuned = runs(made, made.tuning(), lambda k: k.trial)
    choices = made.choices(tuned, 4)
    final, default = made.finals(choices), made.defaults()
    jobs = [made.job(key) for key in [*made.tuning(), *final, *default]]
    starts: dict[tuple[str, int, int, int], set[tuple[int, int]]] = {}
    for job in jobs:
        at = job.key
        of = ("fresh", 0, 0, at.seed) if job.test else ("tune", at.study, at.trial, at.seed)
        starts.setdefault(of, set()).add(job.seeds)
    assert all(len(seeds) == 1 for seeds in starts.values())  # the same for every optimizer
    assert len({next(iter(seeds)) for seeds in starts.values()}) == len(starts)
    assert {key.seed: key.study for key in final} == {0: 0, 1: 1, 2: 2, 3: 0}
    assert all(job.test == (job.key.phase in ("final", "default")) for job in jobs)
    assert [made.job(key).optimizer for key in default[:2]] == ["momentum", "adam"]


def test_the_best_are_confirmed_and_the_best_mean_is_chosen() -> None:
    made = plan(optimizers="adam", studies=1)
    first = {0: 5.0, 1: 1.0, 2: 2.0, 3: 3.0}
    tuned = runs(made, made.tuning(), lambda k: first[k.trial])
    keys = made.confirming(tuned, 4)
    assert {k.trial for k in keys} == {1, 2, 3}
    assert len(keys) == 3 * design.CONFIRMING
    again = runs(made, keys, lambda k: {1: 9.0, 2: 2.0, 3: 3.0}[k.trial])  # 1 was lucky
    (choice,) = made.choices([*tuned, *again], 4)
    assert (choice.trial, choice.quality) == (2, 2.0)


def test_a_trial_that_was_lost_once_is_out() -> None:
    made = plan(optimizers="adam", studies=1)
    tuned = runs(made, made.tuning(), lambda k: float(k.trial))
    again = runs(made, made.confirming(tuned, 4), lambda k: math.inf if k.trial == 0 else k.trial)
    assert made.choices([*tuned, *again], 4)[0].trial == 1
    lost = runs(made, made.tuning(), lambda k: math.inf)
    assert made.confirming(lost, 4) == []
    (choice,) = made.choices(lost, 4)
    assert choice.trial is None
    assert made.finals([choice]) == []


def test_more_is_better_if_the_task_says_so() -> None:
    made = plan(optimizers="adam", studies=1)
    task = dataclasses.replace(made.tasks[0], task=type("Up", (), {"direction": "max"})())
    up = dataclasses.replace(made, tasks=(task,))
    assert up.choices(runs(made, made.tuning(), lambda k: float(k.trial)), 4)[0].trial == 3


def test_schedules_make_arms() -> None:
    made = plan(optimizers="sgd, adam @ linear(10)", schedules="constant, cosine")
    assert [arm.name for arm in made.arms] == ["sgd", "sgd @ cosine", "adam @ linear(10)"]
    key = RunKey(TASK, "sgd @ cosine", "default", 0, -1, 0)
    assert made.job(key).optimizer == "sgd @ cosine(32)"  # 4 epochs of 8 batches
    assert len({arm.label for arm in made.arms}) == 3


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"trials": 0}, "trials must be at least 1"),
        ({"seeds": 2}, "2 seeds cannot be dealt out over 3 studies"),
        ({"epochs": 1, "steps": 1}, "not both"),
        ({"steps": 0}, "steps must be at least 1"),
        ({"batch": 0}, "batch must be"),
        ({"target": math.nan}, "target must be a number"),
        ({"tasks": ("digits", "digits")}, "name each once"),
        ({"optimizers": "adamm"}, "adam"),
        ({"optimizers": "adam, adam"}, "twice"),
        ({"optimizers": "adam(lr=between(1, 0))"}, "the lower first"),
        ({"optimizers": "adam(lr=between(1))"}, "two numbers"),
        ({"optimizers": "adam(eta=between(1, 2))"}, "'eta'"),
        ({"schedules": "cosine(40)"}, "names alone"),
        ({"schedules": "cosin"}, "cosin"),
    ],
)
def test_bad_settings(asked: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        plan(**asked).arms  # noqa: B018


def test_spaces() -> None:
    (adamw,) = space.searched("adamw")
    assert [d.name for d in adamw.dimensions] == ["lr", "weight_decay"]
    assert (adamw.dimensions[0].low, adamw.dimensions[0].high) == registry.lookup("adamw").lr_range
    (fixed,) = space.searched("lookahead(adamw(lr=0.01, weight_decay=0), k=3)")
    assert fixed.dimensions == ()
    assert space.written(fixed.spec, {}) == "lookahead(adamw(lr=0.01, weight_decay=0), k=3)"
    (more,) = space.searched("sgd(momentum=uniform(0.5, 0.9), lr=between(0.1, 1))")
    assert [str(d) for d in more.dimensions] == [
        "between(0.1, 1)", "between(1e-06, 0.01)", "uniform(0.5, 0.9)",
    ]  # fmt: skip
    assert more.settings([0.5, 0.5, 0.5]) == {"lr": 0.3162, "weight_decay": 1e-4, "momentum": 0.7}


def test_edges() -> None:
    lr = space.Dimension("lr", 1e-4, 1e-1)
    assert (lr.edge(1e-4), lr.edge(3e-3), lr.edge(0.09)) == ("lowest", None, "highest")
    assert space.Dimension("weight_decay", 1e-6, 1e-2).edge(1e-6) is None


def test_every_row_has_a_space_that_it_allows() -> None:
    for name in registry.names():
        (one,) = space.searched(name)  # both ends of each range are tried on the optimizer
        assert one.dimensions, name
