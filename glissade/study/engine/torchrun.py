"""A run that is itself a torchrun job: several processes on one machine train one model.

For tasks with ``processes`` > 1. ``build(seed)`` wraps the model in DDP or `fully_shard` itself,
where ``torch.distributed.is_initialized()``: it is called without a group too, for checks and
estimates. Every process is given the same batches, of which ``loss`` takes its share, such as
``batch[rank::world_size]``; ``metric`` is measured by every process, on the same data.

No process outlives the one that launched it: all of them wait at a pipe (their stdin), which
closes when that one ends, however it does.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from glissade.study.design import Job, RunResult
from glissade.study.engine.base import path
from glissade.study.run import failed
from glissade.study.typed import conform

GRACE = 10.0  # seconds for the processes to end by themselves
SHOWN = 300  # characters of a log that tells nothing better


def launch(job: Job, processes: int) -> RunResult:
    """Train as a job says, in so many processes."""
    began = time.perf_counter()
    with tempfile.TemporaryDirectory(prefix="glissade-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        (folder / "job.json").write_text(json.dumps(asdict(job)), encoding="utf-8")
        code = _agent(folder, processes)
        try:
            return result_from(json.loads((folder / "result.json").read_text(encoding="utf-8")))
        except FileNotFoundError:
            said = _said(folder, processes, code)
    return failed(job, said, time.perf_counter() - began)


def _agent(folder: Path, processes: int) -> int:
    """torchrun's agent, which starts and watches the processes; its exit code."""
    command = [sys.executable, "-m", __name__, str(folder), str(processes)]
    with (folder / "log.txt").open("wb") as log, subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=log, stderr=log,
        env={**os.environ, "PYTHONPATH": path(), "OMP_NUM_THREADS": "1"},
    ) as agent:  # fmt: skip
        assert agent.stdin is not None
        try:
            return agent.wait()
        finally:
            agent.stdin.close()  # the end of all
            try:
                agent.wait(GRACE)
            except subprocess.TimeoutExpired:
                agent.kill()


def _said(folder: Path, processes: int, code: int) -> str:
    """Why there is no result."""
    try:
        return (folder / "error.txt").read_text(encoding="utf-8")
    except FileNotFoundError:
        log = (folder / "log.txt").read_text(encoding="utf-8", errors="replace").strip()
        return f"torchrun with {processes} processes ended with code {code}: {log[-SHOWN:]}"


def _cause(folder: Path, processes: int, failures: Iterable[tuple[int, Any]]) -> str:
    """What went wrong first. That the others lost a peer is no news."""
    told = {rank: folder / f"error-{rank}.json" for rank in range(processes)}
    for rank, failure in failures:
        if not told[rank].exists():
            how = f"with code {failure.exitcode}" if failure.exitcode >= 0 else "by a signal"
            more = "" if failure.exitcode >= 0 else f" ({failure.signal_name()}; out of memory?)"
            return f"process {rank} of {processes} ended {how}{more}"
    records = [json.loads(path.read_text(encoding="utf-8")) for path in told.values()
               if path.exists()]  # fmt: skip
    first = min(records, key=lambda record: record["at"])
    return f"process {first['rank']} of {processes}: {first['error']}"


def end_with_parent(before: Callable[[], object] = lambda: None) -> None:
    """End this process at once when the pipe at its stdin closes."""

    def watch() -> None:
        while os.read(0, 1):
            pass
        before()
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def job_from(record: dict[str, Any]) -> Job:
    """Return a job from its JSON."""
    return conform(Job, record)


def result_from(record: dict[str, Any]) -> RunResult:
    """Return a result from its JSON."""
    return conform(RunResult, record)


def main(name: str, processes: str) -> None:
    """The agent."""
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.run import parse_args, run

    folder = Path(name)
    end_with_parent(lambda: shutil.rmtree(folder, ignore_errors=True))
    options = ["--standalone", "--nproc-per-node", processes, "-m", "glissade.study.trial", name]
    try:
        run(parse_args(options))  # type: ignore[no-untyped-call]
    except ChildFailedError as error:
        said = _cause(folder, int(processes), error.failures.items())
        (folder / "error.txt").write_text(said, encoding="utf-8")
        sys.exit(1)


if __name__ == "__main__":
    main(*sys.argv[1:])
