"""Maps of learning rate by weight decay."""

from __future__ import annotations

import csv
import math
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
import typer
from typer.testing import CliRunner

from glissade.study import heatmap as command_module
from glissade.study import run as run_module
from glissade.study.design import RunKey, Settings
from glissade.study.grid import Grid, maps, separable, setting
from glissade.study.loading import load
from tests.study import simulated

TASK = "tests/study/tiny.py"


def grid(optimizers: str = "adam, adamw", points: int = 5, repeats: int = 2) -> Grid:
    settings = Settings((TASK,), optimizers, trials=points**2, studies=1, evaluations=1)
    return Grid(settings, (load(TASK),), points=points, repeats=repeats)


def test_a_sum_of_row_and_column_is_all_explained() -> None:
    rows, columns = np.arange(5.0)[:, None] ** 2, np.arange(5.0)[None, :]
    assert separable(rows + columns) == pytest.approx(1.0)
    crossed = np.array([[1.0, -1.0] * 3, [-1.0, 1.0] * 3] * 3)  # nothing but interaction
    assert separable(crossed) == pytest.approx(0.0, abs=1e-12)
    holes = rows + columns
    holes[0, 0] = math.nan
    assert separable(holes) == pytest.approx(1.0)
    assert separable(np.ones((5, 5))) is None
    assert separable(np.arange(9.0).reshape(3, 3)) is None  # too few for so many numbers


def test_every_place_is_run_with_every_seed_and_the_middle_comes_first() -> None:
    made = grid()
    keys = made.tuning()
    assert len(keys) == len(set(keys)) == 2 * 25 * 2 == made.most_runs["tune"]
    middle = made.values(keys[0])
    low, high = 1e-4, 1e-1
    assert middle["lr"] == pytest.approx(math.sqrt(low * high), rel=1e-3)
    assert {round(made.values(k)["lr"], 9) for k in keys if k.arm == "adam"} == {
        round(float(f"{x:.4g}"), 9) for x in np.geomspace(low, high, 5)
    }
    assert made.record["grid"] == [5, 2]


def test_maps_have_means_and_lost_runs() -> None:
    made = grid("adam")

    def quality(key: RunKey, values: Mapping[str, float]) -> float:
        if values["lr"] > 0.05 and key.seed == 1:
            return math.inf
        return abs(math.log10(values["lr"]) + 2.5) + key.seed

    runs = [simulated.result(made.job(k), quality(k, made.values(k))) for k in made.tuning()]
    (one,) = maps(made, runs)
    assert np.isnan(one.values[4]).all()
    assert one.values[2] == pytest.approx(np.full(5, 0.5), abs=1e-3)
    assert one.best is not None
    assert one.best[0] == 2
    assert "0.5" in setting(one)
    assert "lr" not in setting(one).partition("(at the end of")[2]
    assert one.separable == pytest.approx(1.0)
    worst = [simulated.result(made.job(k), math.inf) for k in made.tuning()]
    assert setting(maps(made, worst)[0]) == "every run was lost"
    rising = [simulated.result(made.job(k), -made.values(k)["lr"]) for k in made.tuning()]
    assert "(at the end of lr: a better one may lie beyond)" in setting(maps(made, rising)[0])


@pytest.mark.parametrize(
    ("optimizers", "said"),
    [
        ("newton", "Newton tunes lr: the map is of lr and weight_decay"),
        ("adam(weight_decay=0)", "tunes lr"),
        ("adam(eps=between(1e-9, 1e-6))", "nothing else given a range"),
    ],
)
def test_what_has_no_map_is_refused(optimizers: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        grid(optimizers)
    with pytest.raises(ValueError, match="no grid"):
        grid("adam", points=1)


def test_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command_module, "make", lambda name, workers: simulated.Here())
    monkeypatch.setattr(run_module, "PROBED", 0.0)
    app = typer.Typer()
    app.command()(command_module.heatmap)
    words = [TASK, "-o", "adam, sgd", "--points", "3", "--seeds", "1", "--out", str(tmp_path)]
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 0, done.output
    assert (tmp_path / "heatmap.png").stat().st_size > 20_000
    with (tmp_path / "heatmap.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 2 * 9
    again = CliRunner().invoke(app, words)
    assert again.exit_code == 2
    assert "already holds results" in " ".join(again.output.split())
    before = (tmp_path / "runs.jsonl").read_bytes()
    assert CliRunner().invoke(app, [*words, "--resume"]).exit_code == 0
    assert (tmp_path / "runs.jsonl").read_bytes() == before


def test_tasks_are_listed() -> None:
    from glissade.commands import application
    from glissade.study.tasks import BUILT_IN

    said = CliRunner().invoke(application(), ["tasks"]).output
    assert all(name in said for name in BUILT_IN)
    assert "examples/own_task.py" in said
