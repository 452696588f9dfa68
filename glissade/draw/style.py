"""What all pictures share: colours, type, the lines below, files that are whole or not there."""

from __future__ import annotations

import contextlib
import functools
import math
import os
import tempfile
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.lines import Line2D
from matplotlib.textpath import TextToPath

FOOTER = "Two-dimensional pictures explain, they do not rank."

# Okabe and Ito's palette without its yellow, and two that stay apart from it and from each other
# with any common colour vision.
COLOURS = (
    "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#000000", "#E69F00", "#56B4E9", "#6600CC",
    "#800000",
)  # fmt: skip
DASHES: tuple[Any, ...] = ("-", (0, (4, 1.5)), (0, (1.2, 1.2)))
PLOTLY_DASHES = ("solid", "dash", "dot")
MARKERS = "osd^vP*X<>pDh"
PLOTLY_MARKERS = (
    "circle", "square", "diamond-tall", "triangle-up", "triangle-down", "cross", "star", "x",
    "triangle-left", "triangle-right", "pentagon", "diamond", "hexagon",
)  # fmt: skip

FONT = "DejaVu Sans"  # comes with matplotlib, and has the signs that formulas need
MONO = "DejaVu Sans Mono"
WIDTH = 8.0  # inches; at 600 pixels a point is a pixel and a bit
MARGIN = 0.16
TITLE, BODY, CAPTION, COMMAND = 15.0, 10.5, 10.0, 9.0  # points
GREY = "#404040"
LINE = 1.38 / 72  # inches of height of a line, times its points
BOLD = 1.17  # times as wide as type that is not


@dataclass(frozen=True)
class Series:
    """How the i-th of several is drawn, in matplotlib and in plotly."""

    colour: str
    dash: Any
    marker: str
    plotly_dash: str
    plotly_marker: str


def series(i: int) -> Series:
    """No two of the first 27 are alike."""
    again = i // len(COLOURS) % len(DASHES)
    mark = i % len(MARKERS)
    return Series(
        COLOURS[i % len(COLOURS)],
        DASHES[again],
        MARKERS[mark],
        PLOTLY_DASHES[again],
        PLOTLY_MARKERS[mark],
    )


# The sheet: title, panels, and the lines below


@dataclass(frozen=True)
class Sheet:
    """A figure with its title, legend, caption and footer in place, and room for panels."""

    figure: Figure
    footer: str
    bottom: float  # inches from the figure's lower edge, where the panels' room begins
    top: float
    width: float = WIDTH  # of the figure, in inches

    @property
    def height(self) -> float:
        """Of the figure, in inches."""
        return float(self.figure.get_size_inches()[1])

    def place(self, left: float, right: float, bottom: float, top: float) -> Any:
        """Inches from the left edge, and from the room's lower edge, as what add_axes takes."""
        return (
            left / self.width,
            (self.bottom + bottom) / self.height,
            (right - left) / self.width,
            (top - bottom) / self.height,
        )


def sheet(
    title: str,
    subtitle: str,
    room: float,
    handles: Sequence[Line2D],
    caption: Sequence[str],
    command: str,
    dpi: int,
    footer: str = FOOTER,
    width: float = WIDTH,
) -> Sheet:
    """A sheet as high as its text needs, with `room` inches for the panels.

    Each string of the caption is a paragraph; the footer comes last, in bold; "" leaves it out.
    """
    inner = 0.97 * (width - 2 * MARGIN)  # at few dots an inch type runs wider than it should
    titles = [title] if width == WIDTH else wrap(title, BOLD * TITLE, inner)
    head = wrap(subtitle, BODY, inner)
    lines = [line for text in caption for line in wrap(text, CAPTION, inner)]
    code = wrap(command, COMMAND, inner, MONO)
    columns = _columns([str(handle.get_label()) for handle in handles], inner)
    rows = math.ceil(len(handles) / columns)
    legend = (rows * 1.62 * BODY / 72 + 0.06) if handles else 0.0
    last = [footer] if footer else []
    below = (len(lines + last) + 0.25) * LINE * CAPTION + len(code) * LINE * COMMAND + 0.16 + legend
    above = 0.12 + len(titles) * LINE * TITLE + len(head) * LINE * BODY + 0.1
    height = _even(below + room + above, dpi)
    figure = Figure(figsize=(width, height), dpi=dpi, facecolor="white")
    at = height - 0.12
    at = _write(figure, titles, at, TITLE, fontweight="bold", parse_math=False)
    _write(figure, head, at, BODY, color=GREY)
    at = below - legend
    if handles:
        figure.legend(
            handles=list(handles), loc="upper left", ncols=columns, frameon=False,
            bbox_to_anchor=(MARGIN / width, below / height), borderaxespad=0, borderpad=0,
            handlelength=2.6, handletextpad=0.5, columnspacing=1.5, labelspacing=0.45,
            prop={"family": FONT, "size": BODY},
        )  # fmt: skip
    at = _write(figure, lines, at - 0.02, CAPTION, color=GREY)
    at = _write(figure, last, at - 0.02, CAPTION, fontweight="bold")
    _write(figure, code, at - 0.03, COMMAND, family=MONO, color=GREY)
    return Sheet(figure, footer, below, below + room, width)


def _even(height: float, dpi: int) -> float:
    """Rounded up to an even number of pixels, as films need."""
    return 2 * math.ceil(height * dpi / 2 - 1e-6) / dpi


def _write(figure: Figure, lines: Sequence[str], top: float, size: float, **style: Any) -> float:
    wide, height = figure.get_size_inches()
    style = {"family": FONT, "parse_math": False, **style}
    for line in lines:
        figure.text(MARGIN / wide, top / height, line, va="top", fontsize=size, **style)
        top -= LINE * size
    return top


def _columns(labels: Sequence[str], inches: float) -> int:
    """As many columns of a legend as fit."""
    widest = max((width(label, BODY) for label in labels), default=1.0)
    column = widest + (2.6 + 0.5 + 1.5) * BODY / 72
    return max(1, min(len(labels), int((inches + 1.5 * BODY / 72) / column)))


@functools.cache
def _measure() -> TextToPath:
    return TextToPath()


@functools.lru_cache(maxsize=4096)
def width(text: str, size: float, family: str = FONT) -> float:
    """Of a line of text, in inches."""
    font = FontProperties(family=family, size=size)
    wide, _, _ = _measure().get_text_width_height_descent(text, font, False)
    return float(wide) / 72


def wrap(text: str, size: float, inches: float, family: str = FONT) -> list[str]:
    """Broken at spaces; after commas where a word alone is too long; cut if nothing else helps."""
    lines: list[str] = []
    line = ""
    for word in text.split():
        both = f"{line} {word}".strip()
        if width(both, size, family) <= inches:
            line = both
            continue
        if line:
            lines.append(line)
        while width(word, size, family) > inches:
            ends = range(2, len(word) + 1)
            fits = 1 + bisect_right(ends, inches, key=lambda n: width(word[:n], size, family))
            cut = word.rfind(",", 0, fits) + 1 or fits
            lines.append(word[:cut])
            word = word[cut:]
        line = word
    return [*lines, line] if line else lines


# Charts


def chart(axes: Axes) -> None:
    """A light grid behind what is drawn, and no frame at the right and above."""
    axes.grid(True, color="#E3E3E3", linewidth=0.6)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)


def label(axes: Axes, x: str, y: str) -> None:
    """Labels and numbers in the type that all pictures have; "" leaves a label out."""
    kind: Any = {"fontsize": BODY + 0.5, "family": FONT}
    if x:
        axes.set_xlabel(x, labelpad=2, **kind)
    if y:
        axes.set_ylabel(y, labelpad=3, **kind)
    axes.tick_params(labelsize=BODY, labelfontfamily=FONT)


# Files


@contextlib.contextmanager
def whole(path: Path) -> Iterator[Path]:
    """A temporary name of the same ending to write to; only if all went well it becomes `path`."""
    handle, name = tempfile.mkstemp(suffix=path.suffix, prefix=f".{path.stem}-", dir=path.parent)
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        temporary.chmod(0o666 & ~_umask())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def writable(folder: Path) -> None:
    """Make the folder; ValueError says why nothing can be written in it."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=folder)
        os.close(handle)
        os.unlink(name)
    except OSError as error:
        raise ValueError(f"cannot write in {folder}: {error.strerror or error}") from None


def save_png(sheet: Sheet, path: Path, command: str) -> None:
    """Write a sheet whole, with the command that makes it again inside of the file."""
    with whole(path) as temporary:
        metadata = {"Software": "Glissade", "Command": command}
        if sheet.footer:
            metadata["Description"] = sheet.footer
        sheet.figure.savefig(temporary, format="png", metadata=metadata)
