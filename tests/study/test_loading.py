"""Tasks of one's own: what is taken, and a message for each mistake."""

from __future__ import annotations

import re
import sys
from collections import namedtuple
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch import nn

from glissade.draw.model import load as drawn
from glissade.draw.model import opened
from glissade.study.loading import TaskError, check, load
from glissade.study.task import _moved

GOOD = """
import numpy
import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset, IterableDataset, TensorDataset
from torch.utils.data import WeightedRandomSampler

def data(seed, count=40):
    x = torch.randn(count, 3, generator=torch.Generator().manual_seed(seed))
    return TensorDataset(x, x.sum(1, keepdim=True))

class Mine:
    train, validation, test = data(1), data(2), data(3)
    direction = "min"
    batch_size = 8

    def build(self, seed):
        return nn.Linear(3, 1)

    def loss(self, model, batch):
        x, y = batch
        return (model(x) - y).square().mean()

    def metric(self, model, batches):
        found = [(model(x) - y).square().sum().item() for x, y in batches]
        return sum(found) / len(self.validation)

task = Mine()
"""


def file(folder: Path, *more: str) -> str:
    """A task in a file, with lines after it."""
    (folder / "my.py").write_text("\n".join([GOOD, *more, ""]))
    return str(folder / "my.py")


@pytest.fixture(autouse=True)
def _forgotten() -> Iterator[None]:
    """The file's module may be found by its name, as in a process of its own."""
    sys.modules.pop("my", None)
    yield
    sys.modules.pop("my", None)


def fails(text: str, said: str, batch: int | None = None) -> None:
    """It is refused, in one line."""
    with pytest.raises(TaskError) as caught:
        check(load(text, batch))
    words = str(caught.value)
    assert re.search(said, words), words
    assert words.startswith(("task ", "unknown task "))
    assert "\n" not in words


@pytest.mark.parametrize("name", ["", ":task", ":Mine", ":made"])
def test_an_object_a_class_or_a_function(tmp_path: Path, name: str) -> None:
    task = load(file(tmp_path, "def made(): return Mine()") + name)
    check(task)
    assert (task.epochs, task.processes, task.metric_name) == (10, 1, "metric")
    assert len(task.train) == 5
    assert task.facts["train"] == 40
    assert not hasattr(nn.Linear, "task")


@pytest.mark.parametrize(
    "name", ["build", "loss", "metric", "train", "validation", "test", "direction"]
)
def test_what_it_lacks_is_named(tmp_path: Path, name: str) -> None:
    fails(file(tmp_path, f"del Mine.{name}"), rf"it lacks {name}\b")


def test_all_that_it_lacks_is_named_at_once(tmp_path: Path) -> None:
    path = file(tmp_path, "del Mine.build, Mine.test")
    fails(path, r"it lacks build\(seed\), which returns .*; and test, a torch Dataset")


MISTAKES = {
    "metric: tensor": (
        "Mine.metric = lambda self, model, batches: torch.ones(())",
        r"metric returned a tensor of shape \(\); return a float, with \.item\(\)",
    ),
    "metric: nothing": (
        "Mine.metric = lambda self, model, batches: None",
        "metric returned a NoneType; return a float",
    ),
    "metric: nan": (
        "Mine.metric = lambda self, model, batches: float('nan')",
        "the metric is nan before the first step",
    ),
    "metric: fails": (
        "def wrong(self, model, batches): return {}['x']\nMine.metric = wrong",
        r"metric\(model, batches\): \S*my.py:\d+: KeyError: 'x'",
    ),
    "loss: without a gradient": (
        "Mine.loss = lambda self, model, batch: torch.ones(())",
        "the loss has no gradient: compute it with torch's functions",
    ),
    "loss: not scalar": (
        "Mine.loss = lambda self, model, batch: model(batch[0])",
        r"loss returned a tensor of shape \(8, 1\); return one number, as \.mean\(\)",
    ),
    "loss: a float": (
        "Mine.loss = lambda self, model, batch: model(batch[0]).sum().item()",
        "loss returned a float; return one number",
    ),
    "loss: nan": (
        "Mine.loss = lambda self, model, batch: model(batch[0]).sum() * float('nan')",
        "the loss is nan before the first step",
    ),
    "loss: of another model": (
        "other = nn.Linear(3, 1)\n"
        "Mine.loss = lambda self, model, batch: other(batch[0]).sum()",
        "the loss does not depend on the model it is given",
    ),
    "loss: a gradient that is not finite": (
        "Mine.loss = lambda self, model, batch: (0 * model.weight).sum().sqrt()",
        "the gradient by weight is not finite",
    ),
    "loss: no way back": (
        "def wrong(self, model, batch):\n"
        "    y = model(batch[0]).exp()\n    z = y.sum()\n    y.mul_(2)\n    return z + y.sum()\n"
        "Mine.loss = wrong",
        r"the gradient of loss\(model, batch\): RuntimeError: .*in-?place",
    ),
    "loss: fails": (
        "def wrong(self, model, batch): return model(batch)\nMine.loss = wrong",
        r"loss\(model, batch\): \S*my.py:\d+: TypeError: ",
    ),
    "loss: other arguments": (
        "Mine.loss = lambda self, batch: 1",
        r"loss takes other arguments; write loss\(model, batch\)",
    ),
    "build: other arguments": (
        "Mine.build = lambda self: nn.Linear(3, 1)",
        r"build takes other arguments; write build\(seed\)",
    ),
    "metric: other arguments": (
        "Mine.metric = lambda self, model: 1.0",
        r"metric takes other arguments; write metric\(model, batches\)",
    ),
    "build: no function": ("Mine.build = nn.Linear(3, 1); Mine.loss = 3", "loss is no function"),
    "build: no model": ("Mine.build = lambda self, seed: 3", r"build\(0\) returned a int, no"),
    "build: nothing to train": (
        "Mine.build = lambda self, seed: nn.ReLU()",
        "no parameter with a gradient",
    ),
    "build: fails": (
        "def wrong(self, seed): raise KeyError('x')\nMine.build = wrong",
        r"build\(0\): \S*my.py:\d+: KeyError: 'x'",
    ),
    "build: not from its seed": (
        "def wrong(self, seed):\n"
        "    model = nn.Linear(3, 1)\n"
        "    nn.init.constant_(model.bias, numpy.random.rand())\n"
        "    return model\n"
        "Mine.build = wrong",
        "gave other values of bias the second time: a seed has to mean the same start",
    ),
    "build: a buffer that is not from its seed": (
        "def wrong(self, seed):\n"
        "    model = nn.Linear(3, 1)\n"
        "    model.register_buffer('scale', torch.tensor(numpy.random.rand()))\n"
        "    return model\n"
        "Mine.build = wrong",
        "gave other values of scale the second time",
    ),
    "build: another size each time": (
        "sizes = iter([3, 4])\n"
        "Mine.build = lambda self, seed: nn.Sequential(*[nn.Linear(3, 3)] * next(sizes))",
        "gave other values of 3.weight the second time",
    ),
    "build: cannot be pickled": (
        "class Net(nn.Linear):\n"
        "    def __init__(self):\n        super().__init__(3, 1)\n        self.f = lambda x: x\n"
        "Mine.build = lambda self, seed: Net()",
        "the model cannot be pickled, .*in place of a lambda",
    ),
    "a loader of length 0": (
        "Mine.train = DataLoader(data(1, 0), batch_size=8)",
        "train has length 0: there is nothing in it",
    ),
    "test of length 0": ("Mine.test = data(3, 0)", "test has length 0"),
    "a sampler of length 0": (
        "Mine.train = DataLoader(data(1), sampler=[])",
        "no batch of 1 in train",
    ),
    "a loader without length": (
        "class Endless(IterableDataset):\n    def __iter__(self): return iter(data(1))\n"
        "Mine.train = DataLoader(Endless())",
        "train has no length: give its data set a __len__",
    ),
    "a loader that promises too much": (
        "class Short(IterableDataset):\n    def __iter__(self): return iter([])\n"
        "    def __len__(self): return 9\n"
        "Mine.train = DataLoader(Short())",
        "train gives no batch",
    ),
    "data: a pair": (
        "Mine.train = data(1).tensors",
        r"train is a tuple; make it one data set, as torch.utils.data.TensorDataset",
    ),
    "data: a dict": ("Mine.test = {'x': 1}", "test is a dict; make it one data set"),
    "data: a function": ("Mine.test = data", "test is a method; write test, a torch Dataset"),
    "data: a property that fails": (
        "def wrong(self): raise FileNotFoundError('no file data.csv')\nMine.test = property(wrong)",
        r"test: \S*my.py:\d+: FileNotFoundError: no file data.csv",
    ),
    "data: a property that lacks something": (
        "Mine.test = property(lambda self: self.tset)",
        r"test: \S*my.py:\d+: AttributeError: .*tset",
    ),
    "data: an example that fails": (
        "class Wrong(Dataset):\n    def __len__(self): return 9\n"
        "    def __getitem__(self, i): return {}['x']\n"
        "Mine.train = Wrong()",
        r"train: \S*my.py:\d+: KeyError",
    ),
    "parts: one object twice": (
        "Mine.test = Mine.validation",
        "validation and test are the same data; they have to be disjoint",
    ),
    "parts: the same numbers": ("Mine.validation = data(1)", "train and validation are the same"),
    "direction": ("Mine.direction = 'up'", "direction is 'up'; write \"min\" or \"max\""),
    "epochs": ("Mine.epochs = 0", "epochs is 0; write a whole number from 1"),
    "batch_size": ("Mine.batch_size = '8'", "batch_size is '8'; write a whole number from 1"),
    "a batch_size over all": ("Mine.batch_size = 41", "no batch of 41 in train, which has 40 exa"),
    "facts": ("Mine.facts = 'sha'", "facts is a str; write a dict"),
    "a tuple": ("task = nn.Linear(3, 1), print", r"it is a tuple, not an object with build, loss"),
    "a function that returns a pair": ("def task(): return 1, 2", "it is a tuple, not an object"),
    "a function that fails": ("def task(): return 1 / 0", r"my.py:\d+: ZeroDivisionError"),
    "a function with arguments": ("def task(seed): return Mine()", "TypeError: .*'seed'"),
    "a model": ("task = nn.Linear(3, 1)", "it lacks build"),
    "a file that raises": ("raise OSError('no disk')", r"cannot be loaded: .*OSError: no disk"),
    "a file that ends": ("raise SystemExit(3)", "cannot be loaded: .*SystemExit: 3"),
    "a file that is no Python": ("def f(:", r"cannot be loaded: \S*my.py:\d+: SyntaxError"),
    "no task in it": ("tsak = task; del task", "has no 'task'; did you mean 'tsak'"),
}  # fmt: skip


@pytest.mark.parametrize("mistake", MISTAKES)
def test_each_mistake_has_its_message(tmp_path: Path, mistake: str) -> None:
    more, said = MISTAKES[mistake]
    fails(file(tmp_path, more), said)


def test_a_file_with_the_name_of_a_module(tmp_path: Path) -> None:
    net = "class Net(nn.Linear): pass\nMine.build = lambda self, seed: Net(3, 1)"
    check(load(file(tmp_path, net)))
    Path(file(tmp_path, net)).rename(tmp_path / "pickle.py")
    fails(f"{tmp_path}/pickle.py", "rename the file, for another module is called pickle, too")


def test_what_is_not_there(tmp_path: Path) -> None:
    fails("digitz", r"unknown task 'digitz'; known are digits, digits-conv, .*mean 'digits'")
    fails("none.py", r"task 'none.py': there is no file none\.py")
    fails("none.py:task", "there is no file none.py")
    fails(file(tmp_path) + ":taks", "has no 'taks'; did you mean 'task'")
    (tmp_path / "my.txt").write_text("")
    fails(f"{tmp_path}/my.txt:task", "is no Python file")


def test_batches_that_cannot_be(tmp_path: Path) -> None:
    path = file(tmp_path)
    fails(path, "no batch of 41 in train, which has 40 examples: take smaller batches", 41)
    fails(path, "no batches of 0; write a number from 1, or full", 0)
    mine = file(tmp_path, "Mine.train = DataLoader(data(1), sampler=list(range(9)))")
    fails(mine, "train's loader has its own batches; leave --batch out", 3)
    assert len(load(mine).train) == 9


@pytest.mark.parametrize(
    ("train", "batches"),
    [
        ("DataLoader(data(1), batch_size=10, shuffle=True)", 4),
        ("DataLoader(data(1), batch_size=10, collate_fn=lambda rows: list(zip(*rows)))", 4),
        ("DataLoader(data(1), batch_sampler=[[1, 2], [3, 4, 5]])", 2),
        ("DataLoader(data(1), 4, sampler=WeightedRandomSampler([1.0] * 40, 8))", 2),
        ("[row for row in data(1)]", 5),
    ],
)  # fmt: skip
def test_loaders_and_lists(tmp_path: Path, train: str, batches: int) -> None:
    task = load(file(tmp_path, f"Mine.train = {train}"))
    model = task.build(0)
    state = torch.get_rng_state()
    passes = [[batch[0] for batch in task.train.over(model, seed)] for seed in (5, 5, 6)]
    assert [len(x) for x in passes] == [batches] * 3
    same = [all(map(same_rows, passes[0], other)) for other in passes[1:]]
    assert same == [True, "batch_sampler" in train]
    assert torch.equal(torch.get_rng_state(), state)


def same_rows(one: object, other: object) -> bool:
    as_one = [x if isinstance(x, torch.Tensor) else torch.stack(list(x)) for x in (one, other)]  # type: ignore[call-overload]
    return torch.equal(*as_one)


def test_what_a_loader_draws_is_apart_from_what_the_model_draws(tmp_path: Path) -> None:
    """Dropout between two batches neither changes the batches nor is changed by them."""
    sampler = "DataLoader(data(1), 4, sampler=WeightedRandomSampler([1.0] * 40, 40))"
    task = load(file(tmp_path, f"Mine.train = {sampler}"))
    undisturbed = [x for x, _ in task.train.over(seed=3)]
    torch.manual_seed(7)
    own, seen = [], []
    for x, _ in task.train.over(seed=3):
        own.append(torch.rand(()))
        seen.append(x)
    assert all(map(torch.equal, seen, undisturbed))
    torch.manual_seed(7)
    assert own == [torch.rand(()) for _ in own]


def test_a_named_tuple_is_moved_as_one() -> None:
    Pair = namedtuple("Pair", ["x", "y"])
    moved = _moved({"a": Pair(torch.ones(2), [torch.ones(1), "word"])}, torch.device("meta"))
    assert isinstance(moved["a"], Pair)
    assert moved["a"].x.is_meta
    assert moved["a"].y[1] == "word"


# As models to draw


def test_a_task_of_ones_own_is_drawn_and_its_data_read_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reads: list[int] = []
    monkeypatch.setitem(sys.modules, "reads", reads)  # type: ignore[arg-type]
    path = file(tmp_path, "import sys", "sys.modules['reads'].append(0)")
    for text in (path, f"{path}:task", f"{path}:Mine"):
        make = opened(text)
        one, other = make(0), make(1)
        assert not torch.equal(one.params[0], other.params[0])
        assert one.loss(one.model, 0).requires_grad
        assert one.epoch == 5
        assert one.batches == "mini-batches of 8 examples"
    assert len(reads) == 3
    everything = one.model(load(path).train.data.tensors[0]) - load(path).train.data.tensors[1]
    assert one.whole() == pytest.approx(everything.square().mean().item())


def test_of_a_file_its_task_is_taken_before_its_build(tmp_path: Path) -> None:
    build = "def build(): return nn.Linear(2, 2), lambda model: model.weight.square().sum()"
    path = file(tmp_path, build)
    assert drawn(path).epoch == 5
    assert drawn(f"{path}:build").epoch == 0
    assert drawn(file(tmp_path, build, "del task")).epoch == 0
    made = file(tmp_path, "def build(seed): return Mine()")
    assert drawn(f"{made}:build").epoch == 5


def test_what_is_wrong_with_a_task_is_said_where_it_is_drawn(tmp_path: Path) -> None:
    with pytest.raises(TaskError, match=r"it lacks metric\(model, batches\)"):
        drawn(file(tmp_path, "del Mine.metric"))
    with pytest.raises(TaskError, match="the loss has no gradient"):
        drawn(file(tmp_path, "Mine.loss = lambda self, model, batch: torch.ones(())"))
    later = (
        "def wrong(self, model, batch):\n    self.n = getattr(self, 'n', 0) + 1\n"
        "    return model(batch[0]).sum() / (self.n < 3 or 1 / 0)\nMine.loss = wrong"
    )
    problem = drawn(file(tmp_path, later))
    problem.loss(problem.model, 0)
    with pytest.raises(TaskError, match=r"loss at step 1: \S*my.py:\d+: ZeroDivisionError"):
        problem.loss(problem.model, 1)
