"""Peers of the rules in `more_algorithms` and of the wrappers that came with them."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

from .case import DECAYS, Case, Hyper
from .optax_peers import Now, optax_case, with_decay
from .torch_peers import torch_case

Make = Callable[[list[Any], float], Any]
OTHER: Hyper = {"betas": (0.8, 0.95), "eps": 1e-3}


def optim(cls: str, **options: Any) -> Make:
    def make(params: list[Any], lr: float) -> Any:
        import torch

        return getattr(torch.optim, cls)(params, lr=lr, foreach=False, **options)

    return make


def kozistr(cls: str, **options: Any) -> Make:
    """A class of pytorch_optimizer, without the 1e-15 that it adds under some of its roots."""

    def make(params: list[Any], lr: float) -> Any:
        import pytorch_optimizer

        base = getattr(pytorch_optimizer, cls)

        class Exact(base):  # type: ignore[misc, valid-type]
            @staticmethod
            def apply_ams_bound(*args: Any, **kwargs: Any) -> Any:
                return base.apply_ams_bound(*args, **{**kwargs, "exp_avg_sq_eps": 0.0})

        return Exact(params, lr=lr, foreach=False, **options)

    return make


def before_step(make: Make, act: Callable[[Any, int], None]) -> Make:
    """`act(optimizer, t)` before every step of what `make` makes."""

    def made(params: list[Any], lr: float) -> Any:
        optimizer = make(params, lr)
        step, count = optimizer.step, iter(range(1, 1 << 30))

        def acting(**extra: Any) -> None:
            act(optimizer, next(count))
            step(**extra)

        optimizer.step = acting
        return optimizer

    return made


# ------------------------------------------------------------------ torch


def more_torch_cases() -> Iterator[Case]:
    l2: Hyper = {"weight_decay": 0.05, "decay": "l2"}
    for id, options in {"default": {}, "other": {"rho": 0.7, "eps": 1e-3}}.items():
        yield torch_case(f"Adadelta-{id}", "adadelta", l2 | options, optim("Adadelta", **options))
    for id, options in {"default": {}, "other": OTHER}.items():
        hyper = l2 | options | {"variant": "torch"}
        yield torch_case(f"Adamax-{id}", "adamax", hyper, optim("Adamax", **options))
    paper = l2 | {"variant": "paper", "betas": (0.8, 0.95)}
    yield torch_case("Adamax-paper", "adamax", paper, optim("Adamax", betas=(0.8, 0.95), eps=0.0))
    for decay in DECAYS:
        decayed: Hyper = {"weight_decay": 0.05, "decay": decay}
        for id, options in {"default": {}, "other": OTHER | {"momentum_decay": 0.1}}.items():
            yield torch_case(
                f"NAdam-{id}-{decay}",
                "nadam",
                decayed | options | {"variant": "torch"},
                optim("NAdam", decoupled_weight_decay=decay != "l2", **options),
            )
        yield torch_case(
            f"NAdam-keras-{decay}",
            "nadam",
            decayed | OTHER | {"variant": "keras"},
            optim("NAdam", decoupled_weight_decay=decay != "l2", momentum_decay=1.0, **OTHER),
        )
        yield torch_case(
            f"amsgrad-{decay}",
            "amsgrad",
            decayed | OTHER | {"variant": "torch"},
            optim("Adam" if decay == "l2" else "AdamW", amsgrad=True, **OTHER),
        )

        def clip(optimizer: Any, t: int) -> None:
            import torch

            torch.nn.utils.clip_grad_norm_(optimizer.param_groups[0]["params"], 1.2e4)

        # Some of the gradients that the tests draw are longer than this, some are not.
        yield torch_case(
            f"clip-{decay}",
            "adam" if decay == "l2" else "adamw",
            decayed | OTHER,
            before_step(optim("Adam" if decay == "l2" else "AdamW", **OTHER), clip),
            (("clip_norm", {"max_norm": 1.2e4}),),
        )


# ------------------------------------------------------------------ pytorch_optimizer


def more_kozistr_cases() -> Iterator[Case]:
    """Only where it computes the definition."""

    def case(id: str, name: str, hyper: Hyper, make: Make, composed: bool = False) -> Case:
        return torch_case(id, name, hyper, make, (), "pytorch_optimizer", composed)

    for decay in DECAYS:
        decayed: Hyper = {"weight_decay": 0.05, "decay": decay}
        how = {"weight_decouple": decay != "l2"}
        yield case(f"AdaDelta-{decay}", "adadelta", decayed, kozistr("AdaDelta", **how))
        # With an epsilon of 0 it is inside no maximum and outside no root.
        for variant, eps in {"torch": 1e-3, "paper": 0.0, "keras": 0.0}.items():
            hyper = decayed | {"variant": variant, "betas": (0.8, 0.95)}
            if variant != "paper":
                hyper["eps"] = eps
            make = kozistr("AdaMax", betas=(0.8, 0.95), eps=eps, **how)
            yield case(f"AdaMax-{variant}-{decay}", "adamax", hyper, make)
        for id, options in {"default": {}, "other": OTHER}.items():
            make = kozistr("AdaBelief", **options, **how)
            yield case(f"AdaBelief-{id}-{decay}", "adabelief", decayed | options, make)
        for id, options in {
            "default": {},
            "other": OTHER | {"final_lr": 0.3, "gamma": 0.1},
        }.items():
            for name, ams in (("adabound", False), ("amsbound", True)):
                make = kozistr("AdaBound", ams_bound=ams, **options, **how)
                yield case(f"{name}-{id}-{decay}", name, decayed | options, make)
        yield case(
            f"AdaMod-default-{decay}",
            "adamod",
            decayed,
            kozistr("AdaMod", betas=(0.9, 0.999, 0.999), **how),
        )
        yield case(
            f"AdaMod-other-{decay}",
            "adamod",
            decayed | OTHER | {"beta3": 0.9},
            kozistr("AdaMod", betas=(0.8, 0.95, 0.9), eps=1e-3, **how),
        )
        yield case(
            f"DiffGrad-official-{decay}",
            "diffgrad",
            decayed | OTHER | {"variant": "official"},
            kozistr("DiffGrad", **OTHER, **how),
        )

        def corrected_root(optimizer: Any, t: int) -> None:
            optimizer.param_groups[0]["eps"] = 1e-3 * math.sqrt(1 - 0.95**t)

        yield case(  # epsilon follows the step on to the corrected root
            f"DiffGrad-paper-{decay}",
            "diffgrad",
            decayed | OTHER | {"variant": "paper"},
            before_step(kozistr("DiffGrad", **OTHER, **how), corrected_root),
        )
        yield case(f"SignSGD-{decay}", "signum", decayed, kozistr("SignSGD", **how))
        for id, options in {"default": {}, "other": OTHER}.items():
            # It clips at (step + 1)^(1/4), steps counted from 0.
            make = kozistr("ADOPT", clip_lambda=lambda t: (t - 1) ** 0.25, **options, **how)
            yield case(f"ADOPT-{id}-{decay}", "adopt", decayed | options, make)
        # Its clip is at p and it has no gamma: lr/gamma with p = gamma is the definition.
        for id, gamma, eps in (("default", 0.05, 1e-12), ("other", 0.2, 1e-4)):
            make = kozistr(
                "SophiaH", betas=(0.965, 0.99), p=gamma, eps=eps / gamma, update_period=3
            )

            def over_gamma(optimizer: Any, t: int, gamma: float = gamma) -> None:
                optimizer.param_groups[0]["lr"] /= gamma

            hyper = decayed | {"variant": "paper", "gamma": gamma, "eps": eps, "k": 3}
            make = before_step(make, over_gamma)
            yield case(f"SophiaH-{id}-{decay}", "sophia", hyper, make, composed=True)


# ------------------------------------------------------------------ Optax


def more_optax_cases() -> Iterator[Case]:
    """Epsilons as in `optax_peers`; where a chain of Optax is changed, it is said here."""
    b1, b2, eps = 0.8, 0.95, 1e-3

    def lars(o: Any, now: Now) -> Any:
        decay, mean = o.add_decayed_weights(now.wd), o.ema(0.9, debias=False)
        return o.chain(decay, mean, o.scale_by_trust_ratio(), o.scale(-now.lr))

    def lars_official(o: Any, now: Now) -> Any:  # with weight decay it is another
        return o.lars(now.lr, trust_coefficient=0.02, eps=1e-3, momentum=0.8)

    yield optax_case("lars-paper", "lars", {"weight_decay": 0.05}, lars, flat=False)
    hyper: Hyper = {"variant": "official", "trust_coefficient": 0.02, "eps": 1e-3, "momentum": 0.8}
    yield optax_case("lars-official", "lars", hyper, lars_official, flat=False)

    def amsgrad(o: Any, now: Now, variant: str, decay: float) -> Any:
        if variant == "optax":
            return o.scale_by_amsgrad(b1, b2, eps)
        place = {"eps": eps} if variant == "paper" else {"eps": 0.0, "eps_root": eps}
        raw = {"bias_correction_mu": False, "bias_correction_nu": False}
        return o.scale_by_amsgrad(b1 * decay ** (now.t - 1), b2, **place, **raw)

    def nadam(o: Any, now: Now) -> Any:
        """The sum of the two steps: Optax's own nadam has the next step's correction of m."""
        m_part, g_part = o.scale_by_adam(b1, b2, eps), o.scale_by_adam(0.0, b2, eps)
        weight = (1 - b1) / (1 - b1**now.t)

        def update(g: Any, state: Any, params: Any) -> Any:
            m, m_state = m_part.update(g, state[0], params)
            g, g_state = g_part.update(g, state[1], params)
            both = [b1 * x + weight * y for x, y in zip(m, g, strict=True)]
            return both, (m_state, g_state)

        return o.GradientTransformation(lambda p: (m_part.init(p), g_part.init(p)), update)

    def yogi(o: Any, now: Now) -> Any:
        """Optax starts m at the accumulator's value too; here at 0."""
        core = o.scale_by_yogi(b1, b2, eps, initial_accumulator_value=1e-4)

        def init(params: Any) -> Any:
            return core.init(params)._replace(mu=[0.0 * p for p in params])

        return o.GradientTransformation(init, core.update)

    def factoredadam(o: Any, now: Now) -> Any:
        """A corrected average is one whose decay follows the step; only without epsilon."""

        def rate(i: Any, _: Any) -> Any:
            return b2 * (1 - b2**i) / (1 - b2 ** (i + 1.0))

        return o.scale_by_factored_rms(min_dim_size_to_factor=1, epsilon=0.0, decay_rate_fn=rate)

    betas: Hyper = {"betas": (b1, b2), "eps": eps}
    rules: dict[str, tuple[str, Hyper, Callable[[Any, Now], Any]]] = {
        "adadelta": ("adadelta", {"rho": 0.7, "eps": eps},
                     lambda o, now: o.scale_by_adadelta(0.7, eps)),
        "adamax": ("adamax", betas | {"variant": "torch"},
                   lambda o, now: o.scale_by_adamax(b1, b2, eps)),
        "nadam": ("nadam", betas | {"variant": "paper"}, nadam),
        "adabelief-default": ("adabelief", {}, lambda o, now: o.scale_by_belief()),
        "adabelief-other": ("adabelief", betas, lambda o, now: o.scale_by_belief(b1, b2, eps, eps)),
        "signum": ("signum", {"momentum": 0.8},
                   lambda o, now: o.chain(o.ema(0.8, debias=False), o.scale_by_sign())),
        "yogi": ("yogi", betas | {"initial_accumulator": 1e-4}, yogi),
        "adopt-default": ("adopt", {}, lambda o, now: o.contrib.scale_by_adopt()),
        "adopt-other": ("adopt", betas, lambda o, now: o.contrib.scale_by_adopt(b1, b2, eps)),
    }  # fmt: skip
    for variant in ("paper", "inside", "optax"):
        for beta1_decay in (1.0, 0.9)[: 1 if variant == "optax" else 2]:
            hyper = betas | {"variant": variant, "beta1_decay": beta1_decay}
            rules[f"amsgrad-{variant}-{beta1_decay}"] = (
                "amsgrad",
                hyper,
                lambda o, now, v=variant, d=beta1_decay: amsgrad(o, now, v, d),
            )
    for decay in DECAYS:
        decayed: Hyper = {"weight_decay": 0.05, "decay": decay}
        for id, (name, hyper, core) in rules.items():
            hyper = decayed | hyper
            yield optax_case(f"{id}-{decay}", name, hyper, with_decay(hyper, core))
        hyper = decayed | {"beta2": b2, "eps": 0.0}
        yield optax_case(
            f"factoredadam-{decay}",
            "factoredadam",
            hyper,
            with_decay(hyper, factoredadam),
            flat=False,
        )

    hyper = {"weight_decay": 0.05, "decay": "decoupled", **betas}

    def accumulate(o: Any, now: Now, hyper: Hyper = hyper) -> Any:
        inner = with_decay(hyper, lambda o, now: o.scale_by_adam(b1, b2, eps))(o, now)
        return o.MultiSteps(inner, 3, accumulator_dtype="float64").gradient_transformation()

    # Half a minute for all four decays: it compiles at every step.
    yield optax_case("accumulate", "adamw", hyper, accumulate, (("accumulate", {"n": 3}),))
