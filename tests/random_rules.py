"""Random rules for the compiler's tests: small programs in the rule language, drawn by Hypothesis.

A rule is drawn as a tree of tuples, so that a failing one shrinks and prints, and is run by
`rule_of`. Every operation is tame (roots of positive numbers, divisors away from 0), and what jumps
(sign, comparisons) is compared with odd constants, so that two backends land on the same side;
`Watch` notes when an example comes too close to a jump all the same, and how large its values grow.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from hypothesis import strategies as st

from glissade import Rule, State
from glissade import rule as language
from glissade.checks import is_number

HYPER = {"lr": 0.1, "a": 0.7, "k": 2, "pair": (0.9, 0.3)}
STATES = ("a", "b", "c")
PER = ("tensor", "slice", "matrix", "row", "column")
JUMPS = (0.3717, -0.6131, 1.1319, 0.0131)
ORDER = {
    "<": lambda x, y: x < y,
    "<=": lambda x, y: x <= y,
    ">": lambda x, y: x > y,
    ">=": lambda x, y: x >= y,
    "==": lambda x, y: x == y,
    "!=": lambda x, y: x != y,
}
UNARY = ("neg", "abs", "sqrt", "exp", "log", "square", "pow", "sign", "mod")
BINARY = ("add", "sub", "mul", "div", "maximum", "minimum")


@dataclass
class Watch:
    """What the eager run sees of its values."""

    largest: float = 1.0
    nearest: float = 1.0  # distance to a jump, relative
    seen: set[str] = field(default_factory=set)

    def value(self, x: Any) -> Any:
        if isinstance(x, torch.Tensor) and x.numel() and x.dtype != torch.bool:
            self.largest = max(self.largest, float(x.detach().abs().max()))
        return x

    def jump(self, x: Any, y: Any) -> None:
        if isinstance(x, torch.Tensor) or isinstance(y, torch.Tensor):
            gap = torch.as_tensor(x - y)
            if gap.numel():
                self.nearest = min(self.nearest, float(gap.detach().abs().min()))


@dataclass(frozen=True)
class Program:
    """A rule as data: one body, or two and the host condition that chooses."""

    condition: Any  # None, or a host condition
    bodies: tuple[tuple[Any, dict[str, Any]], ...]  # (step, states)
    after: tuple[Any, dict[str, Any]] | None


# ------------------------------------------------------------------ drawing

numbers = st.sampled_from(
    [0.25, 0.5, 2.0, -1.5, 3, ("h", "a"), ("h", "lr"), ("pair", 0), ("pair", 1), ("t",), ("bias",)]
)
host_conditions = st.sampled_from(
    [("every", 2), ("every", 3), ("every_k",), ("t>", 1), ("t>", 2), ("both", 1, 0.9),
     ("both", 2, 0.5)]
)  # fmt: skip


class _Drawing:
    """Draws trees over p, g and some states, `depth` operations deep at most."""

    def __init__(self, draw: st.DrawFn, states: tuple[str, ...]) -> None:
        self.draw = draw
        self.leaves = st.sampled_from(
            ["g", "p", *(f"s.{name}" for name in states), "number", ("machine_eps",), ("rank",)]
        )

    def expression(self, depth: int) -> Any:
        kind = self.draw(st.integers(0, 9)) if depth else 0
        if kind <= 1:
            leaf = self.draw(self.leaves)
            return ("number", self.draw(numbers)) if leaf == "number" else leaf
        below = depth - 1
        if kind <= 3:
            return (self.draw(st.sampled_from((*UNARY, "clip"))), self.expression(below))
        if kind <= 5:
            op = self.draw(st.sampled_from(BINARY))
            return (op, self.expression(below), self.expression(below))
        if kind <= 8:
            op = self.draw(st.sampled_from(("norm", "mean", "total", "rms")))
            return (op, self.draw(st.sampled_from(PER)), self.expression(below))
        return ("where", self.condition(below), self.expression(below), self.expression(below))

    def condition(self, depth: int) -> Any:
        kind = self.draw(st.integers(0, 6))
        below = max(0, depth - 1)
        if kind <= 3 or (kind > 4 and not depth):
            op, jump = self.draw(st.sampled_from(sorted(ORDER))), self.draw(st.sampled_from(JUMPS))
            return (op, self.expression(below), self.expression(below), jump)
        if kind == 4:
            return ("host", self.draw(host_conditions))
        if kind == 5:
            op = self.draw(st.sampled_from(("not", "isfinite")))
            inner = self.condition(below) if op == "not" else self.expression(below)
            return (op, inner)
        op = self.draw(st.sampled_from(("and", "or")))
        return (op, self.condition(below), self.condition(below))

    def states(self, names: Sequence[str]) -> dict[str, Any]:
        return {name: self.expression(3) for name in names}


@st.composite
def programs(draw: st.DrawFn) -> Program:
    """A rule with up to three states, two branches and an `after`."""
    names = STATES[: draw(st.integers(0, 3))]
    drawing = _Drawing(draw, names)
    some = st.lists(st.sampled_from(names), unique=True) if names else st.just([])
    bodies = [(drawing.expression(4), drawing.states(names))]
    condition = draw(st.none() | host_conditions)
    if condition is not None:
        bodies.append((drawing.expression(3), drawing.states(draw(some))))
    after = None
    if draw(st.integers(0, 3)) == 3:
        after = (drawing.expression(2), drawing.states(draw(some)))
    return Program(condition, tuple(bodies), after)


# ------------------------------------------------------------------ running


def _host(node: Any, t: Any, h: Any) -> Any:
    if is_number(node):
        return node
    op, *rest = node
    return {
        "h": lambda: getattr(h, rest[0]),
        "pair": lambda: h.pair[rest[0]],
        "t": lambda: 1 / t,
        "bias": lambda: language.sqrt(1 - h.pair[1] ** t),
        "every": lambda: t % rest[0] == 0,
        "every_k": lambda: t % h.k == 1,
        "t>": lambda: t > rest[0],
        "both": lambda: (t > rest[0]) & (h.a < rest[1]),
    }[op]()


class _Run:
    """One call of a rule: `value(node)` computes a tree on symbols or tensors."""

    def __init__(self, p: Any, g: Any, s: Any, t: Any, h: Any, watch: Watch) -> None:
        self.p, self.g, self.s, self.t, self.h, self.watch = p, g, s, t, h, watch

    def value(self, node: Any) -> Any:
        return self.watch.value(self._value(node))

    def _value(self, node: Any) -> Any:
        if isinstance(node, str):
            return getattr(self.s, node[2:]) if node.startswith("s.") else getattr(self, node)
        op, *rest = node
        if op == "number":
            return _host(rest[0], self.t, self.h)
        if op == "machine_eps":
            return language.machine_eps(self.p) + 0 * language.norm(self.p)
        if op == "rank":
            return 0.5 * self.p.ndim
        if op == "where":
            a, b = map(self.value, rest[1:])
            return language.where(self.condition(rest[0]), a, b)
        if op in ("norm", "mean", "total", "rms"):
            per, x = rest[0], self.value(rest[1])
            return getattr(language, op)(self._varying(x), per=per)
        return self._arithmetic(op, [self.value(x) for x in rest])

    def _varying(self, x: Any) -> Any:
        """A plain number has nothing to reduce."""
        host = not isinstance(x, torch.Tensor) and (is_number(x) or x.kind == 0)
        return x * self.p if host else x

    def _arithmetic(self, op: str, x: list[Any]) -> Any:
        if op == "sign":
            self.watch.jump(x[0], -JUMPS[0])
        return {
            "neg": lambda: -x[0],
            "abs": lambda: abs(x[0]),
            "sqrt": lambda: language.sqrt(abs(x[0]) + 0.5),
            "exp": lambda: language.exp(-abs(x[0])),
            "log": lambda: language.log(abs(x[0]) + 1),
            "square": lambda: x[0] ** 2,
            "pow": lambda: (abs(x[0]) + 0.5) ** self.h.a,
            "sign": lambda: language.sign(x[0] + JUMPS[0]),
            "mod": lambda: abs(language.clip(x[0], -1, 1)) % 1.5,
            "add": lambda: x[0] + x[1],
            "sub": lambda: x[0] - x[1],
            "mul": lambda: x[0] * x[1],
            "div": lambda: x[0] / (1 + abs(x[1])),
            "maximum": lambda: language.maximum(x[0], x[1]),
            "minimum": lambda: language.minimum(x[0], x[1]),
            "clip": lambda: language.clip(x[0], -0.75, self.h.a),
        }[op]()

    def condition(self, node: Any) -> Any:
        op, *rest = node
        if op == "host":
            return _host(rest[0], self.t, self.h)
        if op == "isfinite":
            return language.isfinite(self.value(rest[0]))
        if op == "not":
            c = self.condition(rest[0])
            return not c if isinstance(c, bool) else ~c
        if op in ("and", "or"):
            a, b = map(self.condition, rest)
            return a & b if op == "and" else a | b
        x, y = self.value(rest[0]), self.value(rest[1]) + rest[2]
        self.watch.jump(x, y)
        return ORDER[op](x, y)

    def state(self, tree: dict[str, Any]) -> State:
        return State(**{name: self.value(x) for name, x in tree.items()})


def rule_of(program: Program, watch: Watch) -> Rule:
    """The rule that a tree stands for."""

    def update(p: Any, g: Any, s: Any, t: Any, h: Any) -> tuple[Any, State]:
        body = program.bodies[0]
        if program.condition is not None and not _host(program.condition, t, h):
            body = program.bodies[1]
        run = _Run(p, g, s, t, h, watch)
        return run.value(body[0]), run.state(body[1])

    def after(p: Any, s: Any, t: Any, h: Any) -> tuple[Any, State]:
        assert program.after is not None
        run = _Run(p, p, s, t, h, watch)
        return run.value(program.after[0]), run.state(program.after[1])

    return Rule(update, HYPER, after if program.after else None, name="random")
