"""Every rule, variant and decay on every backend, against the float64 eager reference."""

from __future__ import annotations

import functools

import pytest
import torch
from torch import Tensor

from tests.setups import KINDS, Setup, parameter, setups, trajectory

SETUPS = setups()
FP32, FP64 = torch.float32, torch.float64


@functools.lru_cache(maxsize=4)
def reference(setup: Setup) -> list[list[Tensor]]:
    return trajectory(setup, "eager", FP64)


@pytest.mark.parametrize(
    ("backend", "dtype"),
    [("cpu", FP64), ("eager", FP32), ("cpu", FP32)],
    ids=["cpu-fp64", "eager-fp32", "cpu-fp32"],
)
@pytest.mark.parametrize("setup", SETUPS, ids=str)
def test_parity(setup: Setup, backend: str, dtype: torch.dtype) -> None:
    setup = setup.for_dtype(dtype)
    got = trajectory(setup, backend, dtype)
    # definitions.md: fp32 within 1e-5 + 4 ulp a step. fp64 has only the order of operations.
    rtol, ulp = (1e-5, 2.0**-23) if dtype == FP32 else (1e-12, 2.0**-52)
    largest = [parameter(i, kind, FP64).detach().abs() for i, kind in enumerate(KINDS)]
    for t, (at, wanted) in enumerate(zip(got, reference(setup), strict=True), start=1):
        for i, (x, y) in enumerate(zip(at, wanted, strict=True)):
            largest[i] = torch.maximum(largest[i], y.abs())  # what an ulp of this element is
            allowed = rtol * y.abs() + 4 * t * ulp * largest[i]
            wrong = ~((x - y).abs() <= allowed)  # NaN is wrong
            if wrong.any():
                at = tuple(wrong.nonzero()[0].tolist())
                pytest.fail(
                    f"step {t}, {KINDS[i]}, {int(wrong.sum())} elements; at {at} {x[at]} is not "
                    f"{y[at]} ± {allowed[at]}"
                )
