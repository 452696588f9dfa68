"""What the figures were taken on."""

from __future__ import annotations

import os
import platform
import time
from dataclasses import dataclass
from pathlib import Path

import llvmlite
import torch

from .. import __version__
from ..backend.cpu.target import host
from ..backend.cpu.team import openmp


@dataclass(frozen=True)
class Machine:
    """Processor and versions."""

    cpu: str
    cores: int
    threads: int
    vector_bits: int
    openmp: bool
    system: str
    python: str
    torch: str
    llvmlite: str
    glissade: str
    gpu: str = ""

    def __str__(self) -> str:
        gpu = f"{self.gpu} beside " if self.gpu else ""
        return (
            f"{gpu}{self.cpu}, {self.cores} cores, {self.threads} threads, vectors of "
            f"{self.vector_bits} bits; torch {self.torch}, Python {self.python}, {self.system}"
        )


def machine(device: str = "cpu") -> Machine:
    """The machine at hand, with the threads that torch is set to, and its GPU if that is timed."""
    return Machine(
        cpu=_model(),
        cores=os.cpu_count() or 1,
        threads=torch.get_num_threads(),
        vector_bits=8 * host().vector_bytes,
        openmp=openmp(),
        system=f"{platform.system()} {platform.machine()}",
        python=platform.python_version(),
        torch=torch.__version__,
        llvmlite=llvmlite.__version__,
        glissade=__version__,
        gpu="" if device == "cpu" else torch.cuda.get_device_name(),
    )


class Bystanders:
    """How busy others keep the processor meanwhile: they cost OpenMP's teams the most."""

    def __init__(self) -> None:
        self._start = self._now()

    @staticmethod
    def _now() -> tuple[float, float] | None:
        """Wall-clock seconds, and the processor's seconds that were not ours."""
        try:
            fields = Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:]
            user, nice, system, _, _, irq, softirq, steal = map(int, fields[:8])
            busy = (user + nice + system + irq + softirq + steal) / os.sysconf("SC_CLK_TCK")
        except (OSError, ValueError):
            return None
        return time.monotonic(), busy - sum(os.times()[:4])

    def cores(self) -> float | None:
        """Cores that others kept busy, on average; None where that cannot be told."""
        now = self._now()
        if self._start is None or now is None or now[0] <= self._start[0]:
            return None
        return max(0.0, (now[1] - self._start[1]) / (now[0] - self._start[0]))


def _model() -> str:
    try:
        with open("/proc/cpuinfo") as lines:
            for line in lines:
                if line.startswith("model name"):
                    return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()
