"""NumPy float64 oracles: `make(name, shapes, lr=..., wrappers=..., **hyper)`.

The rules are in `algorithms`; decay, wrappers and presets are here.

Order within one step. Gradients, all of the optimizer at once, from the outermost wrapper inwards;
l2 enters them before the first wrapper that is not about the gradients as they come (`raw`). Where
one comes out as None there is no step: nothing of that parameter changes, nor is the step counted.
Then for each parameter: the rule; step wrappers, the innermost first; the other decays join the
step before the first that takes them, or last; `p <- p - step`; what acts on the moved parameter.
"""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any, Protocol

import numpy as np

from . import more_algorithms  # noqa: F401  (completes RULES)
from .algorithms import EPS_OF, RULES, Array, State
from .wrappers import WRAPPERS, Ema, Grads, SkipNonfinite

Shape = tuple[int, ...]
Wrappers = tuple[tuple[str, dict[str, Any]], ...]
DECAYS = ("l2", "decoupled", "independent", "corrected")


class Stepper(Protocol):
    """What every oracle offers, transcription or adapter."""

    def step(
        self,
        params: Sequence[Array],
        grads: Sequence[Array | None],
        lr: float | None = None,
        curvature: Sequence[Array] | None = None,
    ) -> list[Array]:
        """New parameters; a gradient of None leaves its parameter, state and step count alone.

        `curvature` is Sophia's estimate; the others do not look at it.
        """
        ...


class Oracle:
    """One rule with its wrappers over a list of parameters."""

    def __init__(
        self,
        name: str,
        shapes: Sequence[Shape],
        lr: float,
        wrappers: Wrappers,
        hyper: dict[str, Any],
    ) -> None:
        if name not in RULES:
            raise ValueError(f"unknown optimizer {name!r}: known are {sorted(RULES)}")
        self.rule, self.shapes, self.lr0 = RULES[name], list(shapes), lr
        allowed = {
            **self.rule.hyper,
            "variant": self.rule.variants[0],
            "maximize": False,
            "dtype": "float64",  # of the parameters; Adafactor takes its eps1 from it
        }
        if self.rule.decay is not None:
            allowed["decay"] = self.rule.decay
        if unknown := hyper.keys() - allowed.keys():
            raise TypeError(f"{name} has no {sorted(unknown)}: it has {sorted(allowed)}")
        self.h = SimpleNamespace(**{**allowed, **hyper}, lr0=lr)
        if self.h.variant not in self.rule.variants:
            raise ValueError(f"variant={self.h.variant!r}: {name} has {self.rule.variants}")
        if self.h.dtype not in EPS_OF:
            raise ValueError(f"dtype={self.h.dtype!r}: allowed are {sorted(EPS_OF)}")
        self.decay = getattr(self.h, "decay", None)
        if self.decay not in (*DECAYS, None):
            raise ValueError(f"decay={self.decay!r}: allowed are {DECAYS}")
        if self.decay in ("independent", "corrected") and self.h.weight_decay and lr == 0:
            raise ValueError(f"decay={self.decay!r} divides by the initial lr, which is 0")
        for kind, _ in wrappers:
            if kind not in WRAPPERS:
                raise ValueError(f"unknown wrapper {kind!r}: known are {sorted(WRAPPERS)}")
        self.wrappers = [WRAPPERS[kind](**options) for kind, options in wrappers]
        self.states = [State() for _ in shapes]
        self.wrapper_states = [[State() for _ in wrappers] for _ in shapes]
        self.t = [0 for _ in shapes]  # per parameter

    def decay_factor(self, lr: float) -> float:
        """What multiplies lambda*p in the step."""
        if self.decay == "decoupled":
            return lr
        if self.decay == "independent":
            return lr / self.lr0
        if self.decay == "corrected":
            return lr * (lr / self.lr0)
        raise AssertionError(self.decay)

    def step(
        self,
        params: Sequence[Array],
        grads: Sequence[Array | None],
        lr: float | None = None,
        curvature: Sequence[Array] | None = None,
    ) -> list[Array]:
        if len(params) != len(self.shapes) or len(grads) != len(self.shapes):
            raise ValueError(f"made for {len(self.shapes)} parameters")
        for i, (p, g) in enumerate(zip(params, grads, strict=True)):
            if np.shape(p) != self.shapes[i] or (g is not None and np.shape(g) != self.shapes[i]):
                raise ValueError(f"parameter {i} was declared with shape {self.shapes[i]}")
        self.h.lr = self.lr0 if lr is None else lr
        new = [np.array(p, dtype=np.float64) for p in params]
        with np.errstate(all="ignore"):  # NaN and infinity flow, they do not warn
            sign = -1.0 if self.h.maximize else 1.0
            came = [None if g is None else sign * np.array(g, dtype=np.float64) for g in grads]
            went, seen = self._gradients(new, came)
            for i, g in enumerate(went):
                if g is not None:
                    self.h.curvature = None if curvature is None else np.array(curvature[i])
                    new[i] = np.array(self._step_one(i, new[i], g, [at[i] for at in seen]))
        return new

    def _gradients(self, params: list[Array], grads: Grads) -> tuple[Grads, list[Grads]]:
        """What comes to the rule, and what comes to each wrapper."""

        def with_l2(grads: Grads) -> Grads:
            if self.decay != "l2" or self.h.weight_decay == 0:  # 0 is not `+ 0*p`: p may be inf
                return grads
            both = zip(params, grads, strict=True)
            return [None if g is None else g + self.h.weight_decay * p for p, g in both]

        seen, entered = [], False
        for w in reversed(self.wrappers):
            if not entered and not w.raw:
                grads, entered = with_l2(grads), True
            seen.append(grads)
            grads = w.gradients(grads)
        return grads if entered else with_l2(grads), seen[::-1]

    def _step_one(self, i: int, p: Array, g: Array, seen: list[Any]) -> Any:
        self.t[i] += 1
        t, h = self.t[i], self.h
        d = self.rule.step(p, g, self.states[i], t, h)
        decays = h.weight_decay != 0 and self.decay not in ("l2", None)
        for w, at in zip(self.wrappers, seen, strict=True):
            if decays and w.takes_decay:
                d, decays = d + self.decay_factor(h.lr) * h.weight_decay * p, False
            d = w.on_step(p, at, d, h.lr)
        if decays:
            d = d + self.decay_factor(h.lr) * h.weight_decay * p
        p_new = p - d
        for w, s in zip(self.wrappers, self.wrapper_states[i], strict=True):
            p_new = w.after(p, p_new, s, t)
        return p_new

    def averages(self) -> list[Array | None]:
        """What `ema` keeps, by parameter; None where there was no step yet."""
        (place,) = [k for k, w in enumerate(self.wrappers) if isinstance(w, Ema)]
        return [states[place].get("average") for states in self.wrapper_states]

    @property
    def skipped(self) -> int:
        """How many calls `skip_nonfinite` has skipped."""
        return sum(w.skipped for w in self.wrappers if isinstance(w, SkipNonfinite))


def ranger(hyper: dict[str, Any]) -> tuple[str, Wrappers, dict[str, Any]]:
    """Wright 2019: RAdam (`paper`) in Lookahead with k=6; official: see definitions.md."""
    hyper = dict(hyper)
    look = {"k": hyper.pop("k", 6), "alpha": hyper.pop("alpha", 0.5)}
    variant = hyper.pop("variant", "paper")
    if variant == "paper":
        return "radam", (("lookahead", look),), {"variant": "paper", **hyper}
    if variant == "official":  # rho > 5 and epsilon on the raw root: radam's `torch` variant
        settings = {"variant": "torch", "betas": (0.95, 0.999), "eps": 1e-5, **hyper}
        return "radam", (("centralize", {}), ("lookahead", look)), settings
    raise ValueError(f"variant={variant!r}: ranger has ('paper', 'official')")


def ralamb(hyper: dict[str, Any]) -> tuple[str, Wrappers, dict[str, Any]]:
    """layerwise(radam)"""
    hyper = dict(hyper)
    phi = {"phi_bounds": hyper.pop("phi_bounds", None)}
    if (variant := hyper.setdefault("variant", "paper")) != "paper":
        raise ValueError(f"variant={variant!r}: this preset has ('paper',)")
    return "radam", (("layerwise", phi),), hyper


def rangerlars(hyper: dict[str, Any]) -> tuple[str, Wrappers, dict[str, Any]]:
    """lookahead(layerwise(radam), k=6)"""
    hyper = dict(hyper)
    look = {"k": hyper.pop("k", 6), "alpha": hyper.pop("alpha", 0.5)}
    name, wrappers, hyper = ralamb(hyper)
    return name, (*wrappers, ("lookahead", look)), hyper


PRESETS = {
    "ranger": ranger,
    "ralamb": ralamb,
    "rangerlars": rangerlars,
    "ranger_lars": rangerlars,
}


def make(
    name: str,
    shapes: Sequence[Shape],
    *,
    lr: float,
    wrappers: Wrappers = (),
    **hyper: Any,
) -> Oracle:
    """An oracle by name. `wrappers` are (name, options), the innermost first; `lr` is lr0."""
    inner: Wrappers = ()
    if name in PRESETS:
        name, inner, hyper = PRESETS[name](hyper)
    return Oracle(name, shapes, lr, (*inner, *wrappers), hyper)
