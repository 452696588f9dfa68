"""Random sequences of operations, on an optimizer and on its model.

`GLISSADE_SEQUENCES_SEED` draws the examples of a failing run again, `GLISSADE_SEQUENCES_SECONDS`
gives the long tier another time.
"""

from __future__ import annotations

import os

import pytest

from .run import search

SEED = os.environ.get("GLISSADE_SEQUENCES_SEED")
LONG = float(os.environ.get("GLISSADE_SEQUENCES_SECONDS", 20 * 60))
OTHER = {"cpu": "eager", "eager": "cpu"}
each_backend = pytest.mark.parametrize("backend", ["cpu", "eager"])


def on(backend: str, seconds: float, monkeypatch: pytest.MonkeyPatch) -> None:
    without = os.environ.get("GLISSADE_SEQUENCES_WITHOUT", "")
    monkeypatch.setenv("GLISSADE_SEQUENCES_WITHOUT", f"{without},{OTHER[backend]}")
    assert search(seconds, None if SEED is None else int(SEED)) > 0


@pytest.mark.timeout(900)  # a failure is made smaller for some minutes
@each_backend
def test_a_sequence_goes_another_way_than_its_model(
    backend: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    on(backend, 30.0, monkeypatch)


@pytest.mark.slow
@pytest.mark.timeout(0)
@each_backend
def test_a_sequence_goes_another_way_in_twenty_minutes(
    backend: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    on(backend, LONG / 2, monkeypatch)
