"""What is timed, in what numbers, beside whom, and how long."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from ..storage import FULL, LOWER
from .peers import COMPILED, TORCH, columns
from .shapes import MODELS

DTYPES = ("float32", "bfloat16", "float16")  # of parameters and gradients
STATE_DTYPES = (FULL, *LOWER)
HEAVY = ("gpt2", "many")  # with --quick few rules are timed on these
QUICK_ON_HEAVY = ("adamw", "lamb", "adafactor")
QUICK_ROUNDS, QUICK_SECONDS = 3, 0.02
COMPILABLE = 1000  # tensors: torch.compile takes minutes for hundreds
REFERENCE = "adamw"  # the rule that most of the project's goals are about


@dataclass(frozen=True, order=True)
class Precision:
    """What parameters and gradients are kept in, and what our states are."""

    dtype: str = "float32"
    state_dtype: str = FULL  # others' states are as the parameters

    @property
    def full(self) -> bool:
        """Whether everything is in float32."""
        return self == Precision()

    @property
    def asked(self) -> str | None:
        """The state dtype as an optimizer takes it."""
        return None if self.state_dtype == FULL else self.state_dtype

    def __str__(self) -> str:
        return self.dtype + (f", state in {self.state_dtype}" if self.asked else "")


FLOAT32 = Precision()


def survey() -> tuple[Precision, ...]:
    """What the reference rule is timed in with --all."""
    low = (Precision(dtype, state) for dtype in DTYPES[:2] for state in STATE_DTYPES)
    return tuple(dict.fromkeys((FLOAT32, *low)))


@dataclass(frozen=True)
class Settings:
    """All choices of a run."""

    optimizers: tuple[str, ...]
    shapes: tuple[str, ...]
    rounds: int = 9
    seconds: float = 0.1  # of a turn
    patience: int = 3  # times as many rounds while others disturb them
    quick: bool = False
    compile: bool = False  # torch.compile too
    all: bool = False  # every rule on gpt2, the reference also on the rest and in every precision
    peers: tuple[str, ...] = (TORCH,)  # libraries
    device: str = "cpu"
    precisions: tuple[Precision, ...] = (FLOAT32,)

    @property
    def backend(self) -> str:
        """Of ours."""
        return "cpu" if self.device == "cpu" else "triton"

    def rules(self, shape: str) -> tuple[str, ...]:
        """The optimizers that are timed on a model."""
        if self.all and shape != "gpt2":
            if shape == "billion":
                return tuple(name for name in self.optimizers if name in QUICK_ON_HEAVY)
            return tuple(name for name in self.optimizers if name == REFERENCE)
        if not self.quick or shape not in HEAVY or self.all:
            return self.optimizers
        few = tuple(name for name in self.optimizers if name in QUICK_ON_HEAVY)
        return few or self.optimizers[:1]

    def numbers(self, rule: str, shape: str) -> tuple[Precision, ...]:
        """The precisions that a rule is timed in on a model."""
        if self.all and (rule, shape) == (REFERENCE, "gpt2"):
            return tuple(dict.fromkeys((*self.precisions, *survey())))
        return self.precisions

    def forms(self, rule: str, shape: str, dtype: str = "float32") -> tuple[str, ...]:
        """Whose optimizers, and in which form, are timed beside a rule in a dtype."""
        always = (TORCH,) if self.all and rule == REFERENCE else ()
        have = columns(rule, dict.fromkeys((*always, *self.peers)))
        tensors = MODELS[shape].tensors
        if not self.compile or tensors > COMPILABLE:
            have = tuple(form for form in have if form != COMPILED)
        if tensors > COMPILABLE:
            have = tuple(form for form in have if form != "optax")  # one jit of all tensors, too
        if self.device != "cpu":
            have = tuple(form for form in have if form != "optax")  # jax has its own devices
        if all(dtype != one.dtype for one in self.precisions):  # it came with --all
            have = tuple(form for form in have if form not in ("default", "foreach"))
        if self.quick and shape in HEAVY:
            few = ("default", "fused") if "fused" in have else ()
            have = tuple(f for f in have if f in few or f not in columns(rule, (TORCH,)))
        return have

    def record(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)
