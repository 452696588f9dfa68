"""Runs made up for every claim that trains, in which it is clearly so."""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from glissade.claims import CLAIMS, batches, decay, ensembles, growth, lab, schedules, variants
from glissade.claims.base import Claim
from glissade.spec import specs
from glissade.study.design import RunKey
from tests.study import simulated

Values = dict[str, Any]  # of a run, in place of those that its quality gives


@functools.cache
def computed(name: str) -> Mapping[str, Any]:
    """What a claim without training computes, once for all tests."""
    compute = CLAIMS[name].compute
    assert compute is not None
    return compute()


@functools.cache
def made(name: str) -> Mapping[str, Any]:
    """A claim's runs by arm, as `Claim.read` takes them."""
    if name == "snapshot-ensembles":
        return _snapshots()
    claim = CLAIMS[name]
    if claim.compute is not None:
        return computed(name)
    registered = lab.Registered(claim)
    rng = np.random.default_rng(0)
    results = []
    for key in registered.keys:
        value, more = OWN.get(name, _plain)(claim, key, rng)
        result = simulated.result(registered.job(key), value)
        results.append(dataclasses.replace(result, **more))
    return lab.by_arm(results)


Maker = Callable[[Claim, RunKey, np.random.Generator], tuple[float, Values]]


def _plain(claim: Claim, key: RunKey, rng: np.random.Generator) -> tuple[float, Values]:
    """The first of the two ends best, the second worst, others between, each in its middle."""
    name = key.arm.partition("|")[0]
    level = {claim.between[0]: 2.0, claim.between[1]: 8.0}.get(name, 5.0)
    return level + 0.3 * rng.random() + _outside(claim, key), {"fit": 0.0}


def _outside(claim: Claim, key: RunKey) -> float:
    """What is worse at the ends of a range."""
    family = key.arm.rpartition("|")[0]
    own = [label for label in claim.arms if label.rpartition("|")[0] == family]
    return 1.0 if key.arm in (own[0], own[-1]) else 0.0


def _courses(steps: int, values: Sequence[float], seconds: float = 1.0) -> Values:
    """Evaluated evenly, in so many seconds."""
    count = len(values)
    course = tuple(
        (steps * (i + 1) // count, seconds * (i + 1) / count, float(value))
        for i, value in enumerate(values)
    )
    return {"validation": course}


def _memory(claim: Claim, key: RunKey, rng: np.random.Generator) -> tuple[float, Values]:
    value, _ = _plain(claim, key, rng)
    return value, {"state_bytes": 10 if "factor" in key.arm else 100}


def _fast_unstable(claim: Claim, key: RunKey, rng: np.random.Generator) -> tuple[float, Values]:
    adam = key.arm.startswith("adam")
    value = 5 + (3 if adam else 0.1) * (1 if key.seed % 2 else -1) + _outside(claim, key)
    early = (4.0 if adam else 12.0) + 0.1 * rng.random()
    return value, _courses(400, [early] * 10 + [value] * 30)


def _steady(claim: Claim, key: RunKey, rng: np.random.Generator) -> tuple[float, Values]:
    far = 0.1 if key.arm.startswith("lookahead") else 2.0
    value = 5 + far * (1 + 0.1 * rng.random()) * (1 if key.seed % 2 else -1)
    value += _outside(claim, key)
    return value, _courses(400, [value + far * (i % 2) for i in range(40)])


def _robust(claim: Claim, key: RunKey, rng: np.random.Generator) -> tuple[float, Values]:
    name, _, place = key.arm.partition("|")
    return 3 + (3 * int(place) if name == "rate" else 0) + 0.1 * rng.random(), {}


def _anytime(claim: Claim, key: RunKey, rng: np.random.Generator) -> tuple[float, Values]:
    restarts = key.arm.startswith("restarts")
    value = (2.0 if restarts else 8.0) + 0.3 * rng.random() + _outside(claim, key)
    count = schedules.WHOLE // schedules.EVERY
    return value, _courses(schedules.WHOLE, [value + 1] * (count - 1) + [value])


def _generalises(claim: Claim, key: RunKey, rng: np.random.Generator) -> tuple[float, Values]:
    name, rate, decay = key.arm.split("|")
    test = (2.0 if name == "adamw" else 8.0) + 0.3 * rng.random()
    test += 0.5 * (abs(int(rate) - 2) + abs(int(decay) - 2))
    return test, {"losses": (0.01 * 2 ** float(rate),) * 200}


def _map(claim: Claim, key: RunKey, rng: np.random.Generator) -> tuple[float, Values]:
    """Rows plus columns for the one, a diagonal valley for the other."""
    name, i, j = key.arm.split("|")
    row, column = int(i) - 2, int(j) - 2
    high = row**2 + column**2 if name == claim.between[0] else (row + column) ** 2
    return 2 * math.exp(0.2 * high) + 0.01 * rng.random(), {}


def _bowl(claim: Claim, key: RunKey, least: float, setting: str) -> float:
    """Two percent at a setting, more on either side."""
    (spec,) = specs(claim.arms[key.arm].optimizer)
    value = spec.lr if setting == "lr" else spec.hyper[setting]
    assert value is not None
    return 2 + math.log10(value / least) ** 2


def _updates(claim: Claim, key: RunKey, rng: np.random.Generator) -> tuple[float, Values]:
    updates = int(key.arm.partition("|")[0])
    least = 2.0 * (decay.BUDGETS[0] / updates) ** 0.5
    return _bowl(claim, key, least, "weight_decay"), {}


def _growing(power: float, smallest: float) -> Maker:
    def make(claim: Claim, key: RunKey, rng: np.random.Generator) -> tuple[float, Values]:
        batch = int(key.arm.partition("|")[0])
        return _bowl(claim, key, smallest * (batch / growth.GROWING[0]) ** power, "lr"), {}

    return make


def _large(claim: Claim, key: RunKey, rng: np.random.Generator) -> tuple[float, Values]:
    name, batch, _ = key.arm.split("|")
    level = 5.0 if int(batch) == batches.SMALL else 2.0 if name == claim.between[0] else 8.0
    return level + 0.3 * rng.random() + _outside(claim, key), {}


def _lion(claim: Claim, key: RunKey, rng: np.random.Generator) -> tuple[float, Values]:
    name, batch, _ = key.arm.split("|")
    level = {16: 8.0, 64: 5.0, 256: 2.0}[int(batch)] if name == "lion" else 5.0
    return level + 0.3 * rng.random() + _outside(claim, key), {}


def _three(claim: Claim, key: RunKey, rng: np.random.Generator) -> tuple[float, Values]:
    """At the goal after a share of the run: of mini-batches soon, by examples and by seconds."""
    name = key.arm.partition("|")[0]
    steps = variants.WAYS[name][1]
    share, seconds = {"mini": (0.1, 0.1), "batch": (0.5, 1.0), "stochastic": (0.5, 10.0)}[name]
    share *= 1.5 if _outside(claim, key) else 1.0
    late = [5 + (4 * (i % 2) if name == "stochastic" else 0.1 * rng.random()) for i in range(40)]
    course = [50.0 if (i + 1) / 40 < share else late[i] for i in range(40)]
    return course[-1], _courses(steps, course, seconds)


def _sophia(claim: Claim, key: RunKey, rng: np.random.Generator) -> tuple[float, Values]:
    last = 2.0 if key.arm.startswith("sophia") else 4.0
    last += 0.1 * rng.random() + 0.5 * _outside(claim, key)
    return last, {"losses": tuple(float(x) for x in np.linspace(6, last, 120))}


def _snapshots() -> Mapping[str, Sequence[ensembles.Errors]]:
    rng = np.random.default_rng(0)

    def errors(count: int, last: float, i: int) -> ensembles.Errors:
        last += 0.0 if 0 < i < len(ensembles.RATES) - 1 else 1.0
        each = tuple(last + (count - i) * 0.5 + 0.1 * rng.random() for i in range(1, count + 1))
        return ensembles.Errors(each, each)

    return {
        f"{name}|{i}": [errors(count, last, i) for _ in range(ensembles.SEEDS)]
        for name, count, last in (("ensemble", 5, 2.0), ("last", 1, 6.0), ("long", 1, 4.0))
        for i in range(len(ensembles.RATES))
    }


OWN: Mapping[str, Maker] = {
    "adafactor-memory": _memory,
    "adam-fast-unstable": _fast_unstable,
    "lookahead-steadies": _steady,
    "lookahead-robust": _robust,
    "restarts-anytime": _anytime,
    "adamw-generalises": _generalises,
    "adamw-separates": _map,
    "sgdw-separates": _map,
    "decay-and-updates": _updates,
    "rate-and-batch-sgd": _growing(1.0, 0.02),
    "rate-and-batch-adam": _growing(0.5, 0.002),
    "lamb-large-batch": _large,
    "lars-large-batch": _large,
    "lion-batch": _lion,
    "mini-batches": _three,
    "sophia-passes": _sophia,
}
TRAINED = [name for name, claim in CLAIMS.items() if claim.compute is None]
