"""Optax behind the oracles' interface.

Optax has no running learning rate to set, so the chain is rebuilt for every step with the current
numbers (its state does not depend on them). That also lets an epsilon follow the step:
`eps/sqrt(1 - beta2^t)` outside the root, or `eps/(1 - beta2^t)` inside it, on bias-corrected
moments is epsilon on the raw ones.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from .algorithms import Array
from .case import DECAYS, Case, Hyper, effective_decay
from .transcriptions import Shape, Stepper, Wrappers


@dataclass(frozen=True)
class Now:
    """What a chain is built from at every step."""

    t: int
    lr: float
    lr0: float
    wd: float  # what multiplies lr*p


class OptaxPeer:
    """An Optax chain in float64, without jit.

    `flat` runs all parameters as one vector (much faster, right for what acts on elements only);
    `slow` gives the chain Optax's own Lookahead parameters.
    """

    def __init__(
        self, chain: Callable[[Any, Now], Any], hyper: Hyper, lr: float, flat: bool, slow: bool
    ) -> None:
        self.chain, self.hyper, self.lr0, self.flat, self.slow = chain, hyper, lr, flat, slow
        self.t = 0
        self.state: Any = None
        self.slow_params: Any = None

    def step(
        self,
        params: Sequence[Array],
        grads: Sequence[Array | None],
        lr: float | None = None,
        curvature: Sequence[Array] | None = None,
    ) -> list[Array]:
        import jax
        import optax  # type: ignore[import-untyped]

        if any(g is None for g in grads):
            raise NotImplementedError("Optax counts one step for all parameters")
        if curvature is not None:
            raise NotImplementedError("Optax draws its own estimate")
        lr = self.lr0 if lr is None else lr
        self.t += 1
        shapes = [np.shape(p) for p in params]
        if self.flat:
            params = [np.concatenate([np.ravel(p) for p in params])]
            grads = [np.concatenate([np.ravel(g) for g in grads if g is not None])]
        wd = effective_decay({"decay": "decoupled", **self.hyper}, lr, self.lr0)
        with jax.enable_x64(True):
            transform = self.chain(optax, Now(self.t, lr, self.lr0, wd))
            fast = [jax.numpy.asarray(p, dtype="float64") for p in params]
            g = [jax.numpy.asarray(g, dtype="float64") for g in grads]
            tree: Any = fast
            if self.slow:
                slow = fast if self.t == 1 else self.slow_params
                tree = optax.LookaheadParams(fast=fast, slow=slow)
            if self.t == 1:
                self.state = transform.init(tree)
            updates, self.state = transform.update(g, self.state, tree)
            tree = optax.apply_updates(tree, updates)
            if self.slow:
                self.slow_params, tree = tree.slow, tree.fast
            new = [np.asarray(p) for p in tree]
        if self.flat:
            ends = np.cumsum([int(np.prod(s)) for s in shapes])
            new = [x.reshape(s) for x, s in zip(np.split(new[0], ends), shapes, strict=False)]
        return new


def optax_case(
    id: str,
    name: str,
    hyper: Hyper,
    chain: Callable[[Any, Now], Any],
    wrappers: Wrappers = (),
    flat: bool = True,
    slow: bool = False,
) -> Case:
    """`chain(optax, now)` gives the transformation whose updates are added, sign included."""

    def build(shapes: Sequence[Shape], lr: float) -> Stepper:
        return OptaxPeer(chain, hyper, lr, flat, slow)

    return Case(f"optax-{id}", "optax", name, hyper, wrappers, build)


def with_decay(
    hyper: Hyper, core: Callable[[Any, Now], Any], *before: str, scaled: bool = False
) -> Callable[[Any, Now], Any]:
    """l2 before everything, or the other decays after the core; then -lr, unless `scaled`.

    `scaled` says that the core has lr in it already. `before` names gradient transformations.
    """

    def chain(o: Any, now: Now) -> Any:
        parts = [getattr(o, name)() for name in before] + [core(o, now)]
        if hyper["decay"] == "l2":
            parts = [o.add_decayed_weights(now.wd), *parts]
        else:
            parts += [o.add_decayed_weights(now.wd * now.lr if scaled else now.wd)]
        return o.chain(*parts, o.scale(-1.0 if scaled else -now.lr))

    return chain


def raw_eps(hyper: Hyper, now: Now) -> Hyper:
    """Optax's (b1, b2, eps, eps_root) that put epsilon where the variant has it."""
    (b1, b2), eps = hyper["betas"], hyper["eps"]
    c2 = 1 - b2**now.t
    place = {
        "torch": {"eps": eps},
        "paper": {"eps": eps},
        "keras": {"eps": eps / c2**0.5},
        "inside": {"eps": 0.0, "eps_root": eps / c2},
        "inside_hat": {"eps": 0.0, "eps_root": eps},
    }
    return {"b1": b1, "b2": b2, **place[hyper["variant"]]}


def radam_settings(hyper: Hyper, now: Now) -> Hyper:
    """As raw_eps, with the threshold; RAdam's `inside` is on the corrected v."""
    renamed = {"torch": "keras", "inside": "inside_hat", "paper": "paper"}[hyper["variant"]]
    threshold = 5.0 if hyper["variant"] == "torch" else 4.0
    return {**raw_eps(hyper | {"variant": renamed}, now), "threshold": threshold}


def optax_cases() -> Iterator[Case]:
    yield from optax_first_order()
    yield from optax_adaptive()
    yield from optax_factored()
    yield from optax_wrapped()


def optax_first_order() -> Iterator[Case]:
    for decay in DECAYS:
        decayed: Hyper = {"weight_decay": 0.05, "decay": decay}
        for nesterov in (False, True):
            hyper = decayed | {"momentum": 0.8, "nesterov": nesterov}

            def torch(o: Any, now: Now, nesterov: bool = nesterov) -> Any:
                return o.trace(decay=0.8, nesterov=nesterov)

            def paper(o: Any, now: Now, nesterov: bool = nesterov) -> Any:
                return o.chain(o.scale(now.lr), o.trace(decay=0.8, nesterov=nesterov))

            id = f"{'nesterov' if nesterov else 'momentum'}-{decay}"
            name = "sgdw" if decay == "decoupled" else "sgd"
            yield optax_case(
                f"{name}-torch-{id}", name, hyper | {"variant": "torch"}, with_decay(hyper, torch)
            )
            yield optax_case(
                f"{name}-paper-{id}",
                name,
                hyper | {"variant": "paper"},
                with_decay(hyper, paper, scaled=True),
            )
        hyper = decayed | {"momentum": 0.8, "variant": "ema"}
        yield optax_case(
            f"sgd-ema-{decay}",
            "sgd",
            hyper,
            with_decay(hyper, lambda o, now: o.ema(0.8, debias=False)),
        )


def optax_adaptive() -> Iterator[Case]:
    other = {"betas": (0.8, 0.95), "eps": 1e-3}
    default = {"betas": (0.9, 0.999), "eps": 1e-8}
    for decay in DECAYS:
        decayed: Hyper = {"weight_decay": 0.05, "decay": decay}
        hyper = decayed | {"variant": "paper", "eps": 1e-3, "initial_accumulator_value": 0.1}
        yield optax_case(
            f"adagrad-{decay}", "adagrad", hyper, with_decay(hyper, lambda o, now: o.scale_by_rss(
                initial_accumulator_value=0.1, eps=1e-3
            )),
        )  # fmt: skip
        hyper = decayed | {"variant": "paper", "eps": 1e-3, "alpha": 0.9}
        yield optax_case(
            f"rmsprop-paper-{decay}",
            "rmsprop",
            hyper,
            with_decay(hyper, lambda o, now: o.scale_by_rms(decay=0.9, eps=1e-3)),
        )
        for centered in (False, True):
            hyper = decayed | {"eps": 1e-3, "alpha": 0.9, "momentum": 0.7, "centered": centered}

            def scaling(o: Any, inside: bool, centered: bool = centered) -> Any:
                by = o.scale_by_stddev if centered else o.scale_by_rms
                return by(decay=0.9, eps=1e-3, eps_in_sqrt=inside)

            def keras(o: Any, now: Now, scaling: Any = scaling) -> Any:
                return o.chain(scaling(o, True), o.scale(now.lr), o.trace(decay=0.7))

            def torch(o: Any, now: Now, scaling: Any = scaling) -> Any:
                return o.chain(scaling(o, False), o.trace(decay=0.7))

            id = f"{'centered-' if centered else ''}{decay}"
            yield optax_case(
                f"rmsprop-keras-{id}",
                "rmsprop",
                hyper | {"variant": "keras"},
                with_decay(hyper, keras, scaled=True),
            )
            yield optax_case(
                f"rmsprop-torch-{id}",
                "rmsprop",
                hyper | {"variant": "torch"},
                with_decay(hyper, torch),
            )
        for variant in ("torch", "keras", "inside", "inside_hat"):
            for id, options in {"default": default, "other": other}.items():
                hyper = decayed | options | {"variant": variant}

                def adam(o: Any, now: Now, hyper: Hyper = hyper) -> Any:
                    return o.scale_by_adam(**raw_eps(hyper, now))

                name = "adamw" if decay == "decoupled" else "adam"
                id_ = f"{name}-{variant}-{id}-{decay}"
                yield optax_case(id_, name, hyper, with_decay(hyper, adam))
        for variant in ("torch", "paper", "inside"):
            hyper = decayed | other | {"variant": variant}

            def radam(o: Any, now: Now, hyper: Hyper = hyper) -> Any:
                return o.scale_by_radam(**radam_settings(hyper, now))

            yield optax_case(f"radam-{variant}-{decay}", "radam", hyper, with_decay(hyper, radam))
        hyper = decayed | {"betas": (0.8, 0.95)}
        yield optax_case(
            f"lion-{decay}",
            "lion",
            hyper,
            with_decay(hyper, lambda o, now: o.scale_by_lion(b1=0.8, b2=0.95)),
        )


def optax_factored() -> Iterator[Case]:
    for id, options in {"default": {}, "other": {"betas": (0.8, 0.95), "eps": 1e-3}}.items():
        hyper = {"weight_decay": 0.05, **options}

        def lamb(o: Any, now: Now, options: Hyper = options) -> Any:
            b1, b2 = options.get("betas", (0.9, 0.999))
            eps = options.get("eps", 1e-6)
            return o.lamb(now.lr, b1=b1, b2=b2, eps=eps, weight_decay=0.05)

        yield optax_case(f"lamb-{id}", "lamb", hyper, lamb, flat=False)

    for decay in DECAYS:
        for beta2_decay, d in ((-0.8, 1.0), (-0.6, 2.0)):
            hyper = {
                "weight_decay": 0.05,
                "decay": decay,
                "variant": "paper",
                "beta2_decay": beta2_decay,
                "d": d,
                "eps": (None, 1e-2),
            }

            def adafactor(o: Any, now: Now, power: float = beta2_decay, d: float = d) -> Any:
                return o.chain(
                    o.scale_by_factored_rms(
                        min_dim_size_to_factor=1,
                        decay_rate_fn=lambda i, _: 1 - (i + 1.0) ** power,  # its own is float32
                    ),
                    o.clip_by_block_rms(d),
                    o.scale_by_param_block_rms(1e-2),
                    o.scale(min(now.lr, now.t**-0.5)),
                )

            yield optax_case(
                f"adafactor-{-beta2_decay}-{decay}",
                "adafactor",
                hyper,
                with_decay(hyper, adafactor, scaled=True),
                flat=False,
            )


def optax_wrapped() -> Iterator[Case]:
    """Wrappers; a layerwise step is the wrapped step over lr, its trust ratio, and lr."""

    def layerwise(
        inner: Callable[[Any, Now], Any],
    ) -> Callable[[Any, Now], Any]:
        def chain(o: Any, now: Now) -> Any:
            over_lr = o.scale(1 / now.lr)
            return o.chain(inner(o, now), over_lr, o.scale_by_trust_ratio(), o.scale(now.lr))

        return chain

    def lookahead(
        inner: Callable[[Any, Now], Any], k: int, alpha: float = 0.5
    ) -> Callable[[Any, Now], Any]:
        return lambda o, now: o.lookahead(inner(o, now), k, alpha)

    for decay in DECAYS:
        decayed: Hyper = {"weight_decay": 0.05, "decay": decay}
        settings = decayed | {"betas": (0.8, 0.95), "eps": 1e-3}

        def radam(o: Any, now: Now) -> Any:
            return o.scale_by_radam(b1=0.8, b2=0.95, eps=1e-3, threshold=4.0)

        radam_step = with_decay(settings, radam)
        yield optax_case(f"ranger-{decay}", "ranger", settings, lookahead(radam_step, 6), slow=True)
        yield optax_case(f"ralamb-{decay}", "ralamb", settings, layerwise(radam_step), flat=False)
        yield optax_case(
            f"rangerlars-{decay}",
            "rangerlars",
            settings,
            lookahead(layerwise(radam_step), 6),
            flat=False,
            slow=True,
        )

        def adam(o: Any, now: Now) -> Any:
            return o.scale_by_adam(b1=0.8, b2=0.95, eps=1e-3)

        yield optax_case(
            f"centralize-adamw-{decay}",
            "adamw",
            settings,
            with_decay(settings, adam, "centralize"),
            (("centralize", {}),),
            flat=False,
        )
        yield optax_case(  # l2: LARS; decoupled Adam below: LAMB
            f"layerwise-sgd-ema-{decay}",
            "sgd",
            decayed | {"variant": "ema", "momentum": 0.9},
            layerwise(with_decay(decayed, lambda o, now: o.ema(0.9, debias=False))),
            (("layerwise", {}),),
            flat=False,
        )
        yield optax_case(
            f"layerwise-adamw-{decay}",
            "adamw",
            settings,
            layerwise(with_decay(settings, adam)),
            (("layerwise", {}),),
            flat=False,
        )
        yield optax_case(
            f"all-lion-{decay}",
            "lion",
            decayed,
            lookahead(
                layerwise(
                    with_decay(
                        decayed, lambda o, now: o.scale_by_lion(b1=0.9, b2=0.99), "centralize"
                    )
                ),
                4,
                0.3,
            ),
            (("centralize", {}), ("layerwise", {}), ("lookahead", {"k": 4, "alpha": 0.3})),
            flat=False,
            slow=True,
        )
