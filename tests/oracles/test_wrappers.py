"""The wrappers by hand, and against torch and Optax where those have them."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from tests.oracles.transcriptions import Wrappers, make
from tests.oracles.wrappers import ball, box, simplex

NAN, INF = math.nan, math.inf


def arrays(*values: Any) -> list[Any]:
    return [None if v is None else np.array(v, dtype=np.float64) for v in values]


def moves(name: str, hyper: dict[str, Any], wrappers: Wrappers, p: Any, calls: list[Any]) -> Any:
    """The parameters after each call, the learning rate 0.1; a call is a list of gradients."""
    params = arrays(*p)
    oracle = make(name, [x.shape for x in params], lr=0.1, wrappers=wrappers, **hyper)
    seen = []
    for grads in calls:
        params = oracle.step(params, arrays(*grads))
        seen.append([x.tolist() for x in params])
    return oracle, seen


def close(got: Any, expected: Any) -> None:
    for at, wanted in zip(got, expected, strict=True):
        for x, y in zip(at, wanted, strict=True):
            np.testing.assert_allclose(x, y, rtol=1e-13, atol=1e-15)


# ------------------------------------------------------------------ cautious

CAUTIOUS: Wrappers = (("cautious", {}),)


def test_cautious() -> None:
    # v = 1, then 0.5 + g: the first goes against its gradient, the third has none
    calls = [[[1, 1, 1, 1]], [[-0.25, 1, 0, 1]]]
    _, got = moves("sgd", {"momentum": 0.5}, CAUTIOUS, [[1, 1, 1, 1]], calls)
    close(got, [[[0.9] * 4], [[0.9, 0.6, 0.9, 0.6]]])
    # the decay is outside: 0.05, then 0.0425 for all
    hyper = {"momentum": 0.5, "weight_decay": 0.5}
    _, got = moves("sgdw", hyper, CAUTIOUS, [[1, 1, 1, 1]], calls)
    close(got, [[[0.85] * 4], [[0.8075, 0.5075, 0.8075, 0.5075]]])
    # l2 is in the gradient that it looks at: 1 - 0.5 and 1 - 2 agree with their steps
    _, got = moves("sgd", {"weight_decay": 1.0}, CAUTIOUS, [[1, 1]], [[[-0.5, -2]]])
    close(got, [[[0.95, 1.1]]])
    # nothing agrees; one of 2000 does, and counts as one of 1000
    _, got = moves("sgd", {"momentum": 0.5}, CAUTIOUS, [[1]], [[[1]], [[-0.25]]])
    close(got, [[[0.9]], [[0.9]]])
    few = np.eye(1, 2000)[0]
    _, got = moves("sgd", {}, CAUTIOUS, [0 * few], [[few]])
    close(got, [[-100 * few]])
    _, got = moves("sgd", {}, CAUTIOUS, [[1, 1], []], [[[NAN, 1], []]])
    assert np.isnan(got[0][0]).tolist() == [True, False]
    assert got[0][1] == []


def test_cautious_and_layerwise() -> None:
    """The decay joins before the innermost layerwise, and is masked only outside of that."""
    hyper = {"momentum": 0.5, "weight_decay": 5.0}
    calls = [[[1, 1]], [[-0.25, 1]]]
    layer = ("layerwise", {})
    # first: all agree, d + 0.1*5*p is along (1, 1), so 0.1*|p| along it; then v = (0.25, 1.5)
    d = np.array([0.0, 0.3]) + 0.45
    _, got = moves("sgdw", hyper, (*CAUTIOUS, layer), [[1, 1]], calls)
    close(got, [[[0.9, 0.9]], [0.9 - 0.1 * math.sqrt(1.62) * d / math.sqrt(d @ d)]])
    d = np.array([0.025, 0.15]) + 0.45
    _, got = moves("sgdw", hyper, (layer, *CAUTIOUS), [[1, 1]], calls)
    step = 0.1 * math.sqrt(1.62) * d / math.sqrt(d @ d) * np.array([0, 2])
    close(got, [[[0.9, 0.9]], [0.9 - step]])


# ------------------------------------------------------------------ all gradients at once


def test_clip_norm() -> None:
    def clip(max_norm: float) -> Wrappers:
        return (("clip_norm", {"max_norm": max_norm}),)

    factor = 1 / (5 + 1e-6)  # |(3, 4)| over both parameters
    _, got = moves("sgd", {}, clip(1.0), [[1], [1]], [[[3], [4]], [[3], None]])
    close(got, [[[1 - 0.3 * factor], [1 - 0.4 * factor]],
                [[1 - 0.3 * factor - 0.3 / (3 + 1e-6)], [1 - 0.4 * factor]]])  # fmt: skip
    _, got = moves("sgd", {}, clip(10.0), [[1], [1]], [[[3], [4]]])  # never longer
    close(got, [[[0.7], [0.6]]])
    # as with torch, l2 comes after the clip and weighs in full; a centralize outside takes it in
    _, got = moves("sgd", {"weight_decay": 1.0}, clip(1.0), [[1], [1]], [[[3], [4]]])
    close(got, [[[0.9 - 0.3 * factor], [0.9 - 0.4 * factor]]])
    both: Wrappers = (*clip(1.0), ("centralize", {}))  # clip_norm inside, then outside
    _, got = moves("sgd", {"weight_decay": 1.0}, both, [[[0, 2]]], [[[[0, 4]]]])
    close(got, [[[[0.3 / (math.sqrt(18) + 1e-6), 2 - 0.3 / (math.sqrt(18) + 1e-6)]]]])
    _, got = moves("sgd", {"weight_decay": 1.0}, both[::-1], [[[0, 2]]], [[[[0, 4]]]])
    g = 4 / (4 + 1e-6) + 2
    close(got, [[[[0.05 * g, 2 - 0.05 * g]]]])
    _, got = moves("sgd", {}, clip(1.0), [[1, 1], [1]], [[[NAN, 1], [1]]])
    assert np.isnan(got[0][0]).all()
    assert np.isnan(got[0][1]).all()


def test_accumulate() -> None:
    two: Wrappers = (("accumulate", {"n": 2}),)
    calls = [[[1], [1]], [[3], None], [[5], [5]], [[5], [7]]]
    oracle, got = moves("sgd", {"weight_decay": 1.0}, two, [[1], [1]], calls)
    # each parameter counts its own: 2 + 1, 5 + 0.7; 3 + 1
    close(got, [[[1], [1]], [[0.7], [1]], [[0.7], [0.6]], [[0.13], [0.6]]])
    assert oracle.t == [2, 1]
    # Lookahead and the average outside see the steps only
    around: Wrappers = (*two, ("lookahead", {"k": 2}), ("ema", {"decay": 0.75}))
    oracle, got = moves("sgd", {}, around, [[1]], [[[1]], [[3]], [[1]], [[1]]])
    close(got, [[[1]], [[0.8]], [[0.8]], [[0.85]]])  # half the way from 1 to 0.7
    close([oracle.averages()], [[[0.75 * 0.8 + 0.25 * 0.85]]])
    # clip_norm outside cuts each gradient, inside it cuts their mean
    cut = ("clip_norm", {"max_norm": 2.0})
    _, got = moves("sgd", {}, (*two, cut), [[1]], [[[1]], [[4]]])
    close(got, [[[1]], [[1 - 0.05 * (1 + 8 / (4 + 1e-6))]]])
    _, got = moves("sgd", {}, (cut, *two), [[1]], [[[1]], [[4]]])
    close(got, [[[1]], [[1 - 0.5 / (2.5 + 1e-6)]]])


def test_skip_nonfinite() -> None:
    skip: Wrappers = (("skip_nonfinite", {}),)
    hyper = {"betas": (0.5, 0.75), "eps": 1.0}
    good = [[[2], [5]], [[5], [2]], [[1], [1]]]
    bad = [[[NAN], [1]], [[1], [INF]], [[-INF], None]]
    calls = [bad[0], good[0], bad[1], good[1], bad[2], good[2]]
    oracle, got = moves("adam", hyper, (*skip, ("ema", {"decay": 0.5})), [[1], [1]], calls)
    other, expected = moves("adam", hyper, (("ema", {"decay": 0.5}),), [[1], [1]], good)
    assert got[0] == [[1.0], [1.0]]
    assert got[1::2] == expected
    assert got[2::2] == expected[:2]
    assert oracle.t == other.t == [3, 3]
    assert oracle.skipped == 3
    assert [x.tolist() for x in oracle.averages()] == [x.tolist() for x in other.averages()]
    # outside of accumulate a bad gradient is left out of the mean, inside it spoils it
    around: Wrappers = (("accumulate", {"n": 2}), *skip)
    calls = [[[1]], [[NAN]], [[3]]]
    _, got = moves("sgd", {}, around, [[1]], calls)
    close(got, [[[1]], [[1]], [[0.8]]])
    oracle, got = moves("sgd", {}, around[::-1], [[1]], [*calls, [[1]]])
    close(got, [[[1]], [[1]], [[1]], [[0.8]]])
    assert (oracle.t, oracle.skipped) == ([1], 1)


def test_skip_nonfinite_as_optax() -> None:
    optax, jax = pytest.importorskip("optax"), pytest.importorskip("jax")
    random = np.random.default_rng(8)
    shapes = [(3,), (2, 2)]
    around: Wrappers = (("skip_nonfinite", {}),)
    oracle = make("adamw", shapes, lr=0.1, wrappers=around, weight_decay=0.05)
    with jax.enable_x64(True):
        peer = optax.apply_if_finite(optax.adamw(0.1, weight_decay=0.05), 100)
        mine = theirs = [random.standard_normal(shape) for shape in shapes]
        state = peer.init(theirs)
        for t in range(12):
            grads = [random.standard_normal(shape) for shape in shapes]
            if t in (0, 5, 6):
                grads[t % 2].flat[1] = (NAN, INF)[t % 2]
            updates, state = peer.update(grads, state, theirs)
            theirs = [np.asarray(p) for p in optax.apply_updates(theirs, updates)]
            mine = oracle.step(mine, grads)
            for a, b in zip(mine, theirs, strict=True):
                np.testing.assert_allclose(a, b, rtol=1e-12)
        assert oracle.skipped == int(state.total_notfinite) == 3


# ------------------------------------------------------------------ after the step


def test_ema() -> None:
    average: Wrappers = (("ema", {"decay": 0.75}),)
    oracle, got = moves("sgd", {}, average, [[1], [1]], [[[1], None], [[2], None]])
    close(got, [[[0.9], [1]], [[0.7], [1]]])
    kept, none = oracle.averages()
    close([[kept]], [[[0.85]]])
    assert none is None
    # what is inside comes before, what is outside after: half the way from 1 to 0.8, k = 1
    look = ("lookahead", {"k": 1})
    for around, first in (((look, *average), 0.9), ((*average, look), 0.8)):
        oracle, got = moves("sgd", {}, around, [[1]], [[[2]]])
        close(got, [[[0.9]]])
        close([oracle.averages()], [[[first]]])


def test_ema_as_torch() -> None:
    torch = pytest.importorskip("torch")
    from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

    start = np.random.default_rng(9).standard_normal((3, 2))
    around: Wrappers = (("ema", {"decay": 0.9}),)
    oracle = make("sgd", [(3, 2)], lr=0.1, wrappers=around)
    model = torch.nn.Linear(2, 3, bias=False, dtype=torch.float64)
    averaged = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(0.9))
    params = [start]
    for t in range(10):
        params = oracle.step(params, [np.cos(params[0] + t)])
        with torch.no_grad():
            model.weight.copy_(torch.tensor(params[0]))
        averaged.update_parameters(model)
        (mine,) = oracle.averages()
        np.testing.assert_allclose(mine, averaged.module.weight.detach().numpy(), rtol=1e-13)


def test_projections() -> None:
    for onto, p, expected in (
        (box(-1, 2), [-3, 0.5, 9, NAN], [-1, 0.5, 2, NAN]),
        (ball(1.0), [[3, 4]], [[0.6, 0.8]]),
        (ball(5.0), [3, 4], [3, 4]),
        (ball(1.0), [0, 0], [0, 0]),
        (ball(1.0), [1, NAN], [NAN, NAN]),
        (simplex(), [0.25, 0.75], [0.25, 0.75]),
        (simplex(), [2, 0], [1, 0]),
        (simplex(), [0.8, 0.6, -5], [0.6, 0.4, 0]),
        (simplex(), [[1, 1], [1, 1]], [[0.25, 0.25], [0.25, 0.25]]),
        (simplex(), -7, 1),
        (simplex(), [1e17, 1e17], [0.5, 0.5]),
        (simplex(), [1, NAN], [NAN, NAN]),
        (simplex(), [INF, 1], [NAN, NAN]),
        (simplex(), [-INF, 3], [0, 1]),
        (simplex(), [], []),
    ):
        with np.errstate(invalid="ignore"):
            np.testing.assert_allclose(onto(np.array(p)), expected, rtol=1e-14)


def test_project() -> None:
    def onto(s: Any) -> Wrappers:
        return (("project", {"onto": s}),)

    _, got = moves("sgd", {}, onto(box(0.5, 2)), [[1, 1]], [[[1, 9]]])
    close(got, [[[0.9, 0.5]]])
    _, got = moves("sgd", {}, onto(ball(1)), [[3, 4]], [[[0, 0]]])  # also without a gradient
    close(got, [[[0.6, 0.8]]])
    # the slow weights are moved within the set, or out of it and back
    look = ("lookahead", {"k": 1})
    _, got = moves("sgd", {}, (*onto(box(0, 2)), look), [[5]], [[[0]]])
    close(got, [[[3.5]]])
    _, got = moves("sgd", {}, (look, *onto(box(0, 2))), [[5]], [[[0]]])
    close(got, [[[2]]])


def test_projections_as_optax() -> None:
    optax, jax = pytest.importorskip("optax"), pytest.importorskip("jax")
    random, p = np.random.default_rng(10), optax.projections
    with jax.enable_x64(True):
        for scale in (0.1, 1.0, 30.0):
            x = scale * random.standard_normal(37)
            for mine, theirs in (
                (box(-0.3, 0.5), p.projection_box(x, -0.3, 0.5)),
                (ball(2.5), p.projection_l2_ball(x, 2.5)),
                (simplex(), p.projection_simplex(x)),
            ):
                np.testing.assert_allclose(mine(x), np.asarray(theirs), rtol=1e-12, atol=1e-13)
