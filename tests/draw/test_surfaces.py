"""Every surface has what it says it has: minima, saddle points, a start in its box."""

from __future__ import annotations

import math

import pytest
import torch

from glissade.draw import surfaces
from glissade.draw.surfaces import SURFACES, Point, Surface
from glissade.newton import derivatives

LOWEST = {
    "beale": 0, "rosenbrock": 0, "rastrigin": 0, "styblinski-tang": -78.33233140754,
    "himmelblau": 0, "ravine": 0, "plateau": 0, "sophia": 0, "noisy": 0,
}  # fmt: skip
each = pytest.mark.parametrize("surface", SURFACES, ids=surfaces.names())


def _derivatives(surface: Surface, point: Point) -> tuple[float, torch.Tensor]:
    """The gradient's norm and the Hessian's eigenvalues."""
    at = torch.tensor(point, dtype=torch.float64, requires_grad=True)
    gradient, hessian = derivatives(surface.value(at), [at])
    return float(gradient.norm()), torch.linalg.eigvalsh(hessian)


@each
def test_minima_are_minima(surface: Surface) -> None:
    assert bool(surface.minima) == surface.bounded == (surface.name in LOWEST)
    for point in surface.minima:
        value = float(surface.value(torch.tensor(point, dtype=torch.float64)))
        assert value == pytest.approx(LOWEST[surface.name], abs=1e-10)
    for point in surface.minima + surface.local:
        norm, curvatures = _derivatives(surface, point)
        assert norm < 1e-8
        assert (curvatures > 0).all()
    if surface.minima:
        assert surface.grid(101)[2].min() > LOWEST[surface.name] - 1e-9


@each
def test_saddle_points_are_saddle_points(surface: Surface) -> None:
    for point in surface.saddles:
        norm, curvatures = _derivatives(surface, point)
        assert norm < 1e-12
        flat = surface.name == "monkey-saddle"  # three ways down, and no curvature at all
        assert (curvatures == 0).all() if flat else curvatures[0] < 0 < curvatures[1]


@each
def test_the_start_is_in_the_box_and_has_somewhere_to_go(surface: Surface) -> None:
    assert surface.inside(*surface.start)
    assert _derivatives(surface, surface.start)[0] > 1e-3
    for point in surface.minima + surface.local + surface.saddles:
        assert surface.inside(*point)


@pytest.mark.parametrize("name", ["saddle", "monkey-saddle"])
def test_saddles_are_started_a_hair_off_the_axis_and_say_so(name: str) -> None:
    surface = surfaces.lookup(name)
    x, y = surface.start
    assert 0 < y < 1e-3
    assert "axis of symmetry" in surface.note
    on_axis = torch.tensor((x, 0.0), dtype=torch.float64, requires_grad=True)
    (gradient,) = torch.autograd.grad(surface.value(on_axis), on_axis)
    assert gradient[1] == 0  # nothing would ever leave
    assert surface.placed(start=(1.0, 0.5)).note == ""


def test_a_grid_of_a_function_for_single_numbers() -> None:
    def single(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        return x * y if x > 0 else y

    surface = Surface("own", "Own", "", single, (-1, 1, 0, 2), (0, 1))
    xs, ys, values = surface.grid(5)
    assert values.shape == (5, 5)
    assert values[3, 0] == ys[3]
    assert values[3, 4] == xs[4] * ys[3]


@pytest.mark.parametrize(
    ("box", "start", "words"),
    [
        ((1.0, -1.0, 0.0, 1.0), None, "low before high"),
        (None, (9.0, 0.0), "outside of the box"),
        ((0.0, 1.0, 0.0, 1.0), None, "outside of the box"),
        ((-math.inf, 1.0, 0.0, 1.0), None, "finite"),
    ],
)
def test_places_that_do_not_fit(box: surfaces.Box, start: Point, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        surfaces.lookup("ravine").placed(box, start)


def test_the_nearest_name() -> None:
    assert surfaces.lookup("Beale").name == "beale"
    with pytest.raises(ValueError, match="did you mean 'rosenbrock'"):
        surfaces.lookup("rosenbrok")
