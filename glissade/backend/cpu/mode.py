"""The floating-point mode that kernels run in: numbers too small to be normal count as 0.

A processor takes a hundred times as long over denormals as over other numbers, and states that fade
away (the rows of an embedding that is no longer used) end in nothing else. torch has
`set_flush_denormal`, for the calling thread alone: kernels would then give other bits for another
number of threads. So each thread sets the mode before its part of a kernel and puts back what it
found.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from .code import Code
from .target import host
from .types import I32, I64, PTR, VOID

FTZ_AND_DAZ = 0x8040  # of x86's MXCSR: results that are denormal become 0, operands count as 0
FZ = 1 << 24  # of ARM's FPCR: both


@contextlib.contextmanager
def flushing(code: Code) -> Iterator[None]:
    """Write what follows between setting the mode and putting back what was there."""
    b, architecture = code.b, host().architecture
    if architecture == "x86_64":
        with b.goto_entry_block():
            old, new = b.alloca(I32), b.alloca(I32)
        old.type = new.type = PTR
        code.call("llvm.x86.sse.stmxcsr", VOID, old)
        b.store(b.or_(b.load(old, typ=I32), I32(FTZ_AND_DAZ)), new)
        code.call("llvm.x86.sse.ldmxcsr", VOID, new)
        yield
        code.call("llvm.x86.sse.ldmxcsr", VOID, old)
    elif architecture == "aarch64":
        old = code.call("llvm.aarch64.get.fpcr", I64)
        code.call("llvm.aarch64.set.fpcr", VOID, b.or_(old, I64(FZ)))
        yield
        code.call("llvm.aarch64.set.fpcr", VOID, old)
    else:
        yield
