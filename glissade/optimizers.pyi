"""The named classes; written by `python tools/stub.py`: do not edit."""

from collections.abc import Iterable
from typing import Any

from .optimizer import Optimizer

__all__ = ["SGD", "SGDW", "Adagrad", "RMSprop", "Adam", "AdamW", "Lion", "RAdam", "Adadelta", "Adamax", "NAdam", "AMSGrad", "AdaBelief", "AdaBound", "AMSBound", "AdaMod", "DiffGrad", "Signum", "LARS", "LAMB", "Adafactor", "FactoredAdam", "Sophia", "AdagradFull", "Yogi", "ADOPT", "Ranger", "Ralamb", "RangerLARS"]

class SGD(Optimizer):
    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 0.001,
        *,
        momentum: float = 0.0,
        dampening: float = 0.0,
        nesterov: bool = False,
        weight_decay: float = 0.0,
        decay: str = "l2",
        variant: str = "torch",
        maximize: bool = False,
        capturable: bool = False,
        differentiable: bool = False,
        foreach: bool | None = None,
        fused: bool | None = None,
        backend: str | None = None,
    ) -> None: ...

class SGDW(Optimizer):
    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 0.001,
        *,
        momentum: float = 0.0,
        dampening: float = 0.0,
        nesterov: bool = False,
        weight_decay: float = 0.01,
        decay: str = "decoupled",
        variant: str = "torch",
        maximize: bool = False,
        capturable: bool = False,
        differentiable: bool = False,
        foreach: bool | None = None,
        fused: bool | None = None,
        backend: str | None = None,
    ) -> None: ...

class Adagrad(Optimizer):
    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 0.01,
        *,
        lr_decay: float = 0.0,
        initial_accumulator_value: float = 0.0,
        eps: float = 1e-10,
        weight_decay: float = 0.0,
        decay: str = "l2",
        variant: str = "torch",
        maximize: bool = False,
        capturable: bool = False,
        differentiable: bool = False,
        foreach: bool | None = None,
        fused: bool | None = None,
        backend: str | None = None,
    ) -> None: ...

class RMSprop(Optimizer):
    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 0.01,
        *,
        alpha: float = 0.99,
        eps: float = 1e-08,
        weight_decay: float = 0.0,
        momentum: float = 0.0,
        centered: bool = False,
        init: str = "zero",
        decay: str = "l2",
        variant: str = "torch",
        maximize: bool = False,
        capturable: bool = False,
        differentiable: bool = False,
        foreach: bool | None = None,
        fused: bool | None = None,
        backend: str | None = None,
    ) -> None: ...

class Adam(Optimizer):
    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 0.001,
        *,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-08,
        weight_decay: float = 0.0,
        amsgrad: bool = False,
        decay: str = "l2",
        variant: str = "torch",
        maximize: bool = False,
        capturable: bool = False,
        differentiable: bool = False,
        foreach: bool | None = None,
        fused: bool | None = None,
        backend: str | None = None,
    ) -> None: ...

class AdamW(Optimizer):
    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 0.001,
        *,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-08,
        weight_decay: float = 0.01,
        amsgrad: bool = False,
        decay: str = "decoupled",
        variant: str = "torch",
        maximize: bool = False,
        capturable: bool = False,
        differentiable: bool = False,
        foreach: bool | None = None,
        fused: bool | None = None,
        backend: str | None = None,
    ) -> None: ...

class Lion(Optimizer):
    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 0.0001,
        *,
        betas: tuple[float, float] = (0.9, 0.99),
        weight_decay: float = 0.0,
        decay: str = "decoupled",
        maximize: bool = False,
        capturable: bool = False,
        differentiable: bool = False,
        foreach: bool | None = None,
        fused: bool | None = None,
        backend: str | None = None,
    ) -> None: ...

class RAdam(Optimizer):
    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 0.001,
        *,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-08,
        weight_decay: float = 0.0,
        decay: str = "l2",
        variant: str = "torch",
        maximize: bool = False,
        capturable: bool = False,
        differentiable: bool = False,
        foreach: bool | None = None,
        fused: bool | None = None,
        backend: str | None = None,
    ) -> None: ...

class Adadelta(Optimizer):
    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1.0,
        *,
        rho: float = 0.9,
        eps: float = 1e-06,
        weight_decay: float = 0.0,
        decay: str = "l2",
        maximize: bool = False,
        capturable: bool = False,
        differentiable: bool = False,
        foreach: bool | None = None,
        fused: bool | None = None,
        backend: str | None = None,
    ) -> None: ...

class Adamax(Optimizer):
    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 0.002,
        *,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-08,
        weight_decay: float = 0.0,
        decay: str = "l2",
        variant: str = "torch",
        maximize: bool = False,
        capturable: bool = False,
        differentiable: bool = False,
        foreach: bool | None = None,
        fused: bool | None = None,
        backend: str | None = None,
    ) -> None: ...

class NAdam(Optimizer):
    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 0.002,
        *,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-08,
        weight_decay: float = 0.0,
        momentum_decay: float = 0.004,
        decay: str = "l2",
        variant: str = "torch",
        maximize: bool = False,
        capturable: bool = False,
        differentiable: bool = False,
        foreach: bool | None = None,
        fused: bool | None = None,
        backend: str | None = None,
    ) -> None: ...

class AMSGrad(Optimizer):
    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 0.001,
        *,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-08,
        beta1_decay: float = 1.0,
        weight_decay: float = 0.0,
        decay: str = "l2",
        variant: str = "paper",
        maximize: bool = False,
        capturable: bool = False,
        differentiable: bool = False,
        foreach: bool | None = None,
        fused: bool | None = None,
        backend: str | None = None,
    ) -> None: ...

class AdaBelief(Optimizer):
    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 0.001,
        *,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-16,
        weight_decay: float = 0.0,
        decay: str = "decoupled",
        maximize: bool = False,
        capturable: bool = False,
        differentiable: bool = False,
        foreach: bool | None = None,
        fused: bool | None = None,
        backend: str | None = None,
    ) -> None: ...

class AdaBound(Optimizer):
    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 0.001,
        *,
        betas: tuple[float, float] = (0.9, 0.999),
        final_lr: float = 0.1,
        gamma: float = 0.001,
        eps: float = 1e-08,
        weight_decay: float = 0.0,
        decay: str = "l2",
        variant: str = "official",
        maximize: bool = False,
        capturable: bool = False,
        differentiable: bool = False,
        foreach: bool | None = None,
        fused: bool | None = None,
        backend: str | None = None,
    ) -> None: ...

class AMSBound(Optimizer):
    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 0.001,
        *,
        betas: tuple[float, float] = (0.9, 0.999),
        final_lr: float = 0.1,
        gamma: float = 0.001,
        eps: float = 1e-08,
        weight_decay: float = 0.0,
        decay: str = "l2",
        variant: str = "official",
        maximize: bool = False,
        capturable: bool = False,
        differentiable: bool = False,
        foreach: bool | None = None,
        fused: bool | None = None,
        backend: str | None = None,
    ) -> None: ...

class AdaMod(Optimizer):
    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 0.001,
        *,
        betas: tuple[float, float] = (0.9, 0.999),
        beta3: float = 0.999,
        eps: float = 1e-08,
        weight_decay: float = 0.0,
        decay: str = "decoupled",
        variant: str = "official",
        maximize: bool = False,
        capturable: bool = False,
        differentiable: bool = False,
        foreach: bool | None = None,
        fused: bool | None = None,
        backend: str | None = None,
    ) -> None: ...

class DiffGrad(Optimizer):
    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 0.001,
        *,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-08,
        weight_decay: float = 0.0,
        decay: str = "decoupled",
        variant: str = "paper",
        maximize: bool = False,
        capturable: bool = False,
        differentiable: bool = False,
        foreach: bool | None = None,
        fused: bool | None = None,
        backend: str | None = None,
    ) -> None: ...

class Signum(Optimizer):
    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 0.0001,
        *,
        momentum: float = 0.9,
        weight_decay: float = 0.0,
        decay: str = "decoupled",
        maximize: bool = False,
        capturable: bool = False,
        differentiable: bool = False,
        foreach: bool | None = None,
        fused: bool | None = None,
        backend: str | None = None,
    ) -> None: ...

class LARS(Optimizer):
    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 0.001,
        *,
        momentum: float = 0.9,
        weight_decay: float = 0.0,
        phi_bounds: tuple[float, float] | None = None,
        trust_coefficient: float = 0.001,
        eps: float = 1e-08,
        variant: str = "paper",
        maximize: bool = False,
        capturable: bool = False,
        differentiable: bool = False,
        foreach: bool | None = None,
        fused: bool | None = None,
        backend: str | None = None,
    ) -> None: ...

class LAMB(Optimizer):
    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 0.001,
        *,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-06,
        weight_decay: float = 0.0,
        phi_bounds: tuple[float, float] | None = None,
        bias_correction: bool = True,
        maximize: bool = False,
        capturable: bool = False,
        differentiable: bool = False,
        foreach: bool | None = None,
        fused: bool | None = None,
        backend: str | None = None,
    ) -> None: ...

class Adafactor(Optimizer):
    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 0.01,
        *,
        beta2_decay: float = -0.8,
        eps: tuple[float | None, float] = (None, 0.001),
        d: float = 1.0,
        weight_decay: float = 0.0,
        decay: str = "decoupled",
        variant: str = "torch",
        maximize: bool = False,
        capturable: bool = False,
        differentiable: bool = False,
        foreach: bool | None = None,
        fused: bool | None = None,
        backend: str | None = None,
    ) -> None: ...

class FactoredAdam(Optimizer):
    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 0.001,
        *,
        beta2: float = 0.999,
        eps: float = 1e-08,
        weight_decay: float = 0.0,
        decay: str = "l2",
        maximize: bool = False,
        capturable: bool = False,
        differentiable: bool = False,
        foreach: bool | None = None,
        fused: bool | None = None,
        backend: str | None = None,
    ) -> None: ...

class Sophia(Optimizer):
    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 0.0001,
        *,
        betas: tuple[float, float] = (0.965, 0.99),
        gamma: float | None = None,
        eps: float = 1e-12,
        k: int = 10,
        weight_decay: float = 0.1,
        decay: str = "decoupled",
        estimator: str = "gnb",
        rho: float = 0.04,
        bs: float = 5120,
        variant: str = "paper",
        maximize: bool = False,
        capturable: bool = False,
        differentiable: bool = False,
        foreach: bool | None = None,
        fused: bool | None = None,
        backend: str | None = None,
    ) -> None: ...

class AdagradFull(Optimizer):
    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 0.01,
        *,
        delta: float = 1e-08,
        l1: float = 0.0,
        max_size: int = 4096,
        weight_decay: float = 0.0,
        decay: str = "decoupled",
        variant: str = "mirror",
        maximize: bool = False,
        capturable: bool = False,
        differentiable: bool = False,
        foreach: bool | None = None,
        fused: bool | None = None,
        backend: str | None = None,
    ) -> None: ...

class Yogi(Optimizer):
    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 0.01,
        *,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 0.001,
        initial_accumulator: float = 1e-06,
        weight_decay: float = 0.0,
        decay: str = "l2",
        maximize: bool = False,
        capturable: bool = False,
        differentiable: bool = False,
        foreach: bool | None = None,
        fused: bool | None = None,
        backend: str | None = None,
    ) -> None: ...

class ADOPT(Optimizer):
    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 0.001,
        *,
        betas: tuple[float, float] = (0.9, 0.9999),
        eps: float = 1e-06,
        weight_decay: float = 0.0,
        decay: str = "decoupled",
        maximize: bool = False,
        capturable: bool = False,
        differentiable: bool = False,
        foreach: bool | None = None,
        fused: bool | None = None,
        backend: str | None = None,
    ) -> None: ...

class Ranger(Optimizer):
    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 0.001,
        *,
        betas: tuple[float, float] | None = None,
        eps: float | None = None,
        weight_decay: float = 0.0,
        decay: str = "l2",
        k: int = 6,
        alpha: float = 0.5,
        variant: str = "paper",
        maximize: bool = False,
        capturable: bool = False,
        differentiable: bool = False,
        foreach: bool | None = None,
        fused: bool | None = None,
        backend: str | None = None,
    ) -> None: ...

class Ralamb(Optimizer):
    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 0.001,
        *,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-08,
        weight_decay: float = 0.0,
        decay: str = "l2",
        phi_bounds: tuple[float, float] | None = None,
        maximize: bool = False,
        capturable: bool = False,
        differentiable: bool = False,
        foreach: bool | None = None,
        fused: bool | None = None,
        backend: str | None = None,
    ) -> None: ...

class RangerLARS(Optimizer):
    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 0.001,
        *,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-08,
        weight_decay: float = 0.0,
        decay: str = "l2",
        phi_bounds: tuple[float, float] | None = None,
        k: int = 6,
        alpha: float = 0.5,
        maximize: bool = False,
        capturable: bool = False,
        differentiable: bool = False,
        foreach: bool | None = None,
        fused: bool | None = None,
        backend: str | None = None,
    ) -> None: ...
