"""The same bits from any number of threads, from OpenMP's team and from the pool of Python's."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from glissade import Optimizer, Rule, rules, wrappers
from glissade.backend.cpu import threads
from glissade.backend.cpu.team import openmp as has_openmp
from tests.cases import bits, engine, leaf, normal
from tests.waiting import LIMIT, patient

RULES: dict[str, Rule] = {
    "adamw": rules.adamw(1e-2),
    "lamb": rules.lamb(1e-2, weight_decay=0.1),
    "adafactor": rules.adafactor(1e-2),
    "adafactor-paper": rules.adafactor(1e-2, variant="paper", weight_decay=0.1),
    "centralize": wrappers.centralize(rules.sgd(1e-2, momentum=0.9)),
    "all": wrappers.lookahead(wrappers.layerwise(wrappers.centralize(rules.radam(1e-2))), k=2),
}
SHAPES = [(), (1,), (17,), (1000,), (33, 40), (7, 200), (200, 7), (2, 3, 50), (3, 2, 40, 3), (0, 4)]


def run(rule: Rule, shapes: list[tuple[int, ...]], dtype: torch.dtype, **how: Any) -> Any:
    with engine(**how):
        params = [leaf(normal(i, shape, dtype)) for i, shape in enumerate(shapes)]
        optimizer = Optimizer(params, rule, backend="cpu")
        for t in range(1, 6):
            for i, p in enumerate(params):
                p.grad = normal(100 * t + i, shapes[i], dtype)
            optimizer.step()
    return bits([[p, optimizer.state[p]] for p in params])


@pytest.mark.parametrize(
    ("name", "dtype"),
    [*((name, torch.float32) for name in RULES), ("lamb", torch.float64)],
    ids=lambda x: str(x).removeprefix("torch."),
)
def test_any_number_of_threads_gives_the_same_bits(name: str, dtype: torch.dtype) -> None:
    alone = run(RULES[name], SHAPES, dtype, team=1, chunk=64)
    for team, openmp in ((2, True), (3, True), (4, True), (2, False), (5, False)):
        got = run(RULES[name], SHAPES, dtype, team=team, openmp=openmp, chunk=64)
        assert got == alone, f"{team} threads, openmp={openmp}"


@settings(max_examples=settings().max_examples // 5)
@given(
    name=st.sampled_from(sorted(RULES)),
    shapes=st.lists(st.lists(st.integers(1, 30), max_size=3).map(tuple), min_size=1, max_size=6),
    team=st.integers(2, 5),
    chunk=st.sampled_from([16, 64, 250]),
    openmp=st.booleans(),
)
def test_threads_on_any_shapes(
    name: str, shapes: list[tuple[int, ...]], team: int, chunk: int, openmp: bool
) -> None:
    alone = run(RULES[name], shapes, torch.float32, team=1, chunk=chunk)
    assert run(RULES[name], shapes, torch.float32, team=team, chunk=chunk, openmp=openmp) == alone


def test_real_sizes_use_the_team_without_help() -> None:
    """No patching: two tensors over the threshold, as a model has them."""
    shapes = [(300, 400), (1 << 17,)]
    results = []
    for team in (1, 2, 4):
        with engine(team=team, small=threads.SMALL):
            assert threads.count(300 * 400 + (1 << 17)) == team
        results.append(run(RULES["lamb"], shapes, torch.float32, team=team, small=threads.SMALL))
    assert results[0] == results[1] == results[2]


def test_the_same_bits_from_run_to_run() -> None:
    assert len({digest(run(RULES["all"], SHAPES, torch.float32, team=3)) for _ in range(3)}) == 1


def test_small_problems_stay_on_the_calling_thread() -> None:
    with engine(team=4, small=100):
        assert threads.count(99) == 1
        assert threads.count(100) == 4


TEAM = """
import os, torch, glissade
torch.set_num_threads(2)
p = torch.nn.Parameter(torch.ones(1 << 20))
p.grad = torch.ones_like(p)
glissade.SGD([p]).step()
with open("/proc/self/maps") as maps:
    names = {line.split()[-1] for line in maps if "omp" in line.split("/")[-1]}
print(len({os.path.realpath(x) for x in names if "iomp" in x or "gomp" in x}))
"""


def test_the_team_is_torchs_own_openmp() -> None:
    """In a process of its own: other tests import libraries that bring another one."""
    if not has_openmp():
        pytest.skip("torch has brought no OpenMP with GNU's interface")
    out = subprocess.run([sys.executable, "-c", TEAM], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "1"


def digest(x: Any) -> str:
    return hashlib.sha256(repr(x).encode()).hexdigest()


FORKING = """
import multiprocessing, torch, warnings
from tests.backend.test_threads import RULES, SHAPES, digest, run

def stepped():
    return digest(run(RULES["lamb"], SHAPES, torch.float32, team=2))

def child(queue):
    queue.put(stepped())

here = stepped()
run(RULES["lamb"], SHAPES, torch.float32, team=2, openmp=False)  # a pool, too
warnings.simplefilter("ignore", DeprecationWarning)  # Python's own, on forks beside threads
context = multiprocessing.get_context("fork")
queue = context.SimpleQueue()
process = context.Process(target=child, args=(queue,))
process.start()
process.join(600)
assert process.exitcode == 0, process.exitcode
assert queue.get() == here
"""


@patient
@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_child_steps_too() -> None:
    """Neither OpenMP's threads nor a pool's live on in it. In a process without JAX's threads."""
    root = Path(__file__).parents[2]
    subprocess.run([sys.executable, "-c", FORKING], check=True, cwd=root, timeout=LIMIT)


def test_a_failing_part_is_not_swallowed() -> None:
    def stage(context: int, part: int) -> None:
        if part == 1:
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        threads.run_parts(stage, 0, 3)
