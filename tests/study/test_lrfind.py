"""The range test: what it suggests, what it refuses to say, and its command."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from typer.testing import CliRunner

from glissade.commands import application
from glissade.spec import specs
from glissade.study.lrfind import Sweep, conclude, smoothed, steepest, sweep

RUNNER = CliRunner()


@dataclass(frozen=True)
class Problem:
    model: nn.Module
    loss: Callable[[nn.Module, int | None], Tensor]


def quadratic(curvature: float, noise: float = 0.0) -> Callable[[int], Problem]:
    """½·k·x² of one number, from 1; noise is added to the loss, not to its gradient."""

    def load(seed: int) -> Problem:
        model = nn.Linear(1, 1, bias=False, dtype=torch.float64)
        nn.init.ones_(model.weight)
        generator = torch.Generator().manual_seed(seed)

        def loss(model: nn.Module, step: int | None) -> Tensor:
            more = noise * torch.randn((), generator=generator, dtype=torch.float64)
            (weight,) = model.parameters()
            return 0.5 * curvature * weight.square().sum() + more

        return Problem(model, loss)

    return load


def sweeps(
    load: Callable[[int], Problem], low: float, high: float, seeds: int = 3, steps: int = 120
) -> list[Sweep]:
    (spec,) = specs("sgd")
    return [sweep(load, spec, seed, low, high, steps, lambda: None) for seed in range(seeds)]


@pytest.mark.parametrize("curvature", [0.01, 1.0, 300.0])
def test_on_a_quadratic_it_stays_under_two_over_the_curvature(curvature: float) -> None:
    """Beyond 2/k gradient descent diverges; far below it, nothing moves."""
    found = conclude(sweeps(quadratic(curvature), 1e-4 / curvature, 100 / curvature))
    assert found.suggestion is not None
    assert 1e-3 / curvature < found.suggestion < 2 / curvature
    assert found.lowest <= 10 / curvature
    assert "there the loss falls fastest" in found.reason


def test_rates_grow_by_one_factor_and_a_loss_that_blows_up_ends_the_run() -> None:
    (one,) = sweeps(quadratic(1.0), 1e-4, 100.0, seeds=1)
    assert one.stopped
    assert len(one.rates) < 120
    assert one.rates[0] == 1e-4
    factors = one.rates[1:] / one.rates[:-1]
    assert factors == pytest.approx(1e6 ** (1 / 119), rel=1e-9)
    (calm,) = sweeps(quadratic(1e-9), 1e-4, 100.0, seeds=1)
    assert not calm.stopped
    assert calm.rates[-1] == pytest.approx(100.0)


def test_a_loss_that_is_too_noisy_says_so() -> None:
    found = conclude(sweeps(quadratic(1.0, noise=3.0), 1e-4, 1.0))
    assert found.suggestion is None
    assert found.reason.startswith("the loss is too noisy: it falls by")
    assert conclude(sweeps(quadratic(1.0, noise=0.01), 1e-4, 1.0)).suggestion is not None


def fall(at: float) -> Sweep:
    rates = np.geomspace(1e-6, 1.0, 100)
    return Sweep(0, rates, 1 / (1 + (rates / at) ** 2), False)


def test_seeds_that_do_not_agree_say_so() -> None:
    found = conclude([fall(1e-5), fall(1e-4), fall(1e-2)])
    assert found.suggestion is None
    assert found.reason.startswith("the seeds do not agree: each alone would say")
    assert conclude([fall(1e-4), fall(1.1e-4), fall(1.2e-4)]).suggestion is not None


def test_a_loss_that_falls_to_the_end_asks_for_more() -> None:
    found = conclude([fall(3.0)])
    assert found.suggestion is None
    assert "still falls at the highest rate, 1: go further" in found.reason


def test_a_loss_that_does_not_move_is_told() -> None:
    rates = np.geomspace(1e-6, 1.0, 100)
    found = conclude([Sweep(0, rates, np.ones(100), False)])
    assert found.suggestion is None
    assert found.reason.startswith("the loss falls at no learning rate: does loss(model, step) use")


def test_one_that_blows_up_at_once_is_told() -> None:
    with pytest.raises(ValueError, match=r"blew up within \d steps: begin at a lower"):
        conclude(sweeps(quadratic(1.0), 100.0, 1e4))


def test_smoothing_keeps_lines_and_the_steepest_place_is_found() -> None:
    assert smoothed(np.full(20, 3.0), 2.0) == pytest.approx(3.0)
    rates = np.geomspace(1e-6, 1.0, 200)
    curve = 1 / (1 + np.exp(3 * (np.log(rates) - math.log(1e-3))))
    assert steepest(rates, curve) == pytest.approx(1e-3, rel=0.1)


def test_the_global_generator_is_kept() -> None:
    before = torch.get_rng_state()
    sweeps(quadratic(1.0), 1e-3, 1.0, seeds=1, steps=20)
    assert torch.equal(torch.get_rng_state(), before)


# The command

MINE = """
import torch
def build(seed):
    model = torch.nn.Linear(3, 1)
    x = torch.randn(64, 3, generator=torch.Generator().manual_seed(seed))
    y = x.sum(1, keepdim=True)
    def loss(model, step):
        return (model(x) - y).square().mean()
    return model, loss
"""


def run(*words: str) -> tuple[int, str, str]:
    result = RUNNER.invoke(application(), ["lrfind", *words])
    return result.exit_code, result.stdout, result.stderr


def test_digits(tmp_path: Path) -> None:
    pytest.importorskip("sklearn")
    out = tmp_path / "deep" / "lr.png"
    code, said, _ = run("digits-small", "-o", "adamw", "--seeds", "2", "--out", str(out))
    assert code == 0
    assert "Suggestion: lr=" in said
    assert f"--seeds 2 --out {out}" in said
    assert out.read_bytes().startswith(b"\x89PNG")
    assert [x.name for x in out.parent.iterdir()] == ["lr.png"]


OWN_TASK = Path(__file__).parents[2] / "examples" / "own_task.py"


@pytest.mark.parametrize(
    ("task", "title"),
    [
        ("diabetes", "diabetes (scikit-learn), linear regression"),
        ("quadratic", "noisy quadratic of 64 numbers, condition 1,000"),
        (f"{OWN_TASK}:task", "two spirals, MLP 2-64-64-2"),
        (str(OWN_TASK), "two spirals, MLP 2-64-64-2"),
    ],
)
def test_the_tasks_of_compare(tmp_path: Path, task: str, title: str) -> None:
    pytest.importorskip("sklearn")
    out = tmp_path / "lr.png"
    code, said, _ = run(task, "--seeds", "2", "--steps", "60", "--out", str(out))
    assert code == 0, said
    assert f"AdamW on {title}" in said
    assert "Suggestion: lr=" in said
    assert out.exists()


def test_ones_own_task(tmp_path: Path) -> None:
    file = tmp_path / "my_task.py"
    file.write_text(MINE)
    out = tmp_path / "lr.png"
    code, said, _ = run(str(file), "-o", "lookahead(sgd, k=3)", "--out", str(out))
    assert code == 0, said
    assert "lookahead(SGD, k=3) on" in said
    assert out.exists()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["digits", "-o", "adamm"], "did you mean 'adam'"),
        (["digits", "-o", "adam, sgd"], "one optimizer at a time"),
        (["digits", "-o", "adam(lr=1)"], "leave its lr out"),
        (["digits", "-o", "adam @ cosine(9)"], "leave its schedule out"),
        (["digits", "-o", "newton"], "newton has no learning rate to be found"),
        (["nofile.py"], "there is no file nofile.py"),
        (["digitz"], "did you mean 'digits'"),
        (["digits", "--range", "1"], "--range 1: write LOW,HIGH"),
        (["digits", "--range", "1,0.1"], "write LOW,HIGH"),
        (["digits", "--steps", "3"], "--steps 3: allowed are 20 to"),
        (["digits", "--out", "lr.pdf"], "--out lr.pdf: its name has to end in .png"),
        (["digits", "--out", "/proc/none/lr.png"], "cannot write in /proc/none"),
    ],
)
def test_bad_input_is_one_line_and_two(
    words: list[str], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    code, _, error = run(*words)
    assert code == 2
    assert error.startswith("glissade lrfind: ")
    assert said in error
    assert error.count("\n") == 1
    assert not list(tmp_path.rglob("*.png"))


def test_a_model_that_returns_no_scalar(tmp_path: Path) -> None:
    file = tmp_path / "my_task.py"
    file.write_text(MINE.replace(".mean()", ""))
    code, _, error = run(str(file), "--out", str(tmp_path / "lr.png"))
    assert code == 2
    assert "its loss returns no scalar tensor but a Tensor of shape (64, 1)" in error


def test_a_loss_that_fails_says_where(tmp_path: Path) -> None:
    file = tmp_path / "my_task.py"
    file.write_text(MINE.replace("(model(x) - y)", "(model(x) - y + 0 * (1 // (7 - (step or 0))))"))
    code, _, error = run(str(file), "--out", str(tmp_path / "lr.png"))
    assert code == 2
    said = f"its loss at step 7: {file}:8: ZeroDivisionError: "
    assert said in error.splitlines()[-1]


def test_two_tasks_of_one_file_have_two_pictures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("my_task.py").write_text(MINE + MINE.replace("def build", "def other"))
    for task in ("my_task.py", "my_task.py:build", "my_task.py:other"):
        assert run(task, "-o", "sgd", "--steps", "60")[0] == 0
    names = {path.name for path in Path("glissade-out").iterdir()}
    assert names == {f"lrfind-my_task{name}.png" for name in ("", "-build", "-other")}


def test_help_has_an_example() -> None:
    code, said, _ = run("--help")
    assert code == 0
    assert "Example: glissade lrfind digits -o adamw --seeds 5" in " ".join(said.split())
