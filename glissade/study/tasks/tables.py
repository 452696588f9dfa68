"""Two tables of measurements that are bundled with scikit-learn, and linear models of them."""

from __future__ import annotations

from functools import cache, partial

import numpy as np

from glissade.study.tasks.common import Classification, Regression, mlp
from glissade.study.tasks.data import SPLIT_SEED, cut, split, standard


@cache
def breast_cancer() -> Classification:
    """Malignant or benign by 30 measurements of cells in 569 samples; columns standardised."""
    from sklearn.datasets import (  # type: ignore[import-untyped,unused-ignore]
        load_breast_cancer,
    )

    values, labels = load_breast_cancer(return_X_y=True)
    indices = split(labels)
    return Classification(
        "breast cancer (scikit-learn), logistic regression",
        *cut(standard(values, indices[0]), labels.astype(np.int64), indices), partial(mlp, (30, 2)),
        batch_size=32, facts={"split_seed": SPLIT_SEED},
    )  # fmt: skip


@cache
def diabetes() -> Regression:
    """How far diabetes went in a year, by ten measurements of 442 patients."""
    from sklearn.datasets import load_diabetes

    values, targets = load_diabetes(return_X_y=True)
    indices = split(targets, stratify=False)
    column = targets[:, None]
    return Regression(
        "diabetes (scikit-learn), linear regression",
        *cut(standard(values, indices[0]), standard(column, indices[0]), indices),
        partial(mlp, (10, 1)),
        metric_name="RMSE, points of progression", scale=float(column[indices[0]].std()),
        batch_size=32, epochs=40, facts={"split_seed": SPLIT_SEED},
    )  # fmt: skip
