"""The built-in tasks: fit, disjoint, the same each time, and something is learned on them."""

from __future__ import annotations

import math
import pickle
import sys
import sysconfig
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import TensorDataset

import glissade
from glissade.draw.model import load, opened
from glissade.study import loading
from glissade.study.tasks import BUILT_IN, common, others
from glissade.study.tasks.text import Language

pytest.importorskip("sklearn")

# A learning rate, and how much of the validation metric some steps have to take away or add.
SMALL_STEPS = {
    "digits": (3e-3, 40, lambda before, after: after < 0.25 * before),
    "digits-conv": (3e-3, 40, lambda before, after: after < 0.25 * before),
    "breast_cancer": (1e-2, 40, lambda before, after: after < 0.25 * before),
    "diabetes": (3e-2, 40, lambda before, after: after < before - 5),
    "photo": (3e-3, 150, lambda before, after: after > before + 10),
    "text": (3e-3, 20, lambda before, after: after < before - 2),
    "quadratic": (0.3, 100, lambda before, after: after < 0.1 * before),
    "deep-linear": (3e-3, 100, lambda before, after: after < 0.5 * before),
    "autoencoder": (3e-3, 60, lambda before, after: after < 0.7 * before),
    "sparse": (1e-2, 60, lambda before, after: after < 0.6 * before),
}


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def test_their_order() -> None:
    assert list(BUILT_IN) == list(SMALL_STEPS)


@pytest.mark.parametrize("name", BUILT_IN)
def test_it_is_fit_and_tells_what_it_is(name: str) -> None:
    task = loading.load(name)
    before = torch.get_rng_state()
    loading.check(task)
    assert torch.equal(before, torch.get_rng_state())
    assert task.title != name
    assert task.metric_name not in ("metric", "loss")
    assert task.direction == ("max" if name == "photo" else "min")
    assert {"task", "batch", "train_data", "validation_data", "test_data"} <= set(task.facts)
    assert {"seed", "split_seed", "sources"} & set(task.facts)
    model = task.build(0)
    copy = pickle.loads(pickle.dumps(model))
    batch = next(task.train.over(model))
    assert torch.equal(task.loss(copy, batch), task.loss(model, batch))


@pytest.mark.parametrize("name", BUILT_IN)
def test_it_is_the_same_each_time(name: str) -> None:
    builder: Any = BUILT_IN[name]
    again = loading.prepare(builder.__wrapped__(), name)  # not the one that is kept
    task = loading.load(name)
    assert again.facts == task.facts
    weights = [dict(x.build(3).state_dict()) for x in (task, again)]
    torch.testing.assert_close(*weights, rtol=0, atol=0)
    other = dict(task.build(4).named_parameters())
    assert any(not torch.equal(other[key], weights[0][key]) for key in other)


def rows(data: TensorDataset) -> set[bytes]:
    """Examples as bytes, inputs with targets."""
    count = len(data)
    flat = [t.reshape(count, -1).numpy() for t in data.tensors]
    return {b"".join(t[i].tobytes() for t in flat) for i in range(count)}


@pytest.mark.parametrize("name", BUILT_IN)
def test_the_parts_are_disjoint(name: str) -> None:
    task = loading.load(name)
    parts = [rows(part.data) for part in (task.train, task.validation, task.test)]
    if name == "text":  # a licence, a line of blanks, is in two files
        parts = [part - (parts[0] & parts[1]) - (parts[0] & parts[2]) for part in parts]
        assert min(map(len, parts)) > 1000
    sizes = [len(part) for part in parts]
    if name == "sparse":
        assert sum(sizes) == 6000
    assert len(set.union(*parts)) == sum(sizes)


@pytest.mark.parametrize("name", BUILT_IN)
def test_batches_of_all_sizes(name: str) -> None:
    for batch in ("full", 1, 7):
        task = loading.load(name, batch)  # type: ignore[arg-type]
        count = len(task.train.data)
        size = count if batch == "full" else int(batch)
        assert len(task.train) == count // size
        assert task.facts["batch"] == size
        first = next(task.train.over())
        assert [len(x) for x in first] == [size] * len(first)
        if name != "text" or batch != "full":
            model = task.build(0)
            assert math.isfinite(task.loss(model, first).item())


@pytest.mark.parametrize("name", BUILT_IN)
def test_a_few_steps_of_adamw_help(name: str) -> None:
    task = loading.load(name)
    lr, steps, enough = SMALL_STEPS[name]
    model = task.build(0)
    before = task.metric(model, task.validation)
    optimizer = glissade.AdamW(model.parameters(), lr=lr)
    batches = task.train.forever(model, 0)
    for _ in range(steps):
        optimizer.zero_grad()
        torch.autograd.backward(task.loss(model, next(batches)))
        optimizer.step()
    after = task.metric(model, task.validation)
    assert enough(before, after), (before, after)


@pytest.mark.parametrize("name", BUILT_IN)
def test_logits_are_there_where_the_loss_is_their_cross_entropy(name: str) -> None:
    task = loading.load(name)
    model = task.build(0)
    batch = next(task.train.over(model))
    logits = task.logits(model, batch)
    classes = isinstance(task.task, (common.Classification, Language))
    assert (logits is not None) == classes
    if logits is not None:
        targets = batch[0][:, 1:].long() if name == "text" else batch[1]
        expected = nn.functional.cross_entropy(logits().flatten(0, -2), targets.flatten())
        assert torch.equal(task.loss(model, batch), expected)


# What each is about


def test_the_quadratic_is_what_it_says() -> None:
    task = loading.load("quadratic", "full")
    model: Any = task.build(0)
    (centres,) = task.validation.data.tensors
    excess = task.metric(model, task.validation)
    with torch.no_grad():
        at = task.loss(model, (centres,)).item()
        model.x.copy_(centres.mean(0))
        least = task.loss(model, (centres,)).item()
    assert excess == pytest.approx(at - least, rel=1e-4)
    assert task.metric(model, task.validation) < 1e-6
    assert model.curvatures.max() / model.curvatures.min() == pytest.approx(1e3)
    # Gradients of single examples vary by H.
    spread = (model.curvatures * centres).var(0) / model.curvatures
    assert spread.mean() == pytest.approx(1, abs=0.02)


def test_most_features_are_rare() -> None:
    often = loading.load("sparse").train.data.inputs.mean(0)
    assert often[0] == pytest.approx(0.5, abs=0.05)
    assert (often < 0.01).float().mean() > 0.75


def test_metrics_are_in_units_of_ones_own() -> None:
    from sklearn.datasets import load_diabetes

    task = loading.load("diabetes")
    model = task.build(0)
    with torch.no_grad():
        for p in model.parameters():
            p.zero_()
    spread = load_diabetes().target.std()
    assert task.metric(model, task.validation) == pytest.approx(spread, rel=0.1)
    assert loading.load("photo").metric(Grey(), loading.load("photo").test) > 5


class Grey(nn.Module):
    def forward(self, places: Tensor) -> Tensor:
        return torch.full((len(places), 3), 0.5)


def test_text_is_split_by_file() -> None:
    facts = loading.load("text").facts
    files = [str(facts[f"{part}_modules"]).split() for part in ("train", "validation", "test")]
    assert sum(map(len, files)) == len({name for part in files for name in part}) == 60
    assert len(str(facts["sources"])) == 64


def test_text_takes_what_is_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sysconfig, "get_paths", lambda: {"stdlib": str(tmp_path)})
    with pytest.raises(ImportError, match="sources of Python's standard library are not in"):
        BUILT_IN["text"].__wrapped__()  # type: ignore[attr-defined]
    for name in ("ast", "queue", "shelve"):
        (tmp_path / f"{name}.py").write_bytes(b"# " + name.encode() + b"\r\n" + 99 * b"x = 1\r\n")
    task = BUILT_IN["text"].__wrapped__()  # type: ignore[attr-defined]
    assert task.facts["test_modules"] == "shelve"
    (window,) = task.validation[0]
    assert bytes(window[:14].tolist()) == b"# queue\nx = 1\n"


def test_what_is_not_installed_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "PIL", None)
    BUILT_IN["photo"].cache_clear()  # type: ignore[attr-defined]
    with pytest.raises(loading.TaskError, match=r"task 'photo': .*pip install glissade\[study\]"):
        loading.load("photo")


# As a model to draw


@pytest.mark.parametrize("name", BUILT_IN)
def test_it_can_be_drawn(name: str) -> None:
    problem = load(name, 2)
    task = loading.load(name)
    assert problem.epoch == len(task.train)
    assert problem.title == task.title
    last, beyond = problem.epoch - 1, problem.epoch
    seen = [problem.loss(problem.model, step).item() for step in (0, 1, 1, beyond, last, 0)]
    assert seen[0] == seen[5] != seen[3]
    assert seen[1] == seen[2]
    if name in ("digits", "sparse", "quadratic"):
        everything = task.loss(problem.model, task.train.data.tensors).item()
        assert problem.whole() == pytest.approx(everything, rel=1e-5)


def test_steps_are_the_batches_of_one_pass_after_another() -> None:
    problem = load("quadratic", 1)
    model = problem.model
    sums = {0: torch.zeros(64), 1: torch.zeros(64)}
    for step in range(2 * problem.epoch):
        (grad,) = torch.autograd.grad(problem.loss(model, step), list(model.parameters()))
        sums[step // problem.epoch] += grad / problem.epoch
    torch.testing.assert_close(sums[0], sums[1], rtol=1e-4, atol=1e-4)  # each example once


def test_an_own_task_of_the_examples() -> None:
    path = Path(__file__).parents[2] / "examples" / "own_task.py"
    task = loading.load(f"{path}:task")
    loading.check(task)
    make = opened(str(path))
    problem = make(0)
    assert (problem.name, problem.batches) == ("own_task", "mini-batches of 32 examples")
    optimizer = glissade.AdamW(problem.params, lr=1e-2)
    for step in range(300):
        optimizer.zero_grad()
        torch.autograd.backward(problem.loss(problem.model, step))
        optimizer.step()
    assert task.metric(problem.model, task.validation) < 5
    assert "file" in task.facts


# Others' data


class Convolution(nn.Sequential):
    def __init__(self) -> None:
        super().__init__(nn.Flatten(), nn.Linear(28 * 28, 10))


def mnist(root: Path, count: int) -> None:
    """Files as torchvision's MNIST keeps them."""
    raw = root / "MNIST" / "raw"
    raw.mkdir(parents=True)
    for part, n in (("train", count), ("t10k", count // 2)):
        head = (2051).to_bytes(4, "big") + n.to_bytes(4, "big") + 2 * (28).to_bytes(4, "big")
        pixels = torch.randint(256, (n * 784,), dtype=torch.uint8).numpy().tobytes()
        (raw / f"{part}-images-idx3-ubyte").write_bytes(head + pixels)
        labels = bytes(i % 10 for i in range(n))
        words = (2049).to_bytes(4, "big") + n.to_bytes(4, "big")
        (raw / f"{part}-labels-idx1-ubyte").write_bytes(words + labels)


def test_torchvision_on_disk(tmp_path: Path) -> None:
    pytest.importorskip("torchvision")
    mnist(tmp_path, 200)
    task = others.torchvision_task("MNIST", tmp_path, Convolution, batch_size=16)
    ready = loading.prepare(task, "my.py:task")
    loading.check(ready)
    assert [len(x.data) for x in (ready.train, ready.validation, ready.test)] == [180, 20, 100]
    with pytest.raises(ValueError, match="not found in"):
        others.torchvision_task("MNIST", tmp_path / "none", Convolution)


class Made(torch.utils.data.Dataset[Any]):
    """As a class of torchvision's: for the plumbing, where that is not installed."""

    def __init__(
        self, root: str, train: bool = True, transform: Any = None, download: bool = True
    ) -> None:
        if download or not Path(root).is_dir():
            raise RuntimeError("Dataset not found.\nYou can use download=True to download it")
        self.images, self.transform = torch.rand(100 if train else 50, 28, 28), transform

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        return self.transform(self.images[index]), index % 10


def test_torchvision_s_classes_are_asked_for_what_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = types.ModuleType("torchvision.datasets")
    found.Made, found.Bare = Made, lambda root, transform: None  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "torchvision", types.ModuleType("torchvision"))
    monkeypatch.setitem(sys.modules, "torchvision.datasets", found)
    task = others.torchvision_task("Made", tmp_path, Convolution, transform=torch.neg, batch_size=9)
    ready = loading.prepare(task, "my.py:task")
    loading.check(ready)
    assert [len(x.data) for x in (ready.train, ready.validation, ready.test)] == [90, 10, 50]
    apart = set(task.train.indices) & set(task.validation.indices)  # type: ignore[attr-defined]
    assert not apart
    assert next(ready.train.over())[0].max() <= 0  # transformed
    for name, root, share, said in (
        ("Made", "none", 0.1, "not found in .*none, and nothing is downloaded here: Dataset not"),
        ("Mode", "", 0.1, "there is no torchvision.datasets.Mode"),
        ("Bare", "", 0.1, "neither train= nor split="),
        ("Made", "", 1.0, "write a share between 0 and 1"),
    ):
        with pytest.raises(ValueError, match=said):
            others.torchvision_task(
                name, tmp_path / root, Convolution, transform=torch.neg, validation=share
            )


def row(of: dict[str, Any]) -> tuple[Tensor, int]:
    return torch.tensor(of["pixels"]), of["digit"]


def table(count: int) -> list[dict[str, Any]]:
    return [{"pixels": [float(i)] * 784, "digit": i % 10} for i in range(count)]


def test_hugging_face_on_disk(tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    parts = {name: datasets.Dataset.from_list(table(50)) for name in ("train", "test")}
    datasets.DatasetDict(parts).save_to_disk(str(tmp_path / "mine"))
    ready = loading.prepare(
        others.huggingface_task(tmp_path / "mine", Convolution, row, batch_size=9), "a:b"
    )
    loading.check(ready)
    with pytest.raises(ValueError, match="no data in"):
        others.huggingface_task(tmp_path / "none", Convolution, row)


def test_hugging_face_s_splits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = types.ModuleType("datasets")
    monkeypatch.setitem(sys.modules, "datasets", found)
    parts = {"train": table(60), "test": table(30)}
    found.load_from_disk = lambda path: parts  # type: ignore[attr-defined]
    for more, sizes in (({}, [54, 6, 30]), ({"validation": table(9)}, [60, 9, 30])):
        parts.update(more)
        task = others.huggingface_task(tmp_path, Convolution, row, batch_size=9)
        ready = loading.prepare(task, "my.py:task")
        loading.check(ready)
        assert [len(x.data) for x in (ready.train, ready.validation, ready.test)] == sizes
    del parts["test"]
    with pytest.raises(ValueError, match='has train, validation; needed are "train" and "test"'):
        others.huggingface_task(tmp_path, Convolution, row)


def test_what_others_lack_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("torchvision", "torchvision.datasets", "datasets"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(ImportError, match="needs torchvision, which is not installed: pip install"):
        others.torchvision_task("MNIST", tmp_path, Convolution)
    with pytest.raises(ImportError, match="needs datasets, which is not installed"):
        others.huggingface_task(tmp_path, Convolution, row)
    file = tmp_path / "my.py"
    file.write_text(
        "from glissade.study.tasks.others import torchvision_task\n"
        "task = torchvision_task('MNIST', root='data', model=None)\n"
    )
    with pytest.raises(loading.TaskError, match=r"my.py:2: ImportError: torchvision_task needs"):
        loading.load(str(file))
