"""Expressions as they are printed: a small tree, and tables that say how each part is written.

`TEXT` is plain Unicode. Another notation is another `Notation`: other forms, other letters.
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Callable, Mapping
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
    if e.op == "all":  # a total over all tensors
        (x,) = args
        if x.op in ("sum", "sumsq", "count"):
            return replace(x, value="all")
        return Expr("sum", args, "all")
    if e.op == "div" and args[0].op == "sum" and args[1].op == "count":
        return replace(args[0], op="mean")
    if e.op == "sqrt":
        (x,) = args
        if x.op == "sumsq":
            return replace(x, op="norm")
        if x.op == "mean" and _square(x.args[0]):
            return replace(x, op="rms", args=x.args[0].args[:1])
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
    """How an operation is written: a template, how tightly it binds, how tightly its parts must."""

    template: str
    binds: int
    parts: tuple[int, ...] = ()
    nested: str = ""  # another template, where the operation is inside itself: not ||x| − 1|


ATOM = 10


@dataclass(frozen=True)
class Notation:
    """A way to write expressions: the forms of operations, the spelling of names and numbers."""

    forms: Mapping[str, Form]
    spell: Callable[[str], str]
    superscript: Callable[[str], str | None]  # an exponent, or None if it cannot be raised
    parentheses: str = "({})"
    times: str = "·"
    minus: str = "−"
    per: str = "{}_{}"  # a reduction's sign with what it is per

    def write(self, e: Expr) -> str:
        """The expression as text."""
        return self._write(tidy(e), 0)

    def _write(self, e: Expr, least: int) -> str:
        """The expression, in parentheses if it binds less tightly than `least`."""
        text, binds = self._bare(e)
        return text if binds >= least else self.parentheses.format(text)

    def _bare(self, e: Expr) -> tuple[str, int]:
        if e.op == "name":
            return self.spell(e.value[0]), ATOM
        if e.op == "number":
            return self.number(e.value)
        if e.op == "product":
            return self.times.join(self._write(x, 8) for x in e.args), 7
        if e.op == "pow":
            exponent = self._write(e.args[1], 0)
            raised = self.superscript(exponent)
            if raised is None:
                raised = "^" + self._write(e.args[1], ATOM)
            return self._write(e.args[0], ATOM) + raised, 9
        form = self.forms[e.op]
        parts = form.parts or (0,) * len(e.args)
        args = [self._write(x, least) for x, least in zip(e.args, parts, strict=True)]
        nested = form.nested and any(_contains(x, e.op) for x in e.args)
        text = (form.nested if nested else form.template).format(*args)
        if e.value not in (None, "tensor"):  # a reduction per row, column ...
            sign, bracket, rest = (text, "", "") if text.endswith("‖") else text.partition("(")
            text = self.per.format(sign, e.value) + bracket + rest
        return text, form.binds

    def number(self, x: float | bool) -> tuple[str, int]:
        """A constant, and how tightly it binds."""
        if isinstance(x, bool) or not math.isfinite(x):
            return {"inf": "∞", "-inf": self.minus + "∞"}.get(str(x), str(x).lower()), 5
        if isinstance(x, float) and x.is_integer() and abs(x) < 1e9:
            x = int(x)
        digits, _, exponent = str(x).partition("e")
        text, binds = digits.replace("-", self.minus), ATOM
        if exponent:
            ten = self._write(
                Expr("pow", (Expr("number", value=10), Expr("number", value=int(exponent)))), 0
            )
            text, binds = (ten, 9) if digits == "1" else (text + self.times + ten, 7)
        return text, 5 if x < 0 else binds


def _contains(e: Expr, op: str) -> bool:
    return e.op == op or any(_contains(x, op) for x in e.args)


# Plain text

_GREEK = {
    "alpha": "α", "beta": "β", "gamma": "γ", "delta": "δ", "epsilon": "ε", "zeta": "ζ", "eta": "η",
    "theta": "θ", "kappa": "κ", "lambda": "λ", "mu": "μ", "nu": "ν", "xi": "ξ", "pi": "π",
    "rho": "ρ", "sigma": "σ", "tau": "τ", "phi": "φ", "chi": "χ", "psi": "ψ", "omega": "ω",
}  # fmt: skip
# What papers call the hyperparameters and states whose names in code are longer.
_USUAL = {
    "eps": "ε",
    "weight_decay": "λ",
    "momentum": "μ",
    "base_lr": "lr₀",
    "beta2_decay": "τ",
    "initial_accumulator_value": "G₀",
    "slow": "φ",
    "inf": "∞",
}
_MARKS = {"hat": "\u0302", "mean": "\u0304", "bar": "\u0304", "tilde": "\u0303"}
_LOWERED = dict(zip("0123456789aehijklmnoprstuvx+-", "₀₁₂₃₄₅₆₇₈₉ₐₑₕᵢⱼₖₗₘₙₒₚᵣₛₜᵤᵥₓ₊₋", strict=True))
_RAISED = dict(zip("0123456789tknij+−", "⁰¹²³⁴⁵⁶⁷⁸⁹ᵗᵏⁿⁱʲ⁺⁻", strict=True))
PREVIOUS = "@"  # at the end of a name: its value before this step


def _spell(word: str) -> str:
    """``beta1`` as β₁, ``m_hat`` as m̂, ``rho_inf`` as ρ∞; ``m@`` as mₜ₋₁, ``v'`` as v′."""
    primes = len(word) - len(word.rstrip("'"))
    if primes:
        return _spell(word[:-primes]) + ("″" if primes == 2 else "′" * primes)
    if word.endswith(PREVIOUS):
        return _spell(word[:-1]) + "ₜ₋₁"
    if word in _USUAL:
        return _USUAL[word]
    head, *rest = word.split("_")
    stem, digits = re.fullmatch(r"(.*?)(\d*)", head).groups()  # type: ignore[union-attr]
    stem = _USUAL.get(stem) or _GREEK.get(stem.lower(), stem)
    text, low = stem, "".join(_LOWERED[d] for d in digits)
    for part in rest:
        if part in _MARKS and len(stem) == 1 and text == stem:
            text += _MARKS[part]
        elif part == "inf":
            low += "∞"
        elif len(stem) <= 2 and len(part) <= 3 and all(c in _LOWERED for c in part):
            low += "".join(_LOWERED[c] for c in part)
        else:
            return word
    return unicodedata.normalize("NFC", text + low)


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
        "abs": Form("|{}|", ATOM, nested="abs({})"),
        "exp": Form("exp({})", ATOM),
        "log": Form("log({})", ATOM),
        "sign": Form("sign({})", ATOM),
        "maximum": Form("max({}, {})", ATOM),
        "minimum": Form("min({}, {})", ATOM),
        "clip": Form("clip({}, {}, {})", ATOM),
        "norm": Form("‖{}‖", ATOM, nested="norm({})"),
        "sum": Form("Σ({})", ATOM),
        "sumsq": Form("Σ({})²", ATOM),
        "mean": Form("mean({})", ATOM),
        "rms": Form("RMS({})", ATOM),
        "count": Form("count", ATOM),
        "machine_eps": Form("machine ε", ATOM),
    },
    spell=_spell,
    superscript=_raise,
)
