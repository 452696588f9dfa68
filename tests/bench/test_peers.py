"""Other libraries: what they have, that it runs, and what is said where it does not."""

from __future__ import annotations

import importlib.util
import shutil
import sys

import pytest
import torch

from glissade import registry
from glissade.bench import peers
from glissade.bench.peer_table import SAME
from glissade.bench.peers import COMPILED, NoPeer, PeerError, chosen, columns, peer
from glissade.bench.shapes import MODELS

FOREIGN = [name for name in peers.LIBRARIES if name != "torch"]


def test_the_table_names_rules_and_libraries() -> None:
    assert set(SAME) <= set(registry.names())
    assert {library for row in SAME.values() for library in row} <= set(peers.LIBRARIES)
    assert len(set(peers.COLUMNS)) == len(peers.COLUMNS)
    for form in peers.COLUMNS:
        assert form in peers.LIBRARIES[peers.library_of(form)].columns


def test_forms_that_torch_has() -> None:
    assert columns("adamw", ("torch",)) == ("default", "foreach", "fused", "compile")
    assert columns("rmsprop", ("torch",)) == ("default", "foreach", "compile")
    assert columns("lamb", ("torch",)) == ()
    assert columns("lamb", ("torch", "bitsandbytes", "optax")) == (
        "bitsandbytes", "bnb 8-bit", "optax",
    )  # fmt: skip
    assert columns("adagradfull", peers.LIBRARIES) == ()


def test_peer_runs_and_says_why_not() -> None:
    p = torch.ones(3, requires_grad=True)
    p.grad = torch.ones(3)
    peer("momentum", "default", [p], 0.5, 2).step()
    assert p.tolist() == pytest.approx([1 - 0.5 * (1 + 1.9 + 2.71)] * 3)
    with pytest.raises(PeerError, match="Adam of torch fused does not run here: Invalid learning"):
        peer("adam", "fused", [p], -1.0, 1)


@pytest.mark.parametrize("library", FOREIGN)
def test_every_entry_of_a_library_steps(library: str) -> None:
    if peers.lacking(library):
        pytest.skip(f"{library}: {peers.lacking(library)}")
    for rule, row in SAME.items():
        for form in columns(rule, (library,)) if library in row else ():
            params = MODELS["mlp"].parameters()
            before = [p.detach().clone() for p in params]
            warm = 1 if library == "optax" else 8  # RAdam's first steps may be none
            peer(rule, form, params, 0.5, warm).step()
            if library != "optax":  # which has copies
                moved = any(not torch.equal(p, q) for p, q in zip(params, before, strict=True))
                assert moved, f"{rule} of {form} did not move"


@pytest.mark.parametrize(("dtype", "off"), [("float32", 1e-6), ("bfloat16", 2**-8)])
def test_optax_takes_the_steps_that_torch_takes(dtype: str, off: float) -> None:
    pytest.importorskip("optax")
    from glissade.bench.peer_optax import jitted

    params = MODELS["mlp"].parameters(dtype)
    name, arguments = SAME["adamw"]["optax"]
    step = jitted(name, {**arguments, "weight_decay": 0.01}, params, 0.1)
    before = [p.detach().clone() for p in params]
    torch.optim.AdamW(params, lr=0.1).step()
    step()
    cells = dict(zip(step.__code__.co_freevars, step.__closure__ or (), strict=True))
    for ours, theirs, was in zip(params, cells["values"].cell_contents, before, strict=True):
        assert str(theirs.dtype) == dtype
        got = torch.tensor(theirs.astype("float32").tolist())
        torch.testing.assert_close(got, ours.detach().float(), rtol=0, atol=off)
        assert not torch.equal(got, was.float())


def test_names_are_checked() -> None:
    assert chosen("torch") == ("torch",)
    assert chosen("none") == ()
    assert "torch" in chosen("all")
    assert chosen("all") == peers.installed()
    with pytest.raises(NoPeer, match=r"unknown peer 'optx'.*did you mean 'optax'"):
        chosen("optx")


def test_a_library_that_is_not_there_is_found_by_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    """The loader itself, asked for what cannot be imported."""
    library = peers.Library("nowhere", "glissade_nowhere.optim", "glissade-nowhere", ("nowhere",))
    monkeypatch.setattr(peers, "LIBRARIES", {**peers.LIBRARIES, "nowhere": library})
    assert importlib.util.find_spec("glissade_nowhere") is None
    assert "nowhere" not in chosen("all")
    with pytest.raises(
        NoPeer, match=r"No module named 'glissade_nowhere'.*pip install glissade-no"
    ):
        chosen("torch,nowhere")
    assert "glissade_nowhere" not in sys.modules


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("c++") is None, reason="torch.compile needs a C++ compiler")
@pytest.mark.filterwarnings("ignore::DeprecationWarning:torch")
def test_torch_compiles_a_step() -> None:
    params = MODELS["mlp"].parameters()
    assert peer("sgd", COMPILED, params, 1e-6, 2).first_step_s > 0
