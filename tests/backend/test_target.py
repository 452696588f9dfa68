"""Code for other processors: what it calls is there on each of them."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable

import pytest

from glissade.backend.cpu.compile import optimised
from glissade.backend.cpu.emit import Text, emit, module
from glissade.backend.cpu.target import PROCESSORS, Target
from glissade.graph import Kind
from glissade.plan import Plan
from glissade.program import Programs
from glissade.simplify import walk
from tests.setups import Setup, setups

DTYPES = ("float32", "float64", "bfloat16", "float16")
LIBM = {name + end for name in ("exp", "log", "pow", "floor", "rint") for end in ("", "f")}
THERE = LIBM | {"memset", "memcpy"}
CALL = re.compile(r"^\s+(?:callq?|jmpq?|bl?)\s+([A-Za-z_][\w.$]*)(?:@PLT)?\s*$", re.M)
LOWER = ({}, {"state_dtype": "bfloat16"}, {"state_dtype": "int8"})
ELEMENT = Kind.ELEMENT


def plans(some: Iterable[Setup], dtype: str) -> list[Plan]:
    """Every leaf of rules, also with states in fewer bits."""
    found = []
    for setup in some:
        rule = setup.rule()
        programs = Programs(rule)
        for lower in LOWER if dtype != "float64" else LOWER[:1]:
            random = {"stochastic_rounding": dtype == "bfloat16" and bool(lower)}
            group = {**rule.hyper, "base_lr": 1e-3, "maximize": False, **lower, **random}
            try:
                found += programs.get(group, 2).plans
            except ValueError:  # a state that cannot be kept in 8 bits
                continue
    return found


def emitted(some: Iterable[Plan], dtype: str, target: Target) -> dict[str, Text]:
    """The stages of plans, by their text: each once."""
    segments = (segment for plan in some for segment in emit(plan, dtype, target))
    return {text.body: text for segment in segments for text in segment}


def parts(plan: Plan) -> set[object]:
    """What the code of a plan is made of: operations and where they are computed, dtypes in memory,
    ways through memory."""
    passes = [[p.param, *p.stores.values(), *(n.args[0] for n in p.sums)] for p in plan.passes]
    elements = [
        n for n in walk([n for some in passes for n in some if n is not None]) if n.kind is ELEMENT
    ]
    finishes = [(*(n for r in f.rounds for n in r), *f.stores.values()) for f in plan.finishes]
    small = [n for n in walk([n for some in finishes for n in some]) if n.kind is not ELEMENT]
    sums = [(n.op, n.kind) for p in plan.passes for n in p.sums]
    found: set[object] = {("element", n.op) for n in elements} | {("small", n.op) for n in small}
    return found | {*sums, *plan.storage.values(), ("flat", plan.flat)}


@functools.cache
def chosen(dtype: str) -> tuple[Plan, ...]:
    """Plans that have among them all that plans are made of."""
    known, kept = set[object](), []
    first = {setup.name: setup for setup in reversed(setups()) if not setup.around}
    around = [setup for setup in setups() if setup.around]
    for plan in sorted(plans([*first.values(), *around], dtype), key=lambda x: -len(parts(x))):
        if not parts(plan) <= known:
            known |= parts(plan)
            kept.append(plan)
    return tuple(kept)


def called(texts: dict[str, Text], target: Target) -> set[str]:
    """The functions that the machine code of stages calls."""
    named = {f"stage_{k}": text for k, text in enumerate(texts.values())}
    machine = target.machine(jit=False)  # whose calls name the function
    code = str(machine.emit_assembly(optimised(module(named.items()), machine)))
    mark = "_" if "apple" in target.triple else ""  # what macOS has in front of every name
    names = {name.removeprefix(mark) for name in CALL.findall(code)}
    return {name for name in names - set(named) if not re.fullmatch(r"LBB\d+_\d+", name)}


@pytest.mark.parametrize("dtype", DTYPES)
def test_no_code_calls_what_is_not_there(dtype: str) -> None:
    some = chosen(dtype)  # takes a while: all processors in one test
    found = {k: called(emitted(some, dtype, target), target) for k, target in PROCESSORS.items()}
    assert {k: names - THERE for k, names in found.items()} == {k: set() for k in PROCESSORS}


@pytest.mark.slow
@pytest.mark.parametrize("target", PROCESSORS.values(), ids=PROCESSORS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_no_code_of_any_variant_calls_what_is_not_there(dtype: str, target: Target) -> None:
    assert called(emitted(plans(setups(), dtype), dtype, target), target) <= THERE


def test_a_conversion_that_a_processor_lacks_is_seen() -> None:
    old, new = PROCESSORS["sandybridge"], PROCESSORS["haswell"]
    texts = emitted(chosen("float16"), "float16", new)  # as if the old one had the instructions
    assert "__truncsfhf2" in called(texts, old)
