"""States in 8 bits: kernels against the reference, checkpoints, what is refused."""

from __future__ import annotations

import io
from typing import Any

import pytest
import torch

import glissade
from glissade import Optimizer, Rule, State, blocks, rules, wrappers
from glissade.blocks import BLOCK
from glissade.registry import Entry
from glissade.rule import norm, sqrt
from tests.cases import feed
from tests.test_storage import EACH, bind

SHAPES = [(5000,), (70, 100), (16, 512), (3, 40, 60), (7,)]  # the last is too small for codes
BOTH = pytest.mark.parametrize("backend", ["eager", "cpu"])


def parameters(dtype: torch.dtype = torch.float32, seed: int = 0) -> list[torch.nn.Parameter]:
    generator = torch.Generator().manual_seed(seed)
    return [torch.nn.Parameter(torch.randn(s, generator=generator).to(dtype)) for s in SHAPES]


def gradients(params: list[torch.nn.Parameter], t: int) -> None:
    for i, p in enumerate(params):
        generator = torch.Generator().manual_seed(1000 * t + i)
        p.grad = torch.randn(p.shape, generator=generator).to(p.dtype)


# In a step


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16], ids=str)
@pytest.mark.parametrize(("row", "variant"), EACH)
def test_kernels_agree_with_the_reference(
    row: Entry, variant: str | None, dtype: torch.dtype
) -> None:
    """From the same numbers each step: the same codes, but where a sum that is fused or not falls
    on the other side."""
    sides = [parameters(dtype) for _ in range(2)]
    try:
        optimizers = [
            Optimizer(params, bind(row, variant), backend=backend, state_dtype="int8")
            for params, backend in zip(sides, ("eager", "cpu"), strict=True)
        ]
    except ValueError as refused:
        assert (row.name, variant) in {("yogi", None), ("sophia", "official")}
        assert "cannot be kept in 8 bits" in str(refused)  # noqa: PT017
        return
    different, count = 0, 0
    for t in range(1, 8):
        for params, optimizer in zip(sides, optimizers, strict=True):
            gradients(params, t)
            feed(optimizer)
            optimizer.step()
        for p, q in zip(*sides, strict=True):
            one, other = optimizers[0].state[p], optimizers[1].state[q]
            for name in (x for x in one if x != "step"):
                x, y = one[name], other[name]
                assert x.dtype == y.dtype
                if x.dtype in blocks.OF:
                    assert (x.int() - y.int()).abs().max() <= 1
                    different, count = different + int((x != y).sum()), count + x.numel()
                else:
                    torch.testing.assert_close(x, y, rtol=1e-4, atol=1e-6)
                x.copy_(y)
            near = {"rtol": 2 * torch.finfo(dtype).eps, "atol": 1e-4}
            torch.testing.assert_close(p.data, q.data, **near)
            p.data.copy_(q.data)
    assert different <= 0.002 * count


@BOTH
def test_a_state_is_rounded_before_it_is_used(backend: str) -> None:
    def momentum(p: Any, g: Any, s: Any, t: Any, h: Any) -> Any:
        m = 0.9 * s.m + g
        return h.lr * m, State(m=m)

    p = torch.nn.Parameter(torch.zeros(5000))
    optimizer = Optimizer([p], Rule(momentum, {"lr": 1.0}), backend=backend, state_dtype="int8")
    moved = torch.zeros(5000)
    for t in range(5):
        p.grad = torch.randn(5000, generator=torch.Generator().manual_seed(t))
        optimizer.step()
        state = optimizer.state[p]
        assert state["m"].dtype == torch.int8
        assert state["m_scale"].shape == (20,)
        moved = moved - blocks.decode(state["m"], state["m_scale"])
        torch.testing.assert_close(p.detach(), moved, rtol=0, atol=2e-6)


@BOTH
def test_one_state_in_codes_may_be_made_of_another(backend: str) -> None:
    """AdaBelief's second moment is of the distance to the first; here a third goes by that."""

    def chain(p: Any, g: Any, s: Any, t: Any, h: Any) -> Any:
        a = 0.9 * s.a + 0.1 * g
        b = 0.9 * s.b + (g - a) * (g - a)
        c = 0.5 * s.c + a / (sqrt(b) + 1)
        return h.lr * c / norm(c), State(a=a, b=b, c=c)

    made = []
    for one in (backend, "eager"):
        params = parameters()
        optimizer = Optimizer(params, Rule(chain, {"lr": 1.0}), backend=one, state_dtype="int8")
        for t in range(3):
            gradients(params, t)
            optimizer.step()
        made.append((params, optimizer))
    for p, q in zip(made[0][0], made[1][0], strict=True):
        torch.testing.assert_close(p.data, q.data, rtol=1e-4, atol=1e-5)
    kinds = {k: x.dtype for k, x in made[0][1].state[made[0][0][0]].items() if len(k) == 1}
    assert kinds == {"a": torch.int8, "b": torch.uint8, "c": torch.int8}


def test_a_state_may_take_the_value_of_another() -> None:
    """Or a number: it is coded for itself."""

    def copies(p: Any, g: Any, s: Any, t: Any, h: Any) -> Any:
        if t % 3 == 0:
            return h.lr * g, State(last=0.0, twice=0.0)
        return h.lr * (g + s.last + s.twice), State(last=g, twice=g + g)

    made = []
    for backend in ("eager", "cpu"):
        params = parameters()
        optimizer = Optimizer(
            params, Rule(copies, {"lr": 0.1}), backend=backend, state_dtype="int8"
        )
        for t in range(5):
            gradients(params, t)
            optimizer.step()
        made.append((params, optimizer))
    for p, q in zip(made[0][0], made[1][0], strict=True):
        torch.testing.assert_close(p.data, q.data, rtol=1e-5, atol=1e-6)
        assert torch.equal(made[0][1].state[p]["last"], made[1][1].state[q]["last"])


def test_another_order_of_memory() -> None:
    """Blocks are of neighbours in memory, whatever that order is."""
    made = []
    for backend in ("eager", "cpu"):
        generator = torch.Generator().manual_seed(0)
        x = torch.randn(8, 20, 9, 9, generator=generator).to(memory_format=torch.channels_last)
        p = torch.nn.Parameter(x)
        optimizer = glissade.AdamW([p], lr=0.01, backend=backend, state_dtype="int8")
        for t in range(3):
            p.grad = torch.randn(p.shape, generator=torch.Generator().manual_seed(t))
            optimizer.step()
        assert optimizer.state[p]["v"].stride() == p.stride()
        made.append((p.detach(), optimizer.state[p]["v"]))
    torch.testing.assert_close(made[0][0], made[1][0], rtol=1e-5, atol=1e-6)
    assert torch.equal(made[0][1], made[1][1])


def test_any_number_of_threads_gives_the_same_bits() -> None:
    ends = []
    before = torch.get_num_threads()
    for threads in (1, 2):
        torch.set_num_threads(threads)
        try:
            p = torch.nn.Parameter(
                torch.randn(300, 513, generator=torch.Generator().manual_seed(0))
            )
            optimizer = glissade.LAMB([p], lr=0.01, backend="cpu", state_dtype="int8")
            for t in range(3):
                p.grad = torch.randn(300, 513, generator=torch.Generator().manual_seed(t))
                optimizer.step()
        finally:
            torch.set_num_threads(before)
        ends.append([p.detach(), *(x for x in optimizer.state[p].values())])
    assert all(torch.equal(x, y) for x, y in zip(*ends, strict=True))


# Checkpoints


@BOTH
def test_saved_and_loaded_it_goes_on_by_the_same_bits(backend: str) -> None:
    params = parameters()
    how: dict[str, Any] = {"lr": 0.01, "backend": backend, "state_dtype": "int8"}
    optimizer = glissade.AdamW(params, **how)
    for t in range(3):
        gradients(params, t)
        optimizer.step()
    file = io.BytesIO()
    torch.save([optimizer.state_dict(), [p.data for p in params]], file)
    file.seek(0)
    state, values = torch.load(file, weights_only=True)
    again = parameters(seed=1)
    for p, x in zip(again, values, strict=True):
        p.data.copy_(x)
    resumed = glissade.AdamW(again, **how)
    resumed.load_state_dict(state)
    for t in range(3, 6):
        for side, one in ((params, optimizer), (again, resumed)):
            gradients(side, t)
            one.step()
    for p, q in zip(params, again, strict=True):
        assert torch.equal(p, q)
        for name, x in optimizer.state[p].items():
            y = resumed.state[q][name]
            assert x.dtype == y.dtype
            assert torch.equal(x, y)


def test_a_change_takes_the_values_along() -> None:
    params = parameters()
    optimizer = glissade.AdamW(params, lr=0.01)
    gradients(params, 0)
    optimizer.step()
    full = [optimizer.state[p]["m"].clone() for p in params]
    for low, eps in (("int8", 0.04), ("bfloat16", 0.05), ("int8", 0.09), (None, 0.09)):
        optimizer.param_groups[0]["state_dtype"] = low
        optimizer.param_groups[0]["lr"] = 0.0
        optimizer.param_groups[0]["betas"] = (1 - 1e-9, 1 - 1e-9)  # nothing but the storage changes
        gradients(params, 1)
        optimizer.step()
        for p, x in zip(params, full, strict=True):
            state = optimizer.state[p]
            m = state["m"].float()
            if "m_scale" in state:
                m = blocks.decode(state["m"].reshape(-1), state["m_scale"]).reshape(p.shape)
            assert (m - x).abs().max() <= eps * x.abs().max()
            assert ("m_scale" in state) is (low == "int8" and p.numel() > 4096)


def test_scales_that_do_not_fit_are_refused() -> None:
    params = parameters()
    optimizer = glissade.AdamW(params, state_dtype="int8")
    gradients(params, 0)
    optimizer.step()
    saved = optimizer.state_dict()
    del saved["state"][1]["v_scale"]
    other = glissade.AdamW(parameters(), state_dtype="int8")
    other.load_state_dict(saved)
    gradients(other.param_groups[0]["params"], 0)
    with pytest.raises(ValueError, match="'v_scale' of a parameter of 7000 elements is missing"):
        other.step()
    saved["state"][0]["m_scale"] = torch.ones(3)
    other = glissade.AdamW(parameters(), state_dtype="int8")
    other.load_state_dict(saved)
    gradients(other.param_groups[0]["params"], 0)
    with pytest.raises(
        ValueError, match=r"'m_scale' of a parameter of 5000 elements has shape \(3,\)"
    ):
        other.step()


@BOTH
def test_a_rule_may_have_a_state_of_that_name(backend: str) -> None:
    """Another one is then kept in full; and where it is asked for in 8 bits, that is refused."""

    def update(p: Any, g: Any, s: Any, t: Any, h: Any) -> Any:
        m = 0.9 * s.m + g
        return h.lr * m, State(m=m, m_scale=0.5 * s.m_scale + g)

    rule = Rule(update, {"lr": 0.1}, name="mine")
    p = torch.nn.Parameter(torch.ones(5000))
    optimizer = Optimizer([p], rule, backend=backend)
    for _ in range(2):
        p.grad = torch.ones_like(p)
        optimizer.step()
    assert optimizer.state[p]["m_scale"].shape == p.shape
    with pytest.raises(ValueError, match="its scales would be called 'm_scale'"):
        Optimizer([p], rule, backend=backend, state_dtype="int8")


# Which states


def test_per_group_and_per_state() -> None:
    a, b, c = parameters()[:3]
    optimizer = glissade.AdamW(
        [
            {"params": [a]},
            {"params": [b], "state_dtype": {"m": "int8"}},
            {"params": [c], "state_dtype": {"exp_avg_sq": "int8", "m": "bfloat16"}},
        ],
        state_dtype="int8",
    )
    gradients([a, b, c], 0)
    optimizer.step()
    found = [{k: x.dtype for k, x in optimizer.state[p].items() if len(k) == 1} for p in (a, b, c)]
    assert found == [
        {"m": torch.int8, "v": torch.uint8},
        {"m": torch.int8, "v": torch.float32},
        {"m": torch.bfloat16, "v": torch.uint8},
    ]


def test_what_stays_in_full() -> None:
    """Small tensors; rows that are no whole blocks, where rows matter; weights and curvature."""
    small, odd, even = (torch.nn.Parameter(torch.ones(s)) for s in ((4095,), (70, 100), (20, 512)))
    rule = wrappers.lookahead(wrappers.centralize(rules.adam(0.01)))
    for made in (Optimizer([small, odd, even], rule, state_dtype="int8"),
                 glissade.Sophia([small, odd, even], state_dtype="int8")):  # fmt: skip
        for p in (small, odd, even):
            p.grad = torch.ones_like(p)
        feed(made)
        made.step()
        kept = [{k: x.dtype for k, x in made.state[p].items()} for p in (small, odd, even)]
        assert kept[0]["m"] == torch.float32
        assert kept[1]["m"] == (torch.float32 if "lookahead_slow" in kept[1] else torch.int8)
        assert kept[2]["m"] == torch.int8
        assert {kept[2].get(k, torch.float32) for k in ("lookahead_slow", "curvature")} == {
            torch.float32
        }


def test_what_is_refused_and_says_why() -> None:
    def divides(p: Any, g: Any, s: Any, t: Any, h: Any) -> Any:
        d = s.d + g
        return h.lr * g / d, State(d=d, m=0.9 * s.m + g)

    rank2 = [torch.nn.Parameter(torch.ones(64, 256))]
    mine = Rule(divides, {"lr": 1.0}, name="mine")
    for said, make in (
        (r"mine: the state 'd' cannot be kept in 8 bits: .* give state_dtype=\{'m': 'int8'\}",
         lambda: Optimizer(rank2, mine, state_dtype="int8")),
        ("state 'v' cannot be kept in 8 bits", lambda: glissade.Yogi(rank2, state_dtype="int8")),
        ("names the state 'R' with 'int8', but it has one value per row",
         lambda: glissade.Adafactor(rank2, state_dtype={"R": "int8"})),
        ("names the state 'curvature' with 'int8', but it is written from outside",
         lambda: glissade.Sophia(rank2, state_dtype={"curvature": "int8"})),
        ("names the state 'lookahead_slow' with 'int8', but float32 is what it needs",
         lambda: Optimizer(rank2, wrappers.lookahead(rules.sgd(0.1)),
                           state_dtype={"lookahead_slow": "int8"})),
    ):  # fmt: skip
        with pytest.raises(ValueError, match=said):
            make()
    assert Optimizer(rank2, mine, state_dtype={"m": "int8"})


@pytest.mark.parametrize(("dtype", "held", "moved"), [("float32", 2, 16), ("bfloat16", 2, 10)])
def test_bytes_are_those_of_the_documentation(dtype: str, held: int, moved: int) -> None:
    p = torch.nn.Parameter(torch.ones(128, 256, dtype=getattr(torch, dtype)))
    optimizer = glissade.AdamW([p], backend="cpu", state_dtype="int8")
    p.grad = torch.ones_like(p)
    optimizer.step()
    scales = 4 / BLOCK
    found = sum(x.nbytes for k, x in optimizer.state[p].items() if k != "step")
    assert found == (held + 2 * scales) * p.numel()
    group = optimizer.param_groups[0]
    plan = optimizer._programs.of(group, p.shape).plans[0]
    assert plan.bytes_per_element(dtype) == moved + 4 * scales


def test_it_trains_as_well() -> None:
    """A quarter of the memory of state; the error is within the spread of seeds."""
    pytest.importorskip("sklearn")
    from glissade.study.tasks import digits

    task = digits()
    errors: dict[str | None, list[float]] = {None: [], "int8": []}
    for seed in range(3):
        for low, found in errors.items():
            model = task.build(seed)
            assert max(p.numel() for p in model.parameters()) >= blocks.SMALL
            optimizer = glissade.AdamW(model.parameters(), lr=3e-3, state_dtype=low)
            for batch in task.batches(seed, 8, 64):
                optimizer.zero_grad()
                torch.autograd.backward(task.loss(model, batch))
                optimizer.step()
            found.append(task.evaluate(model, task.validation).error)
    full, coded = (sum(x) / len(x) for x in errors.values())
    assert abs(full - coded) < 0.02
