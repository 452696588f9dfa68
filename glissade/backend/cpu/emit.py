"""From a plan to LLVM IR, vectors written out: no loop is left for a vectoriser to guess at.

One function a stage (each pass, each finish that has work) handles one part of the chunks or
tensors; `run` calls them in order, `run_team` likewise with the parts shared out by OpenMP. The
ends of arrays go through the same code under a mask, so an element's result does not depend on
where it lies. Sums are taken in double, per chunk, and added in the order of the chunks: any
number of threads gives the same bits.
"""

from __future__ import annotations

from llvmlite import ir

from ...plan import Plan
from . import layout as at
from .finishing import Finishing
from .layout import Layout
from .passing import Passing
from .vector import FLOATS, I32, I64, PTR

VOID = ir.VoidType()
OPENMP = {
    "GOMP_parallel": ir.FunctionType(VOID, [PTR, PTR, I32, I32]),
    "omp_get_thread_num": ir.FunctionType(I32, []),
    "omp_get_num_threads": ir.FunctionType(I32, []),
}


def emit(plan: Plan, dtype: str, vector_bytes: int, openmp: bool) -> tuple[str, tuple[str, ...]]:
    """The module's IR and the names of its stages, `dtype` being "float32" or "float64"."""
    module = ir.Module(name="glissade")
    layout = Layout(plan)
    scalar, size = FLOATS[dtype]
    width = vector_bytes // size
    stages = []
    for k, finish in enumerate(plan.finishes):
        if finish.values or finish.stores:
            Finishing(module, f"finish_{k}", layout, scalar, width).emit(finish)
            stages.append(f"finish_{k}")
        if k < len(plan.passes):
            Passing(module, f"pass_{k}", layout, scalar, width).emit(plan.passes[k])
            stages.append(f"pass_{k}")
    functions = [module.get_global(name) for name in stages]
    _serial(module, functions)
    if openmp:
        _team(module, functions)
    return str(module), tuple(stages)


def _serial(module: ir.Module, stages: list[ir.Function]) -> None:
    """`run(context)`: every stage over the only part, on the calling thread."""
    run = ir.Function(module, ir.FunctionType(VOID, [PTR]), "run")
    b = ir.IRBuilder(run.append_basic_block())
    for stage in stages:
        b.call(stage, [run.args[0], I64(0)])
    b.ret_void()


def _team(module: ir.Module, stages: list[ir.Function]) -> None:
    """`run_team(context, threads)`: every stage by the OpenMP team that torch's own kernels use."""
    gomp, number, size = (ir.Function(module, t, name) for name, t in OPENMP.items())
    run = ir.Function(module, ir.FunctionType(VOID, [PTR, I64]), "run_team")
    top = ir.IRBuilder(run.append_basic_block())
    count = top.trunc(run.args[1], I32)
    for stage in stages:
        share = ir.Function(module, ir.FunctionType(VOID, [PTR]), f"share_{stage.name}")
        context = share.args[0]
        b = ir.IRBuilder(share.append_basic_block("entry"))
        head, body, done = (share.append_basic_block(n) for n in ("head", "body", "done"))
        # The team may be smaller than asked for, so a thread takes every n-th part.
        me, us = b.sext(b.call(number, []), I64), b.sext(b.call(size, []), I64)
        parts = b.load(b.gep(context, [I64(at.PARTS)], source_etype=I64), typ=I64)
        entry = b.block
        b.branch(head)
        b.position_at_end(head)
        part = b.phi(I64)
        part.add_incoming(me, entry)
        b.cbranch(b.icmp_signed("<", part, parts), body, done)
        b.position_at_end(body)
        b.call(stage, [context, part])
        part.add_incoming(b.add(part, us), body)
        b.branch(head)
        b.position_at_end(done)
        b.ret_void()
        top.call(gomp, [share, run.args[0], count, I32(0)])
    top.ret_void()
