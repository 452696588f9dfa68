"""`glissade list` and `glissade show`, as a user meets them."""

from __future__ import annotations

import io
import re
import subprocess
import sys
from typing import Any

import pytest
from rich.console import Console
from typer.testing import CliRunner

import glissade
from glissade import cli, commands, page, registry
from glissade.describe import facts

APP = commands.application()
VARIANTS = [(e.name, v) for e in registry.ROWS for v in (e.variants or (None,))]


def run(*args: str, code: int = 0) -> str:
    result = CliRunner().invoke(APP, list(args))
    assert result.exit_code == code, result.output
    assert "Traceback" not in result.output
    return result.output


# list


def test_list_in_a_pipe() -> None:
    """One line a row, in columns, with neither colours nor blanks at the end."""
    lines = run("list").splitlines()
    assert lines[0].split() == [
        "NAME", "CLASS", "PAPER", "STATE", "BYTES", "PASSES", "VARIANTS",
    ]  # fmt: skip
    assert [line.split()[0] for line in lines[1:]] == list(registry.names())
    assert "\x1b" not in "".join(lines)
    assert all(line == line.rstrip() for line in lines)
    adamw = next(line for line in lines if line.startswith("adamw "))
    assert re.split(r"\s{2,}", adamw) == [
        "adamw", "AdamW", "Loshchilov & Hutter 2019", "2", "28", "1",
        "torch, keras, inside, inside_hat",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("pattern", "names"),
    [
        ("LION", ["lion"]),
        (
            "adam",
            ["adam", "adamw", "radam", "adamax", "nadam", "amsgrad", "adamod", "factoredadam"],
        ),
        ("adam?", ["adamw"]),
        ("Loshchilov", ["sgdw", "adamw"]),
        ("lookahead", []),
        ("memory cost", ["adafactor", "factoredadam"]),
        ("ra*", ["radam", "ranger", "ralamb", "rangerlars"]),
    ],
)
def test_list_pattern(pattern: str, names: list[str]) -> None:
    assert [entry.name for entry in page.matching(pattern)] == names


def test_list_nothing() -> None:
    assert "no optimizer matches 'lionn'; did you mean 'lion'?" in run("list", "lionn", code=1)


@pytest.mark.parametrize("width", [80, 100, 140])
def test_list_on_a_terminal(width: int) -> None:
    out = terminal(width, lambda console: page.print_list(console, list(registry.ROWS)))
    lines = out.splitlines()
    assert max(map(len, lines)) <= width
    assert "…" not in out
    for name in registry.names():
        assert any(line.startswith(f"{name} ") for line in lines)
    assert "adafactor on vectors: state 1, 32 bytes, 2 passes." in out
    if width >= page.WIDE:
        assert sum(line.startswith(("torch", " ")) for line in lines) == 0  # nothing is wrapped


def terminal(width: int, what: Any) -> str:
    file = io.StringIO()
    what(Console(file=file, width=width, force_terminal=True, color_system=None, no_color=True))
    return re.sub(r"\x1b\[[\d;]*m", "", file.getvalue())


# show


@pytest.mark.parametrize(("name", "variant"), VARIANTS)
def test_show(name: str, variant: str | None) -> None:
    entry = registry.lookup(name)
    options = ["--variant", variant] if variant else []
    out = run("show", name, *options)
    for part in ("\nDefinition", "  p ← p − step\n", "\nState", "\nPasses", "\nWhen", "\nUse"):
        assert part in out, part
    assert entry.paper.authors in out
    assert entry.paper.identifier in out
    assert f"glissade.{entry.title}(model.parameters(), lr=" in out
    assert max(map(len, out.splitlines())) <= 80
    assert "None" not in re.sub(r"None (leaves|is)|  None|\(None", "", out)
    known = facts(entry.bind(**({"variant": variant} if variant else {})))
    assert f"{page.number(known.bytes())} bytes for each parameter in a step" in out


@pytest.mark.parametrize("width", [80, 140])
@pytest.mark.parametrize("name", registry.names())
def test_show_on_a_terminal(name: str, width: int) -> None:
    entry = registry.lookup(name)
    out = terminal(width, lambda console: page.print_show(console, entry, {}, "float32"))
    assert max(map(len, out.splitlines())) <= width
    assert "…" not in out.replace("…_", "")


def test_show_adamw() -> None:
    out = run("show", "adamw")
    for line in (
        "AdamW: Adam whose weight decay is not divided by the gradient's size.",
        "  step = lr·m̂ / (√v̂ + ε) + lr·λ·p",
        "  weight_decay  0.01          λ       λ; default torch's.",
        "  torch (default)  torch.optim",
        "  decoupled (default)  step ← step + lr·λ·p",
        "  m  one number for each element  torch: exp_avg",
        "  1  reads g, p, m, v  writes m, v, p  28 bytes",
        "  opt = glissade.AdamW(model.parameters(), lr=0.001)",
    ):
        assert line in out.splitlines()


def test_show_with_values() -> None:
    out = run(
        "show", "Adam", "--set", "amsgrad=True", "--set", "decay=decoupled", "--dtype", "float64"
    )
    assert "  vₘₐₓ ← max(vₘₐₓ, v)" in out
    assert "  step = lr·m̂ / (√v̂ + ε) + lr·λ·p" in out
    assert "72 bytes for each parameter in a step" in out
    assert "lr=0.001, amsgrad=True, decay='decoupled')" in out


def test_show_where_ranks_differ() -> None:
    out = run("show", "adafactor")
    assert "Definition for matrices" in out
    assert "Definition for vectors" in out
    assert "24 bytes for each parameter" in out
    assert "32 bytes for each parameter" in out


def test_use_is_true() -> None:
    """The line under `Use` makes the optimizer."""
    import torch

    for name in registry.names():
        line = run("show", name).splitlines()[-1].strip()
        model = torch.nn.Linear(2, 2)
        scope: dict[str, Any] = {"glissade": glissade, "model": model}
        exec(line, scope)
        assert isinstance(scope["opt"], glissade.Optimizer)


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["adamm"], "unknown optimizer 'adamm'; known are sgd, "),
        (["adamm"], "did you mean 'adam'?"),
        (["adam", "--variant", "kears"], "allowed are 'torch', 'paper', 'keras'"),
        (["adam", "--variant", "kears"], "did you mean 'keras'?"),
        (["lion", "--variant", "paper"], "lion has no variants"),
        (["adam", "--set", "amsgrad"], "write KEY=VALUE"),
        (["adam", "--set", "amsgard=True"], "did you mean 'amsgrad'?"),
        (["adam", "--set", "amsgrad=yes"], "amsgrad='yes': allowed is True or False"),
        (["adam", "--set", "lr=-1"], "lr=-1: allowed is a finite number that is 0 or more"),
        (["adam", "--set", "betas=(0.9, 1)"], "in [0, 1)"),
        (["adam", "--set", "decay=decoupld"], "did you mean 'decoupled'?"),
        (["adam", "--dtype", "float16"], "unknown dtype 'float16'; known are float32, float64"),
        (["adam", "--leaf", "0"], "--leaf goes with --kernel or --assembly"),
        (["radam", "--kernel", "--leaf", "2"], "radam has the leaves 0 to 1"),
        (["sgd", "--set", "nesterov=True"], "allowed is "),
    ],
)
def test_show_refuses(args: list[str], message: str) -> None:
    out = run("show", *args, code=2)
    assert message in out
    assert len(out.splitlines()) == 1


# code


@pytest.mark.parametrize("name", registry.names())
def test_kernel(name: str) -> None:
    lines = run("show", name, "--kernel").splitlines()
    assert lines[0].startswith(f"; {name}, float32, 2 dimensions")
    assert lines[1].startswith("; leaf ")
    assert any(line.startswith('define void @"pass_0"') for line in lines)


def test_kernel_is_llvm() -> None:
    llvm = pytest.importorskip("llvmlite.binding")
    text = run("show", "adafactor", "--kernel", "--rank", "1", "--dtype", "float64")
    llvm.parse_assembly(text).verify()
    assert "1 dimensions" in text.splitlines()[0]


def test_kernel_leaf() -> None:
    first, second = (run("show", "radam", "--kernel", "--leaf", leaf) for leaf in "01")
    assert first.splitlines()[1] == "; leaf 0 of 0 to 1: ρ > 5 (--leaf N for another)"
    assert second.splitlines()[1] == "; leaf 1 of 0 to 1: ρ ≤ 5 (--leaf N for another)"
    assert first.splitlines()[2:] != second.splitlines()[2:]


def test_assembly() -> None:
    text = run("show", "lion", "--assembly")
    assert text.startswith("# lion, float32")
    assert "pass_0:" in text


# the program


def test_version() -> None:
    assert run("--version") == f"glissade {glissade.__version__}\n"


def test_help() -> None:
    out = run("--help")
    for command in ("list", "show", "compare", "bench"):
        assert re.search(rf"^\W*{command} ", out, re.MULTILINE)
    assert "..." not in run("list", "--help")


def test_missing_command_module() -> None:
    assert commands._elsewhere("compare", "glissade.not_there") is None


def test_missing_library(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sklearn_of_another_world", None)
    command = commands._elsewhere("compare", "sklearn_of_another_world.part")
    assert command is not None
    app = commands.application()
    app.command("other")(command)
    result = CliRunner().invoke(app, ["other"])
    assert result.exit_code == 1
    assert "needs sklearn_of_another_world: pip install 'glissade[study]'" in result.output


def test_core_alone(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Without the extra there is one line, and no traceback."""
    monkeypatch.setitem(sys.modules, "typer", None)
    monkeypatch.delitem(sys.modules, "glissade.commands")
    monkeypatch.delattr(glissade, "commands")
    with pytest.raises(SystemExit) as stop:
        cli.main()
    assert stop.value.code == 1
    assert capsys.readouterr().err == "the command line needs `pip install 'glissade[study]'`\n"


def test_program() -> None:
    """The program itself, where the terminal has no Greek."""
    result = subprocess.run(
        [sys.executable, "-W", "error", "-m", "glissade.cli", "show", "lamb"],
        capture_output=True,
        env={"PYTHONIOENCODING": "latin-1", "PATH": ""},
        timeout=120,
    )
    assert result.returncode == 0, result.stderr
    assert "step = lr·trust·r\n".encode("latin-1") in result.stdout
    assert b"m ? ??\xb7m" in result.stdout
    assert result.stderr == b""
