"""torch.optim and pytorch_optimizer behind the oracles' interface."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from .algorithms import Array
from .case import DECAYS, Case, Hyper, effective_decay
from .transcriptions import Shape, Stepper, Wrappers


class TorchPeer:
    """A torch-style optimizer in float64, one tensor at a time.

    Its weight decay is set before every step to what `hyper["decay"]` asks for. `composed`: the
    package's own decay stays 0 and the decay is added here, to its gradient or to its step.
    """

    def __init__(
        self, make: Callable[[list[Any], float], Any], hyper: Hyper, lr: float, composed: bool
    ) -> None:
        self.make, self.hyper, self.lr0, self.composed = make, hyper, lr, composed
        self.params: list[Any] = []

    def step(
        self,
        params: Sequence[Array],
        grads: Sequence[Array | None],
        lr: float | None = None,
        curvature: Sequence[Array] | None = None,
    ) -> list[Array]:
        import torch

        lr = self.lr0 if lr is None else lr
        wd = effective_decay({"decay": "l2", **self.hyper}, lr, self.lr0)
        l2 = self.composed and self.hyper["decay"] == "l2"
        if not self.params:  # made at the first step: some copy their slow weights here
            self.params = [torch.tensor(p, dtype=torch.float64) for p in params]
            self.optimizer = self.make(self.params, self.lr0)
        for own, p, g in zip(self.params, params, grads, strict=True):
            own.copy_(torch.tensor(p, dtype=torch.float64))
            own.grad = None
            if g is not None:
                own.grad = torch.tensor(g + wd * p if l2 else g, dtype=torch.float64)
        for group in self.optimizer.param_groups:
            group["lr"], group["weight_decay"] = lr, 0.0 if self.composed else wd
        extra = {}
        if curvature is not None:  # as pytorch_optimizer takes it
            extra = {"hessian": [torch.tensor(h, dtype=torch.float64) for h in curvature]}
        usual = torch.get_default_dtype()
        torch.set_default_dtype(torch.float64)  # what it keeps beside the tensors is in this one
        try:
            self.optimizer.step(**extra)
        finally:
            torch.set_default_dtype(usual)
        new = [own.numpy().copy() for own in self.params]
        if self.composed and not l2:
            new = [q - lr * wd * p for q, p in zip(new, params, strict=True)]
        return new


def torch_case(
    id: str,
    name: str,
    hyper: Hyper,
    make: Callable[[list[Any], float], Any],
    wrappers: Wrappers = (),
    package: str = "torch",
    composed: bool = False,
) -> Case:
    """`make(params, lr)` gives the optimizer without its weight decay, which the peer sets."""

    def build(shapes: Sequence[Shape], lr: float) -> Stepper:
        return TorchPeer(make, hyper, lr, composed)

    return Case(f"{package}-{id}", package, name, hyper, wrappers, build)


def torch_cases() -> Iterator[Case]:
    def optim(cls: str, **options: Any) -> Callable[[list[Any], float], Any]:
        def make(params: list[Any], lr: float) -> Any:
            import torch

            return getattr(torch.optim, cls)(params, lr=lr, foreach=False, **options)

        return make

    options: Hyper
    l2: Hyper = {"weight_decay": 0.05, "decay": "l2", "variant": "torch"}
    for id, options in {
        "plain": {},
        "momentum": {"momentum": 0.9},
        "dampening": {"momentum": 0.8, "dampening": 0.3},
        "dampening-no-momentum": {"dampening": 0.3},
        "nesterov": {"momentum": 0.9, "nesterov": True},
    }.items():
        yield torch_case(f"SGD-{id}", "sgd", l2 | options, optim("SGD", **options))
    for id, options in {
        "default": {},
        "decay": {"lr_decay": 0.1, "initial_accumulator_value": 0.2, "eps": 1e-3},
    }.items():
        yield torch_case(f"Adagrad-{id}", "adagrad", l2 | options, optim("Adagrad", **options))
    for id, options in {
        "default": {},
        "momentum": {"momentum": 0.8, "alpha": 0.9, "eps": 1e-3},
        "centered": {"centered": True, "eps": 1e-3},
        "centered-momentum": {"centered": True, "momentum": 0.8, "eps": 1e-3},
    }.items():
        yield torch_case(f"RMSprop-{id}", "rmsprop", l2 | options, optim("RMSprop", **options))

    other: Hyper = {"betas": (0.8, 0.95), "eps": 1e-3}
    for decay in DECAYS:
        decayed: Hyper = {"weight_decay": 0.05, "decay": decay}
        cls = "Adam" if decay == "l2" else "AdamW"
        for id, options in {
            "default": {},
            "other": other,
            "amsgrad": {"betas": (0.8, 0.9), "amsgrad": True},
        }.items():
            name, variant = ("adamw", "torch") if decay == "decoupled" else ("adam", "paper")
            yield torch_case(
                f"{cls}-{id}-as-{name}-{decay}",
                name,
                decayed | options | {"variant": variant},
                optim(cls, **options),
            )
        for id, options in {"default": {}, "other": other, "short": {"betas": (0.5, 0.7)}}.items():
            yield torch_case(
                f"RAdam-{id}-{decay}",
                "radam",
                decayed | options | {"variant": "torch"},
                optim("RAdam", decoupled_weight_decay=decay != "l2", **options),
            )
        if decay != "l2":
            options = {"lr_decay": 0.1, "initial_accumulator_value": 0.2, "eps": 1e-3}
            yield torch_case(
                f"Adagrad-{decay}",
                "adagrad",
                decayed | options | {"variant": "torch"},
                optim("Adagrad", **options),
                composed=True,
            )
        for id, options in {
            "default": {},
            "other": {"beta2_decay": -0.6, "eps": (1e-4, 1e-2), "d": 2.0},
        }.items():
            yield torch_case(
                f"Adafactor-{id}-{decay}",
                "adafactor",
                decayed | options | {"variant": "torch"},
                optim("Adafactor", **options),
                composed=decay == "l2",
            )


def kozistr_cases() -> Iterator[Case]:
    """pytorch_optimizer 4.x, only where it computes the definition."""
    package = "pytorch_optimizer"
    options: Hyper

    def optim(cls: str, **options: Any) -> Callable[[list[Any], float], Any]:
        def make(params: list[Any], lr: float) -> Any:
            import pytorch_optimizer

            return getattr(pytorch_optimizer, cls)(params, lr=lr, foreach=False, **options)

        return make

    def case(
        id: str,
        name: str,
        hyper: Hyper,
        make: Any,
        wrappers: Wrappers = (),
        composed: bool = False,
    ) -> Case:
        return torch_case(id, name, hyper, make, wrappers, package, composed)

    for decay in DECAYS:
        decayed: Hyper = {"weight_decay": 0.05, "decay": decay}
        decoupled = {"weight_decouple": decay != "l2"}
        yield case(f"Lion-{decay}", "lion", decayed, optim("Lion", **decoupled))
        for id, options in {
            "momentum": {"momentum": 0.8, "dampening": 0.3},
            "nesterov": {"momentum": 0.9, "nesterov": True},
        }.items():
            yield case(
                f"SGDW-{id}-{decay}",
                "sgdw",
                decayed | options,
                optim("SGDW", **options, **decoupled),
            )
        yield case(  # its own decay stops while the step does
            f"RAdam-{decay}",
            "radam",
            decayed | {"variant": "official"},
            optim("RAdam"),
            composed=True,
        )
        if decay != "l2":  # with l2 it centralizes first
            yield case(
                f"Ranger-{decay}",
                "ranger",
                decayed | {"variant": "official"},
                optim("Ranger", degenerated_to_sgd=True),
            )
    yield case(
        "Ranger-k3",
        "ranger",
        {"variant": "official", "k": 3, "alpha": 0.8, "betas": (0.8, 0.9), "eps": 1e-3},
        optim("Ranger", degenerated_to_sgd=True, k=3, alpha=0.8, betas=(0.8, 0.9), eps=1e-3),
    )
    yield case(
        "Lamb",  # its ratio adds eps to |r|, so only eps=0 is the definition
        "lamb",
        {"eps": 0.0, "phi_bounds": (0.0, 10.0), "bias_correction": False, "weight_decay": 0.05},
        optim("Lamb", eps=0.0, weight_decouple=False, adam_debias=True),
    )
    yield case(
        "AdaFactor-l2",  # it has no min(lr, 1/sqrt(t)): stands for it while lr is the smaller
        "adafactor",
        {"variant": "paper", "weight_decay": 0.05, "decay": "l2"},
        optim("AdaFactor", betas=(None, 0.999), relative_step=False, weight_decouple=False),
    )

    def lookahead(params: list[Any], lr: float) -> Any:
        import pytorch_optimizer
        import torch

        fast = torch.optim.AdamW(params, lr=lr, foreach=False)
        return pytorch_optimizer.Lookahead(fast, k=4, alpha=0.3)

    yield case(
        "Lookahead-AdamW",
        "adamw",
        {"weight_decay": 0.05, "decay": "decoupled"},
        lookahead,
        (("lookahead", {"k": 4, "alpha": 0.3}),),
    )
