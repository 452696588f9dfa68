"""What else to change with the batch size, or with the optimizer: suggestions with their sources.

Nothing here is applied in silence: each function returns numbers, or `Suggestion`s that say what,
why and who says so.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from . import registry
from .checks import is_number, plain

GOYAL = "Goyal et al. 2017, arXiv:1706.02677"
MALLADI = "Malladi et al. 2022, arXiv:2205.10287"
LAMB = "You et al. 2020, arXiv:1904.00962"
GOYAL_MOST, LAMB_MOST = 8192, 32768  # the largest batches there that lost nothing
LION = "Chen et al. 2023, arXiv:2302.06675, section 5"
SEARCH = "no publication: this library's range of search"
DECOUPLED = "Loshchilov & Hutter 2019, arXiv:1711.05101, appendix B.1"


@dataclass(frozen=True)
class Suggestion:
    """Hold a value to try, why, and whose advice it is."""

    name: str  # of the hyperparameter, or "warmup"
    value: Any  # to try first; a pair (low, high) where the source gives a range
    why: str
    source: str
    unit: str = ""  # of the value: "steps" or "epochs" for a warm-up
    caution: str = ""  # where the value is outside of what has been tried, and by whom

    def __str__(self) -> str:
        value = self.value
        if isinstance(value, tuple):
            said = f"{value[0]:.3g} to {value[1]:.3g}" if self.name != "betas" else str(value)
        else:
            said = f"{value:.4g}" if is_number(value) else str(value)
        unit = f" {self.unit}" if self.unit else ""
        caution = f" Caution: {self.caution}" if self.caution else ""
        return f"{self.name}: {said}{unit}. {self.why} ({self.source}){caution}"


def linear(lr: float, b0: float, b: float) -> float:
    """lr·b/b0: the learning rate that a batch of b takes where b0 took lr, for SGD.

    Args:
        lr: learning rate that was tuned.
        b0: batch size that it was tuned at, in examples.
        b: the new batch size.

    Raises:
        ValueError: what is no finite number over 0.

    >>> import glissade
    >>> glissade.scaling.linear(0.1, 256, 1024)
    0.4

    Source: Goyal et al. 2017, arXiv:1706.02677.
    """
    _positive(lr=lr, b0=b0, b=b)
    return lr * b / b0


def sqrt(lr: float, b0: float, b: float) -> float:
    """lr·√(b/b0): the learning rate that a batch of b takes where b0 took lr, for Adam's family.

    Args:
        lr, b0, b: as in `linear`.

    Raises:
        ValueError: what is no finite number over 0.

    >>> import glissade
    >>> glissade.scaling.sqrt(1e-3, 256, 1024)
    0.002

    Source: Krizhevsky 2014, arXiv:1404.5997; for Adam Malladi et al. 2022, arXiv:2205.10287.
    """
    _positive(lr=lr, b0=b0, b=b)
    return lr * math.sqrt(b / b0)


def normalized_decay(weight_decay: float, batch: float, examples: float, epochs: float) -> float:
    """λ = λ_norm·√(b/(B·T)): the decay of a run, from one that holds for any length and batch.

    Args:
        weight_decay: λ_norm.
        batch: b, in examples.
        examples: B, of the training set.
        epochs: T.

    Raises:
        ValueError: what is no finite number over 0.

    >>> import glissade
    >>> glissade.scaling.normalized_decay(0.05, batch=100, examples=10_000, epochs=25)
    0.001

    Source: Loshchilov & Hutter 2019, arXiv:1711.05101, appendix B.1.
    """
    _positive(weight_decay=weight_decay, batch=batch, examples=examples, epochs=epochs)
    return weight_decay * math.sqrt(batch / (examples * epochs))


LEAST_BETAS = (0.5, 0.9)
FEW_HAVE_TRIED = (
    "this is what the formula gives, and we know of no recipe with β1 under 0.5 but GANs' (0.5: "
    "Radford et al. 2016, arXiv:1511.06434; 0: Gulrajani et al. 2017, arXiv:1704.00028), and of "
    "none with β2 under 0.9. Try the old ones, too."
)
SGD_LIKE = ("sgd", "momentum", "nesterov", "sgdw")
SIGN_LIKE = ("lion", "signum")
LAYERWISE = ("lars", "lamb", "ralamb", "rangerlars")


def batch(
    optimizer: str,
    b0: float,
    b: float,
    *,
    lr: float,
    betas: tuple[float, float] | None = None,
    eps: float | None = None,
    weight_decay: float | None = None,
    decay: str | None = None,
    warmup: float | None = None,
) -> list[Suggestion]:
    """Suggest what to change when the batch goes from b0 to b examples.

    Args:
        optimizer: a name of `glissade list`.
        b0, b: batch sizes, in examples.
        lr: learning rate at b0.
        betas, eps, weight_decay: at b0; None leaves their advice out.
        decay: "l2", "decoupled", ...; None is the optimizer's default.
        warmup: steps of warm-up at b0; None leaves its length out.

    Returns:
        Suggestions, the learning rate first. They are starting points of a search.

    Raises:
        ValueError: an unknown optimizer, or what is no finite number over 0.

    >>> import glissade
    >>> for one in glissade.scaling.batch("adamw", 256, 1024, lr=1e-3)[:1]:
    ...     print(one.name, one.value)
    lr 0.002
    """
    row = registry.lookup(optimizer)
    _positive(b0=b0, b=b, lr=lr)
    found = [_learning_rate(row.name, lr, b0, b)]
    found += _moments(row.name, b / b0, betas, eps)
    if weight_decay:
        kind = decay or row.rule().hyper.get("decay", "decoupled")
        found.append(_decay(kind, weight_decay, b / b0, found[0].value / lr))
    found += _warmup(row.name, b / b0, warmup)
    return found


def _learning_rate(name: str, lr: float, b0: float, b: float) -> Suggestion:
    if name in SGD_LIKE:
        why = (
            "Linear: k steps of a small batch add up to one of a batch k times as large, as long "
            "as gradients change little meanwhile; it ends at some batch (8k on ImageNet there)."
        )
        caution = f"a batch of {b:g} is beyond the {GOYAL_MOST} that they reached without loss."
        caution = caution if b > max(b0, GOYAL_MOST) else ""
        return Suggestion("lr", linear(lr, b0, b), why, GOYAL, caution=caution)
    value = sqrt(lr, b0, b)
    if name in LAYERWISE:
        why = "Square root, with a warm-up as long as the batch is large."
        caution = f"a batch of {b:g} is beyond the {LAMB_MOST} of the authors."
        caution = caution if b > max(b0, LAMB_MOST) else ""
        return Suggestion("lr", value, why, LAMB, caution=caution)
    if name in SIGN_LIKE:
        why = (
            "Square root, as for Adam: each step has one size, and its noise falls with the root. "
            "The rule's authors give no law; they saw its lead over AdamW grow with the batch."
        )
        return Suggestion("lr", value, why, f"{MALLADI} (for Adam and RMSprop); {LION}")
    why = "Square root: where noise rules the second moment, that keeps the path's statistics."
    return Suggestion("lr", value, why, MALLADI)


def _moments(
    name: str, kappa: float, betas: tuple[float, float] | None, eps: float | None
) -> Iterator[Suggestion]:
    """Malladi's rule: 1 − β scales with the batch, ε with one over its root."""
    if name in SGD_LIKE or name in SIGN_LIKE:
        return
    if betas is not None:
        scaled = tuple(_less(kappa * (1 - beta)) for beta in plain(betas))
        kept = tuple(new if 0 < new < 1 else old for old, new in zip(betas, scaled, strict=True))
        why = "1 − β grows with the batch: the averages then span as many examples as before."
        if kept != scaled:
            why += (
                " Where that would leave nothing to average, β is as it was: the rule ends there."
            )
        tried = all(new >= least for new, least in zip(kept, LEAST_BETAS, strict=True))
        yield Suggestion("betas", kept, why, MALLADI, caution="" if tried else FEW_HAVE_TRIED)
    if eps:
        why = "ε over the root of the ratio: gradients' noise, which ε is beside, shrinks so."
        yield Suggestion("eps", eps / math.sqrt(kappa), why, MALLADI)


def _less(x: float) -> float:
    """Return 1 − x, with twelve digits of x however small it is."""
    return round(1 - x, 12 - min(0, math.floor(math.log10(x))))


def _decay(kind: str, weight_decay: float, kappa: float, growth: float) -> Suggestion:
    """Suggest the decay that shrinks weights in an epoch by as much as before."""
    if kind == "independent":
        value, how = weight_decay * kappa, "the ratio: there are so many times fewer steps"
    elif kind == "l2":
        why = "As it is: it is part of the loss, which does not depend on the batch."
        return Suggestion("weight_decay", weight_decay, why, GOYAL)
    else:
        value = weight_decay * kappa / growth
        how = "the ratio over that of the learning rates, which multiplies the decay already"
    why = (
        f"Times {how}, so that an epoch shrinks weights by as much as before. The paper's own "
        "normalised decay grows with the root of the batch only: try that as well."
    )
    return Suggestion("weight_decay", value, why, DECOUPLED)


def _warmup(name: str, kappa: float, steps: float | None) -> Iterator[Suggestion]:
    if kappa <= 1:
        return
    if steps is not None:
        why = "The same number of steps, where it was given in steps; in epochs it is shorter so."
        source = GOYAL
        if name in LAYERWISE:
            steps *= kappa
            why = "Steps times the ratio: there the share of the run grew with the batch."
            source = LAMB
        yield Suggestion("warmup", steps, why, source, unit="steps")
    elif name not in ("radam", "ranger", "ralamb", "rangerlars", "adamod"):
        why = "Warm up if there was none: large rates are least stable at the start."
        yield Suggestion("warmup", 5, why, GOYAL, unit="epochs")


def warmup_steps(beta2: float) -> int:
    """Steps of linear warm-up that Adam wants where nothing better is known: ⌈2/(1−β2)⌉.

    Args:
        beta2: of Adam, in [0, 1).

    Raises:
        ValueError: beta2 out of range.

    >>> import glissade
    >>> glissade.scaling.warmup_steps(0.999)
    2000

    Source: Ma & Yarats 2021, arXiv:1910.04209 (as good as RAdam's rectification there).
    """
    beta2 = plain(beta2)
    if not (is_number(beta2) and 0 <= beta2 < 1):
        raise ValueError(f"beta2={beta2!r}: must be a number in [0, 1)")
    return math.ceil(2 / (1 - Fraction(repr(beta2))))  # 1 − 0.999 is not 0.001 in floats


def convert(old: str, new: str, *, lr: float, weight_decay: float = 0.0) -> list[Suggestion]:
    """Where to start with one optimizer when another has been tuned.

    Args:
        old, new: names of `glissade list`.
        lr, weight_decay: of the old one.

    Returns:
        Suggestions; ranges are pairs. Where none is published, they say so, and where a
        search would begin. None at all from an optimizer to itself.

    Raises:
        ValueError: unknown optimizers, or what is no finite number over 0.

    >>> import glissade
    >>> for one in glissade.scaling.convert("adamw", "lion", lr=3e-4, weight_decay=0.1):
    ...     print(one.name, one.value)
    lr (3e-05, 0.0001)
    weight_decay (0.3, 1.0)
    """
    pair = (registry.lookup(old).name, registry.lookup(new).name)
    _positive(lr=lr)
    if pair[0] == pair[1]:
        return []
    given = _CONVERT.get(pair)
    if given is None:
        return list(_unpublished(*pair, weight_decay))
    low, high, why, source = given
    found = [Suggestion("lr", _pair(lr * low, lr * high), why, source)]
    if weight_decay:
        why = "By as much the other way, so that lr·λ, the strength of the decay, stays."
        decays = _pair(weight_decay / high, weight_decay / low)
        found.append(Suggestion("weight_decay", decays, why, source))
    return found


def _unpublished(old: str, new: str, weight_decay: float) -> Iterator[Suggestion]:
    """Suggest where to search where nothing is published."""
    why = (
        f"No publication says how to come from {old} to {new}, and its old learning rate says "
        "nothing of the new one: this is where `glissade compare` searches; `glissade lrfind` "
        "looks for one on your task."
    )
    yield Suggestion("lr", registry.lookup(new).lr_range, why, SEARCH)
    if weight_decay:
        why = (
            "As it is, to begin with: nothing is published of this either. A decoupled decay takes "
            "lr·λ of the weights at each step: where lr falls, λ has to grow by as much."
        )
        yield Suggestion("weight_decay", weight_decay, why, SEARCH)


def _pair(a: float, b: float) -> tuple[float, float]:
    return float(f"{a:.6g}"), float(f"{b:.6g}")


_SIGNS = "Its steps are signs, larger than AdamW's: 3 to 10 times less."
_CONVERT: dict[tuple[str, str], tuple[float, float, str, str]] = {
    ("adamw", "lion"): (1 / 10, 1 / 3, _SIGNS, LION),
    ("lion", "adamw"): (3.0, 10.0, "Lion's advice, turned round: 3 to 10 times more.", LION),
}


def _positive(**given: float) -> None:
    for name, value in given.items():
        if not (is_number(plain(value)) and 0 < value < math.inf):
            raise ValueError(f"{name}={value!r}: must be a finite number above 0")
