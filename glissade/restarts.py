"""AdamWR and SGDWR: AdamW and SGDW with warm restarts and a decay normalised for each cycle."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any

from . import rules
from .checkpoint import same_rule
from .checks import plain
from .clock import (
    CLOCK,
    CYCLES,
    KEYWORDS,
    Clock,
    agreed,
    check_cycles,
    check_notes,
    schedules_of,
)
from .optimizer import Optimizer
from .schedules import saved


class Restarting(Optimizer):
    """Run a rule with the schedule that it carries: cosines with restarts on the learning rate.

    After each step it goes on to the next step's values by itself: call no scheduler. The step is
    `schedule.t`; it stands in the groups ("restarts_t", one number in all of them), and is saved
    and loaded with them. A step whose lr you have set to 0 in every group does not count. Another
    change of yours multiplies the base value from there on; another scheduler of the same number is
    a ValueError at the next step.
    """

    schedule: Clock
    _followed = True
    _counts = True  # whether the step at hand moves the clock

    def _restart(self, t_0: float, t_mult: float, floor: float, peak_decay: float) -> None:
        for group in self.param_groups:  # they may come from another optimizer
            group.pop(CLOCK, None)
            group.pop(CYCLES, None)
        cycles = (plain(t_0), plain(t_mult), plain(floor), plain(peak_decay))
        for group in self.param_groups:
            check_notes(group, cycles)
        self.schedule = Clock(self, cycles)

    def _step(self, closure: Callable[[], Any] | None = None) -> Any:
        self._counts = self.schedule.look()
        return super()._step(closure)

    def _follow(self) -> None:
        super()._follow()
        if self._counts:
            self.schedule.forward()

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Add a group, which follows the schedule from its own lr and weight_decay."""
        clock = self.__dict__.get("schedule")  # the first groups come before there is one
        t = None if clock is None else clock.t
        notes = {}
        if isinstance(param_group, dict):  # ZeroRedundancyOptimizer gives all keywords to groups
            notes = {key: param_group[key] for key in KEYWORDS if key in param_group}
            param_group = {key: x for key, x in param_group.items() if key not in notes}
        if clock is not None:
            check_notes(notes, clock.cycles)
        super().add_param_group(param_group)
        group = self.param_groups[-1]
        group.update(notes)
        if clock is not None:
            group[CLOCK], group[CYCLES] = t, clock.cycles
            clock._go(t)

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Take over a state_dict of this optimizer, and go on at its step.

        Raises:
            ValueError: groups, names, shapes or cycles that do not fit, groups that disagree about
                the step, the state_dict of an optimizer without restarts or of another rule;
                nothing is changed.
        """
        super().load_state_dict(self._with_clock(state_dict))
        self.schedule.take_over()

    def _with_clock(self, state_dict: Mapping[str, Any]) -> dict[str, Any]:
        """Return a state_dict whose groups have the clock, if it is one of this optimizer."""
        groups, clock = state_dict["param_groups"], self.schedule
        clocks = [group.get(CLOCK) for group in groups]
        if any(t is not None for t in clocks):
            t = agreed(clocks)
            for group in groups:
                was = schedules_of(tuple(group.get(CYCLES, clock.cycles)))
                notes = {key: saved.saved(f) for key, f in was.items()}
                check_cycles(self, notes, clock._saved)
        else:  # before it stood in the groups
            held = state_dict.get("glissade", {}).get("schedule")
            if held is None:
                raise ValueError(
                    f"this state_dict has no schedule, which {type(self).__name__} needs: take "
                    "glissade.Scheduler to give another optimizer restarts"
                )
            t = agreed([held["t"]])
            check_cycles(self, held["schedules"], clock._saved)
        same_rule(state_dict, self.rule)
        known = {CLOCK: t, CYCLES: clock.cycles}
        return {**state_dict, "param_groups": [{**group, **known} for group in groups]}

    def __getstate__(self) -> dict[str, Any]:
        return {**super().__getstate__(), "cycles": self.schedule.cycles}

    def __setstate__(self, state: dict[str, Any]) -> None:
        state = dict(state)
        cycles, held = state.pop("cycles", None), state.pop("schedule", None)
        super().__setstate__(state)
        if held is not None:  # pickled before the clock stood in the groups
            values = held["schedules"]["lr"]
            cycles = tuple(values[key] for key in KEYWORDS)
            for group in self.param_groups:
                group[CLOCK] = held["t"]
        if cycles is not None:  # torch's load_state_dict comes by here, too, with less
            self.__dict__.pop("schedule", None)
            self.schedule = Clock(self, cycles)


class AdamWR(Restarting):
    """AdamWR: AdamW with warm restarts, and a weight decay normalised for each cycle's length.

    .. math:: p \\leftarrow p - \\eta_t\\Big(lr\\,\\hat m/(\\sqrt{\\hat v}+\\epsilon) +
              \\frac{\\lambda_{norm}}{\\sqrt{T_i}}\\,p\\Big), \\qquad
              \\eta_t = floor + \\tfrac12(1-floor)(1+\\cos(\\pi\\,T_{cur}/T_i))

    The decay is "independent": it follows η, not lr, and is scheduled once. The step is
    `schedule.t`, kept in the groups as "restarts_t". Call no scheduler: another one of lr is a
    ValueError at the next step. A Trainer that needs one takes `optimizer.schedule`, whose `step()`
    changes nothing.

    Args:
        params: as for `Optimizer`.
        lr: learning rate at each restart.
        t_0: steps (not epochs) of the first cycle.
        t_mult: how many times as long each cycle is as the one before.
        floor: η at the end of a cycle.
        peak_decay: how many times as high each restart is as the one before.
        betas, eps, amsgrad, variant: as in `AdamW`.
        weight_decay: λ_norm: in a cycle of T steps λ is λ_norm/√T, as √(b/(B·T)) of the paper,
            with the T epochs of B examples in batches of b.
        maximize, capturable, differentiable, foreach, fused, backend: as for `Optimizer`.

    Raises:
        ValueError: a value out of range.

    Reach for it where a run may be stopped at any time, or its length is not known: it has
    converged at the end of each cycle. Not where the length is known: one `cosine` does as well
    there.

    >>> import torch, glissade
    >>> model = torch.nn.Linear(4, 1)
    >>> optimizer = glissade.AdamWR(model.parameters(), lr=1e-3, t_0=100, t_mult=2)
    >>> optimizer.schedule.schedules["lr"]
    warm_restarts(100, t_mult=2)

    Source: Loshchilov & Hutter 2019, arXiv:1711.05101, sections 4.5 and appendix B.
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-3,
        *,
        t_0: float,
        t_mult: float = 1.0,
        floor: float = 0.0,
        peak_decay: float = 1.0,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.025,
        amsgrad: bool = False,
        variant: str = "torch",
        **front: Any,
    ) -> None:
        rule = rules.adamw(
            lr, betas=betas, eps=eps, weight_decay=weight_decay, amsgrad=amsgrad, variant=variant,
            decay="independent",
        )  # fmt: skip
        super().__init__(params, replace(rule, name="adamwr"), **front)
        self._restart(t_0, t_mult, floor, peak_decay)


class SGDWR(Restarting):
    """SGDWR: SGDW with warm restarts, and a weight decay normalised for each cycle's length.

    .. math:: v \\leftarrow \\mu v + g, \\qquad
              p \\leftarrow p - \\eta_t\\Big(lr\\,v + \\frac{\\lambda_{norm}}{\\sqrt{T_i}}\\,p\\Big)

    The decay is "independent": it follows η, not lr, and is scheduled once. The step and other
    schedulers: as in `AdamWR`.

    Args:
        params: as for `Optimizer`.
        lr: learning rate at each restart.
        t_0, t_mult, floor, peak_decay, weight_decay: as in `AdamWR`.
        momentum, dampening, nesterov, variant: as in `SGDW`.
        maximize, capturable, differentiable, foreach, fused, backend: as for `Optimizer`.

    Raises:
        ValueError: a value out of range.

    Reach for it in vision, where AdamWR's place is SGD's. Not where the length of the run is known:
    one `cosine` does as well there.

    >>> import torch, glissade
    >>> model = torch.nn.Linear(4, 1)
    >>> optimizer = glissade.SGDWR(model.parameters(), lr=0.1, momentum=0.9, t_0=100)
    >>> optimizer.schedule.t
    0

    Source: Loshchilov & Hutter 2017, arXiv:1608.03983; 2019, arXiv:1711.05101, appendix B.
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-3,
        *,
        t_0: float,
        t_mult: float = 1.0,
        floor: float = 0.0,
        peak_decay: float = 1.0,
        momentum: float = 0.0,
        dampening: float = 0.0,
        nesterov: bool = False,
        weight_decay: float = 0.025,
        variant: str = "torch",
        **front: Any,
    ) -> None:
        rule = rules.sgdw(
            lr, momentum=momentum, dampening=dampening, nesterov=nesterov,
            weight_decay=weight_decay, variant=variant, decay="independent",
        )  # fmt: skip
        super().__init__(params, replace(rule, name="sgdwr"), **front)
        self._restart(t_0, t_mult, floor, peak_decay)
