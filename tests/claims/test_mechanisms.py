"""Claims that compute what they are about: as they came out, and against numbers by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from glissade.claims import base, lab, mechanisms, overshoot, toys
from glissade.claims.march import march
from tests.claims.made import computed

CLAIMS = {claim.name: claim for claim in mechanisms.CLAIMS}
CAME_OUT = dict.fromkeys(CLAIMS, "reproduced") | {"sophia-surface": "not reproduced"}


@pytest.mark.parametrize("name", CLAIMS)
def test_it_comes_out_as_it_did(name: str) -> None:
    found = lab.judged(CLAIMS[name], computed(name))
    assert found.verdict == CAME_OUT[name]
    assert not found.edges
    assert all(part.each for part in found.parts)
    assert CLAIMS[name].seeds in (1, len(found.parts[0].each))


@pytest.mark.parametrize("name", CLAIMS)
def test_exchanged_labels_turn_it(name: str) -> None:
    turned = base.exchanged(computed(name), *CLAIMS[name].between)
    other = {"reproduced": "not reproduced", "not reproduced": "reproduced"}[CAME_OUT[name]]
    assert lab.judged(CLAIMS[name], turned).verdict == other


def test_sophia_loses_to_adam_by_its_averages_alone() -> None:
    found = lab.judged(CLAIMS["sophia-surface"], computed("sophia-surface"))
    verdicts = [part.verdict for part in found.parts]
    assert verdicts == ["not reproduced", *["reproduced"] * 5]


def test_newtons_first_step_on_the_toy_by_hand() -> None:
    """At x = 0.2 the slope is −5.6832 and bends by −27.968; y is a parabola's."""
    points = computed("sophia-surface")["newton"].points
    assert points[1] == pytest.approx([0.2 - 5.6832 / 27.968, 4.0], abs=1e-12)
    (bends,) = toys._diagonal(torch.tensor([[0.2, 0.0]], dtype=torch.float64))
    assert bends.tolist() == pytest.approx([-27.968, 1.0])


def test_sophias_first_steps_without_averages_by_hand() -> None:
    """lr along x, where it bends down, and along y, where −4 / 1 is clipped."""
    text = toys.RACERS["plain"]
    slope, bends = torch.tensor([[-5.6832, -4.0]]), torch.tensor([[-27.968, 1.0]])
    course = march(text, (0.25,), toys.TOY.start, lambda points, t: slope, 1, lambda points: bends)
    assert course[1, 0] == pytest.approx([0.45, 0.25])


def test_passes_are_counted_until_it_is_near_for_good() -> None:
    far, near = (9.0, 9.0), (1.0, 4.05)
    assert toys.Way(np.array([far, near, far, near, near])).passes == 3
    assert toys.Way(np.array([far, near, far, near, near]), 2).passes == 6
    assert toys.Way(np.array([far, near, (math.nan, 0.0)])).passes == 3
    assert toys.Way(np.array([far] * (toys.PASSES + 1))).passes == toys.PASSES


def test_sgd_leaves_the_saddle_after_as_many_steps_as_by_hand() -> None:
    """y grows by 1 + 2 lr in each step, x shrinks by 1 − 2 lr."""
    lr = toys.ESCAPE_RATES[0]
    leaves = math.ceil(math.log(1e6) / math.log1p(2 * lr))
    halves = math.ceil(math.log(0.5) / math.log1p(-2 * lr))
    assert toys._delay(computed("saddle-escape")["sgd|0"]) == leaves / halves


def test_overshoot_is_what_lies_beyond() -> None:
    course = np.array([-2.0, -1.0, 0.5, 0.25, -0.1]).reshape(5, 1, 1)
    assert overshoot._beyond(course).item() == 25
    assert overshoot._crossing(course).tolist() == [2]
    assert overshoot._beyond(course[:2]).item() == 0
    assert overshoot._crossing(course[:2]).tolist() == [2]


def test_momentums_overshoot_along_the_ravine_by_its_roots() -> None:
    """x_t = Re(c r^t) with r² − (1 + μ − lr a) r + μ = 0."""
    lr = overshoot.RAVINE_RATES[-1]
    r, s = np.roots([1, -(1.9 - lr * 0.1), 0.9])
    first = 1 - lr * 0.1
    c = (first - s) / (r - s)
    way = (c * r ** np.arange(1501) + (1 - c) * s ** np.arange(1501)).real
    found = computed("nesterov-overshoots-less")["momentum|along"]
    assert found[-1] == pytest.approx(-100 * way.min(), rel=1e-9)


def test_adabounds_rates_end_within_its_bounds() -> None:
    """All at one of them: F (1 − 1 / (γt + 1)) and F (1 + 1 / γt)."""
    u = 1e-3 * mechanisms.STREAM
    ends = computed("adabound-moves")["adabound"][:, -1]
    expected = math.log10((1 + 1 / u) / (1 - 1 / (u + 1)))
    assert_close(ends, np.full(mechanisms.SEEDS, expected), rtol=1e-6, atol=0)


def test_variances_are_those_of_proposition_2() -> None:
    """With σ = 1. SGD: V = (1 − lr a)² V + (lr a)². Lookahead, d = (1 − lr a)^k: from φ its k steps
    come to d φ with the variance (1 − d²) V, of which φ takes the share α."""
    a = mechanisms.LR * mechanisms.CURVATURES
    d = (1 - a) ** mechanisms.FAST
    alpha = mechanisms.SHARE
    sgd = a**2 / (1 - (1 - a) ** 2)
    noise = alpha**2 * (1 - d**2)
    lookahead = noise / (noise + 2 * alpha * (1 - alpha) * (1 - d)) * sgd
    assert_close(lookahead, noise * sgd / (1 - (1 - alpha + alpha * d) ** 2), rtol=1e-12, atol=0)
    found = computed("lookahead-variance")
    for name, expected in (("sgd", sgd), ("lookahead", lookahead)):
        spread = found[name].std(axis=0, ddof=1) / math.sqrt(mechanisms.SEEDS)
        assert (np.abs(found[name].mean(axis=0) - expected) < 4 * spread).all()
        assert (spread < 0.02 * expected).all()
