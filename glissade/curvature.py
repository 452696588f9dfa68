"""Estimates of the diagonal of the Hessian, by passes through the model."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

PROBES = ("gaussian", "sign")


class Cost(NamedTuple):
    """What estimates have cost so far: how many there were, and passes through the model."""

    estimates: int = 0
    forwards: int = 0
    backwards: int = 0

    def plus(self, forwards: int, backwards: int) -> Cost:
        """With one estimate more."""
        return Cost(self.estimates + 1, self.forwards + forwards, self.backwards + backwards)


def hutchinson(
    loss: Tensor,
    params: Iterable[Tensor],
    *,
    probe: str = "gaussian",
    generator: torch.Generator | None = None,
) -> list[Tensor]:
    """Hutchinson's estimate of the Hessian's diagonal: u ⊙ ∇⟨∇L, u⟩ with a random probe u.

    Right in the mean, for any loss that can be differentiated twice; exact, with probes of signs,
    where the Hessian is diagonal. Costs two backward passes. No ``.grad`` is touched.

    Args:
        loss: a single number, with the graph that it was computed by.
        params: what to differentiate by, any shapes; one that the loss does not depend on gets 0.
        probe: "gaussian" (Sophia's) or "sign" (less variance).
        generator: what draws the probes; None is torch's own.

    Returns:
        One tensor for each parameter, of its shape.

    Raises:
        ValueError: the loss is not one number, or has no graph; an unknown probe.

    >>> import torch, glissade
    >>> x = torch.tensor([1.0, 2.0], requires_grad=True)
    >>> loss = (torch.tensor([3.0, 5.0]) * x * x / 2).sum()
    >>> glissade.curvature.hutchinson(loss, [x], probe="sign")
    [tensor([3., 5.])]

    Source: Hutchinson 1990, doi:10.1080/03610919008812866; Liu et al. 2023, arXiv:2305.14342,
    Algorithm 1.
    """
    if probe not in PROBES:
        words = ", ".join(map(repr, PROBES))
        raise ValueError(f"probe={probe!r} is unknown; allowed are {words}")
    params = list(params)
    _check(loss, "hutchinson", "a loss: one number")
    if loss.numel() != 1:
        raise ValueError(
            f"hutchinson needs a loss, one number, and got shape {tuple(loss.shape)}: take its mean"
        )
    grads = torch.autograd.grad(loss, params, create_graph=True, allow_unused=True)
    probes = [_probe(p, probe, generator) for p in params]
    terms = [
        (g * u).sum()
        for g, u in zip(grads, probes, strict=True)
        if g is not None and g.requires_grad
    ]
    if not terms:  # a loss that is linear in everything
        return [torch.zeros_like(p) for p in params]
    products = torch.autograd.grad(sum(terms[1:], terms[0]), params, allow_unused=True)
    return [
        torch.zeros_like(p) if hu is None else (u * hu).detach()
        for p, u, hu in zip(params, probes, products, strict=True)
    ]


def _probe(p: Tensor, probe: str, generator: torch.Generator | None) -> Tensor:
    empty = torch.empty_like(p, requires_grad=False)
    if probe == "gaussian":
        return empty.normal_(generator=generator)
    return empty.bernoulli_(0.5, generator=generator).mul_(2).sub_(1)


def gauss_newton_bartlett(
    logits: Tensor, params: Iterable[Tensor], *, generator: torch.Generator | None = None
) -> list[Tensor]:
    """The Gauss-Newton-Bartlett estimate of the Hessian's diagonal: B·ĝ⊙ĝ.

    ĝ is the gradient of the mean cross-entropy with labels that are drawn from the model's own
    softmax, B how many there are. Never negative; for losses that are a cross-entropy. Costs one
    backward pass. No ``.grad`` is touched.

    Args:
        logits: shape (..., classes), with the graph that it was computed by.
        params: what to differentiate by; one that the logits do not depend on gets 0.
        generator: what draws the labels; None is torch's own.

    Returns:
        One tensor for each parameter, of its shape.

    Raises:
        ValueError: logits without a batch, without classes, or without a graph.

    >>> import torch, glissade
    >>> model = torch.nn.Linear(3, 4)
    >>> logits = model(torch.ones(8, 3))
    >>> h = glissade.curvature.gauss_newton_bartlett(logits, model.parameters())
    >>> [tuple(x.shape) for x in h]
    [(4, 3), (4,)]

    Source: Liu et al. 2023, arXiv:2305.14342, Algorithm 2.
    """
    params = list(params)
    _check(logits, "gauss_newton_bartlett", "logits of shape (..., classes)")
    if logits.ndim < 2 or not logits.numel():
        raise ValueError(
            "gauss_newton_bartlett needs logits of shape (..., classes) and got "
            f"{tuple(logits.shape)}: return the model's output, not its loss"
        )
    rows = logits.flatten(0, -2)
    labels = torch.multinomial(rows.detach().softmax(-1), 1, generator=generator).squeeze(-1)
    loss = torch.nn.functional.cross_entropy(rows, labels)
    grads = torch.autograd.grad(loss, params, allow_unused=True)
    return [
        torch.zeros_like(p) if g is None else len(rows) * (g * g).detach()
        for p, g in zip(params, grads, strict=True)
    ]


def _check(x: Any, who: str, what: str) -> None:
    if not isinstance(x, Tensor):
        raise ValueError(f"{who} needs {what}, and got a {type(x).__name__}")
    if not x.requires_grad:
        raise ValueError(
            f"{who} needs {what}, with the graph that it was computed by: compute it with "
            "gradients enabled and without .detach() or .item()"
        )


# What a closure returns for each estimator, and its passes forwards and backwards.
ESTIMATORS: dict[str, tuple[Callable[..., list[Tensor]], int, int]] = {
    "gnb": (gauss_newton_bartlett, 1, 1),
    "hutchinson": (hutchinson, 1, 2),
}


def estimate(
    estimator: str,
    closure: Callable[[], Any],
    params: Sequence[Tensor],
    generator: torch.Generator | None,
) -> tuple[Any, list[Tensor]]:
    """What the closure returned, and the estimate made of it."""
    with torch.enable_grad():
        out = closure()
        return out, ESTIMATORS[estimator][0](out, params, generator=generator)
