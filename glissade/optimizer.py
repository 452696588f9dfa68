"""The front end: one `torch.optim.Optimizer` that runs any rule."""

from __future__ import annotations

import contextlib
import copy
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, NoReturn

import torch
from torch import Tensor

from . import checks, curvature, inputs
from . import offload as offloading
from .admission import admit, still_fit, warn_if_idle
from .backend import select
from .backend.member import real
from .base import Base
from .checkpoint import ENTRY, VERSION, prepared, restored
from .held import held
from .lineup import LineUp
from .program import Programs
from .rule import Rule
from .settings import OTHERS, check_alike, check_flags
from .states import States


class Optimizer(Base):
    """Runs `rule` on parameters: each step is as few passes over memory as the rule allows.

    Args:
        params: parameters, ``(name, parameter)`` pairs, or dicts of either with hyperparameters
            of their own, as for any ``torch.optim`` optimizer.
        rule: what to compute, from `glissade.rules`, `glissade.wrappers` or your own
            (`glissade.rule.Rule`); it brings the hyperparameters.
        maximize: step up the gradient instead of down.
        capturable: as in torch; for tensors that a CUDA graph can capture.
        differentiable: let autograd run through the step (on the eager backend).
        foreach, fused: accepted so that a call can be moved over from torch; they change nothing.
        backend: ``None`` picks the fastest for each parameter; ``"cpu"`` (compiled with LLVM),
            ``"triton"`` (compiled for CUDA) or ``"eager"`` (torch operations; any device and dtype)
            works for all or raises.
        state_dtype: what states with a value for each element are kept in: ``"bfloat16"`` takes
            half the memory, ``"int8"`` a quarter (blocks of 256 codes with a scale each, in tensors
            of at least 4,096 elements); a dict says it of single states, by their names. None is
            ``"float32"`` (float64 for parameters of float64). A group may have its own (put
            another dict there to change it: the one given is copied). Such states are rounded up
            or down at random, right in the mean.
        stochastic_rounding: round parameters of bfloat16 so, too; without it to the nearest, and
            changes of less than a 500th of a parameter are lost.
        rounding_seed: of that noise, which is the same for any backend and number of threads.
        offload: ``"cpu"`` keeps the state of parameters on a GPU in the cpu's memory, and takes the
            steps there; those of half precision get `wrappers.master_weights`.

    Raises:
        ValueError: an empty or repeated parameter, a hyperparameter out of range, an unknown
            backend or one that cannot run a parameter.
        TypeError: integer parameters, an unknown keyword.
        RuleError: a rule that cannot be traced.

    >>> import torch, glissade
    >>> model = torch.nn.Linear(4, 1)
    >>> opt = glissade.Optimizer(model.parameters(), glissade.rules.adamw(lr=1e-3))
    >>> model(torch.ones(2, 4)).sum().backward()
    >>> opt.step()
    """

    @property
    def _step_supports_amp_scaling(self) -> bool:
        """torch's GradScaler asks: whether the step takes its scale, and leaves bad steps out."""
        return all(group["capturable"] for group in self.param_groups)

    def __init__(
        self,
        params: Iterable[Any],
        rule: Rule,
        *,
        maximize: bool = False,
        capturable: bool = False,
        differentiable: bool = False,
        foreach: bool | None = None,
        fused: bool | None = None,
        backend: str | None = None,
        state_dtype: Any = None,
        stochastic_rounding: bool = False,
        rounding_seed: int = 0,
        offload: str | None = None,
        **unknown: NoReturn,
    ) -> None:
        if not isinstance(rule, Rule):
            raise TypeError(f"rule={rule!r}: allowed is a Rule, such as glissade.rules.adamw()")
        if unknown:
            known = [key for made in (type(self), Optimizer) for key in checks.named(made)]
            raise TypeError(checks.misplaced(type(self).__name__, unknown, known, rule))
        select.known(backend)
        offloading.known(offload)
        if offload is not None:
            params = offloading.listed(params)
            rule = offloading.with_masters(rule, params)
        self.rule = rule
        self.backend = backend
        self.offload = offload
        self._offload = None if offload is None else offloading.Offload()
        self._programs = Programs(rule)
        self._line: LineUp | None = None  # taken anew by the next step
        self.curvature_cost = curvature.Cost()
        self._swapped = False  # whether averages stand in the parameters' place
        flags = {
            "maximize": maximize,
            "foreach": foreach,
            "capturable": capturable,
            "differentiable": differentiable,
            "fused": fused,
            "state_dtype": copy.copy(state_dtype),  # a dict that the caller may change later
            "stochastic_rounding": stochastic_rounding,
            "rounding_seed": rounding_seed,
        }
        super().__init__(params, {**rule.hyper, **flags})
        warn_if_idle(rule, self.param_groups)
        self.state: Any = States()

    def __repr__(self) -> str:
        return (
            super()
            .__repr__()
            .replace(type(self).__name__, f"{type(self).__name__}[{self.rule.name}]", 1)
        )

    # Groups

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Add a group with hyperparameters of its own; nothing is changed if it is refused."""
        if not isinstance(param_group, dict):
            raise TypeError(f"a parameter group is a dict, not a {type(param_group).__name__}")
        group = dict(param_group)
        given = group.get("params", [])
        group["params"] = [given] if isinstance(given, Tensor) else list(given)
        params = [p[1] if isinstance(p, tuple) else p for p in group["params"]]
        flags = {key: group.get(key, self.defaults[key]) for key in OTHERS[:-1]}
        self.rule.check({k: v for k, v in group.items() if k in (*self.rule.hyper, "base_lr")})
        check_flags(flags)
        for key in set(group) - {*self.defaults, "params", "param_names", "base_lr"}:
            hint = checks.nearest(key, self.defaults)
            if hint:  # other keys are the user's own notes on the group
                raise TypeError(f"unknown hyperparameter {key!r} in a parameter group{hint}")
        admit(
            params,
            self.rule,
            {**self.defaults, **group},
            self.backend,
            self.offload,
            f"of group {len(self.param_groups)}",
            {id(p) for g in self.param_groups for p in g["params"]},
        )
        super().add_param_group(group)
        group = self.param_groups[-1]
        group.setdefault("base_lr", checks.plain(group["lr"]))
        group["state_dtype"] = copy.copy(group["state_dtype"])
        for key in self.rule.shared:  # the optimizer has it once
            group[key] = self.param_groups[0][key]
        try:
            check_alike(self.rule, self.param_groups)
            if group["capturable"] and set(self.rule.shared) - {self.rule.skips}:
                raise ValueError(
                    f"capturable=True, but {self.rule.name} counts on the host, for all parameters "
                    "at once: leave capturable out"
                )
            kinds = {(p.is_complex(), real(p.detach()).shape) for p in params}
            for complex_, shape in kinds if not self.rule.matrix else ():
                program = self._programs.of(group, shape)
                if complex_ and program.trace.rank_matters:
                    raise ValueError(
                        f"{self.rule.name} tells rows, columns or slices apart, which complex "
                        "numbers have not got here, kept as pairs of real ones: give it "
                        "torch.view_as_real(parameter), or take another optimizer"
                    )
                if group["capturable"] and program.totals:
                    raise ValueError(
                        f"capturable=True, but {self.rule.name} takes totals over all tensors, "
                        "which the host adds up: leave capturable out"
                    )
        except BaseException:
            self.param_groups.pop()
            raise
        self._line = None

    # Stepping

    def _step(self, closure: Callable[[], Any] | None = None) -> Any:
        if self._swapped:
            self._refuse_swapped("step()")
        if self.rule.inputs:
            inputs.check_fed(self.rule, self.param_groups)
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        if torch.is_inference_mode_enabled():  # states made in it could be written in it alone
            with torch.inference_mode(False):
                self._take()
        else:
            self._take()
        return loss

    def _take(self) -> None:
        line = self._lined_up()
        found = self.__dict__.get("found_inf")  # torch's GradScaler is at work
        if found is not None or line.found_inf is not None:
            line.scaled(found, self.__dict__.get("grad_scale"))
        if not (self._followed or self.rule.inputs):
            line.step()
            return
        with held():
            line.step()
            self._follow()

    _followed = False  # whether anything beside states goes with a step

    def _follow(self) -> None:
        """What goes with a step, and is not parted from it by a signal."""
        inputs.grow_old(self.rule, self.param_groups)

    def _lined_up(self) -> LineUp:
        line = self._line
        if line is None or line.stale(self.param_groups, self.state):
            line = self._line = self._line_up()
        return line

    def _line_up(self) -> LineUp:
        for number, group in enumerate(self.param_groups):
            where = f"of group {number}"
            still_fit(group["params"], self.rule, group, self.backend, self.offload, where)
        if not isinstance(self.state, States):
            self.state = States(self.state)
        return LineUp(self._programs, self.backend, self.param_groups, self.state, self._offload)

    # Curvature

    def update_curvature(
        self, closure: Callable[[], Any], *, generator: torch.Generator | None = None
    ) -> Any:
        """Estimate the curvature anew, for a rule that reads it (Sophia).

        Due before the first step, and every ``k`` steps. No gradient is touched;
        ``optimizer.curvature_cost`` counts the passes.

        Args:
            closure: computes and returns, on a batch, the logits of shape (..., classes) where the
                group's ``estimator`` is "gnb", the loss where it is "hutchinson". It must not call
                ``backward``.
            generator: what draws labels or probes; None is torch's own.

        Returns:
            What the closure returned.

        Raises:
            TypeError: the rule reads no curvature, or the closure is no function.
            ValueError: the closure returned something else; groups with different estimators.
        """
        if "curvature" not in self.rule.inputs:
            raise TypeError(f"{self.rule.name} reads no curvature: leave update_curvature out")
        if not callable(closure):
            raise TypeError(
                f"update_curvature({closure!r}): it takes a function that returns logits or loss"
            )
        names = {group["estimator"] for group in self.param_groups}
        if len(names) > 1:
            raise ValueError(f"groups with different estimators, {sorted(names)}: give them one")
        (name,) = names
        params = [p for group in self.param_groups for p in group["params"]]
        out, values = curvature.estimate(name, closure, params, generator)
        self.feed("curvature", values)
        self.curvature_cost = self.curvature_cost.plus(*curvature.ESTIMATORS[name][1:])
        return out

    def feed(self, name: str, values: Sequence[Tensor]) -> None:
        """Give an input that the rule reads, such as a curvature estimated in some other way.

        Args:
            name: of the input.
            values: one tensor for each parameter, in their order and of their shapes.

        Raises:
            TypeError: the rule has no such input.
            ValueError: values that do not fit; nothing is changed.
        """
        if name not in self.rule.inputs:
            known = ", ".join(self.rule.inputs) or "none"
            raise TypeError(f"{self.rule.name} has no input {name!r}; it has {known}")
        params = [p for group in self.param_groups for p in group["params"]]
        given, wanted = [tuple(x.shape) for x in values], [tuple(p.shape) for p in params]
        if given != wanted:
            raise ValueError(f"{name} of shapes {given}; allowed are the parameters', {wanted}")
        self._lined_up().put(name, values)
        for group in self.param_groups:
            group[f"{name}_age"] = 0

    # State

    @contextlib.contextmanager
    def swap_ema(self) -> Iterator[None]:
        """Put the averages that `glissade.wrappers.ema` keeps in the parameters' place, for as long
        as the block lasts.

        Raises:
            RuntimeError: there are no averages, or they are in place already.
        """
        averages = {
            p: state["ema_average"] for p, state in self.state.items() if "ema_average" in state
        }
        if not averages:
            raise RuntimeError(
                "swap_ema(): no average is kept; wrap the rule in glissade.wrappers.ema, and take "
                "a step"
            )
        self._refuse_swapped("swap_ema()")
        held = {p: real(p.detach()).clone() for p in averages}
        self._swapped = True
        try:
            _put(averages)
            yield
        finally:
            _put(held)
            self._swapped = False

    def _refuse_swapped(self, what: str) -> None:
        if self._swapped:
            raise RuntimeError(f"{what} inside of swap_ema(): the parameters are averages there")

    def state_dict(self) -> dict[str, Any]:
        """As torch's, with each parameter's state as a plain dict, and under "glissade" the
        format's version and the rule's name."""
        self._refuse_swapped("state_dict()")
        out = super().state_dict()
        out["state"] = {k: dict(v) for k, v in out["state"].items()}
        out[ENTRY] = {"version": VERSION, "rule": self.rule.name}
        return out

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Take over a state_dict of this optimizer, or of the torch optimizer it replaces.

        Parameters are matched by name where both sides know names, else by position. States are
        copied, in the dtype they are kept in here.

        Raises:
            ValueError, TypeError: another rule's state, groups, names, shapes or values that do not
                fit, by name; nothing is changed.
        """
        self._refuse_swapped("load_state_dict()")
        ready = prepared(state_dict, self.param_groups, self._programs)
        for number, group in enumerate(ready["param_groups"]):
            params = self.param_groups[number]["params"]
            where = f"of group {number}"
            still_fit(params, self.rule, group, self.backend, self.offload, where)
        super().load_state_dict(ready)
        self.state = States(self.state)
        ids = [i for group in ready["param_groups"] for i in group["params"]]
        params = [p for group in self.param_groups for p in group["params"]]
        for i, p in zip(ids, params, strict=True):
            if i in ready["state"]:
                self.state[p] = restored(ready["state"][i])
        self._line = None

    def __getstate__(self) -> dict[str, Any]:
        out = super().__getstate__()
        out["state"] = defaultdict(dict, {p: dict(s) for p, s in self.state.items()})
        return {**out, "rule": self.rule, "backend": self.backend, "offload": self.offload}

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        self._swapped = False
        if not hasattr(self, "curvature_cost"):
            self.curvature_cost = curvature.Cost()
        if not hasattr(self, "_programs"):
            self._programs = Programs(self.rule)
        self._line = None
        self.offload = getattr(self, "offload", None)
        self._offload = None if self.offload is None else offloading.Offload()


@torch.no_grad()
def _put(values: Mapping[Tensor, Tensor]) -> None:
    """Give parameters values."""
    for p, value in values.items():
        real(p).copy_(value)
