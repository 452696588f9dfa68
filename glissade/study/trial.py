"""One process of a run that torchrun starts: ``-m glissade.study.trial FOLDER``."""

from __future__ import annotations

import json
import os
import sys
import time
from dataclasses import asdict
from pathlib import Path

import torch
from torch import distributed

from glissade.study.engine.torchrun import end_with_parent, job_from
from glissade.study.loading import load
from glissade.study.run import said, train


def main(name: str) -> None:
    """Train with the others; the first process writes the result."""
    end_with_parent()
    folder, rank = Path(name), int(os.environ["RANK"])
    torch.set_num_threads(1)
    try:
        job = job_from(json.loads((folder / "job.json").read_text(encoding="utf-8")))
        _join()
        result = train(job, load(job.key.task, job.batch))
        if rank == 0:
            part = folder / "result.part"
            part.write_text(json.dumps(asdict(result)), encoding="utf-8")
            part.replace(folder / "result.json")
        distributed.destroy_process_group()
    except Exception as error:
        record = {"at": time.time(), "rank": rank, "error": said(error)}
        part = folder / f"error-{rank}.part"  # this process may be killed as it writes
        part.write_text(json.dumps(record), encoding="utf-8")
        part.replace(folder / f"error-{rank}.json")
        raise


def _join() -> None:
    """The processes' group: gloo for tensors in main memory, NCCL where each has a GPU."""
    here = int(os.environ["LOCAL_RANK"])
    enough = torch.cuda.device_count() >= int(os.environ["LOCAL_WORLD_SIZE"])
    if enough and distributed.is_nccl_available():
        torch.cuda.set_device(here)
        distributed.init_process_group("cpu:gloo,cuda:nccl")
    else:
        distributed.init_process_group("gloo")


if __name__ == "__main__":
    main(*sys.argv[1:])
