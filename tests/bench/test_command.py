"""The command, from its options to the file that it writes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
import typer
from typer.testing import CliRunner

from glissade.bench import parity
from glissade.bench.command import bench

app = typer.Typer()
app.command()(bench)
run = CliRunner().invoke


def test_quick_run_writes_what_it_shows(tmp_path: Path) -> None:
    file = tmp_path / "bench.json"
    file.write_text("an older run")
    words = ["--quick", "--shapes", "mlp,compile", "-o", "adamw,lamb", "--threads", "1"]
    before = torch.get_num_threads()
    result = run(app, [*words, "--repeat", "2", "--json", str(file)])
    assert result.exit_code == 0, result.output
    assert torch.get_num_threads() == before
    assert [p.name for p in tmp_path.iterdir()] == ["bench.json"]
    record = json.loads(file.read_text())
    assert set(record) == {
        "schema", "machine", "settings", "shapes", "cases", "compile", "start", "goals", "started",
        "seconds", "busy_cores_of_others", "check",
    }  # fmt: skip
    assert record["schema"] == 2
    assert record["machine"]["threads"] == 1
    assert record["machine"]["torch"] == torch.__version__
    assert record["settings"]["quick"] is True
    assert record["settings"]["rounds"] == 2
    assert record["shapes"] == {"mlp": {"tensors": 10, "parameters": 17_466}}
    adamw, lamb = record["cases"]
    assert set(adamw) == {
        "rule", "shape", "dtype", "state_dtype", "bytes_per_parameter", "bytes_moved",
        "state_bytes", "held_bytes", "passes", "ours", "floor", "peers", "over_float32",
        "busy_cores_of_others", "notes", "error", "gb_per_s", "floor_percent", "host_us",
    }  # fmt: skip
    assert adamw["rule"] == "adamw"
    assert adamw["bytes_per_parameter"] == 28
    assert adamw["bytes_moved"] == 28 * 17_466
    assert adamw["passes"] == {"4r3w": 1.0}
    assert set(adamw["peers"]) == {"default", "foreach", "fused"}
    for timed in (adamw["ours"], adamw["floor"], *adamw["peers"].values()):
        assert set(timed) == {
            "us", "low", "high", "ratio", "ratio_low", "ratio_high", "peak_bytes", "first_step_s",
        }  # fmt: skip
        assert 0 < timed["low"] <= timed["us"] <= timed["high"]
        assert 0 < timed["ratio_low"] <= timed["ratio"] <= timed["ratio_high"]
    assert adamw["ours"]["ratio"] == 1
    assert adamw["floor_percent"] == pytest.approx(100 * adamw["floor"]["ratio"])
    assert adamw["gb_per_s"] == pytest.approx(28 * 17_466 / adamw["ours"]["us"] / 1e3)
    assert lamb["passes"] == {"3r1w": 1.0, "4r2w": 1.0}
    assert lamb["peers"] == {}
    assert [(k["rule"], k["stages"], k["again"]) for k in record["compile"]] == [
        ("adamw", 1, 0),
        ("lamb", 3, 0),
    ]
    for goal in record["goals"]:
        assert set(goal) == {"what", "value", "limit", "at_most", "unit", "met"}
    for word in ("adamw", "lamb", "µs a step", "% floor", "fused", "stages", "Goals", str(file)):
        assert word in result.output


def test_parity_failure_is_told_and_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parity, "mismatch", lambda entry, *how: "the value is off")
    result = run(app, ["--quick", "--shapes", "mlp", "-o", "sgd"])
    assert result.exit_code == 1
    assert "parity failed: the value is off" in result.output


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["-o", "adamv"], ["unknown optimizer 'adamv'", "adamw"]),
        (["--shapes", "gtp2"], ["unknown shape 'gtp2'", "gpt2"]),
        (["--shapes", ","], ["no shape was given", "compile"]),
        (["--json", "/no/such/folder/x.json"], ["/no/such/folder"]),
        (["--json", "/"], ["is a folder"]),
        (["--repeat", "0"], ["repeat"]),
        (["--dtype", "float32,bfloat"], ["unknown dtype 'bfloat'", "bfloat16"]),
        (["--state-dtype", "float4"], ["unknown state dtype 'float4'", "float32, bfloat16"]),
        (["--peers", "jaxx"], ["unknown peer 'jaxx'", "optax", "all"]),
        (["--peers", "torch,all"], ["unknown peer 'all'", "(alone)"]),
        (["--peers", ","], ["no peer was given"]),
        (["--picture", "x.pdf"], ["has to end in .png"]),
        (["--picture", "/no/such/folder/x.png"], ["/no/such/folder"]),
        (["--compare", "/no/such.json"], ["/no/such.json", "No such file"]),
        (["--from", "/no/such.json", "--quick"], ["--quick is for a run", "--compare"]),
    ],
)
def test_bad_input(words: list[str], said: list[str]) -> None:
    result = run(app, words)
    assert result.exit_code == 2
    for word in said:
        assert word in result.output
