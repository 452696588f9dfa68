"""Runs on a surface are the library's own optimizers, step by step."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.testing import assert_close

import glissade
from glissade.draw import surfaces
from glissade.draw.rates import Rates, choose
from glissade.draw.trajectories import REACH, Run, follow
from glissade.spec import specs

ADAM, SGD = specs("adam, sgd")


def _one(surface: str, optimizer: str, lr: float, steps: int, seed: int = 0) -> Run:
    (spec,) = specs(optimizer)
    return follow(surfaces.lookup(surface), [(spec, lr)], steps, seed=seed)[0]


@pytest.mark.parametrize(
    "text", ["sgd", "nesterov", "adam", "lion", "clip_norm(adagrad, max_norm=1.0)", "adafactor"]
)
def test_a_run_is_a_loop_by_hand(text: str) -> None:
    surface, (spec,) = surfaces.lookup("beale"), specs(text)
    point = torch.tensor(surface.start, dtype=torch.float64, requires_grad=True)
    optimizer = spec.optimizer([point], 0.002)
    path, losses, norms = [surface.start], [float(surface.value(point).detach())], []
    for _ in range(30):
        optimizer.zero_grad()
        surface.value(point).backward()  # type: ignore[no-untyped-call]
        norms.append(float(point.grad.norm()))  # type: ignore[union-attr]
        optimizer.step()
        path.append(tuple(point.tolist()))
        losses.append(float(surface.value(point).detach()))
    # Among others, whose steps must not touch it.
    run = follow(surface, [(ADAM, 0.1), (spec, 0.002), (SGD, 10.0)], 30)[1]
    assert_close(torch.tensor(run.points), torch.tensor(path), rtol=1e-12, atol=1e-12)
    assert_close(torch.tensor(run.losses), torch.tensor(losses), rtol=1e-11, atol=1e-12)
    assert_close(torch.tensor(run.norms), torch.tensor(norms), rtol=1e-11, atol=1e-12)
    assert (run.end, run.steps) == ("", 30)


def test_a_schedule_is_followed() -> None:
    run = _one("ravine", "sgd @ linear(10)", 0.1, 15)
    x = surfaces.lookup("ravine").start[0]
    for t, (here, _) in enumerate(run.points[1:]):
        x -= 0.1 * max(1 - t / 10, 0) * 0.1 * x
        assert here == pytest.approx(x, rel=1e-12)


def test_an_eager_backend_goes_the_same_way() -> None:
    runs = [
        follow(surfaces.lookup("beale"), [(ADAM, 0.05)], 20, backend=backend)[0]
        for backend in ("cpu", "eager")
    ]
    a, b = (torch.tensor(run.points) for run in runs)
    assert_close(a, b, rtol=1e-9, atol=1e-9)


def test_newton_takes_its_closure_and_goes_to_the_saddle() -> None:
    run = _one("sophia", "newton", 0.3, 40)
    assert run.points[-1] == pytest.approx((0.0, 4.0), abs=1e-3)
    assert _one("ravine", "newton", 1.0, 1).points[-1] == pytest.approx((0, 0), abs=1e-12)


def test_a_singular_hessian_stops_the_run_and_says_so() -> None:
    flat = replace(surfaces.lookup("ravine"), function=lambda x, y: x + 0 * y)
    run = follow(flat, [(specs("newton")[0], 1.0)], 5)[0]
    assert "singular" in run.end
    assert run.diverged
    assert run.steps == 0


def test_sophia_is_given_its_curvature_by_hutchinson_seeded() -> None:
    run, again = (_one("sophia", "sophia(k=3)", 0.05, 20) for _ in range(2))
    assert run.curvature
    assert run.points == again.points
    assert run.steps == 20
    free = "sophia(k=3, gamma=10)"  # whose steps are not all cut
    assert _one("sophia", free, 0.05, 20).points != _one("sophia", free, 0.05, 20, seed=1).points


def test_lookaheads_slow_weights_are_recorded_apart() -> None:
    run = _one("ravine", "lookahead(adam, k=4, alpha=0.5)", 0.1, 12)
    fast, slow = run.points, run.slow
    assert len(slow) == len(fast) == 13
    assert slow[:4] == [fast[0]] * 4
    assert slow[4] == fast[4] != fast[3]
    assert slow[4:8] == [slow[4]] * 4
    assert not _one("ravine", "adam", 0.1, 3).slow


def test_noise_is_seeded_and_the_same_for_all() -> None:
    noisy = surfaces.lookup("noisy")
    a, b = follow(noisy, [(SGD, 0.1), (SGD, 0.1)], 20)
    assert a.points == b.points
    assert a.points != _one("noisy", "sgd", 0.1, 20, seed=1).points
    quiet = follow(replace(noisy, noise=0.0), [(SGD, 0.1)], 20)[0]
    step = torch.tensor(a.points[1]) - torch.tensor(quiet.points[1])
    noise = torch.from_numpy(np.random.default_rng(0).standard_normal((20, 2)))
    assert_close(step.double(), -0.1 * noisy.noise * noise[0], rtol=1e-5, atol=1e-6)
    # Newton's closure has it, too.
    newton = _one("noisy", "newton", 1.0, 1)
    curvature = torch.tensor([1.0, 4.0], dtype=torch.float64)
    at = torch.tensor(newton.points[1], dtype=torch.float64)
    assert_close(at, -noisy.noise * noise[0] / curvature)


def test_who_diverges_is_cut_kept_and_counted() -> None:
    ravine = surfaces.lookup("ravine")
    wild, tame, huge = follow(ravine, [(SGD, 0.25), (SGD, 0.01), (SGD, 1e300)], 100)
    assert wild.end == "diverged"
    assert wild.diverged
    assert wild.steps < 100
    assert not ravine.inside(*wild.points[-1], REACH)
    assert all(ravine.inside(*point, REACH) for point in wild.points[:-1])
    assert len(wild.points) == len(wild.losses) == len(wild.norms) + 1
    assert tame.end == ""
    assert huge.end == "diverged"
    assert all(map(math.isfinite, huge.losses))
    outcome = choose(ravine, specs("sgd(lr=0.25), sgd(lr=0.01)"), Rates("tuned"), 50)
    assert [run.diverged for run in outcome.runs] == [True, False]


def test_leaving_downhill_is_not_diverging() -> None:
    run = _one("saddle", "adam", 0.3, 100)
    assert run.end == "left"
    assert not run.diverged
    uphill = _one("saddle", "sgd", 1.5, 100)  # x swings out before y has left
    assert uphill.end == "diverged"


def test_functions_for_single_numbers_run_as_others_do() -> None:
    ravine = surfaces.lookup("ravine")

    def single(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        assert x.ndim == 0
        return ravine.function(x, y)

    a = follow(replace(ravine, function=single), [(ADAM, 0.1), (SGD, 0.01)], 10)
    b = follow(ravine, [(ADAM, 0.1), (SGD, 0.01)], 10)
    for one, other in zip(a, b, strict=True):
        assert_close(torch.tensor(one.points), torch.tensor(other.points), rtol=1e-12, atol=0)


def test_newton_is_recognised() -> None:
    from glissade.draw.trajectories import needs_closure, needs_curvature

    point = torch.zeros(2, dtype=torch.float64, requires_grad=True)
    assert needs_closure(glissade.Newton([point]))
    assert not needs_closure(glissade.AdamW([point]))
    assert needs_curvature(glissade.Sophia([point]))
    assert not needs_curvature(glissade.AdamW([point]))
