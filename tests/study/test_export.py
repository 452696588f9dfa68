"""Exports, read back from where they were written."""

from __future__ import annotations

import sys
import types
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from glissade.study import export as exports
from glissade.study.design import Plan, RunKey, RunResult
from glissade.study.export_command import export
from glissade.study.run import execute
from glissade.study.store import Store
from tests.study import small

RUNNER = CliRunner()


@pytest.fixture
def plan(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Plan]:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my.py").write_text(small.TASK)
    yield small.small_plan()
    sys.modules.pop("my", None)


@pytest.fixture
def store(plan: Plan, tmp_path: Path) -> Iterator[Store]:
    """A comparison that is going on: two runs have ended."""
    store = Store.open(tmp_path / "runs", plan, resume=False)
    for key in plan.tuning()[:2]:
        store.append(execute(plan.job(key)))
    yield store
    store.close()


def results(store: Store) -> dict[str, RunResult]:
    return {exports.curve(x).name: x for x in store.results.values()}


def more(store: Store, plan: Plan) -> RunKey:
    """One run more."""
    key = plan.defaults()[0]
    store.append(execute(plan.job(key)))
    return key


def said(*args: object) -> tuple[int, str]:
    app = typer.Typer()
    app.command()(export)
    result = RUNNER.invoke(app, [*map(str, args)])
    return result.exit_code, result.output


def test_tensorboard(store: Store, plan: Plan) -> None:
    accumulators = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    assert said(store.folder, "--to", "tensorboard")[1].startswith("2 runs written\n")
    more(store, plan)
    again = said(store.folder, "--to", "tensorboard")[1]
    assert again.startswith("1 runs written, 2 were there already\n")
    found = [*(store.folder / "tensorboard").rglob("events.*")]
    assert len(found) == 3
    for name, result in results(store).items():
        one = exports.curve(result)
        read = accumulators.EventAccumulator(str(store.folder / "tensorboard" / one.file))
        read.Reload()
        losses = [(x.step, x.value) for x in read.Scalars("loss")]
        assert [step for step, _ in losses] == [*range(1, 31)]
        assert [x for _, x in losses] == pytest.approx(result.losses, rel=1e-6), name
        validation = [(x.step, x.value) for x in read.Scalars("validation")]
        assert validation == [(s, pytest.approx(x, rel=1e-6)) for s, _, x in result.validation]
        (quality,) = read.Scalars("final/quality")
        assert quality.value == pytest.approx(result.quality, rel=1e-6)
        assert "_hparams_/session_start_info" in read.summary_metadata


def test_mlflow(store: Store, plan: Plan, monkeypatch: pytest.MonkeyPatch) -> None:
    mlflow = pytest.importorskip("mlflow")
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    assert said(store.folder, "--to", "mlflow")[1].startswith("2 runs written\n")
    more(store, plan)
    client = mlflow.MlflowClient(tracking_uri=(store.folder / "mlruns").as_uri())
    (experiment,) = (x for x in client.search_experiments() if x.name.startswith("glissade"))
    cut_off = client.create_run(experiment.experiment_id).info.run_id
    again = said(store.folder, "--to", "mlflow")[1]
    assert again.startswith("1 runs written, 2 were there already\n")
    runs = {x.info.run_name: x for x in client.search_runs([experiment.experiment_id])}
    assert len(runs) == 3
    assert cut_off not in {x.info.run_id for x in runs.values()}
    for name, result in results(store).items():
        run = runs[name]
        history = client.get_metric_history(run.info.run_id, "loss")
        assert sorted((x.step, x.value) for x in history) == [*enumerate(result.losses, 1)]
        assert run.data.metrics["quality"] == result.quality
        assert run.data.params["arm"] == result.key.arm
        assert run.data.params["optimizer"] == result.optimizer
        if result.key.trial >= 0:
            assert float(run.data.params["lr"]) == pytest.approx(plan.values(result.key)["lr"])
        assert ("test" in run.data.metrics) == (result.test is not None)


@pytest.mark.parametrize("content", [b"{", b"", b"\xff"], ids=["no YAML", "nothing", "no text"])
def test_a_damaged_store_of_mlflow_ends_in_a_traceback(
    content: bytes, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("mlflow")
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    assert said(store.folder, "--to", "mlflow")[0] == 0
    for path in (store.folder / "mlruns").glob("*/*/meta.yaml"):
        path.write_bytes(content)
    code, output = said(store.folder, "--to", "mlflow")
    assert code == 1
    assert "glissade export: --to mlflow: its package raised " in output
    assert "Traceback" not in output


def test_trackio(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRACKIO_DIR", str(tmp_path / "trackio"))
    trackio = pytest.importorskip("trackio")
    assert "2 runs written\n" in said(store.folder, "--to", "trackio")[1]
    assert said(store.folder, "--to", "trackio")[1].startswith("0 runs written, 2 were there")
    project = exports.export(store.folder, "trackio").place.rpartition(" ")[2]
    assert {x.name for x in trackio.Api().runs(project)} == {*results(store)}


@pytest.mark.parametrize("end", [b"", b"\xff"], ids=["whole", "no text"])
def test_a_torn_name_swallows_the_next(
    end: bytes, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An export to trackio that was cut off as it noted a run: this run is exported again, once."""
    exported: list[str] = []

    def init(project: str, name: str, config: object) -> None:
        exported.append(name)

    made = types.SimpleNamespace(init=init, log=lambda *x, **more: None, finish=lambda: None)
    monkeypatch.setitem(sys.modules, "trackio", made)
    assert exports.export(store.folder, "trackio").written == 2
    path = store.folder / "trackio.txt"
    path.write_bytes(path.read_bytes()[:-9] + end)
    assert exports.export(store.folder, "trackio").written == 1
    assert exports.export(store.folder, "trackio").written == 0
    assert exported == [*results(store), [*results(store)][1]]


def test_steps_of_stretches() -> None:
    """Each loss stands at the last step of its stretch."""
    key = RunKey("digits", "adamw", "tune", 0, 3, 0)
    result = RunResult(
        key, "lookahead(adamw(lr=0.1, betas=(0.9, 0.99)), k=5)", tuple(map(float, range(168))), (),
        None, None, 7, None, 501, None, 0, 1.0,
    )  # fmt: skip
    one = exports.curve(result)
    assert [step for _, step, _ in one.points] == [*range(3, 502, 3), 501][:168]
    assert one.config["lr"] == 0.1
    assert one.config["betas"] == "(0.9, 0.99)"
    assert one.config["lookahead.k"] == 5
    assert one.summary == {"diverged_at": 7.0, "state_bytes": 0.0, "seconds": 1.0}


@pytest.mark.parametrize("to", ["tensorboard", "mlflow", "trackio"])
def test_a_package_that_is_missing(to: str, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, to, None)
    code, output = said(store.folder, "--to", to)
    assert code == 1
    assert f"needs {to}: pip install 'glissade[track]'" in output
    assert output.count("\n") == 1


def test_bad_input(tmp_path: Path, store: Store) -> None:
    code, output = said(tmp_path, "--to", "mlflow")
    assert code == 2
    assert "no comparison is there" in output
    code, output = said(store.folder, "--to", "wandb")
    assert code == 2
    assert "known are tensorboard, mlflow, trackio" in output
    (store.folder / "plan.json").write_text("{")
    code, output = said(store.folder, "--to", "mlflow")
    assert code == 2
    assert output.count("\n") == 1
