"""Schedules against torch, Optax and the laws that define them."""

from __future__ import annotations

import copy
import io
import math
import pickle
import warnings
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import hypothesis.strategies as st
import numpy as np
import pytest
import torch
from hypothesis import given
from torch.optim import lr_scheduler as theirs

from glissade import schedules
from glissade.schedules import (
    Schedule,
    constant,
    cosine,
    cyclic,
    exponential,
    from_json,
    inverse_sqrt,
    linear,
    momentum_cycle,
    multi_step,
    normalized_decay,
    one_cycle,
    polynomial,
    power,
    product,
    rex,
    slanted_triangular,
    step_drop,
    warm_restarts,
    warmup,
    wsd,
)
from glissade.schedules.cycles import start
from glissade.schedules.usual import USUAL, usual

EXAMPLES: list[Schedule] = [
    constant(),
    step_drop(30, factor=0.5),
    multi_step((10, 25)),
    exponential(0.9),
    polynomial(40, power=2, floor=0.1),
    linear(40),
    inverse_sqrt(10),
    slanted_triangular(60),
    cosine(40, floor=0.05),
    warm_restarts(10, t_mult=2, peak_decay=0.5),
    normalized_decay(10, t_mult=2),
    cyclic(5, 9, low=0.2, decay=0.5),
    warmup(7, cosine(30), start=0.1),
    one_cycle(50),
    one_cycle(50, anneal="linear", three_phase=True),
    momentum_cycle(50),
    wsd(60, warmup=5, decay=20, shape="1-sqrt"),
    rex(40),
    power(10),
    cosine(20).then(linear(10), at=15),
    warmup(5, linear(20)) * step_drop(10),
]
each = pytest.mark.parametrize("schedule", EXAMPLES, ids=repr)
NAMES = [x for x in schedules.__all__ if x.islower() and not x.startswith("from_")]


def test_every_schedule_is_among_the_examples() -> None:
    assert {s.name for s in EXAMPLES} == {*NAMES}


# Against torch, stepped; its base value is 1


def stepped(make: Callable[[torch.optim.Optimizer], Any], steps: int, key: str = "lr") -> list[Any]:
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0, momentum=0.5)
    scheduler = make(optimizer)
    seen = []
    for _ in range(steps):
        seen.append(float(optimizer.param_groups[0][key]))
        optimizer.step()
        scheduler.step()
    return seen


def one_cycle_of_torch(**options: Any) -> Callable[[torch.optim.Optimizer], Any]:
    return lambda o: theirs.OneCycleLR(o, 1.0, total_steps=51, **options)


TORCH: list[tuple[Schedule, Callable[[torch.optim.Optimizer], Any]]] = [
    (constant(), lambda o: theirs.LambdaLR(o, lambda _: 1.0)),
    (step_drop(7, factor=0.3), lambda o: theirs.StepLR(o, 7, gamma=0.3)),
    (multi_step((5, 11), factor=0.3), lambda o: theirs.MultiStepLR(o, [5, 11], gamma=0.3)),
    (exponential(0.9), lambda o: theirs.ExponentialLR(o, 0.9)),
    (polynomial(30, power=1.7), lambda o: theirs.PolynomialLR(o, 30, power=1.7)),
    (linear(30, floor=0.2), lambda o: theirs.LinearLR(o, 1.0, 0.2, 30)),
    (cosine(50, floor=0.1), lambda o: theirs.CosineAnnealingLR(o, 50, eta_min=0.1)),
    (warm_restarts(7, t_mult=2, floor=0.1),
     lambda o: theirs.CosineAnnealingWarmRestarts(o, 7, 2, eta_min=0.1)),
    (warm_restarts(7), lambda o: theirs.CosineAnnealingWarmRestarts(o, 7)),
    (one_cycle(51), one_cycle_of_torch(cycle_momentum=False)),
    (one_cycle(51, pct_start=0.4, anneal="linear", three_phase=True, div_factor=10,
               final_div_factor=100),
     one_cycle_of_torch(pct_start=0.4, anneal_strategy="linear", three_phase=True, div_factor=10,
                        final_div_factor=100, cycle_momentum=False)),
    (cyclic(5, 9, low=0.2),
     lambda o: theirs.CyclicLR(o, 0.2, 1.0, 5, 9, cycle_momentum=False)),
    (cyclic(5, 9, low=0.2, decay=0.5),
     lambda o: theirs.CyclicLR(o, 0.2, 1.0, 5, 9, mode="triangular2", cycle_momentum=False)),
    (linear(10, floor=0.5).then(exponential(0.9), at=10),
     lambda o: theirs.SequentialLR(
         o, [theirs.LinearLR(o, 1.0, 0.5, 10), theirs.ExponentialLR(o, 0.9)], [10])),
    (exponential(0.9) * step_drop(4),
     lambda o: theirs.ChainedScheduler([theirs.ExponentialLR(o, 0.9), theirs.StepLR(o, 4)])),
]  # fmt: skip


@pytest.mark.parametrize(
    ("schedule", "make"), TORCH, ids=lambda x: repr(x) if isinstance(x, Schedule) else ""
)
def test_like_torch(schedule: Schedule, make: Callable[[torch.optim.Optimizer], Any]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # SequentialLR's own
        wanted = stepped(make, 50)
    assert [schedule(t) for t in range(50)] == pytest.approx(wanted, rel=1e-10, abs=1e-12)


@pytest.mark.parametrize("three_phase", [False, True])
@pytest.mark.parametrize("anneal", ["cos", "linear"])
def test_momentum_like_torch(anneal: str, three_phase: bool) -> None:
    options: dict[str, Any] = {"anneal_strategy": anneal, "three_phase": three_phase}
    wanted = stepped(one_cycle_of_torch(**options), 50, "momentum")
    got = momentum_cycle(51, anneal=anneal, three_phase=three_phase)
    assert [0.95 * got(t) for t in range(50)] == pytest.approx(wanted, rel=1e-10)


# Against Optax

OPTAX = [
    (cosine(40, floor=0.1), lambda x: x.cosine_decay_schedule(1.0, 40, alpha=0.1)),
    (linear(40, floor=0.2), lambda x: x.linear_schedule(1.0, 0.2, 40)),
    (polynomial(40, power=3, floor=0.1), lambda x: x.polynomial_schedule(1.0, 0.1, 3, 40)),
    (exponential(0.9), lambda x: x.exponential_decay(1.0, 1, 0.9)),
    (step_drop(6, factor=0.5), lambda x: x.exponential_decay(1.0, 6, 0.5, staircase=True)),
    (multi_step((5, 9), factor=0.5),
     lambda x: x.piecewise_constant_schedule(1.0, {5: 0.5, 9: 0.5})),
    (warmup(10, cosine(40)),
     lambda x: x.warmup_cosine_decay_schedule(0.0, 1.0, warmup_steps=10, decay_steps=50)),
    (cosine(10).then(linear(20), at=10),
     lambda x: x.join_schedules(
         [x.cosine_decay_schedule(1.0, 10), x.linear_schedule(1.0, 0.0, 20)], [10])),
]  # fmt: skip


@pytest.mark.parametrize(
    ("schedule", "make"), OPTAX, ids=lambda x: repr(x) if isinstance(x, Schedule) else ""
)
def test_like_optax(schedule: Schedule, make: Callable[[Any], Any]) -> None:
    optax = pytest.importorskip("optax")
    wanted = make(optax)
    for t in range(60):
        assert schedule(t) == pytest.approx(float(wanted(t)), rel=1e-5, abs=1e-6)


# Values worked out by hand


@pytest.mark.parametrize(
    ("schedule", "points"),
    [
        (step_drop(10, factor=0.5), {0: 1, 9.99: 1, 10: 0.5, 25: 0.25}),
        (inverse_sqrt(100), {0: 0, 50: 0.5, 100: 1, 400: 0.5, 10000: 0.1}),
        (slanted_triangular(100, cut_frac=0.1, ratio=32),
         {0: 1 / 32, 5: (1 + 0.5 * 31) / 32, 10: 1, 55: (1 + 0.5 * 31) / 32, 100: 1 / 32,
          500: 1 / 32}),
        (slanted_triangular(105, cut_frac=0.1), {11: 1}),  # the cut is rounded up
        (cosine(100, floor=0.2), {0: 1, 50: 0.6, 100: 0.2, 1000: 0.2}),
        (warm_restarts(10, t_mult=2, floor=0.1, peak_decay=0.5),
         {0: 1, 5: 0.55, 10: 0.5, 20: 0.275, 30: 0.25, 70: 0.125}),
        (normalized_decay(100, t_mult=4), {0: 0.1, 99: 0.1, 100: 0.05, 499: 0.05, 500: 0.025}),
        (warmup(10, cosine(90), start=0.5), {0: 0.5, 5: 0.75, 10: 1, 55: 0.5, 100: 0}),
        (warmup(4, constant()), {0: 0, 1: 0.25, 2.5: 0.625, 4: 1}),
        (wsd(100, warmup=10, decay=20), {0: 0, 5: 0.5, 10: 1, 80: 1, 90: 0.5, 100: 0, 200: 0}),
        (wsd(100, 10, 20, floor=0.2, shape="cosine"), {85: 0.2 + 0.8 * 0.8535534, 90: 0.6}),
        (wsd(100, 10, 20, shape="1-sqrt"), {85: 0.5, 100: 0}),
        (wsd(100, 10, 20, floor=0.01, shape="exponential"), {80: 1, 90: 0.1, 100: 0.01}),
        (wsd(100, 0, 0), {0: 1, 99: 1, 100: 0}),
        (rex(100), {0: 1, 50: 2 / 3, 100: 0}),
        (power(100, exponent=0.5), {0: 1, 100: 1, 400: 0.5}),
        (cosine(10).then(constant(), at=10), {5: 0.5, 9.999999: 0, 10: 1}),
    ],
    ids=lambda x: repr(x)[:40],
)  # fmt: skip
def test_points(schedule: Schedule, points: dict[float, float]) -> None:
    for t, value in points.items():
        assert schedule(t) == pytest.approx(value, abs=1e-6), t


# Laws

lengths = st.integers(1, 500)
mults = st.sampled_from([1, 2, 3, 1.0, 1.1, 1.5])


@given(t_0=lengths, t_mult=mults, i=st.integers(0, 8), decay=st.floats(0.1, 1))
def test_restarts_start_at_the_peak(t_0: int, t_mult: float, i: int, decay: float) -> None:
    """At the sum of T_0 to T_(i-1), to the bit, and however the sum was rounded."""
    schedule = warm_restarts(t_0, t_mult=t_mult, peak_decay=decay)
    assert schedule(start(i, t_0, t_mult)) == decay**i
    summed = math.fsum(t_0 * t_mult**k for k in range(i))
    assert schedule(summed) == pytest.approx(decay**i, rel=1e-9)
    half = summed + t_0 * t_mult**i / 2
    assert schedule(half) == pytest.approx(decay**i / 2, rel=1e-6)


@given(total=st.integers(2, 10_000), cut_frac=st.floats(0.01, 0.99), ratio=st.floats(1, 100))
def test_slanted_triangular(total: int, cut_frac: float, ratio: float) -> None:
    schedule = slanted_triangular(total, cut_frac=cut_frac, ratio=ratio)
    cut = math.ceil(total * Fraction(repr(cut_frac)))
    assert schedule(cut) == 1
    assert schedule(0) == pytest.approx(1 / ratio)
    far = schedule(cut / cut_frac)
    assert far == pytest.approx(1 / ratio)
    values = [schedule(t) for t in range(0, total + 1, max(1, total // 50))]
    assert all(1 / ratio - 1e-12 <= x <= 1 for x in values)
    assert values[: values.index(max(values)) + 1] == sorted(
        values[: values.index(max(values)) + 1]
    )


@each
@given(t=st.floats(0, 1e6))
def test_values_are_finite_and_steps_may_be_fractions(schedule: Schedule, t: float) -> None:
    value = schedule(t)
    assert isinstance(value, float)
    assert 0 <= value <= 1
    assert schedule(t) == value


@each
def test_round_trips(schedule: Schedule) -> None:
    """JSON, its own print, pickle: equal, of one hash, and with the same values."""
    for again in (
        from_json(schedule.to_json()),
        eval(repr(schedule), dict(vars(schedules))),
        pickle.loads(pickle.dumps(schedule)),
    ):
        assert again == schedule
        assert hash(again) == hash(schedule)
        assert [again(t) for t in range(80)] == [schedule(t) for t in range(80)]


def test_equality_is_of_values() -> None:
    assert cosine(10) == cosine(10.0) == cosine(total=10, floor=0)
    assert cosine(10) != cosine(11)
    assert cosine(10) != linear(10)
    assert cosine(10) != 1
    assert len({cosine(10), cosine(10.0), linear(10)}) == 2


@given(steps=st.integers(0, 50), t=st.floats(0, 100))
def test_composition(steps: int, t: float) -> None:
    inner = cosine(40, floor=0.1)
    assert warmup(steps, inner)(steps + t) == inner(steps + t - steps)
    assert inner.then(linear(7), at=steps)(steps + t) == linear(7)(steps + t - steps)
    assert (inner * linear(30))(t) == inner(t) * linear(30)(t) == product(inner, linear(30))(t)


# Rounding where a schedule jumps: round numbers mean what they say, whatever their product is

decimals = st.integers(1, 400).map(lambda n: n / 100)  # lengths such as 2.2, 0.07
counts = st.integers(1, 200)


def exact(x: float) -> Fraction:
    return Fraction(repr(x))


@given(every=decimals, n=counts, factor=st.floats(0.5, 0.99))
def test_a_length_in_fractions_drops_and_restarts_at_its_multiples(
    every: float, n: int, factor: float
) -> None:
    """11 // 2.2 is 4.0, and 11 is the fifth multiple of 2.2."""
    t = float(n * exact(every))
    assert step_drop(every, factor)(t) == factor**n
    assert warm_restarts(every, peak_decay=factor)(t) == pytest.approx(factor**n, rel=1e-9)
    assert cyclic(every / 2, every / 2, low=0.5)(t) == pytest.approx(0.5, abs=1e-6)
    between = float((n + Fraction(1, 2)) * exact(every))
    assert step_drop(every, factor)(between) == factor**n
    assert warm_restarts(every, peak_decay=factor)(between) == pytest.approx(factor**n / 2)


@given(step=decimals, n=counts)
def test_a_mark_that_is_a_product_is_reached_at_the_number_it_means(step: float, n: int) -> None:
    """3 * 0.1 is 0.30000000000000004, and 0.3 is not before it."""
    mark, t = n * step, float(n * exact(step))
    assert multi_step((mark,), factor=0.5)(t) == 0.5
    assert cosine(1000).then(constant(), at=mark)(t) == 1
    assert wsd(mark, warmup=0, decay=0)(t) == 0
    before = t * (1 - 1e-9)
    assert multi_step((mark,), factor=0.5)(before) == 1


def test_the_parts_of_a_run_may_add_up_to_it_by_rounding() -> None:
    assert wsd(0.3, 0.1, 0.2)(0.1) == pytest.approx(1)  # 0.1 + 0.2 is over 0.3


def test_a_share_of_a_round_number_of_steps_is_whole() -> None:
    """100 * 0.07 is 7.000000000000001: the peak is at 7, and the end at 1/ratio."""
    for total in (10, 20, 30, 50, 100, 150, 200, 250, 300, 500, 1000, 10_000):
        for percent in range(1, 100):
            cut = math.ceil(total * Fraction(percent, 100))
            schedule = slanted_triangular(total, cut_frac=percent / 100)
            assert schedule(cut) == 1, (total, percent)
            if total * percent % 100 == 0:
                assert schedule(total) == pytest.approx(1 / 32), (total, percent)


@pytest.mark.parametrize("steps", [1, 10, 100, 1000, 10**6, 10**7, 10**9])
def test_the_usual_exponential_leaves_one_per_cent(steps: int) -> None:
    """Of γ the digits count that tell it from 1."""
    assert usual("exponential", steps)(steps) == pytest.approx(0.01, rel=1e-4)


@pytest.mark.parametrize("steps", range(1, 30))
def test_the_usual_schedules_are_there_for_short_runs(steps: int) -> None:
    """Half and three quarters of three steps were both 2, and a warm-up of one left none."""
    for name in USUAL:
        if steps < 4 and name in ("one_cycle", "momentum_cycle"):
            continue  # torch's count of steps leaves none to go up
        schedule = usual(name, steps)
        assert all(schedule(t) >= 0 for t in range(steps + 1))


# What is a step, and what is too large

NUMBERS = [np.int64(50), np.float32(50), np.array(50.0), torch.tensor(50), torch.tensor([50.0])]


@each
@pytest.mark.parametrize("number", NUMBERS, ids=lambda x: type(x).__name__)
def test_a_step_may_be_a_number_of_numpy_or_torch(schedule: Schedule, number: Any) -> None:
    value = schedule(number)
    assert type(value) is float
    assert value == schedule(50)


@pytest.mark.parametrize(
    ("schedule", "t"),
    [
        (exponential(2.0), 5000),
        (exponential(10.0) * exponential(10.0), 200),  # no OverflowError: inf
        (warm_restarts(10, peak_decay=10.0), 10_000),
        (constant().then(exponential(2.0), at=5), 5000),
        (warmup(5, exponential(2.0)), 5000),
    ],
    ids=repr,
)
def test_a_value_too_large_for_a_float_is_told(schedule: Schedule, t: float) -> None:
    with pytest.raises(ValueError, match="is inf at step "):
        schedule(t)


# Inside of torch's schedulers, which save what they find in a callable's __dict__

INSIDE: dict[str, Callable[[torch.optim.Optimizer, Schedule], Any]] = {
    "LambdaLR": theirs.LambdaLR,
    "LambdaLR of a list": lambda o, s: theirs.LambdaLR(o, [s]),
    "MultiplicativeLR": theirs.MultiplicativeLR,
    "CyclicLR": lambda o, s: theirs.CyclicLR(o, 0.1, 1.0, 3, scale_fn=s, cycle_momentum=False),
}


@pytest.mark.parametrize("schedule", [warmup(5, cosine(30)), multi_step((3, 5)), rex(40)], ids=repr)
@pytest.mark.parametrize("inside", INSIDE)
def test_it_is_saved_inside_of_torchs_schedulers(inside: str, schedule: Schedule) -> None:
    def made(one: Schedule) -> tuple[Any, Any]:
        optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
        return optimizer, INSIDE[inside](optimizer, one)

    def run(optimizer: Any, scheduler: Any, steps: int) -> list[float]:
        seen = []
        for _ in range(steps):
            optimizer.step()
            scheduler.step()
            seen.append(optimizer.param_groups[0]["lr"])
        return seen

    optimizer, scheduler = made(schedule)
    run(optimizer, scheduler, 4)
    file = io.BytesIO()
    torch.save([optimizer.state_dict(), scheduler.state_dict()], file)
    file.seek(0)
    states = torch.load(file, weights_only=True)
    again, resumed = made(schedule)
    again.load_state_dict(states[0])
    resumed.load_state_dict(copy.deepcopy(states[1]))  # CyclicLR takes out of what it is given
    copied = pickle.loads(pickle.dumps(scheduler))
    wanted = run(optimizer, scheduler, 20)
    assert run(again, resumed, 20) == wanted
    assert run(copied.optimizer, copied, 20) == wanted
    _, other = made(cosine(77))
    with pytest.warns(UserWarning, match=r"holds .* and this scheduler was made with cosine\(77\)"):
        other.load_state_dict(copy.deepcopy(states[1]))
    assert schedule == from_json(schedule.to_json())  # loading has changed no schedule


# Nonsense


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: cosine(-1), r"cosine: total=-1: must be a finite number above 0 \(steps\)"),
        (lambda: cosine(0), "total=0"),
        (lambda: cosine(math.nan), "total=nan"),
        (lambda: cosine(math.inf), "total=inf"),
        (lambda: cosine(True), "total=True"),
        (lambda: cosine("10"), "total='10'"),  # type: ignore[arg-type]
        (lambda: cosine(10, floor=1.5), r"floor=1.5: must be a number in \[0, 1\]"),
        (lambda: slanted_triangular(10, cut_frac=1), "cut_frac=1: must be a number between"),
        (lambda: slanted_triangular(10, cut_frac=0), "cut_frac=0"),
        (
            lambda: warm_restarts(10, t_mult=0.5),
            "t_mult=0.5: must be a finite number, 1",
        ),
        (lambda: multi_step((5, 5)), r"milestones=\(5, 5\): must be a tuple"),
        (lambda: wsd(10, 6, 6), "warmup=6 and decay=6 are longer than total=10 together"),
        (lambda: wsd(10, 1, 1, shape="exponential"), "needs a floor over 0"),
        (lambda: wsd(10, 1, 1, shape="sqrt"), "shape='sqrt': must be 'linear' or 'cosine'"),
        (lambda: one_cycle(3), "leaves no steps to go up"),
        (lambda: one_cycle(50, pct_start=0.6, three_phase=True), "no steps to come down"),
        (lambda: exponential(1e200), "inf at step 1e.200: a schedule must be finite"),
        (lambda: warmup(5, lambda t: 1.0), "must be a schedule"),  # type: ignore[arg-type]
        (lambda: cosine(10).then(linear(3), at=-1), "then: at=-1"),
        (lambda: cosine(10)(-1), "step -1: must be a finite number, 0 or greater"),
        (lambda: cosine(10)(math.nan), "step nan"),
        (lambda: from_json("[1]"), "is no schedule"),
        (lambda: from_json('{"name": "cosin"}'), "did you mean 'cosine'"),
        (lambda: from_json("{"), "Expecting"),
    ],
)
def test_nonsense_is_refused_when_it_is_made(make: Callable[[], Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        make()


def test_calls_that_do_not_fit() -> None:
    with pytest.raises(TypeError, match="cosine: missing a required argument: 'total'"):
        cosine()  # type: ignore[call-arg]
    with pytest.raises(TypeError, match=r"cosine: unknown keyword 'flor'; .*did you mean 'floor'"):
        cosine(10, flor=1)  # type: ignore[call-arg]
    with pytest.raises(TypeError):
        cosine(10) * 2  # type: ignore[operator]


@pytest.mark.parametrize("name", NAMES)
def test_documented(name: str) -> None:
    what = getattr(schedules, name)
    assert what.__doc__
    assert ">>>" in what.__doc__
    import inspect

    for key in inspect.signature(what).parameters:
        assert key in what.__doc__
