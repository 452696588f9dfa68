"""Expressions as they are printed: a small tree, and tables that say how each part is written.

`TEXT` is plain Unicode. Another notation is another `Notation`: other forms, other letters (see
`latex`).
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any


@dataclass(frozen=True)
class Expr:
    """An operation of `graph.OPS` on expressions, or one of the kinds below.

    ``name``: `value` holds the names that it goes by, any of which may be printed. ``number``:
    `value` is it. ``sum``, ``norm``, ``mean``, ``rms``: `value` says per what. ``product``: of all
    arguments. ``all``: the total of a sum over all tensors.
    """

    op: str
    args: tuple[Expr, ...] = ()
    value: Any = None


def name(*names: str) -> Expr:
    """What goes by any of these names."""
    return Expr("name", value=names)


def unify(a: Expr, b: Expr) -> Expr | None:
    """An expression that says the same as both, or None: names need one in common."""
    if a.op != b.op or len(a.args) != len(b.args):
        return None
    value = a.value
    if a.op == "name":
        value = tuple(n for n in a.value if n in b.value)
        if not value:
            return None
    elif (type(a.value), a.value) != (type(b.value), b.value):
        return None
    args = [unify(x, y) for x, y in zip(a.args, b.args, strict=True)]
    if any(x is None for x in args):
        return None
    return Expr(a.op, tuple(x for x in args if x is not None), value)


def tidy(e: Expr) -> Expr:
    """The same value as one would write it: norms, means, squares, no 1· and no + 0."""
    args = tuple(map(tidy, e.args))
    e = replace(e, args=args, value=e.value[:1] if e.op == "name" else e.value)
    if e.op == "sumsq":
        return Expr("sum", (Expr("pow", (args[0], Expr("number", value=2))),), e.value)
    if e.op == "all":  # a total over all tensors
        (x,) = args
        return replace(x, value="all") if x.op in ("sum", "count") else Expr("sum", args, "all")
    if e.op == "div" and args[0].op == "sum" and args[1].op == "count":
        return replace(args[0], op="mean")
    if e.op == "sqrt":
        (x,) = args
        if x.op in ("sum", "mean") and _square(x.args[0]):
            return Expr("norm" if x.op == "sum" else "rms", x.args[0].args[:1], x.value)
    if e.op == "minimum" and args[0].op == "maximum":
        return Expr("clip", (*args[0].args, args[1]))
    if e.op in ("add", "sub") and _is(args[1], 0):
        return args[0]
    if e.op == "add" and _is(args[0], 0):
        return args[1]
    if e.op == "add" and args[1].op == "neg":
        return Expr("sub", (args[0], args[1].args[0]))
    if e.op == "mul":
        return _product([*_factors(args[0]), *_factors(args[1])])
    if e.op == "pow" and _is(args[1], 0.5):
        return Expr("sqrt", args[:1])
    return e


def _is(e: Expr, value: float) -> bool:
    return e.op == "number" and not isinstance(e.value, bool) and bool(e.value == value)


def _square(e: Expr) -> bool:
    return e.op == "pow" and _is(e.args[1], 2)


def _factors(e: Expr) -> tuple[Expr, ...]:
    return e.args if e.op == "product" else (e,)


def _product(factors: list[Expr]) -> Expr:
    """The factors in their order, neighbours that are equal as powers."""
    merged: list[tuple[Expr, int]] = []
    for factor in factors:
        count = 1
        if factor.op == "pow" and factor.args[1].op == "number":
            power = factor.args[1].value
            if isinstance(power, int) and power > 1:
                factor, count = factor.args[0], power
        if merged and merged[-1][0] == factor:
            merged[-1] = (factor, merged[-1][1] + count)
        elif not _is(factor, 1):
            merged.append((factor, count))
    out = tuple(x if n == 1 else Expr("pow", (x, Expr("number", value=n))) for x, n in merged)
    if len(out) > 1 and out[0].op == "number" and out[0].value < 0:
        return Expr("neg", (_product([replace(out[0], value=-out[0].value), *out[1:]]),))
    return out[0] if len(out) == 1 else Expr("product", out) if out else Expr("number", value=1)


@dataclass(frozen=True)
class Form:
    """How an operation is written: a template, how tightly it binds, how tightly its parts must.

    In the template ``{}`` is an argument, ``{args}`` all of them in brackets, ``{per}`` what a
    reduction is per.
    """

    template: str
    binds: int
    parts: tuple[int, ...] = ()
    nested: str = ""  # another template, where the operation is inside itself: not ||x| − 1|
    per: str = ""  # how {per} is written, if not as usual


ATOM = 10


@dataclass(frozen=True)
class Notation:
    """A way to write expressions and statements: the forms of operations, names and numbers."""

    forms: Mapping[str, Form]
    spell: Callable[[str], str]
    superscript: Callable[[str], str | None]  # an exponent, or None if it cannot be raised
    brackets: Callable[[str], str]
    product: Callable[[Sequence[str]], str]
    minus: str
    infinity: str
    per: str
    # Statements
    define: str
    update: str
    condition: str
    otherwise: str
    indent: str

    def write(self, e: Expr) -> str:
        """The expression as text."""
        return self._write(tidy(e), 0)

    def _write(self, e: Expr, least: int) -> str:
        """The expression, in brackets if it binds less tightly than `least`."""
        text, binds = self._bare(e)
        return text if binds >= least else self.brackets(text)

    def _bare(self, e: Expr) -> tuple[str, int]:
        if e.op == "name":
            return self.spell(e.value[0]), ATOM
        if e.op == "number":
            return self.number(e.value)
        if e.op == "product":
            return self.product([self._write(x, 8) for x in e.args]), 7
        if e.op == "pow":
            exponent = self._write(e.args[1], 0)
            raised = self.superscript(exponent)
            if raised is None:
                raised = "^" + self._write(e.args[1], ATOM)
            return self._write(e.args[0], ATOM) + raised, 9
        form = self.forms[e.op]
        parts = form.parts or (0,) * len(e.args)
        args = [self._write(x, least) for x, least in zip(e.args, parts, strict=True)]
        per = "" if e.value in (None, "tensor") else (form.per or self.per).format(e.value)
        nested = form.nested and any(_contains(x, e.op) for x in e.args)
        template = form.nested if nested else form.template
        return template.format(*args, args=self.brackets(", ".join(args)), per=per), form.binds

    def number(self, x: float | bool) -> tuple[str, int]:
        """A constant, and how tightly it binds."""
        if isinstance(x, bool) or x != x:
            return self.spell(str(x).lower()), ATOM
        if math.isinf(x):
            return (self.infinity, ATOM) if x > 0 else (self.minus + self.infinity, 5)
        if isinstance(x, float) and x.is_integer() and abs(x) < 1e9:
            x = int(x)
        digits, _, exponent = str(x).partition("e")
        text, binds = digits.replace("-", self.minus), ATOM
        if exponent:
            ten = self._write(
                Expr("pow", (Expr("number", value=10), Expr("number", value=int(exponent)))), 0
            )
            text, binds = (ten, 9) if digits == "1" else (self.product([text, ten]), 7)
        return text, 5 if x < 0 else binds


def _contains(e: Expr, op: str) -> bool:
    return e.op == op or any(_contains(x, op) for x in e.args)


# Names

GREEK = {
    "alpha": "α", "beta": "β", "gamma": "γ", "delta": "δ", "epsilon": "ε", "zeta": "ζ", "eta": "η",
    "theta": "θ", "kappa": "κ", "lambda": "λ", "mu": "μ", "nu": "ν", "xi": "ξ", "pi": "π",
    "rho": "ρ", "sigma": "σ", "tau": "τ", "phi": "φ", "chi": "χ", "psi": "ψ", "omega": "ω",
}  # fmt: skip
# What papers call the hyperparameters and states whose names in code are longer.
USUAL = {
    "eps": "epsilon",
    "weight_decay": "lambda",
    "momentum": "mu",
    "base_lr": "lr0",
    "beta2_decay": "tau",
    "initial_accumulator_value": "G0",
    "slow": "phi",
}
PREVIOUS = "@"  # at the end of a name: its value before this step


MARKS = {"hat": "\u0302", "mean": "\u0304", "bar": "\u0304", "tilde": "\u0303"}


@dataclass(frozen=True)
class Word:
    """A name taken apart: ``rho_inf`` is rho with "inf" below, ``m_hat'`` m, a hat, a prime."""

    stem: str
    mark: str = ""  # of MARKS
    low: tuple[str, ...] = ()
    previous: bool = False
    primes: int = 0

    @property
    def symbol(self) -> bool:
        """Whether the stem is a letter, so that what follows is a mark or an index."""
        return len(self.stem) == 1 or self.stem in GREEK


def word(name: str) -> Word:
    """The parts of a name in code."""
    plain = name.rstrip("'")
    primes = len(name) - len(plain)
    previous = plain.endswith(PREVIOUS)
    plain = plain.removesuffix(PREVIOUS)
    head, *rest = USUAL.get(plain, plain).split("_")
    stem, digits = re.fullmatch(r"(.*?)(\d*)", head).groups()  # type: ignore[union-attr]
    stem = USUAL.get(stem, stem)
    stem = stem.lower() if stem.lower() in GREEK else stem
    mark = rest.pop(0) if rest and rest[0] in MARKS and Word(stem).symbol else ""
    return Word(stem, mark, (*filter(None, [digits]), *rest), previous, primes)


# Plain text

_LOWERED = dict(zip("0123456789aehijklmnoprstuvx+-", "₀₁₂₃₄₅₆₇₈₉ₐₑₕᵢⱼₖₗₘₙₒₚᵣₛₜᵤᵥₓ₊₋", strict=True))
_RAISED = dict(zip("0123456789tknij+−", "⁰¹²³⁴⁵⁶⁷⁸⁹ᵗᵏⁿⁱʲ⁺⁻", strict=True))


def _spell(name: str) -> str:
    """``beta1`` as β₁, ``m_hat`` as m̂, ``rho_inf`` as ρ∞; ``m@`` as mₜ₋₁, ``v'`` as v′."""
    w = word(name)
    text = GREEK.get(w.stem, w.stem) + MARKS.get(w.mark, "")
    for part in w.low:
        if part == "inf":
            text += "∞"
        elif part.isdigit() or (
            (w.symbol or len(w.stem) == 2) and len(part) <= 3 and set(part) <= _LOWERED.keys()
        ):
            text += "".join(_LOWERED[c] for c in part)
        else:
            text = name.rstrip("'").removesuffix(PREVIOUS)  # there is no such index
            break
    text += "ₜ₋₁" if w.previous else ""
    return unicodedata.normalize("NFC", text + ("″" if w.primes == 2 else "′" * w.primes))


def _raise(exponent: str) -> str | None:
    exponent = exponent.replace(" ", "")
    if all(c in _RAISED for c in exponent):
        return "".join(_RAISED[c] for c in exponent)
    return None


TEXT = Notation(
    forms={
        "where": Form("{1} if {0} else {2}", 0, (1, 1, 0)),
        "or": Form("{} or {}", 1, (1, 2)),
        "and": Form("{} and {}", 2, (2, 3)),
        "not": Form("not {}", 3, (3,)),
        "isfinite": Form("{} is finite", 4, (5,)),
        "has": Form("there is a {}", 4, (5,)),
        "lacks": Form("there is no {} yet", 4, (5,)),
        "lt": Form("{} < {}", 4, (5, 5)),
        "le": Form("{} ≤ {}", 4, (5, 5)),
        "gt": Form("{} > {}", 4, (5, 5)),
        "ge": Form("{} ≥ {}", 4, (5, 5)),
        "eq": Form("{} = {}", 4, (5, 5)),
        "ne": Form("{} ≠ {}", 4, (5, 5)),
        "add": Form("{} + {}", 5, (5, 5)),
        "sub": Form("{} − {}", 5, (5, 6)),
        "neg": Form("−{}", 5, (6,)),
        "div": Form("{} / {}", 6, (7, 8)),
        "mod": Form("{} mod {}", 6, (8, 8)),
        "sqrt": Form("√{}", 8, (ATOM,)),
        "abs": Form("|{}|", ATOM, nested="abs{args}"),
        "exp": Form("exp{args}", ATOM),
        "log": Form("log{args}", ATOM),
        "sign": Form("sign{args}", ATOM),
        "maximum": Form("max{args}", ATOM),
        "minimum": Form("min{args}", ATOM),
        "clip": Form("clip{args}", ATOM),
        "nearest": Form("round{args}", ATOM),
        "norm": Form("‖{}‖{per}", ATOM, nested="norm{per}{args}"),
        "sum": Form("Σ{per}{args}", ATOM),
        "mean": Form("mean{per}{args}", ATOM),
        "rms": Form("RMS{per}{args}", ATOM),
        "count": Form("count{per}", ATOM),
        "machine_eps": Form("machine ε", ATOM),
    },
    spell=_spell,
    superscript=_raise,
    brackets="({})".format,
    product="·".join,
    minus="−",
    infinity="∞",
    per="_{}",
    define="{} = {}",
    update="{} ← {}",
    condition="if {}:",
    otherwise="otherwise:",
    indent="    ",
)
