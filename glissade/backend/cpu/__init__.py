"""The backend for processors: plans as LLVM IR, run over tables of pointers."""
