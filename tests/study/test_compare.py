"""A comparison keeps every run through any death, and says what happened."""

from __future__ import annotations

import dataclasses
import json
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from glissade.study import compare as command_module
from glissade.study import conduct, store
from glissade.study import run as run_module
from glissade.study.analysis import analyse
from glissade.study.design import Plan, RunKey, RunResult, Settings
from glissade.study.engine import make
from glissade.study.loading import load
from tests.study import simulated
from tests.study.simulated import Made, Silent
from tests.waiting import LIMIT, patient, until

ROOT = Path(__file__).parents[2]
TASK = "tests/study/tiny.py"
WORDS = [TASK, "-o", "momentum,adam", "--trials", "4", "--studies", "2", "--seeds", "4"]
RUNS = 2 * 2 * (4 + 3 * 4) + 2 * 2 * 4


def command(*words: str) -> list[str]:
    return [sys.executable, "-m", "glissade.cli", "compare", *words]


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs in this process, without the seconds that others take to begin; probes are short."""
    monkeypatch.setattr(command_module, "make", lambda name, workers: simulated.Here())
    monkeypatch.setattr(run_module, "PROBED", 0.0)


def run(*words: str, code: int = 0) -> str:
    """A command's output, in one line; where processes do not matter."""
    app = typer.Typer()
    app.command()(command_module.compare)
    done = CliRunner().invoke(app, list(words))
    said = " ".join(done.output.split())
    assert done.exit_code == code, (said, done.exception)
    assert "Traceback" not in said
    return said


def run_apart(*words: str, code: int = 0) -> str:
    """The same in a process of its own, with its workers."""
    done = subprocess.run(command(*words), capture_output=True, text=True, cwd=ROOT)
    said = " ".join((done.stdout + done.stderr).split())
    assert done.returncode == code, said
    assert "Traceback" not in said
    return said


def quality(folder: Path) -> Any:
    """Every number of a comparison that is not a time."""
    summary = json.loads((folder / "summary.json").read_text())
    (task,) = summary["tasks"]
    timed = {"step_ms", "run_seconds", "seconds_to_target"}
    rows = [{k: v for k, v in row.items() if k not in timed} for row in task["rows"]]
    return rows, task["differences"], task["verdict"], task["target"], task["trials"]


def keys(folder: Path) -> list[tuple[Any, ...]]:
    """Of the runs in a file, which must be whole lines."""
    lines = (json.loads(line) for line in whole((folder / "runs.jsonl").read_bytes()))
    of = RunKey.__dataclass_fields__
    return [tuple(line[name] for name in of) for line in lines]


def whole(content: bytes) -> list[bytes]:
    """Lines that are JSON: the others were cut off."""
    found = []
    for line in content.split(b"\n"):
        try:
            json.loads(line)
        except ValueError:
            continue
        found.append(line)
    return found


@pytest.fixture(scope="module")
def straight(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A comparison that was not disturbed."""
    out = tmp_path_factory.mktemp("straight") / "out"
    said = run_apart(*WORDS, "--out", str(out))
    assert f"{RUNS} runs" in said
    return out


def descendants(pid: int) -> set[int]:
    found = set()
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            except OSError:
                continue
            if parent == pid:
                found |= {int(entry.name), *descendants(int(entry.name))}
    return found


def gone(pid: int) -> bool:
    try:
        return (Path("/proc") / str(pid) / "stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


def killed(out: Path, after: float, *words: str) -> int:
    """Start or go on, kill -9 so many seconds after the first new run; how many runs there are."""
    before = len(whole((out / "runs.jsonl").read_bytes())) if out.exists() else 0
    process = subprocess.Popen(
        command(*words, "--out", str(out)), cwd=ROOT,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    path = out / "runs.jsonl"
    until(
        lambda: (
            process.poll() is not None or (path.exists() and len(whole(path.read_bytes())) > before)
        ),
        "a new run",
    )
    time.sleep(after)
    workers = descendants(process.pid)
    process.send_signal(signal.SIGKILL)
    process.wait()
    until(lambda: all(gone(pid) for pid in workers), "workers to end with their parent")
    assert workers or process.returncode == 0
    return len(whole(path.read_bytes()))


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs /proc")
@patient
@pytest.mark.parametrize("times", [1, pytest.param(10, marks=pytest.mark.slow)])
def test_kill_9_loses_nothing(times: int, straight: Path, tmp_path: Path) -> None:
    draw = random.Random(times)
    out = tmp_path / "out"
    for i in range(times):
        words = WORDS if i == 0 else ["--resume"]
        killed(out, draw.uniform(0, 0.3 if times > 1 else 0.1), *words)
    before = (out / "runs.jsonl").read_bytes()
    run_apart("--resume", "--out", str(out))
    assert (out / "runs.jsonl").read_bytes().startswith(before)
    assert sorted(keys(out)) == sorted(keys(straight))
    assert len(set(keys(out))) == len(keys(out)) == RUNS  # none lost, none doubled
    assert quality(out) == quality(straight)


def test_what_is_written(straight: Path) -> None:
    names = {path.name for path in straight.iterdir()}
    assert {"plan.json", "runs.jsonl", "summary.json", "results.csv", "trials.csv"} <= names
    plan = json.loads((straight / "plan.json").read_text())
    lines = [json.loads(x) for x in (straight / "runs.jsonl").read_text().splitlines()]
    assert {line["plan"] for line in lines} == {plan["hash"]}
    assert all((line["test"] is None) == (line["phase"] in ("tune", "confirm")) for line in lines)
    results = (straight / "results.csv").read_text().splitlines()
    assert len(results) == 1 + 2 * 4
    trials = (straight / "trials.csv").read_text().splitlines()
    assert len(trials) == 1 + 2 * 2 * 4


def test_a_torn_line_is_made_again(here: None, straight: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "plan.json").write_bytes((straight / "plan.json").read_bytes())
    lines = (straight / "runs.jsonl").read_bytes().splitlines(keepends=True)
    torn = b"".join(lines[:5]) + lines[5][:-40]
    (out / "runs.jsonl").write_bytes(torn)
    said = run("--resume", "--out", str(out))
    assert "1 damaged line in runs.jsonl (line 6): this run is made again" in said
    assert "5 runs are there already" in said
    assert (out / "runs.jsonl").read_bytes().startswith(torn + b"\n")
    assert quality(out) == quality(straight)


def test_a_disk_that_is_full(here: None, straight: Path, tmp_path: Path) -> None:
    """No file may grow beyond some kilobytes: what is there is kept, and it can go on."""
    out = tmp_path / "out"
    start = (
        "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (20000, 20000)); "
        "from glissade.cli import main; main()"
    )
    done = subprocess.run(
        [sys.executable, "-c", start, "compare", *WORDS, "--out", str(out)],
        capture_output=True, text=True, cwd=ROOT,
    )  # fmt: skip
    assert done.returncode == 1, done.stderr
    assert "cannot write" in done.stderr
    assert "runs are saved. To go on:" in done.stderr
    assert f"glissade compare --resume --out {out}" in done.stderr
    assert "Traceback" not in done.stderr
    run("--resume", "--out", str(out))
    assert quality(out) == quality(straight)


def test_a_task_that_raises_keeps_the_others(
    here: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flag, out = tmp_path / "raises", tmp_path / "out"
    flag.touch()
    monkeypatch.setenv("TINY_RAISES", str(flag))
    words = [f"{TASK}:raising", "-o", "sgd(lr=between(1e-2, 5)), adam", "--trials", "6",
             "--studies", "1", "--seeds", "2", "--out", str(out)]  # fmt: skip
    said = run(*words, code=1)
    assert "RuntimeError: the sensor fell off" in said
    assert "tiny.py:" in said
    assert "--resume makes them again" in said
    failed = [x for x in map(json.loads, (out / "runs.jsonl").read_text().splitlines())
              if x["error"]]  # fmt: skip
    assert failed
    assert {x["arm"][:3] for x in failed} == {"sgd"}
    rows = {row["label"][:3]: row for row in quality(out)[0]}
    assert rows["Ada"]["failed"] == 0
    assert rows["Ada"]["test"] is not None
    flag.unlink()
    run("--resume", "--out", str(out))
    assert all(row["failed"] == 0 for row in quality(out)[0])


def test_an_optimizer_that_diverges_everywhere(here: None, tmp_path: Path) -> None:
    words = [TASK, "-o", "sgd(lr=between(1e6, 1e9)), adam", "--trials", "2", "--studies", "1",
             "--seeds", "6", "--out", str(tmp_path)]  # fmt: skip
    said = run(*words)
    assert "Adam won: its squared error" in said
    assert (
        "SGD [lr=between(1000000, 1000000000)] diverged in 2 of 2 trials and 6 of 6 fresh seeds"
        in said
    )
    (lost,) = (row for row in quality(tmp_path)[0] if row["label"].startswith("SGD"))
    assert (lost["trials_lost"], lost["runs_lost"], lost["test"]) == (2, 6, None)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["digits", "-o", "adam,adamv"], "adamv"),
        (["digitz"], "digits"),
        (["no.py:task"], "there is no file"),
        (["digits", "-o", "adam,adam"], "twice"),
        (["digits", "--seeds", "0"], "at least 1"),
        (["digits", "--resume"], "--out"),
        (["--resume", "--out", "/nowhere"], "nothing to resume"),
        (["digits", "-o", "adam", "--backend", "tpu"], "'tpu'"),
        (["digits", "--budget", "soon"], "20m"),
        (["digits", "--batch", "5000", "-o", "adam"], "no batch of 5000"),
        (["digits", "--batch", "all", "-o", "adam"], "full or a number"),
        (["digits", "--target", "low"], "auto or a number"),
    ],
)
def test_bad_input(words: list[str], said: str, here: None) -> None:
    assert said in run(*words, code=2)


def test_a_folder_that_cannot_be_written(here: None, tmp_path: Path) -> None:
    said = run(*WORDS, "--out", "/dev/null/x", code=2)
    assert "cannot write in /dev/null/x: /dev/null is no folder" in said


def test_another_plan_is_refused(here: None, straight: Path) -> None:
    said = run("--resume", "--out", str(straight), "--trials", "5", code=2)
    assert "settings.trials was 4, is now 5" in said
    said = run(*WORDS, "--out", str(straight), code=2)
    assert f"or go on with them: --resume --out {straight}" in said


@patient
def test_ctrl_c_says_how_to_go_on(tmp_path: Path) -> None:
    # Where the tests run in the background of a shell, an interrupt would be ignored.
    start = (
        "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); "
        "from glissade.cli import main; main()"
    )
    words = ["compare", TASK, "-o", "adam", "--trials", "64", "--out", str(tmp_path / "o")]
    process = subprocess.Popen(
        [sys.executable, "-c", start, *words], cwd=ROOT,
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    path = tmp_path / "o" / "runs.jsonl"
    until(lambda: path.exists() and path.read_bytes().count(b"\n") >= 2, "two runs")
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=LIMIT)
    assert process.returncode == 130
    assert "interrupted" in said
    assert f"glissade compare --resume --out {tmp_path / 'o'}" in said


def test_a_dry_run_writes_nothing(here: None, tmp_path: Path) -> None:
    said = run(*WORDS, "--out", str(tmp_path / "o"), "--dry-run")
    assert f"{RUNS} runs" in said
    assert "weight_decay between" in said
    assert not (tmp_path / "o").exists()


def test_a_budget_without_room_is_refused(here: None, tmp_path: Path) -> None:
    said = run(TASK, "-o", "adam,lion", "--steps", "50000", "--budget", "1s", "--out",
               str(tmp_path / "o"), code=2)  # fmt: skip
    assert "a budget of 1.0 s is too short: 2 trials of each optimizer in each study" in said
    assert not (tmp_path / "o").exists()


# Budgets, with a clock that runs by the run


class Ticking(Made):
    """Each run takes a second of the clock that the budget is held against."""

    now = 0.0

    def run(self, function: Any, jobs: Any, told: Any, go: Any = lambda: True) -> None:
        def counted(result: RunResult) -> None:
            Ticking.now += 1.0 / self.workers
            told(result)

        super().run(function, jobs, counted, go)


@pytest.mark.parametrize("budget", [20.0, 40.0, 60.0, 1000.0])
def test_a_budget_cuts_all_alike(budget: float, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Ticking, "now", 0.0)
    monkeypatch.setattr(conduct.Clock, "elapsed", property(lambda self: Ticking.now))
    settings = Settings((TASK,), "momentum, adam", trials=16, studies=2, seeds=8)
    plan = Plan(settings, (load(TASK),))
    kept = simulated.Kept(Path("nowhere"), plan.hash)
    engine = Ticking(plan, lambda key, values: simulated.noise(0, key))
    outcome = conduct.compare(plan, kept, engine, Silent(), budget)
    assert Ticking.now <= max(budget, 8 + 1) + 1  # two rounds of trials are made in any case
    tuned = outcome.of("tune")
    assert outcome.cut == (budget < 1000)
    for arm in plan.arms:
        for study in range(2):
            own = {x.key.trial for x in tuned if (x.key.arm, x.key.study) == (arm.name, study)}
            assert own >= set(range(outcome.trials))
        assert sorted(x.key.seed for x in outcome.of("final") if x.key.arm == arm.name) == [
            *range(outcome.seeds)
        ]
    said = analyse(outcome).caveats
    assert any("Stopped at the budget" in line for line in said) == outcome.cut
    if budget >= 40:
        assert outcome.seeds >= 1
        assert outcome.trials >= 2


# The store


def test_a_store_of_another_plan_is_refused(tmp_path: Path) -> None:
    plan = Plan(Settings((TASK,), "adam", trials=2, studies=1, seeds=1), (load(TASK),))
    kept = store.Store.open(tmp_path, plan, resume=False)
    kept.append(simulated.result(plan.job(plan.tuning()[0]), 1.0))
    kept.close()
    with pytest.raises(store.StoreError, match="--resume"):
        store.Store.open(tmp_path, plan, resume=False)
    other = dataclasses.replace(plan, versions={"torch": "0.1"})
    with pytest.raises(store.StoreError, match=r"versions\.torch was"):
        store.Store.open(tmp_path, other, resume=True)
    again = store.Store.open(tmp_path, plan, resume=True)
    assert list(again.results) == [plan.tuning()[0]]
    assert again.results[plan.tuning()[0]] == kept.results[plan.tuning()[0]]
    again.close()


def test_results_do_not_depend_on_the_engine_or_the_order() -> None:
    """Each run by itself, in this process and in another, in any order."""
    plan = Plan(Settings((TASK,), "adam, lion", trials=2, studies=1, seeds=2), (load(TASK),))
    jobs = [plan.job(key) for key in [*plan.tuning(), *plan.defaults()]]
    here, there = {}, {}
    from glissade.study.run import execute

    for job in jobs:
        here[job.key] = execute(job)
    engine = make("local", 2)
    try:
        engine.run(execute, jobs[::-1], lambda found: there.update({found.key: found}))
    finally:
        engine.close()

    def essence(found: RunResult) -> RunResult:
        steps = tuple((step, 0.0, value) for step, _, value in found.validation)
        return dataclasses.replace(found, step_ms=None, seconds=0.0, validation=steps)

    assert {k: essence(v) for k, v in here.items()} == {k: essence(v) for k, v in there.items()}
    assert all(found.error is None for found in here.values())
