"""A torch scheduler that drives any hyperparameters of any optimizer by functions of the step."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NoReturn

import torch
from torch.optim.lr_scheduler import LRScheduler

from .checks import is_number, nearest, plain
from .schedules import Schedule, from_dict

Multiplier = Callable[[float], float]


class Scheduler(LRScheduler):
    """Sets hyperparameters to their base values times a schedule's value at the step.

    Step t of training runs with ``base * schedule(t)``, t counted from 0; the base is the value
    that a group has when the scheduler first sees it. Going to a step by steps, at once or from a
    checkpoint gives the same float. (Later schedulers find it in the group, as `initial_lr` and so
    on.) It is a torch ``LRScheduler``, for any torch optimizer: call
    ``step()`` after each of the optimizer's.

    Args:
        optimizer: any ``torch.optim.Optimizer``.
        schedules: by the name of a hyperparameter, such as ``lr=cosine(1000)``: a schedule or any
            function of the step; a list with one for each group (None leaves a group alone); and
            for a hyperparameter that is a tuple a tuple, ``betas=(None, linear(100))``. Groups that
            are added later follow from the next ``step()`` on, where there is no list.

    Raises:
        TypeError: what is no optimizer, no function of the step, or no number.
        ValueError: no schedule, a hyperparameter that a group does not have, lists of another
            length than there are groups, a value that is not finite. Nothing is changed then.

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
        self, optimizer: torch.optim.Optimizer, *unnamed: NoReturn, **schedules: Any
    ) -> None:
        # torch's own __init__ wraps optimizer.step, to warn of a wrong order of calls: that costs
        # more than a small step here.
        if not isinstance(optimizer, torch.optim.Optimizer):
            raise TypeError(f"{type(optimizer).__name__} is no torch.optim.Optimizer")
        if hasattr(optimizer, "schedule"):
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
        self.optimizer = optimizer
        self.schedules = dict(schedules)
        self.t: float = 0
        self._step_count = 1  # of torch's schedulers; others' loops count with it
        self._bases: list[dict[str, Any]] = []
        for key in schedules:
            self._check(key)
        self._go(0)

    # What torch's schedulers have

    @property
    def last_epoch(self) -> float:  # type: ignore[override]
        """The step, under torch's name."""
        return self.t

    @property
    def base_lrs(self) -> list[Any]:  # type: ignore[override]
        """Each group's learning rate before it is scheduled."""
        pairs = zip(self.optimizer.param_groups, self._bases, strict=False)
        return [base.get("lr", group.get("lr")) for group, base in pairs]

    def get_last_lr(self) -> list[Any]:
        """Each group's learning rate now."""
        values = [group["lr"] for group in self.optimizer.param_groups]
        return [x.clone() if isinstance(x, torch.Tensor) else x for x in values]

    get_lr = get_last_lr

    def step(self, epoch: float | None = None) -> None:
        """On to the next step, or to step `epoch`, which may be a fraction."""
        self._go(self.t + 1 if epoch is None else epoch)
        self._step_count += 1

    # Where values come from

    def _functions(self, key: str, number: int) -> Any:
        """The schedule or schedules of a hyperparameter in a group; None leaves it alone."""
        given = self.schedules[key]
        if not isinstance(given, list):
            return given
        if number >= len(given):
            raise ValueError(
                f"{key}: a list of {len(given)} schedules, and the optimizer has "
                f"{len(self.optimizer.param_groups)} groups: give one for each, or one for all"
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

    def _check_group(self, key: str, group: Mapping[str, Any], f: Any) -> None:
        if key not in group:
            known = [k for k, v in group.items() if _scheduled(v) and not _own(k, group)]
            raise ValueError(
                f"{type(self.optimizer).__name__} has no {key!r} to schedule; it has "
                f"{', '.join(known)}{nearest(key, known)}"
            )
        value = plain(group[key])
        if not _scheduled(value):
            raise TypeError(f"{key}={value!r} is no number: it cannot be scheduled")
        several = isinstance(value, tuple)
        if several and not (isinstance(f, tuple) and len(f) == len(value)):
            raise TypeError(
                f"{key}={value!r} takes a tuple of {len(value)} schedules, such as "
                f"{key}=({', '.join(['None'] * (len(value) - 1))}, cosine(1000)); given is {f!r}"
            )
        for one in f if several else (f,):
            if one is not None and not callable(one):
                raise TypeError(
                    f"{key}={one!r}: allowed is a schedule, such as "
                    "glissade.schedules.cosine(1000), or another function of the step"
                )

    def _values(
        self, t: float, all_bases: list[dict[str, Any]]
    ) -> Iterator[tuple[dict[str, Any], str, Any]]:
        """What each group's hyperparameters are at step t."""
        groups = self.optimizer.param_groups
        for number, (group, bases) in enumerate(zip(groups, all_bases, strict=True)):
            for key, base in bases.items():
                f = self._functions(key, number)
                if isinstance(base, tuple):
                    pairs = zip(base, f, strict=True)
                    yield group, key, tuple(_at(key, b, one, t) for b, one in pairs)
                elif f is not None:
                    yield group, key, _at(key, base, f, t)

    def _go(self, t: float) -> None:
        """To step t: all values are found before one is set."""
        groups, bases = self.optimizer.param_groups, list(self._bases)
        for number, group in enumerate(groups[len(bases) :], len(bases)):
            for key in self.schedules:
                self._check_group(key, group, self._functions(key, number))
            # A group that was scheduled before (its optimizer was loaded, say) knows from what.
            bases.append({k: plain(group.get(f"initial_{k}", group[k])) for k in self.schedules})
        values = list(self._values(t, bases))
        new = slice(len(self._bases), None)
        for group, base in zip(groups[new], bases[new], strict=True):
            for key, value in base.items():
                group.setdefault(f"initial_{key}", value)  # torch's have initial_lr there
        for group, key, value in values:
            if isinstance(group[key], torch.Tensor):
                group[key].fill_(value)
            else:
                group[key] = value
        self.t, self._bases = t, bases

    # State

    def state_dict(self) -> dict[str, Any]:
        """The step, the base values and the schedules, as numbers, words, lists and dicts."""
        return {
            "t": self.t,
            "step_count": self._step_count,
            "bases": [dict(base) for base in self._bases],
            "schedules": {key: _saved(f) for key, f in self.schedules.items()},
        }

    def load_state_dict(self, state_dict: Mapping[str, Any], changed: str = "error") -> None:
        """Go on where another scheduler was.

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
            raise ValueError(f"changed={changed!r}; allowed are 'error', 'new' and 'saved'")
        if "schedules" not in state_dict or "bases" not in state_dict:
            raise ValueError(
                "this is no state of a glissade.Scheduler (torch's schedulers keep others): go to "
                "its step with scheduler.step(t)"
            )
        bases = state_dict["bases"]
        if len(bases) != len(self.optimizer.param_groups):
            raise ValueError(
                f"the state has {len(bases)} parameter groups and the optimizer "
                f"{len(self.optimizer.param_groups)}: add the same groups before loading"
            )
        saved = state_dict["schedules"]
        now = {key: _saved(f) for key, f in self.schedules.items()}
        schedules = self.schedules
        if saved != now and changed == "error":
            raise ValueError(_difference(saved, now, state_dict["t"]))
        if saved != now and changed == "saved":
            schedules = {key: _restored(f) for key, f in saved.items()}
        kept = [{k: _tuple(v) for k, v in base.items()} for base in bases]
        before = self.schedules, self._bases, self.t
        self.schedules = schedules
        self._bases = [
            {key: base.get(key, plain(group[key])) for key in schedules}
            for base, group in zip(kept, self.optimizer.param_groups, strict=True)
        ]
        try:
            self._go(state_dict["t"])
        except BaseException:
            self.schedules, self._bases, self.t = before
            raise
        self._step_count = state_dict["step_count"]


def _own(key: str, group: Mapping[str, Any]) -> bool:
    """Whether an optimizer or a scheduler keeps it in a group for itself."""
    base = key.startswith("initial_") and key.removeprefix("initial_") in group
    return base or key in ("params", "base_lr", "rounding_seed") or key.endswith("_age")


def _scheduled(value: Any) -> bool:
    """Whether a hyperparameter is a number or a tuple of numbers."""
    value = plain(value)
    return is_number(value) or (
        isinstance(value, tuple) and len(value) > 0 and all(map(is_number, value))
    )


def _at(key: str, base: float, f: Multiplier | None, t: float) -> float:
    if f is None:
        return base
    try:
        factor = plain(f(t))
        value = base * factor if is_number(factor) else math.nan
    except OverflowError:
        factor = value = math.inf
    if not math.isfinite(value):
        raise ValueError(
            f"{key} would be {base!r} times {factor!r} at step {t}, by {f!r}: allowed is a finite "
            "number"
        )
    return float(value)


def _tuple(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def _saved(given: Any) -> Any:
    """Schedules as what JSON can hold; of another function only its name."""
    if isinstance(given, list):
        return [_saved(one) for one in given]
    if isinstance(given, tuple):
        return {"each": [_saved(one) for one in given]}
    if given is None or isinstance(given, Schedule):
        return given if given is None else given.as_dict()
    return {"function": getattr(given, "__qualname__", type(given).__qualname__)}


def _restored(saved: Any) -> Any:
    """What `_saved` saved."""
    if isinstance(saved, list):
        return [_restored(one) for one in saved]
    if saved is None or "name" in saved:
        return saved if saved is None else from_dict(saved)
    if "each" in saved:
        return tuple(_restored(one) for one in saved["each"])
    raise ValueError(
        f"the checkpoint was made with the function {saved['function']}, which it cannot hold: "
        "make the scheduler with it, and load with changed='new'"
    )


def _said(saved: Any) -> str:
    """What was saved, as a call would have it."""
    if isinstance(saved, Mapping) and "function" in saved:
        return f"function {saved['function']}"
    return repr(_restored(saved))


def _difference(saved: Mapping[str, Any], now: Mapping[str, Any], t: float) -> str:
    parts = []
    for key in {**saved, **now}:
        was, is_ = (_said(x[key]) if key in x else "not scheduled" for x in (saved, now))
        if was != is_:
            parts.append(f"{key} was {was} and is {is_} now")
    return (
        f"{'; '.join(parts)}. A run goes on by its own schedule: make the scheduler with that, or "
        f"say load_state_dict(..., changed='new') to go on at step {t} by the new one, or "
        "changed='saved' by the old one"
    )
