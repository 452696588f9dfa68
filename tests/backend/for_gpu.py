"""Kernels through the compiler for a GPU that need not be there: `-m tests.backend.for_gpu`."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from typing import Any

import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

from glissade import registry
from glissade.backend.triton.begin import Begin
from glissade.backend.triton.compile import compile_plans, function
from glissade.backend.triton.emit import Text
from glissade.backend.triton.tables import WARPS
from glissade.program import Program, Programs

HOPPER = GPUTarget("cuda", 90, 32)
TYPES = {"tensors": "*i64", "chunks": "*i64", "partials": "*fp64", "ALIGNED": "constexpr"}
TYPES["GUARDED"] = "constexpr"

WAYS = [("float32", None), ("bfloat16", "int8"), ("float16", "bfloat16"), ("float64", None)]


def programs(names: Sequence[str]) -> Iterator[tuple[str, str, str | None, Program]]:
    for row in map(registry.lookup, names):
        for variant in row.variants or [""]:
            rule = row.bind(0.01, **({"variant": variant} if variant else {}))
            for dtype, low in WAYS:
                if low == "int8" and (row.name == "yogi" or variant == "official"):
                    continue
                hyper: dict[str, Any] = {**rule.hyper, "base_lr": 0.01, "maximize": False}
                hyper |= {"state_dtype": low, "stochastic_rounding": dtype == "bfloat16"}
                yield row.name, dtype, low, Programs(rule).get({**hyper, "rounding_seed": 0}, 3)


def main(names: Sequence[str]) -> None:
    known: set[Any] = set()
    for name, dtype, low, program in programs(names):
        count, wide = 0, 0
        begin = function(Text("begin", Begin(program).source, per_chunk=False))
        triton.compile(
            ASTSource(begin, {"rows": "*i64", "amp": "*fp64"}), target=HOPPER,
            options={"num_warps": 1, "enable_fp_fusion": False},
        )  # fmt: skip
        for kernel in compile_plans((plan, dtype) for plan in program.plans):
            for stage in kernel.stages:
                if stage.run in known:
                    continue
                known.add(stage.run)
                for guarded in (True, False):
                    source = ASTSource(stage.run, TYPES, {"ALIGNED": True, "GUARDED": guarded})
                    how = {"num_warps": WARPS, "enable_fp_fusion": False}
                    made = triton.compile(source, target=HOPPER, options=how)
                count, wide = count + 1, wide + made.asm["ptx"].count("ld.global.v4")
        print(f"{name} {dtype} {low}: {count} kernels, {wide} wide loads", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:] or [row.name for row in registry.compiled()])
