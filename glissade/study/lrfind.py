"""The range test: the learning rate grows from step to step, and the loss says where it helps.

Smith 2017, arXiv:1506.01186, section 3.3; with several seeds, so that noise can be told from
slope, and a refusal to suggest where it cannot.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from torch import Tensor, nn

from glissade.digits import rounded
from glissade.scheduler import Scheduler
from glissade.schedules import exponential
from glissade.spec import Spec

WORST = 4.0  # times the first loss above the least: a run is stopped there
FIRST = 10  # steps, at rates too low to matter
AT_ONCE = 100.0  # times the first loss, before there are so many
SMOOTH = 0.05  # of the whole test, in steps: the width over which a loss is averaged
SPREAD = 10.0  # seeds whose suggestions differ by more times than this do not agree
CLEAR = 3.0  # times its noise that a loss has to fall


class Problem(Protocol):
    """What is trained: a model, and the loss of its mini-batch at a step."""

    @property
    def model(self) -> nn.Module: ...
    @property
    def loss(self) -> Callable[[nn.Module, int | None], Tensor]: ...


@dataclass(frozen=True)
class Sweep:
    """One seed's losses, each of the mini-batch before its step."""

    seed: int
    rates: np.ndarray
    losses: np.ndarray
    stopped: bool  # because the loss blew up

    @property
    def smooth(self) -> np.ndarray:
        """The losses averaged over their neighbours, with bell-shaped weights."""
        return smoothed(self.losses, max(1.0, SMOOTH * len(self.rates)))


@dataclass(frozen=True)
class Found:
    """What the sweeps say together."""

    rates: np.ndarray  # as far as every seed went
    median: np.ndarray  # of the seeds' smooth losses
    each: tuple[float, ...]  # the steepest place of each seed's own loss
    suggestion: float | None
    reason: str
    lowest: float  # the rate at which the median is least


def sweep(
    load: Callable[[int], Problem],
    spec: Spec,
    seed: int,
    low: float,
    high: float,
    steps: int,
    told: Callable[[], None],
) -> Sweep:
    """One range test of the model that `load` makes for a seed; the global generator is kept."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        problem = load(seed)
        params = [p for p in problem.model.parameters() if p.requires_grad]
        optimizer = spec.optimizer(params, lr=low)
        growth = exponential((high / low) ** (1 / max(1, steps - 1)))
        scheduler = Scheduler(optimizer, lr=growth)
        rates: list[float] = []
        losses: list[float] = []
        stopped = False
        for step in range(steps):
            optimizer.zero_grad()
            loss = problem.loss(problem.model, step)
            value = loss.item()
            if not math.isfinite(value) or _blown_up(losses, value):
                stopped = True
                break
            rates.append(float(optimizer.param_groups[0]["lr"]))
            losses.append(value)
            torch.autograd.backward(loss)
            optimizer.step()
            scheduler.step()
            told()
    return Sweep(seed, np.array(rates), np.array(losses), stopped)


def _blown_up(losses: Sequence[float], value: float) -> bool:
    """Whether a loss is far above the first ones, measured by how far they came down."""
    if len(losses) < FIRST:
        return bool(losses) and value > AT_ONCE * abs(losses[0])
    # Mini-batches differ: what the first ones vary by is not yet blowing up.
    first, least = float(np.mean(losses[:FIRST])), float(np.min(losses))
    scale = max(first - least, 0.1 * abs(first), float(np.std(losses[:FIRST])), 1e-12)
    return value > first + WORST * scale


def smoothed(values: np.ndarray, width: float) -> np.ndarray:
    """Means over neighbours with Gaussian weights, fewer at the ends."""
    places = np.arange(len(values))
    weights = np.exp(-0.5 * ((places[:, None] - places[None, :]) / width) ** 2)
    return np.asarray(weights @ values / weights.sum(1))


def steepest(rates: np.ndarray, smooth: np.ndarray) -> float:
    """The rate at which a loss falls fastest for each factor in the rate, before its minimum."""
    end = max(3, int(np.argmin(smooth)) + 1)
    slope = np.gradient(smooth[:end], np.log(rates[:end]))
    return float(rates[int(np.argmin(slope))])


def conclude(sweeps: Sequence[Sweep]) -> Found:
    """A suggestion with its reason; none, and why, where the loss does not say."""
    length = min(len(one.rates) for one in sweeps)
    if length < 10:
        raise ValueError(
            f"the loss blew up within {length} steps: begin at a lower learning rate (--range)"
        )
    rates = sweeps[0].rates[:length]
    smooth = np.array([one.smooth[:length] for one in sweeps])
    median = np.median(smooth, axis=0)
    lowest = int(np.argmin(median))
    each = tuple(steepest(rates, line) for line in smooth)
    fall = float(median[0] - median[lowest])
    noise = float(np.median([_noise(one) for one in sweeps]))
    at = float(np.median(each))
    why = None
    if fall <= 1e-9 * abs(float(median[0])):
        why = "the loss falls at no learning rate: does loss(model, step) use the model it is given"
    elif fall < CLEAR * noise:
        why = (
            f"the loss is too noisy: it falls by {fall:.3g}, and its mean over neighbouring steps "
            f"is uncertain by {noise:.3g}. Take larger batches or more steps"
        )
    elif max(each) > SPREAD * min(each):
        why = (
            f"the seeds do not agree: each alone would say {_rates(each)}. Take more seeds, more "
            "steps or larger batches"
        )
    elif lowest == length - 1 and not any(one.stopped for one in sweeps):
        why = (
            f"the loss still falls at the highest rate, {rates[-1]:.3g}: go further (--range)"
            if at > rates[int(0.9 * length)]
            else None
        )
    if why is not None:
        return Found(rates, median, each, None, why, float(rates[lowest]))
    after = "and still falling" if lowest == length - 1 else "and rises from there on"
    reason = (
        f"there the loss falls fastest (the seeds alone say {_rates(each)}); it is least at "
        f"{rates[lowest]:.2g}, {after}"
    )
    best = rounded(at, float(rates[0]), float(rates[-1]), 2)
    return Found(rates, median, each, best, reason, float(rates[lowest]))


def _noise(one: Sweep) -> float:
    """How uncertain the smooth loss is: the scatter round it over the root of what it averages."""
    width = max(1.0, SMOOTH * len(one.rates))
    early = slice(0, max(10, int(np.argmin(one.smooth)) + 1))
    scatter = float(np.std(one.losses[early] - one.smooth[early]))
    return scatter / math.sqrt(2 * math.sqrt(math.pi) * width)


def _rates(values: Sequence[float]) -> str:
    return ", ".join(f"{x:.2g}" for x in sorted(values))
