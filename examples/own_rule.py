"""A rule of one's own, ten lines, compiled like a built-in: python examples/own_rule.py"""

import statistics
import time

import torch

import glissade
from glissade.rule import Rule, State, maximum, norm, sqrt


def my_rule(p, g, s, t, h):
    """Adam's direction, but no tensor may move by more than a share of its own norm; every tenth
    step the second moments are kept from dying."""
    m = h.beta1 * s.m + (1 - h.beta1) * g
    v = h.beta2 * s.v + (1 - h.beta2) * g * g
    if t % 10 == 0:
        v = maximum(v, h.least)
    d = m / (1 - h.beta1**t) / (sqrt(v / (1 - h.beta2**t)) + h.eps)
    return h.lr * norm(p) / (norm(d) + h.eps) * d, State(m=m, v=v)


HYPER = {"lr": 1e-3, "beta1": 0.9, "beta2": 0.999, "eps": 1e-8, "least": 1e-20}
WAYS = {
    "float32": (torch.float32, None),
    "bfloat16, states in bfloat16": (torch.bfloat16, "bfloat16"),
    "bfloat16, states in 8 bits": (torch.bfloat16, "int8"),
}
ROUNDS, STEPS = 9, 10  # a round has a step of each branch


def parameters(dtype: torch.dtype) -> list[torch.Tensor]:
    """About 30 million numbers, as in a small transformer."""
    made = [torch.randn(1024, 1024).to(dtype).requires_grad_() for _ in range(29)]
    for p in made:
        p.grad = torch.randn_like(p)
    return made


def milliseconds(optimizer: torch.optim.Optimizer) -> float:
    """The mean time of a step, over some."""
    start = time.perf_counter()
    for _ in range(STEPS):
        optimizer.step()
    return (time.perf_counter() - start) / STEPS * 1e3


if __name__ == "__main__":
    for way, (dtype, low) in WAYS.items():
        mine = glissade.Optimizer(
            parameters(dtype), Rule(my_rule, HYPER), backend="cpu", state_dtype=low
        )
        lamb = glissade.LAMB(parameters(dtype), lr=1e-3, backend="cpu", state_dtype=low)
        for optimizer in (mine, lamb):
            milliseconds(optimizer)  # compiles
        # In turns, because machines have moods.
        pairs = [(milliseconds(mine), milliseconds(lamb)) for _ in range(ROUNDS)]
        ours, built_in = (statistics.median(x) for x in zip(*pairs, strict=True))
        ratio = statistics.median(a / b for a, b in pairs)
        print(f"{way:30} my_rule {ours:5.1f} ms, LAMB {built_in:5.1f} ms, ratio {ratio:.3f}")
