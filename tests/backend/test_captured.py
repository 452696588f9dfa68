"""Steps that a CUDA graph can capture: the device counts, decides and computes the numbers."""

from __future__ import annotations

from typing import Any

import pytest
import torch

import glissade
from glissade import Optimizer, Rule, rules, wrappers
from glissade.registry import Entry
from tests.backend.test_triton import ON
from tests.cases import feed
from tests.test_storage import EACH, bind

pytest.importorskip("triton")
SMALL = [(300,), (9, 40), ()]


def parameters(device: str, dtype: torch.dtype = torch.float32) -> list[torch.nn.Parameter]:
    generator = torch.Generator().manual_seed(0)
    made = [torch.randn(s, generator=generator).to(dtype).to(device) for s in SMALL]
    return [torch.nn.Parameter(x) for x in made]


def gradients(params: list[torch.nn.Parameter], t: int) -> None:
    """In the same memory each time, as in a captured step."""
    for i, p in enumerate(params):
        new = torch.randn(p.shape, generator=torch.Generator().manual_seed(9 * t + i))
        if p.grad is None:
            p.grad = torch.zeros_like(p)
        p.grad.copy_(new)


def both(rule: Rule, device: str, **how: Any) -> list[tuple[list[torch.nn.Parameter], Optimizer]]:
    sides = []
    for capturable in (True, False):
        params = parameters(device)
        made = Optimizer(params, rule, backend="triton", capturable=capturable, **how)
        sides.append((params, made))
    return sides


def same(sides: list[tuple[list[torch.nn.Parameter], Optimizer]]) -> None:
    (ours, one), (theirs, other) = sides
    for p, q in zip(ours, theirs, strict=True):
        torch.testing.assert_close(p.detach(), q.detach(), rtol=1e-5, atol=1e-6)
        assert int(one.state[p]["step"]) == int(other.state[q]["step"])


@ON
@pytest.mark.parametrize(
    ("row", "variant"),
    [
        pytest.param(*x.values, id=x.id, marks=() if x.values[0].name in {"adam", "radam", "nadam"}
                     else pytest.mark.slow)
        for x in EACH
    ],
)  # fmt: skip
def test_every_rule(row: Entry, variant: str | None, device: str) -> None:
    """Through changes of leaf (RAdam's first steps, Ranger's every fifth)."""
    sides = both(bind(row, variant), device)
    for t in range(11):
        for params, optimizer in sides:
            gradients(params, t)
            feed(optimizer)
            optimizer.step()
    same(sides)


@ON
def test_the_noise_is_the_same(device: str) -> None:
    sides = both(rules.adamw(0.01), device, state_dtype="bfloat16", rounding_seed=7)
    for t in range(4):
        for params, optimizer in sides:
            gradients(params, t)
            optimizer.step()
    for p, q in zip(sides[0][0], sides[1][0], strict=True):
        assert torch.equal(sides[0][1].state[p]["v"], sides[1][1].state[q]["v"])


@ON
def test_launched_again_it_goes_on(device: str) -> None:
    """What a replayed graph does: the same launches, and nothing of the host. A learning rate in
    device memory is followed, and the host's next step goes on where the device is."""
    rule = wrappers.lookahead(rules.radam(0.1), k=3)
    (ours, one), (theirs, other) = both(rule, device)
    lr = torch.tensor(0.1, device=device)
    one.param_groups[0]["lr"] = lr
    for t in range(12):
        gradients(ours, t)
        gradients(theirs, t)
        if t >= 2:
            lr.fill_(0.1 / t)
            other.param_groups[0]["lr"] = 0.1 / t
        if 2 <= t < 10:
            line = one._line
            assert line is not None
            ((batch, _),) = line._batches
            (work,) = batch._ready()  # on a GPU these copies are captured, too
            work.table.run()
        else:
            one.step()
        other.step()
    same([(ours, one), (theirs, other)])


@ON
def test_no_step_where_a_gradient_is_not_finite(device: str) -> None:
    """With torch's GradScaler: gradients are unscaled in the kernel, a bad step is left out, and
    nobody asks the device."""
    sides = both(rules.adamw(0.05), device)
    for params, optimizer in sides:
        scaler = torch.amp.GradScaler(device, init_scale=2.0**10, growth_interval=3)
        assert optimizer._step_supports_amp_scaling is optimizer.param_groups[0]["capturable"]
        for t in range(8):
            loss = sum((p * p).sum() * (t + 1) for p in params)
            if t == 4:
                loss = loss * float("inf")
            optimizer.zero_grad(set_to_none=False)
            scaler.scale(loss).backward()  # type: ignore[no-untyped-call]
            scaler.step(optimizer)
            scaler.update()
        assert int(optimizer.state[params[0]]["step"]) == 7
    same(sides)


@ON
def test_groups_saved_and_loaded(device: str) -> None:
    params = parameters(device)
    groups = [{"params": params[:1], "lr": 0.1}, {"params": params[1:], "betas": (0.5, 0.9)}]
    how: dict[str, Any] = {"lr": 0.01, "backend": "triton", "capturable": True}
    optimizer = glissade.AdamW(groups, **how)
    for t in range(3):
        gradients(params, t)
        optimizer.step()
    again = parameters(device)
    for p, q in zip(again, params, strict=True):
        p.data.copy_(q.data)
    resumed = glissade.AdamW([{"params": again[:1]}, {"params": again[1:]}], **how)
    resumed.load_state_dict(optimizer.state_dict())
    plain = parameters(device)
    other = glissade.AdamW(
        [{"params": plain[:1], "lr": 0.1}, {"params": plain[1:], "betas": (0.5, 0.9)}],
        lr=0.01, backend="triton",
    )  # fmt: skip
    for t in range(3):
        gradients(plain, t)
        other.step()
    for t in range(3, 6):
        for some, made in ((params, optimizer), (again, resumed), (plain, other)):
            gradients(some, t)
            made.step()
    for p, q, r in zip(params, again, plain, strict=True):
        assert torch.equal(p, q)
        torch.testing.assert_close(p.detach(), r.detach(), rtol=1e-5, atol=1e-6)


@ON
def test_a_checkpoint_does_not_change_how_steps_are_taken(device: str) -> None:
    """Of an optimizer without `capturable` into one with it, and the other way."""
    sides = both(rules.adamw(0.1), device)
    for params, optimizer in sides:
        gradients(params, 0)
        optimizer.step()
    saved = [optimizer.state_dict() for _, optimizer in sides]
    for (params, optimizer), other in zip(sides, reversed(saved), strict=True):
        was = optimizer.param_groups[0]["capturable"]
        optimizer.load_state_dict(other)
        assert optimizer.param_groups[0]["capturable"] is was
        gradients(params, 1)
        optimizer.step()
    same(sides)


def test_what_is_refused() -> None:
    p = torch.nn.Parameter(torch.ones(3))
    for said, make in (
        ("capturable=True, but parameter 0 of group 0, .* is on the cpu",
         lambda: glissade.AdamW([p], capturable=True)),
        ("takes totals over all tensors, which the host adds up",
         lambda: Optimizer([p], wrappers.clip_norm(rules.adam(), 1.0), capturable=True,
                           backend="triton")),
    ):  # fmt: skip
        with pytest.raises(ValueError, match=said):
            make()


@pytest.mark.gpu
def test_a_captured_graph_follows_the_schedule() -> None:
    (ours, one), (theirs, other) = both(rules.adamw(0.1), "cuda")
    lr = torch.tensor(0.1, device="cuda")
    one.param_groups[0]["lr"] = lr
    for params in (ours, theirs):
        gradients(params, 0)
    one.step()
    other.step()
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        one.step()
    for t in range(1, 6):
        lr.fill_(0.1 / t)
        other.param_groups[0]["lr"] = 0.1 / t
        gradients(ours, t)
        gradients(theirs, t)
        graph.replay()
        other.step()
    same([(ours, one), (theirs, other)])
