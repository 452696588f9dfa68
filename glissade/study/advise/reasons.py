"""Why an optimizer is a candidate, what speaks against it, and where to start with it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from glissade import scaling
from glissade.checks import is_number
from glissade.curvature import ESTIMATORS
from glissade.spec import Spec, specs
from glissade.study.advise import recipes
from glissade.study.advise.fit import State
from glissade.study.advise.look import Look
from glissade.study.advise.recipes import Start
from glissade.study.task import Prepared
from glissade.study.units import size

if TYPE_CHECKING:
    from glissade.study.advise.advice import Advice


def plain(arm: str) -> str:
    """An arm without its schedule and its ranges, which its label still has."""
    return arm.partition(" @ ")[0].partition(" with ")[0]


def start(found: Advice, spec: Spec, batch: int) -> Start:
    """What the own comparison chose, else a recipe, else the defaults."""
    for one in found.earlier:
        for arm, text in one.settings.items():
            if plain(arm) != spec.text:
                continue
            whose = f"your own comparison of {one.date} ({one.folder})"
            lr = one.rates.get(arm)
            if one.batch in (None, batch) or lr is None or spec.row is None:
                return Start(text, whose)
            law = scaling.batch(spec.name, one.batch or batch, batch, lr=lr)[0]
            new = f"{law.value:.3g}"
            return Start(
                text.replace(f"lr={lr!r}", f"lr={new}"),
                f"{whose}, with lr={lr:g} scaled from batches of {one.batch} to {batch} "
                f"({law.source})",
            )
    tuned = _tuned_adamw(found) if spec.text == "lion" else None
    if tuned is not None:
        return tuned
    if spec.row is None or spec.hyper or spec.around:
        return Start(spec.text, "as your earlier comparison had it; the rest the library's")
    return recipes.start(spec.name, found.look.kinds, batch)


def _tuned_adamw(found: Advice) -> Start | None:
    for one in found.earlier:
        text = one.settings.get("adamw")
        if text is not None and not one.changed:
            (adamw,) = specs(text)
            if adamw.lr is not None:
                decay = adamw.hyper.get("weight_decay")
                hyper = {"lr": adamw.lr, **({"weight_decay": decay} if is_number(decay) else {})}
                return recipes.from_adamw(hyper, f"AdamW as you tuned it ({one.folder})")
    return None


def why(found: Advice, spec: Spec, batch: int) -> list[str]:
    out = []
    for one in found.earlier:
        for arm in one.arms:
            if plain(arm) != spec.text:
                continue
            if one.winner == arm:
                said = f"it beat {_and([one.labels[x] for x in one.arms if x != arm])}"
            elif arm not in one.beaten:
                said = "nothing beat it"
            else:
                continue
            since = f" ({'; '.join(one.changed)})" if one.changed else ""
            out.append(f"In your comparison of {one.date}, {one.folder}, {said}{since}.")
    for report in found.reports:
        if report.name == spec.name:
            out.append(f"Its authors report: {report.said} (on {report.scale}; {report.source}).")
    if spec.name == "adamw" and not out:
        out.append("What most people take, and so what others are measured against.")
    if spec.row is not None and spec.row.when:
        out.append(spec.row.when)
    return out


def against(found: Advice, task: Prepared, spec: Spec, state: State, look: Look) -> list[str]:
    out = []
    if spec.row is not None and spec.row.not_when:
        out.append(spec.row.not_when)
    if curved(spec):
        out.append(curvature(spec, task))
    least = min((x.bytes for x in found.states), default=0)
    if state.bytes > 4 * look.parameters + 2**20 and least < state.bytes:
        out.append(f"Its state takes {size(state.bytes)}; the least of any is {size(least)}.")
    reported = any(report.name == spec.name for report in found.reports)
    if not reported and not recipes.published(spec.name, look.kinds):
        out.append("No paper cited here reports on a model such as yours with it.")
    return out


def curved(spec: Spec) -> bool:
    """Whether it reads a curvature."""
    return spec.row is not None and "curvature" in spec.rule().inputs


def curvature(spec: Spec, task: Prepared) -> str:
    """What an estimate of it costs on this task."""
    has = hasattr(task.task, "logits")
    _, forwards, backwards = ESTIMATORS["gnb" if has else "hutchinson"]
    return (
        f"Every {spec.rule().hyper['k']} steps it takes {forwards} forward and {backwards} "
        f"backward pass{'es' if backwards > 1 else ''} more, to estimate a curvature"
        + (" from the task's logits." if has else ": by Hutchinson's method through the loss, as "
           "the task has no `logits`.")
    )  # fmt: skip


def _and(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
