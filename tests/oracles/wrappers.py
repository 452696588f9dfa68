"""Every wrapper, transcribed from shared/definitions.md; `transcriptions` runs them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from .algorithms import Array, State, norm, trust

Grads = list[Array | None]


class Wrapper:
    """A wrapper that does nothing; each of the following overrides what it is about."""

    raw = False  # it is about the gradients as they come, before l2 enters them
    takes_decay = False  # the step that it sees has the rule's decay in it

    def gradients(self, grads: Grads) -> Grads:
        """From all gradients of the optimizer to those that go on inwards; None: no step."""
        return [None if g is None else self.gradient(g) for g in grads]

    def gradient(self, g: Array) -> Any:
        return g

    def on_step(self, p: Array, g: Array, d: Array, lr: float) -> Any:
        """`g` is the gradient that came to this wrapper."""
        return d

    def after(self, p: Array, p_new: Array, s: State, t: int) -> Any:
        return p_new


# ------------------------------------------------------------------ on the gradient


class Centralize(Wrapper):
    """Yong et al. 2020: remove the mean over all dims but the first, from 2 dims up."""

    def gradient(self, g: Array) -> Any:
        if g.ndim < 2 or g.size == 0:
            return g
        return g - g.mean(axis=tuple(range(1, g.ndim)), keepdims=True)


class ClipNorm(Wrapper):
    """Pascanu et al. 2013 as torch.nn.utils.clip_grad_norm_ has it, over the whole optimizer.

    The norm of nothing is 0. A NaN anywhere is a NaN everywhere, as in torch.
    """

    raw = True

    def __init__(self, max_norm: float) -> None:
        self.max_norm = max_norm

    def gradients(self, grads: Grads) -> Grads:
        total = norm(np.array([norm(g) for g in grads if g is not None]))
        factor = np.minimum(self.max_norm / (total + 1e-6), 1.0)
        return [None if g is None else g * factor for g in grads]


class Accumulate(Wrapper):
    """The mean of n gradients; a step at every n-th gradient of a parameter, else none."""

    raw = True

    def __init__(self, n: int) -> None:
        self.n = n
        self.waiting: dict[int, list[Array]] = {}  # by the parameter's place

    def gradients(self, grads: Grads) -> Grads:
        means: Grads = []
        for i, g in enumerate(grads):
            mean = None
            if g is not None:
                kept = self.waiting.setdefault(i, [])
                kept.append(g)
                if len(kept) == self.n:
                    mean = np.mean(self.waiting.pop(i), axis=0)
            means.append(mean)
        return means


class SkipNonfinite(Wrapper):
    """As if the call had not been, when any gradient of the optimizer is not finite."""

    raw = True

    def __init__(self) -> None:
        self.skipped = 0

    def gradients(self, grads: Grads) -> Grads:
        if all(np.isfinite(g).all() for g in grads if g is not None):
            return grads
        self.skipped += 1
        return [None for _ in grads]


# ------------------------------------------------------------------ on the step


class Layerwise(Wrapper):
    """`lr * phi(|p|) * d/|d|`, d the wrapped rule's step; d itself where either norm is 0."""

    takes_decay = True

    def __init__(self, phi_bounds: tuple[float, float] | None = None) -> None:
        self.phi_bounds = phi_bounds

    def on_step(self, p: Array, g: Array, d: Array, lr: float) -> Any:
        ratio = trust(p, d, self.phi_bounds)
        return d if ratio is None else lr * ratio * d


class Cautious(Wrapper):
    """Liang et al. 2024: only where step and gradient agree, over the share that does."""

    def on_step(self, p: Array, g: Array, d: Array, lr: float) -> Any:
        if d.size == 0:
            return d
        product = d * g
        # 1[NaN > 0] would be 0, and a mask of 0 times NaN is NaN all the same: so is the step.
        mask = (product > 0).astype(np.float64)
        return d * mask / np.maximum(mask.mean(), 1e-3)


# ------------------------------------------------------------------ on the moved parameter


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


class Ema(Wrapper):
    """An average of the parameters after the step: the first is the first; `Oracle.averages`."""

    def __init__(self, decay: float) -> None:
        self.decay = decay

    def after(self, p: Array, p_new: Array, s: State, t: int) -> Any:
        s["average"] = p_new if t == 1 else self.decay * s["average"] + (1 - self.decay) * p_new
        return p_new


class Project(Wrapper):
    """The nearest point of a set, after the step: `onto` is one of the following three."""

    def __init__(self, onto: Callable[[Any], Any]) -> None:
        self.onto = onto

    def after(self, p: Array, p_new: Array, s: State, t: int) -> Any:
        return self.onto(p_new)


def box(lo: float, hi: float) -> Callable[[Any], Any]:
    return lambda p: np.clip(p, lo, hi)


def ball(r: float) -> Callable[[Any], Any]:
    """The Euclidean ball around 0, over the whole tensor."""

    def onto(p: Any) -> Any:
        length = norm(p)
        return p if length <= r else p * (r / length)

    return onto


def simplex() -> Callable[[Any], Any]:
    """Duchi et al. 2008, Figure 1: nothing negative, the whole tensor sums to 1."""

    def onto(p: Any) -> Any:
        p = np.asarray(p)
        if p.size == 0 or np.isnan(p).any() or np.isposinf(p).any():
            return p * np.nan  # nothing has no projection; a NaN has no place in the order
        p = p - p.max()  # changes nothing but the rounding
        mu = np.sort(p, axis=None)[::-1]
        excess = (np.cumsum(mu) - 1) / np.arange(1, p.size + 1)
        rho = np.flatnonzero(mu > excess)[-1]
        return np.maximum(p - excess[rho], 0.0)

    return onto


WRAPPERS: dict[str, type[Wrapper]] = {
    "accumulate": Accumulate,
    "cautious": Cautious,
    "centralize": Centralize,
    "clip_norm": ClipNorm,
    "ema": Ema,
    "layerwise": Layerwise,
    "lookahead": Lookahead,
    "project": Project,
    "skip_nonfinite": SkipNonfinite,
}
