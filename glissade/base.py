"""torch's optimizer, without what it costs before any work is done."""

from __future__ import annotations

import functools
import itertools
import sys
from collections.abc import Callable
from typing import Any, TypeVar, cast

import torch
from torch.autograd import profiler
from torch.optim import optimizer as torch_optimizer

Method = TypeVar("Method", bound=Callable[..., Any])


def _without_compiler(method: Method) -> Method:
    """A method of torch's that hides itself from torch.compile, and to do so imports it: more than
    a second, at the first call. As long as nobody has imported it there is nothing to hide from."""
    plain = getattr(method, "__wrapped__", method)

    @functools.wraps(method)
    def called(*args: Any, **kwargs: Any) -> Any:
        known = "torch._dynamo" in sys.modules
        return (method if known else plain)(*args, **kwargs)

    return cast(Method, called)


class Base(torch.optim.Optimizer):
    """What `Optimizer` has in common with any other: groups, hooks, state_dict."""

    add_param_group = _without_compiler(torch.optim.Optimizer.add_param_group)
    load_state_dict = _without_compiler(torch.optim.Optimizer.load_state_dict)
    state_dict = _without_compiler(torch.optim.Optimizer.state_dict)
    zero_grad = _without_compiler(torch.optim.Optimizer.zero_grad)

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """One step for every parameter with a gradient; returns the closure's loss, if any.

        Raises:
            ValueError: a gradient that is sparse, or of another shape, dtype or device.
        """
        if (
            self._optimizer_step_pre_hooks
            or self._optimizer_step_post_hooks
            or torch_optimizer._global_optimizer_pre_hooks
            or torch_optimizer._global_optimizer_post_hooks
            or profiler._is_profiler_enabled
        ):
            return self._hooked_step(closure)
        return self._step(closure)

    # torch wraps `step` in a profiler record and a look for hooks that cost more than a small
    # model's whole step here. This says that it is done; _hooked_step does it when there is need.
    step.hooked = True  # type: ignore[attr-defined]

    def _hooked_step(self, closure: Callable[[], Any] | None) -> Any:
        args: tuple[Any, ...] = (self,) if closure is None else (self, closure)
        kwargs: dict[str, Any] = {}
        with profiler.record_function(f"Optimizer.step#{type(self).__name__}.step"):
            for hook in itertools.chain(
                torch_optimizer._global_optimizer_pre_hooks.values(),
                self._optimizer_step_pre_hooks.values(),
            ):
                result = hook(self, args, kwargs)
                if result is not None:
                    if not isinstance(result, tuple) or len(result) != 2:
                        raise RuntimeError(
                            f"a step pre-hook returned {result!r}; allowed is None or "
                            "(args, kwargs)"
                        )
                    args, kwargs = result
            out = self._step(*args[1:], **kwargs)
            for hook in itertools.chain(
                self._optimizer_step_post_hooks.values(),
                torch_optimizer._global_optimizer_post_hooks.values(),
            ):
                hook(self, args, kwargs)
            return out

    def _step(self, closure: Callable[[], Any] | None = None) -> Any:
        raise NotImplementedError
