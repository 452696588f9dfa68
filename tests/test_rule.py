"""The rule language on tensors, which is the reference, and what a Rule is."""

from __future__ import annotations

import math
import pickle
from typing import Any

import pytest
import torch
from torch import Tensor

import glissade
from glissade import Optimizer, Rule, RuleError, State, rules, wrappers
from glissade import rule as language
from glissade.graph import Kind, per_kind
from glissade.rule import DECAYS
from tests.cases import leaf, normal

BACKENDS = pytest.mark.parametrize("backend", ["cpu", "eager"])
SHAPES = [(), (5,), (4, 6), (2, 3, 5), (3, 2, 4, 3), (2, 1, 2, 3, 2)]
# The dimensions that are summed over, from the front or from the back.
DIMS = {
    "tensor": lambda n: tuple(range(n)),
    "slice": lambda n: tuple(range(1, n)),
    "matrix": lambda n: tuple(range(max(0, n - 2), n)),
    "row": lambda n: (n - 1,) if n else (),
    "column": lambda n: (n - 2,) if n > 1 else (),
}


def made(update: Any, **hyper: Any) -> Rule:
    return Rule(update, {"lr": 1.0, **hyper})


def stepped(update: Any, p: Tensor, g: Tensor, backend: str, **hyper: Any) -> Tensor:
    p = leaf(p)
    p.grad = g
    Optimizer([p], made(update, **hyper), backend=backend).step()
    return p.detach()


@BACKENDS
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("per", DIMS)
def test_reductions(per: str, shape: tuple[int, ...], backend: str) -> None:
    g, dims = normal(0, shape), DIMS[per](len(shape))
    squares, count = g**2, 1
    for d in dims:
        squares, count = squares.sum(d, keepdim=True), count * shape[d]
    wanted = {
        "norm": squares.sqrt(),
        "rms": (squares / count).sqrt(),
        "mean": g.mean(dims, keepdim=True) if dims else g,
        "total": g.sum(dims, keepdim=True) if dims else g,
    }
    for op, x in wanted.items():
        function = getattr(language, op)
        got = stepped(lambda p, g, s, t, h, f=function: (f(g, per=per), State()),
                      torch.zeros(shape, dtype=torch.float64), g, backend)  # fmt: skip
        torch.testing.assert_close(got, -x.expand(shape), rtol=1e-13, atol=1e-15)


@pytest.mark.parametrize("ndim", range(6))
def test_the_shape_of_a_state_is_that_of_its_reduction(ndim: int) -> None:
    shape = tuple(range(2, 2 + ndim))
    g = normal(0, shape)
    for per in DIMS:
        p = leaf(torch.zeros(shape, dtype=torch.float64))
        p.grad = g
        rule = made(lambda p, g, s, t, h, per=per: (g, State(x=language.total(g, per=per))))
        optimizer = Optimizer([p], rule)
        optimizer.step()
        x = optimizer.state[p]["x"]
        kept = {"tensor": ()}.get(per, tuple(
            1 if d in DIMS[per](ndim) else n for d, n in enumerate(shape)
        ))  # fmt: skip
        assert tuple(x.shape) == kept
        assert x.numel() == math.prod(n for d, n in enumerate(shape) if d not in DIMS[per](ndim))


def test_per_something_else_is_refused() -> None:
    with pytest.raises(RuleError, match=r"per='batch'.*'tensor', 'matrix', 'row', 'column'"):
        per_kind("batch", 2)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16], ids=str)
def test_numbers_chosen_by_where_are_of_the_rules_precision(dtype: torch.dtype) -> None:
    """torch.where of two numbers has torch's default dtype, which is not that of the rule."""
    p = leaf(torch.zeros(2, dtype=dtype))
    p.grad = torch.tensor([1.0, -1.0], dtype=dtype)
    rule = made(lambda p, g, s, t, h: (language.where(g > 0, 0.1, h.b), State()), b=-0.3)
    Optimizer([p], rule, backend="eager").step()
    assert torch.equal(p.detach(), torch.tensor([-0.1, 0.3], dtype=dtype))


@BACKENDS
def test_conditions_on_the_step_may_stand_in_where(backend: str) -> None:
    p = leaf(torch.zeros(2))
    p.grad = torch.ones(2)
    rule = made(
        lambda p, g, s, t, h: (language.where((t % 2 == 0) & (h.lr > 0), g, 10 * g), State())
    )
    optimizer = Optimizer([p], rule, backend=backend)
    seen = []
    for _ in range(3):
        optimizer.step()
        seen.append(p[0].item())
    assert seen == [-10, -11, -21]


@BACKENDS
def test_a_flag_and_a_condition_on_elements(backend: str) -> None:
    for flag in (True, False):
        rule = made(
            lambda p, g, s, t, h: (language.where(h.flag & (g > 0), g, 0 * g), State()), flag=flag
        )
        p = leaf(torch.zeros(2))
        p.grad = torch.tensor([1.0, -1.0])
        Optimizer([p], rule, backend=backend).step()
        assert p.tolist() == [-1.0 * flag, 0.0]


@BACKENDS
@pytest.mark.parametrize("value", [0.25, 1, 0])
def test_steps_and_parameters_may_be_plain_numbers(value: float, backend: str) -> None:
    def update(p: Any, g: Any, s: Any, t: Any, h: Any) -> Any:
        return value, State(n=t, c=value)

    p = leaf(torch.ones(3))
    p.grad = torch.ones(3)
    optimizer = Optimizer([p], made(update), backend=backend)
    optimizer.step()
    assert p.tolist() == [1.0 - value] * 3
    assert optimizer.state[p]["n"].item() == 1
    back = Rule(update, {"lr": 1.0}, after=lambda p, s, t, h: (value, State(last=p)))
    optimizer = Optimizer([p], back, backend=backend)
    optimizer.step()
    assert p.tolist() == [value] * 3
    assert optimizer.state[p]["last"].tolist() == [1.0 - 2 * value] * 3


@BACKENDS
def test_after_sees_what_the_update_returned_and_what_was_there_before(backend: str) -> None:
    def update(p: Any, g: Any, s: Any, t: Any, h: Any) -> Any:
        return g, State(new=s.new + 1)

    def after(p: Any, s: Any, t: Any, h: Any) -> Any:
        return p + 10 * s.new + 100 * s.old, State(old=s.old + 1)

    p = leaf(torch.zeros(2))
    p.grad = torch.ones(2)
    optimizer = Optimizer([p], Rule(update, {"lr": 1.0}, after), backend=backend)
    optimizer.step()
    assert p.tolist() == [9.0, 9.0]  # 0 - 1 + 10·1 + 100·0
    optimizer.step()
    assert p.tolist() == [9 - 1 + 20 + 100] * 2


@pytest.mark.parametrize(
    ("update", "words"),
    [
        (lambda p, g, s, t, h: ((g > 0) * g, State()), "mul of a truth value"),
        (lambda p, g, s, t, h: (language.mean(g > 0) * g, State()), "truth value"),
        (lambda p, g, s, t, h: (language.where(g, g, p), State()), "condition is a number"),
        (lambda p, g, s, t, h: (language.where(~g, g, p), State()), "not of a number"),
        (lambda p, g, s, t, h: (language.where((g > 0) & p, g, p), State()), "and of a number"),
        (lambda p, g, s, t, h: (language.where(g > 0, g > 1, p), State()), "one of a and b"),
        (lambda p, g, s, t, h: (language.norm(h.lr) * g, State()), "plain number"),
        (lambda p, g, s, t, h: (g > 0, State()), "truth value"),
    ],
)
def test_truths_are_not_numbers(update: Any, words: str) -> None:
    with pytest.raises(RuleError, match=words):
        Optimizer([leaf(torch.ones(2))], made(update))


def test_a_state_is_read_only_and_joins() -> None:
    state = State(a=1, b=2) | State(b=3, c=4)
    assert dict(state) == {"a": 1, "b": 3, "c": 4}
    assert (state.b, len(state)) == (3, 3)
    with pytest.raises(RuleError, match="return State"):
        state.a = 5
    with pytest.raises(AttributeError, match=r"no state 'd'.*'a', 'b', 'c'"):
        _ = state.d


def test_decay_comes_around_a_rule_that_asks_for_it() -> None:
    """p = 2, g = 3, λ = 0.5, lr0 = 0.5 and lr = 0.25."""
    wanted = {"l2": 2 - 0.25 * 4, "decoupled": 2 - 0.75 - 0.25, "independent": 2 - 0.75 - 0.5,
              "corrected": 2 - 0.75 - 0.125}  # fmt: skip
    assert set(wanted) == set(DECAYS)
    for decay, value in wanted.items():
        for backend in ("cpu", "eager"):
            p = leaf(torch.tensor(2.0))
            p.grad = torch.tensor(3.0)
            optimizer = glissade.SGD([p], lr=0.5, weight_decay=0.5, decay=decay, backend=backend)
            optimizer.param_groups[0]["lr"] = 0.25
            optimizer.step()
            assert p.item() == value, decay


def test_kinds_are_sets_of_axes() -> None:
    assert Kind.ROW | Kind.COLUMN == Kind.ELEMENT
    assert Kind.ROW & Kind.COLUMN == Kind.MATRIX
    assert Kind.MATRIX & Kind.SLICE == Kind.SLICE
    assert Kind.ROW.word == "row"
    assert [per_kind("slice", n) for n in range(4)] == [
        Kind.TENSOR, Kind.COLUMN, Kind.ROW, Kind.SLICE,
    ]  # fmt: skip


@pytest.mark.parametrize(
    "rule", [rules.adafactor(), rules.rangerlars(), wrappers.centralize(rules.lion())]
)
def test_rules_can_be_pickled(rule: Rule) -> None:
    other = pickle.loads(pickle.dumps(rule))
    assert (other.name, other.hyper) == (rule.name, rule.hyper)
    p, q = leaf(normal(0, (3, 4))), leaf(normal(0, (3, 4)))
    for x, r in ((p, rule), (q, other)):
        x.grad = normal(1, (3, 4))
        Optimizer([x], r).step()
    assert torch.equal(p, q)


@BACKENDS
def test_a_state_that_only_one_branch_returns_stays_as_it_was(backend: str) -> None:
    def update(p: Any, g: Any, s: Any, t: Any, h: Any) -> Any:
        return s.kept, State(kept=s.kept + g) if t % 2 == 1 else State()

    p = leaf(torch.zeros(1))
    p.grad = torch.ones(1)
    optimizer = Optimizer([p], made(update), backend=backend)
    seen = []
    for _ in range(5):
        optimizer.step()
        seen.append((p.item(), optimizer.state[p]["kept"].item()))
    assert seen == [(0, 1), (-1, 1), (-2, 2), (-4, 2), (-6, 3)]


@BACKENDS
def test_a_state_may_differ_more_in_one_branch_than_in_another(backend: str) -> None:
    """Its kind is the widest: a number per slice in one branch, per column in the other."""

    def update(p: Any, g: Any, s: Any, t: Any, h: Any) -> Any:
        if t % 2 == 1:  # nothing here but slices, and still a is an array of columns
            return g, State(a=language.total(g, per="slice"))
        return g, State(a=s.a + language.total(g, per="column"))

    g = normal(1, (2, 5, 3, 4))
    p = leaf(normal(0, (2, 5, 3, 4)))
    optimizer = Optimizer([p], made(update), backend=backend)
    for _ in range(4):
        p.grad = g
        optimizer.step()
    wanted = g.sum((1, 2, 3), keepdim=True) + g.sum(2, keepdim=True)
    torch.testing.assert_close(optimizer.state[p]["a"], wanted)
