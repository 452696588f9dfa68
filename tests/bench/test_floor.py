"""Streams move exactly as many arrays as the passes that they stand for."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from glissade import registry
from glissade.backend.cpu.compile import compile_plan
from glissade.backend.cpu.tables import Table
from glissade.backend.tables import Item
from glissade.bench.floor import Stream, Streams, rhythm, stream_plan, streams_of, traffic
from glissade.bench.shapes import MODELS
from glissade.plan import SIZES, plan
from glissade.trace import trace

STREAMS = [
    Stream(1, 0), Stream(4, 0), Stream(2, 1), Stream(4, 3), Stream(2, 1, 1), Stream(1, 0, 2),
    Stream(4, 3, low=(4, 3, 0)), Stream(4, 3, low=(2, 1, 0)), Stream(2, 1, 2, low=(1, 0, 1)),
]  # fmt: skip


@pytest.mark.parametrize("stream", STREAMS, ids=str)
def test_plan_has_the_mix(stream: Stream) -> None:
    (work,) = stream_plan(stream).passes
    assert work.reads == stream.reads
    assert work.writes == stream.updates + stream.fresh
    whole = stream_plan(stream)
    assert streams_of(work, whole, "float32") == {stream: 1}
    assert whole.bytes_per_element("float32") == stream.bytes
    assert stream_plan(stream).numbers_per_element == stream.moved
    assert bool(work.sums) == (work.writes == 0)


@pytest.mark.parametrize("stream", STREAMS, ids=str)
def test_kernel_reads_and_writes_every_array(stream: Stream) -> None:
    n = 100_003  # several chunks, and more than one thread where there is one
    arrays = [
        torch.full((n,), 2.0**i, dtype=getattr(torch, dtype))
        for i, dtype in enumerate(stream.formats)
    ]
    before = [a.clone() for a in arrays]
    mean = sum((x.float() for x in before[: stream.reads]), torch.zeros(n)) / stream.reads
    plan = stream_plan(stream)
    item = Item((n,), 0, tuple(arrays))
    table = Table(plan, compile_plan(plan, "float32"), [item], 1, torch.float32)
    table.run()
    for i, (a, was) in enumerate(zip(arrays, before, strict=True)):
        written = i < stream.updates or i >= stream.reads
        torch.testing.assert_close(a, mean.to(a.dtype) if written else was)
    if not (stream.updates or stream.fresh):
        address = int(table.context[2])  # the chunks' partial sums
        partials = table._keep[-1]
        assert partials.data_ptr() == address
        torch.testing.assert_close(partials.sum(), mean.double().sum())


@pytest.mark.parametrize(
    ("bytes_", "streams"),
    [
        # AdamW with m and v of a byte each: together they are one array of two bytes.
        (("a1", "a2"), {Stream(3, 2, low=(1, 1, 0)): 1}),
        # One alone is half of one.
        (("a2",), {Stream(3, 2): 0.5, Stream(4, 3, low=(1, 1, 0)): 0.5}),
        ((), {Stream(4, 3): 1}),
    ],
)
def test_two_arrays_of_bytes_are_one_of_two_bytes(
    monkeypatch: pytest.MonkeyPatch, bytes_: tuple[str, ...], streams: dict[Stream, float]
) -> None:
    monkeypatch.setitem(SIZES, "byte", 1)
    whole = stream_plan(Stream(4, 3))
    low = replace(whole, storage=dict.fromkeys(bytes_, "byte"))
    found = streams_of(whole.passes[0], low, "float32")
    assert found == pytest.approx(streams)


def test_streams_are_made_once() -> None:
    streams = Streams(1000)
    table = streams.table(Stream(2, 1))
    table.run()
    assert streams.table(Stream(2, 1)) is table
    assert table.elements == 1000


def test_stream_that_reads_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one"):
        stream_plan(Stream(0, 0, 1))


def test_stream_of_a_first_step_writes_a_state_that_it_does_not_read() -> None:
    rule = registry.lookup("momentum").bind()
    traced = trace(rule, {**rule.hyper, "base_lr": 0.1, "maximize": False}, 2)
    plans = [plan(leaf, traced.states) for leaf in traced.leaves]
    mixes = {s for p in plans for w in p.passes for s in streams_of(w, p, "float32")}
    assert Stream(2, 1, 1) in mixes
    assert Stream(3, 2) in mixes


@pytest.mark.parametrize(
    ("name", "streams", "numbers"),
    [
        ("sgd", {Stream(2, 1): 1}, 3),
        ("momentum", {Stream(3, 2): 1}, 5),
        ("adamw", {Stream(4, 3): 1}, 7),
        ("lamb", {Stream(4, 2): 1, Stream(3, 1): 1}, 10),
        ("ranger", {Stream(4, 3): 5 / 6, Stream(5, 4): 1 / 6}, (5 * 7 + 9) / 6),
    ],
)
def test_traffic(name: str, streams: dict[Stream, float], numbers: float) -> None:
    moves = traffic(registry.lookup(name).bind(), MODELS["mlp"])
    assert dict(moves.streams) == pytest.approx(streams)
    assert moves.bytes == pytest.approx(4 * numbers)


def test_traffic_is_weighted_where_the_rank_matters() -> None:
    moves = traffic(registry.lookup("adafactor").bind(), MODELS["mlp"])
    ranks = MODELS["mlp"].ranks
    assert moves.streams[Stream(3, 2)] == pytest.approx(ranks[1] / MODELS["mlp"].elements)


def test_rhythm() -> None:
    assert rhythm([0] * 120) == (0, 1)
    assert rhythm([0] * 5 + [1] * 115) == (5, 1)
    assert rhythm([7] + [t % 6 == 0 for t in range(2, 121)]) == (1, 6)
    assert rhythm(list(range(120))) == (0, 1)
