"""What one sees while a comparison runs: bars on a terminal, plain lines elsewhere."""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Sequence
from types import TracebackType
from typing import Protocol

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn

from glissade.study import units
from glissade.study.conduct import Watcher
from glissade.study.design import Choice, Phase, Plan, RunResult
from glissade.study.units import Units

REDRAWN_EVERY = 0.1  # seconds
LINE_EVERY = 5.0
SAID = {
    "tune": "trials",
    "confirm": "the best trials again",
    "final": "fresh seeds",
    "default": "fresh seeds",
}


class Display(Watcher, Protocol):
    """A watcher that is open while runs are made."""

    def __enter__(self) -> Display: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...


def display(console: Console, plan: Plan, budget: float | None) -> Display:
    """Bars where they can be redrawn, else plain lines."""
    if console.is_terminal and not console.is_dumb_terminal:
        return Bars(console, plan, budget)
    return Lines(console, plan, budget)


class Tally:
    """Counts of runs, and the best trial of each optimizer so far."""

    def __init__(self, plan: Plan, budget: float | None) -> None:
        self.plan, self.budget = plan, budget
        self.total = sum(plan.most_runs.values())
        self.done = self.fresh = 0
        self.phase: Phase = "tune"
        self.started = time.monotonic()
        self.of_arm: Counter[str] = Counter()
        self.lost: Counter[str] = Counter()
        self.best: dict[str, RunResult] = {}
        self.phase_total = self.phase_done = 0
        self.units = {task.text: Units.of(task.metric_name, task.direction) for task in plan.tasks}

    def begin(self, name: Phase, runs: int) -> None:
        """What a phase before it left out is not waited for."""
        rest = {"tune": ("confirm", "final", "default"), "confirm": ("final", "default")}
        planned = self.plan.most_runs
        later = sum(count for phase, count in planned.items() if phase in rest.get(name, ()))
        self.phase, self.phase_total, self.phase_done = name, runs, 0
        self.total = self.done + runs + later

    def add(self, result: RunResult, fresh: bool) -> None:
        key = result.key
        self.done += 1
        self.phase_done += 1
        self.fresh += fresh
        self.of_arm[key.arm] += 1
        self.lost[key.arm] += result.lost
        if key.phase == "tune" and not result.lost and key.task == self.plan.tasks[0].text:
            unit, best = self.units[key.task], self.best.get(key.arm)
            if best is None or unit.less(result.quality) < unit.less(best.quality):
                self.best[key.arm] = result

    @property
    def elapsed(self) -> float:
        return time.monotonic() - self.started

    def state(self) -> str:
        """Such as: 12 of 133 runs, 4 s, about 36 s left."""
        text = f"{self.done} of {self.total} runs, {units.seconds(self.elapsed)}"
        if self.fresh >= 3 and self.done < self.total:
            left = self.elapsed / self.fresh * (self.total - self.done)
            if self.budget is not None:
                left = min(left, max(0.0, self.budget - self.elapsed))
            text += f", about {units.seconds(left)} left"
        return text

    def note(self, arm: str) -> str:
        """The best trial so far, and how many runs were lost."""
        text = ""
        if best := self.best.get(arm):
            value = self.units[best.key.task].value(best.quality)
            values = self.plan.values(best.key)
            lr = f" at lr={values['lr']:g}" if "lr" in values else ""
            text = f"best {value}{lr}"
        lost = self.lost[arm]
        return text + (f", {lost} lost" if lost else "")


class Bars:
    """A bar for each optimizer with its best trial so far, and one for all."""

    def __init__(self, console: Console, plan: Plan, budget: float | None) -> None:
        self.tally = Tally(plan, budget)
        self.progress = Progress(
            TextColumn("{task.description}", style="bold", markup=False),
            BarColumn(bar_width=16),
            MofNCompleteColumn(),
            TextColumn("{task.fields[note]}", markup=False),
            console=console,
            auto_refresh=False,  # no thread of its own: step times stay clean
            transient=True,
        )
        each = sum(plan.most_runs.values()) // len(plan.arms)
        self.bars: dict[str, TaskID] = {
            arm.name: self.progress.add_task(arm.label, total=each, note="") for arm in plan.arms
        }
        self.overall = self.progress.add_task("all", total=self.tally.total, note="")
        self.drawn = -math.inf

    def __enter__(self) -> Bars:
        self.progress.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self.progress.stop()

    def phase(self, name: Phase, runs: int) -> None:
        self.tally.begin(name, runs)

    def ended(self, result: RunResult, fresh: bool) -> None:
        self.tally.add(result, fresh)
        arm = result.key.arm
        self.progress.update(self.bars[arm], advance=1, note=self.tally.note(arm))
        if fresh and time.monotonic() - self.drawn > REDRAWN_EVERY:
            self.redraw()

    def chosen(self, choices: Sequence[Choice]) -> None:
        self.redraw()

    def redraw(self) -> None:
        tally = self.tally
        note = f"{SAID[tally.phase]}: {tally.state().partition(', ')[2]}"
        self.progress.update(self.overall, completed=tally.done, total=tally.total, note=note)
        self.progress.refresh()
        self.drawn = time.monotonic()


class Lines:
    """A line every few seconds, and what was chosen."""

    def __init__(self, console: Console, plan: Plan, budget: float | None) -> None:
        self.console, self.tally = console, Tally(plan, budget)
        self.said = time.monotonic()

    def __enter__(self) -> Lines:
        return self

    def __exit__(self, *exception: object) -> None:
        return None

    def phase(self, name: Phase, runs: int) -> None:
        self.tally.begin(name, runs)
        if runs:
            self.say(f"{SAID[name]}: {runs} runs")

    def ended(self, result: RunResult, fresh: bool) -> None:
        self.tally.add(result, fresh)
        if result.error is not None:
            self.say(f"{result.optimizer} failed: {result.error}")
        if fresh and time.monotonic() - self.said > LINE_EVERY:
            self.said = time.monotonic()
            self.say(f"  {self.tally.state()}")

    def chosen(self, choices: Sequence[Choice]) -> None:
        for arm in self.tally.plan.arms:
            if note := self.tally.note(arm.name):
                self.say(f"  {arm.label}: {note}")

    def say(self, line: str) -> None:
        self.console.print(line, highlight=False, markup=False, soft_wrap=True)
