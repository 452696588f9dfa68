"""What every picture of a surface with runs on it is made from: heights, scales, words."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from matplotlib.lines import Line2D
from numpy.typing import NDArray

from glissade.draw import style
from glissade.draw.rates import Outcome
from glissade.draw.surfaces import Surface
from glissade.draw.trajectories import Run

Array = NDArray[np.float64]
GRID = 201


@dataclass(frozen=True)
class Scene:
    """A surface, the runs on it, and the command that draws them."""

    surface: Surface
    outcome: Outcome
    steps: int
    seed: int
    command: str

    @property
    def runs(self) -> tuple[Run, ...]:
        """In the order of the legend."""
        return self.outcome.runs

    @cached_property
    def grid(self) -> tuple[Array, Array, Array]:
        """x's, y's and values (y, x)."""
        xs, ys, values = self.surface.grid(GRID)
        return xs.numpy(), ys.numpy(), values.numpy()

    @cached_property
    def floor(self) -> float:
        """The lowest loss that is known of."""
        values = self.grid[2]
        low = float(values[np.isfinite(values)].min())
        return min(low, self.minimum)

    @cached_property
    def minimum(self) -> float:
        """The surface's lowest value, or infinite if nobody knows."""
        return min(
            (float(self.surface.value(_tensor(point))) for point in self.surface.minima),
            default=math.inf,
        )

    @property
    def loss_floor(self) -> float:
        """What a log axis of losses starts from."""
        return self.minimum if math.isfinite(self.minimum) else 0.0

    @cached_property
    def logarithmic(self) -> bool:
        """Whether the surface is so steep somewhere that its floor would look flat."""
        values = self.grid[2][np.isfinite(self.grid[2])] - self.floor
        middle = float(np.median(values))
        return self.surface.bounded and float(values.max()) > 8 * max(middle, 1e-300)

    @cached_property
    def log_loss(self) -> bool:
        """Whether losses, above the floor, go down by so much that they need a log axis."""
        if not self.surface.bounded:
            return False
        all_ = np.concatenate([run.losses for run in self.runs]) - self.loss_floor
        start = self.runs[0].losses[0] - self.loss_floor
        return bool(all_.min() > -1e-9 * start and all_.min() < 0.05 * start)

    def height(self, losses: Any) -> Array:
        """What is drawn upwards: the loss, or log₁₀(1 + loss above the floor)."""
        values = np.asarray(losses, dtype=np.float64)
        values = np.where(np.isfinite(values), values, np.nan)
        return np.log10(1 + np.maximum(values - self.floor, 0)) if self.logarithmic else values

    @property
    def height_label(self) -> str:
        """Of that axis."""
        if not self.logarithmic:
            return "loss"
        return "log₁₀(1 + loss)" if self.floor == 0 else f"log₁₀(1 + loss {_less(self.floor)})"

    def losses(self, run: Run) -> Array:
        """As the loss axis has them."""
        if not self.log_loss:
            return np.array(run.losses)
        start = run.losses[0] - self.loss_floor
        return np.maximum(np.array(run.losses) - self.loss_floor, 1e-12 * start)

    @property
    def loss_label(self) -> str:
        """Of that axis."""
        return f"loss {_less(self.loss_floor)}" if self.log_loss and self.loss_floor else "loss"

    def loss_range(self) -> tuple[float, float]:
        """Of the loss axis: what happens in the box, not how far off the others went."""
        values = np.concatenate([self._seen(run) for run in self.runs])
        low, high = float(values.min()), float(values.max())
        if self.log_loss:
            return max(self._lowest_level(), 1e-9 * high) / 2, high * 1.6
        pad = 0.05 * (high - low or 1.0)
        return low - pad, high + pad

    def _seen(self, run: Run) -> Array:
        inside = [self.surface.inside(*point) for point in run.points]
        if self.surface.bounded or not self.out(run):
            return self.losses(run)[inside]
        return self.losses(run)[: self.shown(run)]  # with the step that leaves downhill

    def _lowest_level(self) -> float:
        """Where the best of them stays; one that hits the minimum in passing stays out."""
        ends = [self.losses(run)[-max(len(run.losses) // 10, 1) :] for run in self.runs]
        return min(float(np.median(end)) for end in ends)

    def shown(self, run: Run) -> int:
        """How many of its points are drawn: once it has left the box for good, one more."""
        count = len(run.points)
        while count > 1 and not self.surface.inside(*run.points[count - 1]):
            count -= 1
        return min(count + 1, len(run.points))

    def out(self, run: Run) -> bool:
        """Whether it ended outside of the box."""
        return not self.surface.inside(*run.points[-1])

    def visible(self, run: Run) -> Array:
        """Its points, (n, 2), the last one on the edge if it leaves for good."""
        points = np.array(run.points[: self.shown(run)])
        if self.out(run):
            points[-1] = self._edge(points[-2], points[-1])
        return points

    def _edge(self, before: Array, after: Array) -> Array:
        """Where the way between two points leaves the box."""
        x0, x1, y0, y1 = self.surface.box
        share = 1.0
        for a, b, low, high in zip(before, after, (x0, y0), (x1, y1), strict=True):
            bound = min(max(b, low), high)
            if b != bound:
                share = min(share, (bound - a) / (b - a))
        crossing = before + share * (after - before)
        return np.clip(crossing, (x0, y0), (x1, y1))

    @property
    def title(self) -> str:
        """Of the picture."""
        return self.surface.title

    @property
    def subtitle(self) -> str:
        """The formula."""
        return f"f(x, y) = {self.surface.formula}" if self.surface.formula else ""

    def label(self, run: Run) -> str:
        """For the legend: who, at which learning rate, and what became of it."""
        rate = f", lr {run.lr:.3g}" if run.spec.lr is None else ""  # else the label has it
        return run.spec.label + rate + (", diverged" if run.diverged else "")

    def caption(self) -> list[str]:
        """Paragraphs, without the footer."""
        x, y = self.surface.start
        facts = [f"Start ({x:g}, {y:g}), {self.steps} steps in float64, {self._fates()}."]
        facts[0] = facts[0].replace("(-", "(−").replace(" -", " −")
        if self.surface.note:
            facts.append(f"{self.surface.note[0].upper()}{self.surface.note[1:]}.")
        if self.surface.noise:
            facts.append(
                f"Every gradient has noise of deviation {self.surface.noise:g} on each element, "
                f"the same for all (seed {self.seed}); the losses are without it."
            )
        if any(run.curvature for run in self.runs):
            facts.append("Sophia’s curvature is Hutchinson’s estimate, from seeded probes.")
        if any(run.slow for run in self.runs):
            facts.append("White circles: the slow weights of Lookahead.")
        paragraphs = [" ".join(facts), self.outcome.rule]
        if self.outcome.warnings:
            paragraphs.append("Note: " + "; ".join(self.outcome.warnings) + ".")
        return paragraphs

    def _fates(self) -> str:
        count = Counter(run.end for run in self.runs)
        total, gone = len(self.runs), sum(run.diverged for run in self.runs)
        words = f"{gone or 'none'} of {total} diverged{' (✕)' if gone else ''}"
        others = {end: n for end, n in count.items() if end not in ("", "left", "diverged")}
        words += "".join(f", {n} of these stopped: {end}" for end, n in others.items())
        away = [run for run in self.runs if self.out(run) and not run.diverged]
        down = sum(run.losses[-1] < run.losses[0] for run in away)
        if not self.surface.bounded:
            words += f"; {down or 'none'} left the picture downhill, where there is no lowest point"
        strayed = len(away) - (0 if self.surface.bounded else down)
        return words + (f"; {strayed} ended outside of the picture" if strayed else "")

    def handles(self) -> list[Line2D]:
        """Of the legend."""
        return [self._handle(i, run) for i, run in enumerate(self.runs)]

    def _handle(self, i: int, run: Run) -> Line2D:
        s = style.series(i)
        return Line2D(
            [], [], color=s.colour, linestyle=s.dash, marker=s.marker, linewidth=2, markersize=7,
            markeredgecolor="white", markeredgewidth=0.7, label=self.label(run),
        )  # fmt: skip


def _less(floor: float) -> str:
    return f"− {floor:.4g}" if floor > 0 else f"+ {-floor:.4g}"


def _tensor(point: tuple[float, float]) -> Any:
    import torch

    return torch.tensor(point, dtype=torch.float64)


def every(count: int, at_most: int) -> list[int]:
    """Indices 0 to count − 1, thinned evenly; the first and the last are among them."""
    if count <= at_most:
        return list(range(count))
    return [math.floor(i * (count - 1) / (at_most - 1)) for i in range(at_most)]
