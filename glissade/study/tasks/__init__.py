"""The built-in tasks, all on data that is installed with their libraries or made from a seed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from glissade.study.tasks.common import Classification, Regression, Score, mlp
from glissade.study.tasks.data import SPLIT_SEED, Part, split
from glissade.study.tasks.digits import autoencoder, digits, digits_conv
from glissade.study.tasks.made import deep_linear, quadratic, sparse
from glissade.study.tasks.photo import photo
from glissade.study.tasks.tables import breast_cancer, diabetes
from glissade.study.tasks.text import text

BUILT_IN: dict[str, Callable[[], Any]] = {
    "digits": digits,
    "digits-conv": digits_conv,
    "breast_cancer": breast_cancer,
    "diabetes": diabetes,
    "photo": photo,
    "text": text,
    "quadratic": quadratic,
    "deep-linear": deep_linear,
    "autoencoder": autoencoder,
    "sparse": sparse,
}

__all__ = [
    "BUILT_IN", "SPLIT_SEED", "Classification", "Part", "Regression", "Score", "digits", "mlp",
    "split",
]  # fmt: skip
