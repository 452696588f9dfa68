"""The real optimizer, driven by lines of Python that are kept: together they are the script that a
failing sequence prints."""

from __future__ import annotations

import contextlib
import os
import warnings
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from glissade import registry

HEAD = """\
import copy, io, pickle
import torch
import glissade
from glissade import rules, wrappers
from torch import nan, inf, float32, float64, bfloat16

def tensor(x, dtype=float64):
    return torch.tensor(x, dtype=dtype)

def failing():
    raise ZeroDivisionError

def kept(buffer):
    buffer.seek(0)
    return torch.load(buffer, weights_only=True)

def written(state_dict):
    buffer = io.BytesIO()
    torch.save(state_dict, buffer)
    return buffer
"""

LAYOUTS = {
    "plain": "{}",
    "transposed": "{}.mT.contiguous().mT",
    "strided": "torch.stack([{0}, {0}], -1)[..., 0]",
}
EPS = {"float64": 2.0**-52, "float32": 2.0**-23, "bfloat16": 2.0**-7}


def without() -> set[str]:
    """Return what is left out."""
    return set(os.environ.get("GLISSADE_SEQUENCES_WITHOUT", "").split(",")) - {""}


def only() -> set[str]:
    """Return the rules and wrappers that are drawn; empty: all."""
    return set(os.environ.get("GLISSADE_SEQUENCES_ONLY", "").split(",")) - {""}


class Mismatch(AssertionError):
    """The optimizer and its model differ; the message is a script that shows it."""


@dataclass(frozen=True)
class Spec:
    """What an example is about."""

    name: str
    made: dict[str, Any]  # the rule's keywords
    wrappers: tuple[tuple[str, str], ...] = ()  # with their arguments, the outermost first
    onto: str = ""
    backend: str = "eager"
    shapes: tuple[tuple[int, ...], ...] = ((3,),)
    dtypes: tuple[str, ...] = ("float64",)
    layouts: tuple[str, ...] = ("plain",)
    groups: tuple[tuple[tuple[int, ...], dict[str, Any]], ...] = (((0,), {}),)

    def rule(self) -> str:
        """Return the expression that makes the rule."""
        words = ", ".join(f"{k}={v!r}" for k, v in self.made.items())
        text = f"rules.{self.name}({words})"
        for wrapper, options in reversed(self.wrappers):
            text = f"wrappers.{wrapper}({text}{options and ', '}{options})"
        return text

    @property
    def variant(self) -> str:
        """Return the rule's variant, "" if it has none."""
        default = registry.lookup(self.name).rule().hyper.get("variant", "")
        presets = "paper" if self.name in ("ranger", "ralamb", "rangerlars") else default
        return str(self.made.get("variant", presets))


def numbers(seed: int, shape: tuple[int, ...], dtype: str = "float64") -> NDArray[np.float64]:
    """Return numbers away from 0, in digits enough that no sum of few of them is 0 by chance."""
    random = np.random.default_rng(seed)
    size = np.round(random.uniform(0.2, 1.5, shape), 3 if dtype == "bfloat16" else 7)
    return np.asarray(size * random.choice((-1.0, 1.0), shape))


def literal(values: NDArray[np.float64], layout: str = "plain", dtype: str = "float64") -> str:
    """Return an expression for a tensor."""
    end = "" if dtype == "float64" else f", {dtype}"
    if layout == "expanded":
        return f"tensor({float(values.flat[0])!r}{end}).expand({values.shape})"
    if values.ndim < (2 if layout == "transposed" else 1):
        layout = "plain"
    return LAYOUTS.get(layout, "{}").format(f"tensor({values.tolist()!r}{end})")


@dataclass
class World:
    """Runs lines, and keeps them."""

    lines: list[str] = field(default_factory=list)
    names: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        exec(HEAD, self.names)

    def run(self, line: str) -> None:
        """Run a line and keep it."""
        self.lines.append(line)
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", ".*costs memory and gains nothing")
            exec(line, self.names)

    def raises(self, line: str, error: type[Exception]) -> bool:
        """Run a line that must raise an error; tell whether it does."""
        self.lines.append(
            f"try:\n    {line}\nexcept {error.__name__}:\n    pass\n"
            f"else:\n    print({line!r}, 'raises no {error.__name__}')"
        )
        try:
            exec(line, self.names)
        except error:
            return True
        return False

    def value(self, expression: str) -> Any:
        """Return what an expression is."""
        return eval(expression, self.names)

    @property
    def params(self) -> list[Tensor]:
        """Every parameter, in the order of their making."""
        return self.names["params"]  # type: ignore[no-any-return]

    @property
    def opt(self) -> Any:
        """The optimizer."""
        return self.names["opt"]

    def script(self) -> str:
        """Return the script."""
        return "\n".join([HEAD, *self.lines])

    @contextlib.contextmanager
    def explained(self, what: str) -> Any:
        """Turn any error into one that shows the script."""
        try:
            yield
        except Mismatch:
            raise
        except Exception as error:
            raise self.mismatch(f"{what} raises {type(error).__name__}: {error}") from error

    def mismatch(self, what: str, check: str = "") -> Mismatch:
        """Return the error for a difference."""
        text = f"{what}\n\n# ---- the script that shows it\n{self.script()}\n{check}\n# ----"
        return Mismatch(text)


def tolerance(slot: Any, dtype: str, loose: float) -> Any:
    """Return how far a parameter may be from its model."""
    eps = EPS[dtype]
    if dtype == "float64":
        return max(1e-10, loose) * slot.path + 16 * eps * slot.reach * (4 + slot.steps)
    if dtype == "float32":
        return 3e-5 * slot.moved + 8 * eps * np.abs(slot.value) + 2 * eps * slot.reach
    return 1e-2 * slot.moved + eps * np.abs(slot.value) * 1.01 + eps**2


def farthest(real: Tensor, slot: Any, want: Any, loose: float, dtype: str = "") -> float:
    """Return how many times the tolerance a tensor is off; more than 1 is too far."""
    if not real.numel():
        return 0.0
    off = np.abs(real.detach().double().numpy() - want)
    return float(np.max(off / (tolerance(slot, dtype or slot.dtype, loose) + 1e-300)))


def bits(x: Any) -> Any:
    """Return something that is equal for equal bits only."""
    if isinstance(x, Tensor):
        x = x.detach().contiguous()
        return str(x.dtype), tuple(x.shape), x.reshape(-1).view(torch.uint8).numpy().tobytes()
    if isinstance(x, dict):
        return {k: bits(v) for k, v in x.items()}
    if isinstance(x, (list, tuple)):
        return [bits(v) for v in x]
    return x
