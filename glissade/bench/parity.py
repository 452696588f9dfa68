"""The gate before the clock: a kernel that disagrees with the reference is not timed."""

from __future__ import annotations

import torch

from ..optimizer import Optimizer
from ..registry import Entry
from .inputs import fed

# Scalars, rows, columns and batches that no vector divides; the last one is shared by threads.
SHAPES = ((), (1,), (7,), (1, 9), (9, 1), (33, 17), (3, 2, 5), (2, 3, 4, 5), (301, 257))
LR = 0.05  # steps of about the parameters' own size, so that an error in them shows
AGREEMENT = 1e-5
LOW_AGREEMENT = 2.0**-5  # of what is kept in two bytes: a few units of its last place
STEPS = 3


def mismatch(
    entry: Entry,
    steps: int = STEPS,
    dtype: str = "float32",
    state_dtype: str | None = None,
    device: str = "cpu",
    backend: str = "cpu",
) -> str:
    """Where the compiled kernel of an optimizer and its float64 reference part; empty if nowhere.

    Both step the same parameters with the same gradients, at least `STEPS` times. Where anything
    is kept in two bytes, the reference keeps it so, too.
    """
    low = dtype != "float32" or state_dtype is not None
    agreement = LOW_AGREEMENT if low else AGREEMENT
    generator = torch.Generator().manual_seed(1)

    def normal(shape: tuple[int, ...]) -> torch.Tensor:
        return torch.randn(shape, generator=generator).to(getattr(torch, dtype))

    start = [normal(shape) for shape in SHAPES]
    fast = [p.to(device, copy=True).requires_grad_() for p in start]
    exact = [(p.clone() if low else p.double()).requires_grad_() for p in start]
    rule = entry.bind(LR)
    ours = fed(Optimizer(fast, rule, backend=backend, state_dtype=state_dtype))
    reference = fed(Optimizer(exact, rule, backend="eager", state_dtype=state_dtype))
    for t in range(1, max(steps, STEPS) + 1):
        for p, q in zip(fast, exact, strict=True):
            g = normal(tuple(p.shape))
            p.grad, q.grad = g.to(device), g.to(q.dtype)
        ours.step()
        reference.step()
        for p, q in zip(fast, exact, strict=True):
            wrong = _wrong(ours, p, reference, q, agreement)
            if wrong:
                return f"{wrong} of a parameter of shape {tuple(p.shape)} at step {t}"
    if any(torch.equal(p.cpu(), q) for p, q in zip(fast, start, strict=True)):
        return "a parameter that did not move"
    return ""


def _wrong(
    ours: Optimizer, p: torch.Tensor, reference: Optimizer, q: torch.Tensor, agreement: float
) -> str:
    """What differs: the parameter or a state."""
    pairs: dict[str, tuple[torch.Tensor, torch.Tensor]] = {"the value": (p.detach(), q.detach())}
    have, want = ours.state[p], reference.state[q]
    pairs |= {f"state {k}": (have[k], want[k]) for k in have if k != "step"}
    for what, (x, y) in pairs.items():
        scale = float(y.abs().max())
        x, y = x.cpu().double(), y.double()
        if not torch.allclose(x, y, rtol=agreement, atol=agreement * scale):
            worst = float((x - y).abs().max()) / max(scale, 1e-300)
            return f"{what} is {worst:.1e} off"
    return ""
