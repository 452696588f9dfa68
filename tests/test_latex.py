"""Definitions as LaTeX: they parse, they say what runs, and their names stay apart."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import pytest

from glissade import diff, registry, rules
from glissade.docstrings import documentation
from glissade.latex import LATEX, block, document, spell
from glissade.notation import TEXT, Expr, name
from glissade.render import Line, Mathematics, full, mathematics
from glissade.rule import Rule, State, where
from glissade.trace import trace
from tests import test_render_runs

TRACED = [row for row in registry.ROWS if not row.bind().matrix]
VARIANTS = [(row.name, v) for row in TRACED for v in (row.variants or (None,))]
A, B = name("a"), name("beta1")


def _number(x: float) -> Expr:
    return Expr("number", value=x)


# Writing


@pytest.mark.parametrize(
    ("word", "spelled"),
    [
        ("beta1", r"\beta_1"), ("m_hat", r"\hat{m}"), ("eta_mean", r"\bar{\eta}"),
        ("rho_inf", r"\rho_\infty"), ("v_max", r"v_{\max}"), ("lr_t", r"\mathrm{lr}_t"),
        ("u_rms", r"u_{\mathrm{rms}}"), ("base_lr", r"\mathrm{lr}_0"), ("eps1", r"\epsilon_1"),
        ("weight_decay", r"\lambda"), ("trust", r"\mathrm{trust}"),
        ("trust_coefficient", r"\mathrm{trust\_coefficient}"), ("lr_decay", r"\mathrm{lr\_decay}"),
        ("p_norm", r"p_{\mathrm{norm}}"), ("beta1_decay", r"\beta_{1,\mathrm{decay}}"),
        ("m@", "m_{t-1}"), ("v_max@", r"v_{\max,t-1}"), ("m_hat'", r"\hat{m}'"), ("β1", r"\beta_1"),
        ("beta12", r"\beta_{12}"),
    ],
)  # fmt: skip
def test_spelling(word: str, spelled: str) -> None:
    assert spell(word) == spelled


@pytest.mark.parametrize(
    ("e", "text"),
    [
        (Expr("div", (A, Expr("add", (A, B)))), r"\frac{a}{a + \beta_1}"),
        (Expr("sqrt", (Expr("div", (A, B)),)), r"\sqrt{\frac{a}{\beta_1}}"),
        (Expr("pow", (Expr("div", (A, B)), _number(2))), r"\left(\frac{a}{\beta_1}\right)^2"),
        (Expr("pow", (B, Expr("sub", (name("t"), _number(1))))), r"\beta_1^{t - 1}"),
        (Expr("mul", (A, Expr("sub", (_number(1), B)))), r"a\,(1 - \beta_1)"),
        (Expr("mul", (_number(0.5), _number(0.96))), r"0.5 \cdot 0.96"),
        (Expr("sub", (A, Expr("neg", (B,)))), r"a - (-\beta_1)"),
        (Expr("le", (A, B)), r"a \leq \beta_1"),
        (Expr("norm", (A,)), r"\left\|a\right\|_{2}"),
        (Expr("norm", (A,), "row"), r"\left\|a\right\|_{2,\mathrm{row}}"),
        (Expr("mean", (A,), "row"), r"\operatorname{mean}_{\mathrm{row}}(a)"),
        (Expr("sumsq", (A,)), r"\sum(a^2)"),
        (Expr("maximum", (A, Expr("div", (A, B)))), r"\max\left(a, \frac{a}{\beta_1}\right)"),
        (Expr("where", (Expr("eq", (A, B)), A, B)),
         r"a \text{ if } a = \beta_1 \text{ else } \beta_1"),
        (_number(-2.5e-10), r"-2.5 \cdot 10^{-10}"),
        (_number(float("-inf")), r"-\infty"),
        (_number(True), r"\mathrm{true}"),
    ],
)  # fmt: skip
def test_expressions(e: Expr, text: str) -> None:
    assert LATEX.write(e) == text


def test_both_notations_know_the_same_operations() -> None:
    assert LATEX.forms.keys() == TEXT.forms.keys()


def test_adam() -> None:
    assert document(registry.lookup("adamw"), {}).splitlines() == [
        "% AdamW: Loshchilov & Hutter 2019, arXiv:1711.05101",
        r"\begin{align*}",
        r"& m \leftarrow \beta_1\,m + (1 - \beta_1)\,g \\",
        r"& v \leftarrow \beta_2\,v + (1 - \beta_2)\,g^2 \\",
        r"& \hat{m} = \frac{m}{1 - \beta_1^t} \\",
        r"& \hat{v} = \frac{v}{1 - \beta_2^t} \\",
        r"& \mathrm{step} = \frac{\mathrm{lr} \cdot \hat{m}}{\sqrt{\hat{v}} + \epsilon}"
        r" + \mathrm{lr} \cdot \lambda\,p \\",
        r"& p \leftarrow p - \mathrm{step}",
        r"\end{align*}",
    ]


def test_ranks_and_conditions() -> None:
    text = document(registry.lookup("adafactor"), {})
    assert text.count(r"\begin{align*}") == text.count(r"\end{align*}") == 2
    assert "% for matrices\n" in text
    assert "% for vectors and single numbers\n" in text
    lines = document(registry.lookup("momentum"), {}).splitlines()
    at = lines.index(r"& \text{if } \text{there is a } v\text{:} \\")
    assert lines[at + 1 : at + 4] == [
        r"& \quad v \leftarrow \mu\,v + (1 - \mathrm{dampening})\,g \\",
        r"& \text{otherwise:} \\",
        r"& \quad v \leftarrow g \\",
    ]


def test_a_rule_without_a_trace_has_its_formula() -> None:
    entry = registry.Entry("full", "Full", rules.adagradfull, registry.ROWS[0].paper)
    assert document(entry, {}).splitlines()[1:] == [
        "% as documented: torch's own functions compute it, there is no trace",
        r"\begin{align*}",
        r"& " + documentation(rules.adagradfull).formula,
        r"\end{align*}",
    ]


def test_block() -> None:
    assert block(["a", "b"], "aligned") == "\\begin{aligned}\n& a \\\\\n& b\n\\end{aligned}"


# Parsing: matplotlib's mathtext knows less than LaTeX does


def _body(text: str) -> list[str]:
    lines = [line for line in text.splitlines() if line.startswith("&")]
    return [line.removesuffix(r" \\").removeprefix("&") for line in lines]


@pytest.fixture(scope="module")
def parse() -> Any:
    mathtext = pytest.importorskip("matplotlib.mathtext")
    parser = mathtext.MathTextParser("path")
    return lambda line: parser.parse(f"${line.strip()}$")


@pytest.mark.parametrize(("row", "variant"), VARIANTS)
def test_every_line_parses(row: str, variant: str | None, parse: Any) -> None:
    text = document(registry.lookup(row), {"variant": variant} if variant else {})
    lines = _body(text)
    assert len(lines) > 2
    for line in lines:
        parse(line)
        assert line.isascii()
    assert text.count(r"\left") == text.count(r"\right") + text.count(r"\leftarrow")


@pytest.mark.parametrize("row", [row.name for row in TRACED if len(row.variants) > 1])
def test_every_comparison_parses(row: str, parse: Any) -> None:
    first, second, *_ = registry.lookup(row).variants
    lines = _body(diff.document(registry.lookup(row), (first, second), {}))
    assert lines[0].split("&") == [rf" \text{{{first}}} ", " ", rf" \text{{{second}}}"]
    for line in lines:
        cells = line.split("&")
        assert len(cells) == 3
        for cell in cells:
            if cell.strip():
                parse(cell)


@pytest.mark.parametrize("sign", sorted(LATEX.forms))
def test_every_form_parses(sign: str, parse: Any) -> None:
    """Also in what no optimizer of the registry happens to have."""
    count = {"where": 3, "clip": 3, "count": 0, "machine_eps": 0}
    two = ("or", "and", "lt", "le", "gt", "ge", "eq", "ne", "add", "sub", "div", "mod")
    n = count.get(sign, 2 if sign in (*two, "maximum", "minimum") else 1)
    inside = Expr("div", (A, Expr("pow", (name("v_hat'"), B))))
    for value in (None, "row", "all") if n < 2 else (None,):
        parse(LATEX.write(Expr(sign, (inside,) * n, value)))


# Reading it back: what the LaTeX says is what runs

_TOKEN = re.compile(
    r"\\(?:frac|sqrt|text|operatorname|left|right|max|min|exp|log|sum|leq|geq|neq|leftarrow|cdot)"
    r"(?![a-z])"
    r"|\\epsilon_\{\\mathrm\{machine\}\}"
    r"|(?:\\(?:hat|bar|tilde)\{(?:\\[a-z]+|[A-Za-z])\}|\\mathrm\{(?:[^{}])*\}|\\[a-z]+|[A-Za-z])"
    r"(?:_(?:\{(?:[^{}]|\{[^{}]*\})*\}|\\infty|\w))?'*"
    r"|\\,|\\\||\d+(?:\.\d+)?|."
)
_PLAIN = {
    r"\,": "·", r"\cdot": "·", r"\leq": "≤", r"\geq": "≥", r"\neq": "≠", r"\leftarrow": "←",
    "-": "−", r"\epsilon_{\mathrm{machine}}": "machine ε", "{": "(", "}": ")",
    r"\max": "max", r"\min": "min", r"\exp": "exp", r"\log": "log", r"\sum": "Σ",
}  # fmt: skip


class Back:
    """LaTeX as text, in the grammar of `tests.reader`."""

    def __init__(self, tex: str, names: dict[str, str]) -> None:
        self.tokens = _TOKEN.findall(tex)
        self.names = names

    def all(self) -> str:
        return self.until("")

    def until(self, end: str) -> str:
        out = ""
        while self.tokens and self.tokens[0] != end:
            out += self.one(self.tokens.pop(0))
        if end:
            assert self.tokens.pop(0) == end
        return out

    def group(self) -> str:
        assert self.tokens.pop(0) == "{"
        return self.until("}")

    def raw(self) -> str:
        """The letters of a group, as they stand."""
        assert self.tokens.pop(0) == "{"
        out = ""
        while (token := self.tokens.pop(0)) != "}":
            out += token
        return out

    def per(self) -> str:
        if not self.tokens or self.tokens[0] != "_":
            return ""
        self.tokens.pop(0)
        inside = "".join(self.tokens[: self.tokens.index("}")])
        del self.tokens[: self.tokens.index("}") + 1]
        found = re.search(r"\\mathrm\{(\w+)", inside)
        if found and self.tokens[:1] == ["}"]:
            self.tokens.pop(0)
        return f"_{found[1]}" if found else ""

    def one(self, token: str) -> str:
        if token in self.names:
            return self.names[token]
        if token == r"\frac":
            return f"(({self.group()}) / ({self.group()}))"
        if token == r"\sqrt":
            return f"√({self.group()})"
        if token == "^":
            return f"^({self.group() if self.tokens[0] == '{' else self.one(self.tokens.pop(0))})"
        if token == r"\text":
            return self.raw()
        if token == r"\left":
            bracket = self.tokens.pop(0)
            inside = self.until(r"\right")
            self.tokens.pop(0)
            if bracket == "|":
                return f"abs({inside})"
            return f"norm{self.per()}({inside})" if bracket == r"\|" else f"({inside})"
        if token == r"\operatorname":
            return self.raw() + self.per()
        if token in (r"\max", r"\min", r"\sum"):
            return _PLAIN[token] + self.per()
        return _PLAIN.get(token, token)


def through_latex(rule: Rule, ndim: int = 2) -> Mathematics:
    """The text of a definition by way of its LaTeX."""
    names: dict[str, str] = {}
    words: dict[str, str] = {}

    def noted(word: str) -> str:
        tex = spell(word)
        assert words.setdefault(tex, word) == word, f"{word} and {words[tex]} are both {tex}"
        names[tex] = TEXT.spell(word)
        return tex

    shown = mathematics(rule, ndim, write=replace(LATEX, spell=noted))
    steps = []
    for about, tex in shown.steps:
        depth = tex.count(r"\quad ")
        text = Back(tex.replace(r"\quad ", ""), names).all()
        steps.append(Line(about, "    " * depth + text.replace(" ·", "·").replace("· ", "·")))
    return replace(shown, steps=tuple(steps))


RULES = {**test_render_runs.RULES, **test_render_runs.OWN}


@pytest.mark.parametrize("which", [which for which, rule in RULES.items() if not rule.matrix])
def test_says_what_runs(which: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(test_render_runs, "mathematics", through_latex)
    rule = RULES[which]
    for ndim in (1, 2) if trace(rule, full(rule), 2).rank_matters else (2,):
        test_render_runs.check(rule, ndim, steps=4)


def test_reading_back_can_fail(monkeypatch: pytest.MonkeyPatch) -> None:
    """A notation that forgets the brackets of a product is found out."""

    def update(p: Any, g: Any, s: Any, t: Any, h: Any) -> tuple[Any, State]:
        return h.lr * where(g > 0, g, 0.5 * g) * (g + p), State()

    rule = Rule(update, {"lr": 0.1})
    monkeypatch.setattr(test_render_runs, "mathematics", through_latex)
    test_render_runs.check(rule, 2, steps=2)
    loose = replace(LATEX, brackets=lambda text: text)
    monkeypatch.setattr("tests.test_latex.LATEX", loose)
    with pytest.raises((AssertionError, KeyError)):
        test_render_runs.check(rule, 2, steps=2)
