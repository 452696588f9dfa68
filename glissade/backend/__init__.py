"""How a plan runs: `eager` on torch's own operations, `cpu` through LLVM, `triton` on GPUs."""
