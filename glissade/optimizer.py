"""The front end: one `torch.optim.Optimizer` that runs any rule."""

from __future__ import annotations

import functools
import itertools
import operator
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.autograd import profiler
from torch.optim import optimizer as torch_optimizer

from . import checks
from .backend import eager, select
from .backend.cpu import run as cpu
from .backend.member import Member, Moved, real
from .checkpoint import ParamState, States, prepared, restored
from .program import Program, Programs
from .rule import Rule


class Optimizer(torch.optim.Optimizer):
    """Runs `rule` on parameters: each step is as few passes over memory as the rule allows.

    Args:
        params: parameters, ``(name, parameter)`` pairs, or dicts of either with hyperparameters
            of their own, as for any ``torch.optim`` optimizer.
        rule: what to compute, from `glissade.rules`, `glissade.wrappers` or your own
            (`glissade.rule.Rule`); it brings the hyperparameters.
        maximize: step up the gradient instead of down.
        capturable: as in torch; for tensors that a CUDA graph can capture.
        differentiable: let autograd run through the step (on the eager backend).
        foreach, fused: accepted so that a call can be moved over from torch; they change nothing.
        backend: ``None`` picks the fastest for each parameter; ``"cpu"`` (compiled, fp32 and fp64)
            or ``"eager"`` (torch operations; any device and dtype) works for all or raises.

    Raises:
        ValueError: an empty or repeated parameter, a hyperparameter out of range, an unknown
            backend or one that cannot run a parameter.
        TypeError: integer parameters, an unknown keyword.
        RuleError: a rule that cannot be traced.

    >>> import torch, glissade
    >>> model = torch.nn.Linear(4, 1)
    >>> opt = glissade.Optimizer(model.parameters(), glissade.rules.adamw(lr=1e-3))
    >>> model(torch.ones(2, 4)).sum().backward()
    >>> opt.step()
    """

    def __init__(
        self,
        params: Iterable[Any],
        rule: Rule,
        *,
        maximize: bool = False,
        capturable: bool = False,
        differentiable: bool = False,
        foreach: bool | None = None,
        fused: bool | None = None,
        backend: str | None = None,
    ) -> None:
        if not isinstance(rule, Rule):
            raise TypeError(f"rule={rule!r}: allowed is a Rule, such as glissade.rules.adamw()")
        select.known(backend)
        self.rule = rule
        self.backend = backend
        self._programs = Programs(rule)
        self._forget()
        flags = {
            "maximize": maximize,
            "foreach": foreach,
            "capturable": capturable,
            "differentiable": differentiable,
            "fused": fused,
        }
        super().__init__(params, {**rule.hyper, **flags})
        self.state: Any = States()

    def __repr__(self) -> str:
        return (
            super()
            .__repr__()
            .replace(type(self).__name__, f"{type(self).__name__}[{self.rule.name}]", 1)
        )

    # Groups

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Add a group with hyperparameters of its own; nothing is changed if it is refused."""
        if not isinstance(param_group, dict):
            raise TypeError(f"a parameter group is a dict, not a {type(param_group).__name__}")
        group = dict(param_group)
        given = group.get("params", [])
        group["params"] = [given] if isinstance(given, Tensor) else list(given)
        params = [p[1] if isinstance(p, tuple) else p for p in group["params"]]
        self._check_hyper(group)
        for key in set(group) - {*self.defaults, "params", "param_names", "base_lr"}:
            hint = checks.nearest(key, self.defaults)
            if hint:  # other keys are the user's own notes on the group
                raise TypeError(f"unknown hyperparameter {key!r} in a parameter group{hint}")
        known = {id(p) for g in self.param_groups for p in g["params"]}
        for i, p in enumerate(params):
            what = f"parameter {i} of group {len(self.param_groups)}"
            if not isinstance(p, Tensor):
                raise TypeError(f"{what} is a {type(p).__name__}: allowed are tensors")
            what += f", shape {tuple(p.shape)}"
            if id(p) in known:
                raise ValueError(f"{what}, was given already: a parameter may be given once")
            known.add(id(p))
            if not (p.is_floating_point() or p.is_complex()):
                raise TypeError(
                    f"{what}, has dtype {p.dtype}: allowed are floating point and complex"
                )
            steps = zip(p.shape, p.stride(), strict=True)
            if p.numel() and any(n > 1 and step == 0 for n, step in steps):
                raise ValueError(f"{what}, has elements that share memory (expand): clone it")
            hyper = {**self.defaults, **group}
            select.choose(p, self.backend, bool(hyper["differentiable"]), what.__str__)
            if hyper["capturable"] and p.device.type == "cpu":
                raise ValueError(
                    f"capturable=True, but {what}, is on the cpu: leave capturable out"
                )
        super().add_param_group(group)
        group = self.param_groups[-1]
        group.setdefault("base_lr", checks.plain(group["lr"]))
        try:
            for ndim in sorted({real(p.detach()).ndim for p in params}):
                self._program(group, ndim)
        except BaseException:
            self.param_groups.pop()
            raise
        self._forget()

    def _check_hyper(self, group: Mapping[str, Any]) -> None:
        """Raise if a hyperparameter has a value that cannot be."""
        known = (*self.rule.hyper, "base_lr")
        self.rule.check({k: v for k, v in group.items() if k in known})
        for key in ("maximize", "capturable", "differentiable"):
            checks.hyperparameter(key, group.get(key, self.defaults[key]), False)

    def _program(self, group: Mapping[str, Any], ndim: int) -> Program:
        program = self._programs.get(group, ndim)
        if checks.plain(group["base_lr"]) == 0 and program.reads("base_lr"):
            raise ValueError(
                f"{self.rule.name}: lr=0 when the group was made, but the rule divides by that "
                "value (base_lr): start with the lr that schedules multiply, or set base_lr"
            )
        return program

    # Stepping

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """One step for every parameter with a gradient; returns the closure's loss, if any.

        Raises:
            ValueError: a gradient that is sparse, or of another shape, dtype or device.
        """
        if (
            self._optimizer_step_pre_hooks
            or self._optimizer_step_post_hooks
            or torch_optimizer._global_optimizer_pre_hooks
            or torch_optimizer._global_optimizer_post_hooks
            or profiler._is_profiler_enabled
        ):
            return self._hooked_step(closure)
        return self._step(closure)

    # torch wraps `step` in a profiler record and a look for hooks that cost more than a small
    # model's whole step here. This says that it is done; _hooked_step does it when there is need.
    step.hooked = True  # type: ignore[attr-defined]

    def _hooked_step(self, closure: Callable[[], Any] | None) -> Any:
        args: tuple[Any, ...] = (self,) if closure is None else (self, closure)
        kwargs: dict[str, Any] = {}
        with profiler.record_function(f"Optimizer.step#{type(self).__name__}.step"):
            for hook in itertools.chain(
                torch_optimizer._global_optimizer_pre_hooks.values(),
                self._optimizer_step_pre_hooks.values(),
            ):
                result = hook(self, args, kwargs)
                if result is not None:
                    if not isinstance(result, tuple) or len(result) != 2:
                        raise RuntimeError(
                            f"a step pre-hook returned {result!r}; allowed is None or "
                            "(args, kwargs)"
                        )
                    args, kwargs = result
            out = self._step(*args[1:], **kwargs)
            for hook in itertools.chain(
                self._optimizer_step_post_hooks.values(),
                torch_optimizer._global_optimizer_post_hooks.values(),
            ):
                hook(self, args, kwargs)
            return out

    def _step(self, closure: Callable[[], Any] | None = None) -> Any:
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        if self._stale():
            self._gather()
        try:
            if self._native and self._batch.unchanged():
                self._batch.again()
                self._counts += 1
                return loss
        except Moved:
            pass  # the long way finds out what has
        grads: list[Any] = [p.grad for p in self._roster]
        present = [g is not None for g in grads]
        if present != self._present:
            self._line_up(present)
        if not self._everyone:
            grads = [g for g in grads if g is not None]
        try:
            self._run(grads)
        except Moved:  # nothing has been changed yet
            self._gather()
            self._line_up(present)
            self._run(grads)
        if self._everyone:
            self._counts += 1
        else:
            self._counts[self._at] += 1
        return loss

    def _run(self, grads: list[Any]) -> None:
        if self._eager:
            self._run_both(grads)
        elif self._batch is not None:
            self._batch.run(grads)

    def _run_both(self, grads: list[Any]) -> None:
        """A step where some parameters run on the eager backend."""
        for k, member in self._eager:
            member.stay()
            self._check_gradient(k, grads[k])
        if self._batch is not None:
            self._batch.run([grads[k] for k in self._cpu])
        for k, member in self._eager:
            group, program = member.group, member.program
            at = program.choose(member.t + 1, group)
            for name in (*program.plans[at].states, *program.trace.leaves[at].reads):
                if name not in member.state:
                    member.fit(name)
            with torch.set_grad_enabled(bool(group["differentiable"])):
                moved, states = eager.step(
                    self.rule, member.param, grads[k], member.state, member.t + 1, group
                )
                real(member.param).copy_(moved)
                for name, value in states.items():
                    if group["differentiable"]:
                        dict.__setitem__(member.state, name, value)
                    else:
                        member.state[name].copy_(value)
            member.t += 1

    # Who steps

    def _forget(self) -> None:
        """Line everything up anew at the next step."""
        self._roster: list[Tensor] = []
        self._present: list[bool] = []
        self._batch: Any = None
        self._native = False  # whether the cpu backend runs every parameter
        self._seen: Any = None

    def _stale(self) -> bool:
        """Whether groups, their parameters, their choices or a state changed since _gather."""
        state = self.state
        if self._seen is not state or state.stale:
            return True
        if self._steps.data_ptr() != self._steps_at:
            return True
        groups = self.param_groups
        params = [p for group in groups for p in group["params"]]
        if len(params) != len(self._roster) or not all(map(operator.is_, params, self._roster)):
            return True
        for group, choices in zip(groups, self._choices, strict=True):
            for key, was in choices:
                if group[key] != was:
                    return True
        return False

    def _gather(self) -> None:
        """Take stock of groups and of the steps that each parameter has behind it."""
        for group in self.param_groups:
            self._check_hyper(group)
        if not isinstance(self.state, States):
            self.state = States(self.state)
        self._roster = [p for group in self.param_groups for p in group["params"]]
        self._group_of = [group for group in self.param_groups for _ in group["params"]]
        # Whatever is not a plain number (None, words, truths, tuples) may choose the kernel.
        keys = (*self.rule.hyper, "maximize", "differentiable")
        self._choices = [
            [(key, group[key]) for key in keys if not checks.is_number(checks.plain(group[key]))]
            for group in self.param_groups
        ]
        # The memory is NumPy's, so that it stays where it is if a step is moved (share_memory_).
        self._counts = counts = np.zeros(len(self._roster), np.int64)
        self._steps = steps = torch.from_numpy(counts)
        self._steps_at = steps.data_ptr()
        for i, p in enumerate(self._roster):
            if p in self.state:
                held = ParamState(self.state, self.state[p])
                counts[i] = int(held.get("step", 1 if held else 0))
                dict.__setitem__(held, "step", steps[i])
                dict.__setitem__(self.state, p, held)
        self._present, self._native = [], False
        self._seen, self.state.stale = self.state, False

    def _line_up(self, present: list[bool]) -> None:
        """Prepare a step for the parameters that have a gradient: nothing is changed by it."""
        active = [i for i, here in enumerate(present) if here]
        self._everyone = len(active) == len(present)
        self._at = active
        programs: dict[tuple[int, int], Program] = {}
        members, where = [], []
        for i in active:
            p, group = self._roster[i], self._group_of[i]
            if p not in self.state:
                dict.__setitem__(self.state, p, ParamState(self.state, {"step": self._steps[i]}))
            key = (id(group), real(p.detach()).ndim)
            if key not in programs:
                programs[key] = self._program(group, key[1])
            member = Member(p, group, self.state[p], int(self._counts[i]), programs[key])
            for name in member.program.states:
                if name in member.state:
                    member.fit(name)
            members.append(member)
            differentiable = bool(group["differentiable"])
            what = functools.partial(self._describe, i)
            where.append(select.choose(p, self.backend, differentiable, what))
        self._members = members
        self._eager = [(k, m) for k, m in enumerate(members) if where[k] == "eager"]
        self._cpu = [k for k, name in enumerate(where) if name == "cpu"]
        native = [members[k] for k in self._cpu]
        self._batch = cpu.Batch(native, self._check_native) if native else None
        self._native = self._everyone and not self._eager and bool(native)
        self._present = present

    def _check_native(self, i: int, g: Tensor) -> None:
        self._check_gradient(self._cpu[i], g)

    def _describe(self, i: int) -> str:
        """A parameter as errors name it."""
        group = self._group_of[i]
        place = next(k for k, p in enumerate(group["params"]) if p is self._roster[i])
        number = next(k for k, g in enumerate(self.param_groups) if g is group)
        names = group.get("param_names")
        name = f" ({names[place]!r})" if names else ""
        return f"parameter {place} of group {number}{name}, shape {tuple(self._roster[i].shape)}"

    def _check_gradient(self, k: int, g: Tensor) -> None:
        p = self._members[k].param
        if g.layout is not torch.strided:
            raise ValueError(
                f"{self._describe(self._at[k])}: its gradient is sparse ({g.layout}), which "
                f"{self.rule.name} cannot take: make the layer with sparse=False"
            )
        for what, given, wanted in (
            ("shape", tuple(g.shape), tuple(p.shape)),
            ("dtype", g.dtype, p.dtype),
            ("device", g.device, p.device),
        ):
            if given != wanted:
                name = self._describe(self._at[k])
                raise ValueError(f"{name}: its gradient has {what} {given}; allowed is {wanted}")

    # State

    def state_dict(self) -> dict[str, Any]:
        """As torch's, with each parameter's state as a plain dict and the format's version."""
        out = super().state_dict()
        out["state"] = {k: dict(v) for k, v in out["state"].items()}
        out["glissade"] = {"version": 1}
        return out

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Take over a state_dict of this optimizer, or of the torch optimizer it replaces.

        Parameters are matched by name where both sides know names, else by position. States are
        copied, in the dtype they are kept in here.

        Raises:
            ValueError: groups, names or shapes that do not fit; nothing is changed.
        """
        ready = prepared(state_dict, self.param_groups, self.rule)
        super().load_state_dict(ready)
        self.state = States(self.state)
        ids = [i for group in ready["param_groups"] for i in group["params"]]
        params = [p for group in self.param_groups for p in group["params"]]
        for i, p in zip(ids, params, strict=True):
            if i in ready["state"]:
                self.state[p] = restored(ready["state"][i])
        self._forget()

    def __getstate__(self) -> dict[str, Any]:
        out = super().__getstate__()
        out["state"] = defaultdict(dict, {p: dict(s) for p, s in self.state.items()})
        return {**out, "rule": self.rule, "backend": self.backend}

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        if not hasattr(self, "_programs"):
            self._programs = Programs(self.rule)
        self._forget()
