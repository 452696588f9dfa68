"""AdamWR and SGDWR: AdamW and SGDW with warm restarts and a decay normalised for each cycle."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any

from . import rules
from .checkpoint import same_rule
from .optimizer import Optimizer
from .scheduler import Scheduler
from .schedules import from_dict, normalized_decay, warm_restarts


class Restarting(Optimizer):
    """An optimizer that carries its schedule: cosines with restarts on the learning rate.

    After each step it goes on to the next step's values by itself: no scheduler is to be called.
    `schedule.t` is the step, and a state_dict holds it.
    """

    schedule: Scheduler

    def _restart(self, t_0: float, t_mult: float, floor: float, peak_decay: float) -> None:
        self.schedule = Scheduler(
            self,
            lr=warm_restarts(t_0, t_mult=t_mult, floor=floor, peak_decay=peak_decay),
            weight_decay=normalized_decay(t_0, t_mult=t_mult),
        )

    def _step(self, closure: Callable[[], Any] | None = None) -> Any:
        out = super()._step(closure)
        self.schedule.step()
        return out

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Add a group, which follows the schedule from its own lr and weight_decay."""
        super().add_param_group(param_group)
        if hasattr(self, "schedule"):  # the first ones come before there is one
            self.schedule.step(self.schedule.t)

    def state_dict(self) -> dict[str, Any]:
        """As `Optimizer.state_dict`, with the schedule."""
        out = super().state_dict()
        out["glissade"]["schedule"] = self.schedule.state_dict()
        return out

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Take over a state_dict of this optimizer, and go on at its step.

        Raises:
            ValueError: groups, names, shapes or cycles that do not fit, the state_dict of an
                optimizer without restarts or of another rule; nothing is changed.
        """
        held = state_dict.get("glissade", {}).get("schedule")
        if held is None:
            raise ValueError(
                f"this state_dict has no schedule, which {type(self).__name__} needs: take "
                "glissade.Scheduler to give another optimizer restarts"
            )
        same_rule(state_dict, self.rule)
        before = self.schedule.state_dict()
        self.schedule.load_state_dict(held)
        try:
            super().load_state_dict(state_dict)
        except BaseException:
            self.schedule.load_state_dict(before)
            raise

    def __getstate__(self) -> dict[str, Any]:
        return {**super().__getstate__(), "schedule": self.schedule.state_dict()}

    def __setstate__(self, state: dict[str, Any]) -> None:
        held = state.pop("schedule", None)
        super().__setstate__(state)
        if held is not None:  # torch's load_state_dict comes by here, too, with less
            known = {key: from_dict(f) for key, f in held["schedules"].items()}
            self.schedule = Scheduler(self, **known)
            self.schedule.load_state_dict(held)


class AdamWR(Restarting):
    """AdamWR: AdamW with warm restarts, and a weight decay normalised for each cycle's length.

    .. math:: p \\leftarrow p - \\eta_t\\Big(lr\\,\\hat m/(\\sqrt{\\hat v}+\\epsilon) +
              \\frac{\\lambda_{norm}}{\\sqrt{T_i}}\\,p\\Big), \\qquad
              \\eta_t = floor + \\tfrac12(1-floor)(1+\\cos(\\pi\\,T_{cur}/T_i))

    The decay is "independent": it follows η, not lr, and is scheduled once.

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

    The decay is "independent": it follows η, not lr, and is scheduled once.

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
