"""Newton's method with the exact Hessian, for problems of some thousand numbers."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor

from . import checks

MAX_SIZE = 4096


class Newton(torch.optim.Optimizer):
    """Newton's method: all parameters move by the inverse Hessian times the gradient.

    .. math:: p \\leftarrow p - lr\\,(H + damping\\,I)^{-1} g

    H is the Hessian over all parameters together, exact, computed in float64 anew in each step.
    It goes to the nearest stationary point, which may be a saddle; with `saddle_free` the
    eigenvalues of H are replaced by their absolute values, and it does not.

    Args:
        params: parameters, or dicts of them, as for any ``torch.optim`` optimizer; together at most
            `max_size` elements.
        lr: share of the full step; default 1.
        damping: added to the eigenvalues (to their absolute values with `saddle_free`); over 0
            where H may be singular.
        saddle_free: |H| in place of H.
        max_size: largest number of elements: n take n² numbers, n backward passes and n³
            operations a step.

    Raises:
        ValueError: a value out of range, too many elements, groups with different values.
        TypeError: `step` without a closure.

    Reach for it to see what second order does, on surfaces and small convex problems. Not for
    networks.

    >>> import torch, glissade
    >>> x = torch.tensor([3.0, -2.0], requires_grad=True)
    >>> opt = glissade.Newton([x])
    >>> loss = opt.step(lambda: ((x - 1) ** 2).sum())
    >>> x.tolist()
    [1.0, 1.0]

    Source: Nocedal & Wright 2006, "Numerical optimization"; saddle-free: Dauphin et al. 2014,
    arXiv:1406.2572.
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1.0,
        *,
        damping: float = 0.0,
        saddle_free: bool = False,
        max_size: int = MAX_SIZE,
    ) -> None:
        hyper = {
            "lr": lr, "damping": damping, "saddle_free": saddle_free, "max_size": max_size,
        }  # fmt: skip
        for key, value in hyper.items():
            checks.hyperparameter(key, value, value)
        super().__init__(params, hyper)

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Add a group; nothing is changed if it is refused."""
        super().add_param_group(param_group)
        group = self.param_groups[-1]
        size = sum(p.numel() for g in self.param_groups for p in g["params"])
        first = self.param_groups[0]
        keys = ("lr", "damping", "saddle_free", "max_size")
        try:
            for key in keys:
                checks.hyperparameter(key, group[key], self.defaults[key])
            different = [key for key in keys if group[key] != first[key]]
            if different:
                raise ValueError(f"Newton: groups with different {different[0]}: H is one for all")
            if any(p.is_complex() for p in group["params"]):
                raise ValueError(
                    "Newton takes second derivatives, which need real parameters: give it "
                    "torch.view_as_real(parameter)"
                )
            if size > group["max_size"]:
                raise ValueError(
                    f"Newton: {size} parameters; allowed are {group['max_size']}: the Hessian has "
                    f"{size}² numbers (raise max_size, or take another optimizer)"
                )
        except BaseException:
            self.param_groups.pop()
            raise

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """One step; `closure` computes and returns the loss, and must not call ``backward``.

        Raises:
            TypeError: no closure.
            ValueError: the closure's result is not one number with a graph.
            RuntimeError: H is singular.
        """
        if closure is None:
            raise TypeError("Newton.step needs a closure that returns the loss: step(lambda: loss)")
        with torch.enable_grad():
            loss = closure()
        if not isinstance(loss, Tensor) or loss.numel() != 1 or not loss.requires_grad:
            raise ValueError(
                "Newton: the closure has to return the loss, one number, with the graph that it "
                "was computed by"
            )
        params = [p for group in self.param_groups for p in group["params"]]
        gradient, hessian = derivatives(loss, params)
        group = self.param_groups[0]
        step = group["lr"] * _solve(gradient, hessian, group["damping"], group["saddle_free"])
        with torch.no_grad():
            sizes = [p.numel() for p in params]
            for p, part in zip(params, step.split(sizes), strict=True):
                p.sub_(part.reshape(p.shape).to(p.dtype))
        return loss.detach()


def derivatives(loss: Tensor, params: Iterable[Tensor]) -> tuple[Tensor, Tensor]:
    """The gradient (n,) and the Hessian (n, n) over all parameters in a row, in float64."""
    params = list(params)
    with torch.enable_grad():
        grads = torch.autograd.grad(loss, params, create_graph=True, materialize_grads=True)
        flat = torch.cat([g.reshape(-1) for g in grads])
    rows = []
    for x in flat.unbind():
        row = torch.autograd.grad(
            x, params, retain_graph=True, materialize_grads=True
        ) if x.requires_grad else [torch.zeros_like(p) for p in params]  # fmt: skip
        rows.append(torch.cat([r.reshape(-1) for r in row]))
    hessian = torch.stack(rows) if rows else flat.new_zeros(0, 0)
    return flat.detach().double(), hessian.detach().double()


def _solve(g: Tensor, H: Tensor, damping: float, saddle_free: bool) -> Tensor:
    if saddle_free:
        values, Q = torch.linalg.eigh((H + H.mT) / 2)
        size = values.abs() + damping
        singular = bool((size == 0).any())
        step: Tensor = Q @ (Q.mT @ g / size)
    else:
        step, info = torch.linalg.solve_ex(H + damping * torch.eye(len(g), dtype=g.dtype), g)
        singular = bool(info)
    if singular:
        raise RuntimeError("Newton: the Hessian is singular here: set damping over 0")
    return step
