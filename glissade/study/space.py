"""Search spaces: what is tuned, between which ends, from one table of Sobol points for all.

An optimizer's space is the learning rate and, where it has one, the weight decay, both on a log
scale, each range declared in the registry. ``adamw(weight_decay=0.1)`` fixes one;
``adamw(lr=between(1e-4, 1e-2), eps=between(1e-10, 1e-4))`` gives other ends or tunes something
else, and ``uniform(0.8, 0.99)`` does so on a linear scale.
"""

from __future__ import annotations

import ast
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from glissade.digits import rounded
from glissade.spec import HINT, Spec, specs

SCALES = {"between": True, "uniform": False}  # whether it is a log scale
DIGITS = 4  # of a value that is tried: settings can be typed again; more in a narrow range
EDGE = 0.05  # of a range, at each end: a best value there asks for a wider range
COLUMNS = 8  # of the table: no space may have more dimensions


@dataclass(frozen=True)
class Dimension:
    """One hyperparameter and the range in which it is tuned."""

    name: str
    low: float
    high: float
    log: bool = True

    def __post_init__(self) -> None:
        fine = math.isfinite(self.low) and math.isfinite(self.high) and self.low < self.high
        if not fine or (self.log and self.low <= 0):
            what = "two numbers above 0" if self.log else "two numbers"
            raise ValueError(
                f"{self.name}={self}: {what}, the lower first, as in {self.name}=between(1e-4, 0.1)"
            )

    def __str__(self) -> str:
        return f"{'between' if self.log else 'uniform'}({self.low:.15g}, {self.high:.15g})"

    def at(self, share: float) -> float:
        """Return the value so far along the range, in a few digits."""
        if self.log:
            exact = self.low * (self.high / self.low) ** share
        else:
            exact = self.low + share * (self.high - self.low)
        return rounded(exact, self.low, self.high, DIGITS, log=self.log)

    def share(self, value: float) -> float:
        """How far along the range a value lies, 0 to 1."""
        if self.log:
            return math.log(value / self.low) / math.log(self.high / self.low)
        return (value - self.low) / (self.high - self.low)

    def edge(self, value: float) -> str | None:
        """``"lowest"`` or ``"highest"`` if a value lies at that end; a decay of nearly nothing
        is no edge."""
        share = self.share(value)
        if share > 1 - EDGE:
            return "highest"
        return "lowest" if share < EDGE and self.name != "weight_decay" else None


@dataclass(frozen=True)
class Searched:
    """An optimizer with its schedule, and what of it is tuned."""

    spec: Spec
    dimensions: tuple[Dimension, ...]

    def settings(self, point: Sequence[float]) -> dict[str, float]:
        """The hyperparameters at a row of the table."""
        return {one.name: one.at(share) for one, share in zip(self.dimensions, point, strict=False)}


def at(spec: Spec, settings: Mapping[str, float]) -> Spec:
    """An optimizer with these hyperparameters."""
    hyper = {**spec.hyper, **{k: v for k, v in settings.items() if k != "lr"}}
    return replace(spec, lr=settings.get("lr", spec.lr), hyper=hyper)


def written(spec: Spec, settings: Mapping[str, float]) -> str:
    """Such a setting as one types it, without its schedule: ``adamw(lr=0.002)``."""
    full = at(spec, settings)
    words = {**({} if full.lr is None else {"lr": full.lr}), **full.hyper}
    text = spec.name
    if words:
        text += "(" + ", ".join(f"{key}={value!r}" for key, value in words.items()) + ")"
    for name, options in spec.around:
        text = f"{name}({text}{''.join(f', {k}={v!r}' for k, v in options.items())})"
    return text


def searched(text: str) -> tuple[Searched, ...]:
    """The optimizers of a list, with ranges where it has some.

    Raises:
        ValueError: as `glissade.spec.specs` does, and for a range that is none.
    """
    try:
        tree = ast.parse(text.strip(), mode="eval").body
    except SyntaxError as error:
        raise ValueError(f"cannot read {text!r} ({error.msg}): {HINT}") from None
    parts = tree.elts if isinstance(tree, ast.Tuple) else [tree]
    found: list[Searched] = []
    for part in parts:
        ranges = _taken(part)
        (spec,) = specs(ast.unparse(part))
        one = Searched(_titled(spec, ranges), _space(spec, ranges))
        if any(other.spec.text == one.spec.text for other in found):
            raise ValueError(f"{one.spec.text} is named twice: name each only once")
        found.append(one)
    return tuple(found)


def _taken(node: ast.expr) -> list[Dimension]:
    """The ranges in an optimizer's text, which are taken out of it."""
    found = []
    for call in ast.walk(node):
        if not isinstance(call, ast.Call):
            continue
        kept = []
        for word in call.keywords:
            value = word.value
            is_range = isinstance(value, ast.Call) and isinstance(value.func, ast.Name)
            if is_range and value.func.id in SCALES:  # type: ignore[attr-defined]
                found.append(_range(str(word.arg), value))  # type: ignore[arg-type]
            else:
                kept.append(word)
        call.keywords = kept
    return found


def _range(name: str, call: ast.Call) -> Dimension:
    try:
        low, high = (float(ast.literal_eval(x)) for x in call.args)
    except (ValueError, TypeError):
        raise ValueError(
            f"{name}={ast.unparse(call)}: write two numbers, as in {name}=between(1e-4, 0.1)"
        ) from None
    return Dimension(name, low, high, SCALES[call.func.id])  # type: ignore[attr-defined]


def _space(spec: Spec, own: Sequence[Dimension]) -> tuple[Dimension, ...]:
    """What is tuned: what the text says, and by default what it does not fix."""
    said = {one.name: one for one in own}
    usual = []
    if spec.lr is None:
        usual.append(Dimension("lr", *spec.lr_range))
    if spec.row is not None and spec.row.decay_range and "weight_decay" not in spec.hyper:
        usual.append(Dimension("weight_decay", *spec.row.decay_range))
    space = [said.pop(one.name, one) for one in usual]
    for name, one in said.items():
        for end in (one.low, one.high):
            _check(spec, name, end)
        space.append(one)
    for one in space:  # both ends of every range must be allowed
        for end in (one.low, one.high):
            _check(spec, one.name, end)
    if len(space) > COLUMNS:
        raise ValueError(f"{spec.text}: {len(space)} hyperparameters to tune; at most {COLUMNS}")
    return tuple(space)


def _check(spec: Spec, name: str, value: float) -> None:
    """Raise ValueError unless the optimizer has this hyperparameter and may have this value."""
    specs(written(spec, {name: value}))


def _titled(spec: Spec, own: Sequence[Dimension]) -> Spec:
    """With its ranges back in its text and label, so that two of a kind can be told apart."""
    if not own:
        return spec
    more = ", ".join(f"{one.name}={one}" for one in own)
    return replace(spec, text=f"{spec.text} with {more}", label=f"{spec.label} [{more}]")


def table(trials: int, study: int, seed: int) -> np.ndarray:
    """The points of one study, (trials, COLUMNS) in [0, 1): the same rows for every optimizer."""
    from scipy.stats import qmc

    child = np.random.SeedSequence((seed, 1, study))
    sobol = qmc.Sobol(COLUMNS, scramble=True, rng=np.random.default_rng(child))
    # Whole powers of two keep the points' balance; the first rows are taken.
    points = sobol.random_base2(max(1, math.ceil(math.log2(trials))))
    return np.asarray(points[:trials])
