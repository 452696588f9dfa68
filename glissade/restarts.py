"""AdamWR and SGDWR: AdamW and SGDW with warm restarts and a decay normalised for each cycle."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from torch.optim.lr_scheduler import ReduceLROnPlateau

from . import rivals, rules
from .checkpoint import same_rule
from .checks import is_number, plain
from .optimizer import Optimizer
from .scheduler import Scheduler, Written
from .schedules import normalized_decay, saved, warm_restarts

# In every group, so that they are saved and loaded wherever groups are: the step, and
# (t_0, t_mult, floor, peak_decay).
CLOCK, CYCLES = "restarts_t", "restarts_cycles"
_KEYWORDS = ("t_0", "t_mult", "floor", "peak_decay")
Cycles = tuple[float, float, float, float]


class Clock(Scheduler):
    """Hold the schedule of an optimizer with restarts, which the optimizer itself moves.

    `t` is the step. `step()` changes nothing: a Trainer that wants a scheduler to call can be
    given this one.
    """

    def __init__(self, optimizer: Restarting, cycles: Cycles) -> None:
        self.cycles = cycles
        self._at: float = 0  # the step at which values were last written
        super().__init__(optimizer, count_updates=False, **_schedules(cycles))

    def _begin(self) -> None:
        groups = self.optimizer.param_groups
        for group in groups:
            group.setdefault(CYCLES, self.cycles)
        self._own_defaults()
        if all(CLOCK in group for group in groups):  # unpickled
            self.take_over()
        else:
            self._go(0)

    @property
    def t(self) -> float:
        """Return the step, as the groups have it.

        Raises:
            ValueError: they disagree.
        """
        return agreed([group.get(CLOCK) for group in self.optimizer.param_groups])

    @t.setter
    def t(self, t: float) -> None:
        for group in self.optimizer.param_groups:
            group[CLOCK] = t
        self._at = t

    @property  # type: ignore[override]
    def last_epoch(self) -> float:
        """Return the step, under torch's name."""
        return self.t

    @last_epoch.setter
    def last_epoch(self, t: float) -> None:
        self._refuse(f"last_epoch={t!r}")

    def step(self, epoch: float | None = None) -> None:
        """Change nothing: the optimizer goes on by itself, once in each of its steps.

        Raises:
            ValueError: a step to go to.
        """
        if epoch is not None:
            self._refuse(f"step({epoch!r})")

    def _refuse(self, what: str) -> None:
        raise ValueError(
            f"{what}: {type(self.optimizer).__name__} moves its schedule by itself, and no other "
            "scheduler can. Load its state_dict to go to a step, or take another optimizer with "
            "glissade.Scheduler"
        )

    def get_last_lr(self) -> list[Any]:
        """Return the learning rate that the schedule gives to each group now."""
        if self._elsewhere():
            self.take_over()
        return super().get_last_lr()

    get_lr = get_last_lr

    def load_state_dict(self, state_dict: Mapping[str, Any], changed: str = "error") -> None:
        """Check that a saved schedule has these cycles: the step comes with the optimizer's state.

        Raises:
            ValueError: other cycles, or the state of another scheduler.
        """
        if "schedules" not in state_dict:
            raise ValueError("this is no state of a glissade.Scheduler: leave it out")
        check_cycles(self.optimizer, state_dict["schedules"], self._saved)

    # What the optimizer calls

    def look(self) -> bool:
        """See what has changed since the last step; return whether the step that comes counts.

        It does not where lr is 0 in every group and the schedule has not set it so:
        torch.distributed.checkpoint takes such a step to see the state's layout.

        Raises:
            ValueError: another scheduler drives lr or weight_decay; groups that disagree about the
                step or the cycles.
        """
        groups = self.optimizer.param_groups
        if self._elsewhere():
            self.take_over()
        changed = [
            (number, key)
            for number, (group, written) in enumerate(zip(groups, self._written, strict=True))
            for key in written.values
            if not written.still_in(group, key)
        ]
        if not changed:
            return True
        if any(one.values["lr"] for one in self._written) and all(
            plain(group["lr"]) == 0 for group in groups
        ):
            return False
        self._check_rivals(*changed[0])
        return True

    def forward(self) -> None:
        """Go on to the next step."""
        before = self._at
        self._go(before + 1)
        self._tell(before)

    def take_over(self) -> None:
        """Go on from the step and the base values of the groups, which something has loaded."""
        groups = self.optimizer.param_groups
        t = self.t
        for number, group in enumerate(groups):
            if tuple(group.setdefault(CYCLES, self.cycles)) != self.cycles:
                raise ValueError(
                    f"{CYCLES} of group {number} is {group[CYCLES]}, and this "
                    f"{type(self.optimizer).__name__} was made with {self.cycles}: make it with "
                    "the cycles that you want, which cannot be changed later"
                )
            group[CYCLES] = self.cycles  # JSON makes a list of it
        self._bases = []
        bases = self._all_bases()
        values = list(self._values(t, bases))
        self._bases, self._at = bases, t
        self._written = [Written(group) for group in groups]
        for number, key, value, factor in values:
            self._written[number].expect(key, value, factor)

    def _elsewhere(self) -> bool:
        """Return whether groups or their clock are not those of the last step."""
        groups = self.optimizer.param_groups
        if self.t != self._at or len(groups) != len(self._written):
            return True
        pairs = zip(groups, self._written, strict=True)
        return any(
            written.group is not group or group.get(CYCLES) != self.cycles
            for group, written in pairs
        )

    def _go(self, t: float) -> None:
        super()._go(t)
        for group, base in zip(self.optimizer.param_groups, self._bases, strict=True):
            group.update({f"initial_{key}": value for key, value in base.items()})

    def _seen(self, number: int, key: str, was: Any, now: Any) -> None:
        """Do nothing: `look` has checked who it was."""

    def _check_rivals(self, number: int, key: str) -> None:
        self._changes += 1
        if self._changes & (self._changes - 1):  # looking for them takes long
            return
        found = [x for x in rivals.others(self.optimizer) if not isinstance(x, ReduceLROnPlateau)]
        if found:
            self._changes = 0  # look again at the next step
            group, was = self.optimizer.param_groups[number], self._written[number].values[key]
            name = type(self.optimizer).__name__
            raise ValueError(
                f"{key} of group {number} is {plain(group[key])!r} where {name} had set {was!r}: "
                f"{rivals.names(found)} drives it as well, and {name} brings its schedule. Leave "
                "the other out (give optimizer.schedule to a Trainer that wants a scheduler), or "
                "take an optimizer without restarts"
            )


def _schedules(cycles: Cycles) -> dict[str, Any]:
    t_0, t_mult, floor, peak_decay = cycles
    return {
        "lr": warm_restarts(t_0, t_mult=t_mult, floor=floor, peak_decay=peak_decay),
        "weight_decay": normalized_decay(t_0, t_mult=t_mult),
    }


def agreed(clocks: Sequence[Any]) -> float:
    """Return the step that all groups have.

    Raises:
        ValueError: they have different ones, or what is no step.
    """
    first, *rest = (plain(t) for t in clocks)
    for number, t in enumerate(rest, 1):
        if t != first:
            raise ValueError(
                f"{CLOCK} is {first!r} in group 0 and {t!r} in group {number}: an optimizer with "
                "restarts has one clock. Give every group the same number"
            )
    if not (is_number(first) and 0 <= first < math.inf):
        raise ValueError(f"{CLOCK}={first!r}: must be a finite number, 0 or greater")
    return first  # type: ignore[no-any-return]


def check_cycles(optimizer: Any, was: Mapping[str, Any], now: Mapping[str, Any]) -> None:
    """Raise ValueError if saved schedules are not an optimizer's own."""
    differs = saved.difference(was, now)
    if differs:
        raise ValueError(f"{differs}: make {type(optimizer).__name__} with the saved cycles")


def _check_notes(group: Mapping[str, Any], cycles: Cycles) -> None:
    """Raise ValueError if a group is given cycles of its own."""
    for key, value in zip(_KEYWORDS, cycles, strict=True):
        if key in group and plain(group[key]) != value:
            raise ValueError(
                f"{key}={group[key]!r} in a parameter group: all groups restart together, with the "
                f"optimizer's {key}={value!r}. Leave it out of the group, or make two optimizers"
            )


class Restarting(Optimizer):
    """Run a rule with the schedule that it carries: cosines with restarts on the learning rate.

    After each step it goes on to the next step's values by itself: call no scheduler. The step is
    `schedule.t`; it stands in the groups ("restarts_t", one number in all of them), and is saved
    and loaded with them. A step whose lr you have set to 0 in every group does not count. Another
    change of yours multiplies the base value from there on; another scheduler of the same number is
    a ValueError at the next step.
    """

    schedule: Clock

    def _restart(self, t_0: float, t_mult: float, floor: float, peak_decay: float) -> None:
        for group in self.param_groups:  # they may come from another optimizer
            group.pop(CLOCK, None)
            group.pop(CYCLES, None)
        cycles = (plain(t_0), plain(t_mult), plain(floor), plain(peak_decay))
        for group in self.param_groups:
            _check_notes(group, cycles)
        self.schedule = Clock(self, cycles)

    def _step(self, closure: Callable[[], Any] | None = None) -> Any:
        counts = self.schedule.look()
        out = super()._step(closure)
        if counts:
            self.schedule.forward()
        return out

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Add a group, which follows the schedule from its own lr and weight_decay."""
        clock = self.__dict__.get("schedule")  # the first groups come before there is one
        t = None if clock is None else clock.t
        notes = {}
        if isinstance(param_group, dict):  # ZeroRedundancyOptimizer gives all keywords to groups
            notes = {key: param_group[key] for key in _KEYWORDS if key in param_group}
            param_group = {key: x for key, x in param_group.items() if key not in notes}
        if clock is not None:
            _check_notes(notes, clock.cycles)
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
                was = _schedules(tuple(group.get(CYCLES, clock.cycles)))
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
            cycles = tuple(values[key] for key in _KEYWORDS)
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
