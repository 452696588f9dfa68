"""What optimizers cost on a task: time of a step, state, memory at its peak.

Each runs in a process of its own, so that its memory is its own; the processes take turns, so that
whatever else the machine does hits all alike.
"""

from __future__ import annotations

import math
import multiprocessing
import statistics
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from typing import Any

import torch

from glissade import registry
from glissade.bench.memory import available
from glissade.spec import Spec, specs
from glissade.study.cost import worker as cost_worker
from glissade.study.cost.worker import Batch, Failed, Ready, Timed

ALL = ", ".join([*registry.names(), "adamwr(t_0=1000)", "sgdwr(t_0=1000)", "newton"])
ROUNDS = 4
SECONDS = 1.0  # that timing one optimizer should take
FEWEST, MOST = 5, 200  # steps that are timed of each
SHARE = 0.5  # of the memory that is there, for processes at a time


@dataclass(frozen=True)
class Cost:
    """What one optimizer costs."""

    optimizer: str
    label: str
    steps: int  # that were timed
    step_ms: float  # median of the step, with its share of an estimate of the curvature
    low_ms: float  # quartiles
    high_ms: float
    gradient_ms: float  # median of forward and backward in the same process
    state_bytes: int
    state_per_parameter: float
    peak_bytes: int | None
    note: str = ""


@dataclass(frozen=True)
class Refused:
    """One that cannot run, and why."""

    optimizer: str
    label: str
    why: str


@dataclass
class Costs:
    """All of them on one task."""

    parameters: int = 0
    parameter_bytes: int = 0
    gradient_bytes: int = 0
    gradient_ms: float = math.nan  # forward and backward: median over all processes
    threads: int = 0
    device: str = "cpu"
    at_a_time: int = 0  # processes that took turns
    rows: list[Cost] = field(default_factory=list)
    refused: list[Refused] = field(default_factory=list)

    def share(self, row: Cost) -> float:
        """Of a training step."""
        return row.step_ms / (row.step_ms + self.gradient_ms)


@dataclass
class Worker:
    """One optimizer in its process."""

    spec: Spec
    process: Any
    connection: Connection
    ready: Ready | None = None
    times: list[Timed] = field(default_factory=list)
    growth: int | None = None
    why: str = ""  # it cannot run

    @classmethod
    def start(
        cls, spec: Spec, task: str, batch: Batch, state_dtype: str | None, threads: int
    ) -> Worker:
        ours, theirs = multiprocessing.Pipe()
        job = cost_worker.job_of(task, spec.text, batch)
        process = _context().Process(  # type: ignore[attr-defined]
            target=cost_worker.serve,
            args=(theirs, job, state_dtype, threads),
            daemon=False,  # or a loader could have no workers of its own
        )
        process.start()
        theirs.close()
        return cls(spec, process, ours)

    def ask(self, what: object) -> None:
        """Ask for something; nothing of one that has failed."""
        if not self.why:
            try:
                self.connection.send(what)
            except OSError:
                self.why = self._death()

    def answer(self) -> Any:
        """What came back; None from one that has failed, now or before."""
        if self.why:
            return None
        try:
            found = self.connection.recv()
        except (EOFError, OSError):
            self.why = self._death()
            return None
        if isinstance(found, Failed):
            self.why = found.why
            return None
        return found

    def _death(self) -> str:
        self.process.join(5)
        code = self.process.exitcode
        how = "was killed (out of memory?)" if code in (-9, 137) else f"ended with code {code}"
        return f"its process {how}"

    def end(self) -> None:
        self.connection.close()
        self.process.kill()
        self.process.join()


def measure(
    given: str,
    task: str,
    batch: Batch,
    steps: int | None = None,
    state_dtype: str | None = None,
    threads: int | None = None,
    tell: Callable[[str, float], None] = lambda what, share: None,
) -> Costs:
    """Measure the optimizers of a list; "all" is what there is, and no threads are torch's own.

    Raises:
        ValueError: the list cannot be read.
    """
    chosen = list(specs(ALL if given.strip() == "all" else given))
    found, count = Costs(), len(chosen)
    gradients: list[int] = []
    while chosen:
        crew: list[Worker] = []
        try:
            for worker in _crew(
                chosen, task, batch, state_dtype, threads or torch.get_num_threads()
            ):
                crew.append(worker)
                done = count - len(chosen) - len(crew)
                tell(worker.spec.text, (done + len(crew) / 2) / count)
            found.at_a_time = max(found.at_a_time, len(crew))
            for number in range(ROUNDS):
                tell(f"{len(crew)} in turn", 1 - (len(chosen) + len(crew) / 2) / count)
                _round(crew, number, steps)
            for worker in crew:
                worker.ask("growth")
                worker.growth = worker.answer()
        finally:
            for worker in crew:
                worker.end()
        for worker in crew:
            gradients += [x.gradient for x in worker.times if worker.ready and not worker.why]
            _add(found, worker)
    if gradients:
        found.gradient_ms = statistics.median(gradients) / 1e6
    return found


def _crew(
    chosen: list[Spec], task: str, batch: Batch, state_dtype: str | None, threads: int
) -> Iterator[Worker]:
    """As many as fit into the memory that is there, warmed up one after another; they are taken
    from those chosen."""
    room: float | None = None
    while chosen and (room is None or room > 0):
        spec = chosen.pop(0)
        worker = Worker.start(spec, task, batch, state_dtype, threads)
        worker.ready = worker.answer()
        yield worker
        if worker.ready is None:
            continue
        if room is None:
            there = available()
            if there is None or worker.ready.device != "cpu":
                return
            room = there * SHARE
        room -= 1.5 * (worker.ready.footprint or room)  # the next may hold more state


def _round(crew: Sequence[Worker], number: int, steps: int | None) -> None:
    """A turn for each; every other round in the opposite order."""
    for worker in crew[:: -1 if number % 2 else 1]:
        if worker.ready is None:
            continue
        wanted = steps or min(MOST, max(FEWEST, int(SECONDS / worker.ready.seconds)))
        share = wanted * (number + 1) // ROUNDS - wanted * number // ROUNDS
        if share:
            worker.ask(share)
            worker.times += worker.answer() or []


def _add(found: Costs, worker: Worker) -> None:
    spec, ready, times = worker.spec, worker.ready, worker.times
    if ready is None or worker.why or not times:
        found.refused.append(Refused(spec.text, spec.label, reason(spec, worker.why)))
        return
    found.parameters, found.device, found.threads = ready.parameters, ready.device, ready.threads
    found.parameter_bytes = ready.parameter_bytes
    found.gradient_bytes = max(found.gradient_bytes, ready.gradient_bytes)
    each = [x.step / 1e6 for x in times]
    estimates = [x.curvature / 1e6 for x in times if x.curvature]
    more = statistics.median(estimates) / ready.every if ready.estimate else 0.0
    low, middle, high = _quartiles(each)
    peak = None
    if worker.growth is not None:
        peak = ready.parameter_bytes + ready.state_bytes + worker.growth
    found.rows.append(
        Cost(
            spec.text, spec.label, len(each), middle + more, low + more, high + more,
            statistics.median(x.gradient for x in times) / 1e6,
            ready.state_bytes, ready.state_bytes / max(1, ready.parameters), peak,
            _note(ready, estimates),
        )
    )  # fmt: skip


def reason(spec: Spec, why: str) -> str:
    """Why one cannot run, without its name in front."""
    name, _, rest = why.partition(": ")
    return rest if rest and name.lower() == spec.name else why


def _note(ready: Ready, estimates: Sequence[float]) -> str:
    if ready.closure:
        return "its step computes the loss and the Hessian by itself: its time holds both"
    if not ready.estimate:
        return ""
    how = {
        "gnb": "by Gauss-Newton-Bartlett, from the task's logits",
        "hutchinson": "by Hutchinson's method from the loss (with `logits` in the task: GNB)",
    }[ready.estimate]
    took = f"{statistics.median(estimates):.3g} ms"
    return (
        f"it estimates a curvature every {ready.every} steps, {how}: {took}, of which each step "
        f"bears a {ready.every}th"
    )


def _quartiles(values: Sequence[float]) -> tuple[float, float, float]:
    if len(values) < 2:
        return values[0], values[0], values[0]
    low, middle, high = statistics.quantiles(values, n=4, method="inclusive")
    return low, middle, high


def _context() -> multiprocessing.context.BaseContext:
    """New processes, of a server that has imported torch and nothing else where there is one."""
    if "forkserver" in multiprocessing.get_all_start_methods():
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload([cost_worker.__name__])
        return context
    return multiprocessing.get_context("spawn")
