"""How long it takes until a rule can run, and that it is compiled once."""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import torch

from .. import registry
from ..backend.cpu.compile import compiled, forget
from ..checks import is_number
from ..registry import Entry
from .inputs import fed
from .timing import undisturbed

AFTER = 20  # steps: past every branch of the rules
LIKE_A_LAYER = ((6, 5), (6,))


@dataclass(frozen=True)
class Compiling:
    """One rule in one variant."""

    rule: str
    variant: str
    ms: float  # from nothing to the end of the first step, less a later step
    stages: int
    again: int  # stages compiled after the first step

    def record(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


def _layer(*shapes: tuple[int, ...]) -> list[torch.Tensor]:
    params = [torch.ones(s, requires_grad=True) for s in shapes]
    for p in params:
        p.grad = torch.full_like(p, 0.5)
    return params


def compiling(entry: Entry, variant: str, repeat: int = 3) -> Compiling:
    """The time until the first step of a layer's weight and bias is done."""
    hyper: dict[str, Any] = {"variant": variant} if variant else {}
    times = []
    for _ in range(repeat):
        params = _layer(*LIKE_A_LAYER)
        with undisturbed():
            forget()
            start = time.perf_counter()
            opt = fed(entry.optimizer(params, backend="cpu", **hyper))
            opt.step()
            first = time.perf_counter() - start
            stages = compiled()
            start = time.perf_counter()
            opt.step()
            times.append(first - (time.perf_counter() - start))
    again = changes(entry, **hyper)
    return Compiling(entry.name, variant, 1e3 * statistics.median(times), stages, again)


def changes(entry: Entry, **hyper: Any) -> int:
    """Stages compiled when lr and other numbers, shapes, groups or models change: none."""
    opt = fed(entry.optimizer(_layer(*LIKE_A_LAYER), backend="cpu", **hyper))
    opt.step()
    before = compiled()

    def steps() -> None:
        for _ in range(AFTER):
            opt.step()

    group = opt.param_groups[0]
    decay = torch.optim.lr_scheduler.ExponentialLR(opt, 0.9)
    for _ in range(3):
        opt.step()
        decay.step()
    for key, value in group.items():
        if is_number(value) and type(value) is float and key not in ("lr", "base_lr"):
            group[key] = value * 0.97
    steps()
    opt.add_param_group({"params": _layer((3, 50), (50,), (7, 1)), "lr": math.pi * 1e-3})
    fed(opt)
    steps()
    opt = fed(entry.optimizer(_layer((40, 3), (17,)), backend="cpu", **hyper))
    steps()
    return compiled() - before


def measure(
    names: tuple[str, ...], quick: bool, tell: Callable[[str], None] = lambda line: None
) -> list[Compiling]:
    """Every rule in every variant, after one that is not counted: LLVM itself has to start.

    With `quick` once instead of the median of three, and in the default variant alone.
    """
    compiling(registry.lookup(names[0]), "", repeat=1)
    out = []
    for name in names:
        tell(f"compile: {name}")
        entry = registry.lookup(name)
        if entry.rule().matrix:
            continue  # there is nothing to compile
        variants = list(entry.variants) or [""]
        for variant in variants[:1] if quick else variants:
            out.append(compiling(entry, variant, repeat=1 if quick else 3))
    return out
