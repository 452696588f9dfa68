"""The rules of `more_algorithms`: installed peers, numbers by hand, what holds between them."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from tests.oracles.algorithms import RULES, Array
from tests.oracles.case import Case
from tests.oracles.installed import INSTALLED
from tests.oracles.test_oracles import LR, MORE, SCALES, assert_same, run
from tests.oracles.transcriptions import Wrappers, make

STEPS = 50
SHAPES = [shape for shape, _, _ in SCALES]
VARIANTS = [(name, variant) for name in sorted(MORE) for variant in RULES[name].variants]


@pytest.mark.parametrize("case", [c for c in INSTALLED if c.name in MORE], ids=lambda c: c.id)
def test_agrees_with_installed(case: Case) -> None:
    """Each keeps its own state; both go on from the same parameters.

    Else l2 on a tiny gradient hands the last bit of p back to be normalised, and after 50 steps of
    NAdam it is the tenth digit.
    """
    pytest.importorskip(case.package)
    transcription = make(case.name, SHAPES, lr=LR, wrappers=case.wrappers, **case.hyper)
    peer = case.build(SHAPES, LR)
    random = np.random.default_rng(2)
    params = [size * random.standard_normal(shape) for shape, size, _ in SCALES]
    for t in range(STEPS):
        grads = [scale * random.standard_normal(shape) for shape, _, scale in SCALES]
        extra = {}
        if case.name == "sophia" and t % case.hyper["k"] == 0:  # of either sign
            extra = {"curvature": [random.standard_normal(shape) for shape in SHAPES]}
        lr = LR * (1.1 + math.cos(t))
        mine, theirs = (x.step(params, grads, lr, **extra) for x in (transcription, peer))
        for kind, p, x, y in zip(SCALES, params, mine, theirs, strict=True):
            atol = 1e-14 * max(np.max(np.abs(p)), np.max(np.abs(y)))  # x is p and what is moved
            np.testing.assert_allclose(x, y, rtol=1e-10, atol=atol, err_msg=f"{t + 1}, {kind}")
        params = theirs


# ------------------------------------------------------------------ by hand

HALF = {"betas": (0.5, 0.75)}
HALF1 = HALF | {"eps": 1.0}
XI = [1 / (1 + math.exp(-2)), 1 / (1 + math.exp(-3)), 1 / (1 + math.exp(-4))]  # 0, 2, 5, 1
ROOT7 = math.sqrt(7)
MU = [0.26, 0.2696, 0.5 * (1 - 0.5 * 0.96**3)]  # 0.5*(1 - 0.5*0.96^t)
OFFICIAL = {"variant": "official"}
BOUND = HALF1 | {"gamma": 1.0}

# name, hyper, gradients, parameters after each step. The learning rates are 0.1, 0.2, 0.2, the
# parameter starts at 1. With HALF and gradients of 2 and 5: m = 1, 3; v = 1, 7; m_hat = 2, 4;
# v_hat = 4, 16; the corrections are 1/2, 3/4 and 1/4, 7/16.
SCALARS: list[tuple[str, dict[str, Any], list[float], list[float]]] = [
    ("lars", {"momentum": 0.5}, [2, -4], [0.9, 1.08]),  # |p| and the sign of m = 1, -1.5
    ("lars", {"momentum": 0.5, "phi_bounds": (2.0, 5.0)}, [2, 0], [0.8, 0.4]),
    ("lars", {"weight_decay": 0.5}, [-0.5, -7], [1.0, 1.2]),  # m = 0; |p| = 1
    # local = 0.5/(3 + 1), 0.5*0.9625/(1 + 1)
    ("lars", OFFICIAL | {"momentum": 0.5, "trust_coefficient": 0.5, "eps": 1.0}, [3, 1],
     [0.9625, 0.9625 - 0.01875 - 0.048125]),
    ("lars", OFFICIAL | {"trust_coefficient": 0.5, "eps": 0.0, "weight_decay": 1.0}, [1], [0.95]),
    ("lars", OFFICIAL | {"weight_decay": 1.0}, [0], [0.9]),  # |g| = 0: the local rate is 1
    ("signum", {"momentum": 0.5}, [2, -1, -1], [0.9, 0.9, 1.1]),  # m = 1, 0, -0.5
    ("signum", {"weight_decay": 0.5}, [2], [0.85]),
    # H = 4, 6: 0.075 and 0.05; 0.4/3 and 0.2/3
    ("adagrad_l1", {"delta": 1.0, "l1": 2.0}, [3, 4], [0.875, 0.675]),
    ("adagrad_l1", {"delta": 1.0, "l1": 40.0}, [3, -4], [0.0, 0.0]),
    ("adagrad_l1", {"delta": 1.0, "l1": 2.0}, [-3, -4], [1.025, 1.025 + 0.2 / 3]),
    ("adagradfull", {"delta": 1.0}, [3, 4], [0.925, 0.925 - 0.4 / 3]),
    ("adagradfull", {"delta": 1.0, "variant": "dual"}, [3, 4], [0.925, 1 - 0.7 / 3]),
    # W = 1, 3; P = 0, 0.75; delta = sqrt(3/4)*2, sqrt(3.75/6)*3
    ("adadelta", {"rho": 0.75, "eps": 3.0}, [2, 3],
     [1 - 0.1 * math.sqrt(3), 1 - 0.1 * math.sqrt(3) - 0.6 * math.sqrt(0.625)]),
    # m = 1, 1; u = 2, 1.5
    ("adamax", HALF | {"variant": "paper"}, [2, 1], [0.9, 0.9 - 8 / 45]),
    ("adamax", HALF1, [2, 1], [1 - 1 / 15, 1 - 1 / 15 - 0.8 / 6.75]),  # u = 3, 2.25
    ("adamax", HALF1 | {"variant": "keras"}, [2, 1], [1 - 1 / 15, 1 - 1 / 15 - 0.8 / 7.5]),
    ("nadam", HALF1 | {"variant": "paper"}, [2, 5], [0.9, 0.9 - 16 / 75]),  # 3/3, (16/3)/5
    # mu = 1/4: (4/15 + 2)/3, (16/21 + 4)/5
    ("nadam", HALF1 | {"momentum_decay": 0.0}, [2, 5], [1 - 3.4 / 45, 1 - 3.4 / 45 - 4 / 21]),
    ("nadam", HALF1 | {"variant": "keras"}, [2, 5],
     [1 - 0.1 * (MU[1] / (1 - MU[0] * MU[1]) + 2) / 3,
      1 - 0.1 * (MU[1] / (1 - MU[0] * MU[1]) + 2) / 3
      - 0.04 * (3 * MU[2] / (1 - MU[0] * MU[1] * MU[2]) + 5 * (1 - MU[1]) / (1 - MU[0] * MU[1]))]),
    # m = 1, 0.5; v = 1, 0.75; the maximum stays
    ("amsgrad", HALF1, [2, 0], [0.95, 0.9]),
    ("amsgrad", HALF1 | {"beta1_decay": 0.5}, [2, 0], [0.95, 0.925]),
    ("amsgrad", HALF | {"eps": 3.0, "variant": "inside"}, [2, 0], [0.95, 0.9]),
    ("amsgrad", HALF1 | {"variant": "torch"}, [2, 0],
     [1 - 1 / 15, 1 - 1 / 15 - 0.2 * (2 / 3) / (4 / ROOT7 + 1)]),
    ("amsgrad", HALF1 | {"variant": "optax"}, [2, 0], [1 - 1 / 15, 1 - 1 / 15 - 0.4 / 9]),
    # s = 0.25 + 2, 0.75*2.25 + 1 + 2
    ("adabelief", HALF | {"eps": 2.0}, [2, 5], [0.96, 0.96 - 0.8 / (math.sqrt(75 / 7) + 2)]),
    # 0.1/(1 + 1) = 0.05, then 0.2*sqrt(7)/3/(sqrt(v) + 1); the bounds are F/2, 2F and 4F/3, 3F
    ("adabound", BOUND | {"final_lr": 0.2}, [2, 5], [0.9, 0.1]),
    ("adabound", BOUND | {"final_lr": 0.01}, [2, 5], [0.98, 0.89]),
    ("adabound", BOUND | {"final_lr": 0.05}, [2, 0],
     [0.95, 0.95 - ROOT7 / 30 / (math.sqrt(0.75) + 1)]),
    ("amsbound", BOUND | {"final_lr": 0.05}, [2, 0], [0.95, 0.95 - ROOT7 / 60]),
    ("adamod", HALF1 | {"beta3": 0.5}, [2, 5],  # eta = 0.05; s = 0.025 and half of both
     [0.975, 0.975 - 3 * (0.0125 + ROOT7 / 30 / (ROOT7 + 1))]),
    ("adamod", HALF1 | {"beta3": 0.5}, [2, 61],  # now eta is the smaller one
     [0.975, 0.975 - 31 * ROOT7 / 15 / (math.sqrt(931) + 1)]),
    # the third: m = 2 over 7/8, v = 5.5 over 37/64
    ("diffgrad", HALF1, [2, 5, 1],
     [1 - XI[0] / 15, 1 - XI[0] / 15 - 0.16 * XI[1],
      1 - XI[0] / 15 - 0.16 * XI[1] - XI[2] * (3.2 / 7) / (math.sqrt(352 / 37) + 1)]),
    ("diffgrad", HALF1 | OFFICIAL, [2, 5],
     [1 - 0.05 * XI[0], 1 - 0.05 * XI[0] - XI[1] * ROOT7 / 5 / (ROOT7 + 1)]),
    # v = 0.75 + 0.25 = 1.25 - 0.25 = 1, then v = g^2 and its sign is 0
    ("yogi", HALF1 | {"initial_accumulator": 0.75}, [1, 1],
     [1 - 1 / 30, 1 - 1 / 30 - 0.2 / (4 / ROOT7 + 1)]),
    ("yogi", HALF1 | {"initial_accumulator": 1.25}, [1, 1],
     [1 - 1 / 30, 1 - 1 / 30 - 0.2 / (4 / ROOT7 + 1)]),
    # v = 4, 0.75*4 + 9 = 12; 6/2 is clipped to 1, 3 is under sqrt(12)*2^(1/4): m = 0.5, ...
    ("adopt", HALF, [2, 6, 3],
     [1.0, 0.9, 0.9 - 0.2 * (0.25 + 0.5 * 3 / math.sqrt(12))]),
    ("adopt", HALF, [2, -6, -30], [1.0, 1.1, 1.15 + 0.1 * 2**0.25]),  # clipped at -1, -2^(1/4)
    ("adopt", HALF | {"eps": 8.0}, [2, 4], [1.0, 0.95]),  # 4/8
    ("adopt", HALF | {"weight_decay": 0.5}, [2, 6], [0.95, 0.95 - 0.1 - 0.095]),
    ("factoredadam", {"beta2": 0.75, "eps": 1.0}, [2, 5], [1 - 1 / 15, 1 - 1 / 15 - 0.2]),
    ("factoredadam", {"eps": 0.0}, [0], [1.0]),
]  # fmt: skip


@pytest.mark.parametrize(("name", "hyper", "grads", "expected"), SCALARS)
def test_scalar_by_hand(
    name: str, hyper: dict[str, Any], grads: list[float], expected: list[float]
) -> None:
    oracle = make(name, [()], lr=0.1, **hyper)
    params, got = [np.array(1.0)], []
    for i, g in enumerate(grads):
        params = oracle.step(params, [np.array(float(g))], None if i == 0 else 0.2)
        got.append(float(params[0]))
    np.testing.assert_allclose(got, expected, rtol=1e-14)


# h = 4, 4, then 0.75*4 - 4 = -1, which is under epsilon; m = 1, 1, 0.5. The released code divides
# by 0.5*4*h without a maximum: there a negative h goes uphill.
SOPHIA: list[tuple[dict[str, Any], list[float]]] = [
    ({"gamma": 0.5, "weight_decay": 0.0}, [0.95, 0.85, 0.65]),
    ({"gamma": 0.5, "weight_decay": 0.5}, [0.9, 0.71, 0.71 - 0.071 - 0.2]),
    ({}, [0.89, 0.89 - 0.0178 - 0.2, 0.6722 - 0.013444 - 0.2]),  # weight_decay = 0.1
    (OFFICIAL | {"rho": 0.5, "bs": 4, "weight_decay": 0.0}, [0.9875, 0.9625, 1.0125]),
]


@pytest.mark.parametrize(("hyper", "expected"), SOPHIA)
def test_sophia_by_hand(hyper: dict[str, Any], expected: list[float]) -> None:
    eps = {} if "variant" in hyper else {"eps": 0.25}
    oracle = make("sophia", [()], lr=0.1, k=2, **HALF, **eps, **hyper)
    params, got = [np.array(1.0)], []
    for i, (g, h) in enumerate([(2.0, 16.0), (1.0, None), (0.0, -16.0)]):
        extra = {} if h is None else {"curvature": [np.array(h)]}
        params = oracle.step(params, [np.array(g)], None if i == 0 else 0.2, **extra)
        got.append(float(params[0]))
    np.testing.assert_allclose(got, expected, rtol=1e-14)


def test_sophia_defaults() -> None:
    """gamma is 0.05 or 0.01, and an estimate is asked for when it is its turn."""
    for estimator, step in (("gnb", 0.1 / 20), ("hutchinson", 0.1 / 4)):
        oracle = make("sophia", [()], lr=0.1, estimator=estimator, weight_decay=0.0, **HALF)
        (p,) = oracle.step([np.array(1.0)], [np.array(2.0)], curvature=[np.array(1600.0)])
        assert float(p) == pytest.approx(1 - step, rel=1e-14)
        for _ in range(9):
            (p,) = oracle.step([p], [np.array(2.0)])
        with pytest.raises(ValueError, match="step 11"):
            oracle.step([p], [np.array(2.0)])


# name, hyper, p, and for each step gradient and step; the learning rate is 0.1.
TENSORS: list[tuple[str, dict[str, Any], Any, list[tuple[Any, Any]]]] = [
    ("lars", {}, [3, 4], [([60, 80], [0.3, 0.4])]),
    ("lars", {"phi_bounds": (0.0, 2.0)}, [3, 4], [([60, 80], [0.12, 0.16])]),
    ("lars", {"momentum": 0.5, "phi_bounds": (6.0, 9.0)}, [0, 0], [([6, 8], [0.3, 0.4])]),
    ("lars", OFFICIAL, [0, 0], [([6, 8], [0.6, 0.8])]),
    # local = 0.5*5/(10 + 5)
    ("lars", OFFICIAL | {"trust_coefficient": 0.5, "eps": 0.0, "weight_decay": 1.0}, [3, 4],
     [([6, 8], [0.15, 0.2])]),
    # G^(1/2) = g g'/5, then 5I; the sum of the two gradients is (-1, 7)
    ("adagradfull", {"delta": 1.0}, [1, 1],
     [([3, 4], [0.05, 0.4 / 6]), ([-4, 3], [-0.4 / 6, 0.05])]),
    ("adagradfull", {"delta": 1.0, "variant": "dual"}, [1, 1],
     [([3, 4], [0.05, 0.4 / 6]), ([-4, 3], [-0.1 / 6 - 0.05, 0.7 / 6 - 0.4 / 6])]),
    # rows 9, 11; columns 10, 5, 5; v_hat = [[4.5, 2.25, 2.25], [5.5, 2.75, 2.75]]
    ("factoredadam", {"eps": 1.0}, [[0, 0, 0], [0, 0, 0]],
     [([[1, 2, 2], [3, 1, 1]],
       [[0.1 / (math.sqrt(4.5) + 1), 0.08, 0.08],
        [0.3 / (math.sqrt(5.5) + 1)] + [0.1 / (math.sqrt(2.75) + 1)] * 2])]),
    # what has seen nothing stays; leading dims are a batch: v_hat = [[1, 4]], [[9, 0]]
    ("factoredadam", {"eps": 0.0}, [[0, 0], [0, 0]], [([[0, 0], [3, 4]], [[0, 0], [0.1, 0.1]])]),
    ("factoredadam", {"eps": 0.0}, [[0, 0], [0, 0]], [([[0, 3], [0, 4]], [[0, 0.1], [0, 0.1]])]),
    ("factoredadam", {"eps": 1.0}, [[[0, 0]], [[0, 0]]],
     [([[[1, 2]], [[3, 0]]], [[[0.05, 0.2 / 3]], [[0.075, 0]]])]),
]  # fmt: skip


@pytest.mark.parametrize(("name", "hyper", "p", "steps"), TENSORS)
def test_tensor_by_hand(name: str, hyper: dict[str, Any], p: Any, steps: Any) -> None:
    p = np.array(p, dtype=np.float64)
    oracle = make(name, [p.shape], lr=0.1, **hyper)
    for g, step in steps:
        (new,) = oracle.step([p], [np.array(g, dtype=np.float64)])
        np.testing.assert_allclose(new, p - np.array(step), rtol=1e-13, atol=1e-15)
        p = new


@pytest.mark.parametrize(("name", "variant"), VARIANTS)
def test_zero_nan_and_maximize(name: str, variant: str) -> None:
    shape = (2, 3)
    start = np.arange(-2.0, 4.0).reshape(shape)
    ones = np.ones(shape)

    def steps(grads: list[Array], **hyper: Any) -> list[Array]:
        oracle = make(name, [shape], lr=0.1, variant=variant, weight_decay=0.0, **hyper)
        params, seen = [start], []
        for g in grads:
            params = oracle.step(params, [g], curvature=[ones])
            seen.append(params[0])
        return seen

    for new in steps([0 * start, 0 * start]):  # no gradient, no step, no 0/0
        np.testing.assert_array_equal(new, start)
    late = steps([0 * start, ones])[1]
    assert np.isfinite(late).all()
    assert (late != start).all()
    bad = ones.copy()
    bad[0, 1] = np.nan
    for new in steps([ones, bad, ones])[1:]:  # it stays in the state
        assert np.isnan(new[0, 1])
        whole = name in ("lars", "adagradfull", "factoredadam")
        assert np.isnan(new).sum() == (6 if whole else 1)
    up = steps([-start, ones], maximize=True)
    for x, y in zip(steps([start, -ones]), up, strict=True):
        np.testing.assert_array_equal(x, y)


# ------------------------------------------------------------------ what holds between them


def same(a: str, options: dict[str, Any], b: str, others: dict[str, Any], **wrapped: Any) -> None:
    one = make(a, SHAPES, lr=LR, weight_decay=0.05, **options)
    assert_same(run(one), run(make(b, SHAPES, lr=LR, weight_decay=0.05, **others, **wrapped)))


def test_the_same_by_another_name() -> None:
    for eps in (1e-8, 1e-3):
        amsgrad = {"eps": eps, "amsgrad": True}
        same("amsgrad", {"variant": "torch", "eps": eps}, "adam", amsgrad)
        same("adagrad_l1", {"delta": eps}, "adagrad", {"eps": eps})
    ema = {"variant": "ema", "momentum": 0.9}
    for phi in (None, (0.0, 3.0)):
        layer: Wrappers = (("layerwise", {"phi_bounds": phi}),)
        same("lars", {"phi_bounds": phi}, "sgd", ema, wrappers=layer)
    same("signum", {"decay": "l2", "momentum": 0.0}, "lion", {"decay": "l2", "betas": (0.0, 0.5)})


def test_sophia_official_is_the_paper_where_h_is_large() -> None:
    random = np.random.default_rng(5)
    paper = make("sophia", [(9,)], lr=LR, gamma=0.3, k=2)
    official = make("sophia", [(9,)], lr=LR, variant="official", rho=0.1, bs=3, k=2)
    a = b = [random.standard_normal(9)]
    for _ in range(20):
        g, h = [random.standard_normal(9)], [random.uniform(1, 300, 9)]
        a, b = paper.step(a, g, curvature=h), official.step(b, g, curvature=h)
        np.testing.assert_allclose(a, b, rtol=1e-12)


@pytest.mark.parametrize("variant", ["mirror", "dual"])
def test_adagradfull_by_singular_values(variant: str) -> None:
    """G = A A' with the gradients as columns, so G^(1/2) has A's singular values and vectors."""
    random, delta = np.random.default_rng(6), 0.1
    oracle = make("adagradfull", [(2, 5), ()], lr=LR, variant=variant, delta=delta)
    diagonal = make("adagrad", [(2, 5), ()], lr=LR, eps=delta)
    first = [random.standard_normal((2, 5)), np.array(1.0)]
    params, other, columns = first, first, []
    for t in range(20):  # of rank under 10 in the first half
        grads = [random.standard_normal((2, 5)), random.standard_normal(())]
        columns.append(grads[0].ravel())
        lr = LR * (1.1 + math.cos(t))
        U, sizes, _ = np.linalg.svd(np.stack(columns, axis=1), full_matrices=False)
        b = columns[-1] if variant == "mirror" else np.sum(columns, axis=0)
        moved = (b - U @ (U.T @ b)) / delta + U @ ((U.T @ b) / (delta + sizes))
        start = params[0] if variant == "mirror" else first[0]
        expected = start - lr * moved.reshape(2, 5)
        params = oracle.step(params, grads, lr)
        np.testing.assert_allclose(params[0], expected, rtol=1e-9, atol=1e-9)
        other = diagonal.step(other, grads, lr)
        if variant == "mirror":  # of one element, the matrix is a number
            np.testing.assert_allclose(params[1], other[1], rtol=1e-12)


def test_adagradfull_refuses_what_is_too_large() -> None:
    with pytest.raises(ValueError, match="max_size=4"):
        make("adagradfull", [(5,)], lr=LR, max_size=4).step([np.ones(5)], [np.ones(5)])


def test_adagrad_l1_is_the_composite_minimum() -> None:
    """x minimises <g, x> + l1*|x| + H*(x - p)^2/(2*lr): no point nearby is lower."""
    random, lr, l1, delta = np.random.default_rng(7), 0.3, 0.7, 0.1
    oracle = make("adagrad_l1", [(40,)], lr=lr, l1=l1, delta=delta)
    p, G, zeros = random.standard_normal(40), np.zeros(40), 0
    for _ in range(10):
        g = random.standard_normal(40)
        G += g * g
        H = delta + np.sqrt(G)
        (x,) = oracle.step([p], [g])

        def cost(x: Array, p: Array = p, g: Array = g, H: Array = H) -> Any:
            return g * x + l1 * np.abs(x) + H * (x - p) ** 2 / (2 * lr)

        assert all((cost(x) < cost(x + away)).all() for away in (-1e-4, 1e-4))
        zeros += int((x == 0).sum())
        p = x
    assert 10 < zeros < 390


def test_adabound_needs_the_initial_learning_rate() -> None:
    for name in ("adabound", "amsbound"):
        with pytest.raises(ValueError, match="initial lr"):
            make(name, [()], lr=0.0).step([np.array(1.0)], [np.array(1.0)])


@pytest.mark.parametrize(
    ("name", "hyper", "match"),
    [
        ("lars", {"variant": "official", "phi_bounds": (0, 1)}, "phi_bounds"),
        ("lars", {"eps": 0.1}, "eps"),
        ("adamax", {"variant": "paper", "eps": 0.1}, "eps"),
        ("nadam", {"variant": "keras", "momentum_decay": 0.1}, "momentum_decay"),
        ("amsgrad", {"variant": "torch", "beta1_decay": 0.9}, "beta1_decay"),
        ("sophia", {"bs": 3}, "bs"),
        ("sophia", {"variant": "official", "gamma": 0.1}, "gamma"),
        ("sophia", {"estimator": "fisher"}, "hutchinson"),
    ],
)
def test_refuses(name: str, hyper: dict[str, Any], match: str) -> None:
    with pytest.raises(ValueError, match=match):
        make(name, [()], lr=0.1, **hyper).step([np.array(1.0)], [np.array(1.0)])


def test_lars_places_its_decay_itself() -> None:
    with pytest.raises(TypeError, match="decay"):
        make("lars", [()], lr=0.1, decay="l2")
