"""Fresh processes import and step."""

from __future__ import annotations

import pytest

from glissade.bench import start
from glissade.bench.start import Start, StartError, measure
from glissade.study.typed import conform


def test_a_process_imports_and_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(start, "QUICK_RUNS", 1)
    found = measure(quick=True)
    assert found.processes == 1
    assert 0 < found.ours.low <= found.ours.median <= found.ours.high
    both = found.constructor.median + found.step.median
    assert found.first_step.median == pytest.approx(both, abs=1e-3)
    assert conform(Start, found.record()) == found


def test_a_process_that_fails_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(start, "CHILD", "raise ImportError('no such thing')")
    with pytest.raises(StartError, match="no such thing"):
        measure(quick=True)
