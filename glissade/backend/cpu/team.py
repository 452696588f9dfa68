"""What runs a kernel's stages one after the other: here, or on the OpenMP team of torch.

Compiled once a process; a kernel brings its stages alone, `stage(context, part)` each, of which the
context has the addresses.
"""

from __future__ import annotations

import ctypes
import functools
import glob
import os
from dataclasses import dataclass
from typing import Any

import llvmlite.binding as llvm
import torch
from llvmlite import ir

from .. import layout as at
from .code import Code
from .compile import link
from .mode import flushing
from .types import I32, I64, PTR, VOID

OPENMP = ("GOMP_parallel", "omp_get_thread_num", "omp_get_num_threads")


@functools.cache
def openmp() -> bool:
    """Whether the OpenMP runtime that torch runs on can be called; its team is shared, not doubled.

    Two teams on the same cores get in each other's way: OpenMP's threads spin for a while after
    each of torch's own kernels.
    """
    here = os.path.dirname(torch.__file__)
    for path in glob.glob(os.path.join(here, "lib", "lib*omp*.so*")) + glob.glob(
        os.path.join(os.path.dirname(here), "torch.libs", "lib*omp*.so*")
    ):
        try:
            library = ctypes.CDLL(path, mode=os.RTLD_NOW | getattr(os, "RTLD_NOLOAD", 0))
            found = {name: ctypes.cast(getattr(library, name), ctypes.c_void_p) for name in OPENMP}
        except (OSError, AttributeError):
            continue  # not loaded by torch, or another runtime than GNU's interface
        for name, address in found.items():
            llvm.add_symbol(name, address.value)
        return True
    return False


class _Alone(Code):
    """`alone(context)`: every stage over the only part, on the calling thread."""

    def __init__(self, module: ir.Module) -> None:
        super().__init__(module, "alone", [PTR])
        context = self.fn.args[0]
        stages = self.word(context, at.STAGES, PTR)
        count = self.word(context, at.STAGE_COUNT)
        with flushing(self):
            self.loop(
                I64(0), count, 1, lambda k: self.call_at(self.word(stages, k, PTR), context, I64(0))
            )
        self.b.ret_void()


class _One(Code):
    """`one(stage, context, part)`: one stage over one part, on the calling thread."""

    def __init__(self, module: ir.Module) -> None:
        super().__init__(module, "one", [PTR, PTR, I64])
        with flushing(self):
            self.call_at(*self.fn.args)
        self.b.ret_void()


class _Share(Code):
    """`share(stage and context)`: one stage, by one thread of a team."""

    def __init__(self, module: ir.Module) -> None:
        super().__init__(module, "share", [PTR])
        both, b = self.fn.args[0], self.b
        stage, context = self.word(both, 0, PTR), self.word(both, 1, PTR)
        # The team may be smaller than asked for, so a thread takes every n-th part.
        me = b.sext(self.call("omp_get_thread_num", I32), I64)
        us = b.sext(self.call("omp_get_num_threads", I32), I64)
        parts = self.word(context, at.PARTS)
        with flushing(self):
            self.loop(me, parts, us, lambda part: self.call_at(stage, context, part))
        b.ret_void()


class _Together(Code):
    """`together(context, threads)`: every stage by the OpenMP team that torch's own kernels use."""

    def __init__(self, module: ir.Module, share: ir.Function) -> None:
        super().__init__(module, "together", [PTR, I32])
        context, threads = self.fn.args
        both = self.b.alloca(PTR, 2)
        self.b.store(context, self.slot(both, 1, PTR))
        stages = self.word(context, at.STAGES, PTR)

        def stage(k: ir.Value) -> None:
            self.b.store(self.word(stages, k, PTR), both)
            self.call("GOMP_parallel", VOID, share, both, threads, I32(0))

        self.loop(I64(0), self.word(context, at.STAGE_COUNT), 1, stage)
        self.b.ret_void()


@dataclass(frozen=True)
class Drivers:
    """`alone(context)`, `one(stage, context, part)`, and where OpenMP is `together(context,
    threads)`; all without the GIL."""

    alone: Any
    one: Any
    together: Any | None
    engine: Any  # owns the code


@functools.cache
def drivers() -> Drivers:
    """The compiled functions."""
    module = ir.Module(name="team")
    _Alone(module)
    _One(module)
    if openmp():
        _Together(module, _Share(module).fn)
    engine = link(str(module))
    address = engine.get_function_address
    word = ctypes.c_void_p
    alone = ctypes.CFUNCTYPE(None, word)(address("alone"))
    one = ctypes.CFUNCTYPE(None, word, word, ctypes.c_int64)(address("one"))
    if not openmp():
        return Drivers(alone, one, None, engine)
    together = ctypes.CFUNCTYPE(None, word, ctypes.c_int32)(address("together"))
    return Drivers(alone, one, together, engine)
