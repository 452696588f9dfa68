"""The machine finds what it is there for."""

from __future__ import annotations

import pytest

from .planted import FAULTS, look

SECONDS = 60.0


@pytest.mark.slow
@pytest.mark.parametrize("name", FAULTS)
def test_a_planted_fault_goes_unnoticed(name: str) -> None:
    assert look(name, SECONDS).found
