"""The contract of `my.py:build`, and training that leaves no trace."""

from __future__ import annotations

import math
import random
from pathlib import Path

import pytest
import torch
from torch import nn

from glissade.draw.model import flat, kept, load, put
from glissade.draw.training import (
    SNAPSHOTS,
    Training,
    chosen,
    one_thread,
    rate,
    rehearse,
    rule_of,
    snapshots,
    train,
)
from glissade.spec import specs

HEAD = "import torch\nfrom torch import nn\n"
GOOD = HEAD + (
    "def build(seed):\n"
    "    model = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Dropout(0.5))\n"
    "    x = torch.randn(8, 3)\n"
    "    def loss(model, step):\n"
    "        return model(x if step is None else x[:4]).square().mean()\n"
    "    return model, loss\n"
)


def _file(folder: Path, text: str) -> str:
    (folder / "my.py").write_text(text)
    return f"{folder / 'my.py'}:build"


def test_a_model_of_ones_own(tmp_path: Path) -> None:
    before = torch.get_rng_state()
    problem = load(_file(tmp_path, GOOD), seed=3)
    assert problem.size == 3 * 4 + 4 + 8
    assert problem.batches
    assert problem.whole() == problem.whole()
    assert problem.model.training
    assert torch.equal(before, torch.get_rng_state())
    again, other = load(f"{tmp_path}/my.py:build", 3), load(f"{tmp_path}/my.py:build", 4)
    assert torch.equal(flat(problem.params), flat(again.params))
    assert not torch.equal(flat(problem.params), flat(other.params))


@pytest.mark.parametrize(
    ("build", "said"),
    [
        ("def other(): pass", "no function 'build'"),
        ("build = 3", "no function 'build'"),
        ("def build(a, b): pass", "takes 2 arguments; write build"),
        ("def build(): raise KeyError('x')", r"': \S*my.py:\d+: KeyError: 'x'"),
        ("def build(): return nn.Linear(2, 2)", r"no pair \(model, loss\) but a Linear"),
        ("def build(): return 3, print", "no torch.nn.Module but a int"),
        ("def build(): return nn.Linear(2, 2), 3", "loss is no function but a int"),
        ("def build(): return nn.Linear(2, 2), lambda a, b, c: 1", "loss takes 3 arguments"),
        (
            "def build(): return nn.Linear(2, 2), lambda m: 1 / 0",
            r"loss: \S*my.py:3: ZeroDivisionE",
        ),
        ("def build(): return nn.Linear(2, 2), lambda m: 1.0", "no scalar tensor but a float"),
        ("def build(): return nn.Linear(2, 2), lambda m: m.weight", r"shape \(2, 2\)"),
        ("def build(): return nn.Linear(2, 2), lambda m: torch.ones(())", "has no gradient"),
        ("def build(): return nn.Linear(2, 2), lambda m: m.weight.sum() / 0", "at the start"),
        ("def build(): return nn.PReLU(), lambda m: m.weight.sum()", "needs two parameters"),
        ("def build(:", r"cannot be loaded: \S*my.py:3: SyntaxError"),
    ],
)
def test_what_is_wrong_with_a_model_is_said(tmp_path: Path, build: str, said: str) -> None:
    with pytest.raises(ValueError, match=said) as error:
        load(_file(tmp_path, HEAD + build + "\n"))
    assert "\n" not in str(error.value)


def test_no_such_model() -> None:
    with pytest.raises(ValueError, match="did you mean 'digits'"):
        load("digit")
    with pytest.raises(ValueError, match=r"there is no file none\.py"):
        load("none.py:build")
    with pytest.raises(ValueError, match=r"write FILE\.py:BUILD"):
        load("my.py")


def test_a_loss_that_fails_on_the_way_says_where(tmp_path: Path) -> None:
    text = HEAD + (
        "def loss(m, step):\n"
        "    if step == 2: raise IndexError('no batch')\n"
        "    return m.weight.sum()\n"
        "def build(): return nn.Linear(2, 2), loss\n"
    )
    problem = load(_file(tmp_path, text))
    with pytest.raises(ValueError, match=r"loss at step 2: \S*my.py:4: IndexError: no batch$"):
        train(problem, specs("sgd")[0], None, 5, 0)


def test_built_in_models() -> None:
    small, large = load("digits-small"), load("digits")
    assert 900 < small.size < 1100
    assert large.size == 17226
    batches = [small.loss(small.model, step).item() for step in (0, 1, 40, 0)]
    assert batches[0] == batches[3]
    assert len(set(batches)) == 3
    assert small.whole() == pytest.approx(math.log(10), abs=0.5)


@pytest.mark.parametrize("optimizer", ["adam", "sophia", "lookahead(sgd, k=2) @ cosine(5)"])
def test_training_leaves_the_model_as_it_was(tmp_path: Path, optimizer: str) -> None:
    problem = load(_file(tmp_path, GOOD))
    model = problem.model
    dropout = next(part for part in model.modules() if isinstance(part, nn.Dropout))
    dropout.eval()
    for p in model.parameters():
        p.grad = torch.ones_like(p)
    grads = [p.grad for p in model.parameters() if p.grad is not None]
    weights = [t.clone() for t in (*model.parameters(), *model.buffers())]
    states = torch.get_rng_state(), random.getstate()
    (spec,) = specs(optimizer)
    runs = [train(problem, spec, 0.1, 6, 0, keep=[0, 3, 6]) for _ in range(2)]
    assert runs[0].path.shape == (3, problem.size)
    assert torch.equal(runs[0].path, runs[1].path)
    assert torch.equal(runs[0].path[-1], runs[0].end)
    assert not torch.equal(runs[0].path[0], runs[0].end)
    assert not torch.equal(runs[0].buffers[0], torch.zeros(4))  # batch norm's, as trained
    for now, then in zip((*model.parameters(), *model.buffers()), weights, strict=True):
        assert torch.equal(now, then)
    for p, grad in zip(model.parameters(), grads, strict=True):
        assert p.grad is grad
        assert torch.equal(grad, torch.ones_like(p))
    assert model.training
    assert not dropout.training
    assert torch.equal(states[0], torch.get_rng_state())
    assert states[1] == random.getstate()


def test_training_is_the_loop_one_would_write() -> None:
    problem = load("digits-small")
    (spec,) = specs("adam")
    run = train(problem, spec, 0.01, 5, 0)
    with kept(problem.model):
        optimizer = spec.optimizer(problem.params, 0.01)
        losses = []
        for step in range(5):
            optimizer.zero_grad()
            loss = problem.loss(problem.model, step)
            torch.autograd.backward(loss)
            optimizer.step()
            losses.append(loss.item())
        assert run.losses == losses
        assert torch.equal(run.end, flat(problem.params))
        assert run.loss == problem.whole()


def test_a_run_that_diverges_is_cut_and_said_so() -> None:
    problem = load("digits-small")
    run = train(problem, specs("sgd")[0], 1e4, 50, 0, keep=range(51))
    assert run.diverged
    assert len(run.losses) < 50
    assert len(run.path) > 1
    assert bool(run.path.isfinite().all())


def test_weights_as_a_row() -> None:
    params = [torch.randn(2, 3), torch.randn((), dtype=torch.float64)]
    row = flat(params)
    assert row.dtype == torch.float64
    put(params, row + 1)
    assert torch.allclose(flat(params), row + 1)


def test_snapshots_are_bounded() -> None:
    problem = load("digits-small")
    assert snapshots(problem, 1, 10) == list(range(11))
    many = snapshots(problem, 4, 100_000)
    assert len(many) == SNAPSHOTS // 4
    assert (many[0], many[-1]) == (0, 100_000)


def test_rates() -> None:
    assert [rate(text) for text in ("tuned", "Default", "0.1")] == ["tuned", "default", 0.1]
    for text in ("best", "-1", "0", "nan", "inf"):
        with pytest.raises(ValueError, match=f"--lr {text}: write tuned, default, or a number"):
            rate(text)
    problem = load("digits-small")
    sgd, own = specs("sgd, adam(lr=0.5)")
    with one_thread(problem):
        lr, doubts = chosen(problem, sgd, "tuned", 20, 0, lambda share: None)
        assert lr is not None
        ends = [train(problem, sgd, x, 20, 0).loss for x in (lr, 0.003, 0.03)]
        assert ends[0] == min(ends)
    assert not doubts
    assert chosen(problem, own, "tuned", 20, 0, print) == (0.5, [])
    assert chosen(problem, sgd, "default", 20, 0, print) == (None, [])
    assert chosen(problem, sgd, 0.2, 20, 0, print) == (0.2, [])
    assert "a rate that was given with an optimizer was kept" in rule_of("tuned", (sgd, own))


def test_what_cannot_be_run_is_known_before() -> None:
    problem = load("digits")
    with pytest.raises(ValueError, match="newton on digits: Newton: 17226 parameters"):
        rehearse(problem, specs("sgd, newton"), 0)


def test_tied_weights_and_frozen_ones() -> None:
    problem = load("digits-small")
    first = next(iter(problem.model.parameters()))
    first.requires_grad_(False)
    before = first.clone()
    with kept(problem.model):
        training = Training(problem, specs("sgd")[0], 0.1, 0)
        training.gradient(0)
        training.advance(0)
        assert torch.equal(first, before)
    assert problem.size < 985
    tied = nn.ModuleList([nn.Linear(2, 2)] * 2)
    assert len(list(tied.parameters())) == 2
