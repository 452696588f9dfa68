"""Processes on this machine; none outlives its parent."""

from __future__ import annotations

import multiprocessing
import multiprocessing.connection
import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from typing import TypeVar

from glissade.study.design import Job
from glissade.study.engine.base import RETRIES, lost

T = TypeVar("T")


def cores() -> int:
    """Those that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


class Local:
    """The default engine: a process for each core."""

    def __init__(self, workers: int | None = None) -> None:
        self.workers = workers or cores()
        self.pool: ProcessPoolExecutor | None = None
        self.processes: set[multiprocessing.process.BaseProcess] = set()  # the pool's

    def run(
        self,
        function: Callable[[Job], T],
        jobs: Sequence[Job],
        told: Callable[[T], None],
        go: Callable[[], bool] = lambda: True,
    ) -> None:
        waiting, tries = deque(jobs), dict.fromkeys((job.key for job in jobs), 0)
        running: dict[Future[T], Job] = {}
        alone = False  # after a death: one job at a time, to know whose it is
        while waiting or running:
            while waiting and len(running) < (1 if alone else self.workers) and go():
                try:
                    running[self._submit(function, waiting[0])] = waiting[0]
                except BrokenProcessPool:  # a worker died while nobody looked
                    alone = True
                    if not running:
                        self._drop()
                    break
                waiting.popleft()
            if not running:
                if waiting and alone and self.pool is None:
                    continue
                return
            ended, _ = wait(running, return_when=FIRST_COMPLETED)
            dead: list[Job] = []
            for future in ended:
                job = running.pop(future)
                try:
                    result = future.result()
                except BrokenProcessPool:
                    dead.append(job)
                else:
                    alone = False
                    told(result)
            if dead:  # every run that was under way has gone with its worker
                dead += running.values()
                running.clear()
                self._drop()
                blamed = len(dead) == 1
                for job in sorted(dead, key=lambda job: job.key, reverse=True):
                    tries[job.key] += blamed
                    if tries[job.key] >= RETRIES:
                        why = f"its process died {RETRIES} times (out of memory?)"
                        told(lost(function, job, why))
                    else:
                        waiting.appendleft(job)
                alone = True

    def close(self) -> None:
        self._drop()

    def _pool(self) -> ProcessPoolExecutor:
        if self.pool is None:
            context = multiprocessing.get_context("spawn")
            self.pool = ProcessPoolExecutor(self.workers, context, initializer=_begin)
        return self.pool

    def _submit(self, function: Callable[[Job], T], job: Job) -> Future[T]:
        """Hand a job to the pool, and note the processes that it starts for it."""
        before = set(multiprocessing.active_children())
        try:
            return self._pool().submit(function, job)
        finally:
            self.processes |= set(multiprocessing.active_children()) - before

    def _drop(self) -> None:
        """Kill the pool's processes; a run under way may take hours, so none is waited for."""
        if self.pool is None:
            return
        kill = getattr(self.pool, "kill_workers", None)  # from Python 3.14 on
        if kill is not None:
            kill()
        else:
            self.pool.shutdown(wait=False, cancel_futures=True)
            for process in self.processes:
                process.kill()
        for process in self.processes:
            process.join()
        self.pool = None
        self.processes.clear()


def _begin() -> None:
    """In a worker: Ctrl-C is the parent's to answer, and with the parent it ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    assert parent is not None

    def watch() -> None:
        multiprocessing.connection.wait([parent.sentinel])
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
