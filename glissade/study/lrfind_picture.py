"""The picture of a range test: the loss against the learning rate, each seed and their median."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import LogLocator, NullFormatter

from glissade.draw import style
from glissade.spec import Spec
from glissade.study.lrfind import Found, Sweep

LEFT, RIGHT, AXIS, HEIGHT = 0.82, 7.6, 0.55, 3.7  # inches
PALE, MIDDLE, STRONG, MARK = "#C9D4DF", "#7D98B3", "#0072B2", "#D55E00"
LAST = "A start for a search: the best rate of a whole run is mostly near, and not the same."


def picture(
    path: Path, title: str, spec: Spec, sweeps: Sequence[Sweep], found: Found, command: str
) -> None:
    """Write it as a PNG, whole."""
    several = len(sweeps) > 1
    handles = [
        Line2D([], [], color=PALE, linewidth=1.2, label="loss of each mini-batch"),
        Line2D([], [], color=STRONG, linewidth=2.4, label="smoothed"
               + (", median of the seeds" if several else "")),
    ]  # fmt: skip
    if several:
        handles.insert(1, Line2D([], [], color=MIDDLE, linewidth=1.2, label="smoothed, each seed"))
    if found.suggestion is not None:
        handles.append(
            Line2D([], [], color=MARK, linewidth=1.8, linestyle=(0, (4, 1.5)),
                   label=f"suggestion: lr={found.suggestion:g}")
        )  # fmt: skip
    said = f"No suggestion: {found.reason}." if found.suggestion is None else (
        f"Suggestion: lr={found.suggestion:g}: {found.reason}."
    )  # fmt: skip
    steps = max(len(one.rates) for one in sweeps)
    seeds = f"{len(sweeps)} seeds" if several else "1 seed"
    stopped = sum(one.stopped for one in sweeps)
    caption = [said, f"{seeds}, {steps} steps each at most."]
    if stopped:
        caption[1] += f" {stopped} of them stopped because the loss blew up."
    sheet = style.sheet(
        f"Range test: {spec.label}",
        title,
        AXIS + HEIGHT + 0.1,
        handles,
        caption,
        command,
        150,
        footer=LAST,
    )
    axes = sheet.figure.add_axes(sheet.place(LEFT, RIGHT, AXIS, AXIS + HEIGHT))
    for one in sweeps:
        axes.plot(one.rates, one.losses, color=PALE, linewidth=0.9, zorder=1)
    for one in sweeps if several else ():
        axes.plot(one.rates, one.smooth, color=MIDDLE, linewidth=1.2, zorder=2)
    axes.plot(found.rates, found.median, color=STRONG, linewidth=2.4, zorder=3)
    if found.suggestion is not None:
        axes.axvline(found.suggestion, color=MARK, linewidth=1.8, linestyle=(0, (4, 1.5)), zorder=4)
    _dress(axes, sweeps, found)
    style.save_png(sheet, path, command)


def _dress(axes: Axes, sweeps: Sequence[Sweep], found: Found) -> None:
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(LogLocator(numticks=9))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set_xlim(sweeps[0].rates[0], max(one.rates[-1] for one in sweeps))
    seen = np.concatenate([one.losses for one in sweeps])
    low, first = float(seen.min()), float(found.median[0])
    # The end of a run that blows up would hide the rest.
    high = min(float(seen.max()), first + 1.2 * max(first - low, 0.1 * abs(first)))
    pad = 0.05 * (high - low) or max(abs(low), 1.0)  # a loss that does not move
    axes.set_ylim(low - pad, high + pad)
    style.chart(axes)
    style.label(axes, "learning rate", "training loss")
