"""Classification on data that you have: torchvision's data sets, Hugging Face's, from the disk.

In a file my.py, for ``glissade compare my.py:task``::

    from torchvision.models import resnet18
    from glissade.study.tasks.others import torchvision_task

    def model():
        return resnet18(num_classes=10)

    task = torchvision_task("CIFAR10", root="data", model=model)

Nothing is ever downloaded.
"""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.utils.data import Dataset, Subset

from glissade.study.task import Direction
from glissade.study.tasks.common import Classifying, drawn
from glissade.study.tasks.data import SPLIT_SEED


@dataclass(frozen=True)
class Labelled(Classifying):
    """Pairs of an input and its label, in any data sets."""

    title: str
    train: Dataset[Any]
    validation: Dataset[Any]
    test: Dataset[Any]
    model: Callable[[], nn.Module]
    batch_size: int = 128
    epochs: int = 10
    metric_name: str = "error, %"
    direction: Direction = "min"
    facts: dict[str, object] = field(default_factory=dict)

    def build(self, seed: int) -> nn.Module:
        return drawn(seed, self.model)


def torchvision_task(
    name: str,
    root: str | Path,
    model: Callable[[], nn.Module],
    *,
    transform: Callable[[Any], Any] | None = None,
    validation: float = 0.1,
    batch_size: int = 128,
    epochs: int = 10,
) -> Labelled:
    """One of ``torchvision.datasets`` by name, as "CIFAR10", in the folder `root`.

    Args:
        name: of a class there that has a train and a test part.
        root: the folder in which it is, as torchvision has put it there.
        model: makes the model; a function or class at the top level of a file.
        transform: of an image, for all parts alike [torchvision's ``ToTensor()``]
        validation: the share of the train part that is set aside for validation.

    Raises:
        ImportError: torchvision is missing.
        ValueError: there is no such data set, or it is not in `root`.
    """
    datasets = _imported("torchvision.datasets", "torchvision_task")
    kind = getattr(datasets, name, None)
    if kind is None:
        raise ValueError(f"torchvision_task({name!r}): there is no torchvision.datasets.{name}")
    options: dict[str, Any] = {"root": str(root)}
    options["transform"] = transform or _imported("torchvision.transforms", name).ToTensor()
    known = inspect.signature(kind).parameters
    if "download" in known:
        options["download"] = False
    key = next((key for key in ("train", "split") if key in known), None)
    if key is None:
        raise ValueError(
            f"torchvision_task({name!r}): it has neither train= nor split=; make three data sets "
            "of it yourself"
        )
    which = (True, False) if key == "train" else ("train", "test")
    try:
        seen, test = (kind(**options, **{key: value}) for value in which)
    except (RuntimeError, OSError) as error:
        raise ValueError(
            f"torchvision_task({name!r}): not found in {Path(root).absolute()}, and nothing is "
            f"downloaded here: {str(error).partition(chr(10))[0]}"
        ) from error
    train, rest = _set_aside(seen, validation)
    return Labelled(
        f"{name} (torchvision)", train, rest, test, model, batch_size, epochs,
        facts={"data": f"torchvision {name}", "split_seed": SPLIT_SEED},
    )  # fmt: skip


def huggingface_task(
    root: str | Path,
    model: Callable[[], nn.Module],
    example: Callable[[dict[str, Any]], tuple[Any, Any]],
    *,
    validation: float = 0.1,
    batch_size: int = 128,
    epochs: int = 10,
) -> Labelled:
    """A ``DatasetDict`` of Hugging Face's `datasets`, in the folder where `save_to_disk` put it.

    Its splits "train" and "test" are used, and "validation" where it has that.

    Args:
        example: makes an input and its label of a row: ``lambda row: (to_tensor(row["image"]),
            row["label"])``
        root, model, validation: as in ``torchvision_task``.

    Raises:
        ImportError: `datasets` is missing.
        ValueError: it is not in `root`, or has no such splits.
    """
    datasets = _imported("datasets", "huggingface_task")
    try:
        found = datasets.load_from_disk(str(root))
    except OSError as error:
        raise ValueError(
            f"huggingface_task: no data in {Path(root).absolute()}, and nothing is downloaded "
            f"here; write it there with save_to_disk: {str(error).partition(chr(10))[0]}"
        ) from error
    if not isinstance(found, dict) or not {"train", "test"} <= found.keys():
        has = ", ".join(found) if isinstance(found, dict) else "one data set without splits"
        raise ValueError(f'huggingface_task: {root} has {has}; needed are "train" and "test"')
    parts = {name: Rows(rows, example) for name, rows in found.items()}
    train: Dataset[Any] = parts["train"]
    rest: Dataset[Any] | None = parts.get("validation")
    if rest is None:
        train, rest = _set_aside(train, validation)
    prints = {name: getattr(rows, "_fingerprint", "") for name, rows in found.items()}
    return Labelled(
        f"{Path(root).name} (datasets)", train, rest, parts["test"], model, batch_size, epochs,
        facts={"data": prints, "split_seed": SPLIT_SEED},
    )  # fmt: skip


class Rows(Dataset[Any]):
    """Rows of a table, each made an input and its label."""

    def __init__(self, rows: Any, example: Callable[[dict[str, Any]], tuple[Any, Any]]) -> None:
        self.rows, self.example = rows, example

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> tuple[Any, Any]:
        return self.example(self.rows[index])


def _set_aside(data: Any, share: float) -> tuple[Subset[Any], Subset[Any]]:
    """The larger part, and a share that is drawn at random, always the same one."""
    count = round(share * len(data))
    if not 0 < count < len(data):
        raise ValueError(
            f"validation={share!r} of {len(data)} examples is {count}; write a share between 0 "
            "and 1 that leaves some for either part"
        )
    order = torch.randperm(len(data), generator=torch.Generator().manual_seed(SPLIT_SEED)).tolist()
    return Subset(data, sorted(order[count:])), Subset(data, sorted(order[:count]))


def _imported(module: str, of: str) -> Any:
    package = module.partition(".")[0]
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != package:
            raise
        raise ImportError(
            f"{of} needs {package}, which is not installed: pip install {package}"
        ) from None
