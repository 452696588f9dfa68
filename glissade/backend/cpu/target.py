"""The processor that machine code is made for: the one at hand, or another by its name."""

from __future__ import annotations

import functools
from dataclasses import dataclass

import llvmlite.binding as llvm

LINUX, ARM, APPLE = "x86_64-unknown-linux-gnu", "aarch64-unknown-linux-gnu", "arm64-apple-macosx"


@dataclass(frozen=True)
class Target:
    """A processor, as LLVM knows it, and what the code that is written depends on."""

    triple: str
    cpu: str
    vector_bytes: int  # of its widest vectors
    half: (
        bool  # whether it converts float16 itself; without, LLVM calls a library that is not there
    )
    features: str = ""

    @property
    def architecture(self) -> str:
        """The first word of the triple, "x86_64" or "aarch64" for the most part."""
        name = self.triple.partition("-")[0]
        return {"arm64": "aarch64", "amd64": "x86_64"}.get(name, name)

    def machine(self, *, jit: bool = True) -> llvm.TargetMachine:
        """Return LLVM's code generator for it; with `jit` for code that is run in this process,
        which may be far from what it calls."""
        llvm.initialize_all_targets()
        llvm.initialize_all_asmprinters()
        target = llvm.Target.from_triple(self.triple)
        return target.create_target_machine(
            cpu=self.cpu, features=self.features, opt=2, jit=jit,
            codemodel="jitdefault" if jit else "default",
        )  # fmt: skip


@functools.cache
def host() -> Target:
    """Return the processor at hand."""
    features = llvm.get_host_cpu_features()
    triple = llvm.get_process_triple()
    arm = triple.startswith(("aarch64", "arm64"))
    return Target(
        triple,
        llvm.get_host_cpu_name(),
        vector_bytes=64 if features.get("avx512f") else 32 if features.get("avx2") else 16,
        half=arm or bool(features.get("f16c")),
        features=features.flatten(),
    )


# Others that there are many of, oldest first: code for each of them is looked at in the tests.
PROCESSORS = {
    target.cpu: target
    for target in (
        Target(LINUX, "x86-64", 16, half=False),
        Target(LINUX, "sandybridge", 16, half=False),
        Target(LINUX, "haswell", 32, half=True),
        Target(LINUX, "skylake-avx512", 64, half=True),
        Target(LINUX, "znver3", 32, half=True),
        Target(LINUX, "icelake-server", 64, half=True),
        Target(LINUX, "sapphirerapids", 64, half=True),
        Target(ARM, "cortex-a72", 16, half=True),
        Target(APPLE, "apple-m1", 16, half=True),
    )
}
