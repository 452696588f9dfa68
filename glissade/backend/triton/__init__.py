"""The backend for GPUs: plans as Triton source, run over tables of pointers in device memory."""
