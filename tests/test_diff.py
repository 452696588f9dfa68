"""`glissade show NAME --diff`: two variants beside each other."""

from __future__ import annotations

import re

import pytest
from rich.cells import cell_len

from glissade import diff, registry, rules
from glissade.describe import definitions
from glissade.render import Line
from tests.test_cli import run, terminal

TRACED = [entry for entry in registry.ROWS if not entry.bind().matrix]


def _lines(text: str) -> list[Line]:
    return [Line(line.split(" ")[0], line) for line in text.split(", ") if line]


@pytest.mark.parametrize(
    ("left", "right", "rows"),
    [
        ("a = 1, b = 2", "a = 1, b = 2", ["a = 1   a = 1", "b = 2   b = 2"]),
        ("a = 1, b = 2", "a = 1, b = 3", ["a = 1   a = 1", "b = 2 | b = 3"]),
        ("a = 1, b = 2", "b = 2", ["a = 1 < ", "b = 2   b = 2"]),
        ("b = 2", "a = 1, b = 2", [" > a = 1", "b = 2   b = 2"]),
        ("a = 1", "b = 1", ["a = 1 < ", " > b = 1"]),  # about something else
        # An equal line counts for more than lines about the same.
        ("a = 1, b = 2, c = 3", "b = 1, c = 1, a = 1",
         [" > b = 1", " > c = 1", "a = 1   a = 1", "b = 2 < ", "c = 3 < "]),
        ("a = 1, a = 2", "a = 2", ["a = 1 < ", "a = 2   a = 2"]),
        ("a = 1", "", ["a = 1 < "]),
        ("", "a = 1", [" > a = 1"]),
    ],
)  # fmt: skip
def test_align(left: str, right: str, rows: list[str]) -> None:
    found = diff.align(_lines(left), _lines(right))
    assert [f"{row.left} {row.mark} {row.right}" for row in found] == rows


def test_align_keeps_every_line() -> None:
    """In its order, for every two variants that there are."""
    for entry in TRACED:
        forms = [definitions(entry, {"variant": name}) for name in entry.variants]
        for a in forms:
            for b in forms:
                left, right = next(iter(a.values())).steps, next(iter(b.values())).steps
                found = diff.align(left, right)
                assert [row.left for row in found if row.left] == [x.text for x in left]
                assert [row.right for row in found if row.right] == [x.text for x in right]
                assert all(row.left == row.right for row in found) is (left == right)


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["adam", "--diff", "kears"], "did you mean 'keras'?"),
        (["adam", "--diff", "torch"], "--diff torch: torch is the default; name another"),
        (["adam", "--diff", "keras,keras"], "keras is one and the same; name another"),
        (["adam", "--diff", "torch,keras,inside"], "name two variants, or one to set beside torch"),
        (["adam", "--diff", ""], "adam has no variant ''"),
        (["lion", "--diff", "paper"], "--diff: lion has no variants"),
        (["ranger", "--diff", "torch"], "ranger has no variant 'torch'; known are paper, official"),
        (["adam", "--diff", "keras", "--set", "variant=inside"], "--variant and --diff do not go"),
        (["adam", "--diff", "keras", "--kernel", "cpu"], "--kernel and --diff do not go together"),
        (["amsgrad", "--diff", "torch", "--set", "beta1_decay=0.5"], "means nothing in variant"),
    ],
)
def test_refuses(args: list[str], message: str) -> None:
    out = run("show", *args, code=2)
    assert message in out
    assert len(out.splitlines()) == 1


def test_refuses_what_has_no_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    paper = registry.ROWS[0].paper
    entry = registry.Entry("full", "Full", rules.adagradfull, paper, {"mirror": "", "dual": ""})
    monkeypatch.setattr(registry, "lookup", lambda name: entry)
    out = run("show", "full", "--diff", "dual", code=2)
    assert "torch's own functions compute full: it has no lines to compare" in out


def test_show_diff() -> None:
    lines = run("show", "adam", "--diff", "torch,keras").splitlines()
    at = lines.index("Definition")
    assert lines[at + 1 : at + 14] == [
        "  torch (default)            keras",
        "  g ← g + λ·p                g ← g + λ·p",
        "  m ← β₁·m + (1 − β₁)·g      m ← β₁·m + (1 − β₁)·g",
        "  v ← β₂·v + (1 − β₂)·g²     v ← β₂·v + (1 − β₂)·g²",
        "  m̂ = m / (1 − β₁ᵗ)       <",
        "  v̂ = v / (1 − β₂ᵗ)       <",
        "                          >  lrₜ = lr·√(1 − β₂ᵗ) / (1 − β₁ᵗ)",
        "  step = lr·m̂ / (√v̂ + ε)  |  step = lrₜ·m / (√v + ε)",
        "  p ← p − step               p ← p − step",
        "",
        "  |  the two differ",
        "  <  only torch",
        "  >  only keras",
    ]
    assert run("show", "adam", "--diff", "keras").splitlines() == lines


def test_show_diff_of_the_same() -> None:
    """Adam's "paper" is no row of `Variants`, for it is torch's."""
    out = run("show", "adam", "--diff", "torch,paper")
    assert "  No line differs.\n" in out
    assert not re.search(r"^  [|<>]|  [|<>]$", out, re.MULTILINE)


def test_show_diff_of_values_and_costs() -> None:
    out = run("show", "ranger", "--diff", "official")
    assert re.search(r"\n  betas +\(0.9, 0.999\) +\(0.95, 0.999\)\n", out)
    assert re.search(r"\n  a step +29.3 bytes, 1 pass +37.3 bytes, 2 passes\n", out)
    assert "\nDefinition for matrices\n" in out
    assert "…_slice: one value for each index" in out
    out = run("show", "lars", "--diff", "official", "--set", "weight_decay=0.1")
    assert "Values that differ" not in out


@pytest.mark.parametrize("width", [60, 80, 120, 200])
@pytest.mark.parametrize("name", [entry.name for entry in TRACED if len(entry.variants) > 1])
def test_show_diff_on_a_terminal(name: str, width: int) -> None:
    """Beside each other where both fit, else one under the other, and every line in full."""
    entry = registry.lookup(name)
    first, *others = entry.variants
    for other in others:
        out = terminal(width, lambda c, o=other: diff.print_diff(c, entry, (first, o), {}))
        lines = [line.rstrip() for line in out.splitlines()]
        for where, form in definitions(entry, {"variant": other}).items():
            for line in form.lines:
                assert any(shown.endswith(line) for shown in lines), (where, line)
        beside = any(re.fullmatch(rf"  {first} \(default\) +{other}", line) for line in lines)
        under = f"     {other}" in lines
        assert beside is not under
        if beside:
            assert max(map(cell_len, lines)) <= width
        assert "…" not in out.replace("…_", "")


def test_show_diff_as_latex() -> None:
    lines = run("show", "adam", "--diff", "inside_hat", "--latex").splitlines()
    assert lines[:4] == [
        "% Adam: Kingma & Ba 2015, arXiv:1412.6980",
        "% variants torch and inside_hat",
        r"\begin{align*}",
        r"& \text{torch} & & \text{inside\_hat} \\",
    ]
    differing = [line for line in lines if r"& \neq\quad &" in line]
    assert len(differing) == 1
    assert r"\sqrt{\hat{v} + \epsilon}" in differing[0]
