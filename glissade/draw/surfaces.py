"""The surfaces in two dimensions that optimizers are drawn on."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from glissade.checks import nearest

Function = Callable[[Tensor, Tensor], Tensor]
Point = tuple[float, float]
Box = tuple[float, float, float, float]  # x0, x1, y0, y1


@dataclass(frozen=True)
class Surface:
    """A function of two numbers, and what a picture of it needs to know."""

    name: str
    title: str
    formula: str
    function: Function = field(repr=False)
    box: Box
    start: Point
    steps: int = 200  # that a picture takes unless told otherwise
    view: tuple[float, float] = (48.0, -60.0)  # of the 3-D picture: elevation, azimuth
    minima: tuple[Point, ...] = ()  # all of the lowest ones
    local: tuple[Point, ...] = ()  # minima that are not the lowest
    saddles: tuple[Point, ...] = ()
    bounded: bool = True  # False: leaving the box downhill is what there is to do
    noise: float = 0.0  # standard deviation of what is added to each element of the gradient
    note: str = ""  # what a caption has to say

    def value(self, point: Tensor) -> Tensor:
        """At a tensor of shape (2,)."""
        return self.function(point[0], point[1])

    def grid(self, count: int) -> tuple[Tensor, Tensor, Tensor]:
        """`count` x's, as many y's, and the values at all of them, of shape (y, x)."""
        x0, x1, y0, y1 = self.box
        xs = torch.linspace(x0, x1, count, dtype=torch.float64)
        ys = torch.linspace(y0, y1, count, dtype=torch.float64)
        rows, columns = torch.meshgrid(ys, xs, indexing="ij")
        with torch.no_grad():
            try:
                values = self.function(columns, rows)
                fits = isinstance(values, Tensor) and values.shape == rows.shape
            except Exception:  # a user's function may be written for single numbers
                fits = False
            if not fits:
                points = zip(columns.flatten(), rows.flatten(), strict=True)
                values = torch.stack([self.function(x, y).reshape(()) for x, y in points])
        return xs, ys, values.reshape(rows.shape).double()

    def inside(self, x: float, y: float, times: float = 1.0) -> bool:
        """Whether a point is in the box, grown `times` about its middle."""
        x0, x1, y0, y1 = self.box
        return (
            abs(x - (x0 + x1) / 2) <= times * (x1 - x0) / 2
            and abs(y - (y0 + y1) / 2) <= times * (y1 - y0) / 2
        )

    @property
    def diagonal(self) -> float:
        """Length of the box' diagonal."""
        x0, x1, y0, y1 = self.box
        return math.hypot(x1 - x0, y1 - y0)

    def placed(self, box: Box | None = None, start: Point | None = None) -> Surface:
        """With another box or start; ValueError if they do not fit together."""
        new = replace(self, box=box or self.box, start=start or self.start)
        if start is not None and new.note.startswith("the start"):
            new = replace(new, note="")
        x0, x1, y0, y1 = new.box
        if not all(map(math.isfinite, (*new.box, *new.start))):
            raise ValueError("a box and a start are finite numbers")
        if not (x0 < x1 and y0 < y1):
            raise ValueError(f"box {x0:g},{x1:g},{y0:g},{y1:g}: write X0,X1,Y0,Y1, low before high")
        if not new.inside(*new.start):
            x, y = new.start
            raise ValueError(
                f"{self.name}: the start {x:g},{y:g} is outside of the box "
                f"{x0:g},{x1:g},{y0:g},{y1:g}"
            )
        return new


def _beale(x: Tensor, y: Tensor) -> Tensor:
    return (1.5 - x + x * y) ** 2 + (2.25 - x + x * y**2) ** 2 + (2.625 - x + x * y**3) ** 2


def _rosenbrock(x: Tensor, y: Tensor) -> Tensor:
    return (1 - x) ** 2 + 100 * (y - x**2) ** 2


def _rastrigin(x: Tensor, y: Tensor) -> Tensor:
    waves = torch.cos(2 * torch.pi * x) + torch.cos(2 * torch.pi * y)
    return 20 + x**2 + y**2 - 10 * waves


def _styblinski_tang(x: Tensor, y: Tensor) -> Tensor:
    return (x**4 - 16 * x**2 + 5 * x + y**4 - 16 * y**2 + 5 * y) / 2


def _himmelblau(x: Tensor, y: Tensor) -> Tensor:
    return (x**2 + y - 11) ** 2 + (x + y**2 - 7) ** 2


def _saddle(x: Tensor, y: Tensor) -> Tensor:
    return x**2 - y**2


def _monkey(x: Tensor, y: Tensor) -> Tensor:
    return x**3 - 3 * x * y**2


def _ravine(x: Tensor, y: Tensor) -> Tensor:
    return 0.05 * x**2 + 5 * y**2


def _plateau(x: Tensor, y: Tensor) -> Tensor:
    return 1 - torch.exp(-(x**2 + y**2) / 2)


def _sophia(x: Tensor, y: Tensor) -> Tensor:
    return 8 * (x - 1) ** 2 * (1.3 * x**2 + 2 * x + 1) + (y - 4) ** 2 / 2


def _quadratic(x: Tensor, y: Tensor) -> Tensor:
    return (x**2 + 4 * y**2) / 2


_STYBLINSKI = (-2.9035340277711771, 2.7468027709908369)  # of one coordinate: lowest, other
_HAIR = "the start is {} off the axis of symmetry, on which nothing would ever leave the saddle"

SURFACES: tuple[Surface, ...] = (
    Surface("beale", "Beale's function", "(1.5 − x + xy)² + (2.25 − x + xy²)² + (2.625 − x + xy³)²",
            _beale, (-1.5, 4.5, -2.5, 2.5), (1.0, 1.5), minima=((3.0, 0.5),),
            saddles=((0.0, 1.0),)),
    Surface("rosenbrock", "Rosenbrock's function", "(1 − x)² + 100 (y − x²)²",
            _rosenbrock, (-2.0, 2.0, -1.0, 3.0), (-1.5, 2.5), steps=400, minima=((1.0, 1.0),)),
    Surface("rastrigin", "Rastrigin's function", "20 + x² + y² − 10 (cos 2πx + cos 2πy)",
            _rastrigin, (-5.12, 5.12, -5.12, 5.12), (3.3, -2.7), minima=((0.0, 0.0),)),
    Surface("styblinski-tang", "Styblinski–Tang function",
            "½ (x⁴ − 16x² + 5x + y⁴ − 16y² + 5y)",
            _styblinski_tang, (-5.0, 5.0, -5.0, 5.0), (0.4, 4.6),
            minima=((_STYBLINSKI[0], _STYBLINSKI[0]),),
            local=((_STYBLINSKI[0], _STYBLINSKI[1]), (_STYBLINSKI[1], _STYBLINSKI[0]),
                   (_STYBLINSKI[1], _STYBLINSKI[1]))),
    Surface("himmelblau", "Himmelblau's function", "(x² + y − 11)² + (x + y² − 7)²",
            _himmelblau, (-5.0, 5.0, -5.0, 5.0), (-0.3, -0.9),
            minima=((3.0, 2.0), (-2.805118086952745, 3.131312518250573),
                    (-3.779310253377747, -3.283185991286170),
                    (3.584428340330492, -1.848126526964404)),
            note="the start is close to the hilltop, from where there are ways to all minima"),
    Surface("saddle", "Saddle", "x² − y²", _saddle, (-2.0, 2.0, -2.0, 2.0), (1.5, 1e-6), steps=120,
            saddles=((0.0, 0.0),), bounded=False, note=_HAIR.format("10⁻⁶")),
    Surface("monkey-saddle", "Monkey saddle", "x³ − 3xy²", _monkey, (-2.0, 2.0, -2.0, 2.0),
            (1.5, 1e-4), saddles=((0.0, 0.0),), bounded=False, note=_HAIR.format("10⁻⁴")),
    Surface("ravine", "Long ravine", "0.05 x² + 5 y²", _ravine, (-10.0, 3.0, -2.5, 2.5),
            (-9.0, 1.5), minima=((0.0, 0.0),)),
    Surface("plateau", "Plateau", "1 − exp(−(x² + y²) / 2)", _plateau, (-4.0, 4.0, -4.0, 4.0),
            (-3.0, 2.0), steps=300, minima=((0.0, 0.0),)),
    Surface("sophia", "Sophia's toy: sharp in x, flat in y",
            "8 (x − 1)² (1.3x² + 2x + 1) + ½ (y − 4)²", _sophia, (-1.3, 1.9, -0.5, 5.0),
            (0.2, 0.0), minima=((1.0, 4.0),), local=((-3.4 / 5.2, 4.0),), saddles=((0.0, 4.0),)),
    Surface("noisy", "Noisy quadratic", "½ (x² + 4y²), noise on the gradient", _quadratic,
            (-4.0, 2.0, -2.5, 2.5), (-3.5, 2.0), minima=((0.0, 0.0),), noise=2.0),
)  # fmt: skip


def names() -> tuple[str, ...]:
    """Of all surfaces."""
    return tuple(surface.name for surface in SURFACES)


def lookup(name: str) -> Surface:
    """The surface of a name; ValueError names the nearest."""
    for surface in SURFACES:
        if surface.name == name.lower():
            return surface
    raise ValueError(
        f"unknown surface {name!r}; known are {', '.join(names())}, and my.py:function"
        f"{nearest(name.lower(), names())}"
    )
