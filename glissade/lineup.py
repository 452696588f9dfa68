"""Who steps: an optimizer's parameters with their groups, states and backends, kept from step to
step for as long as nobody changes groups, choices or states."""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from . import checks
from .backend import eager, select
from .backend.batch import Batch
from .backend.engines import engine
from .backend.member import Member, Moved, compute_dtype, real
from .backend.together import Part, together
from .checkpoint import ParamState, States
from .offload import Offload
from .program import Program, Programs

Group = dict[str, Any]


CHOICES = ("maximize", "capturable", "differentiable", "state_dtype", "stochastic_rounding")


@dataclass(slots=True)
class _Was:
    """A group as it was: its parameters, and whatever in it may choose the kernel."""

    group: Group
    params: list[Tensor]
    names: tuple[str, ...]
    choose: Callable[[Group], tuple[Any, ...]]
    choices: tuple[Any, ...]

    @staticmethod
    def of(group: Group, keys: Sequence[str]) -> _Was:
        """All that is no plain number (None, words, truths, tuples) may choose."""
        names = tuple(k for k in keys if not checks.is_number(checks.plain(group[k])))
        choose = operator.itemgetter(*names)
        return _Was(group, list(group["params"]), names, choose, choose(group))


class LineUp:
    """Taken when a step finds that there is none or that it is `stale`."""

    def __init__(
        self,
        programs: Programs,
        backend: str | None,
        groups: Sequence[Group],
        state: States,
        offload: Offload | None = None,
    ) -> None:
        self._programs = programs
        self._backend = backend
        self._groups = groups
        self._roster: list[Tensor] = [p for group in groups for p in group["params"]]
        # Who takes the steps: the parameters themselves, or copies of them on the cpu.
        self._offload = offload
        self._acting = self._roster if offload is None else [offload.near(p) for p in self._roster]
        self._group_of = [group for group in groups for _ in group["params"]]
        self._were = [_Was.of(group, (*programs.rule.hyper, *CHOICES)) for group in groups]
        # The memory is NumPy's, so that it stays where it is if a step is moved (share_memory_).
        self._counts = counts = np.zeros(len(self._roster), np.int64)
        self._steps = steps = torch.from_numpy(counts)
        self._steps_at = steps.data_ptr()
        for i, p in enumerate(self._roster):
            if p in state:
                held = ParamState(state, state[p])
                counts[i] = int(held.get("step", 1 if held else 0))
                dict.__setitem__(held, "step", self._step_of(i, held.get("step")))
                dict.__setitem__(state, p, held)
        self._present: list[bool] = []
        self._batches: list[tuple[Batch, list[int]]] = []  # with the places of those present
        self._absent: list[Tensor] = []
        self._alone: Batch | None = None  # if it runs all that are present
        self.found_inf: Tensor | None = None
        self._scale: Tensor | None = None
        self._state, state.stale = state, False

    def stale(self, groups: Sequence[Group], state: Any) -> bool:
        """Whether groups, their parameters, their choices or a state changed since."""
        if self._state is not state or state.stale or self._groups is not groups:
            return True
        if self._steps.data_ptr() != self._steps_at or len(groups) != len(self._were):
            return True
        for group, was in zip(groups, self._were):  # noqa: B905 - speed
            params = group["params"]
            if group is not was.group or len(params) != len(was.params):
                return True
            if (choices := was.choose(group)) != was.choices and not self._alike(was, choices):
                return True
            if not all(map(operator.is_, params, was.params)):
                return True
        return False

    def _alike(self, was: _Was, choices: tuple[Any, ...]) -> bool:
        """Whether only numbers in tuples (betas) have changed; if so, they are taken over."""
        if checks.without_numbers(choices) != checks.without_numbers(was.choices):
            return False
        changed = {k: x for k, x in zip(was.names, choices, strict=True) if isinstance(x, tuple)}
        self._programs.rule.check(changed)
        was.choices = choices
        return True

    def scaled(self, found_inf: Tensor | None, scale: Tensor | None) -> None:
        """What torch's GradScaler says of the step that comes, to those who can take it."""
        self.found_inf, self._scale = found_inf, scale
        amp = None if found_inf is None else (found_inf, scale)
        for batch, _ in self._batches:
            for lane in batch.lanes:
                lane.amp = amp

    def step(self) -> None:
        """One step of every parameter that has a gradient; nothing is changed if this raises."""
        if self._offload is not None:
            self._offload.fetch(self._roster, self._check_fetched)
        self._step()
        if self._offload is not None:
            self._offload.send(self._roster)

    def _step(self) -> None:
        # Mostly all is as it was, at most with gradients at other addresses: one look tells.
        alone = self._alone
        if alone is not None and self._absent:
            alone = alone if all(p.grad is None for p in self._absent) else None
        done = None if alone is None else alone.again()
        if done is None:
            done = self._anew()
        if not done:
            for group in self._groups:
                group[self._programs.rule.skips] += 1

    def _anew(self) -> bool:
        """The same, with everything asked anew; False if the rule's guard says: no step."""
        grads: list[Any] = [p.grad for p in self._acting]
        present = [g is not None for g in grads]
        if present != self._present:
            self._call_up(present)
        here = [grads[i] for i in self._at]
        try:
            parts = self._parts(here)
        except Moved:  # nothing has been changed yet
            self._call_up(present)
            parts = self._parts(here)
        done = together(parts)
        if done:
            self._counts[self._at] += 1
            for batch, _ in self._batches:
                batch.done()
        for batch, _ in self._batches:
            batch.let_go()
        return done

    def put(self, name: str, values: Sequence[Tensor]) -> None:
        """Give every parameter's state `name` a value: an input of the rule."""
        for i, (p, value) in enumerate(zip(self._roster, values, strict=True)):
            state = self._held(i)
            if name in state:
                state[name].copy_(real(value))
            else:
                dict.__setitem__(state, name, real(value).to(compute_dtype(p.dtype)))

    def _step_of(self, i: int, have: Any = None) -> Tensor:
        """What counts a parameter's steps: a place in our array, or where the parameter is, if the
        device counts."""
        if not self._group_of[i]["capturable"]:
            return self._steps[i]
        new = torch.tensor(self._counts[i], dtype=torch.int64, device=self._roster[i].device)
        same = isinstance(have, Tensor) and (have.dtype, have.device) == (new.dtype, new.device)
        return have if same else new

    def _held(self, i: int) -> dict[str, Any]:
        """The state of a parameter, made if there is none."""
        p, state = self._roster[i], self._state
        if p not in state:
            dict.__setitem__(state, p, ParamState(state, {"step": self._step_of(i)}))
        return state[p]  # type: ignore[no-any-return]

    # Stepping, asking everything anew

    def _parts(self, grads: list[Tensor]) -> list[Part]:
        for k, member in self._eager:
            member.stay()
            self._check_gradient(k, grads[k])
        parts: list[Part] = []
        for batch, where in self._batches:
            check = partial(self._check_native, where)
            parts += batch.parts([grads[k] for k in where], check)
        rule = self._programs.rule
        return [*parts, *(eager.advance(rule, member, grads[k]) for k, member in self._eager)]

    def _call_up(self, present: list[bool]) -> None:
        """Prepare a step for the parameters that have a gradient: nothing is changed by it."""
        self._at = [i for i, here in enumerate(present) if here]
        programs: dict[tuple[int, torch.Size], Program] = {}
        members, where = [], []
        rule = self._programs.rule
        for i in self._at:
            p, group = self._acting[i], self._group_of[i]
            held = self._held(i)
            shape = real(p.detach()).shape
            key = (id(group), shape)
            if key not in programs and not rule.matrix:
                programs[key] = self._programs.of(group, shape)
            member = Member(p, group, held, int(self._counts[i]), programs.get(key))
            for name in member.program.states if member.program else ():
                if name in member.state:
                    member.fit(name)
            members.append(member)
            eager_only = rule.matrix or bool(group["differentiable"])
            where.append(select.choose(p, self._backend, eager_only, partial(self.describe, i)))
        self._eager = [(k, m) for k, m in enumerate(members) if where[k] == "eager"]
        self._batches = []
        for name in sorted({*where} - {"eager"}):
            here = [k for k, chosen in enumerate(where) if chosen == name]
            self._batches.append((Batch(engine(name), [members[k] for k in here]), here))
        self._absent = [p for p, here in zip(self._acting, present, strict=True) if not here]
        only = len(self._batches) == 1 and not self._eager
        self._alone = self._batches[0][0] if only else None
        self._present = present
        self.scaled(self.found_inf, self._scale)

    # Gradients that cannot be

    def describe(self, i: int) -> str:
        """A parameter as errors name it."""
        group = self._group_of[i]
        place = next(k for k, p in enumerate(group["params"]) if p is self._roster[i])
        number = next(k for k, g in enumerate(self._groups) if g is group)
        names = group.get("param_names")
        name = f" ({names[place]!r})" if names else ""
        return f"parameter {place} of group {number}{name}, shape {tuple(self._roster[i].shape)}"

    def _check_native(self, where: list[int], i: int, g: Tensor) -> None:
        self._check_gradient(where[i], g)

    def _check_gradient(self, k: int, g: Tensor) -> None:
        self._check(self._at[k], self._acting[self._at[k]], g)

    def _check_fetched(self, i: int, g: Tensor) -> None:
        self._check(i, self._roster[i], g)

    def _check(self, i: int, p: Tensor, g: Tensor) -> None:
        if g.layout is not torch.strided:
            raise ValueError(
                f"{self.describe(i)}: its gradient is sparse ({g.layout}), which "
                f"{self._programs.rule.name} cannot take: make the layer with sparse=False"
            )
        for what, given, wanted in (
            ("shape", tuple(g.shape), tuple(p.shape)),
            ("dtype", g.dtype, p.dtype),
            ("device", g.device, p.device),
        ):
            if given != wanted:
                name = self.describe(i)
                raise ValueError(f"{name}: its gradient has {what} {given}; allowed is {wanted}")
