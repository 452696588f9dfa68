"""From LLVM IR to machine code for the processor at hand, in some ten milliseconds."""

from __future__ import annotations

import ctypes
import functools
import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import llvmlite.binding as llvm
import numpy as np
import numpy.typing as npt

from ...plan import Plan
from .emit import Text, emit, module


@functools.cache
def vector_bytes() -> int:
    """The bytes of the processor's widest vectors."""
    features = llvm.get_host_cpu_features()
    return 64 if features.get("avx512f") else 32 if features.get("avx2") else 16


def _machine() -> llvm.TargetMachine:
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    features = llvm.get_host_cpu_features().flatten()
    target = llvm.Target.from_triple(llvm.get_process_triple())
    return target.create_target_machine(
        cpu=llvm.get_host_cpu_name(), features=features, opt=2, jit=True
    )


@dataclass(frozen=True)
class Compiled:
    """The machine code of one stage."""

    address: int
    run: Any  # run(context, part), for Python
    engine: llvm.ExecutionEngine  # owns the code: must outlive the pointers


@dataclass(frozen=True)
class Kernel:
    """The compiled stages of a plan, in order; a segment is what lies between two breaks."""

    stages: tuple[Compiled, ...]
    segments: tuple[slice, ...]
    addresses: npt.NDArray[np.int64]
    texts: Sequence[Text]

    @property
    def ir(self) -> str:
        """The intermediate code as text."""
        return module((text.name, text) for text in self.texts)

    @property
    def assembly(self) -> str:
        """The machine code as text."""
        machine = _machine()
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


def link(ir: str) -> llvm.ExecutionEngine:
    """The machine code of a module, ready to be called; it lives as long as the engine does."""
    machine = _machine()
    engine = llvm.create_mcjit_compiler(_optimised(ir, machine), machine)
    engine.finalize_object()
    return engine


_known: dict[str, Compiled] = {}  # every stage of this process, by its text
_PROTOTYPE = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_int64)


def compile_plans(wanted: Iterable[tuple[Plan, str]]) -> list[Kernel]:
    """The kernels of plans for a dtype each.

    All at once, because that takes less time, and what plans have in common once in a process.
    """
    emitted = [emit(plan, dtype, vector_bytes()) for plan, dtype in wanted]
    every = [x for segments in emitted for texts in segments for x in texts]
    new = {x.body: x for x in every if x.body not in _known}
    if new:
        named = {f"stage_{k}": text for k, text in enumerate(new.values())}
        engine = link(module(named.items()))
        for name, text in named.items():
            address = engine.get_function_address(name)
            _known[text.body] = Compiled(address, _PROTOTYPE(address), engine)
    return [_kernel(segments) for segments in emitted]


def _kernel(segments: Sequence[Sequence[Text]]) -> Kernel:
    texts = [text for segment in segments for text in segment]
    stages = tuple(_known[x.body] for x in texts)
    ends = list(itertools.accumulate(map(len, segments), initial=0))
    cuts = tuple(slice(lo, hi) for lo, hi in itertools.pairwise(ends))
    return Kernel(stages, cuts, np.array([x.address for x in stages], np.int64), texts)


def compile_plan(plan: Plan, dtype: str) -> Kernel:
    """The kernel of one plan."""
    return compile_plans([(plan, dtype)])[0]


def compiled() -> int:
    """Stages compiled since `forget`."""
    return len(_known)


def forget() -> None:
    """Compile everything anew: to time it."""
    _known.clear()
