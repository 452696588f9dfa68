"""Planes through weights: their directions, what they explain, and the pictures of them."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn
from typer.testing import Result

from glissade.draw import landscape, landscape_picture
from glissade.draw.landscape import Pictured, filter_normalised, heights, principal
from glissade.draw.model import Problem, flat, load
from glissade.draw.training import one_thread, train
from glissade.spec import specs
from tests.draw.program import run


def _paths(*lengths: int, size: int = 30) -> tuple[list[Tensor], Tensor]:
    generator = torch.Generator().manual_seed(1)
    rows = [torch.randn(n, size, generator=generator).cumsum(0) for n in lengths]
    return rows, rows[0][-1].clone()


def test_the_principal_plane_is_that_of_the_svd(monkeypatch: pytest.MonkeyPatch) -> None:
    paths, origin = _paths(7, 5)
    plane = principal(paths, origin, [True, True])
    apart = np.concatenate([path.numpy() for path in paths]).astype(float) - origin.numpy()
    u, s, v = np.linalg.svd(apart, full_matrices=False)
    assert plane.shares == pytest.approx(tuple(s[:2] ** 2 / (s**2).sum()))
    assert np.abs(plane.directions.numpy() @ v[:2].T) == pytest.approx(np.eye(2), abs=1e-6)
    places = np.concatenate(plane.places)
    assert np.abs(places) == pytest.approx(np.abs(u[:, :2] * s[:2]), abs=1e-5)
    assert plane.places[0][-1] == pytest.approx([0, 0])  # the origin itself
    monkeypatch.setattr(landscape, "COLUMNS", 7)  # in pieces it is the same
    again = principal(paths, origin, [True, True])
    assert torch.allclose(again.directions, plane.directions)
    assert again.off == pytest.approx(plane.off)


def test_what_is_explained_and_the_residual_add_up() -> None:
    paths, origin = _paths(7, 5, 9)
    plane = principal(paths, origin, [True, True, True])
    assert sum(plane.shares) + plane.residual == pytest.approx(1)
    total = [float(((path - origin).double() ** 2).sum()) for path in paths]
    off = sum(share * size for share, size in zip(plane.off, total, strict=True))
    assert off / sum(total) == pytest.approx(plane.residual)
    assert all(0 < share < 1 for share in plane.off)
    eye = plane.directions @ plane.directions.T
    assert torch.allclose(eye, torch.eye(2, dtype=torch.float64), atol=1e-6)


def test_a_path_that_is_not_counted_is_placed_all_the_same() -> None:
    paths, origin = _paths(7, 5)
    plane = principal([paths[0], 1e6 * paths[1]], origin, [True, False])
    alone = principal(paths[:1], origin, [True])
    assert torch.allclose(plane.directions, alone.directions)
    assert plane.places[1].shape == (5, 2)


def test_points_on_a_line_still_have_a_plane() -> None:
    line = torch.arange(5.0)[:, None] * torch.ones(6)
    plane = principal([line], line[-1], [True])
    assert plane.shares == pytest.approx((1, 0))
    assert plane.off[0] == pytest.approx(0, abs=1e-12)
    eye = plane.directions @ plane.directions.T
    assert torch.allclose(eye, torch.eye(2, dtype=torch.float64), atol=1e-9)
    with pytest.raises(ValueError, match="no optimizer moved"):
        principal([line[:1]], line[0], [True])


def test_filter_normalised_directions_have_the_filters_norms() -> None:
    net = nn.Sequential(nn.Conv2d(3, 5, 2), nn.BatchNorm2d(5), nn.Flatten(), nn.Linear(20, 4))
    params = list(net.parameters())
    directions = filter_normalised(params, seed=2)
    assert directions.shape == (2, sum(p.numel() for p in params))
    assert torch.equal(directions, filter_normalised(params, seed=2))
    assert not torch.equal(directions[0], directions[1])
    for row in directions:
        parts = row.split([p.numel() for p in params])
        for p, part in zip(params, parts, strict=True):
            if p.ndim < 2:
                assert not part.any()
                continue
            lengths = part.reshape(len(p), -1).norm(dim=1)
            assert torch.allclose(lengths, p.detach().double().reshape(len(p), -1).norm(dim=1))


class _Bowl(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.x = nn.Parameter(torch.tensor([[1.0, -2.0, 0.5]], dtype=torch.float64))
        self.shift: Tensor
        self.register_buffer("shift", torch.zeros((), dtype=torch.float64))


CURVES = torch.tensor([1.0, 4.0, 9.0], dtype=torch.float64)


def _bowl() -> Problem:
    def loss(model: nn.Module, step: int | None) -> Tensor:
        assert isinstance(model, _Bowl)
        return (CURVES * model.x**2).sum() / 2 + model.shift

    return Problem("bowl", "bowl", "a bowl", _Bowl(), loss, "")


def test_the_landscape_of_a_quadratic_is_the_quadratic() -> None:
    problem = _bowl()
    before = flat(problem.params)
    origin = torch.tensor([0.3, 0.2, -0.1], dtype=torch.float64)
    directions = torch.eye(3, dtype=torch.float64)[:2]
    xs, ys = np.linspace(-1, 2, 5), np.linspace(-2, 1, 4)
    three = torch.tensor(3.0, dtype=torch.float64)
    values = heights(problem, origin, directions, xs, ys, [three])
    x, y = np.meshgrid(xs + 0.3, ys + 0.2)
    assert values == pytest.approx((x**2 + 4 * y**2 + 9 * 0.1**2) / 2 + 3, rel=1e-12)
    assert torch.equal(flat(problem.params), before)
    assert problem.model.shift == 0


def test_the_landscape_at_the_end_is_the_loss_at_the_end() -> None:
    problem = load("digits-small")
    made = _pictured(problem, "sgd, adam")
    best = made.runs[made.best]
    assert best.loss == min(run.loss for run in made.runs)
    plane = principal([run.path for run in made.runs], best.end, [True, True])
    zero = np.zeros(1)
    with one_thread(problem):
        middle = heights(problem, best.end, plane.directions, zero, zero, [])[0, 0]
    assert middle == pytest.approx(best.loss, rel=1e-6)
    (other,) = (i for i in (0, 1) if i != made.best)
    point = plane.places[other][-1]
    assert float(np.hypot(*point)) <= float((made.runs[other].end - best.end).norm())


def _pictured(problem: Problem, optimizers: str, lr: float = 0.05) -> Pictured:
    with one_thread(problem):
        runs = tuple(train(problem, spec, lr, 20, 0, range(21)) for spec in specs(optimizers))
    return Pictured(problem, runs, 20, 0, "Rates.", (), "glissade draw model")


def test_what_is_not_finite_is_blank_and_counted() -> None:
    made = _pictured(_bowl(), "sgd, adam")
    values = np.array([[1.0, 2.0, np.inf], [np.nan, 4.0, 100.0], [1.0, 1.0, 1.0]])
    norm, levels, logarithmic = landscape_picture.scale(values)
    assert (norm.vmin, norm.vmax, logarithmic) == (1, 100, True)
    assert levels[[0, -1]] == pytest.approx([1, 100])
    best = made.runs[made.best]
    plane = principal([run.path for run in made.runs], best.end, [True, True])
    words = " ".join(landscape_picture._principal_words(made, plane, values, True))
    assert "2 of them are not finite, and blank" in words
    assert "in eval mode" in words
    assert f"Batch-norm statistics everywhere stay as {best.spec.label}’s training left" in words
    with pytest.raises(ValueError, match="no loss around the end of training is finite"):
        landscape_picture.scale(np.full((2, 2), np.nan))
    _, _, logarithmic = landscape_picture.scale(np.array([[-1.0, 2.0]]))
    assert not logarithmic


def test_a_path_that_leaves_is_marked_where_it_does() -> None:
    square = np.linspace(-1, 1, 5)
    grid = (square, square, np.zeros((5, 5)))
    away = np.array([[0.0, 0.0], [0.5, 0.0], [4.5, 2.0]])
    assert landscape_picture._exit(away, grid) == pytest.approx([1, 0.25])
    assert landscape_picture._exit(away[:2], grid) == pytest.approx([0.5, 0])
    up = np.array([[0.0, 0.0], [0.0, 9.0]])
    assert landscape_picture._exit(up, grid) == pytest.approx([0, 1])


@pytest.mark.parametrize("span", [(1e-4, 10.0), (0.3, 0.9), (1.0, 1.6), (1e-30, 1e30)])
def test_the_colour_bar_has_numbers_that_can_be_read(span: tuple[float, float]) -> None:
    ticks = landscape_picture._log_ticks(*span)
    assert 3 <= len(ticks) <= 8
    assert all(span[0] * 0.99 <= tick <= span[1] * 1.01 for tick in ticks)


# The command

QUICK = ["--steps", "8", "--resolution", "5", "--lr", "0.05"]


def _run(*words: str) -> Result:
    return run("model", *words)


def test_it_draws_both_kinds_with_a_run_that_diverges(tmp_path: Path) -> None:
    words = ["-o", "sgd,adam,sgd(lr=100000.0)", *QUICK, "--out", str(tmp_path)]
    result = _run("digits-small", *words)
    assert result.exit_code == 0, result.output
    assert {path.name for path in tmp_path.iterdir()} == {
        "digits-small-pca.png",
        "digits-small-filter.png",
    }
    assert result.stdout.strip().splitlines()[-1].strip() == (
        "glissade draw model digits-small -o 'sgd,adam,sgd(lr=100000.0)' --steps 8 --lr 0.05 "
        f"--resolution 5 --out {tmp_path}"
    )
    for path in tmp_path.iterdir():
        with Image.open(path) as image:
            assert image.width == 1600
            assert image.info["Command"].startswith("glissade draw model digits-small")


@pytest.mark.parametrize("own", [False, True])
def test_tasks_of_compare(tmp_path: Path, own: bool) -> None:
    example = Path(__file__).parents[2] / "examples" / "own_task.py"
    task, name = (f"{example}:task", "own_task") if own else ("digits-conv", "digits-conv")
    result = _run(task, "-o", "adam", *QUICK[:-1], "0.003", "--out", str(tmp_path))
    assert result.exit_code == 0, result.output
    assert {x.name for x in tmp_path.iterdir()} == {f"{name}-pca.png", f"{name}-filter.png"}


def test_one_kind_alone(tmp_path: Path) -> None:
    for kind in ("pca", "filter"):
        _run("digits-small", "-o", "sgd", "--directions", kind, *QUICK, "--out", str(tmp_path))
        assert (tmp_path / f"digits-small-{kind}.png").is_file()
    assert len(list(tmp_path.iterdir())) == 2


def test_help_has_an_example() -> None:
    assert "Example: glissade draw model digits-small" in _run("--help").output


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["digit"], "unknown model 'digit'.*did you mean 'digits'"),
        (["none.py:build"], "there is no file none.py"),
        (["{own}:vector", *QUICK], "has no filters, only vectors: write --directions pca"),
        (["{own}:text"], "its loss returns no scalar tensor but a str"),
        (["digits", "-o", "adm"], "unknown optimizer 'adm'"),
        (["digits", "-o", "newton"], "newton on digits: Newton: 17226 parameters"),
        (["digits", "--lr", "shared"], "--lr shared: write tuned, default, or a number"),
        (["digits", "--steps", "0"], "--steps 0: allowed are 1 to"),
        (["digits", "--resolution", "2"], "--resolution 2: allowed are 5 to 401"),
        (["digits", "--directions", "up"], "--directions up: known are pca, filter, both"),
        (["digits", "-o", "sgd", "--out", "{own}/sub"], "cannot write in .*: Not a directory"),
        (["digits-small", "-o", "sgd", *QUICK[:4], "--lr", "1e9"], "every optimizer diverged"),
    ],
)
def test_bad_input_is_one_line_and_2_before_anything_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: list[str], said: str
) -> None:
    own = tmp_path / "my.py"
    own.write_text(
        "import torch\nfrom torch import nn\n"
        "def vector(): return nn.LayerNorm(3), lambda m: m.weight.square().sum()\n"
        "def text(): return nn.Linear(2, 2), lambda m: 'x'\n"
    )
    monkeypatch.chdir(tmp_path)
    result = _run(*[word.format(own=own) for word in words])
    assert result.exit_code == 2
    assert not result.stdout
    line = result.stderr.strip().splitlines()[-1]
    assert line.startswith("glissade draw model: ")
    assert re.search(said, line), line
    assert not list(tmp_path.rglob("*.png"))
