"""The kernel that begins a step where the host must not: it counts the step of each tensor, decides
which leaf is taken, and computes the numbers that the host would have.

So a CUDA graph that has captured a step goes on counting, and follows the hyperparameters, which
are in device memory; and a step whose gradients are not finite can be left out without asking.
"""

from __future__ import annotations

from typing import Any

from ...graph import Node
from ...program import Program
from ...simplify import walk
from ..layout import Layout
from .source import CALLS, INFIX, active, unscale

SEED: tuple[Any, ...] = ("rounding_seed",)
STEP, HYPER, NUMBERS = range(3)  # columns of its table: pointers, the last of them one a leaf


class Begin:
    """Its source, and the hyperparameters that it reads, in the order in which it does."""

    def __init__(self, program: Program) -> None:
        self.hyper: list[tuple[Any, ...]] = []
        self.has_at = NUMBERS + len(program.plans)  # columns of: after how many steps a state is
        self.has: list[str] = []  # there, the names of such states
        self._lines: list[str] = []
        self._names: dict[Node, str] = {}
        leaves = zip(program.trace.leaves, program.plans, strict=True)
        for k, (leaf, plan) in enumerate(leaves):
            layout = Layout(plan)
            self._line(f"numbers = tl.load(row + {NUMBERS + k}).to(tl.pointer_type(tl.float64))")
            taken = "go"
            for condition, answer in leaf.path:
                taken += f" & ({self._value(condition)}{'' if answer else ' == 0'})"
            self._line(f"tl.store(numbers + {active(layout)}, ({taken}).to(tl.float64))")
            self._line(f"tl.store(numbers + {unscale(layout)}, unscaled)")
            for node, slot in layout.hosts.items():
                self._line(f"tl.store(numbers + {slot}, {self._value(node)}.to(tl.float64))")
        self.words = self.has_at + len(self.has)

    @property
    def source(self) -> str:
        """The function."""
        lines = [
            f"row = rows + tl.program_id(0).to(tl.int64) * {self.words}",
            f"step = tl.load(row + {STEP}).to(tl.pointer_type(tl.int64))",
            f"hyper = tl.load(row + {HYPER}).to(tl.pointer_type(tl.float64))",
            "go, unscaled = tl.load(amp) == 0, 1.0 / tl.load(amp + 1)",
            "count = tl.load(step) + 1",
            "t = count.to(tl.float64)",
            *(f"h{k} = tl.load(hyper + {k})" for k in range(len(self.hyper))),
            *self._lines,
            "tl.store(step, tl.where(go, count, count - 1))",
        ]
        return "\n".join(["@triton.jit\ndef begin(rows, amp):", *(f"    {x}" for x in lines), ""])

    def _line(self, text: str) -> None:
        self._lines.append(text)

    def _read(self, key: tuple[Any, ...]) -> str:
        if key not in self.hyper:
            self.hyper.append(key)
        return f"h{self.hyper.index(key)}"

    def _value(self, root: Node) -> str:
        """The name of a variable that holds a number of the host."""
        for node in walk([root]):
            if node not in self._names:
                self._names[node] = self._written(node)
        return self._names[root]

    def _written(self, node: Node) -> str:
        if node.op == "t":
            return "t"
        if node.op == "hyper":
            return self._read(tuple(node.value))
        if node.op == "has":
            self.has.append(node.value)
            return f"(count - 1 > tl.load(row + {self.has_at + len(self.has) - 1}))"
        args = [self._names[a] for a in node.args]
        if node.op == "const":
            text = f'tl.full((), float("{float(node.value)!r}"), tl.float64)'
            text += " != 0" if node.bool_ else ""
        elif node.op == "key":
            text = f"f.key({node.value}, count, {self._read(SEED)})"
        elif node.op in INFIX:
            text = f"{args[0]} {INFIX[node.op]} {args[1]}"
        elif node.op == "inverse":
            text = f"1.0 / {args[0]}"
        elif node.op in ("neg", "not"):
            text = f"-{args[0]}" if node.op == "neg" else f"{args[0]} == 0"
        else:
            call = "tl.where" if node.op == "where" else CALLS[node.op]
            text = f"{call}({', '.join(args)})"
        name = f"x{len(self._names)}"
        self._line(f"{name} = {text}")
        return name
