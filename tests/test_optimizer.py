"""The front end is a torch optimizer: closures, hooks, groups, schedulers, autograd."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import glissade
from glissade import Optimizer, wrappers
from glissade.rule import Rule, State, sign

BACKENDS = pytest.mark.parametrize("backend", ["cpu", "eager"])


def leaf(value: float = 1.0, n: int = 3) -> Tensor:
    return torch.full((n,), value).requires_grad_()


def pull(*params: Tensor, by: float = 0.5) -> None:
    """Give each parameter a gradient."""
    for p in params:
        p.grad = torch.full_like(p, by)


@BACKENDS
def test_a_closure_runs_once_with_gradients_on(backend: str) -> None:
    p = leaf(2.0)
    optimizer = glissade.SGD([p], lr=0.1, backend=backend)
    calls = []

    def closure() -> Tensor:
        calls.append(torch.is_grad_enabled())
        optimizer.zero_grad()
        loss = (p * p).sum()
        loss.backward()
        return loss

    with torch.no_grad():
        loss = optimizer.step(closure)
    assert calls == [True]
    assert loss.item() == 12.0
    torch.testing.assert_close(p.detach(), torch.full((3,), 2.0 - 0.1 * 4.0))


def test_hooks_run_in_order_and_may_change_the_arguments() -> None:
    p = leaf()
    pull(p)
    optimizer = glissade.SGD([p], lr=1.0)
    seen: list[Any] = []

    def before(opt: Optimizer, args: Any, kwargs: Any) -> Any:
        seen.append(("before", p[0].item(), args[0] is opt, kwargs))
        return (opt, lambda: seen.append("closure")), kwargs

    def after(opt: Optimizer, args: Any, kwargs: Any) -> None:
        seen.append(("after", p[0].item()))

    handles = [optimizer.register_step_pre_hook(before), optimizer.register_step_post_hook(after)]
    optimizer.step()
    assert seen == [("before", 1.0, True, {}), "closure", ("after", 0.5)]
    for handle in handles:
        handle.remove()
    optimizer.step()
    assert len(seen) == 3


def test_global_hooks_run() -> None:
    from torch.optim.optimizer import register_optimizer_step_post_hook

    p = leaf()
    pull(p)
    seen: list[Any] = []
    handle = register_optimizer_step_post_hook(lambda opt, args, kwargs: seen.append(opt))
    try:
        optimizer = glissade.SGD([p])
        optimizer.step()
    finally:
        handle.remove()
    assert seen == [optimizer]


def test_a_hook_that_returns_nonsense() -> None:
    p = leaf()
    pull(p)
    optimizer = glissade.SGD([p])
    optimizer.register_step_pre_hook(lambda *_: 3)
    with pytest.raises(RuntimeError, match="returned 3"):
        optimizer.step()
    assert p.tolist() == [1.0] * 3


def test_the_profiler_sees_the_step() -> None:
    p = leaf()
    pull(p)
    optimizer = glissade.AdamW([p])
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as profile:
        optimizer.step()
    assert "Optimizer.step#AdamW.step" in {event.key for event in profile.key_averages()}


def test_no_wrapper_is_put_around_step() -> None:
    """torch's own costs more than a small model's whole step."""
    glissade.Lion([leaf()])
    assert not hasattr(glissade.Lion.step, "__wrapped__")


@BACKENDS
def test_groups_have_their_own_values(backend: str) -> None:
    a, b, c = leaf(), leaf(), leaf()
    pull(a, b, c)
    optimizer = glissade.SGD([{"params": [a]}, {"params": [b], "lr": 0.25}], 0.5, backend=backend)
    optimizer.step()
    optimizer.add_param_group({"params": [c], "lr": 1.0, "momentum": 0.9})
    optimizer.step()
    optimizer.step()
    assert a[0].item() == 1 - 3 * 0.25
    assert b[0].item() == 1 - 3 * 0.125
    torch.testing.assert_close(c[0].item(), 1 - 0.5 - 0.5 * 1.9)
    assert "v" in optimizer.state[c]
    assert "v" not in optimizer.state[a]


@BACKENDS
def test_steps_are_counted_per_parameter(backend: str) -> None:
    """As in torch: a parameter without a gradient does not count; whichever have one step."""
    torch.manual_seed(1)
    values = [torch.randn(4, 3), torch.randn(5), torch.randn(2, 2)]
    ours = [x.clone().double().requires_grad_() for x in values]
    theirs = [x.clone().double().requires_grad_() for x in values]
    pair = (
        glissade.Adam(ours, lr=0.1, backend=backend),
        torch.optim.Adam(theirs, lr=0.1),
    )
    present = [(0, 1, 2), (0,), (1, 2), (1,), (), (0, 1, 2), (2,), (0, 2)]
    for t, who in enumerate(present):
        for params, optimizer in zip((ours, theirs), pair, strict=True):
            for i, p in enumerate(params):
                p.grad = torch.sin(p.detach() + t) if i in who else None
            optimizer.step()
    for x, y in zip(ours, theirs, strict=True):
        torch.testing.assert_close(x, y, rtol=1e-12, atol=0)
    assert [int(pair[0].state[p]["step"]) for p in ours] == [4, 4, 5]


SCHEDULERS: list[Callable[[Any], Any]] = [
    lambda o: torch.optim.lr_scheduler.StepLR(o, 2, 0.3),
    lambda o: torch.optim.lr_scheduler.CosineAnnealingLR(o, 7),
    lambda o: torch.optim.lr_scheduler.OneCycleLR(o, 0.3, total_steps=20),  # betas cycle too
    lambda o: torch.optim.lr_scheduler.LambdaLR(o, lambda t: 1 / (1 + t)),
    lambda o: torch.optim.lr_scheduler.SequentialLR(
        o,
        [
            torch.optim.lr_scheduler.LinearLR(o, 0.1, total_iters=4),
            torch.optim.lr_scheduler.ExponentialLR(o, 0.9),
        ],
        milestones=[4],
    ),
]


@BACKENDS
@pytest.mark.parametrize("schedule", SCHEDULERS)
def test_torch_schedulers_drive_it(schedule: Callable[[Any], Any], backend: str) -> None:
    ours, theirs = leaf(2.0).double().detach(), leaf(2.0).double().detach()
    results = []
    for p, make in (
        (ours, functools.partial(glissade.AdamW, backend=backend)),
        (theirs, torch.optim.AdamW),
    ):
        p.requires_grad_()
        optimizer = make([p], lr=0.1)
        scheduler = schedule(optimizer)
        for t in range(12):
            p.grad = torch.cos(p.detach() * (t + 1))
            optimizer.step()
            scheduler.step()
        results.append((p.detach(), scheduler.get_last_lr()))
    torch.testing.assert_close(results[0][0], results[1][0], rtol=1e-12, atol=0)
    assert results[0][1] == results[1][1]


@BACKENDS
def test_a_learning_rate_may_be_a_tensor(backend: str) -> None:
    p, q = leaf(), leaf()
    pull(p, q)
    lr = torch.tensor(0.5, dtype=torch.float64)
    tensor = glissade.Adam([p], lr=lr, backend=backend)
    number = glissade.Adam([q], lr=0.5, backend=backend)
    for _ in range(3):
        tensor.step()
        number.step()
        lr.mul_(0.5)
        number.param_groups[0]["lr"] *= 0.5
    assert torch.equal(p, q)


def test_grad_scaler() -> None:
    p = leaf()
    optimizer = glissade.SGD([p], lr=0.1)
    scaler = torch.amp.GradScaler("cpu", init_scale=8.0)
    scaler.scale((p * p).sum()).backward()
    scaler.step(optimizer)
    torch.testing.assert_close(p.detach(), torch.full((3,), 0.8))
    p.grad = torch.full((3,), torch.inf)
    scaler.update()
    scaler.scale((p * 0).sum()).backward()
    scaler.step(optimizer)  # skipped
    torch.testing.assert_close(p.detach(), torch.full((3,), 0.8))


@BACKENDS
@pytest.mark.parametrize("title", sorted({entry.title for entry in glissade.registry.compiled()}))
def test_gradients_are_never_changed(title: str, backend: str) -> None:
    p = torch.randn(6, 5).requires_grad_()
    p.grad = torch.randn(6, 5)
    kept, version = p.grad.clone(), p.grad._version
    optimizer = getattr(glissade, title)([p], weight_decay=0.1, maximize=True, backend=backend)
    for _ in range(7):
        optimizer.step()
    assert p.grad is not None
    assert torch.equal(p.grad, kept)
    assert p.grad._version == version


@BACKENDS
def test_autograd_notices_the_step(backend: str) -> None:
    """Kernels write through pointers; a graph that saved the parameter must still complain."""
    p = leaf()
    loss = (p * p).sum()
    pull(p)
    glissade.SGD([p], backend=backend).step()
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        loss.backward()


@BACKENDS
def test_new_gradients_every_step_and_swapped_data(backend: str) -> None:
    model, twin = nn.Linear(5, 3), nn.Linear(5, 3)
    twin.load_state_dict(model.state_dict())
    pair = (
        glissade.RMSprop(model.parameters(), lr=0.01, backend=backend),
        torch.optim.RMSprop(twin.parameters(), lr=0.01),
    )
    kept = []
    for t in range(6):
        x = torch.randn(4, 5)
        for net, optimizer in zip((model, twin), pair, strict=True):
            optimizer.zero_grad(set_to_none=t % 2 == 0)
            net(x).pow(2).sum().backward()
            kept.append([p.grad for p in net.parameters()])  # so that memory is not reused
            optimizer.step()
            if t == 3:
                for p in net.parameters():
                    p.data = p.data.clone() + 1
    for a, b in zip(model.parameters(), twin.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-6)


@BACKENDS
def test_maximize(backend: str) -> None:
    up, down = leaf(), leaf()
    up.grad, down.grad = torch.full((3,), 0.5), torch.full((3,), -0.5)
    glissade.AdamW([up], maximize=True, backend=backend).step()
    glissade.AdamW([down], backend=backend).step()
    assert torch.equal(up, down)


def test_differentiable() -> None:
    """The gradient of a loss after a step flows to the learning rate's multiplier of the loss."""
    start = torch.tensor([1.0, -2.0])
    scale = torch.tensor(3.0, requires_grad=True)
    p = start.clone().requires_grad_().clone()  # not a leaf: written in place under autograd
    optimizer = glissade.SGD([p], lr=0.1, differentiable=True)
    p.grad = scale * torch.tensor([2.0, 4.0])
    optimizer.step()
    p.sum().backward()
    torch.testing.assert_close(scale.grad, torch.tensor(-0.1 * 6.0))


@pytest.mark.parametrize("dtype", [torch.complex64, torch.complex128])
def test_complex_numbers(dtype: torch.dtype) -> None:
    value = torch.tensor([1 + 2j, -0.5 + 0.25j], dtype=dtype)
    ours, theirs = value.clone().requires_grad_(), value.clone().requires_grad_()
    pair = glissade.Adam([ours], lr=0.1), torch.optim.Adam([theirs], lr=0.1)
    for t in range(4):
        for p, optimizer in zip((ours, theirs), pair, strict=True):
            p.grad = (p.detach() * (t + 1)).conj().resolve_conj()
            optimizer.step()
    torch.testing.assert_close(ours, theirs)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_runs_eagerly(dtype: torch.dtype) -> None:
    """In float32, with float32 state, rounded once: each step is as near as the dtype allows."""
    p = torch.linspace(0.5, 2, 40).to(dtype).requires_grad_()
    optimizer = glissade.AdamW([p], lr=0.01)
    exact = p.detach().double().requires_grad_()
    reference = glissade.AdamW([exact], lr=0.01)
    for _ in range(5):
        p.grad = torch.ones_like(p)
        exact.grad = torch.ones_like(exact)
        exact.data.copy_(p.detach())
        optimizer.step()
        reference.step()
        error = (p.detach().double() - exact.detach()).abs()
        assert (error <= torch.finfo(dtype).eps * exact.detach()).all()
    assert optimizer.state[p]["m"].dtype == torch.float32


def test_foreach_and_fused_change_nothing() -> None:
    results = []
    for words in ({}, {"foreach": True}, {"fused": True}, {"foreach": False, "fused": False}):
        p = leaf()
        pull(p)
        glissade.AdamW([p], **words).step()
        results.append(p.detach())
    assert all(torch.equal(results[0], other) for other in results)


@BACKENDS
def test_choices_may_change_between_steps(backend: str) -> None:
    def run(changes: dict[int, dict[str, Any]]) -> Tensor:
        p = leaf(2.0)
        optimizer = glissade.Adam([p], lr=0.1, weight_decay=0.5, backend=backend)
        for t in range(6):
            optimizer.param_groups[0].update(changes.get(t, {}))
            pull(p, by=0.1 * (t + 1))
            optimizer.step()
        return p.detach()

    plain = run({})
    for key, value in (("decay", "decoupled"), ("variant", "inside"), ("betas", (0.5, 0.9)),
                       ("maximize", True)):  # fmt: skip
        changed = run({3: {key: value}})
        assert not torch.equal(changed, plain), key
        assert torch.equal(
            run({0: {key: value}, 3: {key: plain_value(key)}, 4: {}}),
            run({0: {key: value}, 3: {key: plain_value(key)}}),
        )


def plain_value(key: str) -> Any:
    return {"decay": "l2", "variant": "torch", "betas": (0.9, 0.999), "maximize": False}[key]


@BACKENDS
def test_independent_decay_follows_the_schedule_alone(backend: str) -> None:
    """(lr / lr0) λ p: half the learning rate is half the decay, whatever the base rate is."""
    shrunk = []
    for base in (0.5, 0.001):
        p = leaf(1.0).double().detach().requires_grad_()
        p.grad = torch.zeros_like(p)
        optimizer = glissade.SGDW([p], lr=base, weight_decay=0.1, decay="independent",
                                  backend=backend)  # fmt: skip
        optimizer.step()
        optimizer.param_groups[0]["lr"] = base / 2
        optimizer.step()
        shrunk.append(p.detach().clone())
    torch.testing.assert_close(shrunk[0], torch.full((3,), 0.9 * 0.95, dtype=torch.float64))
    torch.testing.assert_close(shrunk[0], shrunk[1], rtol=1e-12, atol=0)


@BACKENDS
def test_a_rule_of_ones_own(backend: str) -> None:
    def signum(p: Any, g: Any, s: Any, t: Any, h: Any) -> Any:
        m = h.momentum * s.m + (1 - h.momentum) * g
        return h.lr * sign(m), State(m=m)

    p = torch.tensor([1.0, 1.0, 1.0, 1.0], requires_grad=True)
    rule = Rule(signum, {"lr": 0.5, "momentum": 0.5})
    optimizer = Optimizer([p], wrappers.lookahead(rule, k=2, alpha=0.5), backend=backend)
    p.grad = torch.tensor([3.0, -3.0, 0.0, torch.nan])
    optimizer.step()
    torch.testing.assert_close(p.detach(), torch.tensor([0.5, 1.5, 1.0, torch.nan]), equal_nan=True)
    optimizer.step()
    torch.testing.assert_close(p.detach(), torch.tensor([0.5, 1.5, 1.0, torch.nan]), equal_nan=True)
    assert set(optimizer.state[p]) == {"step", "m", "lookahead_slow"}


def test_backends_are_picked_for_each_parameter() -> None:
    params = [leaf(), leaf().to(torch.bfloat16).detach().requires_grad_(), leaf().double().detach()]
    params[2].requires_grad_()
    optimizer = glissade.AdamW(params, lr=0.1)
    alone = [p.detach().clone().requires_grad_() for p in params]
    others = [glissade.AdamW([p], lr=0.1) for p in alone]
    for _ in range(3):
        pull(*params, *alone)
        optimizer.step()
        for other in others:
            other.step()
    for x, y in zip(params, alone, strict=True):
        assert torch.equal(x, y)


def test_the_text_names_the_rule() -> None:
    assert repr(glissade.LAMB([leaf()])).startswith("LAMB[lamb] (")
