"""`glissade draw trust`: by how much LAMB and its kin stretch each tensor's step, over time.

The ratio is φ(‖p‖)/‖r‖, r the direction before it is scaled. It is taken from the steps that the
optimizer itself took: ‖Δp‖ divided by the length of the step that the same rule without the ratio
takes from the same weights, by the same gradients, at the same learning rate (which is lr·‖r‖). For
LAMB that rule is AdamW with decoupled decay, for LARS averaged momentum with l2, for Ralamb RAdam,
for layerwise(...) what it wraps. It runs beside, in float64, on copies that are put back to the
optimizer's weights before every step, so the only error is the rounding of ‖Δp‖.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import torch
import typer
from numpy.typing import NDArray

from glissade import registry
from glissade.draw import desk
from glissade.draw.model import BUILT_IN, Problem, kept, load
from glissade.draw.training import LOST, Training, chosen, one_thread, rate, rehearse, rule_of
from glissade.optimizer import Optimizer
from glissade.rule import Rule
from glissade.spec import Spec

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MOST = 4  # optimizers, one panel each
NAMED = 12  # tensors, the largest; others are grey
FOOTER = "Ratios of one run on one model: they explain the rule, they do not rank it."
LEFT, RIGHT, PANEL, HEAD, AXIS = 0.98, 7.72, 2.7, 0.36, 0.58  # inches

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Trusted:
    """One optimizer's ratios."""

    spec: Spec
    lr: float | None
    ratios: Array  # (steps, tensors); NaN where a tensor had no step to scale
    diverged: bool


# The rule without its ratio


def without_ratio(spec: Spec, lr: float | None) -> Rule:
    """The rule inside of the ratio; ValueError where there is no ratio, or none that shows."""
    if spec.around and spec.around[-1][0] == "layerwise":
        inner = replace(spec, around=spec.around[:-1]).rule(lr)
    elif spec.name in _INSIDE and not spec.around:
        inner = _INSIDE[spec.name](spec.rule(lr))
    else:
        raise ValueError(
            f"{spec.text} has no trust ratio of its own; known are {', '.join(_INSIDE)}, and "
            "layerwise(...) around any other"
        )
    if inner.after is not None or inner.guard is not None or inner.inputs or inner.matrix:
        raise ValueError(
            f"{spec.text}: its steps are more than a scaled direction, so no ratio shows"
        )
    return inner


def _inside_lamb(rule: Rule) -> Rule:
    h = rule.hyper
    if not h["bias_correction"]:
        raise ValueError("lamb(bias_correction=False): the ratio is drawn with the correction only")
    keys = ("lr", "betas", "eps", "weight_decay")
    return registry.lookup("adamw").bind(**_some(h, keys), decay="decoupled")


def _inside_lars(rule: Rule) -> Rule:
    h = rule.hyper
    if h["variant"] != "paper":
        raise ValueError(
            "lars(variant='official') scales what enters its velocity, not its step: the ratio is "
            "drawn of variant 'paper'"
        )
    keys = ("lr", "momentum", "weight_decay")
    return registry.lookup("sgd").bind(**_some(h, keys), variant="ema", decay="l2")


def _inside_ralamb(rule: Rule) -> Rule:
    keys = ("lr", "betas", "eps", "weight_decay", "decay")
    return registry.lookup("radam").bind(**_some(rule.hyper, keys), variant="paper")


def _some(hyper: Mapping[str, Any], keys: Sequence[str]) -> dict[str, Any]:
    return {key: hyper[key] for key in keys}


_INSIDE: dict[str, Callable[[Rule], Rule]] = {
    "lamb": _inside_lamb,
    "lars": _inside_lars,
    "ralamb": _inside_ralamb,
}


# The run


class _Beside:
    """The rule without its ratio, on copies of the weights."""

    def __init__(self, spec: Spec, training: Training, lr: float | None) -> None:
        self.training = training
        # copy: double() of float64 would be the optimizer's own weights
        self.copies = [
            p.detach().to(torch.float64, copy=True).requires_grad_() for p in training.params
        ]
        self.optimizer = Optimizer(self.copies, without_ratio(spec, lr))

    @torch.no_grad()
    def lengths(self) -> list[float]:
        """Of the steps it takes from the optimizer's weights, by the gradients that are there."""
        for group, other in zip(
            self.optimizer.param_groups, self.training.optimizer.param_groups, strict=True
        ):
            group["lr"] = other["lr"]  # a schedule moves it
        for copy, p in zip(self.copies, self.training.params, strict=True):
            copy.copy_(p)
            copy.grad = None if p.grad is None else p.grad.to(torch.float64, copy=True)
        before = [copy.detach().clone() for copy in self.copies]
        self.optimizer.step()
        return _apart(before, self.copies)


def _apart(before: Sequence[torch.Tensor], after: Sequence[torch.Tensor]) -> list[float]:
    return [
        float((a.detach().double() - b.double()).norm()) for b, a in zip(before, after, strict=True)
    ]


def trace(
    problem: Problem,
    spec: Spec,
    lr: float | None,
    steps: int,
    seed: int,
    tick: desk.Tick | None = None,
) -> Trusted:
    """The ratios of a training run; the model is left as it was."""
    with kept(problem.model):
        bound = LOST * max(abs(problem.whole()), 1e-30)
        training = Training(problem, spec, lr, seed)
        beside = _Beside(spec, training, lr)
        ratios, lost = [], False
        for step in range(steps):
            lost = not abs(training.gradient(step)) <= bound
            if lost:
                break
            plain = beside.lengths()
            before = [p.detach().clone() for p in training.params]
            training.advance(step)
            taken = _apart(before, training.params)
            ratios.append([a / b if b > 0 else np.nan for a, b in zip(taken, plain, strict=True)])
            if tick is not None:
                tick((step + 1) / steps)
        rows = np.array(ratios, dtype=np.float64).reshape(len(ratios), len(training.params))
        return Trusted(spec, lr, rows, lost)


# The picture


def png(
    problem: Problem,
    traced: Sequence[Trusted],
    steps: int,
    seed: int,
    rule: str,
    warnings: Sequence[str],
    command: str,
    path: Path,
) -> None:
    """A panel for each optimizer, a line for each tensor."""
    from matplotlib.lines import Line2D

    from glissade.draw import style

    names = [name for name, p in problem.model.named_parameters() if p.requires_grad]
    sizes = [p.numel() for p in problem.params]
    largest = sorted(range(len(names)), key=lambda i: -sizes[i])[:NAMED]
    shown = {i: n for n, i in enumerate(sorted(largest))}
    handles = []
    for i, n in shown.items():
        s = style.series(n)
        handles.append(Line2D([], [], color=s.colour, linestyle=s.dash, marker=s.marker,
                              linewidth=2, markersize=6.5, markeredgecolor="white",
                              markeredgewidth=0.7, label=names[i]))  # fmt: skip
    room = AXIS + len(traced) * (PANEL + HEAD) + (len(traced) - 1) * 0.12 + 0.02
    words = _words(problem, traced, steps, seed, len(names) - len(shown))
    note = [f"Note: {'; '.join(warnings)}."] if warnings else []
    sheet = style.sheet(
        "Trust ratios over time", f"{problem.title}: {problem.size:,} parameters", room, handles,
        [words, rule, *note], command, dpi=200, footer=FOOTER,
    )  # fmt: skip
    for n, one in enumerate(traced):
        top = room - 0.02 - HEAD - n * (PANEL + HEAD + 0.12)
        axes = sheet.figure.add_axes(sheet.place(LEFT, RIGHT, top - PANEL, top))
        _panel(axes, one, shown, steps)
        axes.set_ylim(*_range(one))
        last = n == len(traced) - 1
        axes.tick_params(labelbottom=last)
        if last:
            axes.set_xlabel("step", fontsize=style.BODY + 0.5, family=style.FONT, labelpad=2)
    style.save_png(sheet, path, command)


def _range(one: Trusted) -> tuple[float, float]:
    values = one.ratios[np.isfinite(one.ratios) & (one.ratios > 0)]
    if not values.size:
        raise ValueError(f"{one.spec.label}: no tensor took a step, so there is no ratio to draw")
    return min(float(values.min()), 1.0) / 1.5, max(float(values.max()), 1.0) * 1.5


def _panel(axes: Axes, one: Trusted, shown: Mapping[int, int], steps: int) -> None:
    from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter

    from glissade.draw import style

    at = np.arange(1, len(one.ratios) + 1)
    axes.set_yscale("log")
    axes.axhline(1.0, color="#808080", linewidth=1.1, linestyle=(0, (2, 2)), zorder=1)
    for i in range(one.ratios.shape[1]):
        line = np.where(one.ratios[:, i] > 0, one.ratios[:, i], np.nan)
        if i not in shown:
            axes.plot(at, line, color="#B8B8B8", linewidth=0.8, zorder=2)
            continue
        n = shown[i]
        s = style.series(n)
        share = max(1 - n / 9, 0.0)
        every = max(len(at) // 6, 1)
        axes.plot(at, line, color=s.colour, linestyle=s.dash, linewidth=1.2 + 1.0 * share,
                  marker=s.marker, markevery=(n * every // max(len(shown), 1), every),
                  markersize=6.5, markeredgecolor="white", markeredgewidth=0.7,
                  zorder=4)  # fmt: skip
    if one.diverged and len(at):
        axes.axvline(len(at), color="black", linewidth=1.2)
    axes.set_xlim(0, steps)
    axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    axes.yaxis.set_major_locator(LogLocator(numticks=6))
    axes.yaxis.set_minor_formatter(NullFormatter())
    style.chart(axes)
    style.label(axes, "", "trust ratio")
    axes.set_title(_title(one), loc="left", fontsize=style.BODY + 1, family=style.FONT,
                   fontweight="bold", pad=5, parse_math=False)  # fmt: skip


def _title(one: Trusted) -> str:
    label = one.spec.label
    if one.spec.lr is None:
        label += ", its default lr" if one.lr is None else f", lr {one.lr:.3g}"
    return label + (" (diverged where the black line is)" if one.diverged else "")


def _words(problem: Problem, traced: Sequence[Trusted], steps: int, seed: int, unnamed: int) -> str:
    batches = problem.batches or "the whole set at every step"
    gone = sum(one.diverged for one in traced)
    words = (
        f"{steps} steps, {batches}, start: seed {seed}, the same for all; {gone or 'none'} of "
        f"{len(traced)} diverged. The ratio φ(‖p‖)/‖r‖ of each tensor as it was used: the length "
        "of the step that was taken, over that of the same rule’s step without the ratio. The "
        "dashed line is 1: no scaling, as for a tensor that is all zero."
    )
    if unnamed:
        words += f" Named are the {NAMED} largest tensors; {unnamed} more are grey."
    return words


# The command


def trust_command(
    model: Annotated[
        str,
        typer.Option(
            "--model", metavar="MODEL", help=f"{', '.join(BUILT_IN)}, my.py:task, or my.py:build."
        ),
    ] = "digits",
    optimizers: Annotated[
        str,
        typer.Option("-o", "--optimizers", help="lamb, lars, ralamb, or layerwise(adam) and such."),
    ] = "lamb",
    steps: Annotated[int, typer.Option(help="Of each optimizer.")] = 200,
    lr: Annotated[
        str,
        typer.Option(
            "--lr",
            metavar="RULE",
            help="tuned: each its best one; default: each its own default; or a number for all.",
        ),
    ] = "tuned",
    seed: Annotated[int, typer.Option(min=0, help="Of the start and of the batches.")] = 0,
    out: Annotated[
        Path | None, typer.Option(help="Folder for the picture  [default: glissade-out/draw-...]")
    ] = None,
) -> None:
    """Draw the trust ratio of every tensor over the steps: LAMB, LARS, Ralamb.

    Example: glissade draw trust --model digits -o lamb,lars --steps 200
    """
    with desk.errors("draw trust"):
        began = time.monotonic()
        specs = desk.asked(optimizers, MOST)
        how = rate(lr)
        desk.between("--steps", steps, 1, 1_000_000)
        for spec in specs:
            without_ratio(spec, None)
        problem = load(model, seed)
        rehearse(problem, specs, seed)
        folder = desk.folder(out, "trust")
        words = ["trust", "--model", model, "-o", ",".join(spec.text for spec in specs)]
        words += ["--steps", str(steps), "--lr", str(how)] + (["--seed", str(seed)] * bool(seed))
        command = desk.again(words)
        traced, doubts = [], []
        with desk.progress(f"trust on {problem.name}") as report, one_thread(problem):
            n = len(specs)
            for i, spec in enumerate(specs):
                tick = desk.part(report, spec.label, i / n, (i + 0.8) / n)
                given, said = chosen(problem, spec, how, steps, seed, tick)
                doubts += said
                tick = desk.part(report, spec.label, (i + 0.8) / n, (i + 1) / n)
                traced.append(trace(problem, spec, given, steps, seed, tick))
        desk.warn("draw trust", doubts)
        path = folder / f"trust-{problem.name}.png"
        png(problem, traced, steps, seed, rule_of(how, specs), doubts, command, path)
        desk.done(began, [path], command, folder)


def register(app: typer.Typer) -> None:
    """Add `trust`."""
    app.command("trust")(trust_command)
