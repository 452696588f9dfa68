"""What one sees while a comparison runs: bars on a terminal, plain lines elsewhere."""

from __future__ import annotations

import math
import time
from collections import Counter
from types import TracebackType
from typing import Protocol

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn

from glissade import registry
from glissade.study.design import TUNING_SEEDS, Choice, RunKey, RunResult, Settings
from glissade.study.run import Watcher

REDRAWN_EVERY = 0.1  # seconds
PLAIN_LINE_EVERY = 5.0
SPARKS = "█▇▆▅▄▃▂▁"
SPARK_WIDTH = 12


class Display(Watcher, Protocol):
    """A watcher that is open while runs are made."""

    def __enter__(self) -> Display: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...


def display(console: Console, settings: Settings) -> Display:
    """Bars where they can be redrawn, else plain lines."""
    if console.is_terminal and not console.is_dumb_terminal:
        return LiveDisplay(console, settings)
    return PlainDisplay(console, settings)


class Tally:
    """Counts of runs, and the best tuning result of each optimizer so far."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.total = settings.runs
        self.done = 0
        self.fresh = 0
        self.started = time.monotonic()
        self.ended_of: Counter[str] = Counter()
        self.diverged: Counter[str] = Counter()
        self.best: dict[str, RunResult] = {}
        self.choices: dict[str, Choice] = {}

    def add(self, result: RunResult, fresh: bool) -> None:
        name = result.key.optimizer
        self.done += 1
        self.fresh += fresh
        self.ended_of[name] += 1
        self.diverged[name] += result.diverged
        better = name not in self.best or result.validation_error < self.best[name].validation_error
        if better and result.key.phase == "tune" and not result.diverged:
            self.best[name] = result

    def choose(self, choice: Choice) -> None:
        """An optimizer that diverged at every learning rate has no final runs."""
        self.choices[choice.optimizer] = choice
        if choice.lr is None:
            self.total -= self.settings.seeds

    @property
    def elapsed(self) -> float:
        return time.monotonic() - self.started

    def state(self) -> str:
        """Such as: run 12 of 133, 4 s, about 36 s left."""
        text = f"run {self.done} of {self.total}, {self.elapsed:.0f} s"
        if self.fresh >= 3 and self.done < self.total:
            left = self.elapsed / self.fresh * (self.total - self.done)
            text += f", about {left:.0f} s left"
        return text


class LiveDisplay:
    """A bar for each optimizer, its best learning rate so far, the loss of its latest run."""

    def __init__(self, console: Console, settings: Settings) -> None:
        self.tally = Tally(settings)
        self.progress = Progress(
            TextColumn("{task.description}", style="bold"),
            BarColumn(bar_width=16),
            MofNCompleteColumn(),
            TextColumn("{task.fields[note]}"),
            TextColumn("{task.fields[spark]}", style="cyan"),
            console=console,
            auto_refresh=False,  # no thread of its own: step times stay clean
            transient=True,
        )
        per_optimizer = settings.lrs * len(TUNING_SEEDS) + settings.seeds
        self.bars: dict[str, TaskID] = {
            name: self.progress.add_task(
                registry.lookup(name).label, total=per_optimizer, note="", spark=""
            )
            for name in settings.optimizers
        }
        self.overall = self.progress.add_task("all", total=settings.runs, note="", spark="")
        self.sparks = SPARKS if console.encoding.lower().startswith("utf") else ""
        self.losses: list[float] = []
        self.running: RunKey | None = None
        self.drawn = -math.inf

    def __enter__(self) -> LiveDisplay:
        self.progress.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self.progress.stop()

    def evaluated(self, key: RunKey, step: int, loss: float) -> None:
        if key != self.running:
            self.running, self.losses = key, []
        self.losses.append(loss)
        if time.monotonic() - self.drawn > REDRAWN_EVERY:
            self.progress.update(self.bars[key.optimizer], spark=self._spark())
            self._redraw()

    def ended(self, result: RunResult, fresh: bool) -> None:
        self.tally.add(result, fresh)
        name = result.key.optimizer
        spark = self._spark() if result.key == self.running else ""
        self.progress.update(self.bars[name], advance=1, note=self._note(name), spark=spark)
        if fresh:
            self._redraw()

    def chosen(self, choice: Choice) -> None:
        self.tally.choose(choice)
        self.progress.update(self.bars[choice.optimizer], note=self._note(choice.optimizer))

    def _note(self, name: str) -> str:
        """The choice, or before it the best run so far; and how many diverged."""
        best, choice = self.tally.best.get(name), self.tally.choices.get(name)
        diverged = self.tally.diverged[name]
        text = ""
        if choice is not None:
            if choice.lr is None or choice.error is None:
                return "diverged at every learning rate"
            text = f"{100 * choice.error:5.2f} % at {choice.lr:<8g}"
        elif best is not None:
            text = f"{100 * best.validation_error:5.2f} % at {best.key.lr:<8g}"
        return text + (f" {diverged} diverged" if diverged else "")

    def _redraw(self) -> None:
        state = self.tally.state().partition(", ")[2]
        self.progress.update(
            self.overall, completed=self.tally.done, total=self.tally.total, note=state
        )
        self.progress.refresh()
        self.drawn = time.monotonic()

    def _spark(self) -> str:
        """The latest run's losses, on a log scale from 3 down to 0.001."""
        if not self.sparks:
            return ""
        stride = max(1, math.ceil(len(self.losses) / SPARK_WIDTH))
        heights = (math.log10(3 / max(loss, 1e-3)) / 3.5 for loss in self.losses[::stride])
        return "".join(self.sparks[min(max(int(8 * height), 0), 7)] for height in heights)


class PlainDisplay:
    """A line every few seconds, and one for each optimizer's choice and final result."""

    def __init__(self, console: Console, settings: Settings) -> None:
        self.console = console
        self.settings = settings
        self.tally = Tally(settings)
        self.final: dict[str, list[RunResult]] = {}
        self.said = time.monotonic()

    def __enter__(self) -> PlainDisplay:
        return self

    def __exit__(self, *exception: object) -> None:
        pass

    def evaluated(self, key: RunKey, step: int, loss: float) -> None:
        pass

    def ended(self, result: RunResult, fresh: bool) -> None:
        self.tally.add(result, fresh)
        if result.key.phase == "final":
            runs = self.final.setdefault(result.key.optimizer, [])
            runs.append(result)
            if len(runs) == self.settings.seeds:
                error = sum(run.validation_error for run in runs) / len(runs)
                diverged = sum(run.diverged for run in runs)
                self._say(
                    f"{registry.lookup(result.key.optimizer).label}: {len(runs)} final runs, "
                    f"validation error {100 * error:.2f} %"
                    + (f", {diverged} diverged" if diverged else "")
                )
        if time.monotonic() - self.said > PLAIN_LINE_EVERY:
            self._say(self.tally.state())

    def chosen(self, choice: Choice) -> None:
        self.tally.choose(choice)
        if choice.lr is None or choice.error is None:
            self._say(f"{choice.label}: diverged at every learning rate")
        else:
            self._say(
                f"{choice.label}: best learning rate {choice.lr:g}, "
                f"validation error {100 * choice.error:.2f} %"
            )

    def _say(self, line: str) -> None:
        self.console.print(line, highlight=False, markup=False, soft_wrap=True)
        self.said = time.monotonic()
