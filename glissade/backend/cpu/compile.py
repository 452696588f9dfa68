"""From LLVM IR to machine code for the processor at hand, in some ten milliseconds."""

from __future__ import annotations

import ctypes
import functools
import glob
import os
from dataclasses import dataclass
from typing import Any

import llvmlite.binding as llvm
import torch

from ...plan import Plan
from .emit import OPENMP, emit


@functools.cache
def vector_bytes() -> int:
    """The bytes of the processor's widest vectors."""
    features = llvm.get_host_cpu_features()
    return 64 if features.get("avx512f") else 32 if features.get("avx2") else 16


def host_machine() -> llvm.TargetMachine:
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    features = llvm.get_host_cpu_features().flatten()
    target = llvm.Target.from_triple(llvm.get_process_triple())
    return target.create_target_machine(
        cpu=llvm.get_host_cpu_name(), features=features, opt=2, jit=True
    )


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


@dataclass(frozen=True)
class Kernel:
    """Compiled code: `run(context)`, `run_team(context, threads)` where OpenMP is, the stages."""

    run: Any
    run_team: Any | None
    stages: tuple[Any, ...]  # stage(context, part)
    ir: str
    engine: llvm.ExecutionEngine  # owns the code: must outlive the pointers

    @property
    def assembly(self) -> str:
        """The machine code as text."""
        machine = host_machine()
        return str(machine.emit_assembly(_optimised(self.ir, machine)))


def _optimised(ir: str, machine: llvm.TargetMachine) -> llvm.ModuleRef:
    """The module with its stack slots in registers: all that code written as vectors needs."""
    module = llvm.parse_assembly(ir)
    module.triple = machine.triple
    passes = llvm.create_new_function_pass_manager()
    passes.add_sroa_pass()
    passes.add_simplify_cfg_pass()
    passes.add_instruction_combine_pass()
    builder = llvm.create_pass_builder(machine, llvm.create_pipeline_tuning_options(speed_level=1))
    for function in module.functions:
        if not function.is_declaration:
            passes.run(function, builder)
    return module


@functools.cache
def _compile_ir(ir: str, stages: tuple[str, ...]) -> Kernel:
    machine = host_machine()
    engine = llvm.create_mcjit_compiler(_optimised(ir, machine), machine)
    engine.finalize_object()

    def function(name: str, *args: type) -> Any:
        return ctypes.CFUNCTYPE(None, *args)(engine.get_function_address(name))

    word = ctypes.c_void_p
    team = function("run_team", word, ctypes.c_int64) if '@"run_team"' in ir else None
    return Kernel(
        run=function("run", word),
        run_team=team,
        stages=tuple(function(name, word, ctypes.c_int64) for name in stages),
        ir=ir,
        engine=engine,
    )


def compile_plan(plan: Plan, dtype: str) -> Kernel:
    """The kernel of a plan; the same code is compiled once in a process."""
    return _compile_ir(*emit(plan, dtype, vector_bytes(), openmp()))
