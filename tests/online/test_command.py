"""`glissade regret`: a table, a picture, a CSV; bad input is one line and code 2."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
from matplotlib import image
from typer.testing import CliRunner

from glissade.commands import application

RUN = CliRunner()


def test_it_writes_what_it_says(tmp_path: Path) -> None:
    words = ["regret", "counterexample", "-o", "adagrad,adam,amsgrad,lion", "--rounds", "2000"]
    done = RUN.invoke(application(), [*words, "--out", str(tmp_path)])
    assert done.exit_code == 0, done.output
    for said in ("Where Adam fails", "refuted", "no theorem", "regret.png", "--rounds 2000"):
        assert said in " ".join(done.output.split())
    rows = list(csv.DictReader((tmp_path / "regret.csv").read_text("utf-8").splitlines()))
    last = {row["learner"].partition("(")[0]: row for row in rows if row["rounds"] == "2000"}
    assert set(last) == {"Adagrad", "Adam", "AMSGrad", "Lion"}
    assert float(last["Adam"]["ratio"]) > 1 > float(last["AMSGrad"]["ratio"])
    assert (last["Adam"]["refuted"], last["AMSGrad"]["refuted"]) == ("1", "0")
    assert last["Lion"]["bound"] == ""
    for row in rows:
        assert float(row["regret"]) == pytest.approx(float(row["average"]) * int(row["rounds"]))
    height, width, _ = image.imread(tmp_path / "regret.png").shape
    assert width == 1200
    assert height > 800


def test_bounds_out_of_sight_are_said(tmp_path: Path) -> None:
    words = ["regret", "hinge", "-o", "adam,sgd", "--rounds", "200", "--seed", "1", "--lam", "0.95"]
    done = RUN.invoke(application(), [*words, "--out", str(tmp_path)])
    assert done.exit_code == 0, done.output
    assert "--rounds 200 --seed 1 --lam 0.95" in done.output


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["counterexampel"], "did you mean 'counterexample'"),
        (["linear", "-o", "adm"], "adm"),
        (["linear", "-o", "adam("], "cannot read"),
        (["linear", "-o", "eg"], "on the simplex"),
        (["linear", "-o", "adagradfull"], "full matrix"),
        (["linear", "--rounds", "3"], "10 or more"),
        (["linear", "--seed", "-1"], "--seed -1"),
        (["linear", "--lam", "2"], "lam=2.0"),
        (["linear", "-o", "sgd(lr=-1)"], "lr=-1"),
        (["linear", "-o", "sgd,sgd"], "named twice"),
    ],
)
def test_bad_input_is_one_line(words: list[str], said: str, tmp_path: Path) -> None:
    more = [] if "--rounds" in words else ["--rounds", "20"]
    done = RUN.invoke(application(), ["regret", *words, *more, "--out", str(tmp_path / "out")])
    assert done.exit_code == 2
    assert said in done.output
    assert len(done.output.strip().splitlines()) == 1
    assert not (tmp_path / "out").exists()


def test_a_place_where_nothing_can_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    words = ["regret", "linear", "-o", "sgd", "--rounds", "20", "--out", str(tmp_path / "file")]
    done = RUN.invoke(application(), words)
    assert done.exit_code == 2
    assert "cannot write" in done.output
