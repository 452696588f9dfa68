"""How each optimizer looks, the same in every chart, on the page and in the picture."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from glissade.draw import style

# Okabe and Ito's palette as in all pictures, and lighter ones of the same hues for a dark page.
COLOURS = style.COLOURS
DARK = (
    "#56A8E0", "#F58A4B", "#33C49B", "#E7A6CB", "#F2F2F2", "#F0B429", "#9AD4F7", "#B794FF",
    "#F07C7C",
)  # fmt: skip
DASHES: tuple[tuple[str, Any], ...] = (  # plotly's, matplotlib's
    ("solid", "-"),
    ("7px,2px", (0, (3.5, 1.0))),
    ("2px,1.5px", (0, (1.2, 0.8))),
    ("9px,2px,2px,2px", (0, (4.5, 1.0, 1.0, 1.0))),
    ("14px,3px", (0, (7.0, 1.5))),
)
MARKS = "●■♦▲▼✚★✖◀▶⬟◆⬢"  # as plotly's markers of `style`
# From blue, the best, to yellow: lightness alone tells the order.
SCALE = (
    "#440154", "#482878", "#3e4989", "#31688e", "#26828e", "#1f9e89", "#35b779", "#6ece58",
    "#b5de2b", "#fde725",
)  # fmt: skip


@dataclass(frozen=True)
class Look:
    """One optimizer's."""

    place: int  # among the optimizers, as they were named

    @property
    def name(self) -> str:
        """Of the colour, which the page turns into the one for its ground."""
        return f"@c{self.place % len(COLOURS)}"

    @property
    def colour(self) -> str:
        return COLOURS[self.place % len(COLOURS)]

    @property
    def dash(self) -> str:
        return DASHES[self.place % len(DASHES)][0]

    @property
    def lines(self) -> Any:
        """The dash, for matplotlib."""
        return DASHES[self.place % len(DASHES)][1]

    @property
    def symbol(self) -> str:
        return style.PLOTLY_MARKERS[self.place % len(style.PLOTLY_MARKERS)]

    @property
    def mark(self) -> str:
        """The symbol as text."""
        return MARKS[self.place % len(MARKS)]

    @property
    def stroke(self) -> str:
        """The dash, for the page's own drawings."""
        return self.dash.replace("px", "") if self.place % len(DASHES) else "none"


def looks(arms: Iterable[str]) -> dict[str, Look]:
    return {arm: Look(i) for i, arm in enumerate(arms)}


def short(label: str, most: int = 26) -> str:
    """A label cut to so many letters."""
    return label if len(label) <= most else label[: most - 1].rstrip() + "…"
