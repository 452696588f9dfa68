"""Parts of a step that run side by side and wait for totals over all of them."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Mapping

# Yields its share in totals, by the order in which the rule asks for them, and is sent them once
# every part has told its own; returns whether there is a step at all.
Part = Generator[dict[int, float], Mapping[int, float], bool]


def together(parts: Iterable[Part]) -> bool:
    """Run the parts to their end; False if there is no step."""
    shares: dict[int, list[float]] = {}
    waiting: list[tuple[Part, dict[int, float]]] = []
    done: list[bool] = []

    def go_on(part: Part, known: Mapping[int, float] | None) -> None:
        try:
            asked = next(part) if known is None else part.send(known)
        except StopIteration as stop:
            done.append(bool(stop.value))
            return
        for i, share in asked.items():
            shares.setdefault(i, []).append(share)
        waiting.append((part, asked))

    for part in parts:
        go_on(part, None)
    count = len(waiting) + len(done)
    while waiting:
        totals = {i: sum(told) for i, told in shares.items() if len(told) == count}
        ready = [(part, asked) for part, asked in waiting if asked.keys() <= totals.keys()]
        if not ready:
            raise RuntimeError("tensors of one step ask for different totals over all tensors")
        waiting = [x for x in waiting if x not in ready]
        for part, _ in ready:
            go_on(part, totals)
    return all(done)
