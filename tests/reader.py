"""Reads the mathematics that `glissade show` prints and does what it says, on torch tensors.

With it the tests hold the printed definition, parentheses and all, against the rule itself.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from typing import Any

import torch

from glissade import rule as language

RAISED = dict(zip("⁰¹²³⁴⁵⁶⁷⁸⁹ᵗᵏⁿⁱʲ⁺⁻", "0123456789tknij+−", strict=True))
TOKEN = re.compile(
    rf"\s*([{''.join(RAISED)}]+|\d+(?:\.\d+)?|machine ε|[^\W\d{''.join(RAISED)}]"
    rf"(?:[^\W{''.join(RAISED)}]|[\u0300-\u036f∞′″₊₋])*|.)"
)
# How tightly what stands between two operands binds; of equals the left one goes first.
BINDS = {
    "or": 1, "and": 2, "<": 4, "≤": 4, ">": 4, "≥": 4, "=": 4, "≠": 4,
    "+": 5, "−": 5, "/": 6, "mod": 6, "·": 7, "^": 9,
}  # fmt: skip
BETWEEN = {
    "or": lambda a, b: a | b,
    "and": lambda a, b: a & b,
    "<": lambda a, b: a < b,
    "≤": lambda a, b: a <= b,
    ">": lambda a, b: a > b,
    "≥": lambda a, b: a >= b,
    "=": lambda a, b: a == b,
    "≠": lambda a, b: a != b,
    "+": lambda a, b: a + b,
    "−": lambda a, b: a - b,
    "/": lambda a, b: a / b,
    "mod": lambda a, b: a % b,
    "·": lambda a, b: a * b,
    "^": lambda a, b: a**b,
}
CALLS = {
    "max": language.maximum,
    "min": language.minimum,
    "clip": language.clip,
    "abs": abs,
    "norm": language.norm,
    "exp": language.exp,
    "log": language.log,
    "sign": language.sign,
    "Σ": language.total,
    "mean": language.mean,
    "RMS": language.rms,
}


class Reader:
    """One expression, evaluated as it is read; a name that has no value is a KeyError."""

    def __init__(self, text: str, values: dict[str, Any]) -> None:
        text = unicodedata.normalize("NFC", text)
        # Every state of a run from its start is there from the second step on.
        text = re.sub(r"there is a\s*\S+", "t > 1", text)
        text = re.sub(r"there is no\s*\S+\s*yet", "t = 1", text)
        self.tokens = [*TOKEN.findall(text), ""]
        self.values = values

    def next(self, *wanted: str) -> str:
        token = self.tokens.pop(0)
        assert not wanted or token in wanted, f"{token!r} where {wanted} should be"
        return token

    def all(self) -> Any:
        value = self.choice()
        self.next("")
        return value

    def choice(self) -> Any:
        value = self.binary(1)
        if self.tokens[0] == "if":
            self.next("if")
            condition = self.binary(1)
            self.next("else")
            other = self.choice()
            tensors = [torch.as_tensor(x, dtype=torch.float64) for x in (value, other)]
            return torch.where(torch.as_tensor(condition), *tensors)
        return value

    def binary(self, least: int) -> Any:
        value = self.operand()
        while True:
            if self.tokens[0] == "is" and least <= 4:
                self.next("is")
                self.next("finite")
                value = language.isfinite(value)
            elif BINDS.get(self.tokens[0], 0) >= least:
                sign = self.next()
                value = BETWEEN[sign](value, self.binary(BINDS[sign] + 1))
            else:
                return value

    def operand(self) -> Any:
        if self.tokens[0] == "√":
            self.next()
            return language.sqrt(self.raised(self.atom()))
        if self.tokens[0] == "not":
            self.next()
            value = self.binary(4)
            return not value if isinstance(value, bool) else ~value
        if self.tokens[0] == "−":
            self.next()
            return -self.binary(6)
        return self.raised(self.atom())

    def raised(self, base: Any) -> Any:
        while self.tokens[0] and self.tokens[0][0] in RAISED:
            exponent = "".join(RAISED[c] for c in self.next())
            base = base ** Reader(exponent, self.values).all()
        return base

    def per(self) -> str:
        return self.next()[1:] if self.tokens[0].startswith("_") else "tensor"

    def atom(self) -> Any:
        token = self.next()
        if token == "(":
            value = self.choice()
            self.next(")")
            return value
        if token == "|":
            value = self.choice()
            self.next("|")
            return abs(value)
        if token == "‖":
            value = self.choice()
            self.next("‖")
            return language.norm(value, self.per())
        if token in ("true", "false"):
            return token == "true"
        if token == "machine ε":
            return torch.finfo(torch.float64).eps
        if token[0].isdigit():
            return float(token) if "." in token else int(token)
        sign, _, per = token.partition("_")
        if self.tokens[0] == "(" and sign in CALLS:
            self.next("(")
            args = [self.choice()]
            while self.tokens[0] == ",":
                self.next(",")
                args.append(self.choice())
            self.next(")")
            return CALLS[sign](*args, *([per] if per else []))
        return self.values[token]


def perform(lines: Sequence[str], values: dict[str, Any]) -> None:
    """Do what the lines say: they assign to `values`."""
    at = 0
    while at < len(lines):
        line = lines[at]
        at += 1
        block = [x[4:] for x in _indented(lines[at:])]
        at += len(block)
        if not line.startswith("if "):
            target, sign, expression = line.split(" ", 2)
            target = unicodedata.normalize("NFC", target)
            # `=` gives a name to what had none, `←` a new value to what had one.
            assert (sign == "←") is (target in values), line
            values[target] = Reader(expression, values).all()
            continue
        holds = bool(Reader(line[3:-1], values).all())
        other: list[str] = []
        if at < len(lines) and lines[at] == "otherwise:":
            other = [x[4:] for x in _indented(lines[at + 1 :])]
            at += 1 + len(other)
        perform(block if holds else other, values)


def _indented(lines: Sequence[str]) -> list[str]:
    out = []
    for line in lines:
        if not line.startswith("    "):
            break
        out.append(line)
    return out
