"""Steps on the cpu for parameters that are elsewhere: here a stand-in for a device."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._pytree import tree_map

import glissade
from glissade import Optimizer, rules, wrappers
from tests.cases import feed


class Far(Tensor):
    """A tensor that says it is on another device, and whose memory only `to` and `copy_` reach."""

    inside: Tensor

    @staticmethod
    def __new__(cls, inside: Tensor, requires_grad: bool = False) -> Far:
        return torch.Tensor._make_wrapper_subclass(
            cls, inside.shape, strides=inside.stride(), dtype=inside.dtype, device="meta",
            requires_grad=requires_grad,
        )  # fmt: skip

    def __init__(self, inside: Tensor, requires_grad: bool = False) -> None:
        self.inside = inside

    @classmethod
    def __torch_dispatch__(
        cls, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = dict(kwargs or {})
        here = kwargs.get("device") is not None and torch.device(kwargs["device"]).type == "cpu"
        if "device" in kwargs:
            kwargs["device"] = torch.device("cpu")
        plain = tree_map(lambda x: x.inside if isinstance(x, Far) else x, (args, kwargs))
        out = func(*plain[0], **plain[1])
        if func._schema.name.endswith("_"):
            return args[0]
        return out if here else tree_map(lambda x: Far(x) if isinstance(x, Tensor) else x, out)


SHAPES = [(5,), (7, 33), (70, 100), ()]
Make = Callable[[list[torch.nn.Parameter]], Optimizer]


def sides(dtype: torch.dtype) -> tuple[list[torch.nn.Parameter], list[torch.nn.Parameter]]:
    generator = torch.Generator().manual_seed(0)
    values = [torch.randn(s, generator=generator).to(dtype) for s in SHAPES]
    far = [torch.nn.Parameter(Far(x.clone())) for x in values]
    return far, [torch.nn.Parameter(x) for x in values]


def gradients(far: list[torch.nn.Parameter], near: list[torch.nn.Parameter], t: int) -> None:
    for i, (p, q) in enumerate(zip(far, near, strict=True)):
        q.grad = torch.randn(q.shape, generator=torch.Generator().manual_seed(9 * t + i)).to(
            q.dtype
        )
        p.grad = Far(q.grad.clone())


def here(p: Tensor) -> Tensor:
    return p.detach().to("cpu")


@pytest.mark.parametrize("make", [rules.adamw, rules.lamb, rules.adafactor, rules.sophia])
def test_the_steps_are_those_of_the_cpu(make: Any) -> None:
    far, near = sides(torch.float32)
    ours = Optimizer(far, make(lr=0.01), offload="cpu")
    theirs = Optimizer(near, make(lr=0.01))
    for t in range(5):
        gradients(far, near, t)
        for optimizer in (ours, theirs):
            feed(optimizer)
            optimizer.step()
    for p, q in zip(far, near, strict=True):
        assert torch.equal(here(p), q)
        assert all(x.device.type == "cpu" for x in ours.state[p].values())


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
def test_half_precision_gets_weights_in_float32(dtype: torch.dtype) -> None:
    far, near = sides(dtype)
    ours = glissade.AdamW(far, lr=1e-4, offload="cpu", state_dtype="bfloat16")
    assert ours.rule.name == "master_weights(adamw)"
    rule = wrappers.master_weights(rules.adamw(lr=1e-4))
    theirs = Optimizer(near, rule, state_dtype="bfloat16")
    for t in range(20):
        gradients(far, near, t)
        ours.step()
        theirs.step()
    for p, q in zip(far, near, strict=True):
        assert torch.equal(here(p), q)
        assert ours.state[p]["master_weights"].dtype == torch.float32
    mine = Optimizer(far, wrappers.kahan(rules.adamw()), offload="cpu")
    assert mine.rule.name == "kahan(adamw)"  # keeps them in its own way


def test_values_from_outside_and_absent_gradients() -> None:
    far, near = sides(torch.float32)
    ours, theirs = glissade.Adam(far, lr=0.1, offload="cpu"), glissade.Adam(near, lr=0.1)
    for t in range(6):
        gradients(far, near, t)
        if t == 2:
            far[0].grad = near[0].grad = None
        if t == 3:
            with torch.no_grad():
                far[1].mul_(0.5)
                near[1].mul_(0.5)
        ours.step()
        theirs.step()
        if t == 4:
            ours.add_param_group({"params": [torch.nn.Parameter(Far(torch.ones(3)))]})
    for p, q in zip(far, near, strict=True):
        assert torch.equal(here(p), q)


def test_saved_and_loaded() -> None:
    far, near = sides(torch.bfloat16)
    ours = glissade.AdamW(far, lr=0.01, offload="cpu")
    theirs = glissade.AdamW(sides(torch.bfloat16)[0], lr=0.01, offload="cpu")
    for t in range(3):
        gradients(far, near, t)
        ours.step()
    again = theirs.param_groups[0]["params"]
    for p, q in zip(far, again, strict=True):
        with torch.no_grad():
            q.copy_(p)
    theirs.load_state_dict(copy.deepcopy(ours.state_dict()))
    gradients(far, near, 3)
    gradients(again, near, 3)
    ours.step()
    theirs.step()
    for p, q in zip(far, again, strict=True):
        assert torch.equal(here(p), here(q))
    plain = torch.nn.Parameter(torch.ones(3))
    assert pickle.loads(pickle.dumps(glissade.SGD([plain]))).offload is None


def test_a_group_may_bring_a_generator() -> None:
    far, near = sides(torch.float32)
    ours = glissade.AdamW([{"params": (p for p in far)}], lr=0.1, offload="cpu")
    theirs = glissade.AdamW(near, lr=0.1)
    gradients(far, near, 0)
    ours.step()
    theirs.step()
    assert torch.equal(here(far[0]), near[0])


def test_what_is_refused() -> None:
    p, far = torch.nn.Parameter(torch.ones(3)), torch.nn.Parameter(Far(torch.ones(3)))
    for said, make in (
        (r"offload='cpu', but parameter 0 of group 0, shape \(3,\), is on the cpu already",
         lambda: glissade.AdamW([p], offload="cpu")),
        ("offload='disk': allowed are None and 'cpu'", lambda: glissade.AdamW([p], offload="disk")),
        ("takes steps there, not with backend='triton'",
         lambda: glissade.AdamW([far], offload="cpu", backend="triton")),
    ):  # fmt: skip
        with pytest.raises(ValueError, match=said):
            make()
    optimizer = glissade.AdamW([far], offload="cpu")
    half = torch.nn.Parameter(Far(torch.ones(3, dtype=torch.bfloat16)))
    with pytest.raises(ValueError, match="adamw was made without weights in float32"):
        optimizer.add_param_group({"params": [half]})
    optimizer.step()
    assert torch.equal(here(far), torch.ones(3))


@pytest.mark.gpu
def test_on_a_gpu() -> None:
    values = [torch.randn(s, generator=torch.Generator().manual_seed(0)) for s in SHAPES]
    far = [torch.nn.Parameter(x.cuda().bfloat16()) for x in values]
    near = [torch.nn.Parameter(x.bfloat16()) for x in values]
    ours = glissade.AdamW(far, lr=1e-3, offload="cpu")
    theirs = Optimizer(near, wrappers.master_weights(rules.adamw(lr=1e-3)))
    for t in range(5):
        for i, (p, q) in enumerate(zip(far, near, strict=True)):
            noise = torch.Generator().manual_seed(9 * t + i)
            q.grad = torch.randn(q.shape, generator=noise).bfloat16()
            p.grad = q.grad.cuda()
        ours.step()
        theirs.step()
    for p, q in zip(far, near, strict=True):
        assert torch.equal(p.cpu(), q)
