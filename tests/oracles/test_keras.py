"""Keras' own optimizers against the variants that bear its name, and the rules that agree with it.

Keras runs on torch here; its optimizers are its own code.
"""

from __future__ import annotations

import importlib
import os
import warnings
from typing import Any

import numpy as np
import pytest
import torch

from glissade import Optimizer, registry

STEPS, LR = 50, 0.01
OTHER = {"beta_1": 0.8, "beta_2": 0.9, "epsilon": 1e-3}
OURS: dict[str, Any] = {"betas": (0.8, 0.9), "eps": 1e-3}
KERAS: dict[str, Any] = {"variant": "keras"}
CASES: dict[str, tuple[str, dict[str, Any], str, dict[str, Any]]] = {
    "Adam": ("Adam", {}, "adam", KERAS | {"eps": 1e-7}),
    "Adam-other": ("Adam", OTHER, "adam", KERAS | OURS),
    "Adam-amsgrad": ("Adam", OTHER | {"amsgrad": True}, "adam", KERAS | OURS | {"amsgrad": True}),
    "AdamW": ("AdamW", OTHER | {"weight_decay": 0.1}, "adamw",
              KERAS | OURS | {"weight_decay": 0.1}),
    "RMSprop": ("RMSprop", {"epsilon": 1e-3}, "rmsprop", KERAS | {"alpha": 0.9, "eps": 1e-3}),
    "RMSprop-momentum": ("RMSprop", {"epsilon": 1e-3, "momentum": 0.8}, "rmsprop",
                         KERAS | {"alpha": 0.9, "eps": 1e-3, "momentum": 0.8}),
    "RMSprop-centered": ("RMSprop", {"epsilon": 1e-3, "momentum": 0.8, "centered": True}, "rmsprop",
                         KERAS | {"alpha": 0.9, "eps": 1e-3, "momentum": 0.8, "centered": True}),
    "Adamax": ("Adamax", OTHER, "adamax", KERAS | OURS),
    "Nadam": ("Nadam", OTHER, "nadam", KERAS | OURS),
    "Adagrad": ("Adagrad", {"epsilon": 1e-3}, "adagrad",
                {"variant": "paper", "eps": 1e-3, "initial_accumulator_value": 0.1}),
    "Adadelta": ("Adadelta", {"rho": 0.9, "epsilon": 1e-3}, "adadelta", {"rho": 0.9, "eps": 1e-3}),
    "Lion": ("Lion", {}, "lion", {}),
    "SGD": ("SGD", {"momentum": 0.9}, "sgd", {"variant": "paper", "momentum": 0.9}),
    "SGD-nesterov": ("SGD", {"momentum": 0.9, "nesterov": True}, "sgd",
                     {"variant": "paper", "momentum": 0.9, "nesterov": True}),
    "Lamb": ("Lamb", OTHER, "lamb", OURS),
}  # fmt: skip


@pytest.fixture(scope="module")
def keras() -> Any:
    os.environ.setdefault("KERAS_BACKEND", "torch")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = importlib.import_module("keras")
    except ImportError as error:
        pytest.skip(f"keras does not import: {error}")
    if found.backend.backend() != "torch":
        pytest.skip("keras runs on another backend than torch")
    before = found.config.floatx()
    found.config.set_floatx("float64")
    yield found
    found.config.set_floatx(before)


def gradient(t: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(t)
    return 10.0 ** (t % 7 - 3) * torch.randn(3, 4, generator=generator, dtype=torch.float64)


def rate(t: int) -> float:
    return LR * (1 + 0.5 * (t % 3))


START = np.linspace(-1, 2, 12).reshape(3, 4)


def theirs(keras: Any, name: str, options: dict[str, Any]) -> list[np.ndarray]:
    variable = keras.Variable(START, dtype="float64")
    optimizer = getattr(keras.optimizers, name)(LR, **options)
    optimizer.build([variable])
    seen = []
    for t in range(STEPS):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # its own, of NumPy
            optimizer.learning_rate = rate(t)
            optimizer.apply([gradient(t)], [variable])
        seen.append(variable.value.detach().numpy().copy())
    return seen


@pytest.mark.parametrize("backend", ["eager", "cpu"])
@pytest.mark.parametrize("case", CASES)
def test_like_keras(keras: Any, case: str, backend: str) -> None:
    name, options, rule, hyper = CASES[case]
    p = torch.nn.Parameter(torch.from_numpy(START.copy()))
    optimizer = Optimizer([p], registry.lookup(rule).bind(LR, **hyper), backend=backend)
    for t, wanted in enumerate(theirs(keras, name, options)):
        p.grad = gradient(t)
        optimizer.param_groups[0]["lr"] = rate(t)
        optimizer.step()
        np.testing.assert_allclose(
            p.detach().numpy(), wanted, rtol=1e-10, atol=1e-14, err_msg=f"step {t}"
        )


def test_every_variant_of_keras_is_here() -> None:
    named = {row.name for row in registry.ROWS if "keras" in row.variants}
    assert named == {
        rule for _, _, rule, hyper in CASES.values() if hyper.get("variant") == "keras"
    }


def test_keras_keeps_decay_outside_of_lambs_ratio(keras: Any) -> None:
    """What the row of LAMB says of it."""
    (first, *_) = theirs(keras, "Lamb", OTHER | {"weight_decay": 0.5})
    p = torch.nn.Parameter(torch.from_numpy(START.copy()))
    optimizer = registry.lookup("lamb").optimizer([p], LR, **OURS)
    p.grad = gradient(0)
    optimizer.step()
    shrunk = START * (1 - rate(0) * 0.5)
    p2 = torch.nn.Parameter(torch.from_numpy(shrunk))
    p2.grad = gradient(0)
    registry.lookup("lamb").optimizer([p2], LR, **OURS).step()
    np.testing.assert_allclose(first, p2.detach().numpy(), rtol=1e-10)
