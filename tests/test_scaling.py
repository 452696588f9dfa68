"""Rules for the batch size, and hints between optimizers: numbers with their sources."""

from __future__ import annotations

import math
import re
from typing import Any

import hypothesis.strategies as st
import numpy as np
import pytest
import torch
from hypothesis import given

from glissade import registry, scaling
from glissade.scaling import Suggestion, batch, convert


def by_name(found: list[Suggestion]) -> dict[str, Suggestion]:
    assert len({one.name for one in found}) == len(found)
    return {one.name: one for one in found}


def test_the_two_rules() -> None:
    assert scaling.linear(0.1, 256, 8192) == pytest.approx(3.2)
    assert scaling.sqrt(1e-3, 256, 1024) == pytest.approx(2e-3)
    assert scaling.linear(0.1, 256, 128) == pytest.approx(0.05)


def test_normalised_decay_is_one_over_the_root_of_the_steps() -> None:
    steps = 10_000 * 25 / 100
    found = scaling.normalized_decay(0.05, batch=100, examples=10_000, epochs=25)
    assert found == pytest.approx(0.05 / math.sqrt(steps))


def test_sgd_is_linear_and_adam_goes_with_the_root() -> None:
    assert by_name(batch("momentum", 256, 1024, lr=0.1))["lr"].value == pytest.approx(0.4)
    for name in ("adam", "adamw", "lamb", "lion"):
        assert by_name(batch(name, 256, 1024, lr=1e-3))["lr"].value == pytest.approx(2e-3)


def test_adams_moments_span_as_many_examples() -> None:
    found = by_name(batch("adam", 100, 400, lr=1e-3, betas=(0.9, 0.999), eps=1e-8))
    assert found["betas"].value == pytest.approx((0.6, 0.996))
    assert found["eps"].value == pytest.approx(5e-9)
    far = by_name(batch("adam", 100, 1600, lr=1e-3, betas=(0.9, 0.999)))["betas"]
    assert far.value == pytest.approx((0.9, 0.984))
    assert "the rule ends there" in far.why
    assert "betas" not in by_name(batch("lion", 100, 400, lr=1e-3, betas=(0.9, 0.99)))


@pytest.mark.parametrize(
    ("decay", "wanted"), [("decoupled", 0.2), ("independent", 0.4), ("l2", 0.1)]
)
def test_an_epoch_decays_by_as_much(decay: str, wanted: float) -> None:
    """lr·λ (or λ) times the steps of an epoch stays; l2 is in the loss."""
    found = by_name(batch("adamw", 100, 400, lr=1e-3, weight_decay=0.1, decay=decay))
    assert found["weight_decay"].value == pytest.approx(wanted)


def test_warm_up() -> None:
    assert "warmup" not in by_name(batch("adamw", 400, 100, lr=1e-3))
    assert by_name(batch("adamw", 100, 400, lr=1e-3))["warmup"].unit == "epochs"
    assert by_name(batch("adamw", 100, 400, lr=1e-3))["warmup"].value == 5
    assert str(by_name(batch("adamw", 100, 400, lr=1e-3))["warmup"]).startswith("warmup: 5 epochs.")
    kept = by_name(batch("adamw", 100, 400, lr=1e-3, warmup=50))["warmup"]
    assert (kept.value, kept.unit) == (50, "steps")
    assert by_name(batch("lamb", 100, 400, lr=1e-3, warmup=50))["warmup"].value == 200
    assert "warmup" not in by_name(batch("radam", 100, 400, lr=1e-3))
    assert scaling.warmup_steps(0.999) == 2000
    assert scaling.warmup_steps(0.95) == 40


@pytest.mark.parametrize("row", registry.ROWS, ids=lambda row: row.name)
def test_every_optimizer_gets_advice_with_a_source(row: registry.Entry) -> None:
    found = batch(row.name, 64, 256, lr=1e-3, betas=(0.9, 0.99), eps=1e-8, weight_decay=0.1)
    assert found[0].name == "lr"
    for one in found:
        assert re.search(r"\d{4}, arXiv:\d{4}\.\d{5}", one.source)
        assert one.why.endswith(".")
        assert str(one).startswith(f"{one.name}: ")
        assert one.source in str(one)


def test_lion_from_adamw() -> None:
    found = by_name(convert("adamw", "lion", lr=3e-4, weight_decay=0.1))
    assert found["lr"].value == pytest.approx((3e-5, 1e-4))
    assert found["weight_decay"].value == pytest.approx((0.3, 1.0))
    back = by_name(convert("lion", "adamw", lr=3e-5, weight_decay=1.0))
    assert back["lr"].value == pytest.approx((9e-5, 3e-4))
    assert back["weight_decay"].value == pytest.approx((0.1, 1 / 3), rel=1e-5)
    assert str(found["lr"]).startswith("lr: 3e-05 to 0.0001. ")


def test_where_nobody_has_published_any_that_is_said() -> None:
    found = by_name(convert("adam", "sgd", lr=1.0, weight_decay=0.1))
    assert found["lr"].value == registry.lookup("sgd").lr_range
    assert "No publication says how to come from adam to sgd" in found["lr"].why
    assert found["weight_decay"].value == 0.1
    assert all(one.source.startswith("no publication") for one in found.values())
    assert [one.name for one in convert("adam", "sgd", lr=1.0)] == ["lr"]
    assert convert("adam", "adam", lr=1.0) == []


def test_values_that_few_have_tried_have_a_caution() -> None:
    def at(b: float, name: str = "adam") -> dict[str, Suggestion]:
        return by_name(batch(name, 256, b, lr=1e-3, betas=(0.9, 0.999)))

    assert at(2048)["betas"].value == pytest.approx((0.2, 0.992))
    assert "no recipe with β1 under 0.5" in at(2048)["betas"].caution
    assert "Caution: this is what the formula gives" in str(at(2048)["betas"])
    assert not at(1024)["betas"].caution
    assert "Caution" not in str(at(1024)["betas"])
    assert not at(8192, "sgd")["lr"].caution
    assert "a batch of 16384 is beyond the 8192" in at(16384, "sgd")["lr"].caution
    assert not at(32768, "lamb")["lr"].caution
    assert "a batch of 65536 is beyond the 32768" in at(65536, "lamb")["lr"].caution
    assert not by_name(batch("sgd", 65536, 16384, lr=0.1))["lr"].caution


def test_what_is_refused() -> None:
    with pytest.raises(ValueError, match="b0=0: must be a finite number above 0"):
        scaling.linear(0.1, 0, 10)
    with pytest.raises(ValueError, match="lr=nan"):
        batch("adam", 1, 2, lr=math.nan)
    with pytest.raises(ValueError, match="did you mean 'adamw'"):
        batch("adamww", 1, 2, lr=1.0)
    with pytest.raises(ValueError, match="beta2=1: must be a number in"):
        scaling.warmup_steps(1)
    with pytest.raises(ValueError, match="unknown optimizer"):
        convert("adam", "newtonn", lr=1.0)


@given(nines=st.integers(1, 12))
def test_a_beta_near_one_is_counted_exactly(nines: int) -> None:
    """1 − 0.999999999 is no 1e-9 in floats: the warm-up was 57 steps too long."""
    beta2 = float("0." + "9" * nines)
    assert scaling.warmup_steps(beta2) == 2 * 10**nines


@pytest.mark.parametrize("number", [np.float32(0.5), np.float64(0.5), torch.tensor(0.5)])
def test_a_beta_may_be_a_number_of_numpy_or_torch(number: Any) -> None:
    assert scaling.warmup_steps(number) == 4


@given(nines=st.integers(1, 10), shrink=st.integers(0, 12))
def test_a_scaled_beta_stays_below_one(nines: int, shrink: int) -> None:
    """Rounded to 12 places it was 1.0."""
    beta = float("0." + "9" * nines)
    suggestions = scaling.batch("adamw", 2**shrink, 1, lr=1e-3, betas=(beta, beta))
    (found,) = (one.value for one in suggestions if one.name == "betas")
    for new in found:
        assert beta <= new < 1
        assert 1 - new == pytest.approx((1 - beta) / 2**shrink, rel=1e-3)
