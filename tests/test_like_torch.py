"""Where torch.optim sets the example: groups, schedules, flags and odd parameters behave alike."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.optim import lr_scheduler as schedulers
from torch.optim.optimizer import (
    register_optimizer_step_post_hook,
    register_optimizer_step_pre_hook,
)

import glissade
from glissade import registry
from tests.cases import bits, leaf, normal, pair, with_gradient

CLASSES = [getattr(glissade, row.title) for row in registry.compiled() if not row.preset]
BACKENDS = pytest.mark.parametrize("backend", ["cpu", "eager"])


def close(a: Tensor, b: Tensor) -> None:
    torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-15)


# ------------------------------------------------------------------ closures and hooks


@BACKENDS
def test_hooks_run_in_torchs_order_and_may_change_the_arguments(backend: str) -> None:
    p = with_gradient(leaf(normal(0, (3,))))
    optimizer = glissade.AdamW([p], backend=backend)
    seen: list[str] = []

    def note(word: str) -> Callable[..., None]:
        return lambda opt, args, kwargs: seen.append(f"{word} {opt.state[p].get('step', 0)}")

    def replace(opt: Any, args: Any, kwargs: Any) -> Any:
        return args, {"closure": lambda: seen.append("replaced") or torch.tensor(7.0)}

    handles = [
        optimizer.register_step_post_hook(note("own post")),
        optimizer.register_step_pre_hook(note("own pre")),
        optimizer.register_step_pre_hook(replace),
        register_optimizer_step_pre_hook(note("global pre")),
        register_optimizer_step_post_hook(note("global post")),
    ]
    try:
        loss = optimizer.step()
    finally:
        for handle in handles:
            handle.remove()
    assert loss.item() == 7.0
    assert seen == ["global pre 0", "own pre 0", "replaced", "own post 1", "global post 1"]
    seen.clear()
    optimizer.step()
    assert seen == []


# ------------------------------------------------------------------ groups


@BACKENDS
def test_a_group_added_after_steps_starts_from_its_own_beginning(backend: str) -> None:
    a, b = with_gradient(leaf(normal(0, (3,)))), with_gradient(leaf(normal(1, (2, 2))))
    optimizer = glissade.Adam([a], lr=0.1, backend=backend)
    for _ in range(3):
        optimizer.step()
    optimizer.add_param_group({"params": b, "lr": 0.2, "betas": (0.5, 0.6)})
    twin = copy.deepcopy(b)
    twin.grad = b.grad.clone()  # type: ignore[union-attr]
    alone = glissade.Adam([twin], lr=0.2, betas=(0.5, 0.6), backend=backend)
    for _ in range(3):
        optimizer.step()
        alone.step()
    assert bits(b) == bits(twin)
    assert [optimizer.state[p]["step"].item() for p in (a, b)] == [6, 3]
    assert optimizer.param_groups[1]["base_lr"] == 0.2


def test_without_gradients_nothing_happens() -> None:
    p = leaf(normal(0, (3,)))
    optimizer = glissade.AdamW([p])
    before = bits(p)
    optimizer.step()
    assert bits(p) == before
    assert not optimizer.state


@BACKENDS
@pytest.mark.parametrize("key", ["lr", "betas", "eps", "weight_decay", "amsgrad", "maximize"])
def test_group_values_may_change_between_steps(key: str, backend: str) -> None:
    """Numbers and what picks another kernel alike; torch does the same from the same state."""
    value = {"lr": 0.3, "betas": (0.3, 0.4), "eps": 0.1, "weight_decay": 0.5,
             "amsgrad": True, "maximize": True}[key]  # fmt: skip
    ours, theirs = pair([(3,), (4, 2)])
    options: dict[str, Any] = {"lr": 0.1, "amsgrad": key == "amsgrad"}
    optimizer = glissade.AdamW(ours, backend=backend, **options)
    reference = torch.optim.AdamW(theirs, foreach=False, **options)
    for t in range(6):
        if t == 3:
            new = not options["amsgrad"] if key == "amsgrad" else value
            optimizer.param_groups[0][key] = reference.param_groups[0][key] = new
        for i, (p, q) in enumerate(zip(ours, theirs, strict=True)):
            p.grad = normal(100 * t + i, tuple(p.shape))
            q.grad = p.grad.clone()
        optimizer.step()
        reference.step()
    for p, q in zip(ours, theirs, strict=True):
        close(p, q)


def test_betas_changed_in_place_are_seen() -> None:
    results = []
    for in_place in (True, False):
        p = with_gradient(leaf(normal(0, (3,))))
        optimizer = glissade.Adam([p], lr=0.1)
        optimizer.param_groups[0]["betas"] = [0.9, 0.999]
        optimizer.step()
        if in_place:
            optimizer.param_groups[0]["betas"][0] = 0.2
        else:
            optimizer.param_groups[0]["betas"] = [0.2, 0.999]
        p.grad = normal(9, (3,))
        optimizer.step()
        results.append(bits(p))
    assert results[0] == results[1]


# ------------------------------------------------------------------ lr0


@BACKENDS
def test_base_lr_is_the_lr_that_the_group_was_made_with(backend: str) -> None:
    p = with_gradient(leaf(torch.ones(2)), torch.zeros(2))
    q = with_gradient(leaf(torch.ones(2)), torch.zeros(2))
    optimizer = glissade.SGDW([p], lr=0.1, weight_decay=0.01, decay="independent", backend=backend)
    optimizer.add_param_group({"params": [q], "lr": 0.4})
    schedulers.OneCycleLR(optimizer, max_lr=3.0, total_steps=10)  # overwrites initial_lr and lr
    assert [g["base_lr"] for g in optimizer.param_groups] == [0.1, 0.4]
    optimizer.param_groups[0]["lr"] = 0.05
    optimizer.param_groups[1]["lr"] = 0.4
    optimizer.step()
    torch.testing.assert_close(p.detach(), torch.full((2,), 1 - 0.005))
    torch.testing.assert_close(q.detach(), torch.full((2,), 1 - 0.01))


# ------------------------------------------------------------------ torch's schedulers


SCHEDULES: dict[str, Callable[[Any], Any]] = {
    "step": lambda o: schedulers.StepLR(o, 2, 0.5),
    "cosine": lambda o: schedulers.CosineAnnealingLR(o, 8),
    "lambda": lambda o: schedulers.LambdaLR(o, lambda t: 1 / (t + 1)),
    "restarts": lambda o: schedulers.CosineAnnealingWarmRestarts(o, 3),
    "exponential": lambda o: schedulers.ExponentialLR(o, 0.9),
    "one cycle": lambda o: schedulers.OneCycleLR(o, max_lr=0.5, total_steps=10),
    "cyclic": lambda o: schedulers.CyclicLR(o, 0.01, 0.1, step_size_up=3),
    "plateau": lambda o: schedulers.ReduceLROnPlateau(o, patience=1),
    "sequence": lambda o: schedulers.SequentialLR(
        o, [schedulers.LinearLR(o, 0.1, total_iters=3), schedulers.StepLR(o, 2)], [3]
    ),
}


@pytest.mark.parametrize("cls", ["AdamW", "SGD"])
@pytest.mark.parametrize("schedule", SCHEDULES)
def test_torchs_schedulers_drive_it_as_they_drive_torch(cls: str, schedule: str) -> None:
    options: dict[str, Any] = {"momentum": 0.8} if cls == "SGD" else {}
    ours, theirs = pair([(3,), (4, 2)])
    optimizers = [
        getattr(glissade, cls)([{"params": ours[:1]}, {"params": ours[1:]}], lr=0.1, **options),
        getattr(torch.optim, cls)(
            [{"params": theirs[:1]}, {"params": theirs[1:]}], lr=0.1, foreach=False, **options
        ),
    ]
    running = [SCHEDULES[schedule](optimizer) for optimizer in optimizers]
    for t in range(9):
        for i, (p, q) in enumerate(zip(ours, theirs, strict=True)):
            p.grad = normal(100 * t + i, tuple(p.shape))
            q.grad = p.grad.clone()
        for optimizer, scheduler in zip(optimizers, running, strict=True):
            optimizer.step()
            scheduler.step(*([1.0] if schedule == "plateau" else []))
        for group, wanted in zip(*(o.param_groups for o in optimizers), strict=True):
            for key in ("lr", "betas", "momentum"):
                assert group.get(key) == wanted.get(key)
    for p, q in zip(ours, theirs, strict=True):
        close(p, q)


# ------------------------------------------------------------------ flags and odd parameters


@BACKENDS
@pytest.mark.parametrize("cls", CLASSES, ids=lambda c: c.__name__)
def test_maximize_is_the_negative_gradient(cls: Any, backend: str) -> None:
    up, down = leaf(normal(0, (3, 4))), leaf(normal(0, (3, 4)))
    optimizers = [cls([up], maximize=True, backend=backend), cls([down], backend=backend)]
    for t in range(3):
        up.grad = normal(t, (3, 4))
        down.grad = -normal(t, (3, 4))
        for optimizer in optimizers:
            optimizer.step()
    close(up, down)


@pytest.mark.parametrize("cls", CLASSES, ids=lambda c: c.__name__)
def test_autograd_runs_through_a_differentiable_step(cls: Any) -> None:
    """How the result depends on parameter, gradient and lr, against finite differences."""

    def steps(p: Tensor, g: Tensor, lr: Tensor) -> Tensor:
        p = p.clone()
        p.grad = g
        optimizer = cls([p], lr=lr, weight_decay=0.1, differentiable=True)
        optimizer.step()
        p.grad = 2 * g
        optimizer.step()
        return p

    p, g = leaf(normal(0, (2, 3))), leaf(normal(1, (2, 3)))
    lr = torch.tensor(0.1, dtype=torch.float64, requires_grad=True)
    if cls is glissade.Adafactor:  # its min(lr, 1/sqrt(t)) and the branch of a tensor lr
        lr = lr.detach()
    if cls is glissade.Lion:  # of the sign it is 0, and finite differences agree
        assert (
            torch.autograd.grad(steps(p, g, lr).sum(), [g], allow_unused=True)[0].abs().max() == 0
        )
    assert torch.autograd.gradcheck(steps, (p, g, lr))


@pytest.mark.parametrize("cls", ["SGD", "AdamW", "RMSprop", "Adagrad"])
def test_complex_parameters_are_pairs_of_reals_as_in_torch(cls: str) -> None:
    start = torch.view_as_complex(normal(0, (3, 2, 2)))
    ours, theirs = leaf(start), leaf(start)
    options: dict[str, Any] = {"momentum": 0.9} if cls == "SGD" else {}
    optimizers = [
        getattr(glissade, cls)([ours], **options),
        getattr(torch.optim, cls)([theirs], foreach=False, **options),
    ]
    for t in range(4):
        ours.grad = torch.view_as_complex(normal(10 + t, (3, 2, 2)))
        theirs.grad = ours.grad.clone()
        for optimizer in optimizers:
            optimizer.step()
    close(ours, theirs)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
@pytest.mark.parametrize("cls", CLASSES, ids=lambda c: c.__name__)
def test_half_precision_runs_on_eager_with_states_in_float32(cls: Any, dtype: torch.dtype) -> None:
    start = normal(0, (3, 4)).to(dtype)
    p, exact = leaf(start), leaf(start.float())
    optimizers = [cls([p]), cls([exact])]
    g = normal(1, (3, 4)).to(dtype)
    p.grad, exact.grad = g, g.float()
    for optimizer in optimizers:
        optimizer.step()
    states = [x for k, x in optimizers[0].state[p].items() if k != "step"]
    assert all(x.dtype == torch.float32 for x in states)
    if cls is not glissade.Adafactor:  # which takes ε1 from the dtype
        torch.testing.assert_close(p, exact.to(dtype), rtol=0, atol=0)


def test_mixed_dtypes_and_layouts_step_together() -> None:
    """Some on the cpu backend in either precision, some on eager, in one optimizer."""
    dtypes = [torch.float32, torch.float64, torch.bfloat16, torch.float32]
    together = [leaf(normal(i, (3, 4), d)) for i, d in enumerate(dtypes)]
    alone = [leaf(p) for p in together]
    optimizers = [glissade.LAMB(together), *(glissade.LAMB([p]) for p in alone)]
    for t in range(3):
        for i, (p, q) in enumerate(zip(together, alone, strict=True)):
            p.grad = normal(10 * t + i, (3, 4), p.dtype)
            q.grad = p.grad.clone()
        for optimizer in optimizers:
            optimizer.step()
    assert bits(together) == bits(alone)


def test_a_grad_scaler_skips_what_is_not_finite_and_unscales() -> None:
    ours, theirs = pair([(3,)], torch.float32)
    optimizers = [glissade.AdamW(ours), torch.optim.AdamW(theirs, foreach=False)]
    scalers = [torch.amp.GradScaler("cpu", init_scale=1024.0) for _ in range(2)]
    for t in range(5):
        for (p,), optimizer, scaler in zip((ours, theirs), optimizers, scalers, strict=True):
            optimizer.zero_grad()
            loss = (p * normal(t, (3,), torch.float32)).sum() * (torch.inf if t == 2 else 1)
            scaler.scale(loss).backward()
            scaler.step(optimizer)
            scaler.update()
    torch.testing.assert_close(ours, theirs)
    assert optimizers[0].state[ours[0]]["step"] == 4


def test_clip_grad_norm_and_zero_grad() -> None:
    p = with_gradient(leaf(normal(0, (3,))))
    optimizer = glissade.SGD([p], lr=1.0)
    nn.utils.clip_grad_norm_([p], 0.5)
    before = p.detach().clone()
    optimizer.step()
    assert (p.detach() - before).norm() == pytest.approx(0.5, rel=1e-5)
    optimizer.zero_grad(set_to_none=False)
    assert torch.equal(p.grad, torch.zeros_like(p))  # type: ignore[arg-type]
    optimizer.zero_grad()
    assert p.grad is None
