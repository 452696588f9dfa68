"""Plant faults in the optimizer, one at a time, and tell how many the machine finds.

    python -m tests.sequences.planted [SECONDS [WORD]]

looks for each fault (whose name has WORD in it) for SECONDS (default 60), after as long a look
without any: a machine that finds a difference there says nothing about faults.
"""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any
from unittest import mock

import torch

from glissade import Optimizer

from .run import Counted, search
from .world import Mismatch

Plant = Callable[[], contextlib.AbstractContextManager[Any]]
FAULTS: dict[str, Plant] = {}


def fault(function: Callable[[], contextlib.AbstractContextManager[Any]]) -> Plant:
    """Register a fault by the name of the function that plants it."""
    FAULTS[function.__name__.replace("_", " ")] = function
    return function


def stepping(
    prepare: Callable[[Any], Callable[[], None] | None],
) -> contextlib.AbstractContextManager[Any]:
    """Replace `step`: `prepare` changes something before it, and returns what undoes that."""
    inner = Optimizer.step

    def step(self: Any, closure: Any = None) -> Any:
        undo = prepare(self)
        try:
            return inner(self, closure)
        finally:
            if undo is not None:
                undo()

    step.hooked = True  # type: ignore[attr-defined]
    return mock.patch.object(Optimizer, "step", step)


def held(group: dict[str, Any], **values: Any) -> Callable[[], None]:
    """Set hyperparameters of a group; return what sets them back."""
    before = {key: group[key] for key in values}
    group.update(values)
    return lambda: group.update(before)


def graded(params: list[Any], grads: list[Any]) -> Callable[[], None]:
    """Give parameters other gradients; return what gives them their own again."""
    before = [p.grad for p in params]

    def put(values: list[Any]) -> None:
        for p, g in zip(params, values, strict=True):
            p.grad = g

    put(grads)
    return lambda: put(before)


def all_params(optimizer: Any) -> list[Any]:
    """Return every parameter."""
    return [p for group in optimizer.param_groups for p in group["params"]]


# ------------------------------------------------------------------ faults


@fault
@contextlib.contextmanager
def a_state_is_dropped_on_save() -> Iterator[None]:
    inner = Optimizer.state_dict

    def state_dict(self: Any) -> Any:
        out = inner(self)
        for state in out["state"].values():
            dense = [k for k, x in state.items() if isinstance(x, torch.Tensor) and x.ndim]
            for key in dense[-1:]:
                del state[key]
        return out

    with mock.patch.object(Optimizer, "state_dict", state_dict):
        yield


@fault
def a_step_is_counted_twice() -> Any:
    def prepare(optimizer: Any) -> Any:
        def count() -> None:
            for p in all_params(optimizer)[:1]:
                state = optimizer.state.get(p, {})
                if "step" in state and p.grad is not None:
                    state["step"] = state["step"] + 1

        return count

    return stepping(prepare)


@fault
def the_last_group_is_skipped() -> Any:
    def prepare(optimizer: Any) -> Any:
        last = optimizer.param_groups[-1]["params"] if len(optimizer.param_groups) > 1 else []
        return graded(last, [None] * len(last))

    return stepping(prepare)


@fault
def the_second_group_has_no_weight_decay() -> Any:
    def prepare(optimizer: Any) -> Any:
        some = optimizer.param_groups[1:2]
        return held(some[0], weight_decay=0.0) if some else None

    return stepping(prepare)


@fault
def betas_are_swapped() -> Any:
    def prepare(optimizer: Any) -> Any:
        group = optimizer.param_groups[0]
        return held(group, betas=tuple(group["betas"])[::-1]) if "betas" in group else None

    return stepping(prepare)


@fault
def a_changed_lr_comes_a_step_late() -> Any:
    def prepare(optimizer: Any) -> Any:
        seen = optimizer.__dict__.setdefault("seen_lr", {})
        undo = []
        for k, group in enumerate(optimizer.param_groups):
            now = float(group["lr"])
            undo.append(held(group, lr=seen.get(k, now)))
            seen[k] = now
        return lambda: [back() for back in undo]

    return stepping(prepare)


@fault
def the_average_of_ema_stands_still() -> Any:
    def prepare(optimizer: Any) -> Any:
        before = {
            p: state["ema_average"].clone()
            for p, state in optimizer.state.items()
            if "ema_average" in state
        }

        def put() -> None:
            for p, average in before.items():
                optimizer.state[p]["ema_average"].copy_(average)

        return put

    return stepping(prepare)


@fault
def lookahead_waits_a_step_too_long() -> Any:
    def prepare(optimizer: Any) -> Any:
        undo = [
            held(group, lookahead_k=group["lookahead_k"] + 1)
            for group in optimizer.param_groups
            if "lookahead_k" in group
        ]
        return lambda: [back() for back in undo]

    return stepping(prepare)


@fault
def accumulate_divides_by_one_less() -> Any:
    def prepare(optimizer: Any) -> Any:
        n = optimizer.param_groups[0].get("accumulate_n", 1)
        params = all_params(optimizer)
        grads = [None if p.grad is None else p.grad * (n / max(n - 1, 1)) for p in params]
        return graded(params, grads) if n > 1 else None

    return stepping(prepare)


@fault
@contextlib.contextmanager
def a_loaded_state_is_not_copied() -> Iterator[None]:
    inner = Optimizer.load_state_dict

    def load_state_dict(self: Any, state_dict: Any) -> None:
        inner(self, state_dict)
        for i, p in enumerate(all_params(self)):
            for key, x in state_dict["state"].get(i, {}).items():
                if key in self.state[p] and isinstance(x, torch.Tensor) and x.ndim:
                    self.state[p][key] = x

    with mock.patch.object(Optimizer, "load_state_dict", load_state_dict):
        yield


@fault
def skip_nonfinite_looks_at_the_first_gradient() -> Any:
    def prepare(optimizer: Any) -> Any:
        params = all_params(optimizer)
        grads = [p.grad for p in params]
        rest = [None if g is None else g.nan_to_num(0.0, 0.0, 0.0) for g in grads[1:]]
        return graded(params, [grads[0], *rest])

    return stepping(prepare)


@fault
def clip_norm_takes_each_group_alone() -> Any:
    def prepare(optimizer: Any) -> Any:
        group = optimizer.param_groups[0]
        if "clip_norm_max" not in group or len(optimizer.param_groups) == 1:
            return None
        some = [p.grad.norm() for p in group["params"] if p.grad is not None]
        total = [p.grad.norm() for p in all_params(optimizer) if p.grad is not None]
        if not some or not float(torch.stack(some).norm()):
            return None
        larger = float(torch.stack(total).norm() / torch.stack(some).norm())
        return held(group, clip_norm_max=float(group["clip_norm_max"]) * larger)

    return stepping(prepare)


@fault
@contextlib.contextmanager
def a_group_added_late_has_the_first_groups_lr() -> Iterator[None]:
    inner = Optimizer.add_param_group

    def add_param_group(self: Any, group: Any) -> None:
        late = getattr(self, "state", None)
        inner(self, {**group, "lr": self.param_groups[0]["lr"]} if late else group)

    with mock.patch.object(Optimizer, "add_param_group", add_param_group):
        yield


@fault
def a_frozen_parameter_is_counted() -> Any:
    def prepare(optimizer: Any) -> Any:
        def count() -> None:
            for p in all_params(optimizer):
                state = optimizer.state.get(p, {})
                if "step" in state and p.grad is None:
                    state["step"] = state["step"] + 1

        return count

    return stepping(prepare)


@fault
@contextlib.contextmanager
def base_lr_is_lost_on_load() -> Iterator[None]:
    inner = Optimizer.load_state_dict

    def load_state_dict(self: Any, state_dict: Any) -> None:
        inner(self, state_dict)
        for group in self.param_groups:
            group["base_lr"] = float(group["lr"])

    with mock.patch.object(Optimizer, "load_state_dict", load_state_dict):
        yield


# ------------------------------------------------------------------ looking for them


@dataclass(frozen=True)
class Look:
    """How a fault was looked for."""

    name: str
    found: str  # the first line of the difference, "" if there was none
    examples: int
    seconds: float


def look(name: str, seconds: float) -> Look:
    """Look for a planted fault; "" plants none."""
    start = time.monotonic()
    found = ""
    with FAULTS[name]() if name else contextlib.nullcontext():
        try:
            search(seconds, shrink=False)
        except Mismatch as difference:
            found = str(difference).partition("\n")[0]
    return Look(name or "none", found, Counted.examples, time.monotonic() - start)


def main() -> None:
    """Print a line for each fault."""
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 60.0
    looks = []
    word = sys.argv[2] if len(sys.argv) > 2 else ""
    for name in ("", *(name for name in FAULTS if word in name)):
        looks.append(done := look(name, seconds))
        taken = f"{done.examples:6} examples {done.seconds:6.1f} s"
        print(f"{done.name:44} {taken}  {done.found or 'not found'}", flush=True)
    print(f"{sum(bool(one.found) for one in looks[1:])} of {len(looks) - 1} found")


if __name__ == "__main__":
    main()
