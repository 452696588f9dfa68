"""An optimizer and its model, side by side: what may happen to both, and the comparison."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from . import rules
from .models import Model, plain
from .world import EPS, Mismatch, Spec, World, bits, farthest, literal, numbers, without


class Pair:
    """Every method does one thing to the optimizer and to its model, and compares them."""

    def __init__(self, spec: Spec) -> None:
        self.spec, self.world = spec, World()
        self.calls, self.frozen = 0, set[int]()
        self.places: list[int] = []  # in `params`, in the order of the groups
        self.counted = True
        self.saved: tuple[Any, list[int], bool] | None = None
        self.scheduled: list[float] | None = None
        self.ticks = 0
        world = self.world
        world.run(f"def rule():\n    return {spec.rule()}")
        made = []
        for i, (shape, dtype) in enumerate(zip(spec.shapes, spec.dtypes, strict=True)):
            value = literal(numbers(7000 + i, shape, dtype), spec.layouts[i], dtype)
            made.append(f"{value}.detach().requires_grad_()")
        world.run("params = [" + ", ".join(made) + "]")
        groups = []
        for places, own in spec.groups:
            words = "".join(f", {k!r}: {v!r}" for k, v in own.items())
            groups.append(f'{{"params": [{", ".join(f"params[{i}]" for i in places)}]{words}}}')
            self.places += places
        opt = f"glissade.Optimizer([{', '.join(groups)}], rule(), backend={spec.backend!r})"
        with world.explained("making the optimizer"):
            world.run(f"opt = {opt}")
        names = [name for name, _ in spec.wrappers]
        hyper = dict(world.value("rule().hyper"))
        self.model = Model(spec.name, spec.variant, names, spec.onto, hyper)
        for places, own in spec.groups:
            self.model.add([self._start(i) for i in places], own)
        self.loose = 1e-7 if self.model.rule == "adagradfull" else 1e-10

    def _start(self, i: int) -> tuple[Any, str]:
        p = self.world.params[i].detach()
        return p.double().numpy(), str(p.dtype).removeprefix("torch.")

    # Comparison

    def check(self, what: str) -> None:
        """Raise Mismatch if a parameter, a count or a hyperparameter is not the model's."""
        for i, slot in zip(self.places, self.model.slots, strict=True):
            p = self.world.params[i]
            off = farthest(p, slot, slot.value, self.loose)
            if not off <= 1:
                say = f"parameter {i} after {what} is {off:.3g} tolerances off"
                raise self._differs(say, f"params[{i}]", slot.value)
            if slot.dtype != "float64":
                slot.value = p.detach().double().numpy()
        self._check_counts(what)

    def _differs(self, what: str, name: str, want: Any) -> Mismatch:
        check = f"print({name}, 'should be', {np.asarray(want).tolist()!r})"
        return self.world.mismatch(what, check)

    def _check_counts(self, what: str) -> None:
        opt = self.world.opt
        for i, slot in zip(self.places, self.model.slots, strict=True):
            state = opt.state.get(self.world.params[i], {})
            if (
                self.counted
                and slot.t
                and "count" not in without()
                and int(state.get("step", -1)) != slot.t
            ):
                name = f"opt.state[params[{i}]]['step']"
                raise self._differs(f"the steps of parameter {i} after {what}", name, slot.t)
        counts = {"skip_nonfinite": self.model.skipped, "accumulate": self.model.done}
        for wrapper, key in (
            ("skip_nonfinite", "skip_nonfinite_count"), ("accumulate", "accumulate_done"),
        ):  # fmt: skip
            values = [group.get(key, "missing") for group in opt.param_groups]
            if (
                self.model.has(wrapper)
                and key not in without()
                and values != [counts[wrapper]] * len(values)
            ):
                name = f"[group.get({key!r}) for group in opt.param_groups]"
                raise self._differs(f"{key} after {what}", name, counts[wrapper])

    def everything(self) -> Any:
        """Return all of the optimizer and its parameters, to be held against a later look."""
        saved = self.world.opt.state_dict()
        return bits([self.world.params, saved["state"], saved["param_groups"]])

    # Steps

    def gradients(self, how: Sequence[str], seed: int, bad: str = "") -> list[Any]:
        """Give every parameter a gradient of a kind; return them for the model."""
        words = []
        for i, p in enumerate(self.world.params):
            kind = "none" if i in self.frozen else how[i % len(how)]
            dtype = str(p.dtype).removeprefix("torch.")
            values = numbers(seed + 31 * i, tuple(p.shape), dtype)
            if bad and i == seed % len(self.world.params) and values.size:
                values.flat[0] = float(bad)
                kind = "plain"
            if kind == "expanded" and self.model.has("centralize"):
                kind = "transposed"  # a mean of equal numbers is rounding, which sign rules enlarge
            values = 0 * values if kind == "zero" else values
            text = "None" if kind == "none" else literal(values, kind, dtype)
            there = p.grad is not None and 0 not in p.grad.stride()
            if kind == "kept" and there:  # the same tensor with other values
                words.append(f"params[{i}].grad.copy_({text})")
            else:
                words.append(f"params[{i}].grad = {text}")
        self.world.run("\n".join(words))
        return self._grads()

    def _grads(self) -> list[Any]:
        params = self.world.params
        given = [params[i].grad for i in self.places]
        return [None if g is None else g.double().numpy().copy() for g in given]

    def feed(self) -> None:
        """Give a rule the curvature that it reads."""
        if self.spec.name != "sophia":
            return
        values = [
            np.abs(numbers(self.calls + 90 * i, slot.value.shape))
            for i, slot in enumerate(self.model.slots)
        ]
        with self.world.explained("feed"):
            self.world.run(f"opt.feed('curvature', [{', '.join(map(literal, values))}])")
        for slot, value in zip(self.model.slots, values, strict=True):
            slot.curvature = value

    def step(self, how: Sequence[str], seed: int, closure: bool = False) -> None:
        """Take a step."""
        self.calls += 1
        self.feed()
        grads = self.gradients(how, seed)
        with self.world.explained("step"):
            self.world.run("opt.step(lambda: 1.0)" if closure else "opt.step()")
        self.model.step(grads)
        self.check(f"call {self.calls}")
        for a, b in zip(grads, self._grads(), strict=True):
            if not ((a is None and b is None) or np.array_equal(a, b)):
                raise self.world.mismatch("the step has changed a gradient")

    def no_step(self, line: str, error: type[Exception] | None, why: str) -> None:
        """Run a step that must change nothing, and raise an error if one is given."""
        before = self.everything()
        if error is None:
            with self.world.explained(why):
                self.world.run(line)
        elif not self.world.raises(line, error):
            raise self.world.mismatch(f"{why}: no {error.__name__}")
        after = self.everything()
        if error is None:  # a count may grow: `check` looks at it
            for look in (before, after):
                for group in look[2]:
                    group.pop("skip_nonfinite_count", None)
                    group.pop("curvature_age", None)
        if before != after:
            raise self.world.mismatch(f"{why} has changed something")

    def raising(self, how: Sequence[str], seed: int) -> None:
        """Take a step whose closure raises."""
        self.feed()
        self.gradients(how, seed)
        self.no_step("opt.step(failing)", ZeroDivisionError, "a closure that raises")
        self.check("a closure that raises")

    def nonfinite(self, how: Sequence[str], seed: int, bad: str) -> None:
        """Take a step with a gradient that is not finite, which `skip_nonfinite` leaves out."""
        self.feed()
        grads = self.gradients(how, seed, bad)
        if all(g is None or np.isfinite(g).all() for g in grads):
            return
        self.no_step("opt.step()", None, "a step that is left out")
        self.model.step(grads)
        self.check("a step that is left out")

    # Parameters and groups

    def freeze(self, i: int) -> None:
        """Freeze a parameter, or thaw it."""
        i %= len(self.world.params)
        frozen = i in self.frozen
        self.frozen ^= {i}
        self.world.run(f"params[{i}].requires_grad_({frozen}); params[{i}].grad = None")

    def add_group(self, shape: tuple[int, ...], own: dict[str, Any]) -> None:
        """Add a group of one parameter."""
        i = len(self.world.params)
        dtype = self.spec.dtypes[0]
        value = literal(numbers(7000 + i, shape, dtype), "plain", dtype)
        own = dict(own)
        if self.model.has("accumulate"):  # one window for all
            own["accumulate_n"] = self.model.groups[0].hyper["accumulate_n"]
        words = "".join(f", {k!r}: {v!r}" for k, v in own.items())
        self.world.run(f"params.append({value}.requires_grad_())")
        with self.world.explained("add_param_group"):
            self.world.run(f'opt.add_param_group({{"params": [params[{i}]]{words}}})')
        self.model.add([self._start(i)], own)
        self.places.append(i)
        self.check("add_param_group")

    def set(self, group: int | None, key: str, text: str) -> None:
        """Set a hyperparameter of one group, or of all, to the value of an expression."""
        groups = range(len(self.model.groups)) if group is None else [group]
        self.world.run(f"value = {text}")
        for k in groups:
            self.world.run(f"opt.param_groups[{k}][{key!r}] = value")
            self.model.groups[k].hyper[key] = plain(self.world.value("value"))
        if key == "lr":
            self.scheduled = None

    def different_windows(self) -> None:
        """Set another `accumulate_n` in one group: the step refuses, and changes nothing."""
        n = self.model.groups[0].hyper["accumulate_n"]
        self.feed()
        self.gradients(["plain"], 5)
        self.world.run(f'opt.param_groups[-1]["accumulate_n"] = {n + 1}')
        self.no_step("opt.step()", ValueError, "groups with different accumulate_n")
        self.world.run(f'opt.param_groups[-1]["accumulate_n"] = {n}')

    # A schedule

    def schedule(self) -> None:
        """Take a step of a schedule of the learning rate, made if there is none."""
        groups, opt = self.model.groups, self.world.opt
        with self.world.explained("a schedule"):
            if self.scheduled is None:
                self.ticks = 0
                self.world.run("plan = None  # two that drive one number are refused")
                for k in range(len(groups)):
                    self.world.run(f"opt.param_groups[{k}].pop('initial_lr', None)")
                self.world.run("plan = glissade.Scheduler(opt, lr=lambda t: 0.75 + 0.5 * (t % 2))")
                self.scheduled = [group.hyper["lr"] for group in groups]
            else:
                self.ticks += 1
                self.scheduled += [group.hyper["lr"] for group in groups[len(self.scheduled) :]]
                self.world.run("plan.step()")
        for k, (group, lr) in enumerate(zip(groups, self.scheduled, strict=True)):
            want = lr * (0.75 + 0.5 * (self.ticks % 2))
            real = plain(opt.param_groups[k]["lr"])
            if abs(real - want) > 1e-6 * want:  # a tensor of float32 holds no more digits
                raise self._differs("lr after a schedule", f"opt.param_groups[{k}]['lr']", want)
            group.hyper["lr"] = real

    # States

    def forget(self, i: int, key: str) -> None:
        """Delete a parameter's state, or one entry of it, or set its count back."""
        i %= len(self.world.params)
        slot = self.model.slots[self.places.index(i)]
        if slot.t == 0:
            return
        if key == "all":
            self.world.run(f"del opt.state[params[{i}]]")
            slot.reset()
        elif key == "step":
            with self.world.explained("a count set back"):
                self.world.run(f"opt.state[params[{i}]]['step'].zero_()")
            slot.t = 0
        elif key in slot.state:
            self.world.run(f"opt.state[params[{i}]].pop({key!r}, None)")
            del slot.state[key]

    def averages(self) -> None:
        """Look at the averages that `ema` keeps."""
        if not any("ema_average" in slot.state for slot in self.model.slots):
            self.no_step("opt.swap_ema().__enter__()", RuntimeError, "swap_ema without an average")
            return
        before = bits(self.world.params)
        with self.world.explained("swap_ema"):
            self.world.run("with opt.swap_ema():\n    seen = [p.detach().clone() for p in params]")
        for i, slot in zip(self.places, self.model.slots, strict=True):
            want = slot.state.get("ema_average", slot.value)
            loose = 1e-4 if slot.dtype == "float32" else self.loose
            seen = self.world.value(f"seen[{i}]")
            slack = 2 * 2.0**-7 * slot.reach if slot.dtype == "bfloat16" else loose * slot.path
            off = np.abs(seen.double().numpy() - want).max(initial=0.0)
            if not off <= slack + EPS[slot.dtype] * 100 * slot.reach:
                raise self._differs(f"the average of parameter {i}", f"seen[{i}]", want)
        if bits(self.world.params) != before:
            raise self.world.mismatch("swap_ema has not put the parameters back")


def settings(spec: Spec, pair: Pair) -> dict[str, tuple[Any, ...]]:
    """Return what may be set in the middle of a run, by key."""
    return rules.changes(pair.model.rule, pair.model.defaults)


def tensor_text(value: Any, form: str) -> str:
    """Return an expression for a hyperparameter in a form that is accepted."""
    if form == "list" and isinstance(value, tuple):
        return repr(list(value))
    if (
        form not in ("tensor32", "tensor64", "row")
        or isinstance(value, (int, bool))
        or value is None
    ):
        return repr(value)
    dtype = torch.float32 if form == "tensor32" else torch.float64
    word = str(dtype).removeprefix("torch.")

    def one(x: Any) -> str:
        return repr(x) if x is None else f"tensor({[x] if form == 'row' else x!r}, {word})"

    if isinstance(value, tuple):
        return f"({', '.join(map(one, value))})"
    return one(value)
