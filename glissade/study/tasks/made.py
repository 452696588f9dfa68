"""Tasks on made data: a noisy quadratic, a deep linear network, rare features."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cache, partial
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import TensorDataset

from glissade.study.task import Direction
from glissade.study.tasks.common import Classification, Regression, drawn, mlp
from glissade.study.tasks.data import in_turn

SEED = 20261122

SIZE, CONDITION, CENTRES, START = 64, 1e3, 4096, 4.0

INPUTS, OUTPUTS, MODES, DEPTH, NOISE = 32, 16, 8, 6, 0.1

FEATURES, WEIGHT = 1000, 2.0  # of the features, the i-th is there in 2/i of the examples


def curvatures() -> Tensor:
    """The diagonal of H, from 1 down to 1 over the condition."""
    return torch.logspace(0, -math.log10(CONDITION), SIZE)


class Point(nn.Module):
    """A point x, and its losses ½(x - c)ᵀH(x - c) for centres c; H is diagonal."""

    curvatures: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.x = nn.Parameter(START * torch.randn(SIZE))
        self.register_buffer("curvatures", curvatures())

    def forward(self, centres: Tensor) -> Tensor:
        found: Tensor = (self.curvatures * (self.x - centres).square()).sum(-1) / 2
        return found


@dataclass(frozen=True)
class NoisyQuadratic:
    """The model of how batch size matters in Zhang et al. 2019 (arXiv:1907.04164)."""

    title: str
    train: TensorDataset
    validation: TensorDataset
    test: TensorDataset
    metric_name: str = "excess loss"
    direction: Direction = "min"
    batch_size: int = 64
    epochs: int = 20
    facts: dict[str, object] = field(default_factory=dict)

    def build(self, seed: int) -> nn.Module:
        return drawn(seed, Point)

    def loss(self, model: nn.Module, batch: Any) -> Tensor:
        (centres,) = batch
        losses: Tensor = model(centres)
        return losses.mean()

    def metric(self, model: nn.Module, batches: Iterable[Any]) -> float:
        """The mean loss over its least possible: the loss for the mean centre."""
        every = torch.cat([centres for (centres,) in batches])
        return float(model(every.mean(0)))


@cache
def quadratic() -> NoisyQuadratic:
    """Centres vary by the inverse of H, so that gradients of single examples vary by H.

    H is diagonal, as in the paper: easier for methods that scale each number by itself than a
    rotated one would be.
    """
    generator = torch.Generator().manual_seed(SEED)
    spread = curvatures().rsqrt()
    train, validation, test = (
        TensorDataset(spread * torch.randn(CENTRES, SIZE, generator=generator)) for _ in range(3)
    )
    return NoisyQuadratic(
        f"noisy quadratic of {SIZE} numbers, condition {CONDITION:,.0f}",
        train, validation, test, facts={"seed": SEED, "condition": CONDITION, "start": START},
    )  # fmt: skip


def _deep() -> nn.Sequential:
    widths = (*[INPUTS] * DEPTH, OUTPUTS)
    return nn.Sequential(*(nn.Linear(a, b, bias=False) for a, b in pairwise(widths)))


@cache
def deep_linear() -> Regression:
    """A product of matrices learns a linear map (Saxe et al. 2014, arXiv:1312.6120).

    The loss is not convex, and falls in stages: a strong mode of the map first, a weak one late.
    """
    generator = torch.Generator().manual_seed(SEED)
    left, right = (
        torch.linalg.qr(torch.randn(n, MODES, generator=generator)).Q for n in (OUTPUTS, INPUTS)
    )
    mapping = left * torch.logspace(2, -2, MODES, base=2) @ right.T
    inputs = torch.randn(2048, INPUTS, generator=generator)
    noise = NOISE * torch.randn(2048, OUTPUTS, generator=generator)
    return Regression(
        f"linear map of {MODES} modes, deep linear network of {DEPTH} layers",
        *in_turn(inputs, inputs @ mapping.T + noise, (1024, 512, 512)), _deep,
        metric_name="RMSE", facts={"seed": SEED},
    )  # fmt: skip


@cache
def sparse() -> Classification:
    """Two classes by binary features of which most are rare, as words are (Zipf's law).

    Adaptive methods were made for such gradients (Duchi et al. 2011).
    """
    generator = torch.Generator().manual_seed(SEED)
    count = 6000
    often = (2 / torch.arange(1, FEATURES + 1)).clamp(max=0.5)
    there = (torch.rand(count, FEATURES, generator=generator) < often).float()
    weights = WEIGHT * torch.randn(FEATURES, generator=generator)
    scores = (there - often) @ weights
    labels = torch.rand(count, generator=generator) < scores.sigmoid()
    return Classification(
        f"{FEATURES:,} binary features, most of them rare, logistic regression",
        *in_turn(there, labels.long(), (3000, 1500, 1500)), partial(mlp, (FEATURES, 2)),
        facts={"seed": SEED},
    )  # fmt: skip
