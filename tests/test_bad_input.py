"""Bad input raises an error that names what was given and what is allowed, and changes nothing."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

import glissade
from glissade import Optimizer, Rule, RuleError, State, registry, rules, wrappers
from glissade.rule import sqrt


def leaf(*shape: int, **how: Any) -> Tensor:
    return torch.ones(*shape, **how).requires_grad_()


# What is wrong, the error, and words that must be in its message.
MADE: list[tuple[str, Callable[[], Any], type[Exception], list[str]]] = [
    ("lr", lambda: glissade.AdamW([leaf(2)], lr=-1.0), ValueError, ["lr=-1.0", "0 or more"]),
    ("lr nan", lambda: glissade.SGD([leaf(2)], lr=float("nan")), ValueError, ["nan", "finite"]),
    ("lr inf", lambda: glissade.SGD([leaf(2)], lr=float("inf")), ValueError, ["inf", "finite"]),
    ("lr word", lambda: glissade.SGD([leaf(2)], lr="0.1"), TypeError, ["'0.1'", "number"]),
    ("eps", lambda: glissade.Adam([leaf(2)], eps=-1e-8), ValueError, ["eps=-1e-08", "0 or more"]),
    ("eps pair", lambda: glissade.Adafactor([leaf(2)], eps=1e-8), TypeError, ["1e-08", "pair"]),
    ("beta", lambda: glissade.Lion([leaf(2)], betas=(0.9, 1.0)), ValueError, ["1.0", "[0, 1)"]),
    ("beta<0", lambda: glissade.LAMB([leaf(2)], betas=(-0.1, 0.9)), ValueError, ["-0.1", "[0, 1)"]),
    ("one beta", lambda: glissade.Adam([leaf(2)], betas=(0.9,)), ValueError, ["(0.9,)", "pair"]),
    ("decay<0", lambda: glissade.AdamW([leaf(2)], weight_decay=-1.0), ValueError, ["-1.0"]),
    ("alpha", lambda: glissade.RMSprop([leaf(2)], alpha=1.5), ValueError, ["alpha=1.5", "[0, 1]"]),
    ("truth", lambda: glissade.Adam([leaf(2)], amsgrad=1), ValueError, ["amsgrad=1", "True"]),
    ("bounds", lambda: glissade.LAMB([leaf(2)], phi_bounds=(3, 1)), ValueError, ["(3, 1)", "low"]),
    ("k", lambda: wrappers.lookahead(rules.lion(), k=0), ValueError, ["lookahead_k=0", ">= 1"]),
    ("keyword", lambda: glissade.AdamW([leaf(2)], weigth_decay=0.1), TypeError,
     ["'weigth_decay'", "did you mean 'weight_decay'"]),
    ("position", lambda: glissade.Adam([leaf(2)], 1e-3, (0.9, 0.99)), TypeError, ["only lr"]),
    ("LAMB decay", lambda: glissade.LAMB([leaf(2)], decay="l2"), TypeError, ["'decay'"]),
    ("variant", lambda: glissade.Adam([leaf(2)], variant="kears"), ValueError,
     ["'kears'", "'keras'", "'inside_hat'"]),
    ("decay", lambda: glissade.Adam([leaf(2)], decay="decopled"), ValueError,
     ["'decopled'", "'l2'", "'corrected'"]),
    ("idle", lambda: rules.sgd(variant="paper", dampening=0.5), ValueError, ["dampening=0.5"]),
    ("nesterov", lambda: glissade.SGD([leaf(2)], nesterov=True), ValueError, ["momentum"]),
    ("backend", lambda: glissade.SGD([leaf(2)], backend="gpu"), ValueError, ["'gpu'", "'cpu'"]),
    ("empty", lambda: glissade.SGD([]), ValueError, ["empty"]),
    ("not a rule", lambda: Optimizer([leaf(2)], "adam"), TypeError, ["'adam'", "glissade.rules"]),
    ("integers", lambda: glissade.SGD([torch.ones(2, dtype=torch.int64)]), TypeError,
     ["torch.int64", "floating"]),
    ("number", lambda: glissade.SGD([1.0]), TypeError, ["float", "tensors"]),
    ("one tensor", lambda: glissade.SGD(leaf(2)), TypeError, ["iterable"]),
    ("expanded", lambda: glissade.SGD([torch.ones(1).expand(3).requires_grad_()]), ValueError,
     ["share memory", "clone"]),
    ("group typo", lambda: glissade.SGD([{"params": [leaf(2)], "momentun": 0.9}]), TypeError,
     ["'momentun'", "'momentum'"]),
    ("group alias", lambda: glissade.SGD([{"params": [leaf(2)], "learning_rate": 0.9}]), TypeError,
     ["'learning_rate'", "did you mean 'lr'"]),
    ("rule's own", lambda: Optimizer([leaf(2)], rules.lion(), lr=0.5), TypeError,  # type: ignore[arg-type]
     ["lr=0.5", "hyperparameter of the rule (lion)", "glissade.rules.adam(lr=0.1)"]),
    ("option typo", lambda: Optimizer([leaf(2)], rules.lion(), maximise=True), TypeError,  # type: ignore[arg-type]
     ["Optimizer: unknown keyword 'maximise'", "did you mean 'maximize'"]),
    ("restarts' typo", lambda: glissade.AdamWR([leaf(2)], t_0=9, flor=0.1), TypeError,
     ["AdamWR: unknown keyword 'flor'", "did you mean 'floor'"]),
    ("group value", lambda: glissade.SGD([{"params": [leaf(2)], "lr": -2.0}]), ValueError,
     ["-2.0"]),
    ("meta", lambda: glissade.SGD([leaf(2, device="meta")], backend="cpu"), ValueError,
     ["'meta'", "backend='cpu'"]),
    ("complex", lambda: glissade.SGD([leaf(2, dtype=torch.complex64)], backend="cpu"), ValueError,
     ["torch.complex64", "torch.float32", "torch.bfloat16"]),
    ("differentiable", lambda: glissade.SGD([leaf(2)], differentiable=True, backend="cpu"),
     ValueError, ["differentiable"]),
    ("capturable", lambda: glissade.Adam([leaf(2)], capturable=True), ValueError, ["cpu"]),
    ("lr0", lambda: glissade.AdamW([leaf(2)], lr=0.0, decay="independent"), ValueError,
     ["lr=0", "base_lr"]),
    ("name", lambda: registry.lookup("adamv"), registry.UnknownOptimizer,
     ["'adamv'", "did you mean 'adam"]),
]  # fmt: skip


@pytest.mark.parametrize(
    ("make", "error", "words"), [m[1:] for m in MADE], ids=[m[0] for m in MADE]
)
def test_refused_when_made(make: Callable[[], Any], error: type, words: list[str]) -> None:
    with pytest.raises(error) as caught:
        make()
    assert all(word in str(caught.value) for word in words), str(caught.value)


def test_a_parameter_twice() -> None:
    p = leaf(2)
    with pytest.raises(ValueError, match=r"parameter 1 of group 0, shape .*once"):
        glissade.SGD([p, p])
    with pytest.raises(ValueError, match=r"parameter 0 of group 1, shape .*once"):
        glissade.SGD([{"params": [p]}, {"params": [p, leaf(3)]}])


def wrong(update: Callable[..., Any]) -> Callable[[], Any]:
    return lambda: Optimizer([leaf(3)], Rule(update, {"lr": 0.1}, name="mine"))


RULES: list[tuple[str, Callable[[], Any], list[str]]] = [
    ("no State", wrong(lambda p, g, s, t, h: (g, {"m": g})), ["mine", "dict", "State("]),
    ("three", wrong(lambda p, g, s, t, h: (g, State(), 1)), ["int", "(step, State"]),
    ("bare", wrong(lambda p, g, s, t, h: g), ["a Node", "(step, State"]),
    ("never returned", wrong(lambda p, g, s, t, h: (g * s.m, State(v=g))), ["s.m", "m=..."]),
    ("truth", wrong(lambda p, g, s, t, h: (g, State(m=g > 0))), ["State(m=...)", "where"]),
    ("word", wrong(lambda p, g, s, t, h: (g, State(m="x"))), ["State(m=...)", "str"]),
    ("step", wrong(lambda p, g, s, t, h: (g, State(step=g))), ["State(step=...)", "taken"]),
    ("if", wrong(lambda p, g, s, t, h: (g if g > 0 else -g, State())), ["per element", "where("]),
    ("unknown", wrong(lambda p, g, s, t, h: (h.foo * g, State())), ["h.foo", "lr"]),
    ("torch", wrong(lambda p, g, s, t, h: (torch.sqrt(g), State())), ["torch's sqrt"]),
    ("numpy", wrong(lambda p, g, s, t, h: (np.sqrt(g), State())), ["numpy's sqrt"]),
    ("kept", wrong(lambda p, g, s, t, h: (float(g), State())), ["Python numbers"]),
    ("write", wrong(lambda p, g, s, t, h: setattr(s, "m", g) or (g, State())), ["return State"]),
    ("no lr", lambda: Rule(lambda p, g, s, t, h: (g, State()), {"a": 1}), ["'a'", "'lr'"]),
    ("per", wrong(lambda p, g, s, t, h: (glissade.rule.norm(g, per="col") * g, State())),
     ["'col'", "'column'"]),
]  # fmt: skip


@pytest.mark.parametrize(("make", "words"), [r[1:] for r in RULES], ids=[r[0] for r in RULES])
def test_wrong_rules(make: Callable[[], Any], words: list[str]) -> None:
    with pytest.raises(RuleError) as caught:
        make()
    assert all(word in str(caught.value) for word in words), str(caught.value)


def running(backend: str | None = None) -> tuple[Optimizer, list[Tensor]]:
    """An optimizer two steps on its way."""
    params = [leaf(3), leaf(2, 4), leaf(5)]
    optimizer = glissade.AdamW([{"params": params[:2]}, {"params": params[2:], "lr": 0.5}],
                               backend=backend)  # fmt: skip
    for _ in range(2):
        for p in params:
            p.grad = torch.full_like(p, 0.25)
        optimizer.step()
    return optimizer, params


def snapshot(optimizer: Optimizer, params: list[Tensor]) -> Any:
    return copy.deepcopy(([p.detach() for p in params], optimizer.state_dict()))


def assert_same(a: Any, b: Any) -> None:
    """The same to the last bit, in nests of dicts, lists and tensors."""
    if isinstance(a, Tensor):
        assert a.dtype == b.dtype
        assert torch.equal(a, b)
    elif isinstance(a, dict):
        assert a.keys() == b.keys()
        for key in a:
            assert_same(a[key], b[key])
    elif isinstance(a, (list, tuple)):
        assert len(a) == len(b)
        for x, y in zip(a, b, strict=True):
            assert_same(x, y)
    else:
        assert a == b


def _sparse(params: list[Tensor]) -> None:
    params[2].grad = None
    params[2].grad = torch.full_like(params[2], 0.5).to_sparse()


def _reshaped(params: list[Tensor]) -> None:
    assert params[2].grad is not None
    params[2].grad.data = torch.ones(6)


def _other_dtype(params: list[Tensor]) -> None:
    assert params[2].grad is not None
    params[2].grad.data = torch.ones(5, dtype=torch.float64)


@pytest.mark.parametrize("backend", ["cpu", "eager"])
@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (_sparse, ["sparse", "sparse=False"]),
        (_reshaped, ["shape (6,)", "(5,)"]),
        (_other_dtype, ["torch.float64", "torch.float32"]),
    ],
)
def test_a_wrong_gradient_changes_nothing(
    backend: str, spoil: Callable[[list[Tensor]], None], words: list[str]
) -> None:
    """Also where the wrong one is the last of several."""
    optimizer, params = running(backend)
    before = snapshot(optimizer, params)
    spoil(params)
    with pytest.raises(ValueError, match="parameter 0 of group 1") as caught:
        optimizer.step()
    assert all(word in str(caught.value) for word in words), str(caught.value)
    assert_same(snapshot(optimizer, params), before)
    params[2].grad = None
    params[2].grad = torch.full_like(params[2], 0.25)
    optimizer.step()  # and it goes on as if nothing had been


def test_a_gradient_on_another_device() -> None:
    """torch itself refuses to set one, so the check that both backends make is asked alone."""
    optimizer, _ = running()
    line = optimizer._line
    assert line is not None
    with pytest.raises(ValueError, match=r"parameter 0 of group 1.* device meta; allowed is cpu"):
        line._check_gradient(2, torch.ones(5, device="meta"))


@pytest.mark.parametrize(
    "group",
    [
        {"lr": -1.0},
        {"betas": (0.9, 2.0)},
        {"decay": "none"},
        {"eps_": 1e-3},
        {"params": [torch.ones(2, dtype=torch.int32)]},
    ],
)
def test_a_wrong_group_changes_nothing(group: dict[str, Any]) -> None:
    optimizer, params = running()
    before = snapshot(optimizer, params)
    with pytest.raises((ValueError, TypeError)):
        optimizer.add_param_group({"params": [leaf(2)], **group})
    assert len(optimizer.param_groups) == 2
    assert_same(snapshot(optimizer, params), before)


def test_a_parameter_that_is_in_another_group_already() -> None:
    optimizer, params = running()
    with pytest.raises(ValueError, match="once"):
        optimizer.add_param_group({"params": [leaf(2), params[0]]})
    assert len(optimizer.param_groups) == 2


def test_a_rule_that_fails_for_one_rank_only() -> None:
    """It is found out before any parameter of another rank has moved."""

    def update(p: Any, g: Any, s: Any, t: Any, h: Any) -> Any:
        return (g, State()) if p.ndim < 2 else (g, None)

    with pytest.raises(RuleError):
        Optimizer([leaf(3), leaf(2, 2)], Rule(update, {"lr": 0.1}))


@pytest.mark.parametrize("backend", ["cpu", "eager"])
def test_a_state_of_another_shape(backend: str) -> None:
    optimizer, params = running(backend)
    optimizer.state[params[2]]["m"] = torch.zeros(4)
    before = [p.detach().clone() for p in params]
    with pytest.raises(ValueError, match=r"'m'.*\(4,\).*\(5,\)"):
        optimizer.step()
    assert_same([p.detach() for p in params], before)


def test_groups_changed_to_nonsense_later() -> None:
    optimizer, params = running()
    optimizer.param_groups[1]["decay"] = "nothing"
    before = [p.detach().clone() for p in params]
    with pytest.raises(ValueError, match="'nothing'"):
        optimizer.step()
    assert_same([p.detach() for p in params], before)


def test_an_idle_function_is_fine() -> None:
    """The strictness above does not refuse what is right."""

    def update(p: Any, g: Any, s: Any, t: Any, h: Any) -> Any:
        return h.lr * sqrt(g * g), State()

    p = leaf(2)
    p.grad = torch.full((2,), 2.0)
    Optimizer([p], Rule(update, {"lr": 0.25})).step()
    assert p.tolist() == [0.5, 0.5]
