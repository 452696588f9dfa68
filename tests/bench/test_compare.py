"""Slower is what is slower beside its floor, by more than a tenth and both runs' spread."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from glissade.bench import record as file
from glissade.bench.command import bench
from glissade.bench.compare import compare
from glissade.bench.settings import Precision

from .samples import case, record

app = typer.Typer()
app.command()(bench)
run = CliRunner().invoke


def test_a_slower_machine_is_no_slower_rule() -> None:
    found = compare(record(case("adamw", 100.0, 0.95)), record(case("adamw", 300.0, 0.95)))
    assert [(row.who, row.ratio) for row in found.rows] == [("ours", pytest.approx(3.0))]
    assert not found.regressions


@pytest.mark.parametrize(("share", "spread", "flagged"), [
    (0.92, 0.0, False), (0.88, 0.0, True), (0.88, 0.04, False), (0.70, 0.04, True),
])  # fmt: skip
def test_what_is_flagged(share: float, spread: float, flagged: bool) -> None:
    """Of a floor of 100 %, 10 % longer is 91 %."""
    old, new = case("lion", 100.0, 1.0, spread=spread), case("lion", 100.0, share, spread=spread)
    found = compare(record(old), record(new))
    assert bool(found.regressions) is flagged
    if flagged:
        assert "lion on gpt2, float32: 100 %" in found.regressions[0]
        assert f"now {100 * share:.0f} %" in found.regressions[0]


def test_rows_are_matched_by_model_rule_precision_and_library() -> None:
    low = Precision("bfloat16")
    old = record(case("adamw", 100.0, 1.0, {"fused": 2.0}), case("adamw", 60.0, 1.0, precision=low))
    new = record(case("adamw", 50.0, 1.0, {"fused": 3.0}), case("adamw", 50.0, 1.0, shape="mlp"))
    found = compare(old, new)
    assert [(row.who, round(row.old_ms, 9), round(row.new_ms, 9)) for row in found.rows] == [
        ("ours", 0.1, 0.05), ("fused", 0.2, 0.15),
    ]  # fmt: skip
    assert "1 of the figures are in the old run alone." in found.notes
    assert "1 of the figures are in the new run alone." in found.notes


def test_a_rule_that_lost_its_figures_is_flagged() -> None:
    gone = case("lion", 100.0, 1.0)
    gone.ours = gone.floor = None
    gone.error = "parity failed: the value is off"
    (line,) = compare(record(case("lion", 100.0, 1.0)), record(gone)).regressions
    assert line == "lion on gpt2, float32: 100 % of its floor before, now parity failed: the " + (
        "value is off"
    )


def test_other_machines_and_threads_are_told() -> None:
    old, new = record(case("adamw", 1.0, 1.0)), record(case("adamw", 1.0, 1.0))
    assert not compare(old, new).notes
    new.machine = replace(new.machine, cpu="Other", threads=99, torch="9.9")
    notes = " ".join(compare(old, new).notes)
    assert "Another machine" in notes
    assert "Another number of threads" in notes
    assert "Another torch" in notes


def test_the_command_compares_two_files(tmp_path: Path) -> None:
    old, new, same = (tmp_path / f"{name}.json" for name in ("old", "new", "same"))
    file.write(old, record(case("adamw", 100.0, 1.0, {"fused": 1.2})))
    file.write(new, record(case("adamw", 100.0, 0.7, {"fused": 1.2})))
    file.write(same, record(case("adamw", 110.0, 0.98, {"fused": 1.2})))
    worse = run(app, ["--from", str(new), "--compare", str(old)])
    assert worse.exit_code == 3, worse.output
    assert "slower: adamw on gpt2, float32: 100 % (100 to 100) of its floor before, now 70 %" in (
        worse.output
    )
    fine = run(app, ["--from", str(same), "--compare", str(old)])
    assert fine.exit_code == 0, fine.output
    assert "Nothing is slower" in fine.output
    for word in ("fused", "0.100", "0.110", "1.10"):
        assert word in fine.output
