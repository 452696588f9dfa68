"""NaN and infinity in a gradient come out in the parameter as the definitions have them."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from glissade import Optimizer, registry
from tests.cases import Shape, curvature, leaf, normal
from tests.oracles.transcriptions import make
from tests.setups import Setup, setups

SHAPES: list[Shape] = [(), (5,), (33,), (4, 6), (2, 3, 5), (2, 2, 3, 4)]
# One setup for each rule and variant, in its default decay, and what is wrapped.
SETUPS = [
    setup
    for setup in setups()
    if setup.around
    or dict(setup.hyper).get("decay") == registry.lookup(setup.name).rule().hyper.get("decay")
]
ODD = [math.nan, math.inf, -math.inf]
STEPS = 8  # past the sync of a lookahead and the first rectified step of RAdam


# An infinite state looks the same whether a gradient was infinite or finite and its square was not:
# there elements stand still. These rules take it from other elements, or from an earlier step.
STILL = ("factoredadam", "radam-weight_decay=0.05-official")


def gradients(t: int, odd: list[float]) -> list[torch.Tensor]:
    """At the second step some elements are not finite, in each tensor others."""
    grads = [normal(100 * t + i, shape) for i, shape in enumerate(SHAPES)]
    for i, g in enumerate(grads if t == 2 else []):
        flat = g.view(-1)
        for k, what in enumerate(odd):
            flat[(i + k * 7) % flat.numel()] = what
    return grads


def masks(x: np.ndarray) -> list[list[bool]]:
    return [np.isnan(x).tolist(), np.isposinf(x).tolist(), np.isneginf(x).tolist()]


@pytest.mark.parametrize(
    ("backend", "dtype"),
    [("cpu", torch.float64), ("cpu", torch.float32), ("eager", torch.float64)],
    ids=["cpu-fp64", "cpu-fp32", "eager-fp64"],
)
@pytest.mark.parametrize("setup", SETUPS, ids=str)
def test_what_is_not_finite(setup: Setup, backend: str, dtype: torch.dtype) -> None:
    preset = registry.lookup(setup.name).preset
    hyper = {**preset, **dict(setup.for_dtype(dtype).hyper)}
    around = tuple((name, dict(options)) for name, options in setup.around)
    oracle = make("sgd" if preset else setup.name, SHAPES, lr=0.01, wrappers=around, **hyper)
    params = [leaf(normal(i, shape, dtype)) for i, shape in enumerate(SHAPES)]
    optimizer = Optimizer(params, setup.rule(0.01), backend=backend)
    wanted = [p.detach().double().numpy().copy() for p in params]
    for t in range(1, STEPS + 1):
        grads = gradients(t, [math.nan] * 3 if str(setup).startswith(STILL) else ODD)
        more = (
            {"curvature": [curvature(s).numpy() for s in SHAPES]} if optimizer.rule.inputs else {}
        )
        wanted = oracle.step(wanted, [g.numpy() for g in grads], **more)
        for p, g in zip(params, grads, strict=True):
            p.grad = g.to(dtype)
        optimizer.step()
        for p, q in zip(params, wanted, strict=True):
            assert masks(p.detach().numpy()) == masks(q), f"step {t}, shape {tuple(p.shape)}"


@pytest.mark.parametrize("backend", ["cpu", "eager"])
def test_a_nan_comes_out_of_the_sign(backend: str) -> None:
    """torch.sign(NaN) is 0: a Lion written with it stands still."""
    p = leaf(torch.ones(5))
    p.grad = torch.tensor([math.nan, math.inf, -math.inf, 0.0, 1e-30])
    registry.lookup("lion").optimizer([p], lr=0.25, backend=backend).step()
    torch.testing.assert_close(
        p.detach(), torch.tensor([math.nan, 0.75, 1.25, 1.0, 0.75]), equal_nan=True
    )
