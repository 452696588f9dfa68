"""`glissade draw model`: the loss around a trained model, in planes that say something.

Two kinds. The principal plane of the optimizers' own paths, by PCA of their differences from the
best end point; and two random directions, each filter's as long as the filter (Li et al. 2018,
arXiv:1712.09913), around each optimizer's end point.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
import typer
from numpy.typing import NDArray
from torch import Tensor

from glissade.draw import desk
from glissade.draw.desk import Tick
from glissade.draw.model import BUILT_IN, Problem, kept, load, put, put_buffers
from glissade.draw.training import (
    Trained,
    chosen,
    one_thread,
    rate,
    rehearse,
    rule_of,
    snapshots,
    train,
)
from glissade.spec import Spec

DIRECTIONS = ("pca", "filter", "both")
MOST = 9  # optimizers
COLUMNS = 2**20  # that are made float64 at once
EMPTY = 1e-12  # a direction with so small a share of the variance is rounding

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Plane:
    """Two orthonormal directions through a point, and where the paths are in it."""

    origin: Tensor
    directions: Tensor  # (2, parameters)
    shares: tuple[float, float]  # of the variance: of all squared distances from the origin
    places: tuple[Array, ...]  # of each path's points, (n, 2)
    off: tuple[float, ...]  # of each path's own squared distances, what lies off the plane

    @property
    def residual(self) -> float:
        """The share of the variance that the plane does not explain."""
        return max(0.0, 1 - sum(self.shares))


def principal(paths: Sequence[Tensor], origin: Tensor, counted: Sequence[bool]) -> Plane:
    """The plane through `origin` that is nearest to the points of the paths that are counted.

    By the Gram matrix of the differences, points × points: nothing is ever as large as parameters
    × parameters.
    """
    rows = [path for path, yes in zip(paths, counted, strict=True) if yes]
    count = sum(map(len, rows))
    gram = torch.zeros(count, count, dtype=torch.float64)
    for at in _pieces(origin):
        apart = _apart(rows, origin, at)
        gram += apart @ apart.T
    values, vectors = torch.linalg.eigh(gram)
    total = float(values.clamp(min=0).sum())
    if total == 0:
        raise ValueError("no optimizer moved: there is no path to draw a plane along")
    directions = torch.zeros(2, len(origin), dtype=torch.float64)
    shares = []
    for k in (0, 1):
        value, vector = float(values[-1 - k]), vectors[:, -1 - k]
        shares.append(max(value, 0.0) / total)
        if shares[k] > EMPTY:
            vector = vector * torch.sign(vector[vector.abs().argmax()])  # eigh leaves it open
            for at in _pieces(origin):
                apart = _apart(rows, origin, at)
                directions[k, at] = vector @ apart / value**0.5
        else:  # all points are on one line
            shares[k] = 0.0
            directions[k] = _across(directions[0])
    placed = [_placed(path, origin, directions) for path in paths]
    return Plane(
        origin,
        directions,
        (shares[0], shares[1]),
        tuple(place for place, _ in placed),
        tuple(off for _, off in placed),
    )


def _apart(rows: Sequence[Tensor], origin: Tensor, at: slice) -> Tensor:
    """The differences from the origin, of some of the parameters."""
    return torch.cat([row[:, at].double() for row in rows]) - origin[at].double()


def _pieces(row: Tensor) -> list[slice]:
    return [slice(at, at + COLUMNS) for at in range(0, len(row), COLUMNS)]


def _across(first: Tensor) -> Tensor:
    """Some direction at right angles to another."""
    generator = torch.Generator().manual_seed(0)
    other = torch.randn(len(first), dtype=torch.float64, generator=generator)
    other -= (other @ first) * first
    other /= other.norm()
    return other


def _placed(path: Tensor, origin: Tensor, directions: Tensor) -> tuple[Array, float]:
    """A path's points in the plane, and the share of their squared distances that is off it."""
    places = torch.zeros(len(path), 2, dtype=torch.float64)
    total = 0.0
    for at in _pieces(origin):
        apart = _apart([path], origin, at)
        places += apart @ directions[:, at].T
        total += float((apart * apart).sum())
    off = max(0.0, 1 - float((places * places).sum()) / total) if total else 0.0
    return places.numpy(), off


def filter_normalised(params: Sequence[Tensor], seed: int) -> Tensor:
    """Two random directions (2, parameters), each filter's part as long as the filter itself.

    A filter is what lies under one index of the first dimension. Biases and the scales and shifts
    of normalisations, which have one dimension, stay as they are: 0.
    """
    generator = torch.Generator().manual_seed(seed)
    rows = []
    for _ in (0, 1):
        parts = []
        for p in params:
            noise = torch.randn(p.shape, dtype=torch.float64, generator=generator)
            if p.ndim < 2:
                parts.append(torch.zeros(p.numel(), dtype=torch.float64))
                continue
            noise = noise.reshape(len(p), -1)
            sizes = p.detach().to("cpu", torch.float64).reshape(len(p), -1).norm(dim=1)
            scale = sizes / noise.norm(dim=1).clamp(min=1e-300)
            parts.append((noise * scale[:, None]).reshape(-1))
        rows.append(torch.cat(parts))
    return torch.stack(rows)


def heights(
    problem: Problem,
    origin: Tensor,
    directions: Tensor,
    xs: Array,
    ys: Array,
    buffers: Sequence[Tensor],
    tick: Tick | None = None,
) -> Array:
    """The loss over the whole set, in eval mode, at origin + x·first + y·second: (y, x)."""
    values = np.empty((len(ys), len(xs)))
    with kept(problem.model):
        put_buffers(problem.model, buffers)
        params = problem.params
        base, (first, second) = origin.double(), directions
        for i, y in enumerate(ys):
            row = base + float(y) * second
            for j, x in enumerate(xs):
                put(params, row + float(x) * first)
                values[i, j] = problem.whole()
            if tick is not None:
                tick((i + 1) / len(ys))
    return values


# The command


@dataclass(frozen=True)
class Pictured:
    """What pictures of a model are made from."""

    problem: Problem
    runs: tuple[Trained, ...]
    steps: int
    seed: int
    rule: str
    warnings: tuple[str, ...]
    command: str

    @property
    def best(self) -> int:
        """The run with the lowest loss at the end."""
        alive = [i for i, run in enumerate(self.runs) if not run.diverged]
        if not alive:
            raise ValueError(
                "every optimizer diverged: there is no trained model to draw; take a lower --lr"
            )
        return min(alive, key=lambda i: self.runs[i].loss)


def draw_model(
    model: str,
    optimizers: str = "sgd,adam,lamb",
    out: Path | None = None,
    *,
    steps: int = 200,
    seed: int = 0,
    lr: str = "tuned",
    resolution: int = 41,
    directions: str = "both",
) -> None:
    """Train, draw, write, and say what was written; bad input ends with one line and code 2."""
    with desk.errors("draw model"):
        began = time.monotonic()
        specs = desk.asked(optimizers, MOST)
        how = rate(lr)
        desk.between("--steps", steps, 1, 1_000_000)
        desk.between("--resolution", resolution, 5, 401)
        if directions not in DIRECTIONS:
            raise ValueError(f"--directions {directions}: known are {', '.join(DIRECTIONS)}")
        problem = load(model, seed)
        if directions != "pca" and all(p.ndim < 2 for p in problem.params):
            raise ValueError(
                f"model {model!r} has no filters, only vectors: write --directions pca"
            )
        rehearse(problem, specs, seed)
        folder = desk.folder(out, "model")
        words = ["model", model, "-o", ",".join(spec.text for spec in specs)]
        words += ["--steps", str(steps), "--lr", str(how)]
        words += ["--seed", str(seed)] if seed else []
        words += ["--resolution", str(resolution)] if resolution != 41 else []
        words += ["--directions", directions] if directions != "both" else []
        command = desk.again(words)
        with desk.progress(problem.name) as report, one_thread(problem):
            runs, doubts = _trained(problem, specs, how, steps, seed, report)
            made = Pictured(problem, runs, steps, seed, rule_of(how, specs), doubts, command)
            desk.warn("draw model", doubts)
            written = _pictures(made, directions, resolution, folder, report)
        desk.done(began, written, command, folder)


def _trained(
    problem: Problem,
    specs: Sequence[Spec],
    how: float | str,
    steps: int,
    seed: int,
    report: desk.Report,
) -> tuple[tuple[Trained, ...], tuple[str, ...]]:
    """Every optimizer's run, at the learning rate that is its due, and doubts about these."""
    runs: list[Trained] = []
    doubts: list[str] = []
    keep, n = snapshots(problem, len(specs), steps), len(specs)
    for i, spec in enumerate(specs):
        at = f"training {spec.label}"
        tick = desk.part(report, at, i / n, (i + 0.9) / n)
        given, said = chosen(problem, spec, how, steps, seed, tick)
        doubts += said
        tick = desk.part(report, at, (i + 0.9) / n, (i + 1) / n)
        runs.append(train(problem, spec, given, steps, seed, keep, tick))
    return tuple(runs), tuple(doubts)


def _pictures(
    made: Pictured, directions: str, resolution: int, folder: Path, report: desk.Report
) -> list[Path]:
    from glissade.draw import landscape_picture as picture

    written = []
    if directions != "filter":
        best = made.runs[made.best]
        plane = principal(
            [run.path for run in made.runs], best.end, [not run.diverged for run in made.runs]
        )
        xs, ys = picture.window(made, plane, resolution)
        values = heights(
            made.problem, plane.origin, plane.directions, xs, ys, best.buffers,
            desk.part(report, "principal plane"),
        )  # fmt: skip
        written.append(folder / f"{made.problem.name}-pca.png")
        picture.principal_png(made, plane, (xs, ys, values), written[-1])
    if directions != "pca":
        panels = []
        alive = [i for i, run in enumerate(made.runs) if not run.diverged]
        xs = np.linspace(-1, 1, resolution)
        for n, i in enumerate(alive):
            tick = desk.part(report, "filters", n / len(alive), (n + 1) / len(alive))
            panels.append((i, _around(made, made.runs[i], xs, tick)))
        made.best  # noqa: B018  (all diverged: said here)
        written.append(folder / f"{made.problem.name}-filter.png")
        picture.filter_png(made, xs, panels, written[-1])
    return written


def _around(made: Pictured, run: Trained, xs: Array, tick: Tick) -> Array:
    with kept(made.problem.model):
        put(made.problem.params, run.end)
        directions = filter_normalised(made.problem.params, made.seed)
    return heights(made.problem, run.end, directions, xs, xs, run.buffers, tick)


def model_command(
    model: Annotated[
        str,
        typer.Argument(
            metavar="MODEL",
            help=f"{', '.join(BUILT_IN)}, or your own: my.py:task or my.py:build.",
        ),
    ],
    optimizers: Annotated[
        str, typer.Option("-o", "--optimizers", help="As in 'sgd, lookahead(adam, k=5), lamb'.")
    ] = "sgd,adam,lamb",
    steps: Annotated[int, typer.Option(help="Of each optimizer.")] = 200,
    lr: Annotated[
        str,
        typer.Option(
            "--lr",
            metavar="RULE",
            help="tuned: each its best one; default: each its own default; or a number for all.",
        ),
    ] = "tuned",
    resolution: Annotated[int, typer.Option(help="Losses along each side.")] = 41,
    directions: Annotated[
        str, typer.Option(metavar="WHICH", help="pca, filter, or both.")
    ] = "both",
    seed: Annotated[int, typer.Option(min=0, help="Of the start and of the batches.")] = 0,
    out: Annotated[
        Path | None, typer.Option(help="Folder for the pictures  [default: glissade-out/draw-...]")
    ] = None,
) -> None:
    """Draw the loss around a trained model, with the paths of several optimizers.

    my.py:task is a task as for glissade compare, and its loss that of the train part.

    my.py:build is a function, build() or build(seed), that returns (model, loss): a
    torch.nn.Module and a function loss(model) that returns a scalar tensor on a fixed set. With
    loss(model, step), it is given a step for a mini-batch, and None for the whole set.

    Example: glissade draw model digits-small -o sgd,adam,lamb --out pictures
    """
    draw_model(
        model, optimizers, out, steps=steps, seed=seed, lr=lr, resolution=resolution,
        directions=directions,
    )  # fmt: skip


def register(app: typer.Typer) -> None:
    """Add `model`."""
    app.command("model")(model_command)
