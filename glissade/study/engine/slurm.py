"""Slurm, through submitit: each run of a comparison is a job in the queue.

A job costs Slurm seconds, so runs should take minutes. Every node needs the folder and the Python
of this process at the same place, as submitit does: a shared file system.

``GLISSADE_SLURM="partition=gpu timeout_min=60 gpus_per_node=1"`` says what each job asks for:

    partition, account, qos, constraint, reservation, exclude, gres    as sbatch's options
    timeout_min [60], mem_gb, cpus_per_task [1], gpus_per_node         numbers

If this process is killed with SIGKILL, the jobs that are queued, `workers` at most, run to their
end; with any other end they are cancelled.
"""

from __future__ import annotations

import contextlib
import shlex
import shutil
import time
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import torch

from glissade.study.design import Job
from glissade.study.engine.base import RETRIES, EngineError, lost, path
from glissade.study.engine.options import options

T = TypeVar("T")
FOLDER = Path("glissade-out") / "slurm"
WORKERS = 16
OF_SBATCH = ("partition", "account", "qos", "constraint", "reservation", "exclude", "gres")
OF_ALL = {"timeout_min": int, "mem_gb": float, "cpus_per_task": int, "gpus_per_node": int}
SECONDS = {"slurm": 2.0}  # between looks at the queue; 0.1 elsewhere


class Slurm:
    """Jobs of Slurm, `workers` at a time [16], with their logs in `folder`.

    Args:
        cluster: submitit's name of it; "local" is processes on this machine, for tests.
    """

    def __init__(
        self, workers: int | None = None, cluster: str = "slurm", folder: Path = FOLDER
    ) -> None:
        self.workers = workers or WORKERS
        self.cluster, self.folder = cluster, folder
        asked = options("GLISSADE_SLURM", {**dict.fromkeys(OF_SBATCH, str), **OF_ALL})
        try:
            import submitit
        except ModuleNotFoundError:
            raise EngineError("needs submitit: pip install 'glissade[cluster]'") from None
        if cluster == "slurm" and shutil.which("sbatch") is None:
            raise EngineError(
                "no sbatch on this machine: start on a login node of the Slurm cluster, or take "
                "--engine local"
            )
        self.submitit = submitit
        self.executor = submitit.AutoExecutor(folder, cluster=cluster)
        self.executor.update_parameters(
            name="glissade",
            **{
                "timeout_min": 60,
                "cpus_per_task": 1,
                f"{cluster}_setup": [f"export PYTHONPATH={shlex.quote(path())}"],
                **{f"slurm_{key}" if key in OF_SBATCH else key: x for key, x in asked.items()},
            },
        )
        self.running: dict[Any, Job] = {}

    def run(
        self,
        function: Callable[[Job], T],
        jobs: Sequence[Job],
        told: Callable[[T], None],
        go: Callable[[], bool] = lambda: True,
    ) -> None:
        waiting, tries = deque(jobs), dict.fromkeys((job.key for job in jobs), 0)
        while waiting or self.running:
            while waiting and len(self.running) < self.workers and go():
                job = waiting.popleft()
                self.running[self._submitted(function, job)] = job
            if not self.running:
                return
            ended = [one for one in self.running if one.done()]
            for one in ended:
                job = self.running.pop(one)
                try:
                    result = one.result()
                except self.submitit.core.utils.FailedJobError as error:
                    said = str(error).strip().rpartition("\n")[2]
                    raise EngineError(f"a job failed: {said} (log: {one.paths.stderr})") from None
                except self.submitit.core.utils.UncompletedJobError:
                    tries[job.key] += 1
                    if tries[job.key] < RETRIES:
                        waiting.appendleft(job)
                    else:
                        why = f"its job ended {RETRIES} times without a result"
                        told(lost(function, job, f"{why} (log: {one.paths.stderr})"))
                else:
                    self._tidy(one)
                    told(result)
            if not ended:
                time.sleep(SECONDS.get(self.cluster, 0.1))

    def close(self) -> None:
        for one in self.running:
            with contextlib.suppress(Exception):
                one.cancel()
        self.running = {}

    def _submitted(self, function: Callable[[Job], T], job: Job) -> Any:
        try:
            return self.executor.submit(_call, function, job)
        except self.submitit.core.utils.FailedSubmissionError as error:
            raise EngineError(f"sbatch refuses: {str(error).strip()}") from None

    def _tidy(self, one: Any) -> None:
        """Remove the files of a job that ended well."""
        for file in self.folder.glob(f"{one.job_id}_*"):
            file.unlink(missing_ok=True)


def _call(function: Callable[[Job], T], job: Job) -> T:
    """In a job."""
    torch.set_num_threads(1)
    return function(job)
