"""The gate before the clock: a kernel that disagrees with the reference is not timed."""

from __future__ import annotations

from typing import Any

import torch

from ..optimizer import Optimizer
from ..registry import Entry

# Scalars, rows, columns and batches that no vector divides; the last one is shared by threads.
SHAPES = ((), (1,), (7,), (1, 9), (9, 1), (33, 17), (3, 2, 5), (2, 3, 4, 5), (301, 257))
LR = 0.05  # steps of about the parameters' own size, so that an error in them shows
AGREEMENT = 1e-5
STEPS = 3


def mismatch(entry: Entry, steps: int = STEPS) -> str:
    """Where the compiled kernel of an optimizer and its float64 reference part; empty if nowhere.

    Both step the same parameters with the same gradients, at least `STEPS` times.
    """
    generator = torch.Generator().manual_seed(1)

    def normal(shape: tuple[int, ...]) -> torch.Tensor:
        return torch.randn(shape, generator=generator)

    start = [normal(shape) for shape in SHAPES]
    fast = [p.clone().requires_grad_() for p in start]
    exact = [p.double().requires_grad_() for p in start]
    ours = entry.optimizer(fast, LR, backend="cpu")
    reference = entry.optimizer(exact, LR, backend="eager")
    for t in range(1, max(steps, STEPS) + 1):
        for p, q in zip(fast, exact, strict=True):
            p.grad = normal(tuple(p.shape))
            q.grad = p.grad.double()
        ours.step()
        reference.step()
        for p, q in zip(fast, exact, strict=True):
            wrong = _wrong(ours, p, reference, q)
            if wrong:
                return f"{wrong} of a parameter of shape {tuple(p.shape)} at step {t}"
    if any(torch.equal(p, q) for p, q in zip(fast, start, strict=True)):
        return "a parameter that did not move"
    return ""


def _wrong(ours: Optimizer, p: torch.Tensor, reference: Optimizer, q: torch.Tensor) -> str:
    """What differs: the parameter or a state."""
    pairs: dict[str, tuple[Any, Any]] = {"the value": (p.detach(), q.detach())}
    states = reference.state[q]
    if set(ours.state[p]) != set(states):
        return "the states' names"
    pairs |= {f"state {k}": (ours.state[p][k], x) for k, x in states.items() if k != "step"}
    for what, (have, want) in pairs.items():
        scale = float(want.abs().max()) if want.numel() else 0.0
        if not torch.allclose(have.double(), want, rtol=AGREEMENT, atol=AGREEMENT * scale):
            worst = float((have.double() - want).abs().max()) / max(scale, 1e-300)
            return f"{what} is {worst:.1e} off"
    return ""
