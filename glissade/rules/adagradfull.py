"""AdagradFull: AdaGrad with the whole matrix of products of gradients."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ..rule import Rule, State, maximum, sign, sqrt

VARIANTS = ("mirror", "dual")


def _matrix(p: Tensor, g: Tensor, s: Any, t: Any, h: Any) -> tuple[Any, State]:
    """Duchi, Hazan & Singer 2011, Figure 1, full matrices; in float64 throughout."""
    x = g.reshape(-1).double()
    G = s.G + torch.outer(x, x)
    # H = δI + G^½, and so H⁻¹x = Q (δ + √Λ)⁻¹ Qᵀx with G = QΛQᵀ; rounding makes Λ negative.
    values, Q = torch.linalg.eigh(G)
    size = h.delta + values.clamp(min=0).sqrt()
    if h.variant == "dual":
        total = s.total + x
        start = s.start if "start" in s else p.double()
        moved = start.reshape(-1) - h.lr * (Q @ (Q.mT @ total / size))
        return p - moved.reshape(p.shape), State(G=G, total=total, start=start)
    return (h.lr * (Q @ (Q.mT @ x / size))).reshape(p.shape), State(G=G)


def _diagonal(p: Any, g: Any, s: Any, t: Any, h: Any) -> tuple[Any, State]:
    """The same with the diagonal of G alone, before the soft threshold."""
    G = s.G + g * g
    return h.lr * g / (h.delta + sqrt(G)), State(G=G)


def _threshold(p: Any, s: Any, t: Any, h: Any) -> tuple[Any, State]:
    """The composite mirror descent update for l1·‖p‖₁."""
    least = h.lr * h.l1 / (h.delta + sqrt(s.G))
    return sign(p) * maximum(abs(p) - least, 0.0), State()


def _shapes(shape: torch.Size, h: Any) -> dict[str, tuple[int, ...]]:
    n = shape.numel()
    dual = {"total": (n,), "start": tuple(shape)} if h["variant"] == "dual" else {}
    return {"G": (n, n), **dual}


def _too_large(p: Tensor, h: Any) -> str:
    if h["l1"] > 0:
        return "is in a group of its own l1: only the rule as a whole can have one"
    if p.numel() <= h["max_size"]:
        return ""
    return (
        f"has {p.numel()} elements: its matrix would have {p.numel()}² (allowed are "
        f"{h['max_size']} elements; raise max_size, or take Adagrad for this parameter)"
    )


def adagradfull(
    lr: float = 1e-2,
    *,
    delta: float = 1e-8,
    l1: float = 0.0,
    max_size: int = 4096,
    weight_decay: float = 0.0,
    decay: str = "decoupled",
    variant: str = "mirror",
) -> Rule:
    """AdagradFull: steps through the inverse root of the sum of all products of gradients.

    .. math:: G \\leftarrow G + g g^T, \\quad H = \\delta I + G^{1/2}, \\quad
              p \\leftarrow p - lr\\,H^{-1}g

    With l1 over 0 it is the diagonal form, whose steps end in a soft threshold:
    p ← sign(p′)·max(|p′| − lr·l1/H, 0).

    Args:
        lr: learning rate.
        delta: added to the root; over 0 where gradients do not span the space.
        l1: weight of ‖p‖₁ (composite update, diagonal form, "mirror" only); sets parameters to 0.
        max_size: largest tensor in elements: n elements take n² numbers and n³ operations a step.
        weight_decay, decay: λ and which of the four decays it is.
        variant: "mirror"; "dual" (primal-dual subgradient: p = p₁ - lr·H⁻¹Σg).

    Raises:
        ValueError: a value out of range, a larger tensor, l1 with variant "dual".

    Reach for it to see on small convex problems what the diagonal leaves out. Not for networks:
    use `adagrad`.

    >>> import glissade
    >>> glissade.rules.adagradfull().hyper["max_size"]
    4096

    Source: Duchi, Hazan & Singer 2011, "Adaptive subgradient methods".
    """
    hyper = locals()
    choices = {"variant": VARIANTS}
    if l1 > 0 and variant == "dual":
        raise ValueError("adagradfull: l1 > 0 is the composite mirror descent; leave out 'dual'")
    if l1 > 0:
        return Rule(
            _diagonal, hyper, _threshold, name="adagradfull", choices=choices, decays=True,
            aliases={"G": "sum"},
        )  # fmt: skip
    return Rule(
        _matrix, hyper, name="adagradfull", choices=choices, decays=True,
        matrix=True, refuse=_too_large, shapes=_shapes,
    )  # fmt: skip
