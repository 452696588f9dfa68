"""What installed packages compute otherwise: rules of `more_algorithms`, and wrappers."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from tests.oracles.transcriptions import make


def ours(name: str, p: Any, g: Any, lr: float = 0.1, **hyper: Any) -> list[float]:
    p, g = np.array(p), np.array(g)
    (new,) = make(name, [p.shape], lr=lr, **hyper).step([p], [g], curvature=[16 + 0 * p])
    return list(new.tolist())


def test_torch() -> None:
    torch = pytest.importorskip("torch")
    param = torch.tensor([1.0], dtype=torch.float64)
    param.grad = torch.tensor([2.0], dtype=torch.float64)
    optimizer = torch.optim.NAdam([param], lr=0.1, betas=(0.5, 0.75), eps=1.0)
    optimizer.step()
    assert optimizer.state[param]["mu_product"].dtype == torch.float32
    (mine,) = ours("nadam", [1.0], [2.0], betas=(0.5, 0.75), eps=1.0)
    assert mine == pytest.approx(0.9244412516349115, rel=1e-15)
    assert 1e-10 < abs(param.item() - mine) < 1e-8


def test_pytorch_optimizer() -> None:
    torch = pytest.importorskip("torch")
    package = pytest.importorskip("pytorch_optimizer")

    def theirs(cls: str, p: Any, g: Any, h: Any = None, **options: Any) -> list[float]:
        param, grad = (torch.tensor(x, dtype=torch.float64) for x in (p, g))
        param.grad = grad
        extra = {} if h is None else {"hessian": [torch.full_like(param, h)]}
        getattr(package, cls)([param], lr=0.1, **options).step(**extra)
        return list(param.tolist())

    # 1e-15 under the root is as large as v = 0.001*1e-18 is small
    assert theirs("DiffGrad", [1.0], [1e-9], eps=0.0) == pytest.approx([0.99995], rel=1e-8)
    assert ours("diffgrad", [1.0], [1e-9], eps=0.0) == pytest.approx([0.95])
    wide = {"eps": 0.0, "final_lr": 1e9}
    assert theirs("AdaBound", [0.0], [1e-9], **wide) == pytest.approx([-1e-4], rel=1e-5)
    assert ours("adabound", [0.0], [1e-9], **wide) == pytest.approx([-0.1])
    # the bound is 1 - beta3 of the rate
    assert theirs("AdaMod", [1.0], [1.0]) == pytest.approx([1 - 1e-5], rel=1e-10)
    assert ours("adamod", [1.0], [1.0]) == pytest.approx([1 - 1e-4], rel=1e-10)
    assert theirs("SignSGD", [1.0], [math.nan]) == [1.0]
    assert np.isnan(ours("signum", [1.0], [math.nan]))
    moved = 0.1 * 9e-6 / (math.sqrt(1e-3) + 1e-3)  # m_hat = 0.9*1e-6/0.1, v_hat = 1e-6/0.001
    assert theirs("Yogi", [1.0], [0.0]) == pytest.approx([1 - moved], rel=1e-14)
    assert ours("yogi", [1.0], [0.0]) == [1.0]
    # The second gradient is clipped at 2^(1/4), not at 1.
    param = torch.tensor([1.0], dtype=torch.float64)
    optimizer, oracle = package.ADOPT([param], lr=0.1), make("adopt", [()], lr=0.1)
    mine = [np.array(1.0)]
    for g in (1.0, 9.0):
        param.grad = torch.tensor([g], dtype=torch.float64)
        optimizer.step()
        mine = oracle.step(mine, [np.array(g)])
    assert param.item() == pytest.approx(1 - 0.01 * 2**0.25)
    assert mine == [pytest.approx(1 - 0.01)]
    assert theirs("LARS", [3.0, 4.0], [1.0, 1.0]) == pytest.approx([2.9, 3.9])
    step = 0.1 * 1e-3 * 5 / math.sqrt(2)
    official = {"variant": "official", "eps": 0.0}
    assert ours("lars", [3.0, 4.0], [1.0, 1.0], **official) == pytest.approx([3 - step, 4 - step])
    # m = 0.04, h = 0.16
    assert theirs("SophiaH", [1.0], [1.0], h=16.0) == pytest.approx([1 - 0.1 * 0.01])
    sophia = {"betas": (0.96, 0.99), "gamma": 0.01, "weight_decay": 0.0}
    assert ours("sophia", [1.0], [1.0], **sophia) == pytest.approx([1 - 0.1])
    # the one element agrees: 1/((1 + 1)/1)
    assert theirs("Lion", [1.0], [1.0], cautious=True) == pytest.approx([0.95])
    assert ours("lion", [1.0], [1.0], wrappers=(("cautious", {}),)) == pytest.approx([0.9])


def test_optax() -> None:
    optax, jax = pytest.importorskip("optax"), pytest.importorskip("jax")

    def theirs(transform: Any, p: float, *grads: float) -> float:
        params = np.array([p])
        state = transform.init(params)
        for g in grads:
            updates, state = transform.update(np.array([g]), state, params)
            params = np.asarray(optax.apply_updates(params, updates))
        return float(params[0])

    half: dict[str, Any] = {"b1": 0.5, "b2": 0.75}
    with jax.enable_x64(True):
        # 0.5*0.5/0.75 + 0.5*1/0.5, where the definition has 0.5*1 + 0.5*1/0.5
        nadam = theirs(optax.nadam(0.1, **half, eps=0.0), 1.0, 1.0)
        assert nadam == pytest.approx(1 - 0.1 * 4 / 3)
        mine = ours("nadam", [1.0], [1.0], variant="paper", betas=(0.5, 0.75), eps=0.0)
        assert mine == pytest.approx([0.85])
        moved = 0.1 * 9e-6 / (math.sqrt(1e-3) + 1e-3)
        assert theirs(optax.yogi(0.1), 1.0, 0.0) == pytest.approx(1 - moved, rel=1e-14)

        estimate = optax.GradientTransformation(
            lambda params: (), lambda g, state, params: (16.0 + 0.0 * g, state)
        )
        options = {**half, "weight_decay": 0.0, "gamma": 0.5, "hessian_diagonal_fn": estimate}
        sophia = theirs(optax.contrib.sophia(0.1, **options), 1.0, 2.0)
        assert sophia == pytest.approx(0.9)  # with h = 0; it is 4 at the end of the step
        options = {"betas": (0.5, 0.75), "weight_decay": 0.0, "gamma": 0.5}
        assert ours("sophia", [1.0], [2.0], **options) == pytest.approx([0.95])

        clip = theirs(optax.clip_by_global_norm(1e-7), 0.0, 1e-6)
        assert clip == pytest.approx(1e-7)
        around = (("clip_norm", {"max_norm": 1e-7}),)
        mine = ours("sgd", [0.0], [-1e-6], lr=1.0, wrappers=around)
        assert mine == pytest.approx([5e-8])

        several = optax.MultiSteps(optax.sgd(1.0), 2).gradient_transformation()
        tiny = 2.0**-30
        assert theirs(several, 0.0, 1 + tiny, 1 + tiny) == -(1 + tiny / 2)
