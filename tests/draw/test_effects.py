"""What a hyperparameter does, as small multiples."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image
from typer.testing import Result

from glissade.draw import effects, surfaces
from glissade.draw.rates import Rates
from glissade.draw.trajectories import follow
from glissade.spec import specs
from tests.draw.program import refuses, run


def test_rows_differ_in_one_value_and_nothing_else() -> None:
    surface = surfaces.lookup("ravine")
    (spec,) = specs("adam(weight_decay=0.1)")
    made = effects.effect(surface, spec, "eps", (1e-8, 1.0), Rates(0.1), 20, 0)
    for one, eps in zip(made.runs, (1e-8, 1.0), strict=True):
        assert dict(one.spec.hyper) == {"weight_decay": 0.1, "eps": eps}
        assert one.lr == 0.1
        (same,) = specs(f"adam(weight_decay=0.1, eps={eps})")
        assert one.points == follow(surface, [(same, 0.1)], 20)[0].points
    assert made.runs[0].points != made.runs[1].points


def test_one_learning_rate_for_all_rows_tuned_at_the_default() -> None:
    surface = surfaces.lookup("ravine")
    (spec,) = specs("adam")
    made = effects.effect(surface, spec, "eps", (1e-8, 10.0), Rates("tuned"), 30, 0)
    assert made.runs[0].lr == made.runs[1].lr
    assert f"{made.runs[0].lr:.3g} for all rows, tuned for Adam as it was given" in made.rule
    (given,) = specs("adam(lr=0.3)")
    made = effects.effect(surface, given, "eps", (1e-8,), Rates("tuned"), 5, 0)
    assert made.runs[0].lr == 0.3


def test_larger_epsilon_is_slower_and_more_decay_ends_nearer_to_zero() -> None:
    """What the default pictures are there to show."""
    (spec,) = specs("adam")
    values = effects.VALUES["eps"]
    ravine = surfaces.lookup(effects.SURFACE["eps"])
    made = effects.effect(ravine, spec, "eps", values, Rates("tuned"), 200, 0)
    assert made.runs[-1].losses[-1] > 100 * made.runs[0].losses[-1]
    values = effects.VALUES["weight_decay"]
    hills = surfaces.lookup(effects.SURFACE["weight_decay"])
    made = effects.effect(hills, spec, "weight_decay", values, Rates("tuned"), 200, 0)
    sizes = [run.points[-1][0] ** 2 + run.points[-1][1] ** 2 for run in made.runs]
    assert sizes == sorted(sizes, reverse=True)


def test_values_as_they_are_written() -> None:
    (adam,) = specs("adam")
    assert effects.values_of("1e-8, 1", adam, "eps") == (1e-8, 1)
    assert effects.values_of("(0.9,0.999),(0,0.9)", adam, "betas") == ((0.9, 0.999), (0, 0.9))
    assert effects.values_of("(0.9,0.999)", adam, "betas") == ((0.9, 0.999),)
    assert effects.values_of(None, adam, "weight_decay") == effects.VALUES["weight_decay"]
    (wrapped,) = specs("lookahead(adam, k=3)")
    assert effects.values_of("2,5", wrapped, "lookahead_k") == (2, 5)
    made = effects._with(wrapped, "lookahead_k", 5)
    assert made.rule().hyper["lookahead_k"] == 5
    assert effects._typed((1e-8, (0.0, 0.9))) == "1e-08,(0.0,0.9)"
    assert [effects.said(x) for x in (1e-8, 0.0, (0.9, 0.999))] == ["1e-8", "0", "(0.9, 0.999)"]


@pytest.mark.parametrize("name", ["momentum", "rmsprop", "adamw", "lion", "lamb", "adadelta"])
def test_every_number_of_an_optimizer_can_be_asked_for(name: str) -> None:
    (spec,) = specs(name)
    keys = effects.known_keys(spec)
    assert "lr" not in keys
    for key in keys:
        if key in effects.VALUES:
            assert effects.values_of(None, spec, key) == effects.VALUES[key]


# The command


def _run(*words: str) -> Result:
    return run("effect", *words)


QUICK = ["--lr", "0.1", "--steps", "5"]


def test_it_draws_a_row_for_each_value(tmp_path: Path) -> None:
    heights = []
    for values in ("0.1", "0,0.1,1,1e9"):
        words = ["sgd", "--of", "weight_decay", "--values", values, *QUICK]
        result = _run(*words, "--out", str(tmp_path))
        assert result.exit_code == 0, result.output
        with Image.open(tmp_path / "effect-sgd-weight_decay.png") as image:
            heights.append(image.height)
            assert "--values " in image.info["Command"]
    assert heights[1] - heights[0] == pytest.approx(
        3 * 200 * (effects.ROW + effects.HEAD + effects.GAP), abs=60
    )


def test_the_command_it_prints_draws_the_same(tmp_path: Path) -> None:
    import shlex

    words = ["adam", "--of", "betas", "--surface", "saddle", *QUICK, "--out", str(tmp_path)]
    result = _run(*words)
    path = tmp_path / "effect-adam-betas.png"
    before = path.read_bytes()
    again = shlex.split(result.stdout.strip().splitlines()[-1])
    assert again[:3] == ["glissade", "draw", "effect"]
    assert _run(*again[3:]).exit_code == 0
    assert path.read_bytes() == before


def test_help_has_an_example() -> None:
    assert "Example: glissade draw effect adam --of eps" in _run("--help").output


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["adm", "--of", "eps"], "unknown optimizer 'adm'.*did you mean 'adam'"),
        (["sgd,adam", "--of", "eps"], "2 optimizers: an effect is drawn of one"),
        (["sgd", "--of", "eps"], "sgd has no hyperparameter 'eps': known are momentum"),
        (["adam", "--of", "esp"], "no hyperparameter 'esp'.*did you mean 'eps'"),
        (["newton", "--of", "eps"], "newton has no hyperparameter 'eps': it has none"),
        (["adam", "--of", "eps", "--values", "x"], "--values x: write numbers"),
        (["adam", "--of", "eps", "--values", "-1"], "--values: eps=-1: allowed is"),
        (["adam", "--of", "betas", "--values", "0.9"], "--values: betas=0.9: allowed is"),
        (["adam", "--of", "eps", "--values", "1,1"], "one is there twice"),
        (["adam", "--of", "eps", "--values", ""], "--values"),
        (["sgd", "--of", "dampening"], "--of dampening: say which values"),
        (["adam", "--of", "eps", "--surface", "beal"], "unknown surface 'beal'"),
        (["adam", "--of", "eps", "--lr", "shared"], "--lr shared: write tuned, or a number"),
        (["adam", "--of", "eps", "--lr", "x"], "--lr x: write"),
        (["adam", "--of", "eps", "--steps", "0"], "--steps 0: allowed are 1 to 2000"),
    ],
)
def test_bad_input_is_one_line_and_2_before_anything_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: list[str], said: str
) -> None:
    refuses(tmp_path, monkeypatch, "effect", words, said)
