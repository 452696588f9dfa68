"""The command: what it writes, and what it answers to bad input."""

from __future__ import annotations

import os
import shlex
from pathlib import Path

import pytest

from tests.draw.program import refuses, run

ROOT = Path(__file__).parents[2]
QUICK = ["--lr", "0.003", "--steps", "4", "-o", "sgd,adam"]


def test_it_writes_every_format_and_says_how_to_make_them_again(tmp_path: Path) -> None:
    out = tmp_path / "pictures"
    result = run("--surface", "saddle", "--out", str(out), *QUICK)
    assert result.exit_code == 0, result.output
    names = {"saddle-contour.png", "saddle-3d.png", "saddle.gif", "saddle.mp4", "saddle.html"}
    assert {path.name for path in out.iterdir()} == names
    for name in names:
        assert str(out / name) in result.stdout
    again = shlex.split(result.stdout.strip().splitlines()[-1])
    assert again[:2] == ["glissade", "draw"]
    before = {path.name: path.read_bytes() for path in out.iterdir()}
    assert run(*again[2:], "--formats", "png").exit_code == 0
    changed = {path.name for path in out.iterdir() if path.read_bytes() != before[path.name]}
    assert changed == {"saddle-contour.png", "saddle-3d.png"}  # they say --formats now


def test_its_options_reach_the_picture(tmp_path: Path) -> None:
    own = tmp_path / "my.py"
    own.write_text("def bowl(x, y):\n    return x**2 + y**2\n")
    words = ["--surface", f"ravine,{own}:bowl", "--formats", "html", "--start=-1,0.5"]
    words += ["--box=-2,2,-1,1", "--seed", "3", "--out", str(tmp_path), *QUICK]
    result = run(*words)
    assert result.exit_code == 0, result.output
    for name in ("ravine", "bowl"):
        text = (tmp_path / f"{name}.html").read_text()
        assert "Start (−1, 0.5), 4 steps in float64, none of 2 diverged" in text
        assert "--start=-1,0.5 --box=-2,2,-1,1 --formats html --seed 3" in text
        (tmp_path / f"{name}.html").rename(tmp_path / f"{name}.first")
    again = shlex.split(result.stdout.strip().splitlines()[-1])
    assert run(*again[2:]).exit_code == 0
    for name in ("ravine", "bowl"):
        assert (tmp_path / f"{name}.html").read_bytes() == (tmp_path / f"{name}.first").read_bytes()
    assert f"{own}:bowl" in (tmp_path / "bowl.html").read_text()
    assert "ravine" not in (tmp_path / "bowl.html").read_text().split("<script>")[0]


def test_help_has_an_example() -> None:
    result = run("--help")
    assert result.exit_code == 0
    assert "Example: glissade draw --surface saddle,beale" in result.output


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--surface", "beal"], "unknown surface 'beal'; known are .*; did you mean 'beale'"),
        (["--surface", ","], "--surface ',': name at least one"),
        (["--surface", "beale,beale"], "surface beale is named twice"),
        (["--surface", "none.py:f"], "there is no file none.py"),
        (["--surface", "{own}:text"], "returns no scalar tensor but a str"),
        (["--surface", "{own}:missing"], "no function 'missing'"),
        (["-o", "adm"], "unknown optimizer 'adm'.*did you mean 'adam'"),
        (["-o", "adam(lr=-1)"], "lr=-1"),
        (["-o", "adam(", "--surface", "beale"], "cannot read"),
        (["--lr", "best"], "--lr best: write tuned, shared, or a number over 0"),
        (["--lr", "-1"], "--lr -1: write tuned"),
        (["--steps", "0"], "--steps 0: allowed are 1 to 2000"),
        (["--steps", "100000"], "allowed are 1 to 2000"),
        (["--formats", "png,jpg"], "unknown format 'jpg'; known are png, gif, mp4, html"),
        (["--start", "1"], "--start 1: write --start=X,Y, in numbers"),
        (["--start", "a,b"], "--start a,b: write"),
        (["--start", "99,0"], "the start 99,0 is outside of the box"),
        (["--box", "1,0,0,1"], "low before high"),
        (["--box", "0,nan,0,1"], "--box 0,nan,0,1: write"),
        (["--backend", "tpu"], "unknown backend 'tpu'|backend='tpu'"),
        (["-o", "adagradfull", "--backend", "cpu"], "backend='cpu' cannot run adagradfull"),
        (["--out", "{own}/sub"], "cannot write in .*: Not a directory"),
    ],
)
def test_bad_input_is_one_line_and_2_before_anything_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: list[str], said: str
) -> None:
    own = tmp_path / "my.py"
    own.write_text("def text(x, y):\n    return 'x'\n")
    refuses(tmp_path, monkeypatch, "", [word.format(own=own) for word in words], said)


def test_the_example_of_a_surface_is_drawn_as_the_documentation_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    example = (ROOT / "examples" / "own_surface.py").read_text(encoding="utf-8")
    page = (ROOT / "docs" / "pictures.md").read_text(encoding="utf-8")
    (command,) = (line for line in page.splitlines() if line.startswith("glissade draw --surf"))
    assert example.partition('"""\n\n')[2] in page
    assert command in example
    monkeypatch.chdir(ROOT)
    result = run(*shlex.split(command)[2:], "--formats", "html", "--out", str(tmp_path))
    assert result.exit_code == 0, result.output
    text = (tmp_path / "valley.html").read_text(encoding="utf-8")
    assert "Start (−2.5, 1.5), 100 steps in float64, none of 3 diverged" in text
    assert "Adam @ cosine(100)" in text


def test_a_function_that_fails_on_the_way_says_where(tmp_path: Path) -> None:
    own = tmp_path / "my.py"
    own.write_text(
        "def cliff(x, y):\n"
        "    if (x < -4.9).any():\n"
        "        raise ArithmeticError('over the edge')\n"
        "    return x * y\n"
    )
    out = tmp_path / "out"
    result = run("--surface", f"{own}:cliff", "--out", str(out), "--formats", "png", *QUICK)
    assert result.exit_code == 2
    said = f"glissade draw: surface '{own}:cliff': {own}:3: ArithmeticError: over the edge"
    assert result.stderr.splitlines()[-1] == said
    assert not list(out.iterdir())


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_without_permission(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    result = run("--out", str(tmp_path / "x"), *QUICK)
    assert result.exit_code == 2
    assert "cannot write in" in result.stderr


def test_a_disk_that_fails_is_one_line_and_1(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from glissade.draw import interactive

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(interactive, "write", full)
    result = run("--surface", "saddle", "--formats", "html", "--out", str(tmp_path), *QUICK)
    assert result.exit_code == 1
    assert result.stderr.splitlines()[-1].endswith("No space left on device")
    assert not list(tmp_path.iterdir())


def test_doubts_about_a_rate_are_said_aloud(tmp_path: Path) -> None:
    words = ["--surface", "plateau", "-o", "newton", "--steps", "5", "--formats", "html"]
    result = run(*words, "--out", str(tmp_path))
    assert result.exit_code == 0
    assert "lowest that was tried" in result.stderr
    assert "lowest that was tried" in (tmp_path / "plateau.html").read_text()


def test_a_real_model_instead_of_a_surface(tmp_path: Path) -> None:
    """`--model` is `glissade draw model`."""
    words = ["--model", "digits-small", "--lr", "0.05", "--steps", "4"]
    result = run(*words, "-o", "sgd", "--out", str(tmp_path))
    assert result.exit_code == 0, result.output
    assert {x.name for x in tmp_path.iterdir()} == {
        "digits-small-pca.png",
        "digits-small-filter.png",
    }
    assert "glissade draw model digits-small -o sgd --steps 4 --lr 0.05" in result.stdout


@pytest.mark.parametrize("option", ["--surface=saddle", "--formats=png", "--start=1,2"])
def test_what_does_not_go_with_a_model(
    option: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = option.partition("=")[0]
    words = ["--model", "digits", option]
    refuses(tmp_path, monkeypatch, "", words, f"{name} does not go with --model")
