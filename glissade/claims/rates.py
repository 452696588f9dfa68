"""Sayings that a sweep over learning rates puts to the test: each optimizer at its best."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from types import MappingProxyType

import numpy as np

from glissade.claims import base
from glissade.claims.base import Chart, Claim, Part, Runs, Setup

STEPS = 400
SCALE = f"handwritten digits, MLP of 17 thousand parameters, {STEPS} steps"
GOOD = 1.5  # times the best error of either: a learning rate is good up to there


def _rates(low: float, high: float, count: int) -> list[float]:
    return [float(f"{x:.3g}") for x in np.geomspace(low, high, count)]


def _sweep(
    forms: dict[str, str], rates: list[float], task: str = "digits", steps: int = STEPS,
    batch: int | None = None,
) -> dict[str, Setup]:  # fmt: skip
    """Each optimizer, written with ``{lr}`` in it, at each learning rate."""
    return {
        f"{name}|{i}": Setup(task, text.format(lr=lr), steps, batch)
        for name, text in forms.items()
        for i, lr in enumerate(rates)
    }


def _chart(names: tuple[str, ...], rates: list[float], y: str) -> Callable[[Runs], Chart]:
    return lambda runs: Chart("learning rate", y, base.by_setting(runs, names, rates), log_y=True)


def _width(runs: Runs, name: str, names: tuple[str, ...], decades: float) -> list[float]:
    """Decades of learning rates, by seed, at which a run is nearly as good as the best of all."""
    every = [np.array([base.validations(runs, x) for x in base.family(runs, n)]) for n in names]
    least = np.min(np.concatenate(every), axis=0)
    own = np.array([base.validations(runs, label) for label in base.family(runs, name)])
    step = decades / (len(own) - 1)
    return [float(x) for x in step * (own <= GOOD * least).sum(axis=0)]


def _schedules() -> Claim:
    names = ("cosine", "step", "fixed")
    rates = _rates(1e-3, 3e-2, 5)
    forms = {
        "cosine": f"adamw(lr={{lr}}) @ cosine({STEPS})",
        "step": f"adamw(lr={{lr}}) @ step_drop({STEPS // 3})",
        "fixed": "adamw(lr={lr})",
    }

    def read(runs: Runs) -> list[Part]:
        at = {name: base.tests(runs, base.best(runs, name)) for name in names}
        return [
            Part("points of test error that cosine is below step drop",
                 base.less(at["cosine"], at["step"])),
            Part("points of test error that step drop is below a fixed rate",
                 base.less(at["step"], at["fixed"])),
        ]  # fmt: skip

    return Claim(
        "cosine-step-fixed",
        "A learning rate that falls like a cosine ends better than one that drops in steps, and "
        "that better than a fixed one.",
        "Loshchilov & Hutter 2019, arXiv:1711.05101, as the HKUST lecture tells it", SCALE,
        "AdamW with each schedule at five learning rates; the best by median validation error; its "
        "test error in pairs of the same seed.",
        ("cosine", "fixed"), 10, _sweep(forms, rates), read,
        _chart(names, rates, "validation error, %"), tuned=names,
    )  # fmt: skip


def _lookahead() -> Claim:
    names = ("lookahead", "sgd")
    rates = _rates(0.01, 3.0, 9)
    forms = {
        "lookahead": "lookahead(momentum(lr={lr}), k=5, alpha=0.5)",
        "sgd": "momentum(lr={lr})",
    }

    def read(runs: Runs) -> list[Part]:
        decades = math.log10(rates[-1] / rates[0])
        wide = {name: _width(runs, name, names, decades) for name in names}
        return [
            Part("decades of good learning rates more with Lookahead",
                 base.less(wide["sgd"], wide["lookahead"])),
        ]  # fmt: skip

    return Claim(
        "lookahead-widens",
        "Lookahead around SGD with momentum makes more learning rates good ones.",
        "Zhang et al. 2019, arXiv:1907.08610, as the Korean lecture tells it", SCALE,
        f"Nine learning rates over 2.5 decades; a run is good if its validation error is at most "
        f"{GOOD} times the least of that seed by either; how many decades are good, seed by seed.",
        names, 10, _sweep(forms, rates), read, _chart(names, rates, "validation error, %"),
    )  # fmt: skip


def _radam() -> Claim:
    names = ("radam", "adam", "warm")
    rates = _rates(3e-3, 0.1, 5)
    forms = {
        "radam": "radam(lr={lr})",
        "adam": "adam(lr={lr})",
        "warm": f"adam(lr={{lr}}) @ warmup({STEPS // 10}, constant())",
    }

    def read(runs: Runs) -> list[Part]:
        mean = {
            name: np.mean(
                [
                    np.log(np.minimum(base.validations(runs, x), 100))
                    for x in base.family(runs, name)
                ],
                axis=0,
            )
            for name in names
        }
        return [
            Part("log of validation error, mean over learning rates, that RAdam is below Adam",
                 base.less(mean["radam"], mean["adam"])),
            Part("log of validation error, mean over learning rates, that a warm-up brings Adam",
                 base.less(mean["warm"], mean["adam"])),
        ]  # fmt: skip

    return Claim(
        "radam-warmup",
        "RAdam without a warm-up does at high learning rates what Adam needs a warm-up for.",
        "Liu et al. 2020, arXiv:1908.03265, as the lectures on new optimizers tell it", SCALE,
        "Adam, RAdam, and Adam with a warm-up over a tenth of the steps at five high learning "
        "rates; the logarithm of the validation error, mean over the rates, seed by seed. RAdam "
        "against Adam, and the warm-up, which has to help for there to be anything to replace: "
        "that part was added after a first run.",
        ("radam", "adam"), 10, _sweep(forms, rates), read,
        _chart(names, rates, "validation error, %"),
    )  # fmt: skip


def _at_best(
    name: str,
    saying: str,
    source: str,
    scale: str,
    middles: dict[str, float],
    task: str = "digits",
    steps: int = STEPS,
    batch: int | None = None,
    metric: str = "points of test error",
    forms: Mapping[str, str] = MappingProxyType({}),
    more: Callable[[Runs, str, str], list[Part]] = lambda runs, one, other: [],
    also: str = "",
    note: str = "",
) -> Claim:
    """Two optimizers, each at seven learning rates over two decades round its middle: at the best
    by validation the first has less test error than the second. `forms` writes one whose name is
    not enough, with ``{lr}`` in it."""
    one, other = middles
    shares = [float(x) for x in np.geomspace(0.1, 10, 7)]
    arms = {
        f"{of}|{i}": Setup(
            task,
            forms.get(of, of + "(lr={lr})").format(lr=float(f"{middle * share:.3g}")),
            steps,
            batch,
        )
        for of, middle in middles.items()
        for i, share in enumerate(shares)
    }

    def read(runs: Runs) -> list[Part]:
        best = {of: base.best(runs, of) for of in middles}
        each = base.less(base.tests(runs, best[one]), base.tests(runs, best[other]))
        what = f"{metric} that {one} is below {other}"
        return [Part(what, each), *more(runs, best[one], best[other])]

    return Claim(
        name, saying, source, scale,
        "Each at seven learning rates over two decades; the best by median validation error; its "
        f"test error{also} in pairs of the same seed.{note}",
        (one, other), 10, arms, read,
        lambda runs: Chart("learning rate, times the middle of its range",
                           "validation error, %" if "error" in metric else "validation RMSE",
                           base.by_setting(runs, (one, other), shares), log_y=True),
        tuned=(one, other),
    )  # fmt: skip


def _early(runs: Runs, one: str, other: str) -> list[Part]:
    """Whether the other one is ahead at the beginning."""
    at = {}
    for label in (one, other):
        courses = [
            [v for step, _, v in run.validation if step <= STEPS // 10] for run in runs[label]
        ]
        at[label] = [course[-1] if course else math.inf for course in courses]
    what = f"points of validation error that {_name(other)} is below {_name(one)} after a tenth"
    return [Part(what, base.less(at[other], at[one]))]


def _name(label: str) -> str:
    return label.partition("|")[0]


LARGE = (
    "handwritten digits, MLP of 17 thousand parameters, batches of 512 (half of the train part), "
    "40 steps"
)
AT_BEST = (
    _at_best(
        "momentum-generalises",
        "SGD with momentum generalises better in the end; Adam is faster at the beginning.",
        "the lecture on new optimizers for deep learning (Adam against SGDM)", SCALE,
        {"momentum": 0.03, "adam": 3e-3}, more=_early,
        also=", and its validation error after a tenth of the steps,",
    ),
    _at_best(
        "lamb-large-batch",
        "LAMB keeps its accuracy at large batches, where Adam loses some.",
        "You et al. 2020, arXiv:1904.00962, as the lectures tell it",
        LARGE, {"lamb": 0.02, "adam": 5e-3}, steps=40, batch=512,
    ),
    _at_best(
        "lars-large-batch",
        "LARS keeps its accuracy at large batches, where SGD with momentum loses some.",
        "You, Gitman & Ginsburg 2017, arXiv:1708.03888, as the lectures tell it",
        LARGE, {"lars": 0.02, "momentum": 0.1}, steps=40, batch=512,
        note=" LARS' range was mended after a first run, in which it lay 500 times too high.",
    ),
    _at_best(
        "centralization-generalises",
        "Gradient centralization makes SGD with momentum generalise better.",
        "Yong et al. 2020, arXiv:2004.01461", SCALE,
        {"centralized": 0.03, "momentum": 0.03},
        forms={"centralized": "centralize(momentum(lr={lr}))"},
    ),
    _at_best(
        "adabound-generalises",
        "AdaBound, which moves from Adam to SGD, generalises better than Adam.",
        "Luo et al. 2019, arXiv:1902.09843", SCALE, {"adabound": 3e-3, "adam": 3e-3},
    ),
    _at_best(
        "diffgrad-near-a-minimum",
        "diffGrad, which damps steps where gradients change little, ends better than Adam.",
        "Dubey et al. 2020, arXiv:1909.11015", SCALE, {"diffgrad": 3e-3, "adam": 3e-3},
    ),
    _at_best(
        "rmsprop-does-not-stall",
        "RMSProp, whose learning rate does not die as AdaGrad's does, ends lower.",
        "the lecture on optimizers for deep learning (AdaGrad, RMSprop, AdaDelta)",
        "an autoencoder of handwritten digits, 64-48-24-6 and back, 640 steps",
        {"rmsprop": 3e-3, "adagrad": 0.05}, task="autoencoder", steps=640,
        metric="grey levels of test RMSE",
    ),
    _at_best(
        "adagrad-rare",
        "AdaGrad is especially good at features that occur rarely, which SGD moves too little.",
        "Duchi, Hazan & Singer 2011, as the HKUST lecture tells it",
        "logistic regression on 1,000 binary features with Zipf's frequencies, 1,150 steps",
        {"adagrad": 0.1, "sgd": 3.0}, task="sparse", steps=1150,
    ),
)  # fmt: skip


def _adafactor() -> Claim:
    names = ("adafactor", "adam")
    arms = {
        f"{name}|{i}": Setup("digits", f"{name}(lr={lr})", STEPS)
        for name, rates in (("adafactor", _rates(1e-3, 1.0, 7)), ("adam", _rates(3e-4, 3e-2, 7)))
        for i, lr in enumerate(rates)
    }

    def read(runs: Runs) -> list[Part]:
        at = {name: base.best(runs, name) for name in names}
        one, other = (base.tests(runs, at[name]) for name in names)
        saved = [b.state_bytes / a.state_bytes
                 for a, b in zip(runs[at["adafactor"]], runs[at["adam"]], strict=True)]  # fmt: skip
        return [
            Part("points of test error that Adafactor is behind Adam by less than 1",
                 base.less(one, other), threshold=-1.0),
            Part("times that Adam's state is Adafactor's", tuple(saved), threshold=4.0),
        ]  # fmt: skip

    return Claim(
        "adafactor-memory",
        "Adafactor ends near Adam with a small part of its state.",
        "Shazeer & Stern 2018, arXiv:1804.04235, as the HKUST lecture tells it", SCALE,
        "Each at seven learning rates; the best by median validation error; test error in pairs of "
        "the same seed, and the bytes of the state.",
        names, 10, arms, read,
        lambda runs: Chart("learning rate, number on its own grid", "validation error, %",
                           base.by_setting(runs, names, range(1, 8)), log_x=False, log_y=True),
        tuned=names,
    )  # fmt: skip


CLAIMS = (_schedules(), _lookahead(), _radam(), _adafactor(), *AT_BEST)
