"""What the figures were taken on."""

from __future__ import annotations

import os
import platform
from dataclasses import dataclass

import llvmlite
import torch

from .. import __version__
from ..backend.cpu.compile import openmp, vector_bytes


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

    def __str__(self) -> str:
        return (
            f"{self.cpu}, {self.cores} cores, {self.threads} threads, vectors of "
            f"{self.vector_bits} bits; torch {self.torch}, Python {self.python}, {self.system}"
        )


def machine() -> Machine:
    """The machine at hand, with the threads that torch is set to."""
    return Machine(
        cpu=_model(),
        cores=os.cpu_count() or 1,
        threads=torch.get_num_threads(),
        vector_bits=8 * vector_bytes(),
        openmp=openmp(),
        system=f"{platform.system()} {platform.machine()}",
        python=platform.python_version(),
        torch=torch.__version__,
        llvmlite=llvmlite.__version__,
        glissade=__version__,
    )


def _model() -> str:
    try:
        with open("/proc/cpuinfo") as lines:
            for line in lines:
                if line.startswith("model name"):
                    return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()
