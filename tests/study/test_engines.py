"""Engines: the same table from each, whatever dies, and nobody is left behind."""

from __future__ import annotations

import multiprocessing
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import pytest

from glissade.study.design import RunResult
from glissade.study.engine import Engine, EngineError, base, make, torchrun
from glissade.study.engine.local import Local
from glissade.study.engine.slurm import Slurm
from glissade.study.run import Probe, execute, probe
from tests.study import small
from tests.study.small import job, numbers
from tests.waiting import patient, until

posix = pytest.mark.skipif(sys.platform == "win32", reason="kills with signals")


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A folder of its own for each test, with the task's file."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", base.path())
    for name in ("RAY_ADDRESS", "GLISSADE_RAY", "GLISSADE_SLURM"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "my.py").write_text(small.TASK)
    yield
    sys.modules.pop("my", None)


def engine(name: str) -> Engine:
    if name == "ray":
        pytest.importorskip("ray")
    if name == "submitit":
        return Slurm(2, cluster="local")
    return make(name, 2)


def ran(with_: Engine, *jobs: object) -> dict[object, object]:
    results: list[RunResult] = []
    try:
        with_.run(execute, jobs, results.append)  # type: ignore[arg-type]
    finally:
        with_.close()
    assert len({x.key for x in results}) == len(results) == len(jobs)
    return dict(numbers(results))


@pytest.mark.parametrize("name", ["local", "ray", "submitit"])
def test_the_same_runs_as_in_this_process(name: str) -> None:
    """Bit for bit."""
    jobs = [job(seed=seed) for seed in range(3)]
    assert ran(engine(name), *jobs) == numbers(execute(x) for x in jobs)


@posix
@pytest.mark.slow
@pytest.mark.parametrize("name", ["local", "ray"])
def test_a_worker_that_is_killed_changes_nothing(name: str, tmp_path: Path) -> None:
    """A whole comparison; what is lost with its worker is made again."""
    calm = small.compared(small.small_plan("mortal"), Local(2), tmp_path / "calm")
    (tmp_path / "kill").touch()
    assert small.compared(small.small_plan("mortal"), engine(name), tmp_path / "deadly") == calm
    assert not (tmp_path / "kill").exists()


@posix
@pytest.mark.slow
def test_a_job_that_is_killed_is_submitted_again(tmp_path: Path) -> None:
    (tmp_path / "kill").touch()
    table = ran(engine("submitit"), job("mortal"))
    assert not (tmp_path / "kill").exists()
    assert table == numbers([execute(job("mortal"))])


@pytest.mark.slow
@pytest.mark.parametrize("name", ["local", "ray"])
def test_a_run_that_always_kills_its_worker_fails_alone(name: str) -> None:
    jobs = [job(seed=0), job("fatal", seed=1), job(seed=2)]
    results: list[RunResult] = []
    with_ = engine(name)
    try:
        with_.run(execute, jobs, results.append)
    finally:
        with_.close()
    table = {x.key.seed: x for x in results}
    assert len(results) == len(table) == 3
    assert table[0].error is table[2].error is None
    assert str(base.RETRIES) in (table[1].error or "")


@pytest.mark.parametrize("name", ["local", pytest.param("ray", marks=pytest.mark.slow)])
def test_no_further_run_starts_when_told_so(name: str) -> None:
    """Those under way are ended."""
    results: list[RunResult] = []
    answers = iter([True, True, False, False, False, False])
    with_ = engine(name)
    try:
        with_.run(execute, [job(seed=i) for i in range(5)], results.append, lambda: next(answers))
    finally:
        with_.close()
    assert sorted(x.key.seed for x in results) == [0, 1]


DRIVER = """
import sys
from glissade.study.engine import make
from glissade.study.run import execute
from tests.study.small import job
if __name__ == "__main__":
    make(sys.argv[1], 2).run(execute, [job(sys.argv[2], seed=i) for i in range(2)], print)
"""


@posix
@patient
@pytest.mark.slow
@pytest.mark.parametrize(("name", "task"), [
    ("local", "slow"), ("ray", "slow"), ("local", "slow_double"), ("ray", "slow_double"),
])  # fmt: skip
def test_nobody_outlives_a_parent_that_is_killed(name: str, task: str, tmp_path: Path) -> None:
    if name == "ray":
        pytest.importorskip("ray")
    (tmp_path / "driver.py").write_text(DRIVER)
    with subprocess.Popen([sys.executable, "driver.py", name, task]) as driver:
        try:
            pids = small.workers(tmp_path, 2 if task == "slow" else 4)
        finally:
            driver.kill()
    until(lambda: not any(map(small.alive, pids)), "workers to end with their parent")


@posix
@patient
@pytest.mark.parametrize("newer", [False, True], ids=["as here", "kill_workers of Python 3.14"])
def test_closing_waits_for_runs_or_ends_others_processes(
    newer: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Workers in the middle of a run are gone at once; a process that is not the pool's stays."""
    called: list[bool] = []
    made_up = newer and not hasattr(ProcessPoolExecutor, "kill_workers")
    if made_up:

        def kill_workers(self: ProcessPoolExecutor) -> None:
            called.append(True)
            own = [p for p in multiprocessing.active_children() if p.pid != other.pid]
            self.shutdown(wait=False, cancel_futures=True)
            for process in own:
                process.kill()

        monkeypatch.setattr(ProcessPoolExecutor, "kill_workers", kill_workers, raising=False)
    elif not newer:
        monkeypatch.delattr(ProcessPoolExecutor, "kill_workers", raising=False)
    other = multiprocessing.get_context("spawn").Process(target=time.sleep, args=(3600,))
    other.start()
    with_ = Local(3)
    pids: list[int] = []

    def interrupted() -> bool:
        """In the third turn, when two runs are under way."""
        if len(with_.processes) == 2:
            pids.extend(small.workers(tmp_path, 2))
            raise KeyboardInterrupt
        return True

    try:
        with pytest.raises(KeyboardInterrupt):
            with_.run(execute, [job("slow", seed=i) for i in range(3)], print, interrupted)
    finally:
        with_.close()
    try:
        assert len(set(pids)) == 2
        assert not any(map(small.alive, pids))
        assert other.is_alive()
        assert bool(called) == made_up
        assert not with_.processes
    finally:
        other.kill()
        other.join()


# Runs of several processes


@pytest.mark.slow
def test_ddp_trains_as_one_process_does() -> None:
    """With the same batch over all of them: up to rounding."""
    one, two = execute(job()), execute(job("double"))
    assert two.error is None
    assert two.quality == pytest.approx(one.quality, rel=1e-4)
    assert two.test == pytest.approx(one.test, rel=1e-4)
    assert two.losses == pytest.approx(one.losses, rel=1e-4)
    assert [step for step, *_ in two.validation] == [step for step, *_ in one.validation]


@pytest.mark.slow
def test_fsdp_trains_as_one_process_does() -> None:
    one, two = execute(job()), execute(job("sharded"))
    assert two.error is None
    assert two.quality == pytest.approx(one.quality, rel=1e-4)


@pytest.mark.slow
def test_all_processes_stop_where_one_diverges() -> None:
    result = execute(job("nan"))
    assert (result.error, result.diverged_at, result.quality) == (None, 1, None)


@posix
@pytest.mark.slow
@pytest.mark.parametrize(("task", "said"), [
    ("raises", "process 1 of 2: KeyError: 'no such thing' ("),
    ("killed", "process 1 of 2 ended by a signal (SIGKILL"),
])  # fmt: skip
def test_a_process_that_fails_is_told(task: str, said: str) -> None:
    result = execute(job(task))
    assert result.quality is None
    assert (result.error or "").startswith(said)


def test_jobs_and_results_survive_json() -> None:
    import json
    from dataclasses import asdict

    result = execute(job())
    assert torchrun.job_from(json.loads(json.dumps(asdict(job())))) == job()
    assert torchrun.result_from(json.loads(json.dumps(asdict(result)))) == result


# What cannot be had


def test_lost_runs_and_probes() -> None:
    assert base.lost(execute, job(), "why").error == "why"
    found = base.lost(probe, job(), "why")
    assert isinstance(found, Probe)
    assert found.error == "why"


@pytest.mark.parametrize(("name", "package"), [("ray", "ray"), ("slurm", "submitit")])
def test_a_package_that_is_missing(
    name: str, package: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(EngineError, match=r"pip install 'glissade\[cluster\]'"):
        make(name)


def test_no_sbatch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(EngineError, match="no sbatch on this machine"):
        make("slurm")


@pytest.mark.parametrize(("name", "options", "said"), [
    ("slurm", "partitoin=gpu", "unknown option 'partitoin'.*did you mean 'partition'"),
    ("slurm", "timeout_min=long", "timeout_min='long', where a whole number"),
    ("slurm", "partition='gpu", "cannot be read"),
    ("ray", "gpus=many", "gpus='many', where a number"),
    ("ray", "ship=perhaps", "ship='perhaps', where"),
])  # fmt: skip
def test_wrong_options(name: str, options: str, said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(f"GLISSADE_{name.upper()}", options)
    with pytest.raises(EngineError, match=said):
        make(name)


def test_what_sbatch_is_asked_for(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """With a program of that name that keeps what it is given."""
    sbatch = tmp_path / "sbatch"
    sbatch.write_text('#!/bin/sh\ncp "$1" asked; echo Submitted batch job 1\n')
    sbatch.chmod(0o755)
    (tmp_path / "srun").symlink_to(sbatch)
    (tmp_path / "scancel").symlink_to("/bin/true")
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    monkeypatch.setenv("GLISSADE_SLURM", "partition=gpu timeout_min=90 gpus_per_node=2 qos=long")
    with_ = Slurm(1)
    monkeypatch.setattr(time, "sleep", lambda seconds: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        with_.run(execute, [job(seed=0), job(seed=1)], print)
    assert len(with_.running) == 1
    with_.close()
    asked = (tmp_path / "asked").read_text()
    for line in ("--partition=gpu", "--time=90", "--gpus-per-node=2", "--qos=long"):
        assert f"#SBATCH {line}\n" in asked


def test_a_ray_cluster_that_does_not_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("ray")
    monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:9")
    with pytest.raises(EngineError, match=r"no Ray cluster answers at RAY_ADDRESS=127\.0\.0\.1:9"):
        make("ray")
