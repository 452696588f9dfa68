"""Claims are registered before they run, and judged by a rule that turns when labels do."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from glissade.claims import CLAIMS, base, lab, page, regrets
from glissade.claims.base import Part
from glissade.claims.picture import picture
from glissade.commands import application
from glissade.spec import specs
from glissade.study.store import StoreError
from glissade.study.tasks import BUILT_IN
from tests.study import simulated


@pytest.fixture(autouse=True)
def played(monkeypatch: pytest.MonkeyPatch) -> None:
    """Regrets made up: the first learner's fall to 0.1, the second's stay at 0.9."""

    def made_up(problem: str, learners: Any, rounds: int, seeds: int) -> Any:
        rng = np.random.default_rng(0)
        return {
            name: np.array([[1.0, last + 0.05 * rng.random()] for _ in range(seeds)])
            for name, last in zip(learners, (0.1, 0.9), strict=True)
        }

    monkeypatch.setattr(regrets, "_played", made_up)
    monkeypatch.setattr(regrets.online, "horizons", lambda rounds: (1, rounds))


def made(name: str) -> Mapping[str, Any]:
    """A claim's runs, made up, in which it is clearly so: the first of the two ends best, the
    second worst, and early in a run it is the other way round."""
    claim = CLAIMS[name]
    if claim.compute is not None:
        return claim.compute()
    registered = lab.Registered(claim)
    rng = np.random.default_rng(0)
    results = []
    for key in registered.keys:
        optimizer = key.arm.partition("|")[0]
        level = {claim.between[0]: 2.0, claim.between[1]: 8.0}.get(optimizer, 5.0)
        value = level + 0.3 * rng.random()
        own = [x for x in claim.arms if x.partition("|")[0] == optimizer]
        value += 1.0 if key.arm in (own[0], own[-1]) else 0.0  # the best lies inside of a range
        result = simulated.result(registered.job(key), value)
        course = (max(1, result.steps // 20), 0.1, 20 - value), *result.validation
        results.append(dataclasses.replace(result, validation=course))
    return lab.by_arm(results)


@pytest.mark.parametrize(
    "name", [x for x in CLAIMS if "separates" not in x and x != "adafactor-memory"]
)
def test_exchanged_labels_turn_the_verdict(name: str) -> None:
    claim = CLAIMS[name]
    runs = made(name)
    turned = base.exchanged(runs, *claim.between)
    assert {id(of) for of in runs.values()} == {id(of) for of in turned.values()}
    assert lab.judged(claim, runs).verdict == "reproduced"
    assert lab.judged(claim, turned).verdict == "not reproduced"


def test_memory_turns_too() -> None:
    claim = CLAIMS["adafactor-memory"]
    runs = {
        label: [dataclasses.replace(x, state_bytes=10 if "factor" in label else 100) for x in of]
        for label, of in made(claim.name).items()
    }
    assert lab.judged(claim, runs).verdict == "reproduced"
    turned = lab.judged(claim, base.exchanged(runs, *claim.between))
    assert [part.verdict for part in turned.parts] == ["not reproduced", "not reproduced"]


def test_separable_maps_are_seen() -> None:
    """Rows plus columns for the one, a diagonal valley for the other; and the labels exchanged."""
    claim = CLAIMS["adamw-separates"]
    registered = lab.Registered(claim)
    rng = np.random.default_rng(1)
    results = []
    for key in registered.keys:
        name, i, j = key.arm.split("|")
        row, column = int(i), int(j)
        high = (row - 2) ** 2 + (column - 2) ** 2 if name == "adamw" else (row + column - 4) ** 2
        value = 2 * math.exp(0.2 * high) + 0.01 * rng.random()
        results.append(simulated.result(registered.job(key), value))
    runs = lab.by_arm(results)
    assert lab.judged(claim, runs).verdict == "reproduced"
    assert lab.judged(claim, base.exchanged(runs, "adamw", "adam")).verdict == "not reproduced"


@pytest.mark.parametrize(
    ("each", "threshold", "verdict"),
    [
        ((1.0, 1.2, 1.1, 0.9, 1.0, 1.1), 0.0, "reproduced"),
        ((1.0, 1.2, 1.1, 0.9, 1.0, 1.1), 2.0, "not reproduced"),
        ((1.0, -1.2, 1.1, -0.9, 0.1, -0.1), 0.0, "inconclusive"),
        ((0.0,) * 6, 0.0, "inconclusive"),
        ((2.0,), 1.0, "reproduced"),
        ((math.inf,) * 6, 0.0, "reproduced"),
    ],
)
def test_the_rule(each: tuple[float, ...], threshold: float, verdict: str) -> None:
    assert Part("x", each, threshold).verdict == verdict


@pytest.mark.parametrize("name", CLAIMS)
def test_every_claim_can_be_read(name: str) -> None:
    claim = CLAIMS[name]
    assert claim.name == name
    assert {label.partition("|")[0] for label in made(name)} >= set(claim.between)
    for arm in claim.arms.values():
        (spec,) = specs(arm.optimizer)
        assert spec.lr is not None
        assert arm.task in BUILT_IN
    for text in (claim.saying, claim.source, claim.scale, claim.plan):
        assert len(text) > 10


def test_it_is_registered_before_it_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    claim = CLAIMS["lamb-large-batch"]

    class Stopped(simulated.Here):
        def run(self, *args: object, **more: object) -> None:
            record = json.loads((tmp_path / "plan.json").read_text())["plan"]
            assert record["saying"] == claim.saying
            assert "threshold" in record["rule"]
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        lab.run(claim, tmp_path, Stopped(), lambda share: None)
    (tmp_path / "plan.json").write_text(json.dumps({"hash": "0", "plan": {"name": "another"}}))
    with pytest.raises(StoreError, match="the plan there is another"):
        lab.run(claim, tmp_path, Stopped(), lambda share: None)


def test_a_picture_and_a_page(tmp_path: Path) -> None:
    found = [lab.judged(CLAIMS[name], made(name), 3.0) for name in CLAIMS]
    for one in found[-2:]:
        picture(tmp_path / f"{one.claim.name}.png", one, "glissade claims x")
        assert (tmp_path / f"{one.claim.name}.png").stat().st_size > 20_000
    records = []
    for one in found:
        lab.write(tmp_path, one)
        records.append(json.loads((tmp_path / "found.json").read_text()))
    text = page.page(records, "claims")
    for one in found:
        assert f"## {one.claim.name}" in text
        assert one.claim.saying in text
        assert f"(claims/{one.claim.name}.png)" in text


def test_the_command_lists_and_refuses() -> None:
    runner, app = CliRunner(), application()
    listed = runner.invoke(app, ["claims"]).output
    assert all(name in listed for name in CLAIMS)
    wrong = runner.invoke(app, ["claims", "adamw-seperates"])
    assert wrong.exit_code == 2
    assert "did you mean 'adamw-separates'?" in wrong.output


@pytest.mark.slow
@pytest.mark.parametrize("name", [x for x in CLAIMS if CLAIMS[x].compute is not None])
def test_what_has_no_chance_is_reproduced(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    claim = CLAIMS[name]
    assert claim.compute is not None
    values = claim.compute()
    assert lab.judged(claim, values).verdict == "reproduced"
    assert lab.judged(claim, base.exchanged(values, *claim.between)).verdict == "not reproduced"


def test_nothing_is_concluded_from_the_end_of_a_range() -> None:
    """The first learning rate of one is its best: a better one may lie beyond."""
    claim = CLAIMS["lamb-large-batch"]
    runs = made(claim.name)
    first = base.family(runs, "lamb")[0]
    low = [dataclasses.replace(x, quality=0.1) for x in runs[first]]
    found = lab.judged(claim, {**runs, first: low})
    assert (list(found.edges), found.verdict) == (["lamb"], "inconclusive")
