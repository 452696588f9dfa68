"""Races: precisions side by side, state as planned and as measured, rules that refuse."""

from __future__ import annotations

import pytest
import torch

from glissade import registry
from glissade.bench import memory
from glissade.bench import run as running
from glissade.bench.floor import traffic
from glissade.bench.inputs import fed
from glissade.bench.run import Bench
from glissade.bench.settings import FLOAT32, Precision, Settings
from glissade.bench.shapes import MODELS
from glissade.optimizer import Optimizer

LOW = Precision("bfloat16", "bfloat16")


def test_precisions_run_in_the_same_rounds() -> None:
    settings = Settings(
        ("lion", "adamw"), ("mlp",), rounds=2, seconds=0.001, precisions=(FLOAT32, LOW)
    )
    cases = Bench(settings).measure("mlp")
    assert [(case.rule, case.precision) for case in cases] == [
        ("lion", FLOAT32), ("adamw", FLOAT32), ("lion", LOW), ("adamw", LOW),
    ]  # fmt: skip
    assert [case.error for case in cases] == [""] * 4
    assert [case.bytes_per_parameter for case in cases] == [20, 28, 10, 14]
    assert [case.state_bytes for case in cases] == [4, 8, 2, 4]
    assert [case.over_float32 for case in cases[:2]] == [1, 1]
    for case in cases[2:]:
        assert case.over_float32 is not None
        assert case.over_float32 > 0
    assert set(cases[3].peers) == {"default", "foreach", "fused"}


def test_a_rule_that_refuses_says_why_and_the_rest_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = Settings(("lion", "adamw"), ("mlp",), rounds=1, seconds=0.001, peers=())

    class Picky(Optimizer):
        def __init__(self, params: object, rule: object, **how: object) -> None:
            if "lion" in str(getattr(rule, "name", "")):
                raise ValueError("lion: not in this dtype\nand more")
            super().__init__(params, rule, **how)  # type: ignore[arg-type]

    monkeypatch.setattr(running, "Optimizer", Picky)
    lion, adamw = Bench(settings).measure("mlp")
    assert lion.error == "refused: lion: not in this dtype"
    assert lion.ours is None
    assert adamw.ours is not None


def test_what_does_not_fit_into_memory_is_not_begun(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "available", lambda *_: 1_000_000)
    (case,) = Bench(Settings(("sgd",), ("gpt2",))).measure("gpt2")
    assert "GB of memory" in case.error


@pytest.mark.parametrize("how", [FLOAT32, LOW, Precision("bfloat16")], ids=str)
@pytest.mark.parametrize("name", ["sgd", "momentum", "adamw", "amsgrad", "lamb", "ranger"])
def test_the_planned_state_is_the_state(name: str, how: Precision) -> None:
    """To the byte, for states with a value for each element."""
    params = MODELS["mlp"].parameters(how.dtype)
    entry = registry.lookup(name)
    rule = entry.bind(1e-6)
    moves = traffic(entry.bind(), MODELS["mlp"], how.dtype, how.asked)
    opt = fed(Optimizer(params, rule, backend="cpu", state_dtype=how.asked))
    for _ in range(moves.settled + moves.cycle + 1):
        opt.step()
    held = sum(
        x.numel() * x.element_size()
        for p in params
        for x in opt.state[p].values()
        if isinstance(x, torch.Tensor) and x.shape == p.shape and x.dim() > 0
    )
    assert held == moves.state * MODELS["mlp"].elements


@pytest.mark.skipif(memory.peak(lambda: None) is None, reason="no /proc/self/clear_refs")
@pytest.mark.parametrize("how", [FLOAT32, LOW], ids=str)
def test_plan_and_measurement_agree_about_memory(how: Precision) -> None:
    """The process grows by what the plan says, and a step takes nothing of that size."""
    settings = Settings(
        ("adamw", "lamb", "adafactor"), ("small",), rounds=1, seconds=0.001, peers=(),
        precisions=(how,),
    )  # fmt: skip
    Bench(settings).measure("small")  # kernels, tables, threads are there from here on
    for case in Bench(settings).measure("small"):
        assert case.held_bytes is not None
        assert case.held_bytes == pytest.approx(case.state_bytes, abs=0.35)
        assert case.ours is not None
        assert (case.ours.peak_bytes or 0) < 0.1 * 4 * MODELS["small"].elements


def test_kinds_that_are_not_counted_are_small() -> None:
    """Adafactor keeps rows and columns; vectors it keeps in full are 0.1 % of the model."""
    moves = traffic(registry.lookup("adafactor").bind(), MODELS["gpt2"])
    ranks = MODELS["gpt2"].ranks
    assert moves.state == pytest.approx(4 * ranks[1] / MODELS["gpt2"].elements)
