"""Ensembles of the snapshots that warm restarts give: trained here, as no run of the study keeps
more than one model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch

from glissade import AdamW, schedules
from glissade.claims import readings
from glissade.claims.base import Claim, Measure
from glissade.claims.charts import Line, Lines
from glissade.claims.readings import Values
from glissade.claims.sweeps import MLP, places
from glissade.scheduler import Scheduler
from glissade.snapshots import Snapshots
from glissade.study import statistics
from glissade.study.tasks import Part as Examples
from glissade.study.tasks import digits

CYCLES, CYCLE = 5, 100  # and the steps of each
STEPS = CYCLES * CYCLE
RATES = places(1e-3, 3e-2, 5)
SEEDS = 12


@dataclass(frozen=True)
class Errors:
    """In percent, of one run: of the last snapshot alone, of the last two together, and so on."""

    validation: tuple[float, ...]
    test: tuple[float, ...]


Found = Mapping[str, Sequence[Errors]]  # by arm; each by seed


def trained(cycle: int, lr: float, seed: int) -> Errors:
    """AdamW for all steps, in cycles of so many."""
    task = digits()
    model = task.build(seed)
    optimizer = AdamW(model.parameters(), lr=lr)
    scheduler = Scheduler(optimizer, lr=schedules.warm_restarts(cycle))
    snapshots = Snapshots(model, scheduler)
    epochs = 1 + STEPS // task.steps(1, task.batch_size)
    batches = task.batches(seed, epochs, task.batch_size)
    for _, batch in zip(range(STEPS), batches, strict=False):
        optimizer.zero_grad()
        torch.autograd.backward(task.loss(model, batch))
        optimizer.step()
        scheduler.step()
        snapshots.step()

    def wrong(part: Examples) -> tuple[float, ...]:
        found = []
        for last in range(1, len(snapshots) + 1):
            shares = snapshots.predict(lambda m: m(part.inputs).softmax(1), last=last)
            found.append(100 * (shares.argmax(1) != part.labels).double().mean().item())
        return tuple(found)

    return Errors(wrong(task.validation), wrong(task.test))


def _compute() -> Found:
    found: dict[str, Sequence[Errors]] = {}
    for i, lr in enumerate(RATES):
        cycles = [trained(CYCLE, lr, seed) for seed in range(SEEDS)]
        found[f"ensemble|{i}"] = cycles
        found[f"last|{i}"] = [Errors(one.validation[:1], one.test[:1]) for one in cycles]
        found[f"long|{i}"] = [trained(STEPS, lr, seed) for seed in range(SEEDS)]
    return found


def _validation(found: Found, label: str) -> list[float]:
    return [one.validation[-1] for one in found[label]]


def _best(found: Found, name: str) -> Sequence[Errors]:
    """At the learning rate that is best for all of a name's snapshots together."""
    return found[readings.best(found, name, _validation)]


OTHERS = {"last": "the last snapshot", "long": "one long cosine"}


def _read(found: Found) -> Values:
    test = {name: [one.test[-1] for one in _best(found, name)] for name in ("ensemble", *OTHERS)}
    return [readings.less(test["ensemble"], test[name]) for name in OTHERS]


def _chart(found: Found) -> Lines:
    drawn = []
    for name, label in (("ensemble", "snapshots"), ("long", "one cosine")):
        each = [one.test for one in _best(found, name)]
        middle = [statistics.median(values) for values in zip(*each, strict=True)]
        if len(middle) == 1:
            middle *= CYCLES
        drawn.append(Line(label, range(1, len(middle) + 1), middle))
    return Lines("snapshots in the ensemble, the last ones", "test error, %", drawn, log_x=False)


CLAIMS = (
    Claim(
        "snapshot-ensembles",
        "An ensemble of the snapshots at the ends of cycles is better than the last snapshot, and "
        "than one model of one long cosine, for the price of one training.",
        "Loshchilov & Hutter 2017, arXiv:1608.03983, as the HKUST lecture tells it; Huang et al. "
        "2017, arXiv:1704.00109, for the one cosine",
        f"{MLP}, {CYCLES} cycles of {CYCLE} steps",
        f"AdamW in {CYCLES} cycles and in one, each at five learning rates from {RATES[0]:g} to "
        f"{RATES[-1]:g}; the best by median "
        "validation error, of the ensemble, of the last snapshot, of the one cosine; test error "
        "in pairs of the same seed.",
        ("ensemble", "last"), SEEDS, {},
        [Measure(f"points of test error that the ensemble is below {what}")
         for what in OTHERS.values()],
        _read, _chart, _compute, ("ensemble", *OTHERS), _validation,
    ),
)  # fmt: skip
