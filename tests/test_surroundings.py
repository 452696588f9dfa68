"""What a process is set to, and what memory is like, changes nothing or is refused by name."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

import glissade
from glissade import Optimizer, registry, rules, wrappers

ROOT = Path(__file__).parents[1]
BEFORE = {
    "nothing": "",
    "a default device": "torch.set_default_device('meta')",
    "a default dtype": "torch.set_default_dtype(torch.float64)",
    "half precision": "torch.set_default_dtype(torch.float16)",
}
AROUND = {
    "nothing": "contextlib.nullcontext()",
    "a device": "torch.device('meta')",
    "inference mode": "torch.inference_mode()",
    "no_grad": "torch.no_grad()",
}
FORKS = """
import contextlib, os, sys, traceback
import torch, glissade
from glissade.backend.cpu import look

torch.use_deterministic_algorithms(True)  # imports half of torch
for number, code in enumerate({codes!r}):
    if os.fork() == 0:
        try:
            exec(code, {{"contextlib": contextlib, "torch": torch, "glissade": glissade}})
        except BaseException:
            traceback.print_exc()
            sys.stderr.flush()
            os._exit(1)
        sys.stdout.flush()
        os._exit(0)
    if os.wait()[1]:
        sys.exit(f"case {{number}}")
"""
STEPS = """
from glissade.backend.cpu import look
p = torch.linspace(-1, 1, 12).reshape(4, 3).requires_grad_()
q = torch.linspace(-1, 1, 70_000).requires_grad_()
for x in (p, q):
    x.grad = torch.full_like(x, 0.25)
optimizer = {make}
{before}
with {around}:
    for _ in range(3):
        optimizer.step()
optimizer.step()
torch.set_default_dtype(torch.float32)
torch.set_default_device('cpu')
print(look.native() is not None, p.double().sum().item(), q.double().sum().item())
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="cases are forked")
@pytest.mark.parametrize(
    "make", ["glissade.LAMB([p, q])", "glissade.AdamW([p, q], backend='eager')"]
)
def test_defaults_of_the_process_do_not_reach_a_step(make: str) -> None:
    """Each case in a process that has imported all and compiled nothing."""
    cases = [
        *((before, "nothing") for before in BEFORE),
        *(("nothing", around) for around in AROUND),
    ]
    codes = [STEPS.format(make=make, before=BEFORE[x], around=AROUND[y]) for x, y in cases]
    done = subprocess.run(
        [sys.executable, "-c", FORKS.format(codes=codes)],
        capture_output=True,
        text=True,
        cwd=ROOT,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    wanted, *others = done.stdout.splitlines()
    assert dict(zip(cases[1:], others, strict=True)) == dict.fromkeys(cases[1:], wanted)


COUNTED = """
import torch, torch.multiprocessing as processes
import glissade

def train(optimizer, params, steps):
    for _ in range(steps):
        for p in params:
            p.grad = torch.ones_like(p)
        optimizer.step()

if __name__ == "__main__":
    for backend in ("cpu", "eager"):
        params = [torch.zeros(3, requires_grad=True), torch.zeros(2, 2, requires_grad=True)]
        optimizer = glissade.Adam(params, lr=0.1, backend=backend)
        train(optimizer, params, 1)
        for p in params:
            p.share_memory_()
            for x in optimizer.state[p].values():
                x.share_memory_()
        child = processes.get_context("fork").Process(target=train, args=(optimizer, params, 3))
        child.start()
        child.join()
        train(optimizer, params, 1)
        counts = [int(state["step"]) for state in optimizer.state.values()]
        print(child.exitcode, counts, *(round(x.mean().item(), 5) for x in params))
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="a child is forked")
def test_processes_that_share_states_count_together() -> None:
    done = subprocess.run(
        [sys.executable, "-c", COUNTED], capture_output=True, text=True, cwd=ROOT, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.splitlines() == ["0 [5, 5] -0.5 -0.5"] * 2


def test_a_loaded_count_is_not_shared_with_whom_it_came_from() -> None:
    def made() -> glissade.Adam:
        p = torch.zeros(2, requires_grad=True)
        p.grad = torch.ones(2)
        return glissade.Adam([p])

    one, other = made(), made()
    one.step()
    for state in one.state.values():
        state["step"].share_memory_()
    other.load_state_dict(one.state_dict())
    other.step()
    assert [int(s["step"]) for x in (one, other) for s in x.state.values()] == [1, 2]


def test_read_only_memory_is_refused(tmp_path: Path) -> None:
    np.zeros(5000, np.float32).tofile(tmp_path / "weights")
    locked = np.memmap(tmp_path / "weights", np.float32, mode="c")
    glissade.SGD([torch.from_numpy(locked).requires_grad_()])  # a private copy can be written
    code = f"""
import warnings; warnings.simplefilter("ignore")
import numpy as np, torch, glissade
x = torch.from_numpy(np.memmap({str(tmp_path / "weights")!r}, np.float32, mode="r"))
try:
    glissade.SGD([x.requires_grad_()])
except ValueError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    if sys.platform.startswith("linux"):
        assert "read-only: clone it" in done.stdout, done.stderr


@pytest.mark.parametrize(
    ("size", "stride"), [((3, 3), (1, 1)), ((4, 2), (1, 2)), ((2, 3, 2), (2, 1, 4)), ((5,), (0,))]
)
def test_elements_that_share_memory_are_refused(
    size: tuple[int, ...], stride: tuple[int, ...]
) -> None:
    x = torch.zeros(40).as_strided(size, stride)
    with pytest.raises(ValueError, match="share memory"):
        glissade.SGD([x.requires_grad_()])


@pytest.mark.parametrize(
    ("size", "stride"), [((3, 4), (1, 3)), ((2, 3), (10, 3)), ((4, 1), (1, 0))]
)
def test_elements_with_gaps_between_them_step(
    size: tuple[int, ...], stride: tuple[int, ...]
) -> None:
    x = torch.zeros(40).as_strided(size, stride).requires_grad_()
    x.grad = torch.ones(size)
    glissade.SGD([x], lr=0.5).step()
    assert (x == -0.5).all()


# ------------------------------------------------------------------ complex parameters


@pytest.mark.parametrize("name", [row.name for row in registry.entries()])
def test_complex_parameters_are_right_or_refused(name: str) -> None:
    """They move as pairs of real numbers do, or the rule says why not."""
    start = torch.complex(torch.tensor([[1.0, 3.0]]), torch.tensor([[4.0, 8.0]]))
    p, q = start.clone().requires_grad_(), torch.view_as_real(start).clone().requires_grad_()
    entry = registry.lookup(name)
    if name in ("adafactor", "factoredadam"):
        with pytest.raises(ValueError, match="complex"):
            entry.optimizer([p], 0.1)
        return
    one = entry.optimizer([p], 0.1)
    if one.rule.inputs:
        return
    other = entry.optimizer([q], 0.1)
    for t in range(3):
        p.grad = torch.complex(torch.tensor([[1.0, -2.0]]), torch.tensor([[0.5, t + 1.0]]))
        q.grad = torch.view_as_real(p.grad)
        one.step()
        other.step()
    torch.testing.assert_close(torch.view_as_real(p.detach()), q.detach(), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", ["centralize", "adafactor", "factoredadam", "simplex", "newton"])
def test_what_looks_across_elements_refuses_complex_ones(name: str) -> None:
    z = torch.zeros(2, 2, dtype=torch.complex64, requires_grad=True)
    make = {
        "newton": glissade.Newton,
        "centralize": lambda p: Optimizer(p, wrappers.centralize(rules.sgd())),
        "simplex": lambda p: Optimizer(p, wrappers.project(rules.sgd(), wrappers.simplex())),
    }.get(name)
    make = make or (lambda p: registry.lookup(name).optimizer(p, 0.1))
    with pytest.raises(ValueError, match="real"):
        make([z])
