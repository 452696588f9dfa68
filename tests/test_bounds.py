"""Which states are never negative, by proof; and that they are not."""

from __future__ import annotations

import pytest
import torch

from glissade import Optimizer, registry, rules, wrappers
from glissade.bounds import divided_by, never_negative
from glissade.registry import Entry
from glissade.rule import Rule
from glissade.trace import Trace, trace
from tests.cases import feed
from tests.test_storage import EACH, bind


def traced(rule: Rule, ndim: int = 1) -> Trace:
    return trace(rule, {**rule.hyper, "base_lr": 1.0, "maximize": False}, ndim)


def proven(rule: Rule) -> set[str]:
    found = traced(rule)
    return set(never_negative(found.leaves, found.states))


@pytest.mark.parametrize(
    ("name", "states"),
    [
        ("adam", {"v"}), ("amsgrad", {"v", "v_max"}), ("adagrad", {"G"}), ("adadelta", {"W", "P"}),
        ("adamax", {"u"}), ("adabelief", {"v"}), ("rmsprop", {"W"}), ("adamod", {"v", "eta"}),
        ("adafactor", {"v"}), ("lion", set()), ("sgd", set()), ("yogi", set()), ("sophia", set()),
    ],
)  # fmt: skip
def test_the_second_moments_are(name: str, states: set[str]) -> None:
    assert proven(registry.lookup(name).bind()) == states


def test_wrappers_and_the_sign_of_the_gradient_do_not_matter() -> None:
    rule = wrappers.lookahead(wrappers.centralize(rules.adam(0.1, weight_decay=0.1)))
    assert proven(rule) == {"v"}
    found = trace(rule, {**rule.hyper, "base_lr": 1.0, "maximize": True}, 1)
    assert never_negative(found.leaves, found.states) == {"v"}


@pytest.mark.parametrize(("row", "variant"), EACH)
def test_what_is_proven_holds(row: Entry, variant: str | None) -> None:
    rule = bind(row, variant)
    states = proven(rule)
    p = torch.nn.Parameter(torch.randn(300, generator=torch.Generator().manual_seed(0)))
    optimizer = Optimizer([p], rule)
    for t in range(20):
        p.grad = torch.randn(300, generator=torch.Generator().manual_seed(t)) * 10.0 ** (t % 5 - 2)
        feed(optimizer)
        optimizer.step()
        assert all((optimizer.state[p][name] >= 0).all() for name in states)


def test_what_is_divided_by() -> None:
    for name, states in (("yogi", {"v"}), ("adam", set()), ("lion", set()), ("lamb", set())):
        found = traced(registry.lookup(name).bind(), 2)
        assert divided_by(found.leaves, never_negative(found.leaves, found.states)) == states
