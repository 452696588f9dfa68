"""Turns, rounds, ratios; memory; what is compiled when."""

from __future__ import annotations

import gc

import pytest
import torch

from glissade import registry
from glissade.bench import memory, timing
from glissade.bench.compiling import changes, compiled, compiling
from glissade.bench.machine import Bystanders, machine
from glissade.bench.timing import Contestant, quartiles, race, ratio


def test_race_takes_turns() -> None:
    log: list[str] = []
    slow = torch.zeros(20_000_000)

    def step(name: str) -> None:
        log.append(name)
        slow.add_(1)

    contestants = [Contestant(n, lambda n=n: step(n), 2) for n in "ab"]  # type: ignore[misc]
    times, busy = race(contestants, 3, 1e-9)
    assert busy is None or busy >= 0
    assert {n: len(t) for n, t in times.items()} == {"a": 3, "b": 3}
    assert "".join(log) == "aabb" * 3
    assert min(times["a"] + times["b"]) > 10
    assert gc.isenabled()


def test_the_quietest_rounds_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    cores = iter([0.5, 0.0, 1.0, 0.05, 0.02, 0.0])
    monkeypatch.setattr(Bystanders, "cores", lambda self: next(cores))
    turn = iter(range(6))
    monkeypatch.setattr(Contestant, "turn", lambda self, seconds: float(next(turn)))
    times, busy = race([Contestant("a", lambda: None)], 3, 0.1, patience=3)
    assert times == {"a": [1.0, 4.0, 3.0]}
    assert busy == 0.05


def test_patience_has_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Bystanders, "cores", lambda self: 2.0)
    times, busy = race([Contestant("a", lambda: None)], 3, 1e-9, patience=2)
    assert len(times["a"]) == 3
    assert busy == 2.0


class Clock:
    """Nanoseconds, of which each step takes a thousand; and how often it was looked at."""

    now = steps = looks = 0

    def perf_counter_ns(self) -> int:
        self.looks += 1
        return self.now

    def step(self) -> None:
        self.steps += 1
        self.now += 1000


def test_turns_are_whole_cycles_of_about_the_time_that_was_asked_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock = Clock()
    monkeypatch.setattr(timing, "time", clock)
    assert Contestant("fast", clock.step, 3).turn(0.02) == pytest.approx(1.0)
    assert clock.steps % 3 == 0
    assert 20_000 <= clock.steps <= 20_000 * 9 / 8
    assert clock.looks < 50


def test_a_turn_goes_on_long_after_a_stall(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where others hold the processor for a second, the turn ends soon after it."""
    clock = Clock()
    monkeypatch.setattr(timing, "time", clock)

    def step() -> None:
        clock.step()
        clock.now += 10**9 if clock.steps == 5000 else 0

    Contestant("stalled", step, 3).turn(0.02)
    assert clock.steps <= 5000 + 20_000 / 8 + 3


def test_ratio_is_of_the_same_round() -> None:
    assert ratio([2.0, 20.0, 6.0], [1.0, 10.0, 2.0]) == 2.0
    assert quartiles([4.0, 1.0, 2.0, 3.0, 5.0]) == (2.0, 4.0)
    assert quartiles([7.0]) == (7.0, 7.0)


@pytest.mark.skipif(memory.peak(lambda: None) is None, reason="no /proc/self/clear_refs")
def test_peak_sees_what_is_freed_again() -> None:
    x = torch.zeros(16_000_000)
    assert (memory.peak(lambda: x.add_(1)) or 0) < 16e6
    assert (memory.peak(lambda: (x + 1).sum()) or 0) > 50e6


@pytest.mark.skipif(memory.peak(lambda: None) is None, reason="no /proc/self/clear_refs")
def test_what_is_kept_is_not_what_is_freed_again() -> None:
    held = []
    assert 60e6 < (memory.kept(lambda: held.append(torch.ones(16_000_000))) or 0) < 70e6
    assert (memory.kept(lambda: (held[0] + 1).sum()) or 0) < 4e6


def test_compiling_counts_stages() -> None:
    result = compiling(registry.lookup("radam"), "paper", repeat=1)
    assert result.stages == 2
    assert result.again == 0
    assert result.ms > 0


def test_nothing_is_compiled_again_where_rank_and_steps_matter() -> None:
    before = compiled()
    assert changes(registry.lookup("ranger"), variant="official") == 0
    assert compiled() >= before


def test_machine() -> None:
    bystanders = Bystanders()
    assert machine().vector_bits in (128, 256, 512)
    assert "torch" in str(machine())
    cores = bystanders.cores()
    assert cores is None or cores >= 0
