"""A photograph that is bundled with scikit-learn, learned as a function of the place."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from glissade.study.task import Direction
from glissade.study.tasks.common import Regression, mlp
from glissade.study.tasks.data import SPLIT_SEED, cut, split

HEIGHT, WIDTH, BLOCK = 64, 96, 6  # pixels; of the original, 6×6 are averaged to one
WAVES, FINEST = 64, 4.0  # how many sines, and the deviation of their frequencies


class Coordinates(nn.Module):
    """Colours from places: sines of random frequencies (Tancik et al. 2020), then an MLP."""

    frequencies: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("frequencies", FINEST * torch.randn(2, WAVES))
        self.net = mlp((2 * WAVES, 96, 96, 3))

    def forward(self, places: Tensor) -> Tensor:
        angles = math.pi * places @ self.frequencies
        found: Tensor = self.net(torch.cat([angles.sin(), angles.cos()], 1))
        return found


@dataclass(frozen=True)
class Photo(Regression):
    """Judged by the peak signal-to-noise ratio of pixels that were not trained on."""

    metric_name: str = "PSNR, dB"
    direction: Direction = "max"

    def metric(self, model: nn.Module, batches: Iterable[Any]) -> float:
        return -20 * math.log10(super().metric(model, batches))


@cache
def photo() -> Photo:
    """The three parts are disjoint sets of one picture's pixels, drawn at random."""
    from sklearn.datasets import (  # type: ignore[import-untyped,unused-ignore]
        load_sample_image,
    )

    whole = load_sample_image("china.jpg")[: HEIGHT * BLOCK, : WIDTH * BLOCK] / 255
    small = whole.reshape(HEIGHT, BLOCK, WIDTH, BLOCK, 3).mean(axis=(1, 3))
    rows, columns = np.mgrid[:HEIGHT, :WIDTH].reshape(2, -1)
    places = (2 * np.stack([columns, rows], 1) + [1 - WIDTH, 1 - HEIGHT]) / HEIGHT
    colours = small.reshape(-1, 3)
    return Photo(
        f"photo of {WIDTH}×{HEIGHT} pixels (scikit-learn), coordinate MLP",
        *cut(
            places.astype(np.float32), colours.astype(np.float32), split(colours, stratify=False)
        ),
        Coordinates, batch_size=128, epochs=50, facts={"split_seed": SPLIT_SEED},
    )  # fmt: skip
