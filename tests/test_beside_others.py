"""A Scheduler beside others that set the same numbers, and inside of torch's schedulers."""

from __future__ import annotations

import contextlib
import copy
import io
import itertools
import json
import pickle
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import hypothesis.strategies as st
import pytest
import torch
from hypothesis import given, settings
from torch.optim import lr_scheduler as theirs

import glissade
from glissade import Scheduler
from glissade.schedules import constant, cosine, linear, multi_step, warmup


def leaf() -> torch.nn.Parameter:
    return torch.nn.Parameter(torch.ones(3))


def sgd(lr: Any = 1.0, groups: int = 1, **more: Any) -> torch.optim.SGD:
    return torch.optim.SGD([{"params": [leaf()]} for _ in range(groups)], lr=lr, **more)


def run(optimizer: Any, steps: int, *schedulers: Callable[[], Any]) -> list[float]:
    """The learning rate after each round of calls."""
    seen = []
    for _ in range(steps):
        optimizer.step()
        for step in schedulers:
            step()
        seen.append(float(optimizer.param_groups[0]["lr"]))
    return seen


# A change by another is gone on from

MULTIPLY: dict[str, Callable[[Any], Any]] = {
    "StepLR": lambda o: theirs.StepLR(o, 2, 0.1),
    "MultiStepLR": lambda o: theirs.MultiStepLR(o, [2, 5], 0.3),
    "ExponentialLR": lambda o: theirs.ExponentialLR(o, 0.9),
    "MultiplicativeLR": lambda o: theirs.MultiplicativeLR(o, lambda t: 0.8),
    "LinearLR": lambda o: theirs.LinearLR(o, 0.5, total_iters=4),
    "PolynomialLR": lambda o: theirs.PolynomialLR(o, 20, 2.0),
    "ConstantLR": lambda o: theirs.ConstantLR(o, 0.5, total_iters=3),
    "CosineAnnealingLR": lambda o: theirs.CosineAnnealingLR(o, 20),
}


@pytest.mark.parametrize("made", ["theirs", "ours"])
@pytest.mark.parametrize("first", ["theirs", "ours"])
@pytest.mark.parametrize("other", MULTIPLY)
def test_one_that_multiplies_gives_the_product(other: str, first: str, made: str) -> None:
    """StepLR beside linear(10) gave 1, .9, .08, .7, .06: each step undid what it had done."""
    alone = sgd()
    scheduler = MULTIPLY[other](alone)
    wanted = [x * linear(10)(t) for t, x in enumerate(run(alone, 8, scheduler.step), 1)]
    both = sgd()
    makes: dict[str, Callable[[Any], Any]] = {
        "theirs": MULTIPLY[other],
        "ours": partial(Scheduler, lr=linear(10)),
    }
    pair = {name: makes[name](both) for name in sorted(makes, key=lambda name: name != made)}
    steps = [pair[name].step for name in sorted(pair, key=lambda name: name != first)]
    assert run(both, 8, *steps) == pytest.approx(wanted, rel=1e-12)


def test_in_a_chain_of_torchs() -> None:
    optimizer = sgd()
    pair = [theirs.StepLR(optimizer, 2, 0.1), Scheduler(optimizer, lr=linear(10))]
    chain = theirs.ChainedScheduler(pair, optimizer)
    found = run(optimizer, 5, chain.step)
    assert found == pytest.approx([0.9, 0.08, 0.07, 0.006, 0.005])
    assert chain.get_last_lr() == found[-1:]


def test_a_plateau_stays() -> None:
    optimizer = sgd()
    scheduler = Scheduler(optimizer, lr=cosine(100))
    plateau = theirs.ReduceLROnPlateau(optimizer, factor=0.5, patience=1)
    run(optimizer, 10, scheduler.step, lambda: plateau.step(1.0))
    cuts = 4  # one for each two rounds after the first
    scheduler.step(50)
    assert optimizer.param_groups[0]["lr"] == pytest.approx(0.5**cuts * cosine(100)(50))


@settings(max_examples=20)  # who made a change is looked for, among all objects
@given(t=st.integers(0, 50), factor=st.floats(1e-3, 1e3), later=st.integers(1, 40))
def test_a_change_of_your_own_multiplies_the_base(t: int, factor: float, later: int) -> None:
    schedule = linear(200, floor=0.1)
    optimizer = sgd(0.3, groups=2)
    scheduler = Scheduler(optimizer, lr=schedule)
    scheduler.step(t)
    optimizer.param_groups[1]["lr"] *= factor
    for _ in range(later):
        scheduler.step()
    exact, changed = (group["lr"] for group in optimizer.param_groups)
    assert exact == 0.3 * schedule(t + later)  # to the bit
    assert changed == pytest.approx(0.3 * factor * schedule(t + later), rel=1e-12)


def test_a_change_of_a_tuple_is_gone_on_from_number_by_number() -> None:
    """Of betas one may be scheduled and the other set by hand."""
    optimizer = torch.optim.AdamW([leaf()], betas=(0.8, 0.999))
    scheduler = Scheduler(optimizer, betas=(linear(10), None))
    optimizer.param_groups[0]["betas"] = (0.4, 0.9)
    scheduler.step()
    assert optimizer.param_groups[0]["betas"] == (pytest.approx(0.36), 0.9)
    scheduler.step()
    assert optimizer.param_groups[0]["betas"] == (pytest.approx(0.32), 0.9)


def test_a_change_to_zero_can_be_taken_back() -> None:
    optimizer = sgd()
    scheduler = Scheduler(optimizer, lr=linear(10))
    optimizer.param_groups[0]["lr"] = 0.0
    scheduler.step()
    assert optimizer.param_groups[0]["lr"] == 0.0
    optimizer.param_groups[0]["lr"] = 0.45
    scheduler.step()
    assert optimizer.param_groups[0]["lr"] == pytest.approx(0.4)


def test_a_change_while_the_schedule_is_at_zero_is_told_once() -> None:
    optimizer = sgd()
    scheduler = Scheduler(optimizer, lr=warmup(4, constant()))
    optimizer.param_groups[0]["lr"] = 0.2
    with pytest.warns(UserWarning, match=r"lr of group 0 was set to 0\.2 while its schedule is at"):
        scheduler.step()
    assert optimizer.param_groups[0]["lr"] == 0.25
    scheduler.step(0)
    optimizer.param_groups[0]["lr"] = 0.2
    scheduler.step()


def test_what_is_no_number_is_refused() -> None:
    optimizer = sgd()
    scheduler = Scheduler(optimizer, lr=linear(10))
    for wrong, said in (("x", "lr='x' is no number"), (float("nan"), "lr would be nan times")):
        optimizer.param_groups[0]["lr"] = wrong
        with pytest.raises((TypeError, ValueError), match=said):
            scheduler.step()
        assert scheduler.t == 0


@pytest.mark.parametrize("kind", ["float32", "float64"])
def test_a_tensor_that_was_filled_is_no_change(kind: str) -> None:
    """0.1 in float32 is not 0.1: the difference is no other's."""
    lr = torch.tensor(0.1, dtype=getattr(torch, kind))
    scheduler = Scheduler(sgd(lr), lr=linear(100))
    for t in range(1, 50):
        scheduler.step()
        assert lr == torch.tensor(scheduler.base_lrs[0] * linear(100)(t), dtype=lr.dtype)
    base = scheduler.base_lrs
    lr.mul_(1.0)
    scheduler.step()
    assert scheduler.base_lrs == base
    lr.mul_(0.5)
    scheduler.step()
    assert scheduler.base_lrs == pytest.approx([0.5 * base[0]])


def test_one_made_after_another_has_ended_starts_from_the_first_base() -> None:
    """A second phase: the first's last value is nothing to multiply."""
    optimizer = sgd()
    first = theirs.CosineAnnealingLR(optimizer, 4)
    run(optimizer, 4, first.step)
    Scheduler(optimizer, lr=linear(10))
    assert optimizer.param_groups[0]["lr"] == 1.0


# One that overwrites is named

OVERWRITE: dict[str, Callable[[Any], Any]] = {
    "LambdaLR": lambda o: theirs.LambdaLR(o, lambda t: 0.5**t),
    "OneCycleLR": lambda o: theirs.OneCycleLR(o, 1.0, total_steps=50, cycle_momentum=False),
    "CyclicLR": lambda o: theirs.CyclicLR(o, 0.1, 1.0, 3, cycle_momentum=False),
    "CosineAnnealingWarmRestarts": lambda o: theirs.CosineAnnealingWarmRestarts(o, 7),
}


@pytest.mark.parametrize("other", OVERWRITE)
@pytest.mark.parametrize("first", ["theirs", "ours"])
def test_one_that_overwrites_is_named_once(other: str, first: str) -> None:
    optimizer = sgd(momentum=0.9)
    makes: list[Callable[[Any], Any]] = [OVERWRITE[other], partial(Scheduler, lr=linear(50))]
    pair = [make(optimizer) for make in (makes if first == "theirs" else reversed(makes))]
    with pytest.warns(UserWarning, match=f"^{other} sets lr as well as this Scheduler") as caught:
        run(optimizer, 10, *(one.step for one in pair))
    assert len(caught) == 1


def test_one_of_another_optimizer_is_not_blamed() -> None:
    elsewhere = OVERWRITE["LambdaLR"](sgd())
    optimizer = sgd()
    scheduler = Scheduler(optimizer, lr=linear(10))
    optimizer.param_groups[0]["lr"] = 0.5
    scheduler.step()
    assert elsewhere.get_last_lr() == [1.0]


class Warmup:
    """What pytorch_warmup does: the rate is dampened outside of the block that steps."""

    def __init__(self, optimizer: Any, period: int) -> None:
        self.optimizer, self.period, self.last_step = optimizer, period, -1
        self.lrs = [group["lr"] for group in optimizer.param_groups]
        self.dampen()

    def dampen(self) -> None:
        self.last_step += 1
        for group in self.optimizer.param_groups:
            group["lr"] *= min(1.0, (self.last_step + 1) / self.period)

    @contextlib.contextmanager
    def dampening(self) -> Iterator[None]:
        for group, lr in zip(self.optimizer.param_groups, self.lrs, strict=True):
            group["lr"] = lr
        yield
        self.lrs = [group["lr"] for group in self.optimizer.param_groups]
        self.dampen()

    def state_dict(self) -> dict[str, Any]:
        return {"lrs": self.lrs, "last_step": self.last_step}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)


def dampened() -> tuple[Any, Any, Any]:
    optimizer = sgd()
    scheduler = Scheduler(optimizer, lr=cosine(10_000))
    return optimizer, scheduler, Warmup(optimizer, 2000)


def dampened_run(trio: tuple[Any, Any, Any], steps: int) -> list[float]:
    optimizer, scheduler, warm = trio
    seen = []
    for _ in range(steps):
        seen.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        with warm.dampening():
            scheduler.step()
    return seen


@pytest.mark.parametrize("order", [*itertools.permutations(range(3))], ids=str)
def test_a_dampened_rate_survives_loading_in_any_order(order: tuple[int, ...]) -> None:
    """Loading the scheduler put 1.0 where the optimizer had just loaded 0.0055."""
    trio = dampened()
    dampened_run(trio, 10)
    held = [copy.deepcopy(one.state_dict()) for one in trio]
    again = dampened()
    for i in order:
        again[i].load_state_dict(held[i])
    assert again[0].param_groups[0]["lr"] == pytest.approx(0.0055, rel=1e-4)
    assert dampened_run(again, 20) == dampened_run(trio, 20)


@pytest.mark.parametrize("order", ["optimizer first", "scheduler first"])
@pytest.mark.parametrize("change", [0.5, 1.0 / linear(50)(7), 0.0])
def test_a_change_before_saving_is_gone_on_from_after_loading(change: float, order: str) -> None:
    """Also one that happens to put back the value that a new scheduler begins with."""
    optimizer = sgd()
    scheduler = Scheduler(optimizer, lr=linear(50))
    run(optimizer, 7, scheduler.step)
    optimizer.param_groups[0]["lr"] *= change
    held = copy.deepcopy(optimizer.state_dict()), json.dumps(scheduler.state_dict())
    again = sgd()
    resumed = Scheduler(again, lr=linear(50))
    pairs: list[tuple[Any, Any]] = [(again, held[0]), (resumed, json.loads(held[1]))]
    for one, state in pairs if order == "optimizer first" else reversed(pairs):
        one.load_state_dict(state)
    assert again.param_groups[0]["lr"] == optimizer.param_groups[0]["lr"]
    assert run(again, 9, resumed.step) == run(optimizer, 9, scheduler.step)


# Two of ours


def test_two_schedulers_of_one_number_are_refused_by_name() -> None:
    optimizer = sgd(groups=2, momentum=0.9)
    first = Scheduler(optimizer, lr=linear(10))
    before = copy.deepcopy(optimizer.state_dict()["param_groups"])
    for second in (cosine(10), [cosine(10), None]):
        with pytest.raises(ValueError, match=r"(?s)lr .* by Scheduler\(lr=linear\(10\)\).*cosine"):
            Scheduler(optimizer, lr=second)
    assert optimizer.state_dict()["param_groups"] == before
    other = Scheduler(optimizer, momentum=cosine(10))
    assert first.t == other.t == 0
    first.ring = first  # type: ignore[attr-defined]
    del first
    Scheduler(optimizer, lr=cosine(10)).step()  # in its place


def test_two_schedulers_of_different_groups_or_numbers_go_together() -> None:
    optimizer = torch.optim.AdamW([{"params": [leaf()]}, {"params": [leaf()]}], betas=(0.8, 0.9))
    pair = [
        Scheduler(optimizer, lr=[linear(10), None], betas=(linear(10), None)),
        Scheduler(optimizer, lr=[None, cosine(10)], betas=(None, linear(20))),
    ]
    for _ in range(4):
        for one in pair:
            one.step()
    first, second = optimizer.param_groups
    assert (first["lr"], second["lr"]) == (1e-3 * linear(10)(4), 1e-3 * cosine(10)(4))
    assert first["betas"] == (0.8 * linear(10)(4), 0.9 * linear(20)(4))


# Inside of torch's SequentialLR


def sequence(optimizer: Any, ours: str) -> Any:
    if ours == "second":
        warm = theirs.LinearLR(optimizer, 0.1, total_iters=5)
        return theirs.SequentialLR(optimizer, [warm, Scheduler(optimizer, lr=cosine(20))], [5])
    first = Scheduler(optimizer, lr=warmup(5, constant()))
    after = theirs.CosineAnnealingLR(optimizer, 20)
    return theirs.SequentialLR(optimizer, [first, after], [5])


@pytest.mark.parametrize("ours", ["first", "second"])
@pytest.mark.parametrize("at", [0, 3, 5, 9])
def test_it_takes_its_turn_in_a_sequence_and_resumes_there(ours: str, at: int) -> None:
    optimizer = sgd(0.5)
    scheduler = sequence(optimizer, ours)
    found = [0.5 * 0.1 if ours == "second" else 0.0]
    assert optimizer.param_groups[0]["lr"] == pytest.approx(found[0])
    found += run(optimizer, at, scheduler.step)
    held = copy.deepcopy([optimizer.state_dict(), scheduler.state_dict()])
    again = sgd(0.5)
    resumed = sequence(again, ours)
    again.load_state_dict(held[0])
    resumed.load_state_dict(held[1])
    rest = run(optimizer, 20, scheduler.step)
    assert run(again, 20, resumed.step) == rest
    found += rest
    for t in range(5):
        up = 0.1 + 0.9 * t / 5 if ours == "second" else t / 5
        assert found[t] == pytest.approx(0.5 * up)
    if ours == "second":
        assert found[5:20] == [0.5 * cosine(20)(t) for t in range(15)]


def test_two_of_ours_in_a_sequence_say_what_to_write() -> None:
    optimizer = sgd()
    with pytest.raises(ValueError, match=r"a\.then\(b, at=n\)"):
        theirs.SequentialLR(
            optimizer,
            [Scheduler(optimizer, lr=linear(5)), Scheduler(optimizer, lr=cosine(5))],
            [5],
        )


# Counting updates


class Accumulating(torch.optim.SGD):
    """An optimizer that updates every n-th step, and says in its groups how far it is."""

    def __init__(self, n: int) -> None:
        super().__init__([leaf()], lr=1.0)
        self.n = n
        self.param_groups[0]["accumulate_done"] = 0

    def step(self, closure: Any = None) -> Any:
        group = self.param_groups[0]
        group["accumulate_done"] = (group["accumulate_done"] + 1) % self.n


@given(n=st.integers(1, 5), calls=st.integers(0, 30))
def test_updates_are_counted_where_gradients_are_accumulated(n: int, calls: int) -> None:
    optimizer = Accumulating(n)
    scheduler = Scheduler(optimizer, count_updates=True, lr=linear(10))
    for call in range(1, calls + 1):
        optimizer.step()
        scheduler.step()
        assert scheduler.t == call // n
    assert scheduler.get_last_lr() == [linear(10)(calls // n)]
    other = Scheduler(sgd(), lr=linear(10), count_updates=True)
    for _ in range(calls):
        other.step()
    assert other.t == calls  # each step is an update there
    scheduler.step(7.5)
    assert scheduler.t == 7.5


def test_calls_are_counted_by_default() -> None:
    optimizer = Accumulating(4)
    scheduler = Scheduler(optimizer, lr=linear(10))
    run(optimizer, 3, scheduler.step)
    assert scheduler.t == 3
    with pytest.raises(TypeError, match="count_updates='yes': must be True or False"):
        Scheduler(sgd(), lr=linear(10), count_updates="yes")  # type: ignore[arg-type]


def test_resuming_with_another_count_is_told() -> None:
    state = Scheduler(sgd(), lr=linear(10), count_updates=True).state_dict()
    new = Scheduler(sgd(), lr=linear(10))
    with pytest.raises(ValueError, match=r"^count_updates was True and is False now"):
        new.load_state_dict(state)
    new.load_state_dict(state, changed="new")
    assert not new.count_updates
    new.load_state_dict(state, changed="saved")
    assert new.count_updates
    del state["count_updates"]  # as older ones
    new.load_state_dict(state)


# Groups that come later


def test_a_list_of_schedules_can_be_extended() -> None:
    optimizer = sgd()
    given_ = [linear(10)]
    scheduler = Scheduler(optimizer, lr=given_, momentum=constant())
    for wrong, said in (
        ({"lr": cosine(10)}, "each of the 1 groups has its lr"),
        ({"momentum": cosine(10)}, "momentum is not scheduled by a list; the lists are those of l"),
        ({"nesterov": cosine(10)}, "nesterov is not scheduled by a list"),
    ):
        with pytest.raises(ValueError, match=said):
            scheduler.extend(**wrong)
    optimizer.add_param_group({"params": [leaf()], "lr": 3.0})
    optimizer.add_param_group({"params": [leaf()], "lr": 5.0})
    with pytest.raises(ValueError, match=r"a list of 1 schedules, .* scheduler\.extend\(lr="):
        scheduler.step()
    with pytest.raises(TypeError, match=r"lr=0\.5: must be a schedule"):
        scheduler.extend(lr=0.5)
    state = None
    for one in (cosine(10), None):
        scheduler.extend(lr=one)
        state = state or scheduler._saved["lr"][:]
    scheduler.step()
    assert scheduler.get_last_lr() == [0.9, 3 * cosine(10)(1), 5.0]
    assert given_ == [linear(10)]  # the caller's own
    again = Scheduler(sgd(groups=3), lr=[linear(10), cosine(10), None], momentum=constant())
    again.load_state_dict(json.loads(json.dumps(scheduler.state_dict())))
    assert again.get_last_lr()[:2] == scheduler.get_last_lr()[:2]


@pytest.mark.parametrize("order", ["optimizer first", "scheduler first", "made last"])
def test_a_group_that_was_just_added_is_saved_and_loaded(order: str) -> None:
    """ "1 parameter groups and the optimizer 2" was said of a scheduler's own state."""
    optimizer = sgd()
    scheduler = Scheduler(optimizer, lr=linear(10, floor=0.5))
    run(optimizer, 4, scheduler.step)
    optimizer.add_param_group({"params": [leaf()], "lr": 3.0})
    scheduler.load_state_dict(scheduler.state_dict())
    assert [group["lr"] for group in optimizer.param_groups] == [0.8, 3.0]
    held = copy.deepcopy([optimizer.state_dict(), scheduler.state_dict()])
    again = sgd(groups=2)
    if order == "made last":
        again.load_state_dict(held[0])
    resumed = Scheduler(again, lr=linear(10, floor=0.5))
    both: list[tuple[Any, Any]] = [(again, held[0]), (resumed, held[1])]
    for one, state in {"optimizer first": both, "scheduler first": both[::-1]}.get(order, both[1:]):
        one.load_state_dict(state)
    for _ in range(3):
        assert [g["lr"] for g in again.param_groups] == [g["lr"] for g in optimizer.param_groups]
        scheduler.step()
        resumed.step()


# One tensor in several groups


@pytest.mark.parametrize("make", [torch.optim.AdamW, glissade.AdamW], ids=["torch", "glissade"])
def test_groups_that_share_a_tensor_are_moved_apart(make: Any) -> None:
    """The optimizer's lr is one tensor in all its groups."""
    lr = torch.tensor(0.5)
    optimizer = make([{"params": [leaf()]}, {"params": [leaf()]}], lr=lr)
    scheduler = Scheduler(optimizer, lr=[linear(10), None])
    scheduler.step(5)
    assert [float(group["lr"]) for group in optimizer.param_groups] == [0.25, 0.5]
    optimizer.add_param_group({"params": [leaf()]})
    assert float(optimizer.param_groups[2]["lr"]) == 0.5  # no moved one
    shared = optimizer.param_groups[0]["lr"]
    optimizer.add_param_group({"params": [leaf()], "lr": shared})
    scheduler.extend(lr=None)
    scheduler.extend(lr=constant())
    scheduler.step()
    assert [float(g["lr"]) for g in optimizer.param_groups] == pytest.approx([0.2, 0.5, 0.5, 0.25])
    assert optimizer.param_groups[0]["lr"] is shared


def test_groups_that_share_a_tensor_after_loading_are_moved_apart() -> None:
    old = sgd(torch.tensor(0.5), groups=2)
    new = sgd(torch.tensor(1.0), groups=2)
    scheduler = Scheduler(new, lr=[linear(10), None])
    new.load_state_dict(old.state_dict())
    scheduler.step()
    assert [float(group["lr"]) for group in new.param_groups] == pytest.approx([0.9, 0.5])


# Functions that differ


class Decay:
    def __init__(self, k: float) -> None:
        self.k = k

    def __call__(self, t: float) -> float:
        return self.k**t

    def at(self, t: float) -> float:
        return self.k**t


class Slotted:
    __slots__ = ("k",)

    def __init__(self, k: float) -> None:
        self.k = k

    def __call__(self, t: float) -> float:
        return self.k**t


def decay(t: float, k: float = 0.5) -> float:
    return k**t


def closed(k: float) -> Callable[[float], float]:
    return lambda t: k**t


FUNCTIONS: dict[str, Callable[[float], Any]] = {
    "partial": lambda k: partial(decay, k=k),
    "partial of a position": lambda k: partial(lambda k, t: k**t, k),
    "object": Decay,
    "slots": Slotted,
    "method": lambda k: Decay(k).at,
    "closure": closed,
    "closure over a schedule": lambda k: partial(lambda s, t: s(t), linear(100, floor=k)),
    "closure over a closure": lambda k: partial(lambda f, t: f(t), closed(k)),
    "tensor": lambda k: partial(decay, k=torch.tensor(k, dtype=torch.float64)),
    "list": lambda k: partial(lambda ks, t: ks[0] ** t, [k, 2.0]),
    "default": lambda k: eval(f"lambda t, k={k}: k ** t"),
    "number in the code": lambda k: eval(f"lambda t: {k} ** t"),
    "tuple": lambda k: (None, closed(k)),
}


@pytest.mark.parametrize("kind", FUNCTIONS)
def test_a_function_with_other_values_is_another(kind: str) -> None:
    """partial(f, k=.5) went on as partial(f, k=.9)."""

    def made(k: float) -> Scheduler:
        f = FUNCTIONS[kind](k)
        optimizer = torch.optim.AdamW([leaf()], betas=(0.9, 0.99))
        return Scheduler(optimizer, **{"betas" if isinstance(f, tuple) else "lr": f})

    old = made(0.5)
    old.step()
    file = io.BytesIO()
    torch.save(old.state_dict(), file)
    file.seek(0)
    for state in (torch.load(file, weights_only=True), json.loads(json.dumps(old.state_dict()))):
        made(0.5).load_state_dict(state)
        with pytest.raises(ValueError, match=r"(?s)0\.5.* and is .*0\.9.* now"):
            made(0.9).load_state_dict(state)
        new = made(0.9)
        new.load_state_dict(state, changed="new")
        assert new.t == 1


def test_a_function_that_counts_its_calls_is_no_other() -> None:
    class Counting(Decay):
        calls = 0

        def __call__(self, t: float) -> float:
            self.calls += 1
            return super().__call__(t)

    old = Scheduler(sgd(), lr=Counting(0.5))
    old.step()
    Scheduler(sgd(), lr=Counting(0.5)).load_state_dict(old.state_dict())


def test_a_model_in_a_function_is_not_written_out() -> None:
    module = torch.nn.Linear(100, 100)
    scheduler = Scheduler(sgd(), lr=lambda t: float(module.bias.numel() > 0))
    assert len(json.dumps(scheduler.state_dict())) < 3000


def test_an_older_checkpoint_has_a_functions_name_alone() -> None:
    scheduler = Scheduler(sgd(), lr=partial(decay, k=0.5))
    state = scheduler.state_dict()
    state["schedules"] = {"lr": {"function": "partial"}}
    del state["written"], state["count_updates"]
    scheduler.load_state_dict(state)
    state["schedules"] = {"lr": {"function": "other"}}
    with pytest.raises(ValueError, match="lr was function other and is function partial with"):
        scheduler.load_state_dict(state)


@pytest.mark.parametrize(
    "how",
    [
        {"lr": multi_step((3, 5))},
        {"lr": [multi_step((3, 5)), None]},
        {"lr": warmup(2, multi_step((3, 5))), "betas": (None, multi_step((1, 2)))},
        {"lr": multi_step((3, 5)).then(linear(4), at=9)},
    ],
    ids=repr,
)
def test_a_state_through_json_is_the_same_state(how: dict[str, Any]) -> None:
    """JSON makes lists of tuples; the error that followed named no difference."""

    def made() -> Scheduler:
        return Scheduler(torch.optim.AdamW([{"params": [leaf()]}, {"params": [leaf()]}]), **how)

    old, new = made(), made()
    old.step(4)
    new.load_state_dict(json.loads(json.dumps(old.state_dict())))
    assert new.t == 4
    for one in (old, new):
        one.step()
    groups = [
        [(group["lr"], group["betas"]) for group in one.optimizer.param_groups]
        for one in (old, new)
    ]
    assert groups[0] == groups[1]


def test_a_scheduler_is_copied_with_its_optimizer() -> None:
    optimizer = sgd()
    scheduler = Scheduler(optimizer, lr=linear(10))
    scheduler.step()
    for again in (copy.deepcopy(scheduler), pickle.loads(pickle.dumps(scheduler))):
        assert again.optimizer is not optimizer
        again.optimizer.param_groups[0]["lr"] *= 0.5
        again.step()
        assert again.get_last_lr() == pytest.approx([0.4])
        with pytest.raises(ValueError, match=r"lr .* driven by"):
            Scheduler(again.optimizer, lr=cosine(3))
    assert scheduler.get_last_lr() == [0.9]


def test_a_state_that_was_saved_does_not_change() -> None:
    optimizer = sgd()
    scheduler = Scheduler(optimizer, lr=[linear(10)])
    state = scheduler.state_dict()
    before = json.dumps(state)
    optimizer.add_param_group({"params": [leaf()]})
    scheduler.extend(lr=cosine(10))
    scheduler.step()
    assert json.dumps(state) == before


def test_a_step_may_be_a_number_of_torch() -> None:
    scheduler = Scheduler(sgd(), lr=linear(10))
    scheduler.step(torch.tensor(3))  # type: ignore[arg-type]
    assert json.dumps(scheduler.state_dict()["t"]) == "3"
