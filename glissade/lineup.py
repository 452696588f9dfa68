"""Who steps: an optimizer's parameters with their groups, states and backends, kept from step to
step for as long as nobody changes groups, choices or states."""

from __future__ import annotations

import operator
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from .backend import eager, select
from .backend.batch import Batch
from .backend.engines import engine
from .backend.member import Member, Moved, compute_dtype, real
from .backend.together import Part, Together
from .held import held
from .offload import Offload
from .program import Programs
from .settings import Settings, check_alike
from .states import ParamState, States

Group = dict[str, Any]


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
        self._rule = programs.rule
        self._backend = backend
        self._groups = groups
        self._settings = [Settings(programs.rule, g, k) for k, g in enumerate(groups)]
        check_alike(programs.rule, groups)
        self._were = [list(group["params"]) for group in groups]
        self._roster: list[Tensor] = [p for group in groups for p in group["params"]]
        # Who takes the steps: the parameters themselves, or copies of them on the cpu.
        self._offload = offload
        self._acting = self._roster if offload is None else [offload.near(p) for p in self._roster]
        self._group_of = [k for k, group in enumerate(groups) for _ in group["params"]]
        self._counts = counts = _shared_counts(self._roster, state)
        self._steps = steps = torch.from_numpy(counts)
        self._steps_at, self._steps_were = steps.data_ptr(), steps._version
        for i, p in enumerate(self._roster):
            if p in state:
                held = ParamState(state, state[p])
                counts[i] = int(held.get("step", 1 if held else 0))
                dict.__setitem__(held, "step", self._step_of(i, held.get("step")))
                dict.__setitem__(state, p, held)
        self._stale = False
        self._present: list[bool] = []
        self._batches: list[tuple[Batch, list[int]]] = []  # with the places of those present
        self._idle: list[tuple[Batch, list[int]]] = []
        self._absent: list[Tensor] = []
        self._alone: Batch | None = None  # if it runs all that are present
        self.found_inf: Tensor | None = None
        self._scale: Tensor | None = None
        self._state, state.stale = state, False

    def stale(self, groups: Sequence[Group], state: Any) -> bool:
        """Whether groups, their parameters, their choices or a state changed since.

        Raises:
            ValueError, TypeError: a hyperparameter that cannot be.
        """
        if self._state is not state or state.stale or self._groups is not groups:
            return True
        if self._steps.data_ptr() != self._steps_at or len(groups) != len(self._were):
            return True
        if self._steps._version != self._steps_were:  # state["step"].zero_(), say
            return True
        for group, was, settings in zip(groups, self._were, self._settings):  # noqa: B905 - speed
            params = group["params"]
            if group is not settings.group or len(params) != len(was):
                return True
            if not all(map(operator.is_, params, was)):
                return True
            if settings.changed():  # noted at once: the next group's may raise
                self._stale = True
        if self._rule.alike:
            check_alike(self._rule, groups)
        return self._stale

    def scaled(self, found_inf: Tensor | None, scale: Tensor | None) -> None:
        """What torch's GradScaler says of the step that comes, to those who can take it."""
        self.found_inf, self._scale = found_inf, scale
        amp = None if found_inf is None else (found_inf, scale)
        for batch, _ in self._batches:
            for lane in batch.lanes:
                lane.amp = amp

    def step(self) -> None:
        """One step of every parameter that has a gradient; nothing is changed if this raises."""
        if self._offload is None:
            self._step()
            return
        self._offload.fetch(self._roster, self._check_fetched)
        with held():
            self._step()
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
            self._share({self._rule.skips: self._groups[0][self._rule.skips] + 1})

    def _anew(self) -> bool:
        """The same, with everything asked anew; False if the rule's guard says: no step."""
        grads: list[Any] = [p.grad for p in self._acting]
        present = [g is not None for g in grads]
        if self._rule.pending:
            present = [here or self._pending(i) for i, here in enumerate(present)]
        if present != self._present:
            self._call_up(present)
        here = [self._gradient(i, grads[i]) for i in self._at]
        try:
            parts = self._parts(here)
        except Moved:  # nothing has been changed yet
            self._call_up(present)
            parts = self._parts(here)
        steps = Together(parts)
        if not parts and self._rule.shared:
            self._share(self._without_anybody())
        if steps.step:
            idle = Together(self._idle_parts())
            with held():
                steps.write()
                idle.write()
                for batch, _ in (*self._batches, *self._idle):
                    batch.done()
                if self._rule.shared:
                    self._share(next((x for x in steps.results if x), {}))
        for batch, _ in (*self._batches, *self._idle):
            batch.let_go()
        return steps.step

    def _share(self, values: Mapping[str, Any]) -> None:
        """Put what the optimizer has once into every group."""
        for group in self._groups:
            group.update(values)

    def _without_anybody(self) -> dict[str, Any]:
        """What becomes of what the optimizer has once where no parameter has a gradient."""
        if not self._roster:
            return {}
        member, t = self._member(0), int(self._counts[0])
        values, program = member.settings.values, member.program
        if program is None:
            return eager.of_nobody(self._rule, member.param, t + 1, values)
        leaf = program.choose(t + 1, values, member.have)
        totals = dict.fromkeys(range(len(program.leaves[leaf].totals)), 0.0)
        return program.shared[leaf](t + 1, values, totals)

    def _pending(self, i: int) -> bool:
        """Whether a parameter without a gradient takes part in a step all the same."""
        state = self._state.get(self._roster[i], {})
        return any(name in state for name in self._rule.pending)

    def _gradient(self, i: int, grad: Tensor | None) -> Tensor:
        return torch.zeros_like(self._acting[i]) if grad is None else grad

    def put(self, name: str, values: Sequence[Tensor]) -> None:
        """Give every parameter's state `name` a value: an input of the rule."""
        for i, (p, value) in enumerate(zip(self._roster, values, strict=True)):
            state = self._entry(i)
            if name in state:
                state[name].copy_(real(value))
            else:  # not beside: a kernel may have memory for it already
                state[name] = real(value).to(compute_dtype(p.dtype), copy=True)

    def _step_of(self, i: int, have: Any = None) -> Tensor:
        """What counts a parameter's steps: a place in our array, or where the parameter is, if the
        device counts."""
        if not self._settings[self._group_of[i]].values["capturable"]:
            return self._steps[i]
        new = torch.tensor(self._counts[i], dtype=torch.int64, device=self._roster[i].device)
        same = isinstance(have, Tensor) and (have.dtype, have.device) == (new.dtype, new.device)
        return have if same else new

    def _entry(self, i: int) -> dict[str, Any]:
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
        # These first: what they compute may fail, and nothing has been written then.
        parts = [eager.advance(m, self._rule, grads[k], self._counts) for k, m in self._eager]
        for batch, where in self._batches:
            check = partial(self._check_native, where)
            parts += batch.parts([grads[k] for k in where], check)
        return parts

    def _call_up(self, present: list[bool]) -> None:
        """Prepare a step for the parameters that have a gradient: nothing is changed by it."""
        self._at = [i for i, here in enumerate(present) if here]
        members = [self._member(i) for i in self._at]
        self._batches, self._eager = self._sorted(members)
        self._absent = [p for p, here in zip(self._acting, present, strict=True) if not here]
        idle = [i for i, here in enumerate(present) if not here and self._idles(i)]
        self._idle, self._idle_eager = self._sorted([self._member(i, idle=True) for i in idle])
        only = len(self._batches) == 1 and not self._eager
        only = only and not (self._idle or self._idle_eager or self._rule.pending)
        self._alone = self._batches[0][0] if only else None
        self._present = present
        self.scaled(self.found_inf, self._scale)

    def _member(self, i: int, *, idle: bool = False) -> Member:
        """A parameter that is to take part in a step, with its states as kernels need them."""
        p, settings = self._acting[i], self._settings[self._group_of[i]]
        shape, program = real(p.detach()).shape, None
        if not self._rule.matrix:
            program = self._programs.of(settings.values, shape, idle=idle)
        step = None if self._roster[i] in self._state else self._step_of(i)
        member = Member(
            p, settings, program, index=i, key=self._roster[i], states=self._state, step=step
        )
        for name in program.states if program else ():
            if name in member.state:
                member.fit(name)
        return member

    def _sorted(
        self, members: list[Member]
    ) -> tuple[list[tuple[Batch, list[int]]], list[tuple[int, Member]]]:
        """Members by who runs them: a batch for each compiling backend, and the rest."""
        where = []
        for member in members:
            eager_only = self._rule.matrix or bool(member.settings.values["differentiable"])
            about = partial(self.describe, member.index)
            where.append(select.choose(member.param, self._backend, eager_only, about))
        batches = []
        for name in sorted({*where} - {"eager"}):
            here = [k for k, chosen in enumerate(where) if chosen == name]
            some = [members[k] for k in here]
            batches.append((Batch(engine(name), some, self._counts), here))
        return batches, [(k, m) for k, m in enumerate(members) if where[k] == "eager"]

    # Parameters without a gradient, in a step that others take

    def _idles(self, i: int) -> bool:
        """Whether the rule does something to a parameter without a gradient."""
        state = self._state.get(self._roster[i], {})
        watched = self._rule.watched
        if self._settings[self._group_of[i]].values["capturable"]:
            return False  # a graph that has been captured cannot be asked who has a gradient
        return bool(watched) and all(name in state for name in watched)

    def _idle_parts(self) -> list[Part]:
        counts = self._counts
        parts = [eager.advance(m, self._rule, None, counts) for _, m in self._idle_eager]
        for batch, _ in self._idle:
            unread = [p.detach() for p in batch.params]  # in the place of gradients
            parts += batch.parts(unread, lambda i, g: None)
        return parts

    # Gradients that cannot be

    def describe(self, i: int) -> str:
        """A parameter as errors name it."""
        number = self._group_of[i]
        group = self._groups[number]
        place = next(k for k, p in enumerate(group["params"]) if p is self._roster[i])
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


def _shared_counts(roster: Sequence[Tensor], state: States) -> npt.NDArray[np.int64]:
    """Memory for the counts of steps: that which processes share, if someone has moved our counts
    there (`share_memory_`), so that all count together."""
    steps = [state[p].get("step") if p in state else None for p in roster]
    first = steps[0] if steps else None
    if isinstance(first, Tensor) and first.device.type == "cpu":
        memory, start = first.untyped_storage(), first.storage_offset()
        if memory.is_shared() and all(
            isinstance(x, Tensor)
            and x.dtype == torch.int64
            and x.untyped_storage().data_ptr() == memory.data_ptr()
            and x.storage_offset() == start + i
            for i, x in enumerate(steps)
        ):
            whole = torch.empty(0, dtype=torch.int64, device="cpu")
            return whole.set_(memory, start, (len(steps),), (1,)).numpy()
    # NumPy's, so that it stays where it is if a step is moved.
    return np.zeros(len(roster), np.int64)
