"""What `glissade cost` says is what the optimizers do."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("rich")

from typer.testing import CliRunner

from glissade import registry
from glissade.commands import application
from glissade.spec import specs
from glissade.study.cost import measure as cost
from glissade.study.cost import worker as cost_worker
from glissade.study.cost.worker import Ready

TASKS = Path(__file__).with_name("own_tasks.py")


def run(*words: str) -> Any:
    return CliRunner().invoke(application(), ["cost", *words])


def test_a_table_with_what_cannot_run_under_it(tmp_path: Path) -> None:
    """One run of the command: times, state, memory, reasons; nothing ends it."""
    out = tmp_path / "cost.json"
    ran = run(
        f"{TASKS}:large", "-o", "adamw, sgd, sophia, newton, adagradfull", "--steps", "8",
        "--sort", "state", "--threads", "1", "--json", str(out),
    )  # fmt: skip
    assert ran.exit_code == 0, ran.output
    found = json.loads(out.read_text())
    rows = {row["optimizer"]: row for row in found["rows"]}
    assert [*rows] == ["sgd", "adamw", "sophia"]
    parameters = 8 * 3000 + 3000 + 3 * 3000 + 3
    assert found["parameters"] == parameters
    assert rows["sgd"]["state_bytes"] == 4 * 8
    assert rows["adamw"]["state_bytes"] == 8 * parameters + 4 * 8
    assert rows["sophia"]["state_bytes"] == 12 * parameters + 4 * 8
    for row in rows.values():
        assert row["steps"] == 8
        assert 0 < row["low_ms"] <= row["step_ms"] <= row["high_ms"]
        assert row["share"] == pytest.approx(
            row["step_ms"] / (row["step_ms"] + found["gradient_ms"])
        )
        if row["peak_bytes"] is not None:  # parameters, gradients and state at least
            assert row["peak_bytes"] >= 8 * parameters + row["state_bytes"]
    assert "Gauss-Newton-Bartlett" in rows["sophia"]["note"]
    assert {one["optimizer"] for one in found["refused"]} == {"newton", "adagradfull"}
    assert "Cannot run" in ran.output
    assert "its matrix" in ran.output
    assert "median time of optimizer.step()" in ran.output


def test_fewer_bits_and_sparse_gradients() -> None:
    """What optimizers refuse is a reason in the words of the library."""
    found = cost.measure("adamw", f"{TASKS}:large", None, 4, "int8", 1)
    assert found.rows[0].state_per_parameter < 3
    found = cost.measure("adam", f"{TASKS}:rare", None, 4, threads=1)
    assert not found.rows
    assert "sparse=False" in found.refused[0].why


def test_an_estimate_by_the_loss_where_there_are_no_logits() -> None:
    found = cost.measure("sophia", f"{TASKS}:full", None, 4, threads=1)
    assert "Hutchinson" in found.rows[0].note


def test_a_process_that_dies_is_a_line(monkeypatch: pytest.MonkeyPatch) -> None:
    spec = specs("sgd")[0]
    worker = cost.Worker.start(spec, f"{TASKS}:convex", None, None, 1)
    try:
        assert isinstance(worker.answer(), Ready)
        os.kill(worker.process.pid, signal.SIGKILL)
        worker.process.join()
        worker.ask("growth")
        assert worker.answer() is None
        assert "its process" in worker.why
    finally:
        worker.end()
    assert not worker.process.is_alive()


def test_all_is_all() -> None:
    names = {spec.name for spec in specs(cost.ALL)}
    assert names >= {*registry.names(), "newton", "adamwr", "sgdwr"}


def test_what_is_timed_moves_nothing() -> None:
    """Every optimizer sees the same gradients: those of the first weights."""
    bench = cost_worker.Bench.of(cost_worker.job_of(f"{TASKS}:convex", "adam", None), None)
    bench.warm()
    before = [p.detach().clone() for p in bench.course.model.parameters()]
    for _ in range(5):
        bench.step(False)
    for old, new in zip(before, bench.course.model.parameters(), strict=True):
        assert (old - new).abs().max() < 1e-6


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("nope.py",), "there is no file"),
        (("digits", "-o", "foo"), "unknown optimizer"),
        (("digits", "--batch", "none"), "--batch none"),
        (("digits", "--steps", "0"), "--steps 0"),
        (("digits", "--sort", "size"), "--sort size"),
        (("digits", "--state-dtype", "int4"), "int4"),
        (("digits", "--json", "/nowhere/x.json"), "no folder"),
    ],
)
def test_bad_input_is_a_line(words: tuple[str, ...], said: str) -> None:
    ran = run(*words)
    assert ran.exit_code == 2
    assert said in ran.output
    assert len(ran.output.splitlines()) == 1
