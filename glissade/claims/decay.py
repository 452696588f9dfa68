"""Weight decay beside the gradient's normalisation, and inside of it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from glissade.claims import base
from glissade.claims.base import Chart, Claim, Part, Runs, Setup
from glissade.study.grid import separable

HUTTER = "Loshchilov & Hutter 2019, arXiv:1711.05101, as the HKUST lecture tells it"
POINTS = 5
RATES = {"adam": (3e-4, 3e-2), "adamw": (3e-4, 3e-2), "sgd": (0.03, 1.5), "sgdw": (0.03, 1.5)}
DECAYS = {"adam": (1e-5, 3e-2), "adamw": (1e-2, 3.0), "sgd": (1e-5, 3e-2), "sgdw": (1e-4, 0.1)}


def _places(ends: tuple[float, float]) -> list[float]:
    return [float(f"{x:.3g}") for x in np.geomspace(*ends, POINTS)]


def _grid(names: Sequence[str], steps: int) -> dict[str, Setup]:
    return {
        f"{name}|{i}|{j}": Setup("digits", f"{name}(lr={lr}, weight_decay={decay})", steps)
        for name in names
        for i, lr in enumerate(_places(RATES[name]))
        for j, decay in enumerate(_places(DECAYS[name]))
    }


def _maps(runs: Runs, name: str) -> np.ndarray:
    """Validation errors, (seeds, learning rates, decays), as logarithms: factors count alike."""
    values = np.array([base.validations(runs, label) for label in base.family(runs, name)])
    logs = np.log(np.where(np.isfinite(values), np.maximum(values, 0.1), np.nan))
    return np.asarray(logs.T.reshape(-1, POINTS, POINTS))


def _separable(runs: Runs, name: str) -> list[float]:
    """R² of row + column by seed; 0 where too much diverged for a fit."""
    return [separable(one) or 0.0 for one in _maps(runs, name)]


def _more(new: str, old: str, runs: Runs) -> Part:
    one, other = _separable(runs, new), _separable(runs, old)
    return Part(f"R² of {new}'s map less that of {old}'s", base.less(other, one))


def _chart(names: Sequence[str], runs: Runs) -> Chart:
    """The best over decays at each learning rate, relative to its own middle."""
    lines = []
    for name in names:
        middle = np.nanmedian(np.exp(_maps(runs, name)), axis=0)
        share = [float(x) for x in np.geomspace(0.1, 10, POINTS)]
        lines.append(base.Line(name, share, [float(x) for x in middle.min(axis=1)]))
    return Chart("learning rate, times the middle of its range", "validation error, %", lines)


def _separates(name: str, new: str, old: str, steps: int) -> Claim:
    return Claim(
        name=name,
        saying=f"With {new} the best learning rate does not depend on the decay, nor the best "
        f"decay on the learning rate; with {old}, whose decay is in the gradient, they depend on "
        "each other.",
        source=HUTTER,
        scale=f"handwritten digits, MLP of 17 thousand parameters, {steps} steps",
        plan=f"A grid of {POINTS} learning rates by {POINTS} decays for each; for each seed, how "
        "much of the map of log validation errors a sum of a row and a column explains (R²).",
        between=(new, old),
        seeds=6,
        arms=_grid((new, old), steps),
        read=lambda runs: [_more(new, old, runs)],
        chart=lambda runs: _chart((new, old), runs),
    )


def _generalises() -> Claim:
    def read(runs: Runs) -> list[Part]:
        adamw, adam = base.best(runs, "adamw"), base.best(runs, "adam")
        return [
            Part("points of test error that AdamW is below Adam with l2, each at its best",
                 base.less(base.tests(runs, adamw), base.tests(runs, adam))),
        ]  # fmt: skip

    return Claim(
        name="adamw-generalises",
        saying="AdamW generalises better than Adam with l2, each with its best learning rate and "
        "decay.",
        source=HUTTER,
        scale="handwritten digits, MLP of 17 thousand parameters, 400 steps",
        plan=f"A grid of {POINTS} learning rates by {POINTS} decays for each; the place of best "
        "median validation error; its test error, in pairs of the same seed.",
        between=("adamw", "adam"),
        seeds=10,
        arms=_grid(("adamw", "adam"), 400),
        read=read,
        chart=lambda runs: _chart(("adamw", "adam"), runs),
    )


CLAIMS = (
    _separates("adamw-separates", "adamw", "adam", 200),
    _separates("sgdw-separates", "sgdw", "sgd", 200),
    _generalises(),
)
