"""Turns, rounds, ratios; memory; what is compiled when."""

from __future__ import annotations

import gc
import time
from dataclasses import replace

import pytest
import torch

from glissade import registry
from glissade.bench import memory
from glissade.bench.compiling import changes, compiled, compiling
from glissade.bench.goals import goals
from glissade.bench.machine import Bystanders, machine
from glissade.bench.peers import PeerError, forms, peer
from glissade.bench.run import Case, Settings, Timed
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


def test_turns_are_whole_cycles_of_about_the_time_that_was_asked_for() -> None:
    count = 0

    def step() -> None:
        nonlocal count
        count += 1

    start = time.perf_counter()
    us = Contestant("fast", step, 3).turn(0.02)
    taken = time.perf_counter() - start
    assert count % 3 == 0
    assert count > 100
    assert 0.02 <= us * count / 1e6 * (1 + 1e-9) <= taken


def test_ratio_is_of_the_same_round() -> None:
    assert ratio([2.0, 20.0, 6.0], [1.0, 10.0, 2.0]) == 2.0
    assert quartiles([4.0, 1.0, 2.0, 3.0, 5.0]) == (2.0, 4.0)
    assert quartiles([7.0]) == (7.0, 7.0)


@pytest.mark.skipif(memory.peak(lambda: None) is None, reason="no /proc/self/clear_refs")
def test_peak_sees_what_is_freed_again() -> None:
    x = torch.zeros(16_000_000)
    assert (memory.peak(lambda: x.add_(1)) or 0) < 16e6
    assert (memory.peak(lambda: (x + 1).sum()) or 0) > 50e6


def test_compiling_counts_stages() -> None:
    result = compiling(registry.lookup("radam"), "paper", repeat=1)
    assert result.stages == 2
    assert result.again == 0
    assert result.ms > 0


def test_nothing_is_compiled_again_where_rank_and_steps_matter() -> None:
    before = compiled()
    assert changes(registry.lookup("ranger"), variant="official") == 0
    assert compiled() >= before


def test_forms_that_torch_has() -> None:
    assert forms("adamw") == ("default", "foreach", "fused", "compile")
    assert forms("rmsprop") == ("default", "foreach", "compile")
    assert forms("lamb") == ()


def test_peer_runs_and_says_why_not() -> None:
    p = torch.ones(3, requires_grad=True)
    p.grad = torch.ones(3)
    peer("momentum", "default", [p], 0.5, 2).step()
    assert p.tolist() == pytest.approx([1 - 0.5 * (1 + 1.9 + 2.71)] * 3)
    with pytest.raises(PeerError, match="torch Adam fused does not run here: Invalid learning"):
        peer("adam", "fused", [p], -1.0, 1)


def test_quick_leaves_out_what_takes_long() -> None:
    everything = Settings(registry.names(), ("gpt2", "mlp"))
    quick = replace(everything, quick=True)
    assert everything.rules("gpt2") == registry.names() == quick.rules("mlp")
    assert quick.rules("gpt2") == ("adamw", "lamb", "adafactor")
    assert replace(quick, optimizers=("lion", "sgd")).rules("many") == ("lion",)
    assert "compile" not in everything.forms("adam", "gpt2")
    assert "compile" in replace(everything, compile=True).forms("adam", "gpt2")
    assert "compile" not in replace(everything, compile=True).forms("adam", "many")


def test_goals_hold_figures_against_limits() -> None:
    def case(rule: str, us: float, floor: float, fused: float) -> Case:
        times = {"ours": [us] * 3, "floor": [us * floor] * 3, "fused": [us * fused] * 3}
        timed = {name: Timed.of(times, name) for name in times}
        return Case(
            rule, "gpt2", ours=timed["ours"], floor=timed["floor"], peers={"fused": timed["fused"]}
        )

    wishes = list(goals([case("adamw", 100.0, 0.9, 0.8), case("lamb", 200.0, 0.5, 1.0)], []))
    found = {goal.what: (goal.value, goal.met) for goal in wishes}
    assert found["adamw on gpt2, times as fast as torch fused"] == (pytest.approx(0.8), False)
    assert found["lamb on gpt2, times its floor"] == (pytest.approx(2.0), False)
    assert found["lamb on gpt2, times adamw"] == (pytest.approx(2.0), True)
    assert "at least 1x" in str(wishes[0])


def test_machine() -> None:
    bystanders = Bystanders()
    assert machine().vector_bits in (128, 256, 512)
    assert "torch" in str(machine())
    cores = bystanders.cores()
    assert cores is None or cores >= 0
