"""A torch scheduler that drives any hyperparameters of any optimizer by functions of the step."""

from __future__ import annotations

import copy
import gc
import warnings
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NoReturn
from weakref import WeakSet

import torch
from torch import Tensor
from torch.optim.lr_scheduler import LRScheduler

from . import rivals
from .checks import nearest, plain
from .schedules import saved as saving
from .written import (
    Written,
    as_tuple,
    can_be_scheduled,
    kept_for_itself,
    put_into,
    value_at,
)


class Scheduler(LRScheduler):
    """Set hyperparameters to their base values times a schedule's value at the step.

    Step t of training runs with ``base * schedule(t)``, t counted from 0; the base is the value
    that a group has when the scheduler first sees it. Going to a step by steps, at once or from a
    checkpoint gives the same float. (Later schedulers find it in the group, as `initial_lr` and so
    on.) It is a torch ``LRScheduler``, for any torch optimizer: call
    ``step()`` after each of the optimizer's.

    If something else changes a value between two steps (``group["lr"] *= 0.5`` in your loop,
    ReduceLROnPlateau, StepLR), the scheduler goes on from there: the change multiplies the base,
    as it does for torch's schedulers that multiply. A scheduler that overwrites what it finds
    (LambdaLR, OneCycleLR) fits beside no other: a UserWarning names it, once. A change while the
    schedule's value is 0 is lost, since no base gives it: a UserWarning says so.

    Args:
        optimizer: any ``torch.optim.Optimizer``.
        count_updates: count the optimizer's updates, not the calls of ``step()``: under
            `wrappers.accumulate` a call between two updates then changes nothing, and
            ``linear(1000)`` ends after 1000 updates.
        schedules: by the name of a hyperparameter, such as ``lr=cosine(1000)``: a schedule or any
            function of the step; a list with one for each group (None leaves a group alone); and
            for a hyperparameter that is a tuple a tuple, ``betas=(None, linear(100))``. Groups that
            are added later follow from the next ``step()`` on; where there is a list, `extend` it.

    Raises:
        TypeError: what is no optimizer, no function of the step, or no number.
        ValueError: no schedule, a hyperparameter that a group does not have or that another
            Scheduler drives, lists of another length than there are groups, a value that is not
            finite. Nothing is changed then.

    >>> import torch, glissade
    >>> from glissade.schedules import cosine, warmup
    >>> model = torch.nn.Linear(4, 1)
    >>> optimizer = torch.optim.AdamW(model.parameters(), lr=0.5, weight_decay=0.1)
    >>> lr, decay = warmup(10, cosine(90)), cosine(90)
    >>> scheduler = glissade.Scheduler(optimizer, lr=lr, weight_decay=decay)
    >>> for _ in range(5):
    ...     optimizer.step()
    ...     scheduler.step()
    >>> scheduler.get_last_lr()
    [0.25]
    """

    def __init__(
        self,
        optimizer: torch.optim.Optimizer,
        *unnamed: NoReturn,
        count_updates: bool = False,
        **schedules: Any,
    ) -> None:
        # torch's own __init__ wraps optimizer.step, to warn of a wrong order of calls: that costs
        # more than a small step here.
        if not isinstance(optimizer, torch.optim.Optimizer):
            raise TypeError(f"{type(optimizer).__name__} is no torch.optim.Optimizer")
        if isinstance(getattr(optimizer, "schedule", None), Scheduler):
            raise ValueError(
                f"{type(optimizer).__name__} brings its schedule: leave this one out, or take an "
                "optimizer without restarts"
            )
        if unnamed:
            raise TypeError(
                f"{unnamed[0]!r} has no name: write what it drives, such as Scheduler(optimizer, "
                f"lr={unnamed[0]!r})"
            )
        if not schedules:
            raise ValueError(
                "no schedule: give one by name, such as lr=glissade.schedules.cosine(n)"
            )
        if not isinstance(count_updates, bool):
            raise TypeError(f"count_updates={count_updates!r}: must be True or False")
        self.optimizer = optimizer
        self.count_updates = count_updates
        self.schedules = {k: list(f) if isinstance(f, list) else f for k, f in schedules.items()}
        self._step_count = 1  # of torch's schedulers; others' loops count with it
        self._bases: list[dict[str, Any]] = []
        self._written: list[Written] = []
        self._changes = 0  # by others, seen so far
        self._warned: set[str] = set()
        for key in schedules:
            self._check(key)
        self._check_alone()
        # As they were made: an object's values may change while it is called.
        self._saved = {key: saving.saved(f) for key, f in self.schedules.items()}
        self._making = True
        self._begin()
        self._making = False
        rivals.register(self)

    def _begin(self) -> None:
        self.t: float = 0
        self._own_defaults()
        self._go(0)

    def __repr__(self) -> str:
        return f"Scheduler({', '.join(f'{k}={f!r}' for k, f in self.schedules.items())})"

    # What torch's schedulers have

    @property  # type: ignore[override]
    def last_epoch(self) -> float:
        """Return the step, under torch's name."""
        return self.t

    @last_epoch.setter
    def last_epoch(self, t: float) -> None:
        # torch's SequentialLR sets it to −1 until the scheduler's turn comes, and lr to initial_lr.
        self.t = t
        self._written, self._bases = [], []

    @property
    def base_lrs(self) -> list[Any]:  # type: ignore[override]
        """Return each group's learning rate before it is scheduled."""
        pairs = zip(self.optimizer.param_groups, self._bases, strict=False)
        return [base.get("lr", group.get("lr")) for group, base in pairs]

    def get_last_lr(self) -> list[Any]:
        """Return the learning rate that this scheduler last gave to each group.

        A group whose lr it does not drive has its own, as it is now.
        """
        values = []
        for number, group in enumerate(self.optimizer.param_groups):
            x = group["lr"].clone() if isinstance(group["lr"], Tensor) else group["lr"]
            if number < len(self._written) and "lr" in self._written[number].values:
                value = self._written[number].values["lr"]
                x = x.fill_(value) if isinstance(x, Tensor) else value
            values.append(x)
        return values

    get_lr = get_last_lr

    def step(self, epoch: float | None = None) -> None:
        """Go on to the next step, or to step `epoch`, which may be a fraction.

        With `count_updates`, a call without `epoch` between two updates changes nothing.
        """
        self._step_count += 1
        if epoch is None and self.count_updates and self._within_update():
            return
        before = self.t
        self._go(self.t + 1 if epoch is None else plain(epoch))
        self._tell(before)

    def _within_update(self) -> bool:
        groups = self.optimizer.param_groups
        return any(plain(group.get("accumulate_done", 0)) != 0 for group in groups)

    def _tell(self, before: float) -> None:
        """Tell those who watch that the step was `before`, and is another now."""
        for watcher in list(self.__dict__.get("_watchers", ())):
            watcher.moved(before, self.t)

    def watch(self, watcher: Any) -> None:
        """Call ``watcher.moved(before, after)`` after each `step`, for as long as it lives."""
        self.__dict__.setdefault("_watchers", WeakSet()).add(watcher)

    # torch's SequentialLR calls these two when a scheduler's turn comes: others have set the values
    # meanwhile, which is no change to go on from.

    def _initial_step(self) -> None:
        self._step_count = 1
        self._update_lr(self.t + 1)

    def _update_lr(self, epoch: float | None = None) -> None:
        self._written = []
        self._go(self.t + 1 if epoch is None else epoch)

    # Groups and their schedules

    def extend(self, **schedules: Any) -> None:
        """Append a schedule to the lists, for the first group that came after the list was made.

        Args:
            schedules: by hyperparameter, one schedule (or None) each.

        Raises:
            ValueError, TypeError: a hyperparameter that is not scheduled by a list, no group to
                give it to, or what is no schedule; nothing is changed.

        >>> import torch, glissade
        >>> from glissade.schedules import cosine, linear
        >>> a, b = torch.nn.Linear(4, 4), torch.nn.Linear(4, 1)
        >>> optimizer = torch.optim.SGD([{"params": a.parameters()}], lr=0.1)
        >>> scheduler = glissade.Scheduler(optimizer, lr=[cosine(100)])
        >>> optimizer.add_param_group({"params": b.parameters()})
        >>> scheduler.extend(lr=linear(100))
        """
        groups = self.optimizer.param_groups
        for key, f in schedules.items():
            given = self.schedules.get(key)
            if not isinstance(given, list):
                lists = [k for k, one in self.schedules.items() if isinstance(one, list)]
                raise ValueError(
                    f"extend({key}={f!r}): {key} is not scheduled by a list; the lists are those "
                    f"of {', '.join(lists) or 'no hyperparameter'}"
                )
            if len(given) >= len(groups):
                raise ValueError(
                    f"extend({key}={f!r}): each of the {len(groups)} groups has its {key} "
                    "schedule: add the group to the optimizer first"
                )
            self._check_group(key, groups[len(given)], f)
        for key, f in schedules.items():
            self.schedules[key].append(f)
            self._saved[key].append(saving.saved(f))

    def _functions(self, key: str, number: int) -> Any:
        """Return the schedule or schedules of a hyperparameter in a group; None leaves it alone."""
        given = self.schedules[key]
        if not isinstance(given, list):
            return given
        if number >= len(given):
            raise ValueError(
                f"{key}: a list of {len(given)} schedules, and the optimizer has "
                f"{len(self.optimizer.param_groups)} groups: give one for each, or one for all. "
                f"For a group that was added later: scheduler.extend({key}=...), None to leave it "
                "alone"
            )
        return given[number]

    def _check(self, key: str) -> None:
        groups = self.optimizer.param_groups
        given = self.schedules[key]
        if isinstance(given, list) and len(given) > len(groups):
            raise ValueError(
                f"{key}: a list of {len(given)} schedules for {len(groups)} groups: give one for "
                "each, or one for all"
            )
        for number, group in enumerate(groups):
            self._check_group(key, group, self._functions(key, number))

    def _check_alone(self) -> None:
        """Raise ValueError if another Scheduler drives one of these hyperparameters."""
        if not any(self._shares(other) for other in rivals.ours(self.optimizer)):
            return
        gc.collect()  # the other may be in a ring that nothing holds any more
        for other in rivals.ours(self.optimizer):
            if key := self._shares(other):
                raise ValueError(
                    f"{key} of this {type(self.optimizer).__name__} is driven by {other!r} "
                    f"already, and {self!r} would drive it as well: join the schedules (a * b, "
                    "a.then(b, at=n)) in one Scheduler, or delete the other one first"
                )

    def _shares(self, other: Scheduler) -> str:
        """Return a hyperparameter that both drive in a group; "" if there is none."""
        return next((k for k in self.schedules if self._drives(k) & other._drives(k)), "")

    def _drives(self, key: str) -> set[tuple[int, int]]:
        """Return which groups' hyperparameter it sets: their numbers, and places in a tuple."""
        found = set()
        for number in range(len(self.optimizer.param_groups)):
            given = self.schedules.get(key)
            f = given[number : number + 1] if isinstance(given, list) else [given]
            parts = f[0] if f and isinstance(f[0], tuple) else f
            found |= {(number, place) for place, one in enumerate(parts) if one is not None}
        return found

    def _check_group(self, key: str, group: Mapping[str, Any], f: Any) -> None:
        if key not in group:
            named = [k for k in group if not kept_for_itself(k, group)]
            known = [k for k in named if can_be_scheduled(group[k])]
            raise ValueError(
                f"{type(self.optimizer).__name__} has no {key!r} to schedule; it has "
                f"{', '.join(known)}{nearest(key, known)}"
            )
        value = plain(group[key])
        if not can_be_scheduled(value):
            raise TypeError(f"{key}={value!r} is no number: it cannot be scheduled")
        several = isinstance(value, tuple)
        if several and not (isinstance(f, tuple) and len(f) == len(value)) and f is not None:
            raise TypeError(
                f"{key}={value!r} takes a tuple of {len(value)} schedules, such as "
                f"{key}=({', '.join(['None'] * (len(value) - 1))}, cosine(1000)); given is {f!r}"
            )
        for one in f if several and f is not None else (f,):
            if one is not None and not callable(one):
                raise TypeError(
                    f"{key}={one!r}: must be a schedule, such as "
                    "glissade.schedules.cosine(1000), or another function of the step"
                )

    # Bases: of new groups, and after another's change

    def _all_bases(self) -> list[dict[str, Any]]:
        """Return each group's base values, those of new groups too."""
        groups, bases = self.optimizer.param_groups, list(self._bases)
        for number, group in enumerate(groups[len(bases) :], len(bases)):
            for key in self.schedules:
                self._check_group(key, group, self._functions(key, number))
            # A group that was scheduled before (its optimizer was loaded, say) knows from what.
            base = {k: plain(group.get(f"initial_{k}", group[k])) for k in self.schedules}
            if self._making and "lr" in base and self._started():
                base["lr"] = plain(group["lr"])
            bases.append(base)
        return bases

    def _started(self) -> bool:
        """Return whether a scheduler that multiplies has just been made for this optimizer.

        Its first factor is in lr already (LinearLR's 1/3), and it will not be set again.
        """
        return hasattr(self.optimizer.step, "_wrapped_by_lr_sched") and any(
            not rivals.overwrites(x) and getattr(x, "last_epoch", None) == 0
            for x in rivals.others(self.optimizer)
        )

    def _followed(self, bases: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Return the bases from which to go on where another has changed a value."""
        out = list(bases)
        trio = zip(self.optimizer.param_groups, self._written, out, strict=False)
        for number, (group, written, base) in enumerate(trio):
            for key in written.values:
                if not written.still_in(group, key):
                    self._check_group(key, group, self._functions(key, number))
                    out[number] = out[number] | {key: self._rebased(number, key, base[key])}
        return out

    def _rebased(self, number: int, key: str, base: Any) -> Any:
        """Return the base that gives a hyperparameter the value that another gave it."""
        written, now = self._written[number], plain(self.optimizer.param_groups[number][key])
        was, factor = written.values[key], written.factors[key]
        self._seen(number, key, was, now)
        if not isinstance(base, tuple):
            return self._of(number, key, base, factor, was, now)
        parts = zip(base, factor, was, now, strict=True)
        return tuple(self._of(number, key, *part) for part in parts)

    def _of(self, number: int, key: str, base: Any, factor: Any, was: float, now: float) -> Any:
        if now == was:
            return base
        if factor is None:  # left alone in a tuple
            return now
        if factor == 0:
            self._warn(
                f"0 {key}",
                f"{key} of group {number} was set to {now!r} while its schedule is at 0 (step "
                f"{self.t:g}): no base gives that value, and {key} goes on from its base {base!r}. "
                "Give the schedule a floor or a start above 0, or set the value before the "
                "Scheduler is made",
            )
            return base
        return now / factor

    def _seen(self, number: int, key: str, was: Any, now: Any) -> None:
        """Warn if the other is a scheduler that overwrites what it finds."""
        self._changes += 1
        # Looking for it takes long: do so at the first change, the second, the fourth, ...
        if self._changes & (self._changes - 1) == 0 and "other" not in self._warned:
            found = [x for x in rivals.others(self.optimizer) if rivals.overwrites(x)]
            if found:
                self._warn(
                    "other",
                    f"{rivals.names(found)} sets {key} as well as this {self!r} (in group "
                    f"{number} {now!r} in place of {was!r}), and overwrites what it finds: the "
                    f"result is neither's. Let one of them drive {key}: schedules can be joined "
                    "(a * b, a.then(b, at=n))",
                )

    def _warn(self, once: str, message: str) -> None:
        if once not in self._warned:
            self._warned.add(once)
            warnings.warn(message, UserWarning, stacklevel=2)

    # Going to a step

    def _values(
        self, t: float, all_bases: Sequence[Mapping[str, Any]]
    ) -> Iterator[tuple[int, str, Any, Any]]:
        """Yield each group's hyperparameters at step t, and the factors in them."""
        for number, bases in enumerate(all_bases):
            for key, base in bases.items():
                f = self._functions(key, number)
                if f is None:
                    continue
                if isinstance(base, tuple):
                    pairs = [value_at(key, b, one, t) for b, one in zip(base, f, strict=True)]
                    yield number, key, tuple(x for x, _ in pairs), tuple(y for _, y in pairs)
                else:
                    yield number, key, *value_at(key, base, f, t)

    def _go(self, t: float) -> None:
        """Go to step t; all values are found before one is set."""
        groups = self.optimizer.param_groups
        bases = self._followed(self._all_bases())
        values = list(self._values(t, bases))
        new = slice(len(self._bases), None)
        for group, base in zip(groups[new], bases[new], strict=True):
            for key, value in base.items():
                group.setdefault(f"initial_{key}", value)  # torch's have initial_lr there
        self.t, self._bases = t, bases
        self._unshare()
        old = self._written
        same = len(old) == len(groups) and all(w.group is g for w, g in zip(old, groups))  # noqa: B905 - speed
        self._written = old if same else [Written(group) for group in groups]
        for number, key, value, factor in values:
            self._put(number, key, value, factor)

    def _put(self, number: int, key: str, value: Any, factor: Any) -> None:
        group = self.optimizer.param_groups[number]
        put_into(group, key, value)
        self._written[number].note(group, key, value, factor)

    def _unshare(self) -> None:
        """Give each group a tensor of its own where groups share one: it is filled in place."""
        for key in self.schedules:
            seen = set()
            for group in self.optimizer.param_groups:
                x = group[key]
                if isinstance(x, Tensor):
                    if x.data_ptr() in seen:
                        group[key] = x = x.clone()
                    seen.add(x.data_ptr())

    def _own_defaults(self) -> None:
        """Keep what new groups begin with out of the tensors that are filled."""
        for key in self.schedules:
            x = self.optimizer.defaults.get(key)
            if isinstance(x, Tensor):
                self.optimizer.defaults[key] = x.clone()

    # State

    def state_dict(self) -> dict[str, Any]:
        """Return the step, the base values and the schedules, as numbers, words, lists and dicts.

        The values that the scheduler last set are among them, so that a change that another makes
        to the optimizer is seen after loading, too.
        """
        return {
            "t": self.t,
            "step_count": self._step_count,
            "count_updates": self.count_updates,
            "bases": [dict(base) for base in self._all_bases()],
            "written": [
                {key: [value, written.factors[key]] for key, value in written.values.items()}
                for written in self._written
            ],
            "schedules": copy.deepcopy(self._saved),
        }

    def load_state_dict(self, state_dict: Mapping[str, Any], changed: str = "error") -> None:
        """Go on where another scheduler was.

        Values that another than this scheduler has set (the optimizer's own ``load_state_dict``, a
        warm-up) are left as they are until the next step.

        Args:
            state_dict: what `state_dict` returned.
            changed: what to do if its schedules are not the ones given here, another total length
                for instance: "error"; "new" goes on at its step by those given here; "saved" by
                those of the checkpoint.

        Raises:
            ValueError: schedules or groups that differ, a torch scheduler's state; nothing is
                changed.
        """
        if changed not in ("error", "new", "saved"):
            raise ValueError(f"changed={changed!r}: must be 'error', 'new' or 'saved'")
        if "schedules" not in state_dict or "bases" not in state_dict:
            raise ValueError(
                "this is no state of a glissade.Scheduler (torch's schedulers keep others): go to "
                "its step with scheduler.step(t)"
            )
        groups = self.optimizer.param_groups
        if len(state_dict["bases"]) != len(groups):
            raise ValueError(
                f"the state has {len(state_dict['bases'])} parameter groups and the optimizer "
                f"{len(groups)}: add the same groups before loading"
            )
        counted = bool(state_dict.get("count_updates", self.count_updates))
        schedules, noted = self.schedules, self._saved
        differs = self._difference(state_dict["schedules"], counted)
        if differs and changed == "error":
            raise ValueError(
                f"{differs}. Make the scheduler as it was saved, or call load_state_dict(..., "
                f"changed='new') to go on at step {state_dict['t']} as it is now, or "
                "changed='saved' as it was"
            )
        if differs and changed == "saved":
            noted = copy.deepcopy(dict(state_dict["schedules"]))
            schedules = {key: saving.restored(f) for key, f in noted.items()}
        else:
            counted = self.count_updates
        self._resume(state_dict, schedules, new=bool(differs) and changed == "new")
        self._saved, self.count_updates = noted, counted

    def _difference(self, schedules: Mapping[str, Any], counted: bool) -> str:
        parts = [saving.difference(schedules, self._saved)]
        if counted != self.count_updates:
            now = self.count_updates
            parts.append(f"count_updates was {counted} and is {now} now")
        return "; ".join(part for part in parts if part)

    def _resume(
        self, state_dict: Mapping[str, Any], schedules: dict[str, Any], *, new: bool
    ) -> None:
        groups, t = self.optimizer.param_groups, state_dict["t"]
        kept = [{k: as_tuple(v) for k, v in base.items()} for base in state_dict["bases"]]
        bases = [
            {key: base.get(key, plain(group[key])) for key in schedules}
            for base, group in zip(kept, groups, strict=True)
        ]
        before = self.schedules
        self.schedules = schedules
        try:
            values = [] if t < 0 else list(self._values(t, bases))
        except BaseException:
            self.schedules = before
            raise
        mine = {
            (number, key)
            for number, (written, group) in enumerate(zip(self._written, groups, strict=False))
            for key in written.values
            if written.group is group and written.still_in(group, key)
        }
        self.t, self._bases = t, bases
        self._step_count = state_dict["step_count"]
        self._written = [Written() for _ in groups]
        saved = None if new else state_dict.get("written")
        for number, key, value, factor in values:
            if saved is not None:
                held = saved[number] if number < len(saved) else {}
                if key not in held:  # the group came after its last step
                    if (number, key) in mine:
                        put_into(groups[number], key, bases[number][key])
                    continue
                value, factor = map(as_tuple, held[key])
            if (number, key) in mine:
                self._put(number, key, value, factor)
                self._written[number].group = None
            elif saved is not None:
                self._written[number].expect(key, value, factor)

    def __getstate__(self) -> dict[str, Any]:
        return {key: value for key, value in self.__dict__.items() if key != "_watchers"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        rivals.register(self)
