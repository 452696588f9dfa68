"""A comparison is fair, keeps every run through any death, and reports what happened."""

from __future__ import annotations

import dataclasses
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from glissade import registry
from glissade.study import design, picture, report, run, store, tasks
from glissade.study.design import RunKey, RunResult, Settings

SMALL = Settings(optimizers=("momentum", "adam"), seeds=2, lrs=2, epochs=1)


class Silent:
    """A watcher that notes what it is told."""

    def __init__(self) -> None:
        self.fresh: list[bool] = []

    def evaluated(self, key: RunKey, step: int, loss: float) -> None: ...

    def ended(self, result: RunResult, fresh: bool) -> None:
        self.fresh.append(fresh)

    def chosen(self, choice: design.Choice) -> None: ...


def compare(
    folder: Path, settings: Settings = SMALL, task: Any = None, resume: bool = False
) -> Any:
    task = task or tasks.digits()
    kept = store.Store.open(folder, design.configuration(settings, task), resume)
    watcher = Silent()
    try:
        choices, results = run.compare(task, settings, kept, watcher)
    finally:
        kept.close()
    return choices, results, watcher


def essence(results: list[RunResult]) -> list[RunResult]:
    """Without the times, which are never the same."""
    return [dataclasses.replace(r, step_ms=None, seconds=0.0) for r in results]


def command(*words: str) -> list[str]:
    return [sys.executable, "-m", "glissade.cli", "compare", *words]


def test_the_split_is_honest() -> None:
    from sklearn.datasets import load_digits

    pixels, labels = load_digits(return_X_y=True)
    parts = tasks.split(labels, tasks.SPLIT_SEED)
    assert sorted(np.concatenate(parts)) == list(range(len(labels)))  # disjoint, and all of it
    for part in parts:
        share = np.bincount(labels[part]) / len(part)
        assert abs(share - np.bincount(labels) / len(labels)).max() < 0.005
    train = tasks.digits().train.inputs
    torch.testing.assert_close(train.mean(0), torch.zeros(64), atol=1e-5, rtol=0)
    moving = pixels[parts[0]].std(0) > 0
    torch.testing.assert_close(train.std(0, correction=0)[moving], torch.ones(int(moving.sum())))
    assert tasks.digits().test.inputs.mean(0).abs().max() > 1e-3  # standardised by others' values


def test_trials_are_equal_and_final_seeds_fresh() -> None:
    runs = design.tuning_runs(SMALL)
    assert {name: sum(k.optimizer == name for k in runs) for name in SMALL.optimizers} == {
        "momentum": 4,
        "adam": 4,
    }
    choices = [design.Choice(name, 0.1, 0.1, (0.1,)) for name in SMALL.optimizers]
    final = design.final_runs(SMALL, choices)
    assert not {k.seed for k in final} & {k.seed for k in runs}
    assert len({(k.optimizer, k.seed) for k in final}) == 4
    low, high = registry.lookup("adam").lr_range
    tried = design.tried_by("adam", SMALL)
    assert (tried[0], tried[-1]) == (low, high)


def test_runs_are_paired_and_test_data_is_used_once(tmp_path: Path) -> None:
    """A seed is the same start and the same batches for every optimizer."""
    looks: list[tasks.Part] = []
    digits = tasks.digits()

    class Watched(tasks.Task):
        def evaluate(self, model: Any, part: tasks.Part) -> tasks.Score:
            looks.append(part)
            return digits.evaluate(model, part)

    fields = {f.name: getattr(digits, f.name) for f in dataclasses.fields(digits)}
    _, results, _ = compare(tmp_path, task=Watched(**fields))
    final = [r for r in results if r.key.phase == "final"]
    assert sum(part is digits.test for part in looks) == len(final) == 4
    assert all((r.test_error is None) == (r.key.phase == "tune") for r in results)
    first = {(r.key.seed, r.losses[0]) for r in final}
    assert len(first) == 2


def test_resuming_gives_what_an_uninterrupted_run_gives(tmp_path: Path) -> None:
    _, straight, _ = compare(tmp_path / "a")
    lines = (tmp_path / "a" / "runs.jsonl").read_bytes().splitlines(keepends=True)
    assert len(lines) == 1 + len(straight) == 1 + 12
    (tmp_path / "b").mkdir()
    torn = b"".join(lines[:5]) + lines[5][:-40]
    (tmp_path / "b" / "runs.jsonl").write_bytes(torn)
    _, resumed, watcher = compare(tmp_path / "b", resume=True)
    assert essence(resumed) == essence(straight)
    assert sum(not fresh for fresh in watcher.fresh) == 4
    after = (tmp_path / "b" / "runs.jsonl").read_bytes()
    assert after.startswith(torn + b"\n")  # nothing was glued onto the torn line
    _, again, watcher = compare(tmp_path / "b", resume=True)
    assert essence(again) == essence(straight)
    assert not any(watcher.fresh)


def test_kill_9_loses_nothing(tmp_path: Path) -> None:
    words = ["digits", "-o", "momentum,adam", "--seeds", "2", "--lrs", "2", "--epochs", "2"]
    out = tmp_path / "out"
    process = subprocess.Popen(command(*words, "--out", str(out)), stdout=subprocess.DEVNULL)
    path = out / "runs.jsonl"
    for _ in range(1200):
        if path.exists() and path.read_bytes().count(b"\n") >= 3:
            break
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.wait()
    kept = path.read_bytes()
    assert kept.count(b"\n") >= 3
    subprocess.run(command(*words, "--out", str(out), "--resume"), check=True, capture_output=True)
    subprocess.run(command(*words, "--out", str(tmp_path / "x")), check=True, capture_output=True)
    assert path.read_bytes().startswith(kept)

    def table(folder: Path) -> Any:
        rows = json.loads((folder / "summary.json").read_text())["rows"]
        return [{k: v for k, v in row.items() if k != "step_ms"} for row in rows]

    assert table(out) == table(tmp_path / "x")


def test_another_configuration_is_refused(tmp_path: Path) -> None:
    compare(tmp_path)
    with pytest.raises(store.StoreError, match="epochs was 1, is now 2"):
        compare(tmp_path, dataclasses.replace(SMALL, epochs=2), resume=True)
    with pytest.raises(store.StoreError, match="--resume"):
        compare(tmp_path)
    before = (tmp_path / "runs.jsonl").read_bytes()
    compare(tmp_path, dataclasses.replace(SMALL, seeds=3), resume=True)  # widened
    assert (tmp_path / "runs.jsonl").read_bytes().startswith(before)


def test_divergence_is_counted_never_dropped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    row = dataclasses.replace(registry.lookup("sgd"), lr_range=(1e6, 1e9))
    monkeypatch.setitem(registry._by_name(), "sgd", row)
    settings = dataclasses.replace(SMALL, optimizers=("sgd", "adam"))
    choices, results, _ = compare(tmp_path, settings)
    assert choices[0].lr is None
    assert choices[0].warning == "SGD diverged at every learning rate tried"
    diverged = [r for r in results if r.key.optimizer == "sgd"]
    assert len(diverged) == 4
    assert all(r.diverged and r.validation_error == 1.0 for r in diverged)
    rows = report.summarise(choices, results)
    assert [row.optimizer for row in rows] == ["adam", "sgd"]
    assert (rows[1].tuning_diverged, rows[1].tuning_runs) == (4, 4)


def result(seed: int, test_error: float, steps: int | None) -> RunResult:
    return RunResult(
        key=RunKey("adam", "final", 0.01, seed), losses=(1.0, 0.5), validation=((2, 0.1),),
        validation_error=0.1, validation_loss=0.2, test_error=test_error, steps_to_target=steps,
        diverged_at=None, step_ms=0.25 * seed, state_bytes=100, seconds=1.0,
    )  # fmt: skip


def test_the_table_against_a_hand_worked_case() -> None:
    """Errors 2, 3 and 7 %: mean 4, deviation √7, times 4.3027 (Student, 2 degrees) over √3."""
    choice = design.Choice("adam", 0.01, 0.1, (0.001, 0.01, 0.1))
    runs = [result(1, 0.02, 40), result(2, 0.03, None), result(3, 0.07, 60)]
    (row,) = report.summarise([choice], runs)
    assert row.test_error == pytest.approx(0.04)
    assert row.test_half_width == pytest.approx(0.01 * 4.302653 * 7**0.5 / 3**0.5, rel=1e-6)
    assert (row.steps_to_target, row.reached_target, row.final_runs) == (60, 2, 3)
    assert row.step_ms == 0.5
    assert choice.warning is None
    edge = design.Choice("adam", 0.1, 0.1, (0.001, 0.01, 0.1))
    assert "0.1, is the highest tried" in (edge.warning or "")


def test_the_picture_shows_every_seed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import matplotlib.figure
    import matplotlib.image

    figures = []
    save = matplotlib.figure.Figure.savefig
    monkeypatch.setattr(
        matplotlib.figure.Figure,
        "savefig",
        lambda self, *a, **k: (figures.append(self), save(self, *a, **k))[1],
    )
    choices, results, _ = compare(tmp_path)
    rows = report.summarise(choices, results)
    path = tmp_path / "loss.png"
    picture.draw(path, rows, results, SMALL, tasks.digits())
    pixels = matplotlib.image.imread(path)
    assert min(pixels.shape[:2]) > 500
    assert pixels[..., :3].std() > 0.05  # not blank
    main = figures[0].axes[0]
    assert len(main.lines) >= 2 * (2 + 1)  # each optimizer's seeds, and its median
    words = " ".join(text.get_text() for axes in figures[0].axes for text in axes.texts)
    assert "momentum" in words
    assert "Adam" in words


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["digits", "-o", "adam,adamv"], "adamv"),
        (["digitz"], "digits"),
        (["digits", "-o", "adam,adam"], "twice"),
        (["digits", "--seeds", "0"], "at least 1"),
        (["digits", "--lrs", "1"], "at least 2"),
        (["digits", "--resume"], "--out"),
        (["digits", "--backend", "tpu"], "'tpu'"),
        (["digits", "--out", "/dev/null/x"], "cannot write"),
    ],
)
def test_bad_input(words: list[str], said: str, capfd: pytest.CaptureFixture[str]) -> None:
    import typer
    from typer.testing import CliRunner

    from glissade.study.compare import compare as command_function

    app = typer.Typer()
    app.command()(command_function)
    done = CliRunner().invoke(app, words)
    text = done.output + capfd.readouterr().err
    assert done.exit_code == 2, text
    assert said in re.sub(r"\s+", " ", text)
    assert "Traceback" not in text


def test_ctrl_c_says_how_to_go_on(tmp_path: Path) -> None:
    # Where the tests run in the background of a shell, an interrupt would be ignored.
    start = (
        "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); "
        "from glissade.cli import main; main()"
    )
    words = ["compare", "digits", "-o", "adam", "--out", str(tmp_path / "o")]
    process = subprocess.Popen(
        [sys.executable, "-c", start, *words],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        env={**os.environ, "COLUMNS": "200"},
        text=True,
    )
    path = tmp_path / "o" / "runs.jsonl"
    for _ in range(1200):
        if path.exists() and path.read_bytes().count(b"\n") >= 2:
            break
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "saved" in said
    assert f"glissade compare digits -o adam --out {tmp_path / 'o'} --resume" in said
