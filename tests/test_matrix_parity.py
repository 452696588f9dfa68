"""Against the NumPy transcriptions: what needs matrices, and wrappers that are not in `setups`."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from glissade import Optimizer, Rule, rules, wrappers
from glissade.rule import DECAYS
from tests.cases import Shape, leaf, normal, rate
from tests.oracles import wrappers as theirs
from tests.oracles.transcriptions import make

LR, STEPS = 0.05, 50
SHAPES: list[Shape] = [(), (5,), (1, 7), (4, 6), (2, 3, 4), (0, 3)]
SCALES = (1e-12, 1.0, 1e3)


def compare(
    rule: Rule,
    name: str,
    around: Any = (),
    *,
    backends: tuple[str, ...] = ("eager", "cpu"),
    rtol: float = 1e-10,
    scales: tuple[float, ...] = SCALES,
    averages: bool = False,
    **hyper: Any,
) -> None:
    kinds = [(shape, scale) for shape in SHAPES for scale in scales]
    for backend in backends:
        params = [leaf(normal(i, shape)) for i, (shape, _) in enumerate(kinds)]
        optimizer = Optimizer(params, rule, backend=backend)
        oracle = make(name, [s for s, _ in kinds], lr=LR, wrappers=around, **hyper)
        expected: list[Any] = [p.detach().numpy().copy() for p in params]
        for t in range(1, STEPS + 1):
            grads = [scale * normal(1000 * t + i, s) for i, (s, scale) in enumerate(kinds)]
            for p, g in zip(params, grads, strict=True):
                p.grad = g
            lr = LR * rate(t)
            optimizer.param_groups[0]["lr"] = lr
            optimizer.step()
            expected = oracle.step(expected, [g.numpy() for g in grads], lr)
            if averages:
                got = [optimizer.state[p]["ema_average"].numpy() for p in params]
                want = oracle.averages()
            else:
                got, want = [p.detach().numpy() for p in params], expected
            for x, y, kind in zip(got, want, kinds, strict=True):
                where = f"{backend}, step {t}, {kind}"
                np.testing.assert_allclose(x, y, rtol=rtol, atol=rtol / 100, err_msg=where)


@pytest.mark.parametrize("decay", DECAYS)
@pytest.mark.parametrize("variant", ["mirror", "dual"])
def test_adagradfull(variant: str, decay: str) -> None:
    hyper = {"variant": variant, "decay": decay, "weight_decay": 0.1, "delta": 1e-3}
    # What rounding makes of the smallest eigenvalues weighs against delta: not of large gradients.
    scales = (1e-12, 1.0) if decay != "l2" else (1.0,)
    rule = rules.adagradfull(LR, **hyper)
    compare(rule, "adagradfull", backends=("eager",), rtol=1e-7, scales=scales, **hyper)


def test_adagradfull_with_l1() -> None:
    """With the other decays the transcription decays after the threshold, and we before it: what
    is set to 0 stays 0."""
    hyper = {"decay": "l2", "weight_decay": 0.1, "delta": 1e-3, "l1": 0.2}
    compare(rules.adagradfull(LR, **hyper), "adagrad_l1", **hyper)


@pytest.mark.parametrize("name", ["box", "ball", "simplex"])
@pytest.mark.parametrize("base", ["sgd", "amsgrad"])
def test_project(base: str, name: str) -> None:
    options = {"box": (-0.5, 1.25), "ball": (1.5,), "simplex": ()}[name]
    rule = wrappers.project(getattr(rules, base)(LR), onto=getattr(wrappers, name)(*options))
    around = (("project", {"onto": getattr(theirs, name)(*options)}),)
    backends = ("eager",) if name == "simplex" else ("eager", "cpu")
    compare(rule, base, around, backends=backends, rtol=1e-9)


def test_the_average_of_ema() -> None:
    rule = wrappers.ema(rules.adamw(LR), 0.9)
    compare(rule, "adamw", (("ema", {"decay": 0.9}),), averages=True)


@pytest.mark.parametrize(
    "names",
    [
        ("cautious", "clip_norm"),
        ("clip_norm", "accumulate"),
        ("centralize", "clip_norm", "accumulate", "skip_nonfinite"),
        ("layerwise", "lookahead", "clip_norm"),
    ],
)
def test_nests(names: tuple[str, ...]) -> None:
    """Innermost first; every decay has its place."""
    options: dict[str, dict[str, Any]] = {
        "clip_norm": {"max_norm": 0.5}, "accumulate": {"n": 3}, "lookahead": {"k": 4, "alpha": 0.3},
    }  # fmt: skip
    for decay in DECAYS:
        rule = rules.adamw(LR, weight_decay=0.1, decay=decay)
        for name in names:
            rule = getattr(wrappers, name)(rule, **options.get(name, {}))
        around = tuple((name, options.get(name, {})) for name in names)
        compare(rule, "adamw", around, weight_decay=0.1, decay=decay, scales=(1.0,))
