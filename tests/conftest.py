"""Settings shared by all tests."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from typing import Any

# Before anything imports the libraries that read them.
os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # deterministic algorithms on CUDA
os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ.setdefault("MPLBACKEND", "Agg")

import hypothesis
import pytest
import torch

if not torch.cuda.is_available():
    os.environ.setdefault("TRITON_INTERPRET", "1")
from torch.optim.optimizer import register_optimizer_step_pre_hook

from tests import cases

# A busy machine draws slowly: neither deadlines nor the check for slow draws may fail a test.
patient = {"deadline": None, "suppress_health_check": [hypothesis.HealthCheck.too_slow]}
hypothesis.settings.register_profile("ci", derandomize=True, print_blob=True, **patient)
hypothesis.settings.register_profile("explore", max_examples=2000, print_blob=True, **patient)
hypothesis.settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci"))


def pytest_configure() -> None:
    if "PYTEST_XDIST_WORKER" in os.environ:
        torch.set_num_threads(1)  # the workers share the cores


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if torch.cuda.is_available():
        return
    skip = pytest.mark.skip(reason="needs a CUDA device")
    for item in items:
        if item.get_closest_marker("gpu"):  # not a folder of that name
            item.add_marker(skip)


@pytest.fixture(autouse=True)
def _strict_torch() -> None:
    """Same random numbers for every test, and NaN in memory that nobody has written to."""
    torch.manual_seed(0)
    torch.set_default_dtype(torch.float32)
    torch.set_grad_enabled(True)
    # Together these two make torch.empty and its relatives return NaN (integers: the largest).
    torch.use_deterministic_algorithms(True)
    torch.utils.deterministic.fill_uninitialized_memory = True


@pytest.fixture(autouse=True)
def _fed(request: pytest.FixtureRequest) -> Iterator[None]:
    """Where a test runs over all rules, those that read a curvature are given one in time."""
    if "sophia" not in request.node.name.lower() or request.path.name == "test_curvature.py":
        yield
        return
    handle = register_optimizer_step_pre_hook(cases.feed)
    yield
    handle.remove()


BROWSER = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Chromium, driven by playwright; a test that asks for it is skipped where there is none."""
    if BROWSER is None:
        pytest.skip("no Chromium here")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        started = playwright.chromium.launch(
            executable_path=BROWSER,
            args=["--no-sandbox", "--disable-gpu", "--disable-background-networking"],
        )
        yield started
        started.close()
