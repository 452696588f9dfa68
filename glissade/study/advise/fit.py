"""What has to fit into memory: read off parameters and rules, without allocating any of it."""

from __future__ import annotations

import itertools
import re
import sys
import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from glissade.backend.member import Member, real
from glissade.describe import LATE, facts
from glissade.optimizer import Optimizer
from glissade.program import Program
from glissade.settings import Settings
from glissade.spec import Spec
from glissade.study.run import tensor_bytes

UNITS = {
    "B": 1, "kB": 10**3, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12,
    "KiB": 2**10, "MiB": 2**20, "GiB": 2**30, "TiB": 2**40,
}  # fmt: skip
ESTIMATE = 3  # times the parameters: what an estimate of the curvature was measured to need
MATRICES = 3  # of n × n in float64: one, its eigenvectors, what computes them
COUNTER = 8  # bytes of the number of steps that each parameter has taken
CALLS = 600  # in which a rule takes every path that it takes


def bytes_of(text: str, option: str = "--memory") -> int:
    """The bytes that ``8GB`` or ``7.5 GiB`` are; ValueError says how to write it."""
    found = re.fullmatch(r"\s*(\d+(?:\.\d*)?|\.\d+)\s*([A-Za-z]*)\s*", text)
    number, unit = (found[1], found[2]) if found else ("", "")
    known = {name.lower(): one for name, one in UNITS.items()}
    if not found or unit.lower() not in known or float(number) == 0:
        why = " (a unit is missing)" if found and not unit else ""
        raise ValueError(
            f"{option} {text}: write a number with a unit{why}, as in 8GB (10⁹ bytes each) or "
            "8GiB (2³⁰ each); MB, MiB, kB, KiB, TB and TiB are known, too"
        )
    return int(float(number) * known[unit.lower()])


def moved(spec: Spec) -> float:
    """Bytes to and from memory in a step, for each element; 0 where there is no plan."""
    if spec.row is None or spec.rule().matrix:
        return 0.0
    return facts(spec.rule()).bytes()


@dataclass(frozen=True)
class State:
    """What an optimizer would keep for these parameters."""

    spec: Spec
    bytes: int
    why: str = ""  # it cannot take them
    passing: int = 0  # bytes that its step needs for a while beside it

    @property
    def fine(self) -> bool:
        return not self.why


def state(spec: Spec, params: Sequence[Tensor], state_dtype: str | None = None) -> State:
    """The state that an optimizer would have, without having it; or why it cannot run."""
    like = [nn.Parameter(torch.empty_like(local(p), device="meta")) for p in params]
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            made: torch.optim.Optimizer
            if spec.row is not None:
                made = Optimizer(like, spec.rule(), state_dtype=state_dtype)
            else:
                made = spec.optimizer(like)
        if not isinstance(made, Optimizer):
            n = sum(p.numel() for p in like)
            return State(spec, 0, passing=MATRICES * 8 * n * n)  # Newton: all anew in each step
        if made.rule.matrix:
            squares = [8 * p.numel() ** 2 for p in like]
            kept = sum(squares) + COUNTER * len(like)
            return State(spec, kept, passing=MATRICES * max(squares))
        passing = ESTIMATE * bytes_in(like) if made.rule.inputs else 0
        kept = sum(_kept(made, group) for group in made.param_groups)
        return State(spec, kept, passing=passing)
    except (ValueError, TypeError) as error:
        return State(spec, 0, " ".join(str(error).split()))


def _kept(made: Optimizer, group: dict[str, Any]) -> int:
    """Of a group: what the paths that are ever taken keep, laid out on the meta device."""
    total, settings = 0, Settings(made.rule, group, 0)
    cache: dict[object, int] = {}
    names: dict[Program, list[str]] = {}
    for p in group["params"]:
        about = (p.shape, p.stride(), p.dtype)
        if about not in cache:
            program = made._programs.of(group, real(p.detach()).shape)
            if program not in names:
                leaves = set(itertools.islice(program.calls(group), CALLS))
                leaves |= set(itertools.islice(program.calls(group, LATE, program.states), CALLS))
                names[program] = sorted({x for i in leaves for x in program.plans[i].states})
            member = Member(p, settings, program)
            for name in names[program]:
                member.fit(name)
            cache[about] = tensor_bytes(member.state) + COUNTER
        total += cache[about]
    return total


def local(p: Tensor) -> Tensor:
    """What of a parameter is here: of a sharded one its shard."""
    held: Any = p.detach()
    tensor: Tensor = held.to_local() if sharded(p) else held
    return tensor


def sharded(p: Tensor) -> bool:
    """Whether it is a DTensor, of which each process has a part."""
    module = sys.modules.get("torch.distributed.tensor")
    kind = getattr(module, "DTensor", None)
    return kind is not None and isinstance(p.data, kind)


def bytes_in(tensors: Iterable[Tensor]) -> int:
    """What tensors take."""
    return sum(tensor_bytes(local(x)) for x in tensors)
