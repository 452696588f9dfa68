"""Parts of a step that run side by side, wait for totals over all of them, and write at last."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Mapping
from typing import Any

# Yields its share in totals, by the order in which the rule asks for them, and is sent them once
# every part has told its own; yields WRITES once, before anything is written that is there after
# the step. Returns what the step has come to, or None if there is no step.
Part = Generator[dict[int, float] | None, Mapping[int, float], Any]
WRITES = None


class Together:
    """A step in two halves: what can fail or be interrupted, and what must not."""

    def __init__(self, parts: Iterable[Part]) -> None:
        self._shares: dict[int, list[float]] = {}
        self._waiting: list[tuple[Part, dict[int, float]]] = []
        self._ready: list[Part] = []  # to write
        self.results: list[Any] = []
        parts = list(parts)
        self._count = len(parts)
        for part in parts:
            self._go_on(part, None)
        self._run()

    @property
    def step(self) -> bool:
        """Whether there is one: a rule's guard may say no."""
        return all(result is not None for result in self.results)

    def write(self) -> None:
        """Run all parts to their ends."""
        while self._ready:
            parts, self._ready = self._ready, []
            for part in parts:
                self._go_on(part, None)
            self._run()
        if self._waiting:
            raise RuntimeError("tensors of one step ask for different totals over all tensors")

    def _go_on(self, part: Part, known: Mapping[int, float] | None) -> None:
        try:
            asked = next(part) if known is None else part.send(known)
        except StopIteration as stop:
            self.results.append(stop.value)
            return
        if asked is WRITES:
            self._ready.append(part)
            return
        for i, share in asked.items():
            self._shares.setdefault(i, []).append(share)
        self._waiting.append((part, asked))

    def _run(self) -> None:
        """Go on until every part is at its end, or about to write, or waits for one that is."""
        while self._waiting:
            totals = {i: sum(told) for i, told in self._shares.items() if len(told) == self._count}
            known = [
                (part, asked) for part, asked in self._waiting if asked.keys() <= totals.keys()
            ]
            if not known and self._ready:
                return
            if not known:
                raise RuntimeError("tensors of one step ask for different totals over all tensors")
            self._waiting = [x for x in self._waiting if x not in known]
            for part, _ in known:
                self._go_on(part, totals)
