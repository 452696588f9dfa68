"""What `glissade advise` says follows from the model, the limits and earlier summaries."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("rich")

import torch
from torch import nn
from typer.testing import CliRunner

from glissade import evidence, registry
from glissade.commands import application
from glissade.spec import specs
from glissade.study import loading
from glissade.study.advise import advice, decide, earlier, fit, recipes
from glissade.study.advise.look import look
from glissade.study.run import tensor_bytes

TASKS = Path(__file__).with_name("own_tasks.py")
RUNNER = CliRunner()


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("glissade.study.advise.look.TIMED", 0.02)


def run(tmp_path: Path, task: str, *words: str) -> tuple[str, dict[str, Any]]:
    """The text in one line, and the data."""
    out = tmp_path / "advice.json"
    where = [] if "--results" in words else ["--results", str(tmp_path)]
    ran = RUNNER.invoke(application(), ["advise", task, *where, *words, "--json", str(out)])
    assert ran.exit_code == 0, ran.output
    return " ".join(ran.output.split()), json.loads(out.read_text())


# Memory


@pytest.mark.parametrize("state_dtype", [None, "bfloat16", "int8"])
def test_the_state_is_told_without_having_it(state_dtype: str | None) -> None:
    """To the byte what every optimizer keeps after some steps."""
    shapes = [(16, 256), (4, 3, 3, 3), (300,), ()]
    params = [nn.Parameter(torch.rand(shape)) for shape in shapes]
    for spec in specs("sgd, adamw, nadam, adafactor, sophia, yogi, adopt, lookahead(lion, k=3)"):
        told = fit.state(spec, params, state_dtype)
        if not told.fine:
            assert state_dtype == "int8"
            assert "8 bits" in told.why
            continue
        optimizer: Any = spec.optimizer(params)
        optimizer.param_groups[0]["state_dtype"] = state_dtype
        for p in params:
            p.grad = torch.rand_like(p)
        for _ in range(7):
            if spec.name == "sophia":
                optimizer.feed("curvature", [torch.rand_like(p) for p in params])
            optimizer.step()
        assert told.bytes == tensor_bytes(optimizer.state), spec.text


@pytest.mark.parametrize(
    ("text", "size"),
    [("8GB", 8 * 10**9), ("8 GiB", 2**33), ("1.5mb", 1_500_000), ("64kB", 64_000), ("9B", 9)],
)
def test_units(text: str, size: int) -> None:
    assert fit.bytes_of(text) == size


def test_what_does_not_fit_is_left_out_with_its_bytes(tmp_path: Path) -> None:
    """A limit between Lion's state and Adam's; the latter would fit with fewer bits."""
    task = loading.load(f"{TASKS}:large")
    seen = look(task)
    limit = seen.before_state + 5 * seen.parameters
    found = advice.advise(task, None, seen, limit, [])
    fits = {x.spec.text for x in found.states}
    assert fits >= {"sgd", "lion", "adafactor", "nesterov"}
    assert {x.spec.text for x in found.large} >= {"adamw", "ranger"}
    assert "AdagradFull" in dict(found.refused)
    assert ("AdamW", "bfloat16") in {(x.label, x.state_dtype) for x in found.lower}
    assert len(found.candidates) >= 2
    for one in found.candidates:
        assert one.optimizer in fits
        assert one.needs <= limit


def test_nothing_fits(tmp_path: Path) -> None:
    text, found = run(tmp_path, f"{TASKS}:large", "--memory", "1kB")
    assert not found["candidates"]
    assert found["decision"] is None
    assert "whatever the optimizer" in text


# What the model is


@pytest.mark.parametrize(
    ("task", "kind"),
    [
        ("convolutions", evidence.CONVOLUTIONAL),
        ("words", evidence.LANGUAGE),
        ("full", evidence.RARE),
        ("convex", evidence.LINEAR),
        ("large", evidence.PERCEPTRON),
    ],
)
def test_the_kind_of_model_is_seen(task: str, kind: str) -> None:
    found = look(loading.load(f"{TASKS}:{task}"))
    assert found.kind == kind
    assert found.because


def test_a_convolutional_network_gets_its_recipe(tmp_path: Path) -> None:
    text, found = run(tmp_path, f"{TASKS}:convolutions", "--batch", "64")
    names = [x["optimizer"] for x in found["candidates"]]
    assert names == ["nesterov", "adamw", "adabelief"]
    assert found["candidates"][0]["start"]["hyper"]["lr"] == 0.025  # 0.1 at 256
    assert "Goyal" in text
    assert {x["optimizer"] for x in found["reports"]} >= {"adabelief", "adamw"}
    assert not any(x["optimizer"] == "lars" for x in found["reports"])  # for large batches


def test_sophia_is_proposed_where_there_are_logits(tmp_path: Path) -> None:
    _, found = run(tmp_path, f"{TASKS}:words")
    assert "sophia" in [x["optimizer"] for x in found["candidates"]]
    text, found = run(tmp_path, f"{TASKS}:silent")
    assert "sophia" not in [x["optimizer"] for x in found["candidates"]]
    assert "Hutchinson" in text


def test_sparse_gradients_are_said_in_the_words_of_the_library(tmp_path: Path) -> None:
    text, found = run(tmp_path, f"{TASKS}:rare")
    assert found["model"]["sparse"] == ["table.weight"]
    parameter = nn.Parameter(torch.ones(3, 2))
    parameter.grad = torch.ones(3, 2).to_sparse(1)
    with pytest.raises(ValueError, match="sparse") as raised:
        registry.lookup("adamw").optimizer([parameter]).step()
    assert str(raised.value).partition(": ")[2] in text


def test_large_batches_have_other_candidates() -> None:
    assert recipes.worth(evidence.CONVOLUTIONAL, 8192)[0] == "lars"
    assert recipes.worth(evidence.LANGUAGE, 8192)[:2] == ("lamb", "lion")
    assert recipes.worth(evidence.LANGUAGE, 256)[0] == "adamw"


def test_every_start_can_be_typed() -> None:
    for kind, names in recipes.WORTH.items():
        for name in {*names, *recipes.SAVING, "lamb", "lars"}:
            found = recipes.start(name, (kind,), 512)
            assert specs(found.text)[0].name == name
            assert found.whose


# Earlier comparisons


def summary(
    folder: Path, adjusted: float, interval: tuple[float, float], **changed: object
) -> None:
    """As `glissade compare` writes it: adamw and lion on the task with convolutions."""
    task = f"{TASKS}:convolutions"
    now = loading.load(task)
    facts = {**now.facts, "steps": now.epochs * len(now.train), **changed}
    rows = [
        {"arm": arm, "label": label, "chosen": [
            {"study": 0, "trial": 1, "values": {"lr": lr}, "optimizer": f"{arm}(lr={lr})"},
            {"study": 1, "trial": None, "values": {}, "optimizer": ""},
        ]}
        for arm, label, lr in (("adamw", "AdamW", 0.003), ("lion", "Lion", 0.0004))
    ]  # fmt: skip
    record = {
        "plan": {"tasks": {task: facts}}, "hash": "abc123", "seeds": 10,
        "facts": {"date": "2026-11-01"},
        "tasks": [{
            "task": task, "metric": "loss", "verdict": "AdamW or not.", "rows": rows,
            "differences": [{
                "one": "adamw", "other": "lion", "each": [], "typical": -0.5, "signed": -55.0,
                "interval": {"low": interval[0], "high": interval[1]},
                "p": adjusted, "adjusted": adjusted,
            }],
        }],
    }  # fmt: skip
    folder.mkdir()
    (folder / "summary.json").write_text(json.dumps(record))


def test_a_difference_that_was_found_decides(tmp_path: Path) -> None:
    summary(tmp_path / "one", 0.01, (-0.8, -0.2))
    text, found = run(tmp_path, f"{TASKS}:convolutions")
    assert [x["optimizer"] for x in found["candidates"]] == ["adamw"]
    assert found["earlier"][0]["winner"] == "adamw"
    assert found["decision"] is None
    assert "AdamW beat Lion by 0.5, 95 % interval 0.2 to 0.8, adjusted p = 0.01." in text
    assert "plan abc123" in text
    assert "2026-11-01" in text
    assert "Train with adamw(lr=0.003)" in text


@pytest.mark.parametrize(
    ("adjusted", "interval", "changed", "said"),
    [
        (0.2, (-0.8, 0.1), {}, "nothing beat it"),
        (0.01, (-0.8, 0.1), {}, "AdamW beat Lion"),  # an interval over zero decides nothing
        (0.01, (-0.8, -0.2), {"file": "0"}, "the task's file has changed since"),
        (0.01, (-0.8, -0.2), {"train_data": "0"}, "the train data have changed since"),
        (0.01, (-0.8, -0.2), {"steps": 1}, "its runs had 1 steps, not 2"),
        (0.01, (-0.8, -0.2), {"batch": 128}, "it had batches of 128, not of 32"),
    ],
)
def test_otherwise_nothing_is_decided(
    adjusted: float,
    interval: tuple[float, float],
    changed: dict[str, object],
    said: str,
    tmp_path: Path,
) -> None:
    summary(tmp_path / "one", adjusted, interval, **changed)
    text, found = run(tmp_path, f"{TASKS}:convolutions")
    assert 2 <= len(found["candidates"]) <= 3
    assert found["candidates"][0]["optimizer"] == "adamw"
    assert said in text
    assert not found["earlier"][0]["decides"]


def test_a_lead_over_lost_runs_is_one(tmp_path: Path) -> None:
    record = {"one": "a", "other": "b", "typical": None, "signed": 9.0, "interval": None,
              "adjusted": 0.01}  # fmt: skip
    found = earlier._found(record, ("b", "a"))
    assert (found.winner, found.loser) == ("b", "a")
    assert found.low > 0


def test_files_that_are_none_are_noted(tmp_path: Path) -> None:
    (tmp_path / "summary.json").write_text("{")
    text, _ = run(tmp_path, f"{TASKS}:convex")
    assert "cannot be read" in text


# The command that decides


def test_the_command_works(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As it was printed, with --dry-run; with seeds enough to declare a difference."""
    _, found = run(tmp_path, f"{TASKS}:convolutions", "--batch", "16")
    decision = found["decision"]
    assert decision["seeds"] >= decision["fewest"]
    words = shlex.split(decision["command"])
    assert words[:2] == ["glissade", "compare"]
    assert {"--batch", "--trials", "--seeds", "--studies", "--budget"} <= {*words}
    monkeypatch.chdir(tmp_path)
    ran = RUNNER.invoke(application(), [*words[1:], "--dry-run"])
    assert ran.exit_code == 0, ran.output
    assert "nothing was written" in ran.output


def test_budgets_are_read_back() -> None:
    from glissade.study.options import seconds_of

    for seconds in (3.0, 60.0, 61.0, 3600.0, 5000.0, 90_000.0):
        read = seconds_of(decide.budget(seconds))
        assert read is not None
        assert seconds <= read < seconds + 60


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--memory", "8"), "a unit is missing"),
        (("--memory", "8 XB"), "write a number with a unit"),
        (("--memory", "0GB"), "write a number"),
        (("--batch", "-3"), "--batch -3"),
        (("--results", "nowhere"), "no such folder"),
    ],
)
def test_bad_input_is_a_line(words: tuple[str, ...], said: str) -> None:
    ran = RUNNER.invoke(application(), ["advise", "digits", *words])
    assert ran.exit_code == 2
    assert said in ran.output
    assert len(ran.output.splitlines()) == 1


def test_evidence_is_of_rows() -> None:
    for one in evidence.EVIDENCE:
        assert str(one.year) in one.source
        assert registry.lookup(one.name).paper.identifier in one.source
