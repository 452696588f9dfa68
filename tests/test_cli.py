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
from glissade import cli, commands, filters, page, registry, rules, wrappers
from glissade.describe import facts, number
from glissade.latex import document
from tests.waiting import LIMIT, patient

APP = commands.application()
PLANNED = [entry for entry in registry.ROWS if not entry.bind().matrix]
VARIANTS = [(e.name, v) for e in PLANNED for v in (e.variants or (None,))]
FULL = registry.Entry("full", "AdagradFull", rules.adagradfull, registry.ROWS[0].paper)


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
    tables = "\n".join(lines).split("\n\n")
    names = [[line.split()[0] for line in table.splitlines()[1:]] for table in tables]
    assert names[0] == list(registry.names())
    assert sorted(names[1]) == sorted(wrappers.__all__)
    assert names[2] == ["Newton", "AdamWR", "SGDWR"]
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
        ("amod", ["adamod"]),
        ("adam?", ["adamw"]),
        ("Loshchilov", ["sgdw", "adamw"]),
        ("lookahead", []),
        ("memory cost", ["adafactor", "factoredadam"]),
        ("ra*", ["radam", "ranger", "ralamb", "rangerlars"]),
    ],
)
def test_list_pattern(pattern: str, names: list[str]) -> None:
    assert [entry.name for entry in filters.matching(pattern)] == names


def test_list_wrappers_and_what_is_no_rule() -> None:
    assert run("list", "lookah").splitlines()[1].split()[0] == "lookahead"
    assert run("list", "newton").splitlines()[0].split()[0] == "OPTIMIZER"
    assert "lookahead" not in run("list", "--state", "<=1")


@pytest.mark.parametrize("name", [*wrappers.__all__, "newton"])
def test_show_what_is_no_rule(name: str) -> None:
    out = run("show", name)
    assert "Use" in out
    assert f"glissade.{'Newton' if name == 'newton' else f'wrappers.{name}'}(...)" in out
    assert "show it without options" in run("show", name, "--kernel", "cpu", code=2)


def test_list_nothing() -> None:
    assert "no optimizer matches 'lionn'; did you mean 'lion'?" in run("list", "lionn", code=1)
    out = run("list", "lion", "--state", "<1", "--bytes", ">=28.5", code=1)
    assert out == "glissade list: no optimizer matches 'lion' with state < 1 and bytes >= 28.5\n"
    out = run("list", "--passes", "=0", code=1)
    assert out == "glissade list: no optimizer with passes = 0\n"


def listed(*args: str) -> list[str]:
    return [line.split()[0] for line in run("list", *args).splitlines()[1:]]


def test_list_with_conditions() -> None:
    assert listed("adam*", "--state", "<=2") == ["adam", "adamw", "adamax"]
    assert listed("Loshchilov", "--state", "<1") == ["sgdw"]
    assert listed("--state", "==0") == listed("--state", "=0")
    # Rows and columns are no numbers for each element; a preset has the state of its values.
    none = listed("--state", "< 1")
    assert {"sgd", "adafactor", "factoredadam"} <= {*none}
    assert "momentum" not in none
    assert "momentum" in listed("--state", ">0", "--state", "<2")
    assert listed("--bytes", "=29.3") == ["ranger"]
    assert {"lars", "lamb", "ralamb"} <= {*listed("--passes", "=2", "--state", ">=1")}
    assert "lamb" not in listed("--passes", "=2", "--bytes", "<40")


@pytest.mark.parametrize("measure", filters.MEASURES)
@pytest.mark.parametrize("operator", filters.OPERATORS)
def test_every_condition(measure: str, operator: str) -> None:
    """Against the columns of the list."""
    bound = {"state": 1, "bytes": 28, "passes": 1}[measure]
    asked = filters.condition(measure, f"{operator}{bound}")
    found = {entry.name for entry in filters.matching(None, [asked])}
    cells, _ = page.rows(registry.ROWS)
    for name, _, _, state, size, passes, _ in cells:
        number = {"state": re.sub(r"\D.*", "", state) or "0", "bytes": size, "passes": passes}[
            measure
        ]
        if "-" in (size, passes):
            assert name not in found
        else:
            sign = "==" if operator == "=" else operator
            assert (name in found) is eval(f"{number} {sign} {bound}"), name


def test_list_without_a_plan(monkeypatch: pytest.MonkeyPatch) -> None:
    assert page.rows([FULL])[0][0][3:] == ("-", "-", "-", "-")
    monkeypatch.setattr(registry, "ROWS", (FULL,))
    assert filters.matching("full") == [FULL]
    assert filters.matching("full", [filters.condition("state", ">=0")]) == []


@pytest.mark.parametrize("text", ["1", "", "<=", "=<1", "!=1", "<=x", "< -1", "<=1,>0", "1<"])
def test_list_refuses(text: str) -> None:
    for measure in filters.MEASURES:
        out = run("list", f"--{measure}={text}", code=2)
        assert out == (
            f"glissade list: --{measure} {text!r}: write an operator and a number, such as '<=2'; "
            "operators are <, <=, >, >=, =, ==\n"
        )


@pytest.mark.parametrize("width", [80, 100, 140])
def test_list_on_a_terminal(width: int) -> None:
    rows, others = list(registry.ROWS), filters.others(None)
    out = terminal(width, lambda console: page.print_list(console, rows, others))
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
    for part in ("\nDefinition", "  p ← p − step\n", "\nState", "\nPasses", "\nWhen\n", "\nUse"):
        assert part in out, part
    assert entry.paper.authors in out
    assert entry.paper.identifier in out
    assert f"glissade.{entry.title}(model.parameters(), lr=" in out
    assert max(map(len, out.splitlines())) <= 80
    assert "None" not in re.sub(r"None (leaves|is)|  None|\(None", "", out)
    known = facts(entry.bind(**({"variant": variant} if variant else {})))
    assert f"{number(known.bytes())} bytes for each parameter in a step" in out


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


def test_show_says_when_and_when_not_and_who_disagrees() -> None:
    out = run("show", "lars")
    parts = [out.index(f"\n{head}\n") for head in ("When", "When not", "Elsewhere", "Use")]
    assert parts == sorted(parts)
    assert "\n  Not for small batches: momentum SGD does as well and has one knob fewer.\n" in out
    assert "  -  Optax scales the gradient by its trust ratio" in out
    out = run("show", "adam")
    assert "When not" in out if registry.lookup("adam").not_when else "When not" not in out
    assert "Elsewhere" not in run("show", "sgd")


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
        (["adam", "--dtype", "float8"], "unknown dtype 'float8'; known are float32, float64"),
        (["adam", "--kernel", "trito"], "allowed are cpu, triton; did you mean 'triton'?"),
        (["adam", "--leaf", "0"], "--leaf goes with --kernel or --assembly"),
        (["radam", "--kernel", "cpu", "--leaf", "2"], "radam has the leaves 0 to 1"),
        (["sgd", "--set", "nesterov=True"], "allowed is "),
        (
            ["adam", "--diff", "torch,kears"],
            "adam has no variant 'kears'; known are torch, keras, ",
        ),
        (
            ["adam", "--diff", "keras", "--variant", "torch"],
            "--variant and --diff do not go together",
        ),
        (["adam", "--latex", "--assembly"], "--assembly and --latex do not go together"),
    ],
)
def test_show_refuses(args: list[str], message: str) -> None:
    out = run("show", *args, code=2)
    assert message in out
    assert len(out.splitlines()) == 1


# show --latex


@pytest.mark.parametrize(("name", "variant"), VARIANTS)
def test_show_latex(name: str, variant: str | None) -> None:
    """What is printed is LaTeX and nothing else: tests/test_latex.py looks into it."""
    options = ["--variant", variant] if variant else []
    out = run("show", name, "--latex", *options)
    given = {"variant": variant} if variant else {}
    assert out == document(registry.lookup(name), given) + "\n"
    assert re.fullmatch(r"(% .*\n|\\begin\{align\*\}\n(&.*\n)+\\end\{align\*\}\n)+", out)


def test_show_latex_with_values() -> None:
    out = run("show", "adam", "--latex", "--set", "decay=decoupled", "--set", "amsgrad=True")
    assert r"& v_{\max} \leftarrow \max(v_{\max}, v) \\" in out.splitlines()
    assert r"+ \mathrm{lr} \cdot \lambda\,p" in out
    assert r"\text{if }" not in run("show", "sgd", "--latex", "--set", "momentum=0.0")


# code


@pytest.mark.parametrize("name", [entry.name for entry in PLANNED])
def test_kernel(name: str) -> None:
    lines = run("show", name, "--kernel", "cpu").splitlines()
    assert lines[0].startswith(f"; {name}, float32, 2 dimensions")
    assert lines[1].startswith("; leaf ")
    assert any(line.startswith('define void @"pass_0"') for line in lines)


def test_kernel_is_llvm() -> None:
    llvm = pytest.importorskip("llvmlite.binding")
    text = run("show", "adafactor", "--kernel", "cpu", "--rank", "1", "--dtype", "float64")
    llvm.parse_assembly(text).verify()
    assert "1 dimensions" in text.splitlines()[0]


def test_kernel_leaf() -> None:
    first, second = (run("show", "radam", "--kernel", "cpu", "--leaf", leaf) for leaf in "01")
    assert first.splitlines()[1] == "; leaf 0 of 0 to 1: ρ > 5 (--leaf N for another)"
    assert second.splitlines()[1] == "; leaf 1 of 0 to 1: ρ ≤ 5 (--leaf N for another)"
    assert first.splitlines()[2:] != second.splitlines()[2:]


def test_no_kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a rule that torch's own functions compute."""
    monkeypatch.setattr(registry, "lookup", lambda name: FULL)
    out = run("show", "full", "--kernel", "cpu", code=2)
    assert "adagradfull has no plan and no kernels: torch's own functions compute it" in out
    out = run("show", "full")
    assert "Definition, as documented\n  G \\leftarrow G + g g^T" in out
    assert "Computed by torch's own functions, not compiled: there is neither" in out
    assert r"& G \leftarrow G + g g^T" in run("show", "full", "--latex")


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


@patient
@pytest.mark.parametrize("module", ["glissade", "glissade.cli"])
def test_program(module: str) -> None:
    """The program itself, where the terminal has no Greek."""
    result = subprocess.run(
        [sys.executable, "-W", "error", "-m", module, "show", "lamb"],
        capture_output=True,
        env={"PYTHONIOENCODING": "latin-1", "PATH": ""},
        timeout=LIMIT,
    )
    assert result.returncode == 0, result.stderr
    assert "step = lr·trust·r\n".encode("latin-1") in result.stdout
    assert b"m ? ??\xb7m" in result.stdout
    assert result.stderr == b""
