"""Half-precision parameters in kernels, and states in bfloat16: rounded before they are used."""

from __future__ import annotations

import copy
import io
import math
from typing import Any

import pytest
import torch

import glissade
from glissade import Optimizer, Rule, State, registry, rules, wrappers
from glissade.registry import Entry
from tests.cases import feed
from tests.low import LOW, gradients, parameters

EACH = [
    pytest.param(row, variant, id=f"{row.name}-{variant}" if variant else row.name)
    for row in registry.compiled()
    for variant in (row.variants or [None])
]
# Parameters of float32 with states in full are those of tests/test_parity.py.
WAYS = [(torch.float32, "bfloat16"), *((dtype, low) for dtype in LOW for low in (None, "bfloat16"))]


def bind(row: Entry, variant: str | None) -> Rule:
    return row.bind(0.01, **({} if variant is None else {"variant": variant}))


def apart(x: torch.Tensor, y: torch.Tensor, ulp: float) -> tuple[int, int]:
    """In how many places two tensors differ, and in how many by more than a unit of the last place.

    Near 0 there is only what is left of larger numbers.
    """
    x, y = x.float(), y.float()
    assert float((x - y).abs().max()) <= 4 * ulp * float(y.abs().max()) + 1e-30
    size = torch.maximum(x.abs(), y.abs()) * ulp + 1e-6 * y.abs().amax() + 1e-30
    distance = (x - y).abs() / size
    return int((distance > 1e-3).sum()), int((distance > 1.01).sum())


@pytest.mark.parametrize(("dtype", "state_dtype"), WAYS)
@pytest.mark.parametrize(("row", "variant"), EACH)
def test_kernels_agree_with_the_reference(
    row: Entry, variant: str | None, dtype: torch.dtype, state_dtype: str | None
) -> None:
    """From the same numbers each step, mostly to the bit: a sum that is fused or not is rounded to
    another neighbour once in a thousand times, and what is made of that differs more."""
    sides = [parameters(dtype) for _ in range(2)]
    optimizers = [
        Optimizer(params, bind(row, variant), backend=backend, state_dtype=state_dtype)
        for params, backend in zip(sides, ("eager", "cpu"), strict=True)
    ]
    different, further, count = 0, 0, 0
    for t in range(1, 8):
        for params, optimizer in zip(sides, optimizers, strict=True):
            gradients(params, t)
            feed(optimizer)
            optimizer.step()
        for p, q in zip(*sides, strict=True):
            pairs = [(p.data, q.data)]
            one, other = optimizers[0].state[p], optimizers[1].state[q]
            pairs += [(one[name], other[name]) for name in one if name != "step"]
            for x, y in pairs:
                assert x.dtype == y.dtype
                if x.dtype in LOW:
                    places, far = apart(x, y, torch.finfo(x.dtype).eps)
                    different, further = different + places, further + far
                    count += x.numel()
                else:
                    torch.testing.assert_close(x, y, rtol=1e-4, atol=1e-6)
                x.copy_(y)
    assert different <= 0.01 * count
    assert further <= 0.001 * count


@pytest.mark.parametrize("backend", ["eager", "cpu"])
def test_a_state_is_rounded_before_it_is_used(backend: str) -> None:
    """The step goes by the m that is stored, not by the one that was computed."""

    def momentum(p: Any, g: Any, s: Any, t: Any, h: Any) -> Any:
        m = 0.9 * s.m + g
        return h.lr * m, State(m=m)

    p = torch.nn.Parameter(torch.zeros(64))
    optimizer = Optimizer([p], Rule(momentum, {"lr": 1.0}), backend=backend, state_dtype="bfloat16")
    moved = torch.zeros(64)
    for t in range(5):
        p.grad = torch.randn(64, generator=torch.Generator().manual_seed(t))
        optimizer.step()
        m = optimizer.state[p]["m"]
        assert m.dtype == torch.bfloat16
        moved = moved - m.float()
        torch.testing.assert_close(p.detach(), moved, rtol=0, atol=1e-6)


@pytest.mark.parametrize("dtype", LOW, ids=str)
def test_parameters_are_rounded_to_the_nearest(dtype: torch.dtype) -> None:
    """To even where two are as near; against torch's own conversion, of every value there is."""
    bits = torch.arange(-(2**15), 2**15, dtype=torch.int32).to(torch.int16)
    p = torch.nn.Parameter(bits.view(dtype)[torch.isfinite(bits.view(dtype))].clone())
    g = torch.randn(p.shape, generator=torch.Generator().manual_seed(0)).to(dtype)
    optimizer = glissade.SGD([p], lr=1e-3, backend="cpu")
    wanted = (p.detach().float() - g.float() * 1e-3).to(dtype)
    p.grad = g
    optimizer.step()
    normal = wanted.abs() >= torch.finfo(dtype).tiny  # some processors make the rest 0
    same = p.detach()[normal] == wanted[normal]
    assert same.float().mean() > 0.9999  # a fused product may fall on the other side of a tie
    assert torch.isfinite(p.detach()).equal(torch.isfinite(wanted))


@pytest.mark.parametrize("state_dtype", [None, "bfloat16"])
@pytest.mark.parametrize("dtype", [torch.float32, *LOW], ids=str)
@pytest.mark.parametrize("bits", [0x7F800001, 0x7FC00000, 0x7FFFFFFF, -1, 0x7F80FFFF])
def test_a_nan_stays_one(dtype: torch.dtype, state_dtype: str | None, bits: int) -> None:
    """Whatever its payload: rounding must not carry it over into infinity or 0."""
    p = torch.nn.Parameter(torch.ones(40, dtype=dtype))
    nan = torch.tensor([bits], dtype=torch.int64).to(torch.int32).view(torch.float32)
    p.grad = torch.ones(40).to(dtype)
    p.grad[17] = nan.to(dtype)[0] if dtype != torch.bfloat16 else nan[0]
    if dtype == torch.bfloat16:
        p.grad.view(torch.int16)[17] = -1 if bits < 0 else 0x7F81
    optimizer = glissade.SGD([p], lr=0.1, momentum=0.9, backend="cpu", state_dtype=state_dtype)
    for _ in range(3):
        optimizer.step()
    assert torch.isnan(p.detach()).nonzero().tolist() == [[17]]
    (buffer,) = (x for k, x in optimizer.state[p].items() if k != "step")
    assert torch.isnan(buffer).nonzero().tolist() == [[17]]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_any_number_of_threads_gives_the_same_bits(dtype: torch.dtype) -> None:
    ends = []
    before = torch.get_num_threads()
    for threads in (1, 2):
        torch.set_num_threads(threads)
        try:
            generator = torch.Generator().manual_seed(0)
            p = torch.nn.Parameter(torch.randn(700, 500, generator=generator).to(dtype))
            optimizer = glissade.LAMB([p], lr=0.01, backend="cpu", state_dtype="bfloat16")
            for t in range(3):
                p.grad = torch.randn(700, 500, generator=torch.Generator().manual_seed(t)).to(dtype)
                optimizer.step()
        finally:
            torch.set_num_threads(before)
        ends.append(p.detach().clone())
    assert torch.equal(*ends)


@pytest.mark.parametrize("backend", ["eager", "cpu"])
def test_saved_and_loaded_it_goes_on_by_the_same_bits(backend: str) -> None:
    params = parameters(torch.bfloat16)
    how: dict[str, Any] = {"lr": 0.01, "backend": backend, "state_dtype": "bfloat16"}
    optimizer = glissade.AdamW(params, **how)
    for t in range(4):
        gradients(params, t)
        optimizer.step()
    file = io.BytesIO()
    torch.save([optimizer.state_dict(), [p.data for p in params]], file)
    file.seek(0)
    state, values = torch.load(file, weights_only=True)
    again = parameters(torch.bfloat16, seed=1)
    for p, x in zip(again, values, strict=True):
        p.data.copy_(x)
    resumed = glissade.AdamW(again, **how)
    resumed.load_state_dict(state)
    assert resumed.param_groups[0]["state_dtype"] == "bfloat16"
    copied = copy.deepcopy(optimizer)
    for t in range(4, 8):
        for side, one in ((params, optimizer), (again, resumed),
                          (copied.param_groups[0]["params"], copied)):  # fmt: skip
            gradients(side, t)
            one.step()
    for p, q, r in zip(params, again, copied.param_groups[0]["params"], strict=True):
        assert torch.equal(p, q)
        assert torch.equal(p, r)
        assert {x.dtype for k, x in resumed.state[q].items() if k != "step"} == {torch.bfloat16}


def dtypes(optimizer: Any, p: torch.Tensor) -> dict[str, torch.dtype]:
    return {k: x.dtype for k, x in optimizer.state[p].items() if k != "step"}


def test_per_group_and_per_state() -> None:
    a, b, c = parameters(torch.float32)[:3]
    optimizer = glissade.AdamW(
        [
            {"params": [a]},
            {"params": [b], "state_dtype": {"m": torch.bfloat16}},
            {"params": [c], "state_dtype": {"exp_avg_sq": "bfloat16", "m": "float32"}},
        ],
        lr=0.1,
        state_dtype=torch.bfloat16,
    )
    gradients([a, b, c], 0)
    optimizer.step()
    low, full = torch.bfloat16, torch.float32
    assert dtypes(optimizer, a) == {"m": low, "v": low}
    assert dtypes(optimizer, b) == {"m": low, "v": full}
    assert dtypes(optimizer, c) == {"m": full, "v": low}
    optimizer.param_groups[0]["state_dtype"] = None  # a change takes what is there along
    m = optimizer.state[a]["m"].clone()
    a.grad = torch.zeros_like(a)
    optimizer.step()
    assert dtypes(optimizer, a) == {"m": full, "v": full}
    torch.testing.assert_close(optimizer.state[a]["m"], 0.9 * m.float())


def test_a_dict_is_copied() -> None:
    """Its later changes would be seen by some kernels and not by others."""
    given = {"m": "bfloat16"}
    params = [torch.nn.Parameter(torch.ones(5)) for _ in range(2)]
    optimizer = glissade.Adam([{"params": [p]} for p in params], state_dtype=given)
    given["v"] = "bfloat16"
    more = torch.nn.Parameter(torch.ones(5))
    optimizer.param_groups[0]["state_dtype"]["v"] = "float32"
    optimizer.add_param_group({"params": [more]})
    for p in (*params, more):
        p.grad = torch.ones(5)
    optimizer.step()
    for p in (*params, more):
        assert optimizer.state[p]["m"].dtype == torch.bfloat16
        assert optimizer.state[p]["v"].dtype == torch.float32
    kept = [group["state_dtype"] for group in optimizer.param_groups]
    assert kept == [{"m": "bfloat16", "v": "float32"}, {"m": "bfloat16"}, {"m": "bfloat16"}]


def test_rows_columns_and_numbers_stay_in_full() -> None:
    p = torch.nn.Parameter(torch.ones(6, 4, dtype=torch.bfloat16))
    optimizer = glissade.Adafactor([p], lr=0.1, state_dtype="bfloat16")
    p.grad = torch.ones_like(p)
    optimizer.step()
    assert set(dtypes(optimizer, p).values()) == {torch.float32}


@pytest.mark.parametrize(
    ("dtype", "state_dtype", "around", "held", "moved"),
    [
        ("float32", None, "", 8, 28),
        ("float32", "bfloat16", "", 4, 20),
        ("bfloat16", None, "", 8, 22),
        ("bfloat16", "bfloat16", "", 4, 14),
        ("bfloat16", "bfloat16", "kahan", 6, 18),
        ("bfloat16", None, "master_weights", 12, 28),
    ],
)
def test_bytes_are_those_of_the_documentation(
    dtype: str, state_dtype: str | None, around: str, held: int, moved: int
) -> None:
    """By the plan, and as the state is; docs/low-precision.md has the same figures."""
    rule = rules.adamw(1e-3)
    if around:
        rule = getattr(wrappers, around)(rule)
    p = torch.nn.Parameter(torch.ones(128, 64, dtype=getattr(torch, dtype)))
    optimizer = Optimizer([p], rule, backend="cpu", state_dtype=state_dtype)
    for _ in range(2):
        p.grad = torch.ones_like(p)
        optimizer.step()
    found = sum(x.nbytes for k, x in optimizer.state[p].items() if k != "step")
    assert found == held * p.numel()
    group = optimizer.param_groups[0]
    program = optimizer._programs.get(group, 2)
    plan = program.plans[program.choose(10, group)]
    assert plan.bytes_per_element(dtype) == moved


def test_wrappers_keep_their_states_low_too() -> None:
    """But for weights, and their average, which would stand still."""
    (p,) = parameters(torch.bfloat16)[1:2]
    rule = wrappers.lookahead(wrappers.ema(rules.lion(0.01), 0.9), k=2)
    optimizer = Optimizer([p], rule, state_dtype="bfloat16")
    for t in range(4):
        gradients([p], t)
        optimizer.step()
    low, full = torch.bfloat16, torch.float32
    assert dtypes(optimizer, p) == {"m": low, "lookahead_slow": full, "ema_average": full}


def test_what_is_refused() -> None:
    p, wide = parameters(torch.float32)[0], torch.nn.Parameter(torch.ones(2, dtype=torch.float64))
    for kind, said, make in (
        (ValueError, "state_dtype='bf16': allowed are 'float32', 'bfloat16', 'int8', or a dict",
         lambda: glissade.AdamW([p], state_dtype="bf16")),
        (ValueError, "did you mean 'bfloat16'", lambda: glissade.AdamW([p], state_dtype="bfloat")),
        (ValueError, "adamw: state_dtype names the state 'w'; it keeps m, v",
         lambda: glissade.AdamW([p], state_dtype={"w": "bfloat16"})),
        (ValueError, r"parameter 0 of group 0, shape \(2,\), has dtype torch.float64",
         lambda: glissade.AdamW([wide], state_dtype="bfloat16")),
        (ValueError, "rounding_seed=-1: allowed is an integer >= 0",
         lambda: glissade.AdamW([p], rounding_seed=-1)),
        (ValueError, "rounding_seed=1.5: allowed is an integer >= 0",
         lambda: glissade.AdamW([p], rounding_seed=1.5)),  # type: ignore[arg-type]
        (ValueError, "stochastic_rounding=True is for parameters of bfloat16",
         lambda: glissade.AdamW([p], stochastic_rounding=True)),
        (ValueError, "adagradfull keeps matrices of its own: leave state_dtype",
         lambda: glissade.AdagradFull([p], state_dtype="bfloat16")),
    ):  # fmt: skip
        with pytest.raises(kind, match=said):
            make()
    later = glissade.AdamW([wide], lr=0.1)
    later.param_groups[0]["state_dtype"] = "bfloat16"
    wide.grad = torch.ones_like(wide)
    with pytest.raises(ValueError, match=r"has dtype torch\.float64"):
        later.step()
    optimizer = glissade.AdamW([p], lr=0.1)
    before = p.detach().clone()
    optimizer.param_groups[0]["state_dtype"] = "int3"
    p.grad = torch.ones_like(p)
    with pytest.raises(ValueError, match="state_dtype='int3'"):
        optimizer.step()
    assert torch.equal(p, before)


def test_adafactors_epsilon_is_that_of_the_parameters_dtype() -> None:
    """On every backend, as torch.optim.Adafactor has it."""
    for dtype in (torch.bfloat16, torch.float16, torch.float32):
        moved = []
        for backend in ("eager", "cpu"):
            p = torch.nn.Parameter(torch.ones(8, dtype=dtype))
            p.grad = torch.full((8,), 1e-3, dtype=dtype)
            glissade.Adafactor([p], lr=0.1, backend=backend).step()
            moved.append(p.detach().clone())
        q = torch.nn.Parameter(torch.ones(8, dtype=dtype))
        q.grad = torch.full((8,), 1e-3, dtype=dtype)
        torch.optim.Adafactor([q], lr=0.1).step()
        assert torch.equal(*moved)
        torch.testing.assert_close(moved[0], q.detach(), rtol=2 * torch.finfo(dtype).eps, atol=0)


def test_bfloat16_state_trains_as_well() -> None:
    """Half the memory of state, and the error within the spread of seeds."""
    pytest.importorskip("sklearn")
    from glissade.study.tasks import digits

    task = digits()
    errors: dict[str | None, list[float]] = {None: [], "bfloat16": []}
    for seed in range(3):
        for low, found in errors.items():
            model = task.build(seed)
            optimizer = glissade.AdamW(model.parameters(), lr=3e-3, state_dtype=low)
            for batch in task.batches(seed, 8, 64):
                optimizer.zero_grad()
                torch.autograd.backward(task.loss(model, batch))
                optimizer.step()
            found.append(task.evaluate(model, task.validation).error)
    full, half = (sum(x) / len(x) for x in errors.values())
    assert math.isfinite(half)
    assert abs(full - half) < 0.02
