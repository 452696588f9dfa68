"""A kernel that computes something else is not timed."""

from __future__ import annotations

from typing import Any

import pytest

from glissade import registry
from glissade.backend.cpu.vector import Vectors
from glissade.bench import parity
from glissade.bench.run import Bench
from glissade.bench.settings import Settings


@pytest.mark.parametrize("name", ["sgd", "adafactor", "ranger", "lamb"])
def test_good_kernels_pass(name: str) -> None:
    assert parity.mismatch(registry.lookup(name), 7) == ""


@pytest.fixture
def _broken(monkeypatch: pytest.MonkeyPatch) -> None:
    """Roots that are a hundredth of a percent too large."""
    right = Vectors.op

    def wrong(self: Vectors, b: Any, op: str, x: list[Any], **how: Any) -> Any:
        y = right(self, b, op, x, **how)
        scalar = y.type.element if hasattr(y.type, "element") else y.type
        return b.fmul(y, self.constant(1.0001, scalar)) if op == "sqrt" else y

    monkeypatch.setattr(Vectors, "op", wrong)


@pytest.mark.usefixtures("_broken")
def test_broken_kernel_is_found() -> None:
    found = parity.mismatch(registry.lookup("adam"))
    assert "the value is" in found
    assert "step 1" in found


@pytest.mark.usefixtures("_broken")
def test_broken_kernel_is_not_timed() -> None:
    settings = Settings(("adam", "sgd"), ("mlp",), rounds=1, seconds=0.001, quick=True)
    adam, sgd = Bench(settings).measure("mlp")
    assert adam.error.startswith("parity failed")
    assert adam.ours is None
    assert not adam.peers
    assert sgd.error == ""  # it takes no root
    assert sgd.ours is not None


def test_a_rule_that_does_nothing_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parity, "LR", 0.0)
    assert "did not move" in parity.mismatch(registry.lookup("sgd"))
