"""The Triton backend: under its interpreter here, and the same tests on a GPU (`-m gpu`)."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from typing import Any

import pytest
import torch

import glissade
from glissade import Optimizer, Rule, State, rules, wrappers
from glissade.backend import select
from glissade.registry import Entry
from glissade.rule import maximum, mean, norm, sqrt
from tests.cases import feed
from tests.test_storage import EACH, bind
from tests.waiting import patient

pytest.importorskip("triton")

DEVICES = [
    pytest.param("cpu", marks=pytest.mark.skipif(not select.interpreted(), reason="on a GPU")),
    pytest.param("cuda", marks=pytest.mark.gpu),
]
ON = pytest.mark.parametrize("device", DEVICES)
# More than one chunk; rows and columns that no tile divides; whole blocks of codes; no dimension.
SHAPES = [(4999,), (11, 300), (), (3,), (2, 3, 4, 5), (17, 1)]
CODED = [(4999,), (17, 256), (3,)]  # of which some are large enough for codes
WAYS = [
    (torch.float32, "int8"), (torch.float32, "bfloat16"), (torch.float64, None),
    (torch.bfloat16, None), (torch.bfloat16, "bfloat16"), (torch.bfloat16, "int8"),
    (torch.float16, None), (torch.float16, "int8"),
]  # fmt: skip
SLOW = pytest.mark.slow
QUICK = {("adamw", "torch"), ("lamb", None), ("adafactor", "torch"), ("ranger", "paper")}


def train(
    rule: Rule, backend: str, device: str, dtype: torch.dtype, steps: int = 4, **how: Any
) -> tuple[list[torch.nn.Parameter], Optimizer]:
    generator = torch.Generator().manual_seed(0)
    shapes = CODED if how.get("state_dtype") == "int8" else SHAPES
    made = [torch.randn(s, generator=generator).to(dtype).to(device) for s in shapes]
    params = [torch.nn.Parameter(x) for x in made]
    optimizer = Optimizer(params, rule, backend=backend, **how)
    for t in range(steps):
        for i, p in enumerate(params):
            noise = torch.Generator().manual_seed(100 * t + i)
            p.grad = torch.randn(p.shape, generator=noise).to(dtype).to(device)
        feed(optimizer)
        optimizer.step()
    return params, optimizer


def agree(rule: Rule, device: str, dtype: torch.dtype, low: str | None) -> None:
    """With the cpu's kernels, after some steps: but for sums that are fused or not."""
    how: dict[str, Any] = {"state_dtype": low, "stochastic_rounding": dtype == torch.bfloat16}
    ours, one = train(rule, "triton", device, dtype, **how)
    theirs, other = train(rule, "cpu", "cpu", dtype, **how)
    near = 64 * torch.finfo(dtype).eps if low is None else 0.02
    far, count = 0, 0
    for p, q in zip(ours, theirs, strict=True):
        for name, x in [("", q.detach()), *other.state[q].items()]:  # "": the parameter
            y = one.state[p][name] if name else p.detach()
            assert x.dtype == y.dtype
            x, y = x.double(), y.cpu().double()
            apart = (x - y).abs() > near * (x.abs() + x.abs().mean()) + 1e-12
            far, count = far + int(apart.sum()), count + x.numel()
    assert far <= (0 if low is None and dtype.itemsize > 2 else 0.002 * count)


@ON
@pytest.mark.parametrize(("row", "variant"), EACH)
def test_every_rule_agrees_with_the_cpu(row: Entry, variant: str | None, device: str) -> None:
    agree(bind(row, variant), device, torch.float32, None)


@ON
@pytest.mark.parametrize(("dtype", "low"), WAYS)
@pytest.mark.parametrize(
    ("row", "variant"),
    [
        pytest.param(row, variant, id=x.id, marks=() if (row.name, variant) in QUICK else SLOW)
        for x in EACH
        for row, variant in [x.values]
    ],
)  # fmt: skip
def test_every_dtype(
    row: Entry, variant: str | None, dtype: torch.dtype, low: str | None, device: str
) -> None:
    if (row.name, variant) in {("yogi", None), ("sophia", "official")} and low == "int8":
        pytest.skip("its state cannot be kept in 8 bits")
    agree(bind(row, variant), device, dtype, low)


@ON
@pytest.mark.parametrize(
    "around",
    [
        lambda r: wrappers.lookahead(wrappers.cautious(r), k=2),
        lambda r: wrappers.clip_norm(r, 1.0),
        lambda r: wrappers.skip_nonfinite(r),
        lambda r: wrappers.accumulate(r, 2),
        lambda r: wrappers.ema(r, 0.9),
        lambda r: wrappers.project(r, wrappers.ball(1.0)),
        lambda r: wrappers.layerwise(wrappers.centralize(r)),
    ],
    ids=["lookahead", "clip_norm", "skip_nonfinite", "accumulate", "ema", "project", "layerwise"],
)
def test_wrappers(around: Any, device: str) -> None:
    agree(around(rules.adamw(0.01)), device, torch.float32, None)


@ON
def test_numbers_where_arrays_are_expected(device: str) -> None:
    """A state that is set to 0 in some steps, a power of a number."""
    rule = wrappers.accumulate(rules.sgd(0.1, momentum=0.9), 2)
    agree(rule, device, torch.bfloat16, "bfloat16")

    def update(p: Any, g: Any, s: Any, t: Any, h: Any) -> Any:
        m = maximum(0.0, 2.0 ** (0.1 * g)) + 0.5 * s.m
        return h.lr * m, State(m=m)

    agree(Rule(update, {"lr": 0.1}), device, torch.float64, None)


@ON
def test_tensors_without_elements(device: str) -> None:
    for capturable in (False, True):
        p = torch.nn.Parameter(torch.ones(0, device=device))
        optimizer = glissade.LAMB([p], lr=0.1, backend="triton", capturable=capturable)
        for _ in range(2):
            p.grad = torch.ones_like(p)
            optimizer.step()


@ON
@pytest.mark.parametrize("around", [wrappers.kahan, wrappers.master_weights])
def test_what_keeps_lost_bits(around: Any, device: str) -> None:
    ours, _ = train(around(rules.adamw(0.01)), "triton", device, torch.bfloat16)
    theirs, _ = train(around(rules.adamw(0.01)), "cpu", "cpu", torch.bfloat16)
    for p, q in zip(ours, theirs, strict=True):
        torch.testing.assert_close(p.detach().cpu(), q.detach(), rtol=0.01, atol=1e-3)


@ON
def test_a_rule_of_ones_own(device: str) -> None:
    """With every kind of reduction, powers, remainders, and a branch every third step."""

    def update(p: Any, g: Any, s: Any, t: Any, h: Any) -> Any:
        m = 0.9 * s.m + g
        r = s.r + mean(m * m, "row") ** 0.5
        c = 0.5 * s.c + norm(m, "column")
        step = m / (1 + r + c) + (m % 0.3) * 0.01 + mean(abs(m) ** 1.5, "matrix")
        if t % 3 == 0:
            step = step + g / (1 + sqrt(mean(g * g, "slice"))) ** 3
        return h.lr * step / (1 + norm(step)), State(m=m, r=r, c=c)

    agree(Rule(update, {"lr": 0.1}), device, torch.float64, None)


@ON
def test_states_may_have_any_name(device: str) -> None:
    def update(p: Any, g: Any, s: Any, t: Any, h: Any) -> Any:
        return h.lr * (s.i + s.x1 + s.numbers + s.p_ptr + g + s.g - s.p), State(
            i=0.5 * s.i + g, x1=s.x1 + s.i, numbers=g * 0.1 + 0 * s.numbers,
            p_ptr=norm(g) + s.p_ptr, g=0.5 * s.g + p, p=g * g + 0 * s.p,
        )  # fmt: skip

    agree(Rule(update, {"lr": 0.1}), device, torch.float64, None)


@ON
@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_what_is_not_finite_comes_out(bad: float, device: str) -> None:
    """And stays in its own element, where rules do not reduce."""
    found = []
    for backend, where in (("triton", device), ("cpu", "cpu")):
        p = torch.nn.Parameter(torch.ones(40, device=where))
        optimizer = glissade.AdamW([p], lr=0.1, backend=backend)
        for _ in range(2):
            p.grad = torch.ones(40, device=where)
            p.grad[17] = bad
            optimizer.step()
        found.append(torch.isfinite(p.detach()).cpu())
    assert torch.equal(*found)
    assert int((~found[0]).sum()) == 1


@ON
def test_the_same_bits_again_and_after_loading(device: str) -> None:
    """No atomic sums: two runs are the same, and so is one that was saved on the way."""
    how = {"state_dtype": "int8"}
    first, one = train(rules.lamb(0.01), "triton", device, torch.float32, **how)
    second, other = train(rules.lamb(0.01), "triton", device, torch.float32, 3, **how)
    saved = other.state_dict()
    again = Optimizer(second, rules.lamb(0.01), backend="triton", **how)
    again.load_state_dict(saved)
    for t in range(3, 4):
        for i, p in enumerate(second):
            noise = torch.Generator().manual_seed(100 * t + i)
            p.grad = torch.randn(p.shape, generator=noise).to(device)
        again.step()
    for p, q in zip(first, second, strict=True):
        assert torch.equal(p, q)
        assert torch.equal(one.state[p]["step"], again.state[q]["step"])


@ON
def test_gradients_and_parameters_that_move(device: str) -> None:
    """New gradients, one that is absent, memory that begins anywhere."""
    made = []
    for backend, where in (("triton", device), ("cpu", "cpu")):
        x = torch.randn(6001, generator=torch.Generator().manual_seed(0)).to(where)
        p, q = torch.nn.Parameter(x[1:5000]), torch.nn.Parameter(x[5000:])
        optimizer = glissade.AdamW([p, q], lr=0.1, backend=backend)
        for t in range(5):
            g = torch.randn(6001, generator=torch.Generator().manual_seed(t)).to(where)
            p.grad = g[1:5000] if t % 2 else g[2:5001]
            q.grad = None if t == 2 else g[5000:].clone()
            optimizer.step()
        made.append((p.detach().cpu(), q.detach().cpu()))
    for ours, theirs in zip(*made, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-6)


def test_one_launch_for_all_tensors() -> None:
    params = [torch.nn.Parameter(torch.ones(8)) for _ in range(50)]
    optimizer = glissade.AdamW(params, backend="triton")
    for p in params:
        p.grad = torch.ones_like(p)
    optimizer.step()
    line = optimizer._line
    assert line is not None
    ((batch, _),) = line._batches
    (work,) = batch.lanes[0].ready()
    assert len(work.table.kernel.stages) == 1
    assert len(work.table.tensors) == 50


def test_asked_for_by_name_it_says_why_not(monkeypatch: pytest.MonkeyPatch) -> None:
    p = torch.nn.Parameter(torch.ones(3))
    monkeypatch.setenv("TRITON_INTERPRET", "0")
    with pytest.raises(ValueError, match=r"backend='triton' cannot run .* device 'cpu' .*'cuda'"):
        glissade.AdamW([p], backend="triton")
    monkeypatch.setattr(select.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ValueError, match="Triton is not installed"):
        glissade.AdamW([p], backend="triton")


def gpu_code(*names: str) -> str:
    """What Triton's own compiler says of kernels, for a GPU that need not be there."""
    out = subprocess.run(
        [sys.executable, "-m", "tests.backend.for_gpu", *names],
        capture_output=True, text=True, check=False,
        env={**os.environ, "TRITON_INTERPRET": "0"},
    )  # fmt: skip
    assert out.returncode == 0, out.stderr[-3000:]
    return out.stdout


@patient
def test_kernels_compile_for_a_gpu() -> None:
    """And read 16 bytes at a time, where memory begins at a multiple of it."""
    out = gpu_code("adamw", "adafactor")
    wide, *_ = re.findall(r"adamw float32 None: 1 kernels, (\d+) wide loads", out)
    assert int(wide) == 8  # 2048 elements by 256 threads, 8 each: two for each of four arrays


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_every_kernel_compiles_for_a_gpu() -> None:
    assert gpu_code().count("kernels") > 100
