"""`glissade bench --device cuda`: what of it can be tried without a GPU, and the rest with one."""

from __future__ import annotations

import pytest
import torch

from glissade import registry
from glissade.backend import select
from glissade.bench import options, parity
from glissade.bench.case import Case, Timed
from glissade.bench.floor import Stream, Streams
from glissade.bench.goals import goals
from glissade.bench.run import Bench
from glissade.bench.settings import Settings
from glissade.bench.shapes import MODELS, ON_DEVICE
from glissade.bench.timing import Contestant

INTERPRETED = pytest.mark.skipif(not select.interpreted(), reason="on a GPU")


def test_a_turn_waits_for_the_device() -> None:
    """At its beginning, and before each look at the clock; handing over waits between rounds."""
    said: list[str] = []
    contestant = Contestant("a", lambda: said.append("step"), wait=lambda: said.append("wait"))
    contestant.turn(0.0)
    assert said == ["wait", "step", "wait"]
    said.clear()
    assert contestant.handing_over(steps=2, times=3) is not None
    assert said == [*["wait", "step", "step"] * 3, "wait"]
    assert Contestant("b", lambda: None).handing_over() is None


@INTERPRETED
def test_streams_run_on_the_other_backend() -> None:
    pytest.importorskip("triton")
    streams = Streams(5000, "cpu", "triton")
    for stream in (Stream(4, 3), Stream(2, 0), Stream(3, 1, low=(2, 1, 0))):
        streams.table(stream).run()
    for arrays in streams._arrays.values():
        assert all(torch.isfinite(x).all() for x in arrays)


@INTERPRETED
def test_the_gate_takes_the_other_backend() -> None:
    pytest.importorskip("triton")
    assert parity.mismatch(registry.lookup("adamw"), backend="triton") == ""


def test_options() -> None:
    def made(device: str, shapes: str | None = None) -> Settings:
        return options.settings(
            "adamw", shapes, False, False, None, False, "float32", "float32", None, device
        )

    assert made("cpu").backend == "cpu"
    with pytest.raises(ValueError, match="unknown device 'gpu'; known are cpu, cuda"):
        made("gpu")
    if not torch.cuda.is_available():
        with pytest.raises(ValueError, match="torch sees no CUDA device"):
            made("cuda")
        return
    assert made("cuda").shapes == ON_DEVICE
    with pytest.raises(ValueError, match="unknown shape 'start'"):
        made("cuda", "start")


def test_the_goals_are_those_of_a_device() -> None:
    def case(rule: str, shape: str, us: float) -> Case:
        one = Timed(us, us, us, 1.0, 1.0, 1.0)
        fused = Timed(us, us, us, 1.3, 1.3, 1.3)
        floor = Timed(us, us, us, 0.92, 0.92, 0.92)
        peers = {"fused": fused} if rule == "adamw" else {}
        return Case(rule, shape, ours=one, floor=floor, peers=peers, host_us=25.0)

    found = list(goals([case("adamw", "billion", 100.0), case("lamb", "billion", 140.0),
                        case("adamw", "thousand", 9.0)]))  # fmt: skip
    assert [goal.met for goal in found] == [True, True, False, True]
    assert "until a step is handed over: 25 µs (at most 20 µs, over by 5)" in str(found[2])
    assert MODELS["billion"].elements > 1_000_000_000


@pytest.mark.gpu
def test_on_a_gpu() -> None:
    settings = Settings(("adamw", "lamb"), ("thousand",), rounds=2, seconds=0.02, device="cuda")
    for case in Bench(settings).measure("thousand"):
        assert not case.error
        assert case.ours is not None
        assert case.host_us is not None
