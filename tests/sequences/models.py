"""A plain model of `glissade.Optimizer`: one parameter after another, in NumPy and float64.

One call of `step` goes so: `skip_nonfinite` looks at every gradient as it came; a `clip_norm` that
is outside of `accumulate` scales them; `accumulate` adds them up, and ends here unless the window
is full; a `clip_norm` inside scales the means. Then, for each parameter that has one: an l2 decay
enters it, the other wrappers on gradients follow from the outermost inwards, then the rule, the
wrappers on steps from the innermost outwards, and what acts on the moved parameter.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch

from tests.oracles.algorithms import Array, State, norm, trust
from tests.oracles.wrappers import ball, simplex

from . import rules


def plain(value: Any) -> Any:
    """Return a hyperparameter as Python's numbers: a tensor counts as its value in float64."""
    if isinstance(value, torch.Tensor):
        return float(value.double()) if value.is_floating_point() else int(value)
    if isinstance(value, (list, tuple)):
        return tuple(map(plain, value))
    return value


@dataclass
class Slot:
    """One parameter."""

    value: Array
    dtype: str
    t: int = 0  # real steps
    state: State = field(default_factory=State)
    curvature: Array | None = None
    moved: float = 0.0  # the largest change of an element in the last step
    path: float = 0.0  # and in all steps together
    reach: float = 0.0  # the largest element so far
    steps: int = 0

    def put(self, value: Array) -> None:
        """Move to a value."""
        if value.size:
            self.moved = float(np.max(np.abs(value - self.value)))
            self.path += self.moved
            self.reach = max(self.reach, *(float(np.max(np.abs(x))) for x in (value, self.value)))
        self.value = value
        self.steps += 1

    def reset(self) -> None:
        """Forget all state."""
        self.t, self.state, self.curvature = 0, State(), None


@dataclass
class Group:
    """Hyperparameters as plain numbers, and the parameters that they are for."""

    hyper: dict[str, Any]
    slots: list[Slot]


class Model:
    """A rule inside wrappers, the outermost first."""

    def __init__(
        self, name: str, variant: str, wrappers: Sequence[str], onto: str, hyper: dict[str, Any]
    ) -> None:
        self.rule, brought = rules.base(name, variant)
        self.wrappers = (*wrappers, *brought)
        self.onto = onto
        self.defaults = {"maximize": False, **{k: plain(v) for k, v in hyper.items()}}
        self.groups: list[Group] = []
        self.done = 0  # micro-batches in the window of `accumulate`
        self.skipped = 0  # calls that `skip_nonfinite` has left out

    # Groups

    @property
    def slots(self) -> list[Slot]:
        """Every parameter, group after group."""
        return [slot for group in self.groups for slot in group.slots]

    def add(self, values: Sequence[tuple[Array, str]], own: dict[str, Any]) -> None:
        """Add a group with hyperparameters of its own."""
        hyper = {**self.defaults, **{k: plain(v) for k, v in own.items()}}
        hyper["base_lr"] = hyper["lr"]
        slots = [Slot(np.array(x, np.float64), dtype) for x, dtype in values]
        for slot in slots:
            slot.put(slot.value)
        self.groups.append(Group(hyper, slots))

    def snapshot(self) -> Any:
        """Return a copy of everything."""
        return copy.deepcopy((self.groups, self.done, self.skipped))

    def restore(self, kept: Any) -> None:
        """Take a snapshot over; what the parameters have gone through since counts as their way."""
        gone = [(slot.path, slot.reach, slot.steps) for slot in self.slots]
        self.groups, self.done, self.skipped = copy.deepcopy(kept)
        for slot, way in zip(self.slots, gone, strict=True):
            slot.path, slot.reach, slot.steps = way

    def has(self, wrapper: str) -> bool:
        """Tell whether a wrapper is around the rule."""
        return wrapper in self.wrappers

    # Stepping

    def step(self, grads: Sequence[Array | None]) -> None:
        """Take one call of the optimizer's `step`; None is no gradient."""
        came = [None if g is None else np.array(g, np.float64) for g in grads]
        with np.errstate(all="ignore"):
            self._step(came)

    def _step(self, came: list[Array | None]) -> None:
        there = [g for g in came if g is not None]
        if self.has("skip_nonfinite") and not all(np.isfinite(g).all() for g in there):
            self.skipped += 1
            return
        for i, (g, h) in enumerate(zip(came, self._hyper(), strict=True)):
            came[i] = -g if g is not None and h["maximize"] else g
        went: list[Array | None] | None = came
        if not self.has("accumulate"):
            went = self._clipped(came)
        else:
            outside = self.wrappers.index("accumulate")
            clips_outside = "clip_norm" in self.wrappers[:outside]
            went = self._window(self._clipped(came) if clips_outside else came)
            if went is not None and not clips_outside:
                went = self._clipped(went)
        if went is None:
            return
        for slot, h, g in zip(self.slots, self._hyper(), went, strict=True):
            if g is not None:
                self._move(slot, SimpleNamespace(**h), g)
            elif "ema_average" in slot.state:
                keep, now = h["ema_decay"], slot.state.get("master", slot.value)
                slot.state["ema_average"] = keep * slot.state["ema_average"] + (1 - keep) * now

    def _hyper(self) -> list[dict[str, Any]]:
        return [group.hyper for group in self.groups for _ in group.slots]

    def _window(self, came: list[Array | None]) -> list[Array | None] | None:
        """Return the means of a window that this call ends, or None while it is open."""
        sizes = {group.hyper["accumulate_n"] for group in self.groups}
        if len(sizes) > 1:
            raise ValueError(f"groups with different accumulate_n: {sorted(sizes)}")
        for slot, g in zip(self.slots, came, strict=True):
            if g is not None:
                slot.state["accumulate_sum"] = slot.state.get("accumulate_sum", 0.0) + g
        self.done += 1
        if self.done < sizes.pop():
            return None
        sums = [slot.state.pop("accumulate_sum", None) for slot in self.slots]
        n, self.done = self.done, 0
        return [None if total is None else total / n for total in sums]

    def _clipped(self, grads: list[Array | None]) -> list[Array | None]:
        if not self.has("clip_norm"):
            return grads
        total = norm(np.array([norm(g) for g in grads if g is not None]))
        limits = [h["clip_norm_max"] for h in self._hyper()]
        pairs = zip(grads, limits, strict=True)
        return [None if g is None else g * min(1.0, top / (total + 1e-6)) for g, top in pairs]

    def _move(self, slot: Slot, h: SimpleNamespace, g: Array) -> None:
        """Take a real step of one parameter."""
        h.lr0, h.dtype, h.curvature = h.base_lr, slot.dtype, slot.curvature
        s = slot.state
        slot.t += 1
        p = s.get("master", slot.value)
        decay = getattr(h, "decay", None)
        if decay == "l2":
            g = g + h.weight_decay * p
        seen = {}
        for w in self.wrappers:
            seen[w] = g
            if w == "centralize" and g.ndim >= 2:
                g = g - g.mean(axis=tuple(range(1, g.ndim)), keepdims=True)
        d = rules.direction(self.rule, p, g, s, slot.t, h)
        rest = _decay(decay, p, h)
        for w in reversed(self.wrappers):
            if w == "layerwise":
                d, rest = d + rest, 0.0
                ratio = trust(p, d, h.layerwise_phi_bounds)
                d = d if ratio is None else h.lr * ratio * d
            if w == "cautious":
                mask = (d * seen[w] > 0).astype(np.float64)
                d = d * mask / max(float(mask.mean()), 1e-3)
        q = rules.after(self.rule, p - (d + rest), s, h)
        for w in reversed(self.wrappers):
            q = self._after(w, p, q, slot, h)
        if self.has("master_weights") or self.has("kahan"):
            s["master"] = q
        slot.put(np.array(q, np.float64))

    def _after(self, w: str, p: Array, q: Array, slot: Slot, h: SimpleNamespace) -> Array:
        """Return the moved parameter `q` as a wrapper leaves it; `p` is the one before the step."""
        s = slot.state
        if w == "lookahead":
            s.setdefault("lookahead_slow", p)
            if slot.t % h.lookahead_k == 0:
                slow = s["lookahead_slow"]
                s["lookahead_slow"] = q = slow + h.lookahead_alpha * (q - slow)
        if w == "ema":
            keep = h.ema_decay if "ema_average" in s else 0.0
            s["ema_average"] = keep * s["ema_average"] + (1 - keep) * q
        if w == "project":
            if self.onto == "box":
                return np.array(np.clip(q, *h.project_box))
            return np.array(ball(h.project_radius)(q) if self.onto == "ball" else simplex()(q))
        return q


def _decay(decay: str | None, p: Array, h: SimpleNamespace) -> Any:
    """Return the part of a decay that is added to the step."""
    if decay in (None, "l2"):
        return 0.0
    rate = {"decoupled": h.lr, "independent": 1.0, "corrected": h.lr}[decay]
    return (rate if decay == "decoupled" else rate * h.lr / h.lr0) * h.weight_decay * p
