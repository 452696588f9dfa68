"""float64 on both backends against the oracles: NumPy transcriptions and installed packages."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import pytest
import torch

from glissade import Optimizer, Rule, registry, wrappers
from tests.cases import Shape, leaf, normal, rate
from tests.oracles.case import Case
from tests.oracles.installed import INSTALLED
from tests.oracles.transcriptions import Stepper, make
from tests.setups import Setup, setups

LR, STEPS = 0.01, 25
SHAPES: list[Shape] = [(), (5,), (1, 7), (7, 1), (4, 6), (2, 3, 5), (3, 2, 4, 3)]
SCALES = [(shape, 1.0, scale) for shape in SHAPES for scale in (1e-12, 1.0, 1e3)]
SCALES += [((5,), 1e-12, 1e-12), ((2, 3, 5), 1e-12, 1e-12)]  # (shape, parameter, gradient)


def start() -> list[torch.Tensor]:
    return [size * normal(i, shape) for i, (shape, size, _) in enumerate(SCALES)]


@functools.cache
def gradients(t: int) -> list[torch.Tensor]:
    return [s * normal(1000 * t + i, shape) for i, (shape, _, s) in enumerate(SCALES)]


def ours(rule: Rule, backend: str) -> list[list[np.ndarray]]:
    params = [leaf(p) for p in start()]
    optimizer = Optimizer(params, rule, backend=backend)
    seen = []
    for t in range(1, STEPS + 1):
        for p, g in zip(params, gradients(t), strict=True):
            p.grad = g
        optimizer.param_groups[0]["lr"] = LR * rate(t)
        optimizer.step()
        seen.append([p.detach().numpy().copy() for p in params])
    return seen


def theirs(oracle: Stepper) -> list[list[np.ndarray]]:
    params = [p.numpy() for p in start()]
    seen = []
    for t in range(1, STEPS + 1):
        params = oracle.step(params, [g.numpy() for g in gradients(t)], LR * rate(t))
        seen.append(params)
    return seen


def assert_same(got: list[list[np.ndarray]], wanted: list[list[np.ndarray]], backend: str) -> None:
    largest = [np.max(np.abs(p.numpy())) for p in start()]
    for t, (at, bt) in enumerate(zip(got, wanted, strict=True), start=1):
        for i, (x, y) in enumerate(zip(at, bt, strict=True)):
            largest[i] = max(largest[i], np.max(np.abs(y)))
            where = f"{backend}, step {t}, {SCALES[i]}"
            atol = 1e-14 * largest[i]  # near 0 there is only what is left of larger numbers
            np.testing.assert_allclose(x, y, rtol=1e-10, atol=atol, err_msg=where)


def transcribed(setup: Setup) -> list[list[np.ndarray]]:
    preset = registry.lookup(setup.name).preset
    name = "sgd" if preset else setup.name
    around = tuple((wrapper, dict(options)) for wrapper, options in setup.around)
    shapes = [shape for shape, _, _ in SCALES]
    return theirs(make(name, shapes, lr=LR, wrappers=around, **{**preset, **dict(setup.hyper)}))


def compare(rule: Rule, wanted: list[list[np.ndarray]]) -> None:
    for backend in ("eager", "cpu"):
        assert_same(ours(rule, backend), wanted, backend)


@pytest.mark.parametrize("setup", setups(), ids=str)
def test_transcription(setup: Setup) -> None:
    compare(setup.rule(LR), transcribed(setup))


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
    compare(rule, theirs(case.build([shape for shape, _, _ in SCALES], LR)))
