"""An optimizer of Optax under jit, on arrays like given parameters."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch


def jitted(
    name: str, arguments: Mapping[str, Any], params: Sequence[torch.Tensor], lr: float
) -> Callable[[], None]:
    """What takes a step: the update and its application in one jit, over buffers given away.

    It returns when the step is done. The arrays are copies; gradients stay as they are.
    """
    import jax
    import optax  # type: ignore[import-untyped]

    make = functools.reduce(getattr, name.split("."), optax)
    transform = make(lr, **arguments)
    kind = str(params[0].dtype).removeprefix("torch.")

    def arrays(tensors: Sequence[torch.Tensor | None]) -> list[Any]:
        given = [t.detach().float().numpy() for t in tensors if t is not None]
        return [jax.numpy.array(array, dtype=kind, copy=True) for array in given]

    values, gradients = arrays(params), arrays([p.grad for p in params])
    state = jax.jit(transform.init)(values)

    @functools.partial(jax.jit, donate_argnums=(0, 1))
    def move(values: Any, state: Any, gradients: Any) -> Any:
        updates, state = transform.update(gradients, state, values)
        return optax.apply_updates(values, updates), state

    def step() -> None:
        nonlocal values, state
        values, state = move(values, state, gradients)
        for leaf in jax.tree.leaves((values, state)):
            leaf.block_until_ready()

    return step
