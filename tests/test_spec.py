"""Optimizers and schedules as a command line writes them."""

from __future__ import annotations

import pytest
import torch

import glissade
from glissade import registry, schedules
from glissade.schedules import cosine, step_drop, warmup
from glissade.spec import schedule_of, specs


def params() -> list[torch.nn.Parameter]:
    return [torch.nn.Parameter(torch.ones(2, dtype=torch.float64))]


def test_names() -> None:
    found = specs(", ".join(registry.names()))
    assert [one.name for one in found] == list(registry.names())
    for one in found:
        assert one.label == registry.lookup(one.name).label
        assert one.lr_range == registry.lookup(one.name).lr_range
        optimizer = one.optimizer(params(), lr=0.25)
        assert optimizer.param_groups[0]["lr"] == 0.25
        assert one.scheduler(optimizer) is None


def test_keywords_wrappers_and_schedules() -> None:
    text = "lookahead(cautious(adamw(weight_decay=0.1, decay=independent)), k=3) @ cosine(90)"
    (one,) = specs(text)
    assert one.text == text.replace("independent", "independent")
    assert one.name == "adamw"
    assert one.label == (
        "lookahead(cautious(AdamW(weight_decay=0.1, decay=independent)), k=3) @ cosine(90)"
    )
    optimizer = one.optimizer(params(), lr=0.5)
    assert isinstance(optimizer, glissade.Optimizer)
    assert optimizer.rule.name == "lookahead(cautious(adamw))"
    group = optimizer.param_groups[0]
    assert (group["lookahead_k"], group["decay"], group["weight_decay"]) == (3, "independent", 0.1)
    scheduler = one.scheduler(optimizer)
    assert scheduler is not None
    scheduler.step(45)
    assert group["lr"] == 0.25


def test_a_learning_rate_in_the_text_counts() -> None:
    one, other = specs("adam(lr=0.125), sgd")
    assert (one.lr, other.lr) == (0.125, None)
    assert one.optimizer(params(), lr=7.0).param_groups[0]["lr"] == 0.125
    assert other.optimizer(params()).param_groups[0]["lr"] == 1e-3


def test_what_is_no_rule() -> None:
    newton, restarts, box = specs(
        "newton(damping=0.5), AdamWR(t_0=5, lr=0.5), project(sgd(lr=0.1), onto=box(-1, 2))"
    )
    assert newton.row is None
    assert newton.label == "Newton(damping=0.5)"
    assert isinstance(newton.optimizer(params(), lr=0.5), glissade.Newton)
    assert newton.optimizer(params(), lr=0.5).param_groups[0]["lr"] == 0.5
    assert isinstance(restarts.optimizer(params()), glissade.AdamWR)
    assert restarts.lr_range == registry.lookup("adamw").lr_range
    assert box.optimizer(params()).param_groups[0]["project_box"] == (-1.0, 2.0)
    assert box.label == "project(SGD(lr=0.1), onto=box(-1, 2))"


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("cosine(10)", cosine(10)),
        ("cosine(10, floor=0.1)", cosine(10, floor=0.1)),
        ("warmup(5, cosine(90) * step_drop(30))", warmup(5, cosine(90) * step_drop(30))),
        ("then(cosine(5), step_drop(3, 0.5), 5)", cosine(5).then(step_drop(3, 0.5), 5)),
        ("wsd(10, 1, 2, shape=cosine)", schedules.wsd(10, 1, 2, shape="cosine")),
        ("multi_step((3, 5))", schedules.multi_step((3, 5))),
        ("constant", schedules.constant()),
    ],
)
def test_schedules(text: str, wanted: schedules.Schedule) -> None:
    assert schedule_of(text) == wanted
    assert schedule_of(repr(wanted)) == wanted


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("sgdd", "unknown optimizer 'sgdd'; .*did you mean 'sgd'"),
        ("adam(lrr=1)", "adam: unknown keyword 'lrr'; .*did you mean 'lr'"),
        ("adam(0.1)", r"adam: give its values by name, as in adam\(lr=0.01\)"),
        ("adam(lr=-1)", "lr=-1: allowed is a finite number that is 0 or more"),
        ("adam(betas=3)", r"betas=3: allowed is a pair of numbers in \[0, 1\)"),
        ("adam(", "cannot read 'adam\\('"),
        ("adam.x", "cannot read 'adam.x': write it as in"),
        ("__import__('os')", "unknown optimizer '__import__'"),
        ("adam(lr=open('x'))", r"cannot read \"open\('x'\)\": a number or a word"),
        ("1", "cannot read '1'"),
        ("", "cannot read ''"),
        ("lookahead()", r"lookahead\(\) has nothing to wrap: write lookahead\(adam\)"),
        ("lookahead(adam, 5)", "lookahead: give its values by name"),
        ("lookahead(adam, q=1)", "lookahead: unknown keyword 'q'; known are k, alpha"),
        ("lookahead(adam, kk=5)", "lookahead: unknown keyword 'kk'; .*did you mean 'k'"),
        ("lokahead(adam)", "unknown wrapper 'lokahead'; .*did you mean 'lookahead'"),
        ("cautious(lokahead(adam), k=5)", "cautious: unknown keyword 'k'; known are none"),
        ("lookaheadd", "unknown optimizer 'lookaheadd'; .*did you mean 'lookahead'"),
        ("newtonn", "unknown optimizer 'newtonn'; .*did you mean 'newton'"),
        ("project(sgd, onto=box(1, hii=2))", "box: unknown keyword 'hii'; .*did you mean 'hi'"),
        ("adam @ cosine(totl=3)", "cosine: unknown keyword 'totl'; .*did you mean 'total'"),
        ("adam(learning_rate=1)", "adam: unknown keyword 'learning_rate'; .*did you mean 'lr'"),
        ("cautious(newton)", "cautious wraps a rule, and newton is none"),
        ("adam @ cosin(3)", "unknown schedule 'cosin'; .*did you mean 'cosine'"),
        ("adam @ cosine()", "cosine: missing a required argument: 'total'"),
        ("adam @ cosine(0)", "cosine: total=0: must be"),
        ("adam, adam", "adam is named twice: name each only once"),
    ],
)
def test_what_cannot_be_read(text: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        specs(text)
