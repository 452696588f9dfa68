"""A rule of one's own, ten lines, compiled like a built-in: python examples/own_rule.py"""

import time

import torch

import glissade
from glissade.rule import Rule, State, norm, sqrt


def my_rule(p, g, s, t, h):
    """Adam's direction, but no tensor may move by more than a share of its own norm."""
    m = h.beta1 * s.m + (1 - h.beta1) * g
    v = h.beta2 * s.v + (1 - h.beta2) * g * g
    d = m / (1 - h.beta1**t) / (sqrt(v / (1 - h.beta2**t)) + h.eps)
    return h.lr * norm(p) / (norm(d) + h.eps) * d, State(m=m, v=v)


rule = Rule(my_rule, {"lr": 1e-3, "beta1": 0.9, "beta2": 0.999, "eps": 1e-8})


def milliseconds(optimizer: torch.optim.Optimizer, steps: int = 10) -> float:
    """The median time of a step."""
    times = []
    for _ in range(steps + 2):
        start = time.perf_counter()
        optimizer.step()
        times.append((time.perf_counter() - start) * 1e3)
    return sorted(times[2:])[steps // 2]


def parameters() -> list[torch.Tensor]:
    """About 30 million numbers, as in a small transformer."""
    made = [torch.randn(1024, 1024, requires_grad=True) for _ in range(29)]
    for p in made:
        p.grad = torch.randn_like(p)
    return made


if __name__ == "__main__":
    # Taken in turns, because machines have moods.
    mine = glissade.Optimizer(parameters(), rule, backend="cpu")
    lamb = glissade.LAMB(parameters(), lr=1e-3, backend="cpu")
    for _ in range(3):
        print(f"my_rule {milliseconds(mine):6.1f} ms a step", end="   ")
        print(f"LAMB, built in {milliseconds(lamb):6.1f} ms a step")
