"""Trust ratios, as the optimizers used them, against the transcriptions of their papers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn
from typer.testing import Result

from glissade.draw import trust
from glissade.draw.model import Problem, flat
from glissade.spec import specs
from tests.draw.program import refuses, run
from tests.oracles import algorithms, more_algorithms, wrappers
from tests.oracles.transcriptions import make

STEPS, LR = 6, 0.05
SHAPES = [(3, 4), (4,), (2, 2)]


class _Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(5)
        some = [torch.randn(shape, generator=generator, dtype=torch.float64) for shape in SHAPES]
        some[1].zero_()  # whose ratio is 1 in the first step
        self.parts = nn.ParameterList(some)


def _problem() -> tuple[Problem, list[list[Tensor]]]:
    """A loss whose gradients are given."""
    generator = torch.Generator().manual_seed(6)
    pulls = [
        [torch.randn(shape, generator=generator, dtype=torch.float64) for shape in SHAPES]
        for _ in range(STEPS)
    ]

    def loss(model: nn.Module, step: int | None) -> Tensor:
        terms = zip(pulls[step or 0], model.parameters(), strict=True)
        return sum(((pull * p).sum() for pull, p in terms), torch.zeros(()).double())

    return Problem("net", "net", "a net", _Net(), loss, "batches of its own"), pulls


CASES: list[tuple[str, str, dict[str, Any]]] = [
    ("lamb", "lamb", {}),
    ("lamb(weight_decay=0.3, betas=(0.8, 0.9))", "lamb",
     {"weight_decay": 0.3, "betas": (0.8, 0.9)}),
    ("lamb(phi_bounds=(0.5, 2.0))", "lamb", {"phi_bounds": (0.5, 2.0)}),
    ("lars", "lars", {}),
    ("lars(momentum=0.0, weight_decay=0.2)", "lars", {"momentum": 0.0, "weight_decay": 0.2}),
    ("ralamb", "ralamb", {}),
    ("ralamb(weight_decay=0.1, decay=decoupled)", "ralamb",
     {"weight_decay": 0.1, "decay": "decoupled"}),
    ("layerwise(adamw(weight_decay=0.1))", "adamw",
     {"weight_decay": 0.1, "wrappers": (("layerwise", {}),)}),
]  # fmt: skip


@pytest.mark.parametrize(("text", "name", "hyper"), CASES, ids=[case[0] for case in CASES])
def test_ratios_are_those_of_the_transcription(
    monkeypatch: pytest.MonkeyPatch, text: str, name: str, hyper: dict[str, Any]
) -> None:
    problem, pulls = _problem()
    (spec,) = specs(text)
    found = trust.trace(problem, spec, LR, STEPS, 0).ratios
    seen: list[float] = []
    original = algorithms.trust

    def watched(p: Any, d: Any, phi_bounds: Any) -> float | None:
        ratio = original(p, d, phi_bounds)
        scale = LR if "layerwise" in text or name == "ralamb" else 1.0  # there d has lr in it
        seen.append(1.0 if ratio is None else scale * ratio)
        return ratio

    for module in (algorithms, more_algorithms, wrappers):
        monkeypatch.setattr(module, "trust", watched)
    oracle = make(name, SHAPES, lr=LR, **hyper)
    params = [p.detach().numpy() for p in problem.params]
    for grads in pulls:
        params = oracle.step(params, [g.numpy() for g in grads])
    assert found == pytest.approx(np.array(seen).reshape(STEPS, len(SHAPES)), rel=1e-9)
    assert found[0, 1] == pytest.approx(1)  # ‖p‖ = 0
    assert np.abs(found - 1).max() > 0.1


def test_a_schedule_does_not_change_what_a_ratio_is() -> None:
    problem, _ = _problem()
    constant, falling = specs("lamb, lamb @ cosine(6)")
    first = trust.trace(problem, constant, LR, 2, 0).ratios
    second = trust.trace(problem, falling, LR, 2, 0).ratios
    assert second[0] == pytest.approx(first[0])
    full = trust.trace(problem, falling, LR, STEPS, 0).ratios
    assert np.isfinite(full).all()


def test_the_model_is_left_as_it_was() -> None:
    problem, _ = _problem()
    before, state = flat(problem.params), torch.get_rng_state()
    trust.trace(problem, specs("lamb")[0], LR, STEPS, 0)
    assert torch.equal(flat(problem.params), before)
    assert all(p.grad is None for p in problem.params)
    assert torch.equal(torch.get_rng_state(), state)


def test_a_tensor_without_a_gradient_has_no_ratio() -> None:
    problem, _ = _problem()
    inner = problem.loss
    first = problem.params[0]

    def loss(model: nn.Module, step: int | None) -> Tensor:
        return inner(model, step) - (first * (inner(model, step).detach() * 0)).sum()

    frozen = Problem("net", "net", "a net", problem.model, loss, "")
    assert np.isfinite(trust.trace(frozen, specs("lamb")[0], LR, 2, 0).ratios).all()

    def without(model: nn.Module, step: int | None) -> Tensor:
        return sum((p.square().sum() for p in problem.params[1:]), torch.zeros(()).double())

    lacking = Problem("net", "net", "a net", problem.model, without, "")
    ratios = trust.trace(lacking, specs("lamb")[0], LR, 2, 0).ratios
    assert np.isnan(ratios[:, 0]).all()


def test_it_is_seen_to_diverge() -> None:
    problem, _ = _problem()

    def loss(model: nn.Module, step: int | None) -> Tensor:
        return sum((p.square().sum() for p in model.parameters()), torch.zeros(()).double())

    steep = Problem("net", "net", "a net", problem.model, loss, "")
    one = trust.trace(steep, specs("lars")[0], 50.0, 40, 0)
    assert one.diverged
    assert 0 < len(one.ratios) < 40


# The command


def _run(*words: str) -> Result:
    return run("trust", *words)


def test_it_draws_a_panel_for_each(tmp_path: Path) -> None:
    words = ["-o", "lamb,lars,layerwise(sgd)", "--lr", "0.01", "--steps", "12"]
    result = _run("--model", "digits-small", *words, "--out", str(tmp_path))
    assert result.exit_code == 0, result.output
    (path,) = tmp_path.iterdir()
    with Image.open(path) as image:
        assert image.width == 1600
        assert image.height > 1600
        assert image.info["Command"] == (
            "glissade draw trust --model digits-small -o 'lamb,lars,layerwise(sgd)' --steps 12 "
            "--lr 0.01"
        )


def test_help_has_an_example() -> None:
    assert "Example: glissade draw trust --model digits" in _run("--help").output


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["-o", "adam"], "adam has no trust ratio of its own; known are lamb, lars, ralamb"),
        (["-o", "rangerlars"], "rangerlars has no trust ratio"),
        (["-o", "lookahead(lamb)"], "has no trust ratio of its own"),
        (["-o", "layerwise(lookahead(adam))"], "more than a scaled direction"),
        (["-o", "layerwise(sophia)"], "more than a scaled direction"),
        (["-o", "lars(variant=official)"], "scales what enters its velocity"),
        (["-o", "lamb(bias_correction=False)"], "with the correction only"),
        (["-o", "lam"], "unknown optimizer 'lam'"),
        (["--model", "digit"], "unknown model 'digit'"),
        (["--lr", "x"], "--lr x: write tuned, default, or a number"),
        (["--steps", "0"], "--steps 0: allowed are 1"),
    ],
)
def test_bad_input_is_one_line_and_2_before_anything_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: list[str], said: str
) -> None:
    refuses(tmp_path, monkeypatch, "trust", words, said)
