"""A step happens or does not: under Ctrl-C at any moment, and where something in it fails."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any
from unittest import mock

import pytest
import torch
from torch import Tensor

import glissade
from glissade import Optimizer, Rule, State, rules, wrappers
from glissade import held as handlers
from glissade.held import held
from tests.cases import bits, normal

TRIES = int(os.environ.get("INTERRUPTIONS", "60"))
Make = Callable[[], tuple[list[Tensor], Rule]]


def params(*shapes: tuple[int, ...], dtypes: tuple[torch.dtype, ...] = (torch.float32,)) -> Any:
    return [
        normal(i, shape, dtypes[i % len(dtypes)]).requires_grad_() for i, shape in enumerate(shapes)
    ]


CASES: dict[str, Make] = {
    "small": lambda: (params((5, 4), (4,)), rules.adamw(0.1)),
    "large": lambda: (params((300, 400), (400,)), rules.adamw(0.1)),
    "two passes": lambda: (params((300, 400), (7,)), rules.lamb(0.1)),
    "two dtypes": lambda: (
        params((30, 40), (40,), dtypes=(torch.float32, torch.float64)), rules.adamw(0.1)
    ),
    "a total": lambda: (
        params((300, 400), (40,)), wrappers.clip_norm(rules.sgd(0.1, momentum=0.9), 1.0)
    ),
    "a window": lambda: (params((50, 40), (40,)), wrappers.accumulate(rules.adam(0.1), 3)),
    "restarts": lambda: (params((50, 40), (40,)), rules.adamw(0.1)),
    "an average": lambda: (
        params((50, 40), (40,)), wrappers.ema(wrappers.lookahead(rules.adam(0.1), k=2), 0.9)
    ),
}  # fmt: skip


class Stop(Exception):
    """What a signal raises here."""


@pytest.fixture
def _stopping() -> Iterator[None]:
    def stop(*_: Any) -> None:
        raise Stop

    before = signal.signal(signal.SIGUSR1, stop)
    yield
    signal.signal(signal.SIGUSR1, before)


def lines(function: Callable[[], Any], at: int | None = None) -> int:
    """Call a function and return how many lines of the package's Python it went through; at the
    start of the `at`-th of them a signal comes."""
    seen = 0

    def look(frame: Any, event: str, arg: Any) -> Any:
        nonlocal seen
        if not frame.f_globals.get("__name__", "").startswith("glissade"):
            return None
        if event == "line":
            seen += 1
            if seen - 1 == at:
                signal.raise_signal(signal.SIGUSR1)
        return look

    before = sys.gettrace()
    sys.settrace(look)
    try:
        function()
    finally:
        sys.settrace(before)
    return seen


def kept(optimizer: Optimizer, given: list[Tensor]) -> Any:
    """Everything that a step changes: parameters, states, counts, numbers in groups."""
    groups = [{k: v for k, v in g.items() if k != "params"} for g in optimizer.param_groups]
    states = [dict(optimizer.state.get(p, {})) for p in given]
    return bits([[p.detach() for p in given], states, groups])


def gradients(given: list[Tensor], t: int) -> None:
    for i, p in enumerate(given):
        p.grad = normal(100 * t + i, tuple(p.shape), p.dtype)


def made(name: str, given: list[Tensor], rule: Rule, backend: str) -> Optimizer:
    if name == "restarts":  # whose clock goes with the step
        return glissade.AdamWR(given, lr=0.1, t_0=2, backend=backend)
    return Optimizer(given, rule, backend=backend)


def path(name: str, backend: str, steps: int) -> list[Any]:
    """What a run is after each step that nothing interrupts."""
    given, rule = CASES[name]()
    optimizer = made(name, given, rule, backend)
    found = [kept(optimizer, given)]
    for t in range(steps):
        gradients(given, t)
        optimizer.step()
        found.append(kept(optimizer, given))
    return found


@pytest.mark.usefixtures("_stopping")
@pytest.mark.parametrize("backend", ["cpu", "eager"])
@pytest.mark.parametrize("name", CASES)
def test_an_interrupted_step_is_no_half_step(name: str, backend: str) -> None:
    interrupt(name, backend, TRIES)


@pytest.mark.slow
@pytest.mark.usefixtures("_stopping")
@pytest.mark.parametrize("backend", ["cpu", "eager"])
@pytest.mark.parametrize("name", CASES)
def test_nor_at_any_line(name: str, backend: str) -> None:
    interrupt(name, backend, None)


def interrupt(name: str, backend: str, tries: int | None) -> None:
    """Signals come at lines spread over the first step, where all is made, and over later ones;
    without a number of tries at every line."""
    steps = 4
    wanted = path(name, backend, steps)

    def begun(taken: int) -> tuple[list[Tensor], Optimizer]:
        given, rule = CASES[name]()
        optimizer = made(name, given, rule, backend)
        for t in range(taken + 1):
            gradients(given, t)
            if t < taken:
                optimizer.step()
        return given, optimizer

    before = after = 0
    for taken in range(steps - 1):
        count = lines(begun(taken)[1].step)
        many = count if tries is None else tries // (steps - 1)
        for k in range(many):
            given, optimizer = begun(taken)
            with contextlib.suppress(Stop):
                lines(optimizer.step, at=k * count // many)
            now = kept(optimizer, given)
            assert now in (wanted[taken], wanted[taken + 1])
            if now == wanted[taken]:
                before += 1
                optimizer.step()
            else:
                after += 1
            for t in range(taken + 1, steps):  # and the run goes on as if nothing had been
                gradients(given, t)
                optimizer.step()
            assert kept(optimizer, given) == wanted[steps]
    assert before
    assert after


def interrupted_inside(seen: list[str]) -> None:
    with held():
        signal.raise_signal(signal.SIGINT)
        seen.append("written")


def test_a_signal_waits_until_the_block_is_over() -> None:
    seen: list[str] = []
    before = signal.signal(signal.SIGUSR1, lambda *_: seen.append("handled"))
    # A shell that starts tests in the background has SIGINT ignored.
    interrupts = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with held():
            signal.raise_signal(signal.SIGUSR1)
            seen.append("done")
        assert seen == ["done", "handled"]
        with pytest.raises(KeyboardInterrupt):
            interrupted_inside(seen)
        assert seen[-1] == "written"
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    finally:
        signal.signal(signal.SIGUSR1, before)
        signal.signal(signal.SIGINT, interrupts)


def test_a_signal_that_raises_keeps_no_other_from_its_handler() -> None:
    seen: list[str] = []
    names = (signal.SIGUSR1, signal.SIGUSR2, signal.SIGTERM)

    def raising(*_: Any) -> None:
        seen.append("raises")
        raise Stop

    handlers = (raising, lambda *_: seen.append("second"), lambda *_: seen.append("third"))
    before = [signal.signal(x, f) for x, f in zip(names, handlers, strict=True)]
    try:
        with contextlib.suppress(Stop), held():
            for name in names:
                signal.raise_signal(name)
        assert seen == ["raises", "second", "third"]
        assert tuple(map(signal.getsignal, names)) == handlers
    finally:
        for name, handler in zip(names, before, strict=True):
            signal.signal(name, handler)


def test_a_signal_while_handlers_come_back_leaves_none_away(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It comes when its own handler is back, and those of others are not."""
    given = handlers.handle
    raised = iter([True])

    def raising(*_: Any) -> None:
        raise Stop

    def handle(number: int, handler: Any) -> Any:
        out = given(number, handler)
        if handler is raising and next(raised, False):
            signal.raise_signal(number)
        return out

    names = (signal.SIGUSR1, signal.SIGUSR2)
    before = [signal.signal(x, raising) for x in names]
    try:
        block = held()
        block.__enter__()
        monkeypatch.setattr(handlers, "handle", handle)
        with pytest.raises(Stop):
            block.__exit__(None, None, None)
        assert [signal.getsignal(x) for x in names] == [raising, raising]
    finally:
        for name, handler in zip(names, before, strict=True):
            signal.signal(name, handler)


def test_other_threads_step_without_handlers() -> None:
    given, rule = CASES["two dtypes"]()
    optimizer = Optimizer(given, rule)
    gradients(given, 0)
    thread = threading.Thread(target=optimizer.step)
    thread.start()
    thread.join()
    assert all(int(optimizer.state[p]["step"]) == 1 for p in given)


@pytest.mark.parametrize("backend", ["cpu", "eager"])
@pytest.mark.parametrize("name", CASES)
def test_no_memory_leaves_everything_as_it_was(name: str, backend: str) -> None:
    """Wherever it is missing: what a step makes is made before it writes."""
    make = CASES[name]
    wanted = path(name, backend, 2)
    for at in range(0, 60, 3):
        given, rule = make()
        optimizer = made(name, given, rule, backend)
        gradients(given, 0)
        left = iter(range(at))

        def failing(real: Any, left: Any = left) -> Any:
            def called(*args: Any, **kwargs: Any) -> Any:
                if next(left, None) is None:
                    raise MemoryError
                return real(*args, **kwargs)

            return called

        names = ("zeros_like", "empty", "as_tensor", "where", "sqrt")
        with changed(names, failing):
            try:
                optimizer.step()
            except MemoryError:
                assert kept(optimizer, given) == wanted[0]
                assert not optimizer.state
        if not optimizer.state:
            optimizer.step()
        assert kept(optimizer, given) == wanted[1]


def changed(names: tuple[str, ...], change: Callable[[Any], Any]) -> Any:
    """Functions of torch that are changed for as long as the block lasts."""
    stack = contextlib.ExitStack()
    for name in names:
        stack.enter_context(mock.patch.object(torch, name, change(getattr(torch, name))))
    return stack


def test_an_error_in_a_rule_moves_no_parameter() -> None:
    def update(p: Any, g: Any, s: Any, t: Any, h: Any) -> tuple[Any, State]:
        if isinstance(p, Tensor) and p.numel() == 7:
            raise MemoryError
        return h.lr * g, State(m=g)

    given = params((3,), (7,), (2,))
    optimizer = Optimizer(given, Rule(update, {"lr": 0.1}), backend="eager")
    before = kept(optimizer, given)
    gradients(given, 0)
    with pytest.raises(MemoryError):
        optimizer.step()
    assert kept(optimizer, given) == before


def test_an_error_in_a_closure_or_a_hook_changes_nothing() -> None:
    given, rule = CASES["small"]()
    optimizer = Optimizer(given, rule)
    gradients(given, 0)
    optimizer.step()
    before = kept(optimizer, given)

    def failing(*_: Any) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        optimizer.step(failing)
    handle = optimizer.register_step_pre_hook(failing)
    with pytest.raises(ZeroDivisionError):
        optimizer.step()
    handle.remove()
    assert kept(optimizer, given) == before
