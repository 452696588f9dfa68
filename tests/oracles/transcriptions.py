"""NumPy float64 oracles: `make(name, shapes, lr=..., wrappers=..., **hyper)`.

The rules are in `algorithms`; decay, wrappers and presets are here.

Order within one step, for one parameter: l2 enters the gradient; gradient wrappers; the rule; the
other decays join the step; step wrappers, the innermost first; `p <- p - step`; what acts on the
moved parameter.
"""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any, Protocol

import numpy as np

from .algorithms import EPS_OF, RULES, Array, State, trust

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
    ) -> list[Array]:
        """New parameters; a gradient of None leaves its parameter, state and step count alone."""
        ...


class Wrapper:
    """A wrapper that does nothing; each of the following overrides what it is about."""

    def gradient(self, g: Array) -> Any:
        return g

    def on_step(self, p: Array, d: Array, lr: float) -> Any:
        return d

    def after(self, p: Array, p_new: Array, s: State, t: int) -> Any:
        return p_new


class Centralize(Wrapper):
    """Yong et al. 2020: remove the mean over all dims but the first, from 2 dims up."""

    def gradient(self, g: Array) -> Any:
        if g.ndim < 2 or g.size == 0:
            return g
        return g - g.mean(axis=tuple(range(1, g.ndim)), keepdims=True)


class Layerwise(Wrapper):
    """`lr * phi(|p|) * d/|d|`, d the wrapped rule's step; d itself where either norm is 0."""

    def __init__(self, phi_bounds: tuple[float, float] | None = None) -> None:
        self.phi_bounds = phi_bounds

    def on_step(self, p: Array, d: Array, lr: float) -> Any:
        ratio = trust(p, d, self.phi_bounds)
        return d if ratio is None else lr * ratio * d


class Lookahead(Wrapper):
    """Zhang et al. 2019: every k steps the slow weights move alpha of the way to the fast ones."""

    def __init__(self, k: int = 5, alpha: float = 0.5) -> None:
        self.k, self.alpha = k, alpha

    def after(self, p: Array, p_new: Array, s: State, t: int) -> Any:
        if t == 1:
            s["slow"] = p  # the parameter before the first step
        if t % self.k == 0:
            s["slow"] = s["slow"] + self.alpha * (p_new - s["slow"])
            return s["slow"]
        return p_new


WRAPPERS: dict[str, type[Wrapper]] = {
    "centralize": Centralize,
    "layerwise": Layerwise,
    "lookahead": Lookahead,
}


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
    ) -> list[Array]:
        if len(params) != len(self.shapes) or len(grads) != len(self.shapes):
            raise ValueError(f"made for {len(self.shapes)} parameters")
        new = []
        for i, (p, g) in enumerate(zip(params, grads, strict=True)):
            p = np.array(p, dtype=np.float64)
            if p.shape != self.shapes[i] or (g is not None and np.shape(g) != self.shapes[i]):
                raise ValueError(f"parameter {i} was declared with shape {self.shapes[i]}")
            if g is not None:
                with np.errstate(all="ignore"):  # NaN and infinity flow, they do not warn
                    g64 = np.array(g, dtype=np.float64)
                    p = self._step_one(i, p, g64, self.lr0 if lr is None else lr)
            new.append(np.array(p, dtype=np.float64))
        return new

    def _step_one(self, i: int, p: Array, g: Array, lr: float) -> Any:
        self.t[i] += 1
        t, h = self.t[i], self.h
        h.lr = lr
        if h.maximize:
            g = -g
        decays = h.weight_decay != 0  # as torch: no decay at all is not `+ 0*p` (p may be inf)
        if decays and self.decay == "l2":
            g = g + h.weight_decay * p
        for w in self.wrappers:
            g = w.gradient(g)
        d = self.rule.step(p, g, self.states[i], t, h)
        if decays and self.decay not in ("l2", None):
            d = d + self.decay_factor(lr) * h.weight_decay * p
        for w in self.wrappers:
            d = w.on_step(p, d, lr)
        p_new = p - d
        for w, s in zip(self.wrappers, self.wrapper_states[i], strict=True):
            p_new = w.after(p, p_new, s, t)
        return p_new


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
