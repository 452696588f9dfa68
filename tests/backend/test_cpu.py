"""The compiler against the rule itself: random rules, and what a processor could get wrong."""

from __future__ import annotations

import gc
import math
import re
from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from llvmlite.binding import get_host_cpu_features
from torch import Tensor

from glissade import Optimizer, Rule, RuleError, State, registry, rules
from glissade import rule as language
from glissade.backend.cpu import compile as compiling
from glissade.backend.cpu.compile import assembly, compile_plan
from glissade.backend.cpu.target import host
from glissade.program import Programs
from tests.cases import LAYOUTS, bits, engine, laid_out, leaf, normal
from tests.random_rules import Program, Watch, programs, rule_of

DTYPES = pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["fp32", "fp64"])

sizes = st.sampled_from([1, 2, 3, 5, 8, 17, 0])
shapes = st.lists(sizes, max_size=4).map(tuple) | st.sampled_from(
    [(40, 3), (3, 40), (1, 7), (7, 1), (2, 9, 1, 5), (130,), (2, 3, 37)]
)
parameters = st.tuples(shapes, st.sampled_from(LAYOUTS), st.sampled_from(LAYOUTS))
machines = st.fixed_dictionaries(
    {
        "team": st.sampled_from([1, 2, 3]),
        "openmp": st.booleans(),
        "chunk": st.sampled_from([None, 64, 16]),
        "width": st.sampled_from([None, 16, 32]),
    }
)
Path = list[list[tuple[Tensor, dict[str, Tensor]]]]  # a parameter and its state, per step


def run(
    program: Program, params: list[tuple[Any, str, str]], backend: str, steps: int = 4
) -> tuple[Path, Watch]:
    watch = Watch()
    leaves = [leaf(normal(i, shape), layout) for i, (shape, layout, _) in enumerate(params)]
    optimizer = Optimizer(leaves, rule_of(program, watch), backend=backend)
    path = []
    for t in range(1, steps + 1):
        for i, p in enumerate(leaves):
            p.grad = laid_out(normal(100 * t + i, tuple(p.shape)), params[i][2])
        optimizer.step()
        path.append([(p.detach().clone(), _copied(optimizer.state[p])) for p in leaves])
    return path, watch


def _copied(state: dict[str, Any]) -> dict[str, Tensor]:
    return {name: x.clone() for name, x in state.items() if name != "step"}


@settings(max_examples=2 * settings().max_examples)
@given(
    program=programs(),
    params=st.lists(parameters, min_size=1, max_size=2),
    machine=machines,
)
def test_any_rule_is_the_same_compiled(
    program: Program, params: list[tuple[Any, str, str]], machine: dict[str, Any]
) -> None:
    try:
        expected, watch = run(program, params, "eager")
    except RuleError as error:  # a state for which nothing but itself is ever given back
        assume("never returns it" not in str(error))
        raise
    assume(watch.largest < 1e6)
    assume(watch.nearest > 1e-7 * watch.largest)
    with engine(**machine):
        got, _ = run(program, params, "cpu")
    for t, (at, wanted) in enumerate(zip(got, expected, strict=True), start=1):
        for (p, state), (q, reference) in zip(at, wanted, strict=True):
            same(p, q, watch, f"step {t}")
            assert state.keys() <= reference.keys()
            for name, x in reference.items() if p.numel() else ():
                mine = state.get(name, torch.zeros_like(x))  # made when first needed
                same(mine, x, watch, f"state {name}, step {t}")


def same(x: Tensor, y: Tensor, watch: Watch, where: str) -> None:
    """To rounding, of the largest number that went into it."""
    torch.testing.assert_close(
        x, y, rtol=1e-10, atol=1e-12 * watch.largest**2, msg=lambda m: f"{where}: {m}"
    )


# ------------------------------------------------------------------ one operation at a time

ODD = [0.0, -0.0, 1.0, -1.0, 0.3, -2.7, math.inf, -math.inf, math.nan, 1e-30, 5e20]
UNARY: dict[str, Callable[[Any], Any]] = {
    "neg": lambda x: -x,
    "abs": abs,
    "sqrt": language.sqrt,
    "exp": language.exp,
    "log": language.log,
    "sign": language.sign,
    "square": lambda x: x**2,
    "cube": lambda x: x**3,
    "root": lambda x: x**0.5,
    "isfinite": lambda x: language.where(language.isfinite(x), 1.0, 0.0),
    "clip": lambda x: language.clip(x, -0.3, 1.0),
    "over": lambda x: 1.0 / x,
}
BINARY: dict[str, Callable[[Any, Any], Any]] = {
    "add": lambda x, y: x + y,
    "sub": lambda x, y: x - y,
    "mul": lambda x, y: x * y,
    "div": lambda x, y: x / y,
    "maximum": language.maximum,
    "minimum": language.minimum,
    **{
        name: (lambda x, y, c=compare: language.where(c(x, y), 1.0, 0.0))
        for name, compare in {
            "lt": lambda x, y: x < y,
            "le": lambda x, y: x <= y,
            "gt": lambda x, y: x > y,
            "ge": lambda x, y: x >= y,
            "eq": lambda x, y: x == y,
            "ne": lambda x, y: x != y,
            "and": lambda x, y: (x > 0) & (y > 0),
            "or": lambda x, y: (x > 0) | (y > 0),
            "not": lambda x, y: ~(x > y),
        }.items()
    },
}


def applied(
    update: Callable[..., dict[str, Any]], p: Tensor, g: Tensor, backend: str
) -> dict[str, Tensor]:
    """What a rule makes of p and g, kept in states."""
    p = leaf(p)
    p.grad = g.clone()
    rule = Rule(lambda p, g, s, t, h: (0.0 * p, State(**update(p, g))), {"lr": 1.0})
    optimizer = Optimizer([p], rule, backend=backend)
    optimizer.step()
    return _copied(optimizer.state[p])


def all_operations(p: Any, g: Any) -> dict[str, Any]:
    one = {name: op(g) for name, op in UNARY.items()}
    return one | {name: op(p, g) for name, op in BINARY.items()}


@DTYPES
@pytest.mark.parametrize("width", [16, 32, 64])
def test_odd_numbers_through_every_operation(width: int, dtype: torch.dtype) -> None:
    """NaN, infinities, both zeros; in whole vectors and in what is left over."""
    a, b = torch.meshgrid(*[torch.tensor(ODD, dtype=dtype)] * 2, indexing="ij")
    a, b = a.flatten(), b.flatten()
    expected = applied(all_operations, a, b, "eager")
    with engine(width=min(width, host().vector_bytes)):
        got = applied(all_operations, a, b, "cpu")
    for name, y in expected.items():
        x = got[name]
        close = torch.isclose(x, y, rtol=2 * torch.finfo(dtype).eps, atol=0, equal_nan=True)
        assert close.all(), (name, x[~close], y[~close])
        if name != "sign":  # where -0 stays -0
            assert torch.equal(torch.signbit(x[y == 0]), torch.signbit(y[y == 0])), name


PER = ("tensor", "row", "column", "matrix", "slice")


def all_reductions(p: Any, g: Any) -> dict[str, Any]:
    return {
        f"{op}_{per}": getattr(language, op)(g, per=per) * g
        for op in ("norm", "mean", "total", "rms")
        for per in PER
    }


@pytest.mark.parametrize("shape", [(2, 3, 7), (42,), (6, 7), (2, 3, 1, 7)], ids=str)
@pytest.mark.parametrize("what", [math.nan, math.inf, -math.inf])
def test_what_is_not_finite_goes_through_reductions(what: float, shape: tuple[int, ...]) -> None:
    for where in (0, 7, 16, 40):
        g = normal(0, shape)
        g.view(-1)[where] = what
        expected = applied(all_reductions, torch.ones_like(g), g, "eager")
        with engine(chunk=16):
            got = applied(all_reductions, torch.ones_like(g), g, "cpu")
        torch.testing.assert_close(got, expected, rtol=1e-14, atol=1e-15, equal_nan=True)


@DTYPES
def test_machine_eps_is_the_parameters(dtype: torch.dtype) -> None:
    for backend in ("cpu", "eager"):
        ones = torch.ones(3, dtype=dtype)
        got = applied(lambda p, g: {"x": language.machine_eps(p) * g}, ones, ones, backend)
        assert got["x"].tolist() == [torch.finfo(dtype).eps] * 3


@pytest.mark.parametrize("order", [1, -1])
@pytest.mark.parametrize("backend", ["cpu", "eager"])
def test_states_may_change_places(backend: str, order: int) -> None:
    """Each is read as it was before the step, whichever is stored first."""

    def update(p: Any, g: Any, s: Any, t: Any, h: Any) -> Any:
        rows = language.mean(g, per="row")
        new = {
            "a": s.b,
            "b": s.a + language.norm(g),
            "r": s.q,
            "q": s.r + rows,
            "e": s.f,
            "f": s.e + g,
        }
        return 0 * g, State(**dict(list(new.items())[::order]))

    p = leaf(normal(0, (3, 4)))
    optimizer = Optimizer([p], Rule(update, {"lr": 1.0}), backend=backend)
    g = normal(1, (3, 4))
    for _ in range(3):
        p.grad = g
        optimizer.step()
    s = optimizer.state[p]
    for once, twice, one in (("a", "b", g.norm()), ("r", "q", g.mean(1, True)), ("e", "f", g)):
        torch.testing.assert_close(s[once], one)
        torch.testing.assert_close(s[twice], 2 * one)


def test_memory_beside_the_arrays_is_left_alone() -> None:
    """Parameter, gradient and state lie between guards, at addresses of no particular alignment."""
    guard, n = 7.0, 37
    for offset in range(1, 9):
        blocks = [torch.full((64,), guard) for _ in range(2)]
        p = blocks[0][offset : offset + n].detach().requires_grad_()
        p.grad = blocks[1][offset : offset + n]
        p.grad.copy_(normal(0, (n,), torch.float32))
        kept = p.grad.clone()
        glissade_adamw = Optimizer([p], rules.adamw(0.1), backend="cpu")
        state = torch.full((2, 64), guard)
        for name, row in zip("mv", state, strict=True):
            glissade_adamw.state[p][name] = row[offset : offset + n]
            row[offset : offset + n] = 0
        glissade_adamw.step()
        assert torch.equal(p.grad, kept)
        for block in (*blocks, *state):
            assert (block[:offset] == guard).all()
            assert (block[offset + n :] == guard).all()
        assert not torch.equal(state[0][offset : offset + n], torch.zeros(n))


@pytest.mark.parametrize("backend", ["cpu", "eager"])
@pytest.mark.parametrize("name", [row.name for row in registry.compiled()])
def test_empty_tensors_beside_others(name: str, backend: str) -> None:
    params = [leaf(normal(i, s)) for i, s in enumerate([(0,), (3, 4), (0, 3), (2, 0, 5)])]
    alone = leaf(params[1])
    optimizers = [registry.lookup(name).optimizer(p, backend=backend) for p in (params, [alone])]
    for t in range(7):
        for p in (*params, alone):
            p.grad = normal(t, tuple(p.shape))
        for optimizer in optimizers:
            optimizer.step()
    assert bits(params[1]) == bits(alone)
    assert int(optimizers[0].state[params[0]]["step"]) == 7


# ------------------------------------------------------------------ the machine code


def code_of(rule: Rule, dtype: str) -> str:
    values = {**rule.hyper, "base_lr": 1e-3, "maximize": False}
    program = Programs(rule).get(values, 2)
    return assembly(program.plans[program.choose(1000, values)], dtype)


FEATURES = get_host_cpu_features()


@pytest.mark.skipif(not FEATURES.get("avx2"), reason="needs AVX2")
@pytest.mark.parametrize(("dtype", "suffix"), [("float32", "s"), ("float64", "d")])
@pytest.mark.parametrize("name", ["sgd", "adamw", "lion", "lamb", "adafactor"])
def test_the_vectors_are_as_wide_as_the_machine(name: str, dtype: str, suffix: str) -> None:
    """Elements are computed in full vectors, the ends too; single numbers are doubles."""
    text = code_of(registry.lookup(name).bind(), dtype)
    wide = "zmm" if FEATURES.get("avx512f") else "ymm"
    arithmetic = re.findall(rf"\sv(?:f?n?m?add|sub|mul|div|sqrt)\w*p{suffix}\s.*", text)
    assert arithmetic
    assert sum(wide in line for line in arithmetic) > 0.9 * len(arithmetic)
    if dtype == "float32":  # what a loop left scalar would be full of
        assert not re.findall(r"\sv(?:sqrt|div|mul|add|sub)ss\s", text)
    if name == "adamw":
        assert len(re.findall(rf"vsqrtp{suffix}\s+%{wide}", text)) == 2  # whole, and masked


def test_no_nan_is_assumed_away() -> None:
    for row in registry.compiled():
        rule = row.bind()
        values = {**rule.hyper, "base_lr": 1e-3, "maximize": False}
        program = Programs(rule).get(values, 2)
        for plan in program.plans:
            ir = compile_plan(plan, "float32").ir
            assert not re.search(r"\b(nnan|ninf|nsz|arcp|afn|fast)\b", ir)


def test_code_that_nobody_uses_is_freed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiling, "RECENT", 2)
    compiling.forget()

    def made(number: int) -> Optimizer:
        def update(p: Any, g: Any, s: Any, t: Any, h: Any) -> Any:
            for _ in range(number):
                g = g * p + g
            return h.lr * g, State()

        p = torch.zeros(3, requires_grad=True)
        p.grad = torch.ones(3)
        optimizer = Optimizer([p], Rule(update, {"lr": 0.1}), backend="cpu")
        optimizer.step()
        return optimizer

    first = made(0)
    for number in range(1, 6):
        made(number)
    gc.collect()
    assert compiling.compiled() == 6
    assert len(compiling._known) == 3  # the first one's, and the last two
    first.step()
    made(0)
    assert compiling.compiled() == 6
    made(1)
    assert compiling.compiled() == 7
