"""Learning rate against optimizer."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import Result

from glissade.draw import sweep
from glissade.draw.model import load
from glissade.draw.training import one_thread, train
from glissade.spec import specs
from tests.draw.program import refuses, run

RATES = [1e-3, 0.1, 1e6]


def _swept(seeds: int = 3) -> sweep.Swept:
    ticks: list[float] = []
    made = sweep.sweep(
        "digits-small", specs("sgd, lookahead(adam, k=2)"), RATES, seeds, 1, "command", ticks.append
    )
    assert len(ticks) == made.losses.size
    assert ticks[-1] == 1
    return made


def test_it_is_the_loss_at_the_end_of_training() -> None:
    made = _swept()
    assert made.losses.shape == (2, 3, 3)
    for seed in (0, 2):
        problem = load("digits-small", seed)
        with one_thread(problem):
            run = train(problem, made.specs[1], 0.1, made.steps, seed)
        assert made.losses[1, 1, seed] == run.loss
    assert made.steps == 16
    assert made.median(1)[1] == np.median(made.losses[1, 1])
    assert made.start == pytest.approx(2.4, abs=0.2)


def test_divergence_is_marked_and_counted(tmp_path: Path) -> None:
    made = _swept()
    assert np.isinf(made.losses[:, 2]).all()
    assert np.isfinite(made.losses[:, :2]).all()
    assert made.gone == 6
    words = " ".join(sweep._words(made))
    assert "6 of 18 runs diverged (✕ at the top edge" in words
    assert "the median of 3 seeds" in words
    assert "from 0.001 to 1e+06" in words
    assert "1 epoch = 16 steps of 64 images" in words


def test_crosses_stand_above_the_axes_each_optimizer_in_its_own_row() -> None:
    from matplotlib.figure import Figure

    made = _swept(1)
    axes = Figure().add_subplot()
    sweep._axes(axes, made)
    for i in (0, 1):
        sweep._curve(axes, made, i)
    crosses = [line for line in axes.lines if line.get_marker() == "x"]
    places = [(float(np.asarray(c.get_xdata())[0]), float(np.asarray(c.get_ydata())[0]))
              for c in crosses]  # fmt: skip
    assert [x for x, _ in places] == [1e6, 1e6]
    assert 1 < places[0][1] < places[1][1]
    assert not any(cross.get_clip_on() for cross in crosses)


def test_where_everything_diverges_it_is_drawn_and_said(tmp_path: Path) -> None:
    made = sweep.sweep("digits-small", specs("sgd"), [1e6, 1e7, 1e8], 1, 1, "command")
    assert sweep._best(made, 0) == "diverged everywhere"
    sweep.png(made, tmp_path / "a.png")
    assert (tmp_path / "a.png").is_file()


def test_other_tasks(tmp_path: Path) -> None:
    made = sweep.sweep("breast_cancer", specs("adam"), [1e-3, 1e-2], 1, 2, "command")
    assert made.steps == 20
    assert "2 epochs = 20 steps of 32 examples" in " ".join(sweep._words(made))
    assert made.losses[0, 1, 0] < made.start
    (tmp_path / "my.py").write_text(
        "from torch import nn\n"
        "def build(): return nn.Linear(2, 2), lambda m: m.weight.square().sum()\n"
    )
    with pytest.raises(ValueError, match=r"a pair \(model, loss\) does not say how many steps"):
        sweep.sweep(f"{tmp_path}/my.py:build", specs("adam"), [1e-3], 1, 2, "command")


def test_the_worse_of_two_is_the_line() -> None:
    losses = np.array([[[1.0, 2.0], [np.inf, 0.5], [3.0, 1.0]]])
    made = sweep.Swept("", specs("sgd"), (0.1, 0.2, 0.3), losses, 2.3, 1, 16, "")
    assert made.median(0).tolist() == [2.0, np.inf, 3.0]
    assert made.gone == 1
    assert sweep._best(made, 0) == "best at lr 0.1 (edge)"


def test_one_grid_for_all() -> None:
    rates = sweep.grid(specs("sgd, lion"), 11, None)
    assert (rates[0], rates[-1], len(rates)) == (1e-5, 9.0, 11)
    assert np.diff(np.log(rates)) == pytest.approx(np.log(9e5) / 10, rel=1e-2)
    assert sweep.grid(specs("sgd"), 3, (0.1, 10.0)) == [0.1, 1.0, 10.0]


# The command


def _run(*words: str) -> Result:
    return run("sweep", *words)


def test_it_draws_and_says_how_to_draw_it_again(tmp_path: Path) -> None:
    words = ["-o", "sgd,adam", "--points", "3", "--seeds", "1", "--epochs", "1"]
    result = _run("digits", *words, "--range", "0.001,100", "--out", str(tmp_path))
    assert result.exit_code == 0, result.output
    with Image.open(tmp_path / "sweep-digits.png") as image:
        assert image.info["Command"] == (
            "glissade draw sweep digits -o sgd,adam --points 3 --seeds 1 --epochs 1 "
            "--range 0.001,100"
        )
    assert str(tmp_path / "sweep-digits.png") in result.stdout


def test_help_has_an_example() -> None:
    assert "Example: glissade draw sweep digits" in _run("--help").output


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["mnist"], "unknown task 'mnist'; known are digits, digits-small"),
        (["-o", "adm"], "unknown optimizer 'adm'.*did you mean 'adam'"),
        (["-o", "adam(lr=0.1)"], "its learning rate is what is swept; leave lr out"),
        (["-o", "newton"], "newton on digits: Newton: 17226 parameters"),
        (["--points", "2"], "--points 2: allowed are 3 to 101"),
        (["--seeds", "0"], "--seeds 0: allowed are 1 to 100"),
        (["--epochs", "0"], "--epochs 0: allowed are 1 to 1000"),
        (["--range", "1"], "--range 1: write LOW,HIGH"),
        (["--range", "2,1"], "--range 2,1: write LOW,HIGH"),
        (["--range", "0,1"], "--range 0,1: write LOW,HIGH"),
    ],
)
def test_bad_input_is_one_line_and_2_before_anything_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: list[str], said: str
) -> None:
    refuses(tmp_path, monkeypatch, "sweep", words, said)
