"""One optimizer against another, each at its best learning rate."""

from __future__ import annotations

import math
from collections.abc import Sequence

from glissade.claims import readings
from glissade.claims.base import Claim, Measure
from glissade.claims.readings import Runs, Values
from glissade.claims.sweeps import (
    SCALE,
    SEEDS,
    SHARE,
    SHARES,
    STEPS,
    around,
    at_best,
    lines,
    places,
    sweep,
)

NEW = "the lecture on new optimizers for deep learning (SGDM against Adam)"
TAIWAN = "the lecture on gradient descent optimization"
HKUST = "as the HKUST lecture tells it"
AUTOENCODER = "an autoencoder of handwritten digits, 64-48-24-6 and back, 640 steps"


def _gap(runs: Runs, one: str, other: str) -> Sequence[float]:
    """By how much the errors on what was trained and on what was not are apart."""
    gaps = [
        [test - fit if math.isfinite(test) else math.inf for test, fit in pairs]
        for pairs in (
            zip(readings.tests(runs, label), readings.fits(runs, label), strict=True)
            for label in (one, other)
        )
    ]
    return readings.less(*gaps)


def _early(runs: Runs, label: str) -> list[float]:
    """The validation error after a tenth of the steps."""
    found = []
    for run in runs[label]:
        course = [value for step, _, value in run.validation if step <= run.steps // 10]
        found.append(course[-1] if course and not run.lost else math.inf)
    return found


def _fast_and_unstable() -> Claim:
    middles = {"adam": 3e-3, "momentum": 0.03}

    def read(runs: Runs) -> Values:
        adam, momentum = (readings.best(runs, name) for name in middles)
        return [
            readings.less(_early(runs, adam), _early(runs, momentum)),
            readings.less(
                readings.spread(readings.tests(runs, momentum)),
                readings.spread(readings.tests(runs, adam)),
            ),
        ]

    return Claim(
        "adam-fast-unstable",
        "Adam is faster than SGD with momentum, and less stable: its results differ more from seed "
        "to seed.",
        NEW, SCALE,
        "Each at seven learning rates over two decades; the best by median validation error; its "
        "validation error after a tenth of the steps; and how far its test error is from the "
        "median of all seeds. (The runs of momentum-generalises, trained again.)",
        ("adam", "momentum"), SEEDS,
        sweep({name: name + "(lr={lr})" for name in middles},
              {name: around(middle) for name, middle in middles.items()}),
        [
            Measure("points of validation error that Adam is below momentum after a tenth of the "
                    "run"),
            Measure("points that Adam's test errors are further from their median than momentum's"),
        ],
        read, lines(tuple(middles), SHARES, SHARE), tuned=tuple(middles),
    )  # fmt: skip


def _adafactor() -> Claim:
    names = ("adafactor", "adam")
    rates = {"adafactor": places(1e-3, 1.0, 7), "adam": places(3e-4, 3e-2, 7)}

    def read(runs: Runs) -> Values:
        at = {name: readings.best(runs, name) for name in names}
        one, other = (readings.tests(runs, at[name]) for name in names)
        saved = [b.state_bytes / a.state_bytes
                 for a, b in zip(runs[at["adafactor"]], runs[at["adam"]], strict=True)]  # fmt: skip
        return [readings.less(one, other), saved]

    return Claim(
        "adafactor-memory",
        "Adafactor ends near Adam with a small part of its state.",
        f"Shazeer & Stern 2018, arXiv:1804.04235, {HKUST}", SCALE,
        "Adafactor at seven learning rates over three decades, Adam at seven over two; the best by "
        "median validation error; test error in pairs of the same seed, and the bytes of the "
        "state.",
        names, SEEDS, sweep({name: name + "(lr={lr})" for name in names}, rates),
        [
            Measure("points of test error that Adafactor is below Adam, or less than 1 above", -1),
            Measure("how many times as large as Adafactor's state Adam's is", 4),
        ],
        read,
        lines(names, range(1, 8), "learning rate, number on its own grid", log_x=False),
        tuned=names,
    )  # fmt: skip


def _clip() -> Claim:
    names = ("clipped", "unclipped")
    rates = places(0.01, 1.0, 7)
    forms = {"clipped": "adafactor(lr={lr}, d=1.0)", "unclipped": "adafactor(lr={lr}, d=1e9)"}

    def read(runs: Runs) -> Values:
        mean = {name: readings.logs(readings.table(runs, name)).mean(axis=0) for name in names}
        return [readings.less(mean["clipped"], mean["unclipped"])]

    return Claim(
        "adafactor-clip-trains",
        "Clipping the size of its updates lets Adafactor train better at high learning rates "
        "without a warm-up.",
        "Shazeer & Stern 2018, arXiv:1804.04235, section 6", SCALE,
        "Adafactor with its clip (d=1) and without at seven learning rates from 0.01 to 1; the "
        "natural log of the validation error, mean over the rates, seed by seed.",
        names, SEEDS, sweep(forms, rates),
        [Measure("natural log of validation error, mean over learning rates, that the clip takes "
                 "away", base=math.e)],
        read, lines(names, rates),
    )  # fmt: skip


def _lion_ablations() -> Claim:
    names = ("lion", "β=0.9", "β=0.99")
    rates = places(3e-5, 1e-2, 7)
    forms = {
        "lion": "lion(lr={lr})",
        "β=0.9": "lion(lr={lr}, betas=(0.9, 0.9))",
        "β=0.99": "lion(lr={lr}, betas=(0.99, 0.99))",
    }

    def read(runs: Runs) -> Values:
        at = {name: readings.tests(runs, readings.best(runs, name)) for name in names}
        return [readings.less(at["lion"], at[name]) for name in names[1:]]

    return Claim(
        "lion-two-betas",
        "Lion's two betas, one for the step and one for its memory, are better than one for both.",
        f"Chen et al. 2023, arXiv:2302.06675, table 7, in {TAIWAN}", SCALE,
        "Lion and its ablations with β1 = β2 = 0.9 and 0.99, each at seven learning rates over "
        "two and a half decades; the best by median validation error; its test error in pairs of "
        "the same seed.",
        ("lion", "β=0.9"), SEEDS, sweep(forms, rates),
        [Measure(f"points of test error that Lion is below its ablation with one {name}")
         for name in names[1:]],
        read, lines(names, rates), tuned=names,
    )  # fmt: skip


def _radam() -> Claim:
    names = ("radam", "adam", "warm")
    forms = {
        "radam": "radam(lr={lr})",
        "adam": "adam(lr={lr})",
        "warm": f"adam(lr={{lr}}) @ warmup({STEPS // 10}, constant())",
    }

    def read(runs: Runs) -> Values:
        at = {name: readings.tests(runs, readings.best(runs, name)) for name in names}
        return [readings.less(at[name], at["adam"]) for name in ("warm", "radam")]

    return Claim(
        "radam-warmup",
        "RAdam does without a warm-up what Adam needs one for.",
        f"Liu et al. 2020, arXiv:1908.03265, in {TAIWAN}", SCALE,
        "RAdam, Adam, and Adam with a warm-up over a tenth of the steps, each at seven learning "
        "rates from 0.0003 to 0.03; the best by median validation error; its test error in pairs "
        "of the same seed. The warm-up has to help for there to be anything to replace. (First "
        "runs compared them at the same high learning rates, where RAdam is better in any case: "
        "its steps are about 0.3 of Adam's in a run as short as this.)",
        ("radam", "adam"), SEEDS, sweep(forms, around(3e-3)),
        [
            Measure("points of test error that a warm-up takes off Adam's"),
            Measure("points of test error that RAdam is below Adam without one"),
        ],
        read, lines(names, around(3e-3)), tuned=names,
    )  # fmt: skip


CLAIMS = (
    at_best(
        "momentum-generalises",
        "SGD with momentum generalises better than Adam: less test error, and a smaller gap "
        "between training and test.",
        NEW, {"momentum": 0.03, "adam": 3e-3}, fit=True,
        more={"points that the gap between test and training error is smaller with momentum": _gap},
        plan="Each at seven learning rates over two decades; the best by median validation error; "
        "its test error, and test error less training error, in pairs of the same seed. Where both "
        "learn all of the train part the gap is the test error again.",
    ),
    _fast_and_unstable(),
    at_best(
        "centralization-generalises",
        "Gradient centralization makes SGD with momentum generalise better.",
        f"Yong et al. 2020, arXiv:2004.01461, in {TAIWAN}",
        {"centralized": 0.03, "momentum": 0.03},
        forms={"centralized": "centralize(momentum(lr={lr}))", "momentum": "momentum(lr={lr})"},
    ),
    at_best(
        "adabound-generalises",
        "AdaBound, which moves from Adam to SGD, generalises better than Adam.",
        "Luo et al. 2019, arXiv:1902.09843", {"adabound": 3e-3, "adam": 3e-3},
    ),
    at_best(
        "diffgrad-near-a-minimum",
        "DiffGrad, which damps steps where gradients change little, ends better than Adam.",
        f"Dubey et al. 2020, arXiv:1909.11015, in {TAIWAN}", {"diffgrad": 3e-3, "adam": 3e-3},
    ),
    at_best(
        "rmsprop-does-not-stall",
        "RMSprop, whose learning rate does not die as Adagrad's does, ends lower.",
        TAIWAN, {"rmsprop": 3e-3, "adagrad": 0.05}, AUTOENCODER, "autoencoder", 640,
        metric="RMSE, grey levels", unit="grey levels of test RMSE",
    ),
    at_best(
        "adadelta-does-not-stall",
        "Adadelta, whose learning rate does not die as Adagrad's does, ends lower.",
        TAIWAN, {"adadelta": 3.0, "adagrad": 0.05}, AUTOENCODER, "autoencoder", 640,
        metric="RMSE, grey levels", unit="grey levels of test RMSE",
    ),
    at_best(
        "adagrad-rare",
        "Adagrad is especially good at features that occur rarely, which SGD moves too little.",
        f"Duchi, Hazan & Singer 2011, {HKUST}",
        {"adagrad": 0.1, "sgd": 3.0},
        "logistic regression on 1,000 binary features with Zipf's frequencies, 1,150 steps",
        "sparse", 1150,
    ),
    _adafactor(), _clip(), _lion_ablations(), _radam(),
)  # fmt: skip
