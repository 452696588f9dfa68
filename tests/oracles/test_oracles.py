"""The oracles against each other and against numbers worked out by hand."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from fractions import Fraction
from typing import Any

import numpy as np
import pytest

from tests.oracles.algorithms import RULES, Array
from tests.oracles.installed import DISAGREEMENTS, INSTALLED, Case
from tests.oracles.transcriptions import DECAYS, Stepper, Wrappers, make

SHAPES = [(), (5,), (1, 7), (7, 1), (4, 6), (2, 3, 5), (3, 2, 4, 3)]
# Scales of the gradient for every shape; small parameters besides, or a small gradient would not
# show in them.
SCALES = [(shape, 1.0, scale) for shape in SHAPES for scale in (1e-12, 1.0, 1e3)]
SCALES += [((5,), 1e-12, 1e-12), ((2, 3, 5), 1e-12, 1e-12)]
LR = 0.01
# The rules of `more_algorithms` have their tests in `test_more`.
MORE = {name for name, rule in RULES.items() if rule.step.__module__.endswith(".more_algorithms")}


def run(oracle: Stepper, steps: int = 25) -> list[list[Array]]:
    """A trajectory with another learning rate and other gradients at every step."""
    random = np.random.default_rng(2)
    params = [size * random.standard_normal(shape) for shape, size, _ in SCALES]
    trajectory = []
    for i in range(steps):
        grads = [scale * random.standard_normal(shape) for shape, _, scale in SCALES]
        params = oracle.step(params, grads, LR * (1.1 + math.cos(i)))
        trajectory.append(params)
    return trajectory


def assert_same(a: list[list[Array]], b: list[list[Array]]) -> None:
    for t, (at, bt) in enumerate(zip(a, b, strict=True), start=1):
        for (shape, size, scale), x, y in zip(SCALES, at, bt, strict=True):
            assert x.shape == y.shape == shape
            assert x.dtype == y.dtype == np.float64
            where = f"step {t}, shape {shape}, parameter {size:g}, gradient {scale:g}"
            atol = 1e-13 * np.max(np.abs(y))
            np.testing.assert_allclose(x, y, rtol=1e-10, atol=atol, err_msg=where)


@pytest.mark.parametrize("case", [c for c in INSTALLED if c.name not in MORE], ids=lambda c: c.id)
def test_agrees_with_installed(case: Case) -> None:
    pytest.importorskip(case.package)
    shapes = [shape for shape, _, _ in SCALES]
    transcription = make(case.name, shapes, lr=LR, wrappers=case.wrappers, **case.hyper)
    assert_same(run(transcription), run(case.build(shapes, LR)))


# What no installed package computes: relations and numbers by hand, in `test_more`.
BY_HAND = {
    ("adagradfull", "mirror"),  # pytorch_optimizer's Shampoo is a Kronecker product, not this
    ("adagradfull", "dual"),
    ("sophia", "official"),  # SophiaH and Optax's have the maximum of the paper
}


def test_table_is_complete() -> None:
    ids = [case.id for case in INSTALLED]
    assert len(set(ids)) == len(ids)
    have = {(c.name, c.hyper.get("variant"), c.hyper.get("decay")) for c in INSTALLED}
    assert not BY_HAND & {(name, variant) for name, variant, _ in have}
    missing = {
        (name, variant, decay)
        for (name, rule), decay in itertools.product(RULES.items(), DECAYS)
        for variant in rule.variants
        if (name, variant, decay) not in have and rule.decay and len(rule.variants) > 1
    }
    missing = {row for row in missing if row[:2] not in BY_HAND}
    # The same transcription under its other name has the peer.
    other = {"adam": "adamw", "adamw": "adam", "sgd": "sgdw", "sgdw": "sgd"}
    same = {("adam", "torch"): "paper", ("adam", "paper"): "torch"}
    rest = set()
    for name, variant, decay in missing:
        names = (name, other.get(name, name))
        variants = (variant, same.get((name.removesuffix("w"), variant), variant))
        if not any((n, v, decay) in have for n in names for v in variants):
            rest.add((name, variant, decay))
    assert not rest


# ------------------------------------------------------------------ by hand

P: Wrappers = (("lookahead", {"k": 2, "alpha": 0.25}),)
L: Wrappers = (("layerwise", {}),)
L2 = (("layerwise", {"phi_bounds": (0.0, 2.0)}),)
L6 = (("layerwise", {"phi_bounds": (6.0, 10.0)}),)
HALF = {"betas": (0.5, 0.75)}
FIRST = {"init": "first_gradient", "alpha": 0.75}

# name, hyper, wrappers, gradients, parameters after each step. The learning rates are 0.1, 0.2,
# 0.2, ..., the parameter starts at 1.
SCALARS: list[tuple[str, dict[str, Any], Any, list[float], list[float]]] = [
    ("sgd", {}, (), [1, 2], [0.9, 0.5]),
    ("sgd", {"momentum": 0.5}, (), [1, 2], [0.9, 0.4]),
    ("sgd", {"momentum": 0.5, "dampening": 0.5}, (), [1, 2], [0.9, 0.6]),  # the first v is g
    ("sgd", {"dampening": 0.5}, (), [1, 2], [0.9, 0.5]),  # torch: no momentum, no dampening
    ("sgd", {"momentum": 0.5, "nesterov": True}, (), [1, 2], [0.85, 0.2]),
    ("sgd", {"momentum": 0.5, "variant": "paper"}, (), [1, 2], [0.9, 0.45]),
    ("sgd", {"momentum": 0.5, "variant": "paper", "nesterov": True}, (), [1, 2], [0.85, 0.225]),
    ("sgd", {"momentum": 0.5, "variant": "ema"}, (), [1, 2], [0.95, 0.7]),
    ("sgd", {"momentum": 0.5, "variant": "ema", "nesterov": True}, (), [1, 2], [0.925, 0.6]),
    # v = 0.11, then 0.055 + 0.2(2 + 0.089)
    ("sgd", {"momentum": 0.5, "variant": "paper", "weight_decay": 0.1}, (), [1, 2],
     [0.89, 0.4172]),
    ("sgdw", {"momentum": 0.5, "variant": "paper", "weight_decay": 0.1}, (), [1, 2],
     [0.89, 0.4222]),
    ("sgdw", {"momentum": 0.5, "variant": "paper", "weight_decay": 0.1, "decay": "independent"},
     (), [1, 2], [0.8, 0.19]),
    ("sgdw", {"momentum": 0.5, "variant": "paper", "weight_decay": 0.1, "decay": "corrected"},
     (), [1, 2], [0.89, 0.4044]),
    ("sgd", {"maximize": True, "weight_decay": 0.5}, (), [1, 2], [1.05, 1.345]),
    # G = 9, 25: 0.1*3/(3+1), 0.2/2*4/(5+1)
    ("adagrad", {"eps": 1.0, "lr_decay": 1.0}, (), [3, 4], [0.925, 0.925 - 1 / 15]),
    # G + eps = 16, 25, and with an accumulator of 4: 25, 81 - 47
    ("adagrad", {"eps": 7.0, "variant": "paper"}, (), [3, 3], [0.925, 0.805]),
    ("adagrad", {"eps": 3.0, "variant": "paper", "initial_accumulator_value": 4.0}, (), [3, 3],
     [0.925, 0.805]),
    ("rmsprop", {"alpha": 0.75, "eps": 1.0}, (), [4], [1 - 0.4 / 3]),  # W = 4
    ("rmsprop", FIRST | {"eps": 1.0}, (), [4, 4], [0.92, 0.76]),  # W = 16, 16
    ("rmsprop", FIRST | {"eps": 9.0, "variant": "paper"}, (), [4, 4], [0.92, 0.76]),
    ("rmsprop", FIRST | {"eps": 9.0, "variant": "keras", "momentum": 0.5}, (), [4, 4],
     [0.92, 0.72]),
    ("rmsprop", FIRST | {"eps": 1.0, "momentum": 0.5}, (), [4, 4], [0.92, 0.68]),
    # W = 2, a = 1
    ("rmsprop", {"alpha": 0.5, "eps": 1.0, "centered": True}, (), [2], [0.9]),
    ("rmsprop", {"alpha": 0.5, "eps": 3.0, "centered": True, "variant": "keras"}, (), [2], [0.9]),
    # m = 1, 3; v = 1, 7; m_hat = 2, 4; v_hat = 4, 16
    ("adam", HALF | {"eps": 1.0}, (), [2, 5], [1 - 1 / 15, 1 - 1 / 15 - 0.16]),
    ("adam", HALF | {"eps": 9.0, "variant": "inside_hat"}, (), [2, 5],
     [1 - 0.2 / math.sqrt(13), 1 - 0.2 / math.sqrt(13) - 0.16]),
    ("adam", HALF | {"eps": 1.0, "variant": "keras"}, (), [2, 5],
     [0.95, 0.95 - 0.2 * math.sqrt(7 / 16) / 0.75 * 3 / (math.sqrt(7) + 1)]),
    ("adam", HALF | {"eps": 3.0, "variant": "inside"}, (), [2, 5],
     [0.95, 0.95 - 0.2 * math.sqrt(7 / 16) / 0.75 * 3 / math.sqrt(10)]),
    # v = 1, 0.75: the raw maximum stays 1, corrected 16/7
    ("adam", HALF | {"eps": 1.0, "amsgrad": True}, (), [2, 0],
     [1 - 1 / 15, 1 - 1 / 15 - 0.2 * (2 / 3) / (4 / math.sqrt(7) + 1)]),
    ("adamw", HALF | {"eps": 1.0, "weight_decay": 0.5}, (), [2], [1 - 1 / 15 - 0.05]),
    ("adamw", HALF | {"eps": 1.0}, (), [2], [1 - 1 / 15 - 0.001]),  # weight_decay = 0.01
    # c = 1, then 0.25 - 0.5, then 0.0625 - 0.0625: the sign of 0 is 0
    ("lion", HALF, (), [2, -1, -0.125], [0.9, 1.1, 1.1]),
    ("lion", HALF | {"weight_decay": 0.5}, (), [2], [0.85]),
    # two steps from 1 to 0.7, a quarter of the way; the same from there
    ("sgd", {}, P, [1, 1, 1, 1], [0.9, 0.925, 0.725, 0.825]),
    ("sgd", {}, L, [-7, 0], [1.1, 1.1]),  # 0.1*|p|, and no step for no gradient
]  # fmt: skip


@pytest.mark.parametrize(("name", "hyper", "wrappers", "grads", "expected"), SCALARS)
def test_scalar_by_hand(
    name: str, hyper: dict[str, Any], wrappers: Any, grads: list[float], expected: list[float]
) -> None:
    oracle = make(name, [()], lr=0.1, wrappers=wrappers, **hyper)
    params = [np.array(1.0)]
    got = []
    for i, g in enumerate(grads):
        params = oracle.step(params, [np.array(float(g))], None if i == 0 else 0.2)
        got.append(float(params[0]))
    np.testing.assert_allclose(got, expected, rtol=1e-14)


# beta1 = 0.5, beta2 = 0.75, first step: m_hat = g, v_hat = g^2, m = g/2, v = g^2/4.
# name, hyper, wrappers, p, g, step
TENSORS: list[tuple[str, dict[str, Any], Any, Any, Any, Any]] = [
    # r = 0.5 + p, of length 5
    ("lamb", HALF | {"eps": 1.0, "weight_decay": 1.0}, (), [2.5, 3.5], [1, 1],
     np.array([0.3, 0.4]) * math.sqrt(18.5) / 5),
    ("lamb", HALF | {"eps": 1.0, "weight_decay": 1.0, "phi_bounds": (0, 2)}, (), [2.5, 3.5],
     [1, 1], [0.12, 0.16]),
    ("lamb", HALF | {"eps": 1.0, "weight_decay": 1.0, "phi_bounds": (6, 10)}, (), [2.5, 3.5],
     [1, 1], [0.36, 0.48]),
    ("lamb", HALF | {"eps": 0.5, "weight_decay": 1.0, "phi_bounds": (0, 2),
                     "bias_correction": False}, (), [2.5, 3.5], [1, 1], [0.12, 0.16]),
    ("lamb", HALF | {"eps": 1.0, "phi_bounds": (6, 10)}, (), [0, 0], [1, 1], [0.05, 0.05]),
    ("lamb", HALF | {"phi_bounds": (6, 10)}, (), [3, 4], [0, 0], [0, 0]),
    ("sgd", {}, L, [3, 4], [60, 80], [0.3, 0.4]),
    ("sgd", {}, L2, [3, 4], [60, 80], [0.12, 0.16]),
    ("sgd", {}, L6, [3, 4], [60, 80], [0.36, 0.48]),
    ("sgd", {}, L6, [0, 0], [60, 80], [6, 8]),
    ("sgdw", {"weight_decay": 0.5}, L, [3, 4], [0, 0], [0.3, 0.4]),  # decay is in the ratio
    ("sgdw", {"weight_decay": 0.5, "decay": "independent"}, L, [3, 4], [1.5, 2], [0.3, 0.4]),
    ("sgd", {"weight_decay": 0.5}, L, [3, 4], [0, 0], [0.3, 0.4]),
    # v = [[1, 4], [4, 16]] is of rank one, u = 1, RMS(p) = 2
    ("adafactor", {"variant": "paper"}, (), [[2, 2], [2, 2]], [[1, 2], [2, -4]],
     [[0.2, 0.2], [0.2, -0.2]]),
    ("adafactor", {"variant": "paper", "eps": (None, 5.0)}, (), [[2, 2], [2, 2]],
     [[1, 2], [2, -4]], [[0.5, 0.5], [0.5, -0.5]]),
    ("adafactor", {"variant": "paper", "d": 0.25, "weight_decay": 0.5}, (), [2, -2], [3, -4],
     [0.15, -0.15]),  # RMS(u)/d = 4: 0.2/4, and 0.1*0.5*2
    # v = 1e-6 is under eps1^2 = 2^-14
    ("adafactor", {"dtype": "bfloat16"}, (), 2.0, 1e-3, 0.2 * 0.128),
    ("adafactor", {"eps": (0.01, 1e-3)}, (), 2.0, 1e-3, 0.02),
    ("sgd", {}, (("centralize", {}),), [[0, 2], [0, 0]], [[1, 3], [5, 5]], [[-0.1, 0.1], [0, 0]]),
    ("sgd", {}, (("centralize", {}),), [0, 2], [1, 3], [0.1, 0.3]),
    ("sgd", {}, (("centralize", {}),), [[[0], [0]]], [[[1], [3]]], [[[-0.1], [0.1]]]),
    # l2 comes before the mean is taken, decoupled decay after
    ("sgd", {"weight_decay": 1.0}, (("centralize", {}),), [[0, 2]], [[1, 3]], [[-0.2, 0.2]]),
    ("sgdw", {"weight_decay": 1.0}, (("centralize", {}),), [[0, 2]], [[1, 3]], [[-0.1, 0.3]]),
]  # fmt: skip


@pytest.mark.parametrize(("name", "hyper", "wrappers", "p", "g", "step"), TENSORS)
def test_tensor_by_hand(
    name: str, hyper: dict[str, Any], wrappers: Any, p: Any, g: Any, step: Any
) -> None:
    p, g = np.array(p, dtype=np.float64), np.array(g, dtype=np.float64)
    (new,) = make(name, [p.shape], lr=0.1, wrappers=wrappers, **hyper).step([p], [g])
    np.testing.assert_allclose(new, p - np.array(step), rtol=1e-13, atol=1e-15)


def test_adafactor_by_fractions() -> None:
    """Two steps of the 2x3 matrix in exact arithmetic up to the last root."""
    g1, g2 = [[1, 2, 2], [3, 1, 1]], [[1, 0, 2], [0, 1, 1]]
    rows = [Fraction(sum(x * x for x in row)) for row in g1]
    cols = [Fraction(sum(x * x for x in col)) for col in zip(*g1, strict=True)]
    assert rows == [9, 11]
    assert cols == [10, 5, 5]
    beta2 = Fraction(1, 2)  # 1 - 2^-1
    rows2 = [beta2 * r + (1 - beta2) * new for r, new in zip(rows, [5, 2], strict=True)]
    cols2 = [beta2 * c + (1 - beta2) * new for c, new in zip(cols, [1, 1, 5], strict=True)]
    oracle = make(
        "adafactor", [(2, 3)], lr=0.8, variant="paper", beta2_decay=-1.0, eps=(None, 0.25)
    )
    params = [np.array([[1.0, 1.0, 1.0], [1.0, 1.0, 1.0]])]
    for t, (g, r, c) in enumerate([(g1, rows, cols), (g2, rows2, cols2)], start=1):
        v = [[ri * cj / sum(r) for cj in c] for ri in r]
        u2 = [[x * x / y for x, y in zip(*pair, strict=True)] for pair in zip(g, v, strict=True)]
        mean = sum(itertools.chain(*u2)) / 6
        rho = min(0.8, 1 / math.sqrt(t)) * max(0.25, float(np.sqrt(np.mean(params[0] ** 2))))
        step = rho * np.sqrt(np.array(u2, dtype=np.float64)) / max(1.0, math.sqrt(mean))
        expected = params[0] - step
        params = oracle.step(params, [np.array(g, dtype=np.float64)])
        np.testing.assert_allclose(params[0], expected, rtol=1e-14)


@pytest.mark.parametrize(
    ("variant", "first", "before"), [("paper", 5, 1), ("inside", 5, 1), ("torch", 6, 1),
                                     ("official", 6, 0)]
)  # fmt: skip
def test_radam_by_fractions(variant: str, first: int, before: int) -> None:
    """A constant gradient of 1: m_hat = v_hat = 1. With beta2 = 0.9, rho_5 = 4.58, rho_6 = 5.39."""
    beta2 = Fraction(9, 10)
    oracle = make("radam", [()], lr=0.1, variant=variant, betas=(0.5, 0.9), eps=0.5)
    params = [np.array(1.0)]
    for t in range(1, 8):
        rho = 19 - 2 * t * beta2**t / (1 - beta2**t)
        assert (rho > 4) == (t >= 5)
        assert (rho > 5) == (t >= 6)
        root = math.sqrt(1 - beta2**t)
        denominator = {"paper": 1.5, "inside": math.sqrt(1.5)}.get(variant, (root + 0.5) / root)
        size: float = before
        if t >= first:
            size = math.sqrt((rho - 4) * (rho - 2) * 19 / (15 * 17 * rho)) / denominator
        expected = float(params[0]) - 0.1 * size
        params = oracle.step(params, [np.array(1.0)])
        assert float(params[0]) == pytest.approx(expected, rel=1e-13)


# ------------------------------------------------------------------ what holds between them


def test_lamb_is_layerwise_adam() -> None:
    shapes = [shape for shape, _, _ in SCALES]
    options: dict[str, Any] = {"eps": 1e-6, "weight_decay": 0.05}
    for phi_bounds in (None, (0.0, 3.0)):
        lamb = make("lamb", shapes, lr=LR, phi_bounds=phi_bounds, **options)
        layer = (("layerwise", {"phi_bounds": phi_bounds}),)
        assert_same(run(lamb), run(make("adamw", shapes, lr=LR, wrappers=layer, **options)))


def test_presets_are_compositions() -> None:
    shapes = [shape for shape, _, _ in SCALES]

    def same(preset: str, options: dict[str, Any], wrappers: Any, **settings: Any) -> None:
        a = make(preset, shapes, lr=LR, weight_decay=0.05, **options)
        b = make("radam", shapes, lr=LR, weight_decay=0.05, wrappers=wrappers, **settings)
        assert_same(run(a), run(b))

    look = ("lookahead", {"k": 6, "alpha": 0.5})
    same("ranger", {}, (look,), variant="paper")
    same("ranger", {"variant": "official"}, (("centralize", {}), look),
         variant="torch", betas=(0.95, 0.999), eps=1e-5)  # fmt: skip
    same("ralamb", {}, L, variant="paper")
    same("ranger_lars", {"k": 4}, (*L, ("lookahead", {"k": 4})), variant="paper")


@pytest.mark.parametrize("cls", ["Adam", "RAdam", "NoGradient"])
def test_steps_are_counted_per_parameter(cls: str) -> None:
    """torch leaves a parameter without a gradient alone, and so does its count."""
    shapes = [(3,), (2, 2)]
    random = np.random.default_rng(0)
    params = [random.standard_normal(shape) for shape in shapes]
    oracle = make("adam" if cls == "Adam" else "radam", shapes, lr=LR, weight_decay=0.05)
    if cls == "NoGradient":
        new = oracle.step(params, [None, None])
        assert all(np.array_equal(a, b) for a, b in zip(params, new, strict=True))
        assert oracle.t == [0, 0]
        return
    wanted = f"torch-{cls}-default" + ("-as-adam-l2" if cls == "Adam" else "-l2")
    peer = next(case for case in INSTALLED if case.id == wanted).build(shapes, LR)
    mine, torchs = params, params
    for t in range(12):
        grads: Sequence[Array | None] = [
            None if t % (3 + i) == 0 else random.standard_normal(shape)
            for i, shape in enumerate(shapes)
        ]
        mine, torchs = oracle.step(mine, grads), peer.step(torchs, grads)
        for a, b in zip(mine, torchs, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-12)


@pytest.mark.parametrize("name", sorted(RULES))
def test_nan_and_empty(name: str) -> None:
    """A NaN comes out, also through sign and through a clip; an empty tensor stays empty."""
    shapes = [(3,), (0, 3), (2, 3)]
    params = [np.ones(shape) for shape in shapes]
    grads = [np.ones(shape) for shape in shapes]
    grads[0][1] = np.nan
    grads[2][0, 2] = np.nan
    oracle = make(name, shapes, lr=LR)
    new = params
    for _ in range(2):  # the first step of some only looks
        new = oracle.step(new, grads, curvature=params)
    # A reduction carries it to the whole tensor.
    whole = name in ("lamb", "adafactor", "lars", "adagradfull")
    assert np.isnan(new[0]).tolist() == [whole, True, whole]
    assert new[1].shape == (0, 3)
    whole = whole or name == "factoredadam"  # that has none for a vector
    assert np.isnan(new[2]).tolist() == [[whole, whole, True], [whole] * 3]
    assert np.isnan(grads[0]).tolist() == [False, True, False]


def test_zero_learning_rate_and_zero_decay() -> None:
    # They reduce over p, or decay by default, or divide by the initial learning rate.
    other = {"lamb", "lars", "adafactor", "adamw", "sophia", "adabound", "amsbound"}
    for name in RULES.keys() - other:
        (new,) = make(name, [(2,)], lr=0.0).step([np.array([1.0, np.inf])], [np.ones(2)])
        assert new.tolist() == [1.0, np.inf]
    (new,) = make("sgd", [(2,)], lr=0.1, wrappers=L).step([np.ones(2)], [np.ones(2)], 0.0)
    assert new.tolist() == [1.0, 1.0]


@pytest.mark.parametrize(
    ("name", "hyper", "error", "match"),
    [
        ("adam", {"beta": 0.9}, TypeError, "beta"),
        ("lamb", {"decay": "l2"}, TypeError, "decay"),
        ("lion", {"eps": 1e-8}, TypeError, "eps"),
        ("ralamb", {"k": 6}, TypeError, "k"),
        ("adam", {"variant": "optax"}, ValueError, "inside_hat"),
        ("ranger", {"variant": "torch"}, ValueError, "official"),
        ("adam", {"decay": "coupled"}, ValueError, "corrected"),
        ("adan", {}, ValueError, "adamw"),
        ("sgd", {"variant": "ema", "dampening": 0.1}, ValueError, "dampening"),
        ("adagrad", {"variant": "paper", "lr_decay": 0.1}, ValueError, "lr_decay"),
        ("rmsprop", {"variant": "paper", "momentum": 0.1}, ValueError, "momentum"),
        ("rmsprop", {"init": "ones"}, ValueError, "first_gradient"),
        ("adafactor", {"dtype": "int8"}, ValueError, "bfloat16"),
    ],
)
def test_refuses(name: str, hyper: dict[str, Any], error: type[Exception], match: str) -> None:
    with pytest.raises(error, match=match):
        make(name, [()], lr=0.1, **hyper).step([np.array(1.0)], [np.array(1.0)])


@pytest.mark.parametrize("decay", ["independent", "corrected"])
def test_refuses_to_divide_by_a_zero_learning_rate(decay: str) -> None:
    with pytest.raises(ValueError, match="initial lr"):
        make("adam", [()], lr=0.0, decay=decay, weight_decay=0.1)


# ------------------------------------------------------------------ the disagreements are there


def test_disagreements() -> None:
    torch = pytest.importorskip("torch")
    pytorch_optimizer = pytest.importorskip("pytorch_optimizer")
    assert {d.package for d in DISAGREEMENTS} == {"torch", "optax", "pytorch_optimizer"}

    def first_step(cls: Any, p: list[float], g: list[float], **options: Any) -> list[float]:
        param = torch.tensor(p, dtype=torch.float64)
        param.grad = torch.tensor(g, dtype=torch.float64)
        cls([param], lr=0.1, **options).step()
        return list(param.tolist())

    assert first_step(pytorch_optimizer.Lion, [1.0], [math.nan]) == [1.0]
    assert first_step(pytorch_optimizer.Ranger, [1.0], [1.0]) == pytest.approx([1.1])
    assert first_step(pytorch_optimizer.RAdam, [1.0], [0.0], weight_decay=0.5) == [1.0]
    adafactor = torch.optim.Adafactor
    assert np.isnan(first_step(adafactor, [1.0, 1.0], [math.nan, 1.0])).tolist() == [True, False]
    with pytest.raises(ZeroDivisionError):
        first_step(adafactor, [], [])
