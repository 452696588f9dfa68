"""Snapshots: the weights at the end of each cycle of a schedule with restarts, and their means."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim.swa_utils import update_bn

from .checks import is_number, plain
from .restarts import Restarting
from .scheduler import Scheduler
from .schedules import Schedule
from .schedules.cycles import cycle

Weights = dict[str, Tensor]
_NAME = re.compile(r"snapshot-(\d+(?:\.\d+)?)\.safetensors")


class Snapshots:
    """Keep a model's weights at the end of each cycle, where the learning rate is at its least.

    Call `step()` after each of the optimizer's (and the scheduler's) steps. A Scheduler or an
    optimizer with restarts that passes the end of a cycle takes the snapshot at once, before the
    weights move on: it may count epochs or parts of them, and go by more than 1.

    Args:
        model: whose weights and buffers are kept.
        cycles: what says where cycles end: a `glissade.AdamWR` or `SGDWR`, a `glissade.Scheduler`
            whose lr is `warm_restarts` (or `warmup` and then these), such a schedule itself, or a
            number of steps.
        folder: None keeps snapshots in memory (on the model's device); a folder keeps each as a
            safetensors file that is whole or not there.
        resume: go on with the snapshots that the folder holds; without it they are a ValueError.

    Raises:
        TypeError, ValueError: cycles that are none of these; a folder with snapshots of another
            run, or of another model.

    >>> import torch, glissade
    >>> from glissade.snapshots import Snapshots
    >>> model = torch.nn.Linear(4, 1)
    >>> optimizer = glissade.AdamWR(model.parameters(), lr=0.1, t_0=10)
    >>> snapshots = Snapshots(model, optimizer)
    >>> for _ in range(25):
    ...     optimizer.step()
    ...     ended = snapshots.step()
    >>> snapshots.steps
    [10, 20]

    Source: Loshchilov & Hutter 2017, arXiv:1608.03983, section 4.2; Huang et al. 2017,
    arXiv:1704.00109.
    """

    def __init__(
        self,
        model: nn.Module,
        cycles: Any,
        *,
        folder: str | os.PathLike[str] | None = None,
        resume: bool = False,
    ) -> None:
        self.model = model
        self._scheduler = cycles.schedule if isinstance(cycles, Restarting) else plain(cycles)
        self._cycle = _cycle(self._scheduler)
        self._t: float = 0
        self._ended = False  # a cycle, since `step` was last called
        self._held: dict[float, Weights] = {}
        self.folder = None if folder is None else Path(folder)
        if self.folder is not None:
            self.folder.mkdir(parents=True, exist_ok=True)
            self._check_there(self.folder, resume)
        if isinstance(self._scheduler, Scheduler):
            self._scheduler.watch(self)

    def _check_there(self, folder: Path, resume: bool) -> None:
        """Raise ValueError if there are snapshots that are not this run's."""
        steps = self.steps
        if not steps:
            return
        if not resume:
            raise ValueError(
                f"folder {str(folder)!r} holds snapshots of steps {_some(steps)} already, which "
                "would count as this run's: give another folder, or resume=True to go on with them"
            )
        wanted = {k: (str(v.dtype), tuple(v.shape)) for k, v in self.model.state_dict().items()}
        there = {k: (str(v.dtype), tuple(v.shape)) for k, v in self.weights(steps[-1]).items()}
        for name in (*wanted, *there):
            if wanted.get(name) != there.get(name):
                raise ValueError(
                    f"folder {str(folder)!r} holds snapshots of another model: there {name!r} is "
                    f"{_tensor(there.get(name))}, here {_tensor(wanted.get(name))}: give another "
                    "folder"
                )

    # Taking them

    @property
    def t(self) -> float:
        """Return the step: the scheduler's, or how often `step` was called."""
        return self._scheduler.t if isinstance(self._scheduler, Scheduler) else self._t

    def step(self) -> bool:
        """Take a snapshot if a cycle has just ended; return whether one has since the last call."""
        self._t += 1
        if not isinstance(self._scheduler, Scheduler):
            self.moved(self._t - 1, self._t)
        ended, self._ended = self._ended, False
        return ended

    def moved(self, before: float, after: float) -> None:
        """Take a snapshot if a cycle ended between two steps: schedulers call it."""
        if self._cycle(after) > self._cycle(max(0, before)):
            self.take()
            self._ended = True

    @torch.no_grad()
    def take(self) -> None:
        """Take a snapshot now."""
        # clone: a file may not hold memory that two names share, as tied weights do
        now = {k: v.detach().clone().contiguous() for k, v in self.model.state_dict().items()}
        if self.folder is None:
            self._held[_whole(self.t)] = now
            return
        path = self.folder / _file(self.t)
        part = path.with_suffix(f".{os.getpid()}.part")
        try:
            _safetensors().save_file(now, part, metadata={"step": str(_whole(self.t))})
            os.replace(part, path)
        finally:
            part.unlink(missing_ok=True)

    # Reading them

    @property
    def steps(self) -> list[float]:
        """Return the steps at which they were taken, in order: whole ones as int."""
        if self.folder is None:
            return sorted(self._held)
        found = (_NAME.fullmatch(path.name) for path in self.folder.iterdir())
        return sorted(_whole(float(name[1])) for name in found if name)

    def __len__(self) -> int:
        return len(self.steps)

    def weights(self, step: float) -> Weights:
        """Return the state_dict of the model at the snapshot of this step.

        Raises:
            KeyError: there is none.
        """
        if step not in self.steps:
            raise KeyError(f"no snapshot of step {step!r}; there are those of {self.steps}")
        if self.folder is None:
            return self._held[step]
        path = self.folder / _file(step)
        loaded: Weights = _safetensors().load_file(path)
        return loaded

    def _last(self, last: int | None) -> list[float]:
        steps = self.steps
        if not steps:
            raise ValueError("there is no snapshot yet: the first cycle has not ended")
        if last is not None and not 1 <= last <= len(steps):
            raise ValueError(
                f"last={last!r}: must be 1 to {len(steps)}, as many as there are snapshots"
            )
        return steps if last is None else steps[-last:]

    @contextmanager
    def loaded(self, step: float) -> Iterator[nn.Module]:
        """Give the model the weights of a snapshot, for as long as the block lasts."""
        now = {k: v.detach().clone() for k, v in self.model.state_dict().items()}
        try:
            self.model.load_state_dict(self.weights(step))
            yield self.model
        finally:
            self.model.load_state_dict(now)

    @torch.no_grad()
    def predict(self, function: Callable[[nn.Module], Tensor], last: int | None = None) -> Tensor:
        """Return the mean, over the snapshots, of a function of the model in eval mode.

        Args:
            function: takes the model and returns predictions of one shape: probabilities, say, by
                ``lambda model: model(x).softmax(1)``.
            last: only so many of the latest snapshots.

        Raises:
            ValueError: no snapshots, or not so many.
        """
        total: Tensor | None = None
        steps = self._last(last)
        modes = [(module, module.training) for module in self.model.modules()]
        self.model.eval()
        try:
            for step in steps:
                with self.loaded(step) as model:
                    out = function(model).detach().double()
                    total = out if total is None else total + out
        finally:
            for module, mode in modes:
                module.training = mode
        assert total is not None
        return total / len(steps)

    @torch.no_grad()
    def average(self, last: int | None = None) -> Weights:
        """Return the mean of the weights as a state_dict; integers are the latest snapshot's.

        Batch-norm statistics of such a mean are those of no model: call `update_bn` after loading.

        Raises:
            ValueError: no snapshots, or not so many.
        """
        all_of = [self.weights(step) for step in self._last(last)]
        return {
            name: _mean([weights[name] for weights in all_of])
            if latest.is_floating_point() or latest.is_complex()
            else latest.clone()
            for name, latest in all_of[-1].items()
        }

    # State, of what is in memory

    def state_dict(self) -> dict[str, Any]:
        """Return the step, and the snapshots if they are in memory."""
        return {"t": self._t, "snapshots": {step: dict(x) for step, x in self._held.items()}}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Go on where another one was."""
        self._t = state_dict["t"]
        self._held = {_whole(float(t)): dict(x) for t, x in state_dict["snapshots"].items()}


def recompute_batch_norm(
    model: nn.Module, loader: Iterable[Any], device: torch.device | str | None = None
) -> None:
    """Batch-norm statistics anew, from one pass over the data in train mode.

    Args:
        model: whose running means and variances are set; the mean over all batches, with
            any momentum of the layers.
        loader: batches, or tuples whose first is the model's input.
        device: where batches go; None leaves them.

    Raises:
        ValueError: the model has batch norm, and the loader is empty.

    >>> import torch, glissade
    >>> model = torch.nn.BatchNorm1d(1)
    >>> glissade.snapshots.recompute_batch_norm(model, [torch.tensor([[1.0], [3.0]])])
    >>> model.running_mean.item()
    2.0

    Source: Izmailov et al. 2018, arXiv:1803.05407, by `torch.optim.swa_utils.update_bn`.
    """
    layers = [m for m in model.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
    kept = any(layer.running_mean is not None for layer in layers)
    batches = iter(loader)
    first = next(batches, None)
    if first is None and kept:
        raise ValueError("the loader is empty: batch-norm statistics need data")
    if first is not None:
        update_bn(_chain(first, batches), model, device)  # type: ignore[arg-type]


def _chain(first: Any, rest: Iterator[Any]) -> Iterator[Any]:
    yield first
    yield from rest


def _mean(values: list[Tensor]) -> Tensor:
    """In double precision, and back."""
    wide = torch.complex128 if values[0].is_complex() else torch.float64
    return torch.stack([x.to(wide) for x in values]).mean(0).to(values[0].dtype)


def _whole(t: float) -> float:
    """Return a step as an int if it is one."""
    return int(t) if float(t).is_integer() else t


def _file(t: float) -> str:
    """Return the name of the file of a step, with all digits of a fraction."""
    whole, _, rest = np.format_float_positional(float(t), trim="-").partition(".")
    return f"snapshot-{int(whole):08d}{'.' + rest if rest else ''}.safetensors"


def _some(steps: list[float]) -> str:
    return ", ".join(map(str, steps)) if len(steps) < 5 else f"{steps[0]} to {steps[-1]}"


def _tensor(kind: tuple[str, tuple[int, ...]] | None) -> str:
    return "missing" if kind is None else f"a {kind[0]} of shape {kind[1]}"


def _cycle(cycles: Any) -> Callable[[float], int]:
    """Return a function of the step: how many cycles have ended before it."""
    of = cycles
    if isinstance(cycles, Scheduler):
        of = cycles.schedules.get("lr")
    if isinstance(of, Schedule) and (found := _cycle_of(of)) is not None:
        return found
    if is_number(of) and of >= 1 and float(of).is_integer():
        return lambda t: int(t // of)
    said = f"cycles={cycles!r}"
    if isinstance(cycles, torch.optim.Optimizer):
        said = f"cycles is an optimizer ({type(cycles).__name__}), which has no cycles by itself"
    elif isinstance(cycles, Scheduler):
        said = f"cycles is a Scheduler with lr={of!r}"
    raise (ValueError if is_number(of) else TypeError)(
        f"{said}: must be an AdamWR or SGDWR, the glissade.Scheduler that drives the optimizer "
        "with lr=warm_restarts(...) or lr=warmup(n, warm_restarts(...)), such a schedule, or a "
        "whole number of steps"
    )


def _cycle_of(schedule: Schedule) -> Callable[[float], int] | None:
    """Return the same for a schedule; None if it has no cycles."""
    values = schedule.values
    if schedule.name == "warmup":
        inner, first = _cycle_of(values["schedule"]), values["steps"]
        return None if inner is None else lambda t: inner(max(0.0, t - first))
    if schedule.name != "warm_restarts":
        return None
    t_0, t_mult = values["t_0"], values["t_mult"]
    return lambda t: cycle(t, t_0, t_mult)[0]


def _safetensors() -> Any:
    try:
        import safetensors.torch
    except ModuleNotFoundError:
        raise ModuleNotFoundError(
            "snapshots in files need safetensors: pip install 'glissade[study]'"
        ) from None
    return safetensors.torch
