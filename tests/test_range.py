"""Numbers at the ends of their range: a finite parameter and finite gradients never give a NaN.

Gradients vanish for a while and come back, are as large as the dtype allows or smaller than its
smallest normal number, and change in scale from step to step. Which rule meets which of them is
drawn anew in every run.
"""

from __future__ import annotations

import math
import random
from typing import Any

import pytest
import torch
from torch import Tensor

import glissade
from glissade import Optimizer, Rule, registry, rules, wrappers
from glissade.rule import State, mean, norm
from tests.cases import feed, normal

LARGEST = {
    torch.float32: 3.4028235e38, torch.bfloat16: 3.3895e38, torch.float16: 65504.0,
    torch.float64: 1e150,  # squares have nothing wider to go to
}  # fmt: skip
DTYPES = pytest.mark.parametrize("dtype", LARGEST, ids=lambda x: str(x).removeprefix("torch."))
SIZES = (0.0, 1e-44, 1e-38, 1e-25, 1e-22, 1e-19, 1e-10, 1.0, 1e5, 1e15, 1e19, 1e25, 1e38, math.inf)
SHAPES = ((), (5,), (4, 3), (1, 4), (4, 1), (2, 3, 2, 2))
AROUND: dict[str, Any] = {
    "layerwise": wrappers.layerwise,
    "cautious": wrappers.cautious,
    "centralize": wrappers.centralize,
    "clip_norm": lambda rule: wrappers.clip_norm(rule, 1.0),
    "ema": lambda rule: wrappers.ema(rule, 0.9),
    "lookahead": lambda rule: wrappers.lookahead(rule, k=3),
    "accumulate": lambda rule: wrappers.accumulate(rule, 3),
    "skip_nonfinite": wrappers.skip_nonfinite,
    "project": lambda rule: wrappers.project(rule, wrappers.ball(3.0)),
}


def some_rule(draw: random.Random) -> tuple[str, Rule]:
    """A rule of the registry in one of its variants, with up to two wrappers around it."""
    row = draw.choice(registry.compiled())
    hyper: dict[str, Any] = {}
    if row.variants:
        hyper["variant"] = draw.choice(sorted(row.variants))
    default = row.bind(1e-2, **hyper).hyper
    if draw.random() < 0.3 and isinstance(default.get("eps"), float):
        try:
            row.bind(1e-2, **{**hyper, "eps": 0.0})
            hyper["eps"] = 0.0
        except ValueError:  # nothing that the variant reads
            pass
    if "momentum" in default and row.name in ("sgd", "rmsprop", "signum"):
        hyper["momentum"] = 0.9 if hyper.get("variant") != "paper" or row.name == "sgd" else 0
    rule = row.bind(1e-2, **hyper)
    words = [f"{row.name}({hyper})"]
    for name in draw.sample(sorted(AROUND), draw.choice((0, 0, 1, 2))):
        try:
            rule = AROUND[name](rule)
        except ValueError:  # it has one of these inside
            continue
        words.append(name)
    return " ".join(words), rule


def some_gradients(draw: random.Random, dtype: torch.dtype, steps: int) -> list[float]:
    """The size of the gradient of each step: from one, two or all sizes, in runs."""
    sizes = draw.sample(SIZES, draw.choice((1, 2, 3, len(SIZES))))
    found: list[float] = []
    while len(found) < steps:
        found += [draw.choice(sizes)] * draw.choice((1, 1, 2, 7, 40, 400))
    return [min(x, LARGEST[dtype]) for x in found[:steps]]


def assert_finite(dtype: torch.dtype, backend: str, steps: int, rounds: int) -> None:
    seed = random.SystemRandom().randrange(2**32)
    draw = random.Random(seed)
    for number in range(rounds):
        name, rule = some_rule(draw)
        start = draw.choice((1.0, 1.0, 1e-3, 1e-20, 0.0, 1e4))
        params = [
            (start * normal(i, shape)).to(dtype).requires_grad_() for i, shape in enumerate(SHAPES)
        ]
        exact = [p.detach().double().requires_grad_() for p in params]
        optimizer = Optimizer(params, rule, backend=backend)
        beside = Optimizer(exact, rule, backend="cpu")
        sizes = some_gradients(draw, dtype, steps)
        signs = [torch.sign(normal(50 + i, shape)) for i, shape in enumerate(SHAPES)]
        noisy = draw.random() < 0.5
        outgrown: set[int] = set()  # tensors of which a state has left the range
        for t, size in enumerate(sizes):
            feed(optimizer)
            feed(beside)
            for i, (p, sign) in enumerate(zip(params, signs, strict=True)):
                g = normal(1000 * (t % 7) + i, tuple(p.shape)).clamp(-1, 1) if noisy else sign
                p.grad = (size * g).to(dtype)
                exact[i].grad = p.grad.double()
            optimizer.step()
            beside.step()
            outgrown |= {i for i, q in enumerate(exact) if outgrows(beside.state[q])}
            said = wrong(params, exact, outgrown)
            if said:
                runs = [x for x, y in zip(sizes, [None, *sizes], strict=False) if x != y][:8]
                pytest.fail(
                    f"{name} on {backend}, {dtype}: {said} after step {t + 1}, gradients of {runs},"
                    f" start {start}; round {number} of seed {seed}"
                )
            if not all(p.isfinite().all() for p in params):
                break  # what was right to become infinite


def outgrows(state: dict[str, Tensor]) -> bool:
    largest = torch.finfo(torch.float32).max
    return any(bool((x.double().abs() > largest).any()) for x in state.values())


def wrong(params: list[Tensor], exact: list[Tensor], outgrown: set[int]) -> str:
    """A parameter that is NaN, or infinite where it fits in exact arithmetic. (Elements whose state
    has left the range stand still, and rules that look across elements go another way then.)"""
    for i, (p, q) in enumerate(zip(params, exact, strict=True)):
        fits = (q.abs() < 0.5 * torch.finfo(p.dtype).max) & (i not in outgrown)
        if bool((p.isnan() | (p.isinf() & fits)).any()):
            return f"{p.detach().flatten()[:6].tolist()} of shape {tuple(p.shape)}"
    return ""


@DTYPES
@pytest.mark.parametrize("backend", ["cpu", "eager"])
def test_a_finite_gradient_never_gives_a_number_that_is_not(
    dtype: torch.dtype, backend: str
) -> None:
    assert_finite(dtype, backend, steps=60, rounds=30 if backend == "cpu" else 12)


def test_nor_in_tritons_interpreter() -> None:
    """Where a step takes long: one dtype a run."""
    dtype = random.SystemRandom().choice(list(LARGEST))
    assert_finite(dtype, "triton", steps=30, rounds=1)


@pytest.mark.slow
@pytest.mark.timeout(3600)
@DTYPES
@pytest.mark.parametrize("backend", ["cpu", "eager", "triton"])
def test_nor_in_2000_steps(dtype: torch.dtype, backend: str) -> None:
    """In Triton's interpreter 30 of them, which take as long."""
    rounds = {"cpu": 60, "eager": 6, "triton": 20}[backend]
    assert_finite(dtype, backend, steps=30 if backend == "triton" else 2000, rounds=rounds)


# ------------------------------------------------------------------ as they were met


def descend(optimizer: Any, p: Tensor, gradients: Any) -> None:
    for g in gradients:
        p.grad = g
        optimizer.step()


@pytest.mark.parametrize("backend", ["cpu", "eager"])
@pytest.mark.parametrize("name", ["lars", "lamb", "ralamb", "rangerlars", "layerwise"])
def test_a_tensor_whose_gradient_has_vanished_stays_finite(name: str, backend: str) -> None:
    p = torch.ones(2, 2, requires_grad=True)
    rule = (
        wrappers.layerwise(rules.sgd(0.01, momentum=0.5))
        if name == "layerwise"
        else registry.lookup(name).bind(0.01, **({"momentum": 0.5} if name == "lars" else {}))
    )
    optimizer = Optimizer([p], rule, backend=backend)
    descend(optimizer, p, [torch.eye(2), *[torch.zeros(2, 2)] * 1000])
    assert p.isfinite().all()


@pytest.mark.parametrize("backend", ["cpu", "eager"])
@pytest.mark.parametrize("shape", [(), (1,)])
def test_a_ratio_that_does_not_fit_moves_a_single_number(
    shape: tuple[int, ...], backend: str
) -> None:
    """The norm of a tensor without dimensions is a double, too: 2e36 over 1e-25 fits no float32."""
    p = torch.zeros(shape, requires_grad=True)
    optimizer = glissade.LARS([p], lr=0.01, variant="official", backend=backend)
    descend(optimizer, p, [torch.full(shape, g) for g in (1e38, 1e38, 1e-25, 1e-25, 1e-25)])
    torch.testing.assert_close(p.detach(), torch.full(shape, -4.0951341e36))


@pytest.mark.parametrize("backend", ["cpu", "eager"])
@pytest.mark.parametrize("size", [1e-44, 1e-25, 1e-22])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("name", ["factoredadam", "adafactor"])
def test_squares_that_vanish_leave_the_parameter(
    name: str, dtype: torch.dtype, size: float, backend: str
) -> None:
    p = torch.ones(4, 4, dtype=dtype, requires_grad=True)
    optimizer = registry.lookup(name).optimizer([p], 1e-3, backend=backend)
    descend(optimizer, p, [torch.full((4, 4), size, dtype=dtype)] * 3)
    assert (p == 1).all()


@pytest.mark.parametrize("backend", ["cpu", "eager"])
def test_a_variance_is_never_negative(backend: str) -> None:
    p = torch.zeros(1000, requires_grad=True)
    optimizer = glissade.RMSprop([p], lr=1e-3, centered=True, alpha=0.9, backend=backend)
    gradients = (1 + 1e-5 * normal(t, (1000,), torch.float32) for t in range(500))
    descend(optimizer, p, gradients)
    assert p.isfinite().all()


@pytest.mark.parametrize("backend", ["cpu", "eager"])
def test_a_norm_that_does_not_fit_scales_all_the_same(backend: str) -> None:
    """‖d‖ = 6.8e38 is no float32, and 1/‖d‖ is no normal one; the step is lr·‖p‖ long."""
    p = torch.ones(2, 2, requires_grad=True)
    optimizer = Optimizer([p], wrappers.layerwise(rules.sgd(0.1)), backend=backend)
    descend(optimizer, p, [torch.full((2, 2), 3.4e38)])
    torch.testing.assert_close(p.detach(), torch.full((2, 2), 0.9))


def _of_each(what: str, per: str) -> Rule:
    def update(p: Any, g: Any, s: Any, t: Any, h: Any) -> Any:
        step = g / norm(g, per=per) if what == "norm" else 1e-38 * mean(g, per=per) + 0 * g
        return h.lr * step, State()

    return Rule(update, {"lr": 0.5})


@pytest.mark.parametrize("backend", ["cpu", "eager", "triton"])
@pytest.mark.parametrize("per", ["row", "column", "matrix", "slice", "tensor"])
@pytest.mark.parametrize(
    ("what", "size"), [("norm", 1e-30), ("norm", 5e37), ("mean", 1.0), ("mean", 3e38)]
)
def test_a_mean_or_norm_fits_where_the_sum_does_not(
    what: str, per: str, size: float, backend: str
) -> None:
    """The sum of three numbers of 3e38 is no float32, nor is the square of 5e37 or 1e-30 one."""
    signs = torch.tensor([[1.0, 1, 1], [1, -1, 1], [1, 1, 1]]).expand(2, 3, 3)
    p = torch.zeros(2, 3, 3, requires_grad=True)
    exact = torch.zeros(2, 3, 3, dtype=torch.float64, requires_grad=True)
    descend(Optimizer([p], _of_each(what, per), backend=backend), p, [size * signs])
    beside = Optimizer([exact], _of_each(what, per), backend="eager")
    descend(beside, exact, [size * signs.double()])
    torch.testing.assert_close(p.detach(), exact.detach().float(), rtol=1e-5, atol=1e-37)


@pytest.mark.parametrize("backend", ["cpu", "eager"])
def test_a_step_that_outgrows_its_dtype_is_left_out(backend: str) -> None:
    """A cautious step grows by what was masked: twice 3e38 is no float32, the result is one."""
    p = torch.full((2,), -3e38, requires_grad=True)
    optimizer = Optimizer([p], wrappers.cautious(rules.sgd(1.0, momentum=0.5)), backend=backend)
    descend(optimizer, p, [torch.tensor([-3e38, 0.0])])
    assert (p == -3e38).all()


@pytest.mark.parametrize("backend", ["cpu", "eager"])
def test_a_result_that_does_not_fit_is_infinite(backend: str) -> None:
    p = torch.ones(3, requires_grad=True)
    descend(glissade.SGD([p], lr=10.0, backend=backend), p, [torch.full((3,), 3e38)])
    assert (p == -math.inf).all()


@pytest.mark.parametrize("backend", ["cpu", "eager"])
def test_an_empty_matrix_keeps_states_of_zeros(backend: str) -> None:
    p = torch.zeros(0, 3, requires_grad=True)
    optimizer = glissade.Adafactor([p], backend=backend)
    descend(optimizer, p, [torch.zeros(0, 3)] * 2)
    assert all(bool((x == x).all()) for x in optimizer.state[p].values())


def test_betas_that_leave_nothing_but_eps_are_warned_of() -> None:
    with pytest.warns(UserWarning, match="v is eps alone"):
        rules.adabelief(betas=(0.0, 0.999))
