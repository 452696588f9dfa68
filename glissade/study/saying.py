"""What is said of a comparison in words: the verdict of a task, and what it does not cover."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from glissade.study import statistics, units
from glissade.study.design import Settings
from glissade.study.statistics import Difference
from glissade.study.units import Units

if TYPE_CHECKING:
    from glissade.study.analysis import Row, TaskAnalysis
    from glissade.study.conduct import Outcome

RULE = (
    "Two optimizers differ if a sign-flip permutation test over the paired seeds (signed ranks, "
    "two-sided, Holm-adjusted over all pairs) rejects at 5 %. Intervals are 95 % BCa bootstrap "
    "intervals of the typical paired difference (Hodges-Lehmann), each for itself. A run that "
    "diverged counts as worse than any other."
)


@dataclass(frozen=True)
class Standing:
    """Who is where on a task, by the decision rule."""

    leader: Row
    level: tuple[Row, ...]  # not told apart from the leader
    beaten: tuple[Row, ...]  # by the leader
    inner: tuple[tuple[Row, Row], ...]  # among the level: who beats whom all the same

    @classmethod
    def of(cls, rows: Sequence[Row], found: Sequence[Difference]) -> Standing:
        """Of the table's rows, the leader first, and the differences of all pairs."""
        leader, rest = rows[0], rows[1:]
        better = {frozenset((x.one, x.other)): x.better for x in found}
        beaten = [x for x in rest if better.get(frozenset((leader.arm, x.arm))) == leader.arm]
        level = [x for x in rest if x not in beaten]
        inner = [
            (one, other)
            for one in level
            for other in level
            if one is not other and better.get(frozenset((one.arm, other.arm))) == one.arm
        ]
        return cls(leader, tuple(level), tuple(beaten), tuple(inner))

    @property
    def not_told_apart(self) -> str:
        """Such as: ``A, B and C``; ``A and either of B and C (B beats C)``."""
        names = _and([row.label for row in self.level])
        if not self.inner:
            return _and([self.leader.label, *(row.label for row in self.level)])
        but = "; ".join(f"{one.label} beats {other.label}" for one, other in self.inner)
        return f"{self.leader.label} and any of {names} (though {but})"


def verdict(
    rows: Sequence[Row], found: Sequence[Difference], unit: Units, settings: Settings
) -> str:
    """One sentence: who won, by how much and how sure; or that no difference was detected."""
    if len(rows) == 1:
        value = unit.value(rows[0].test)
        return f"{rows[0].label}: {unit.name} {value}; nothing to compare it with."
    if not found:
        return "No verdict: the budget ended before every optimizer had been run on a fresh seed."
    at = Standing.of(rows, found)
    of = {frozenset((x.one, x.other)): x for x in found}
    if not at.level:
        return _won(at.leader, rows[1], of[frozenset((at.leader.arm, rows[1].arm))], unit, rows)
    pairs, seeds = len(found), len(found[0].each)
    least = statistics.fewest_pairs(pairs)
    if not any(x.found for x in found) and seeds < least:
        return (
            f"No difference detected, nor could one be: {pairs} comparison"
            f"{'s need' if pairs > 1 else ' needs'} {least} seeds or more, and there are {seeds}."
        )
    sentence = f"No difference detected between {at.not_told_apart}"
    if len(at.level) == 1:
        one = of[frozenset((at.leader.arm, at.level[0].arm))]
        sentence += f" ({_typical(one, unit)}, {_interval(one, unit)}{_p(one)})"
    else:
        least_p = min(of[frozenset((at.leader.arm, r.arm))].adjusted for r in at.level)
        sign = "=" if least_p == 1 else "≥"
        against = f"adjusted p of {at.leader.label} against each {sign} {least_p:.2g}"
        sentence += f" in {unit.name} ({against})"
    if at.beaten:
        sentence += f"; {_beats([at.leader, *at.level], at.beaten, of)}"
    return sentence + "."


def _beats(
    first: Sequence[Row], beaten: Sequence[Row], of: Mapping[frozenset[str], Difference]
) -> str:
    """Whether all of the first beat them, or the leader alone for sure."""
    sure = all(of[frozenset((x.arm, y.arm))].better == x.arm for x in first for y in beaten)
    names = _and([row.label for row in beaten])
    if not sure:
        return f"{first[0].label} beats {names}"
    return f"{'both' if len(first) == 2 else 'all of them'} beat {names}"


def _won(leader: Row, second: Row, by: Difference, unit: Units, rows: Sequence[Row]) -> str:
    side = "lower" if unit.sign > 0 else "higher"
    who = f"than {second.label}'s" if len(rows) == 2 else f"than that of the next, {second.label}"
    if by.typical == 0:
        sign = -1.0 if by.one == leader.arm else 1.0
        ahead, behind = (sum(sign * w * d > 0 for d in by.each) for w in (1, -1))
        said = f"{side} {who} on {ahead} seeds, and {'lower' if side == 'higher' else 'higher'} on "
        return (
            f"{leader.label} won: its {unit.name}, {unit.value(leader.test)}, is {said}{behind} of "
            f"{len(by.each)} ({_p(by)})."
        )
    return (
        f"{leader.label} won: its {unit.name}, {unit.value(leader.test)}, is "
        f"{unit.amount(by.typical)} {side} {who} ({_interval(by, unit)}{_p(by)})."
    )


def _typical(one: Difference, unit: Units) -> str:
    return f"typically {unit.amount(one.typical)} apart"


def _interval(one: Difference, unit: Units) -> str:
    if one.interval is None:
        return ""
    turn = -1.0 if one.typical < 0 else 1.0
    low, high = sorted((turn * one.interval.low, turn * one.interval.high))
    return f"95 % interval {_signed(low)} to {_signed(high)}, "


def _signed(x: float) -> str:
    if math.isinf(x):
        return "−∞" if x < 0 else "∞"
    return ("−" if x < 0 else "") + units.digits(abs(x))


def _p(one: Difference) -> str:
    return f"adjusted p = {one.adjusted:.2g}"


def _and(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def caveats(outcome: Outcome, tasks: Iterable[TaskAnalysis]) -> Iterator[str]:
    """What a reader has to know before believing the verdict; the gravest first."""
    plan, asked = outcome.plan, outcome.plan.settings
    tasks = tuple(tasks)
    studies = min(asked.studies, max(1, outcome.seeds))  # whose choices have been run at all
    if outcome.cut:
        yield (
            f"Stopped at the budget: {outcome.trials} of {asked.trials} trials and "
            f"{outcome.seeds} of {asked.seeds} seeds, the same for every optimizer."
        )
    for task in tasks:
        yield from _troubles(task, " on " + task.task if len(tasks) > 1 else "")
    pairs = math.comb(len(plan.arms), 2)
    if pairs and outcome.seeds < (least := statistics.fewest_pairs(pairs)):
        yield (
            f"{outcome.seeds} seeds cannot show a difference among {pairs} comparison"
            f"{'s' if pairs > 1 else ''} at 5 %, "
            f"however large it is: {least} or more are needed."
        )
    if studies == 1:
        yield (
            "One tuning study: what is said holds for the settings it chose, and another table of "
            "trials might have chosen otherwise; --studies 3 has that luck in its intervals."
        )
    yield (
        f"{'Each result is' if len(tasks) > 1 else 'This is'} {outcome.seeds} seeds of one task at "
        f"one size, {outcome.trials} trials in each of {studies} "
        f"stud{'y' if studies == 1 else 'ies'}, and equal steps for all; nothing here speaks "
        "for other models, other data or longer training."
    )


def _troubles(task: TaskAnalysis, where: str) -> Iterator[str]:
    for row in task.rows:
        if row.failed:
            yield f"{row.label} failed in {row.failed} runs{where}, counted as lost: {row.error}"
    for row in task.rows:
        lost = [
            f"{count} of {total} {kind}"
            for count, total, kind in (
                (row.trials_lost, row.trials, "trials"),
                (row.runs_lost, row.runs, "fresh seeds"),
            )
            if count
        ]
        if lost:
            yield f"{row.label} diverged in {_and(lost)}{where}."
    for row in task.rows:
        edges = [(x, edge) for x in row.chosen for edge in x.edges]
        if edges:
            studies = f"{len({x.study for x, _ in edges})} of {len(row.chosen)} studies"
            yield (
                f"{row.label}{where}: {edges[0][1]}, in {studies}; a better value may lie beyond: "
                "search again with a wider range."
            )
