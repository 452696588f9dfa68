"""Definitions as LaTeX: the notation, and blocks of lines.

Only what LaTeX, KaTeX, MathJax and matplotlib's mathtext all take is used. The package amsmath is
needed for `align*` and `aligned`.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from .describe import definitions
from .notation import ATOM, GREEK, Form, Notation, word
from .registry import Entry

_COMMANDS = {letter: "\\" + name for name, letter in GREEK.items()}
_INDICES = {"inf": r"\infty", "max": r"\max", "min": r"\min"}
_TALL = (r"\frac", r"\sum", r"\sqrt", r"\left")


def _upright(text: str) -> str:
    return rf"\mathrm{{{text}}}".replace("_", r"\_")


def _stem(stem: str) -> str:
    if stem in GREEK:
        return "\\" + stem
    return _COMMANDS.get(stem) or (stem if len(stem) == 1 else _upright(stem))


def _index(part: str) -> str:
    return _INDICES.get(part) or (part if part.isdigit() or len(part) == 1 else _upright(part))


def spell(name: str) -> str:
    r"""``beta1`` as \beta_1, ``m_hat`` as \hat{m}, ``m@`` as m_{t-1}; words upright."""
    w = word(name)
    low = [_index(part) for part in w.low]
    if not (w.symbol or all(len(part) <= 3 for part in w.low)):
        text, low = _upright("_".join([w.stem, *w.low])), []  # a word, not a letter with an index
    else:
        text = _stem(w.stem)
    if w.mark:
        text = rf"\{'bar' if w.mark == 'mean' else w.mark}{{{text}}}"
    index = ",".join([*low, *(["t-1"] if w.previous else [])])
    if index:
        text += f"_{index}" if index in (r"\infty", index[0]) else f"_{{{index}}}"
    return text + "'" * w.primes


def _superscript(exponent: str) -> str:
    return f"^{exponent}" if len(exponent) == 1 else f"^{{{exponent}}}"


def _brackets(text: str) -> str:
    return rf"\left({text}\right)" if any(x in text for x in _TALL) else f"({text})"


def _product(factors: Sequence[str]) -> str:
    """Side by side; with a dot before numbers and around words."""
    out = factors[0]
    for before, factor in itertools.pairwise(factors):
        word = any(x.startswith(r"\mathrm") for x in (before, factor))
        out += (r" \cdot " if word or factor[0].isdigit() else r"\,") + factor
    return out


LATEX = Notation(
    forms={
        "where": Form(r"{1} \text{{ if }} {0} \text{{ else }} {2}", 0, (1, 1, 0)),
        "or": Form(r"{} \text{{ or }} {}", 1, (1, 2)),
        "and": Form(r"{} \text{{ and }} {}", 2, (2, 3)),
        "not": Form(r"\text{{not }} {}", 3, (3,)),
        "isfinite": Form(r"{} \text{{ is finite}}", 4, (5,)),
        "has": Form(r"\text{{there is a }} {}", 4, (5,)),
        "lacks": Form(r"\text{{there is no }} {} \text{{ yet}}", 4, (5,)),
        "lt": Form("{} < {}", 4, (5, 5)),
        "le": Form(r"{} \leq {}", 4, (5, 5)),
        "gt": Form("{} > {}", 4, (5, 5)),
        "ge": Form(r"{} \geq {}", 4, (5, 5)),
        "eq": Form("{} = {}", 4, (5, 5)),
        "ne": Form(r"{} \neq {}", 4, (5, 5)),
        "add": Form("{} + {}", 5, (5, 5)),
        "sub": Form("{} - {}", 5, (5, 6)),
        "neg": Form("-{}", 5, (6,)),
        "div": Form(r"\frac{{{}}}{{{}}}", 9),
        "mod": Form(r"{} \operatorname{{mod}} {}", 6, (8, 8)),
        "sqrt": Form(r"\sqrt{{{}}}", ATOM),
        "abs": Form(r"\left|{}\right|", ATOM),
        "exp": Form(r"\exp{args}", ATOM),
        "log": Form(r"\log{args}", ATOM),
        "sign": Form(r"\operatorname{{sign}}{args}", ATOM),
        "maximum": Form(r"\max{args}", ATOM),
        "minimum": Form(r"\min{args}", ATOM),
        "clip": Form(r"\operatorname{{clip}}{args}", ATOM),
        "nearest": Form(r"\operatorname{{round}}{args}", ATOM),
        "norm": Form(r"\left\|{}\right\|_{{2{per}}}", ATOM, per=r",\mathrm{{{}}}"),
        "sum": Form(r"\sum{per}{args}", ATOM),
        "mean": Form(r"\operatorname{{mean}}{per}{args}", ATOM),
        "rms": Form(r"\operatorname{{RMS}}{per}{args}", ATOM),
        "count": Form(r"\operatorname{{count}}{per}", ATOM),
        "machine_eps": Form(r"\epsilon_{{\mathrm{{machine}}}}", ATOM),
    },
    spell=spell,
    superscript=_superscript,
    brackets=_brackets,
    product=_product,
    minus="-",
    infinity=r"\infty",
    per=r"_{{\mathrm{{{}}}}}",
    define="{} = {}",
    update=r"{} \leftarrow {}",
    condition=r"\text{{if }} {}\text{{:}}",
    otherwise=r"\text{otherwise:}",
    indent=r"\quad ",
)


def block(lines: Iterable[str], environment: str = "align*") -> str:
    """The lines one under the other, flush left, in an environment of amsmath."""
    body = " \\\\\n".join(f"& {line}" for line in lines)
    return f"\\begin{{{environment}}}\n{body}\n\\end{{{environment}}}"


def document(entry: Entry, given: Mapping[str, Any]) -> str:
    """The definition of a row as a piece of LaTeX, with comments that say whose it is."""
    paper = entry.paper
    head = [f"% {entry.label}: {paper.authors} {paper.year}, {paper.identifier}"]
    if entry.bind(**given).matrix:
        head.append("% as documented: torch's own functions compute it, there is no trace")
    found = definitions(entry, given, LATEX)
    blocks = []
    for where, form in found.items():
        comment = [f"% for {where}"] if len(found) > 1 else []
        blocks.append("\n".join([*comment, block(form.lines)]))
    return "\n".join([*head, *blocks])
