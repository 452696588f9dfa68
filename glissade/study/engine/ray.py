"""Ray Core: the runs of a comparison as tasks on a cluster.

The cluster is the one at ``RAY_ADDRESS``, else one that ``ray start`` began on this machine, else
one of this machine's cores that is started here and ends with this process.

Every machine needs Python, torch and glissade's other dependencies in the same versions; glissade
itself is sent along. If the cluster has other machines, so is the current folder, in which the
task's file must be (what git ignores is left out, and Ray allows 512 MB). With ``ship=no`` nothing
is sent, and the folder is expected at the same place on every machine: a shared file system.

``GLISSADE_RAY="cpus=1 gpus=0.5"`` is what each run takes of the cluster: by default one CPU and no
share of a GPU.
"""

from __future__ import annotations

import contextlib
import logging
import os
import socket
import sys
import traceback
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import gettempdir
from types import ModuleType
from typing import Any, TypeVar

import torch

import glissade
from glissade.study.design import Job
from glissade.study.engine.base import RETRIES, EngineError, lost, path
from glissade.study.engine.local import cores
from glissade.study.engine.options import options

T = TypeVar("T")
LEFT_OUT = [".git", ".venv", "venv", "glissade-out", "__pycache__"]
PATIENCE = 5.0  # seconds for a cluster to answer
STORE = 100 * 2**20  # bytes of Ray's object store on this machine: results are small


def _ship(value: str) -> bool:
    if value not in ("yes", "no"):
        raise ValueError
    return value == "yes"


class Ray:
    """Tasks on a Ray cluster, `workers` at a time; None: as many as there is room for."""

    def __init__(self, workers: int | None = None) -> None:
        kinds: dict[str, Any] = {"cpus": float, "gpus": float, "ship": _ship}
        self.options = {"cpus": 1.0, "gpus": 0.0, "ship": True, **options("GLISSADE_RAY", kinds)}
        try:
            import ray
        except ModuleNotFoundError:
            raise EngineError("needs Ray: pip install 'glissade[cluster]'") from None
        self.ray: ModuleType = ray
        self.own = not ray.is_initialized()  # the connection, to be closed in the end
        self.address: str | None = None  # what Ray is to be told; None: it finds the cluster
        self.environment: dict[str, Any] | None = None  # that was shipped
        if self.own:
            self._connect(workers)
        self.workers = workers or self._room()

    def run(
        self,
        function: Callable[[Job], T],
        jobs: Sequence[Job],
        told: Callable[[T], None],
        go: Callable[[], bool] = lambda: True,
    ) -> None:
        ray, failures = self.ray, self.ray.exceptions
        folder = self._ship(jobs)
        one = ray.remote(
            max_retries=0, num_cpus=self.options["cpus"], num_gpus=self.options["gpus"]
        )(_call)
        waiting, tries = deque(jobs), dict.fromkeys((job.key for job in jobs), 0)
        running: dict[Any, Job] = {}
        try:
            while waiting or running:
                while waiting and len(running) < self.workers and go():
                    job = waiting.popleft()
                    running[one.remote(folder, function, job)] = job
                if not running:
                    return
                ended, _ = ray.wait([*running], num_returns=1)
                for reference in ended:
                    job = running.pop(reference)
                    try:
                        result = ray.get(reference)
                    except failures.RayTaskError as error:  # raised by the function
                        raise error.cause from None
                    except failures.RuntimeEnvSetupError as error:
                        raise EngineError(f"Ray cannot set up its workers: {error}") from None
                    except failures.RayError as error:  # the worker or its machine has died
                        tries[job.key] += 1
                        if tries[job.key] < RETRIES:
                            waiting.appendleft(job)
                        else:
                            told(lost(function, job, _why(error)))
                    else:
                        told(result)
        finally:
            for reference in running:
                with contextlib.suppress(Exception):
                    ray.cancel(reference, force=True)

    def close(self) -> None:
        if self.own and self.ray.is_initialized():
            self.ray.shutdown()  # workers of this connection end with it

    def _connect(self, workers: int | None) -> None:
        # Workers choose their device as they would without Ray, unless `gpus` says otherwise.
        os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        here = {"env_vars": {"PYTHONPATH": path()}}
        address = _address()
        if _answers(address):
            # One that Ray finds itself gets the user's token; an address that is given does not,
            # unless RAY_AUTH_MODE=token says that it may.
            self.address = os.environ.get("RAY_ADDRESS")
            self._init(self.address, runtime_env=here)
            return
        if "RAY_ADDRESS" in os.environ:
            raise EngineError(
                f"no Ray cluster answers at RAY_ADDRESS={address}: start one with 'ray start "
                "--head', or unset RAY_ADDRESS to use this machine"
            )
        cpus = max(cores(), round((workers or 0) * self.options["cpus"] + 0.5))
        self._init(
            "local", num_cpus=cpus, object_store_memory=STORE, include_dashboard=False,
            runtime_env=here,
        )  # fmt: skip
        print("ray: no cluster is running; started one on this machine", file=sys.stderr)

    def _init(self, address: str | None, **more: Any) -> None:
        try:
            self.ray.init(address, log_to_driver=False, logging_level=logging.ERROR, **more)
        except Exception as error:
            said = f"{type(error).__name__}: {str(error).strip()}".partition("\n")[0]
            if "AuthenticationError" in "".join(traceback.format_exception(error)):
                said += (
                    " (it wants a token: if it is yours, set RAY_AUTH_MODE=token, and Ray uses the "
                    "one that it keeps for you)"
                )
            raise EngineError(f"Ray cannot be used: {said}") from error

    def _room(self) -> int:
        """How many runs fit into the cluster."""
        there = self.ray.cluster_resources()
        room = [
            there.get(name, 0) // self.options[option]
            for name, option in (("CPU", "cpus"), ("GPU", "gpus"))
            if self.options[option]
        ]
        if not room or min(room) < 1:
            raise EngineError(
                f"no run fits into the Ray cluster: it has {there.get('CPU', 0):g} CPUs and "
                f"{there.get('GPU', 0):g} GPUs, and each run takes {self.options['cpus']:g} and "
                f"{self.options['gpus']:g} (GLISSADE_RAY)"
            )
        return int(min(room))

    def _ship(self, jobs: Sequence[Job]) -> str | None:
        """Send what other machines need; the folder in which workers run, None: what was sent."""
        if not self.own or not self.options["ship"] or not self._elsewhere():
            return os.getcwd()
        for job in jobs:
            place = job.key.task.rpartition(":")[0] or job.key.task
            file = Path(place)
            if file.suffix == ".py" and (file.is_absolute() or ".." in file.parts):
                raise EngineError(
                    f"task {job.key.task!r}: Ray's other machines are sent the current folder; "
                    "start in the folder of the task's file, and give its name alone"
                )
        if self.environment is None:
            self.environment = {
                "working_dir": os.getcwd(),
                "py_modules": [str(Path(glissade.__file__).parent)],
                "excludes": LEFT_OUT,
            }
            self.ray.shutdown()  # only a new connection can have another environment
            self._init(self.address, runtime_env=self.environment)
        return None

    def _elsewhere(self) -> bool:
        """Whether the cluster has other machines."""
        nodes = [node["NodeManagerAddress"] for node in self.ray.nodes() if node["Alive"]]
        return any(node != self.ray.util.get_node_ip_address() for node in nodes)


def _call(folder: str | None, function: Callable[[Job], T], job: Job) -> T:
    """In a worker."""
    torch.set_num_threads(1)
    if folder is not None:
        os.chdir(folder)
    return function(job)


def _why(error: Exception) -> str:
    said = str(error).strip().partition("\n")[0]
    return f"its worker died {RETRIES} times ({type(error).__name__}: {said[:200]})"


def _address() -> str:
    """Of the cluster to use; "" if none is known.

    Not Ray's own ``auto``: that takes any cluster, even one of another comparison that ends with
    it, and waits for minutes for one that was killed.
    """
    given = os.environ.get("RAY_ADDRESS")
    if given is not None:
        return given
    folder = Path(os.environ.get("RAY_TMPDIR") or ("/tmp" if os.sep == "/" else gettempdir()))
    try:
        return (folder / "ray" / "ray_current_cluster").read_text().strip()  # by `ray start`
    except OSError:
        return ""


def _answers(address: str) -> bool:
    """Whether somebody listens there."""
    host, _, port = address.rpartition("://")[2].rpartition(":")
    if not port.isdigit():
        return False
    try:
        socket.create_connection((host, int(port)), timeout=PATIENCE).close()
    except OSError:
        return False
    return True
