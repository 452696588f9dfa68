"""No kernel reads or writes beyond an array."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest

from tests.waiting import patient

pytestmark = [
    patient,
    pytest.mark.skipif(sys.platform != "linux", reason="forbids pages with mprotect"),
]
SOME = ("adamw", "lamb", "adafactor", "rangerlars")
TOUCH = """
import ctypes
from tests.backend.guarded import guarded
ctypes.memset(ctypes.addressof(guarded(8, at_end={at_end})) + {offset}, 1, 1)
"""


def run(*args: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, *args], capture_output=True, text=True)


@pytest.mark.parametrize(("at_end", "offset"), [(True, 8), (False, -1)])
def test_the_guard_guards(at_end: bool, offset: int) -> None:
    assert run("-c", TOUCH.format(at_end=at_end, offset=offset)).returncode == -signal.SIGSEGV
    inside = 7 if at_end else 0
    assert run("-c", TOUCH.format(at_end=at_end, offset=inside)).returncode == 0


def test_no_access_beyond_an_array() -> None:
    done = run("-X", "faulthandler", "-m", "tests.backend.guarded", *SOME)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.slow
def test_no_access_beyond_an_array_by_any_rule() -> None:
    done = run("-X", "faulthandler", "-m", "tests.backend.guarded")
    assert done.returncode == 0, done.stdout + done.stderr
