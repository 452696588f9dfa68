"""`glissade draw effect`: what one hyperparameter does, as small multiples on a surface."""

from __future__ import annotations

import ast
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import typer
from numpy.typing import NDArray

from glissade.checks import is_number, nearest
from glissade.draw import desk, surfaces
from glissade.draw.rates import Outcome, Rates, choose
from glissade.draw.surfaces import Surface
from glissade.draw.trajectories import Run, follow
from glissade.spec import Spec, specs

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from glissade.draw.scene import Scene

MOST = 8
MOST_STEPS = 2000
# What shows most, where no values or surface are given.
VALUES: dict[str, tuple[Any, ...]] = {
    "eps": (1e-8, 0.1, 1.0, 10.0),
    "betas": ((0.9, 0.999), (0.0, 0.999), (0.9, 0.9), (0.99, 0.999)),
    "weight_decay": (0.0, 0.03, 0.3, 3.0),
    "momentum": (0.0, 0.5, 0.9, 0.98),
    "rho": (0.5, 0.9, 0.99),
    "alpha": (0.5, 0.9, 0.99),
}
SURFACE = {"eps": "ravine", "weight_decay": "himmelblau"}
OTHERWISE = "beale"
SIGNS = {"eps": "ε", "betas": "(β₁, β₂)", "weight_decay": "weight decay λ"}
LEFT, RIGHT, ROW, GAP, AXIS, HEAD = 0.85, 7.72, 2.15, 0.2, 0.56, 0.3  # inches
MIDDLE = 4.2  # where a row's left panel ends
LOSS = 5.05  # where its right panel begins

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Effect:
    """One optimizer with several values of one hyperparameter."""

    surface: Surface
    spec: Spec  # as it was given
    key: str
    values: tuple[Any, ...]
    runs: tuple[Run, ...]
    steps: int
    seed: int
    rule: str  # how the learning rate was chosen
    command: str


def known_keys(spec: Spec) -> list[str]:
    """The hyperparameters that are numbers, or pairs of them, without lr."""
    hyper = spec.rule().hyper if spec.row is not None else {}
    fits = [k for k, v in hyper.items() if is_number(v) or isinstance(v, tuple)]
    return [key for key in fits if key not in ("lr", "base_lr")]


def values_of(text: str | None, spec: Spec, key: str) -> tuple[Any, ...]:
    """Of `--values`, each one tried; ValueError says what is wrong."""
    known = known_keys(spec)
    if key not in known:
        what = f"known are {', '.join(known)}" if known else "it has none that is a number"
        raise ValueError(f"{spec.name} has no hyperparameter {key!r}: {what}{nearest(key, known)}")
    if text is None:
        if key not in VALUES:
            raise ValueError(f"--of {key}: say which values to draw, as in --values 0.1,0.5")
        values = VALUES[key]
    else:
        try:
            values = tuple(ast.literal_eval(f"({text},)"))
        except (ValueError, SyntaxError):
            raise ValueError(
                f"--values {text}: write numbers, as in 1e-8,1e-3, or pairs, as in "
                "'(0.9,0.999),(0,0.999)'"
            ) from None
    if not 1 <= len(values) <= MOST:
        raise ValueError(f"--values: {len(values)} of them; allowed are 1 to {MOST}")
    if len(set(values)) < len(values):
        raise ValueError("--values: one is there twice; name each only once")
    for value in values:
        try:
            _with(spec, key, value).rule(1e-3)
        except (TypeError, ValueError) as error:
            raise ValueError(f"--values: {error}") from None
    return values


def _with(spec: Spec, key: str, value: Any) -> Spec:
    """With another value; that of a wrapper is said as the rule calls it: lookahead_k."""
    for n, (name, options) in enumerate(spec.around):
        if key.startswith(f"{name}_"):
            new = (name, {**options, key[len(name) + 1 :]: value})
            return replace(spec, around=(*spec.around[:n], new, *spec.around[n + 1 :]))
    return replace(spec, hyper={**spec.hyper, key: value})


def effect(
    surface: Surface,
    spec: Spec,
    key: str,
    values: Sequence[Any],
    lr: Rates,
    steps: int,
    seed: int,
    command: str = "",
    tick: desk.Tick | None = None,
) -> Effect:
    """Run every value at one learning rate, chosen with the hyperparameter as it was given."""
    if spec.lr is not None:
        at, rule = spec.lr, f"Learning rate: {spec.lr:g} for all, as it was given."
    elif lr.how == "tuned":
        chosen = choose(
            surface, [spec], lr, steps, seed=seed,
            tick=None if tick is None else lambda t: tick((t + 1) / steps),
        )  # fmt: skip
        at = chosen.runs[0].lr
        rule = chosen.rule.replace("Learning rates: tuned, each the best", "the best")
        rule = (
            f"Learning rate: {at:.3g} for all rows, tuned for {spec.label} as it was given and "
            f"then kept: {rule}"
        )
        if chosen.warnings:
            rule += f" Note: {'; '.join(chosen.warnings)}."
    else:
        at, rule = float(lr.how), f"Learning rate: {lr} for all rows, not tuned."
    pairs = [(_with(spec, key, value), at) for value in values]
    runs = follow(surface, pairs, steps, seed=seed)
    return Effect(surface, spec, key, tuple(values), tuple(runs), steps, seed, rule, command)


# The picture


def png(made: Effect, path: Path) -> None:
    """Write it: a row a value, its path on the left and its losses on the right."""
    from glissade.draw import style
    from glissade.draw.flat import marks
    from glissade.draw.scene import Scene

    scene = Scene(made.surface, Outcome(made.runs, ""), made.steps, made.seed, made.command)
    count = len(made.runs)
    room = AXIS + count * (ROW + HEAD) + (count - 1) * GAP + 0.02
    sheet = style.sheet(
        f"{made.spec.label}: what {SIGNS.get(made.key, made.key)} does",
        f"{made.surface.title}, {scene.subtitle}" if scene.subtitle else made.surface.title,
        room, marks(scene), _words(made, scene), made.command, dpi=200,
    )  # fmt: skip
    for n, run in enumerate(made.runs):
        top = room - 0.02 - HEAD - n * (ROW + HEAD + GAP)
        ground = sheet.figure.add_axes(sheet.place(LEFT, MIDDLE, top - ROW, top))
        loss = sheet.figure.add_axes(sheet.place(LOSS, RIGHT, top - ROW, top))
        _map(ground, scene, n, run)
        _title(ground, made, n, run)
        _losses(loss, scene, n)
        for axes in (ground, loss):
            axes.tick_params(labelbottom=n == count - 1)
            if n < count - 1:
                axes.set_xlabel("")
    style.save_png(sheet, path, made.command)


def _map(axes: Axes, scene: Scene, n: int, run: Run) -> None:
    """A path on the surface."""
    from matplotlib.ticker import MaxNLocator

    from glissade.draw import style
    from glissade.draw.flat import ground

    ground(axes, scene)
    points = scene.visible(run)
    colour = style.series(n).colour
    axes.plot(*points.T, color="white", linewidth=3.4, alpha=0.8, zorder=3)
    axes.plot(*points.T, color=colour, linewidth=1.9, marker=".", markersize=4.5, zorder=4)
    axes.plot(*points[-1:].T, linestyle="none", marker=style.series(n).marker, color=colour,
              markersize=7, markeredgecolor="white", markeredgewidth=0.8, zorder=6,
              clip_on=not scene.out(run))  # fmt: skip
    if run.diverged:
        axes.plot(*points[-1:].T, linestyle="none", marker="x", color="black", markersize=9,
                  markeredgewidth=2.2, zorder=7, clip_on=False)  # fmt: skip
    axes.xaxis.set_major_locator(MaxNLocator(5))
    axes.yaxis.set_major_locator(MaxNLocator(5))
    _dress(axes, "x", "y")


def _title(axes: Axes, made: Effect, n: int, run: Run) -> None:
    from glissade.draw import style

    text = f"{SIGNS.get(made.key, made.key)} = {said(made.values[n])}"
    if run.diverged:
        text += ", diverged"
    axes.set_title(text, loc="left", fontsize=style.BODY + 1, family=style.FONT, pad=4,
                   fontweight="bold", color=style.series(n).colour, parse_math=False)  # fmt: skip


def _losses(axes: Axes, scene: Scene, n: int) -> None:
    """The losses of one value in its colour, the others' in grey."""
    from glissade.draw import style
    from glissade.draw.flat import loss_axes

    order = [i for i in range(len(scene.runs)) if i != n] + [n]
    for i in order:
        run = scene.runs[i]
        losses = scene.losses(run)[: scene.shown(run)]
        mine = i == n
        colour, wide, above = (style.series(i).colour, 2.2, 4) if mine else ("#BDBDBD", 1.0, 2)
        axes.plot(np.arange(len(losses)), losses, color=colour, linewidth=wide, zorder=above)
    loss_axes(axes, scene, ticks=4)
    _dress(axes, "step", scene.loss_label)


def _dress(axes: Axes, x: str, y: str) -> None:
    from glissade.draw import style

    style.label(axes, x, y)
    axes.yaxis.set_label_coords(-0.15 if y == "y" else -0.2, 0.5)


def said(value: Any) -> str:
    """A value in words: numbers as short as they can be."""
    if isinstance(value, tuple):
        return f"({', '.join(map(said, value))})"
    return f"{value:g}".replace("e-0", "e-") if is_number(value) else str(value)


def _words(made: Effect, scene: Scene) -> list[str]:
    gone = sum(run.diverged for run in made.runs)
    x, y = made.surface.start
    facts = (
        f"Start ({x:g}, {y:g}), {made.steps} steps in float64, {gone or 'none'} of "
        f"{len(made.runs)} diverged{' (✕)' if gone else ''}. Everything but {made.key} is the same "
        "in all rows. Grey: the losses of the other rows."
    ).replace("(-", "(−").replace(", -", ", −")  # fmt: skip
    if made.key == "weight_decay":
        facts += " The losses are without the decay."
    if made.surface.noise:
        facts += f" Every gradient has noise, the same for all (seed {made.seed})."
    if made.surface.note:
        facts += f" {made.surface.note[0].upper()}{made.surface.note[1:]}."
    return [facts, made.rule]


# The command


def effect_command(
    optimizer: Annotated[
        str, typer.Argument(metavar="OPTIMIZER", help="As in adam or 'lookahead(adam, k=5)'.")
    ],
    of: Annotated[
        str,
        typer.Option("--of", metavar="KEY", help="eps, betas, weight_decay, or another number."),
    ],
    values: Annotated[
        str | None,
        typer.Option(help="As in 1e-8,1e-3 or '(0.9,0.999),(0,0.999)'  [default: what shows most]"),
    ] = None,
    surface: Annotated[
        str | None,
        typer.Option(
            metavar="NAME", help=f"{', '.join(surfaces.names())}  [default: what shows most]"
        ),
    ] = None,
    lr: Annotated[
        str, typer.Option("--lr", metavar="RULE", help="tuned (once, for all rows), or a number.")
    ] = "tuned",
    steps: Annotated[
        int | None, typer.Option(help="Of each row  [default: what suits the surface]")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of the noise, where there is any.")] = 0,
    out: Annotated[
        Path | None, typer.Option(help="Folder for the picture  [default: glissade-out/draw-...]")
    ] = None,
) -> None:
    """Draw what a hyperparameter does: a row of panels for each value.

    Example: glissade draw effect adam --of eps --values 1e-8,1e-3,0.1
    """
    with desk.errors("draw effect"):
        began = time.monotonic()
        asked = specs(optimizer)
        if len(asked) != 1:
            raise ValueError(f"{len(asked)} optimizers: an effect is drawn of one")
        (spec,) = asked
        some = values_of(values, spec, of)
        rates = Rates.parse(lr)
        if rates.how == "shared":
            raise ValueError("--lr shared: write tuned, or a number")
        ground = surfaces.lookup(surface or SURFACE.get(of, OTHERWISE))
        if steps is not None:
            desk.between("--steps", steps, 1, MOST_STEPS)
        count = steps or ground.steps
        _rehearse(ground, spec, of, some)
        folder = desk.folder(out, "effect")
        words = ["effect", spec.text, "--of", of]
        words += ["--values", _typed(some), "--surface", ground.name, "--lr", str(rates)]
        words += ["--steps", str(count)] + (["--seed", str(seed)] * bool(seed))
        command = desk.again(words)
        with desk.progress(f"{spec.name}, {of}") as report:
            tick = desk.part(report, "learning rate")
            made = effect(ground, spec, of, some, rates, count, seed, command, tick)
        path = folder / f"effect-{spec.name}-{of}.png"
        png(made, path)
        desk.done(began, [path], command, folder)


def _typed(values: Sequence[Any]) -> str:
    """As `--values` reads them, without spaces."""
    return ",".join(repr(value).replace(" ", "") for value in values)


def _rehearse(surface: Surface, spec: Spec, key: str, values: Sequence[Any]) -> None:
    for value in values:
        one = _with(spec, key, value)
        try:
            follow(surface, [(one, 1e-9)], 2)
        except (TypeError, ValueError, RuntimeError, NotImplementedError) as error:
            raise ValueError(f"{spec.text} on {surface.name}: {error}") from None


def register(app: typer.Typer) -> None:
    """Add `effect`."""
    app.command("effect")(effect_command)
