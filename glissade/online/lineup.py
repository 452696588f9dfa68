"""Learners from words, such as ``adagrad, adam(betas=(0.9, 0.99)), eg``, with fitting settings.

What is left out is what the theorems ask for on the set at hand: the learning rates that make the
bounds least, α/√t where the rule's own rates do not fall, and β1·λ^(t-1) for Adam and AMSGrad.
"""

from __future__ import annotations

import ast
import inspect
import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from ..rule import Rule
from ..spec import Spec, specs
from ..wrappers.project import Region
from .learners import (
    Descent,
    DualAveraging,
    ExponentiatedGradient,
    Geometric,
    Learner,
    inverse_root,
    level,
)
from .sets import centre, diameter, diameter_sup
from .streams import Stream

FALLING = ("adagrad", "adagradfull")  # their rates fall by themselves
LAM = 0.9  # β1 falls by so much a round, unless said otherwise
OWN = {"eg": ExponentiatedGradient, "da": DualAveraging}

Hyper = Mapping[str, Mapping[str, Any]]


def learners(
    text: str, stream: Stream, region: Region, hyper: Hyper | None = None, lam: float = LAM
) -> list[Learner]:
    """The learners of a list.

    Args:
        text: optimizers as `glissade compare` takes them, and ``eg`` and ``da``.
        stream, region: what the settings left out are to fit.
        hyper: settings by the name of an optimizer, where the text says none.
        lam: λ of β1·λ^(t-1); 1 leaves β1 alone.

    Raises:
        ValueError: it cannot be read.
    """
    if not 0 < lam <= 1:
        raise ValueError(f"lam={lam}: allowed is a number over 0 and at most 1")
    try:
        tree = ast.parse(text.strip(), mode="eval").body
    except SyntaxError:
        specs(text)  # says what is wrong
        raise
    found: list[Learner] = []
    for node in tree.elts if isinstance(tree, ast.Tuple) else [tree]:
        made = _own(node, stream, region)
        found.append(made or _descent(specs(ast.unparse(node))[0], stream, region, hyper, lam))
        if any(one.label == found[-1].label for one in found[:-1]):
            raise ValueError(f"{found[-1].label} is named twice: name each only once")
    return found


def learner(what: str | Rule | Learner, stream: Stream, region: Region) -> Learner:
    """One learner: words as for `learners`; a rule, whose lr falls as α/√t unless its rates fall by
    themselves; or a learner as it is."""
    if isinstance(what, Rule):
        rate = level if what.name in FALLING else inverse_root
        return Descent(what, what.name, rate)
    if isinstance(what, str):
        found = learners(what, stream, region)
        if len(found) != 1:
            raise ValueError(f"{what!r} names {len(found)} learners: one plays at a time")
        return found[0]
    return what


def _own(node: ast.expr, stream: Stream, region: Region) -> Learner | None:
    """`eg` or `da`, with keywords if any; None for everything else."""
    name = node.func if isinstance(node, ast.Call) else node
    if not (isinstance(name, ast.Name) and name.id in OWN):
        return None
    call = node if isinstance(node, ast.Call) else None
    kind = OWN[name.id]
    known = list(inspect.signature(kind).parameters)
    try:
        given = {str(word.arg): float(ast.literal_eval(word.value)) for word in call.keywords} \
            if call else {}  # fmt: skip
    except (ValueError, TypeError):
        raise ValueError(f"cannot read {ast.unparse(node)!r}: values are numbers") from None
    if (call and call.args) or set(given) - set(known):
        raise ValueError(f"{ast.unparse(node)}: {name.id} takes {', '.join(known)}, by name")
    if not all(math.isfinite(x) and x > 0 for x in given.values()):
        raise ValueError(f"{ast.unparse(node)}: allowed are finite numbers over 0")
    steep = stream.steepest(region, np.inf) or 1.0
    if kind is ExponentiatedGradient:
        usual = {"lr": math.sqrt(math.log(max(2, stream.dim))) / steep}
    else:
        usual = {"lr": _radius_sup(region, stream.dim), "delta": steep}
    made: Learner = kind(**{**usual, **given})
    return made


def _radius_sup(region: Region, dim: int) -> float:
    """How far a coordinate can be from the centre."""
    if region.name == "simplex":
        return 1 - float(centre(region, dim)[0]) or 1.0
    return diameter_sup(region, dim) / 2 or 1.0


def _descent(
    spec: Spec, stream: Stream, region: Region, hyper: Hyper | None, lam: float
) -> Descent:
    if spec.row is None:
        raise ValueError(f"{spec.label} is no rule, and cannot play")
    more = {**_usual(spec, stream, region, lam), **(hyper or {}).get(spec.name, {})}
    lr = _lr(spec, stream, region) if spec.lr is None else spec.lr
    spec = replace(spec, lr=lr, hyper={**more, **spec.hyper})
    rate: Any = spec.schedule or (level if spec.name in FALLING else inverse_root)
    momentum = None
    if spec.name == "adam" and spec.hyper.get("betas", (0.9,))[0] > 0 and lam < 1:
        momentum = Geometric(lam)
    return Descent(spec.rule(), _label(spec, rate, momentum is not None, lam), rate, momentum)


def _usual(spec: Spec, stream: Stream, region: Region, lam: float) -> dict[str, Any]:
    """What the theorems ask for beside the rate."""
    if spec.name == "amsgrad" and spec.hyper.get("variant", "paper") in ("paper", "inside"):
        return {"beta1_decay": lam} if lam < 1 else {}
    if spec.name == "adagradfull" and spec.hyper.get("variant") == "dual":
        return {"delta": stream.steepest(region)}
    return {}


def _lr(spec: Spec, stream: Stream, region: Region) -> float:
    """The rate that makes the bound least, or Zinkevich's D/G."""
    D, sup = diameter(region, stream.dim), diameter_sup(region, stream.dim)
    if spec.name in ("sgd", "sgdw"):
        return (D / stream.steepest(region)) if stream.steepest(region) else 1.0
    if spec.name == "adagradfull":
        return D / 2 if spec.hyper.get("variant") == "dual" else D / math.sqrt(2)
    return sup / math.sqrt(2) or 1.0


def _label(spec: Spec, rate: Any, falls: bool, lam: float) -> str:
    assert spec.row is not None
    values = {"lr": spec.lr, **spec.hyper}
    if values.get("beta1_decay") is not None and values.get("betas", (0.9,))[0] == 0:
        del values["beta1_decay"]  # of nothing
    said = f"{spec.row.label}({', '.join(f'{k}={_short(v)}' for k, v in values.items())})"
    for name, options in spec.around:
        more = "".join(f", {key}={value}" for key, value in options.items())
        said = f"{name}({said}{more})"
    if rate is inverse_root:
        said += "/√t"
    elif rate is not level:
        said += f" @ {rate!r}"
    return said + (f", β1·{lam:g}^t" if falls else "")


def _short(value: Any) -> str:
    if isinstance(value, tuple):
        return f"({', '.join(map(_short, value))})"
    return f"{value:.3g}" if isinstance(value, float) else str(value)
