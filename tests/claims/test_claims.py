"""Claims are registered before they run, and judged by a rule that turns when labels do."""

from __future__ import annotations

import dataclasses
import json
import math
import re
from pathlib import Path
from typing import Any

import pytest
import torch
from typer.testing import CliRunner

from glissade.claims import CLAIMS, base, command, decay, lab, picture, readings, regrets
from glissade.claims.base import Measure, Part
from glissade.commands import application
from glissade.spec import specs
from glissade.study.store import StoreError
from glissade.study.tasks import BUILT_IN
from tests.claims import made as made_up
from tests.claims.made import made
from tests.study import simulated

TRAINED = [*made_up.TRAINED, "snapshot-ensembles"]
EXACT = [claim.name for claim in regrets.CLAIMS]  # those of mechanisms have their own tests


@pytest.mark.parametrize("name", [*TRAINED, *EXACT])
def test_exchanged_labels_turn_the_verdict(name: str) -> None:
    """Of runs made up so that the claim holds; of what has no chance, as it is."""
    claim = CLAIMS[name]
    runs = made(name)
    turned = base.exchanged(runs, *claim.between)
    assert {id(of) for of in runs.values()} == {id(of) for of in turned.values()}
    found = lab.judged(claim, runs)
    assert not found.edges
    assert [part.verdict for part in found.parts] == ["reproduced"] * len(found.parts)
    assert lab.judged(claim, turned).verdict == "not reproduced"


@pytest.mark.parametrize(
    ("each", "threshold", "verdict"),
    [
        ((1.0, 1.2, 1.1, 0.9, 1.0, 1.1), 0.0, "reproduced"),
        ((1.0, 1.2, 1.1, 0.9, 1.0, 1.1), 2.0, "not reproduced"),
        ((1.0, -1.2, 1.1, -0.9, 0.1, -0.1), 0.0, "inconclusive"),
        ((0.0,) * 6, 0.0, "inconclusive"),
        ((2.0,), 1.0, "reproduced"),
        ((math.inf,) * 6, 0.0, "reproduced"),
        ((), 0.0, "inconclusive"),
    ],
)
def test_the_rule(each: tuple[float, ...], threshold: float, verdict: str) -> None:
    assert Part(Measure("x", threshold), each).verdict == verdict


@pytest.mark.parametrize("name", CLAIMS)
def test_every_claim_can_be_read(name: str) -> None:
    claim = CLAIMS[name]
    assert claim.name == name
    assert {label.partition("|")[0] for label in made(name)} >= set(claim.between)
    for arm in claim.arms.values():
        (spec,) = specs(arm.optimizer)
        assert spec.lr is not None
        assert arm.task in BUILT_IN
    for name_ in claim.tuned:
        assert readings.family(made(name), name_), f"{name_} has no arms"
    assert len(claim.measures) == len(lab.judged(claim, made(name)).parts)


@pytest.mark.parametrize("name", made_up.TRAINED)
def test_schedules_are_of_the_length_of_the_run(name: str) -> None:
    for arm in CLAIMS[name].arms.values():
        found = re.search(r"@ cosine\((\d+)\)", arm.optimizer)
        assert found is None or int(found[1]) == arm.steps


def test_sgdw_is_not_sgd_under_another_name() -> None:
    """As it is with the decay that the learning rate scales, without momentum."""
    steps = {}
    for name in ("sgd", "sgdw"):
        p = torch.ones(3, requires_grad=True)
        (spec,) = specs(decay.FORMS[name].format(lr=0.1, decay=0.01))
        optimizer = spec.optimizer([p])
        for _ in range(3):
            p.grad = torch.ones(3)
            optimizer.step()
        steps[name] = p.detach().clone()
    assert not torch.allclose(steps["sgd"], steps["sgdw"], rtol=1e-3)


def test_it_is_registered_before_it_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    claim = CLAIMS["lamb-large-batch"]

    class Stopped(simulated.Here):
        def run(self, *args: object, **more: object) -> None:
            record = json.loads((tmp_path / "plan.json").read_text())["plan"]
            assert record["saying"] == claim.saying
            assert "threshold" in record["rule"]
            assert record["measures"] == [dataclasses.asdict(one) for one in claim.measures]
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        lab.run(claim, tmp_path, Stopped(), lambda share: None)
    (tmp_path / "plan.json").write_text(json.dumps({"hash": "0", "plan": {"name": "another"}}))
    with pytest.raises(StoreError, match="the plan there is another"):
        lab.run(claim, tmp_path, Stopped(), lambda share: None)


def test_a_claim_takes_a_damaged_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its run is made again, with a note; a damaged plan is an error of one line."""
    claim = dataclasses.replace(CLAIMS["lamb-large-batch"], seeds=1)
    monkeypatch.setitem(CLAIMS, claim.name, claim)
    landscape = {key: 2.0 + i for i, key in enumerate(lab.Registered(claim).keys)}

    class Made(simulated.Here):
        def run(self, function: object, jobs: Any, told: Any, go: object = None) -> None:
            for job in jobs:
                told(simulated.result(job, landscape[job.key]))

    monkeypatch.setattr(command, "make", lambda name, workers: Made())
    monkeypatch.setattr(picture, "picture", lambda *rest: None)
    runner, words = CliRunner(), ["claims", claim.name, "--out", str(tmp_path)]
    assert runner.invoke(application(), words).exit_code == 0
    folder = tmp_path / claim.name
    found = json.loads((folder / "found.json").read_bytes())
    lines = (folder / "runs.jsonl").read_bytes().splitlines(keepends=True)
    damaged = json.dumps({**json.loads(lines[1]), "test": 0.0}).encode() + b"\n"
    (folder / "runs.jsonl").write_bytes(b"".join([lines[0], damaged, *lines[2:]]))
    again = runner.invoke(application(), words)
    assert again.exit_code == 0, again.output
    told = "1 damaged line in runs.jsonl (line 2): this run is made again"
    assert f"{claim.name}: {told}" in again.output
    assert json.loads((folder / "found.json").read_bytes()) == found
    (folder / "plan.json").write_text('{"plan": 3}')
    wrong = runner.invoke(application(), words)
    assert wrong.exit_code == 2
    said = "plan.json is damaged: plan=3: must be an object"
    assert said in wrong.output
    (folder / "plan.json").unlink()
    wrong = runner.invoke(application(), words)
    assert wrong.exit_code == 2
    assert f"there is no {folder / 'plan.json'}" in wrong.output


def test_the_command_lists_and_refuses() -> None:
    runner, app = CliRunner(), application()
    listed = runner.invoke(app, ["claims"]).output
    assert all(name in listed for name in CLAIMS)
    wrong = runner.invoke(app, ["claims", "adamw-seperates"])
    assert wrong.exit_code == 2
    assert "did you mean 'adamw-separates'?" in wrong.output


def test_nothing_is_concluded_from_the_end_of_a_range() -> None:
    """The first learning rate of one is its best: a better one may lie beyond."""
    claim = CLAIMS["lamb-large-batch"]
    runs = made(claim.name)
    first = readings.family(runs, "lamb|512")[0]
    low = [dataclasses.replace(x, quality=0.1) for x in runs[first]]
    found = lab.judged(claim, {**runs, first: low})
    assert (list(found.edges), found.verdict) == (["lamb|512"], "inconclusive")
