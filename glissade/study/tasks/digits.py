"""Handwritten digits, bundled with scikit-learn: two classifiers and an autoencoder."""

from __future__ import annotations

from functools import cache, partial

import numpy as np
from torch import nn

from glissade.study.tasks.common import Classification, Regression, mlp
from glissade.study.tasks.data import SPLIT_SEED, Indices, cut, split, standard

WIDTHS = (64, 128, 64, 10)
NARROWING = (64, 48, 24, 6, 24, 48, 64)
GREYS = 16  # a pixel's largest value


@cache
def _data() -> tuple[np.ndarray, np.ndarray, Indices]:
    """1797 digits of 8×8 pixels: pixels, labels, and which are train, validation and test."""
    from sklearn.datasets import load_digits  # type: ignore[import-untyped,unused-ignore]

    pixels, labels = load_digits(return_X_y=True)
    return pixels, labels.astype(np.int64), split(labels)


@cache
def digits() -> Classification:
    """MLP 64-128-64-10; each pixel standardised."""
    pixels, labels, indices = _data()
    return Classification(
        "handwritten digits (scikit-learn), MLP " + "-".join(map(str, WIDTHS)),
        *cut(standard(pixels, indices[0]), labels, indices), partial(mlp, WIDTHS),
        facts={"split_seed": SPLIT_SEED},
    )  # fmt: skip


def convolutional() -> nn.Sequential:
    """Two convolutions and a linear layer on 1×8×8 images."""
    return nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1), nn.ReLU(),
        nn.Conv2d(16, 32, 3, stride=2, padding=1), nn.ReLU(),
        nn.Flatten(), nn.Linear(32 * 4 * 4, 10),
    )  # fmt: skip


@cache
def digits_conv() -> Classification:
    """The same digits as images, with one mean and deviation for all pixels."""
    pixels, labels, indices = _data()
    of = pixels[indices[0]]
    images = ((pixels - of.mean()) / of.std()).astype(np.float32).reshape(-1, 1, 8, 8)
    return Classification(
        "handwritten digits (scikit-learn), convolutional net",
        *cut(images, labels, indices), convolutional,
        epochs=15, facts={"split_seed": SPLIT_SEED},
    )  # fmt: skip


@cache
def autoencoder() -> Regression:
    """Digits through six numbers and back, with tanh between the layers.

    Deep and narrow, as the autoencoders that optimizers have been tried on since Hinton and
    Salakhutdinov 2006 (Science 313), but small.
    """
    pixels, _, indices = _data()
    shares = (pixels / GREYS).astype(np.float32)
    return Regression(
        "digits (scikit-learn), autoencoder " + "-".join(map(str, NARROWING)),
        *cut(shares, shares, indices), partial(mlp, NARROWING, between=nn.Tanh),
        metric_name=f"RMSE, grey levels of {GREYS}", scale=GREYS, epochs=40,
        facts={"split_seed": SPLIT_SEED},
    )  # fmt: skip
