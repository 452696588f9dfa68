"""Sayings about how optimizers do what they do, on problems small enough to see it."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from glissade.claims import overshoot, toys
from glissade.claims.base import Claim, Measure
from glissade.claims.charts import Chart, Line, Lines
from glissade.claims.march import march
from glissade.claims.readings import Values

SEEDS = 10
Numbers = Mapping[str, np.ndarray]  # by optimizer; the first axis is the seed's


# AdaBound, from Adam to SGD

STREAM = 10_000
SCALES = np.geomspace(1e-3, 1, 16)
BETA = 0.9  # of the average of gradients, in both
ENDS = {"beginning": slice(0, 10), "end": slice(-100, None)}


def _unequal() -> Numbers:
    """log10 of the largest effective learning rate over the least, (seeds, steps)."""
    noise = np.random.default_rng(0).standard_normal((STREAM, SEEDS, len(SCALES)))
    gradients = SCALES * (1 + 0.5 * noise)
    average, averages = np.zeros_like(gradients[0]), np.empty_like(gradients)
    for t, gradient in enumerate(gradients):
        average = BETA * average + (1 - BETA) * gradient
        averages[t] = average
    stream = torch.from_numpy(gradients)[:, None]
    found = {}
    for name in ("adabound", "adam"):
        start = np.zeros((SEEDS, len(SCALES)))
        course = march(name, (1e-3,), start, lambda points, t: stream[t], STREAM)[:, 0]
        rates = np.abs(np.diff(course, axis=0)) / np.abs(averages)
        found[name] = np.log10(rates.max(axis=2) / rates.min(axis=2)).T
    return found


def _read_unequal(found: Numbers) -> Values:
    at = {
        (name, end): np.median(found[name][:, where], axis=1)
        for name in ("adabound", "adam")
        for end, where in ENDS.items()
    }
    own, adams = at["adabound", "beginning"], at["adam", "beginning"]
    last = at["adabound", "end"]
    return [own - last, at["adam", "end"] - last, -np.abs(own - adams)]


def _draw_unequal(found: Numbers) -> Chart:
    at = np.unique(np.geomspace(1, STREAM, 60).astype(int))
    said = {"adabound": "AdaBound", "adam": "Adam"}
    lines = [
        Line(said[name], [int(t) for t in at], [float(y) for y in 10 ** middle[at - 1]])
        for name, values in found.items()
        for middle in [np.median(values, axis=0)]
    ]
    return Lines("step", "largest learning rate over the least", lines, log_y=True)


# Lookahead on a noisy quadratic

LR, FAST, SHARE = 0.1, 5, 0.5  # of SGD; Lookahead's k and α
CURVATURES = np.array([0.2, 1, 3, 6, 10, 15])
COPIES, BURN_IN, KEPT = 50, 1000, 1500
SIGMA = 1.0


def _variances() -> Numbers:
    """Of the weights after every fifth step, (seeds, curvatures), about the minimum at 0."""
    bends = torch.from_numpy(CURVATURES)
    shape = (SEEDS, COPIES, len(CURVATURES))

    def slope(points: Tensor, t: int) -> Tensor:
        targets = SIGMA * np.random.default_rng((0, t)).standard_normal(shape)
        return bends * (points - torch.from_numpy(targets))

    found = {}
    for name in ("sgd", "lookahead"):
        text = f"lookahead(sgd, k={FAST}, alpha={SHARE})" if name == "lookahead" else name
        course = march(text, (LR,), np.zeros(shape), slope, BURN_IN + KEPT)[:, 0]
        found[name] = (course[BURN_IN + FAST :: FAST] ** 2).mean(axis=(0, 2))
    return found


def _read_variances(found: Numbers) -> Values:
    return [np.log(found["sgd"] / found["lookahead"]).min(axis=1)]


def _draw_variances(found: Numbers) -> Chart:
    at = [float(x) for x in LR * CURVATURES]
    said = {"sgd": "SGD", "lookahead": "Lookahead"}
    lines = [
        Line(said[name], at, [float(y) for y in np.median(values, axis=0)])
        for name, values in found.items()
    ]
    return Lines("learning rate × curvature", "variance of the weights", lines, log_y=True)


# Adafactor's clip, where gradients jump

SIDE, QUIET, LOUD, JUMP = 16, 200, 20, 30.0
RATE = 0.01


def _jumps() -> Numbers:
    """The root mean square of updates, relative to the weights' and the rate's, (seeds, steps)."""
    noise = np.random.default_rng(0).standard_normal((QUIET + LOUD, SEEDS, SIDE, SIDE))
    noise[QUIET:] *= JUMP
    stream = torch.from_numpy(noise)
    found = {}
    for name, d in (("clipped", 1.0), ("unclipped", 1e9)):
        course = march(  # a tensor for each seed, as the clip is of a whole tensor
            f"adafactor(d={d:g})", (RATE,) * SEEDS, np.ones((SIDE, SIDE)),
            lambda points, t: stream[t], QUIET + LOUD,
        )  # fmt: skip
        size = np.sqrt((course**2).mean(axis=(2, 3)))
        step = np.sqrt((np.diff(course, axis=0) ** 2).mean(axis=(2, 3)))
        most = np.minimum(RATE, 1 / np.sqrt(np.arange(1, len(course))))
        found[name] = (step / size[:-1]).T / most
    return found


def _read_jumps(found: Numbers) -> Values:
    peak = {name: values[:, QUIET:].max(axis=1) for name, values in found.items()}
    quiet = {name: np.median(values[:, QUIET // 2 : QUIET], axis=1)
             for name, values in found.items()}  # fmt: skip
    return [
        peak["unclipped"] / peak["clipped"],
        -np.abs(np.log10(quiet["unclipped"] / quiet["clipped"])),
    ]


def _draw_jumps(found: Numbers) -> Chart:
    at = range(QUIET - 20, QUIET + LOUD)
    lines = [
        Line(name, [float(t + 1) for t in at], [float(y) for y in np.median(values, axis=0)[at]])
        for name, values in found.items()
    ]
    return Lines("step", "root mean square of the update", lines, log_x=False, log_y=True)


CLAIMS = (
    *toys.CLAIMS,
    *overshoot.CLAIMS,
    Claim(
        "adabound-moves",
        "AdaBound begins as Adam and ends as SGD: its learning rates, one for each element, become "
        "equal.",
        "Luo et al. 2019, arXiv:1902.09843",
        "16 elements with gradients of mean 10⁻³ to 1 and noise of half the mean",
        f"{STREAM:,} steps with the defaults of both (AdaBound's γ = 0.001: its bounds end 21 % "
        "apart), the same gradients for both. An element's learning rate is its "
        "step over the average of its gradients, measured; inequality is the largest over the "
        "least, and its median over the first 10 and the last 100 steps is compared.",
        ("adabound", "adam"), SEEDS, {},
        [
            Measure("log10 of how many times as unequal AdaBound's learning rates are at the "
                    "beginning as at the end", 1, 10),
            Measure("log10 of how many times as unequal as AdaBound's those of Adam are at the "
                    "end", 1, 10),
            Measure("minus the difference between the two at the beginning, in log10", -0.1),
        ],
        _read_unequal, _draw_unequal, _unequal,
    ),
    Claim(
        "adafactor-clip",
        "Adafactor's clip keeps an update from growing where gradients have grown faster than "
        "their averages, and leaves the others alone.",
        "Shazeer & Stern 2018, arXiv:1804.04235, section 6",
        f"a matrix of {SIDE} by {SIDE}, gradients of normal deviates",
        f"Adafactor with its clip (d = 1) and without, on the same gradients; after {QUIET} steps "
        f"these are {JUMP:g} times as large. The root mean square of an update, relative to that "
        "of the weights and to the learning rate: the largest after the jump, and the median of "
        f"the {QUIET // 2} steps before it.",
        ("clipped", "unclipped"), SEEDS, {},
        [
            Measure("times that the largest update after the jump is larger without the clip", 2),
            Measure("minus the difference between the two before the jump, in log10", -0.1),
        ],
        _read_jumps, _draw_jumps, _jumps,
    ),
    Claim(
        "lookahead-variance",
        "Lookahead lowers the variance that the noise of gradients leaves in the weights of its "
        "inner optimizer.",
        "Zhang et al. 2019, arXiv:1907.08610, proposition 2",
        "noisy quadratics of 6 curvatures, where learning rate × curvature is 0.02 to 1.5",
        f"SGD, and Lookahead (k = {FAST}, α = {SHARE:g}) around it, at the same learning rate "
        f"{LR:g} and with the same noise; minima that move about 0 by a normal deviate in each "
        f"step. The variance after every {FAST}th step (Lookahead's slow weights), over {COPIES} "
        f"copies and {KEPT:,} steps, after {BURN_IN:,} that do not count.",
        ("lookahead", "sgd"), SEEDS, {},
        [Measure("natural log of how many times Lookahead's variance SGD's is, at the curvature "
                 "where it is least", base=math.e)],
        _read_variances, _draw_variances, _variances,
    ),
)  # fmt: skip
