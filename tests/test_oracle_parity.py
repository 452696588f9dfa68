"""float64 on both backends against the oracles: NumPy transcriptions and installed packages."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import pytest
import torch

from glissade import Optimizer, Rule, registry, wrappers
from tests.cases import Shape, curvature, feed, leaf, normal, rate
from tests.oracles.case import Case
from tests.oracles.installed import INSTALLED
from tests.oracles.transcriptions import Stepper, make
from tests.setups import Setup, setups

LR, STEPS, STABLE = 0.01, 50, 25
SHAPES: list[Shape] = [(), (5,), (1, 7), (7, 1), (4, 6), (2, 3, 5), (3, 2, 4, 3)]
Kinds = tuple[tuple[Shape, float, float], ...]  # shape, size of the parameter, of its gradient
EACH: Kinds = (
    *((shape, 1.0, scale) for shape in SHAPES for scale in (1e-12, 1.0, 1e3)),
    ((5,), 1e-12, 1e-12),  # or a small gradient would not show
    ((2, 3, 5), 1e-12, 1e-12),
)
# For Optax, which takes milliseconds a tensor; tests/oracles holds it against the rest.
FEW: Kinds = (*(EACH[3 * i + i % 3] for i in range(len(SHAPES))), *EACH[-2:])


def start(kinds: Kinds) -> list[torch.Tensor]:
    return [size * normal(i, shape) for i, (shape, size, _) in enumerate(kinds)]


@functools.cache
def gradients(kinds: Kinds, t: int) -> list[torch.Tensor]:
    return [scale * normal(1000 * t + i, shape) for i, (shape, _, scale) in enumerate(kinds)]


def ours(rule: Rule, backend: str, kinds: Kinds) -> list[list[np.ndarray]]:
    params = [leaf(p) for p in start(kinds)]
    optimizer = Optimizer(params, rule, backend=backend)
    seen = []
    for t in range(1, STEPS + 1):
        for p, g in zip(params, gradients(kinds, t), strict=True):
            p.grad = g
        optimizer.param_groups[0]["lr"] = LR * rate(t)
        feed(optimizer)
        optimizer.step()
        seen.append([p.detach().numpy().copy() for p in params])
    return seen


def theirs(oracle: Any, kinds: Kinds, *, every: int) -> list[list[np.ndarray]]:
    params = [p.numpy() for p in start(kinds)]
    seen = []
    for t in range(1, STEPS + 1):
        grads = [g.numpy() for g in gradients(kinds, t)]
        more = (
            {"curvature": [curvature(shape).numpy() for shape, _, _ in kinds]}
            if every and (t - 1) % every == 0
            else {}
        )
        params = oracle.step(params, grads, LR * rate(t), **more)
        seen.append(params)
    return seen


def compare(rule: Rule, oracle: Stepper, kinds: Kinds) -> None:
    wanted = theirs(oracle, kinds, every=rule.hyper["k"] if rule.inputs else 0)
    for backend in ("eager",) if rule.matrix else ("eager", "cpu"):
        got = ours(rule, backend, kinds)
        largest = [np.max(np.abs(p.numpy())) for p in start(kinds)]
        for t, (at, bt) in enumerate(zip(got, wanted, strict=True), start=1):
            for i, (x, y) in enumerate(zip(at, bt, strict=True)):
                largest[i] = max(largest[i], np.max(np.abs(y)))
                where = f"{backend}, step {t}, {kinds[i]}"
                if t > STABLE and kinds[i][1] < 1e-6:
                    continue  # under l2 tiny parameters are their own gradients: rounding grows
                atol = 1e-14 * largest[i]  # near 0 there is only what is left of larger numbers
                np.testing.assert_allclose(x, y, rtol=1e-10, atol=atol, err_msg=where)


def shapes_of(kinds: Kinds) -> list[Shape]:
    return [shape for shape, _, _ in kinds]


@pytest.mark.parametrize("setup", setups(), ids=str)
def test_transcription(setup: Setup) -> None:
    preset = registry.lookup(setup.name).preset
    name = "sgd" if preset else setup.name
    around = tuple((wrapper, dict(options)) for wrapper, options in setup.around)
    hyper = {**preset, **dict(setup.hyper)}
    oracle = make(name, shapes_of(EACH), lr=LR, wrappers=around, **hyper)
    compare(setup.rule(LR), oracle, EACH)


# What torch calls Adam's paper is its default, under this name here.
SAME = {("adam", "paper"): "torch", ("adamw", "paper"): "torch"}


@pytest.mark.parametrize("case", INSTALLED, ids=lambda case: case.id)
def test_installed(case: Case) -> None:
    pytest.importorskip(case.package)
    hyper: dict[str, Any] = dict(case.hyper)
    if (case.name, hyper.get("variant")) in SAME:
        hyper["variant"] = SAME[case.name, hyper["variant"]]
    rule = registry.lookup(case.name).bind(LR, **hyper)
    for name, options in case.wrappers:
        rule = getattr(wrappers, name)(rule, **options)
    kinds = FEW if case.package == "optax" else EACH
    compare(rule, case.build(shapes_of(kinds), LR), kinds)
