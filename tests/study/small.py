"""A task that a test writes into a file, and what the tests of engines and exports share."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path

from glissade.study.conduct import compare
from glissade.study.design import Choice, Job, Phase, Plan, RunKey, RunResult, Settings
from glissade.study.engine import Engine
from glissade.study.loading import load
from glissade.study.store import Store, read_runs
from tests.waiting import until

TASK = """
import os, signal, time
from pathlib import Path

import torch
from torch import distributed, nn
from torch.utils.data import TensorDataset


class Task:
    direction = "min"
    batch_size = 16
    epochs = 2

    def __init__(self, what="", processes=1):
        self.what, self.processes = what, processes
        generator = torch.Generator().manual_seed(0)
        x = torch.randn(96, 4, generator=generator)
        y = x.sum(1, keepdim=True).sin()
        self.train = TensorDataset(x[:64], y[:64])
        self.validation = TensorDataset(x[64:80], y[64:80])
        self.test = TensorDataset(x[80:], y[80:])

    def build(self, seed):
        model = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 1))
        if not distributed.is_initialized():
            return model
        if self.what != "sharded":
            return nn.parallel.DistributedDataParallel(model)
        from torch.distributed.device_mesh import init_device_mesh
        from torch.distributed.fsdp import fully_shard

        mesh = init_device_mesh("cpu", (distributed.get_world_size(),))
        fully_shard(model[0], mesh=mesh)
        return fully_shard(model, mesh=mesh)

    def loss(self, model, batch):
        x, y = batch
        rank = 0
        if distributed.is_initialized():
            rank, size = distributed.get_rank(), distributed.get_world_size()
            x, y = x[rank::size], y[rank::size]
        last = rank == self.processes - 1
        if self.what == "fatal":
            os._exit(3)
        if self.what == "mortal" and os.path.exists("kill"):
            try:
                os.unlink("kill")
            except FileNotFoundError:
                pass  # another one was quicker
            else:
                os.kill(os.getpid(), signal.SIGKILL)
        if self.what == "slow":
            Path(f"pid-{os.getpid()}").touch()
            time.sleep(3600)
        if self.what == "raises" and last:
            raise KeyError("no such thing")
        if self.what == "killed" and last:
            os.kill(os.getpid(), signal.SIGKILL)
        loss = (model(x) - y).square().mean()
        return loss * float("nan") if self.what == "nan" and last else loss

    def metric(self, model, batches):
        return sum((model(x) - y).square().mean().item() for x, y in batches)


task = Task()
fatal, mortal, slow = Task("fatal"), Task("mortal"), Task("slow")
double, sharded = Task(processes=2), Task("sharded", 2)
raises, killed, nan, slow_double = (Task(x, 2) for x in ("raises", "killed", "nan", "slow"))
"""


def job(task: str = "task", optimizer: str = "adamw(lr=0.01)", seed: int = 0) -> Job:
    key = RunKey(f"my.py:{task}", optimizer, "final", 0, 0, seed)
    return Job(key, optimizer, None, 40, 4, (seed + 1, seed + 2), True, None)


def numbers(results: Iterable[RunResult]) -> dict[RunKey, object]:
    """What has to be the same wherever a run was made."""
    return {x.key: (x.quality, x.test, x.losses, x.diverged_at, x.error) for x in results}


def small_plan(task: str = "task") -> Plan:
    text = f"my.py:{task}"
    settings = Settings((text,), "sgd, adamw", trials=2, studies=1, seeds=2, steps=30)
    return Plan(settings, (load(text),))


class Silent:
    def phase(self, name: Phase, runs: int) -> None: ...

    def ended(self, result: RunResult, fresh: bool) -> None: ...

    def chosen(self, choices: Sequence[Choice]) -> None: ...


def compared(plan: Plan, engine: Engine, folder: Path) -> dict[RunKey, object]:
    """A whole comparison; its table, after a look at the file: no run is lost or doubled."""
    store = Store.open(folder, plan, resume=False)
    try:
        outcome = compare(plan, store, engine, Silent())
    finally:
        store.close()
        engine.close()
    lines = (folder / "runs.jsonl").read_bytes()
    kept = read_runs(lines, plan.hash, checks=True)
    assert not kept.damaged
    assert len(lines.splitlines()) == len(kept.results) == len(outcome.results)
    return numbers(kept.results.values())


def alive(pid: int) -> bool:
    """Whether a process runs; one that has ended and that nobody waits for does not."""
    try:
        os.kill(pid, 0)
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (ProcessLookupError, FileNotFoundError):
        return False
    return state != "Z"


def workers(folder: Path, count: int) -> list[int]:
    """The processes that train, once there are so many."""
    until(lambda: len([*folder.glob("pid-*")]) >= count, f"{count} workers")
    return [int(file.name.removeprefix("pid-")) for file in folder.glob("pid-*")]
