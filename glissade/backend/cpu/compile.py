"""From LLVM IR to machine code for the processor at hand, in some ten milliseconds."""

from __future__ import annotations

import itertools
from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from weakref import WeakValueDictionary

import llvmlite.binding as llvm
import numpy as np
import numpy.typing as npt

from ...plan import Plan
from .emit import Text, emit, module
from .target import Target, host


@dataclass(frozen=True)
class Compiled:
    """The machine code of one stage."""

    address: int
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


def optimised(ir: str, machine: llvm.TargetMachine) -> llvm.ModuleRef:
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
    machine = host().machine()
    engine = llvm.create_mcjit_compiler(optimised(ir, machine), machine)
    engine.finalize_object()
    return engine


# Every stage of this process that someone uses, by its text; and those asked for last, which stay
# for the next optimizer of their rule.
_known: WeakValueDictionary[str, Compiled] = WeakValueDictionary()
_recent: OrderedDict[str, Compiled] = OrderedDict()
RECENT = 256
_counted = 0


def compile_plans(wanted: Iterable[tuple[Plan, str]]) -> list[Kernel]:
    """The kernels of plans for a dtype each.

    All at once, because that takes less time, and what plans have in common once in a process.
    """
    emitted = [emit(plan, dtype, host()) for plan, dtype in wanted]
    every = [x for segments in emitted for texts in segments for x in texts]
    made = {x.body: old for x in every if (old := _known.get(x.body)) is not None}
    new = {x.body: x for x in every if x.body not in made}
    if new:
        global _counted
        named = {f"stage_{k}": text for k, text in enumerate(new.values())}
        engine = link(module(named.items()))
        for name, text in named.items():
            made[text.body] = Compiled(engine.get_function_address(name), engine)
        _known.update(made)
        _counted += len(new)
    _keep(made)
    return [_kernel(segments, made) for segments in emitted]


def _keep(made: Mapping[str, Compiled]) -> None:
    for body, stage in made.items():
        _recent[body] = stage
        _recent.move_to_end(body)
    while len(_recent) > RECENT:
        _recent.popitem(last=False)


def _kernel(segments: Sequence[Sequence[Text]], made: Mapping[str, Compiled]) -> Kernel:
    texts = [text for segment in segments for text in segment]
    stages = tuple(made[x.body] for x in texts)
    ends = list(itertools.accumulate(map(len, segments), initial=0))
    cuts = tuple(slice(lo, hi) for lo, hi in itertools.pairwise(ends))
    return Kernel(stages, cuts, np.array([x.address for x in stages], np.int64), texts)


def compile_plan(plan: Plan, dtype: str) -> Kernel:
    """The kernel of one plan."""
    return compile_plans([(plan, dtype)])[0]


def assembly(plan: Plan, dtype: str, target: Target | None = None) -> str:
    """Return the machine code of a plan as text, for this processor or another."""
    target = target or host()
    texts = [text for segment in emit(plan, dtype, target) for text in segment]
    machine = target.machine()
    return str(machine.emit_assembly(optimised(module((x.name, x) for x in texts), machine)))


def compiled() -> int:
    """Stages compiled since `forget`."""
    return _counted


def forget() -> None:
    """Compile everything anew: to time it."""
    global _counted
    _known.clear()
    _recent.clear()
    _counted = 0
