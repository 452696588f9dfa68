"""The clock of an optimizer with restarts: a step and cycles that stand in its groups."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from torch.optim.lr_scheduler import ReduceLROnPlateau

from . import rivals
from .checks import is_number, plain
from .scheduler import Scheduler
from .schedules import normalized_decay, saved, warm_restarts
from .written import Written

if TYPE_CHECKING:
    from .restarts import Restarting

# In every group, so that they are saved and loaded wherever groups are: the step, and
# (t_0, t_mult, floor, peak_decay).
CLOCK, CYCLES = "restarts_t", "restarts_cycles"
KEYWORDS = ("t_0", "t_mult", "floor", "peak_decay")
Cycles = tuple[float, float, float, float]


class Clock(Scheduler):
    """Hold the schedule of an optimizer with restarts, which the optimizer itself moves.

    `t` is the step. `step()` changes nothing: a Trainer that wants a scheduler to call can be
    given this one.
    """

    def __init__(self, optimizer: Restarting, cycles: Cycles) -> None:
        self.cycles = cycles
        self._at: float = 0  # the step at which values were last written
        super().__init__(optimizer, count_updates=False, **schedules_of(cycles))

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


def schedules_of(cycles: Cycles) -> dict[str, Any]:
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


def check_notes(group: Mapping[str, Any], cycles: Cycles) -> None:
    """Raise ValueError if a group is given cycles of its own."""
    for key, value in zip(KEYWORDS, cycles, strict=True):
        if key in group and plain(group[key]) != value:
            raise ValueError(
                f"{key}={group[key]!r} in a parameter group: all groups restart together, with the "
                f"optimizer's {key}={value!r}. Leave it out of the group, or make two optimizers"
            )
