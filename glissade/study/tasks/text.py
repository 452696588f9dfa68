"""Text: the sources of Python's own standard library, byte by byte."""

from __future__ import annotations

import hashlib
import math
import sysconfig
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import TensorDataset

from glissade.study.task import Direction
from glissade.study.tasks.common import drawn

LENGTH, WIDTH, HEADS, LAYERS = 64, 64, 4, 2

# In Python 3.10 and after it. Each file is wholly in one part.
MODULES = {
    "train": """ast base64 bdb bisect bz2 calendar cmd code codeop colorsys compileall
        configparser contextlib copy copyreg csv dis fileinput fnmatch fractions ftplib functools
        genericpath getopt gettext glob graphlib gzip hashlib heapq hmac keyword linecache lzma
        mimetypes modulefinder netrc ntpath operator os""",
    "validation": "posixpath pprint queue quopri random reprlib sched selectors shlex timeit",
    "test": "plistlib poplib profile shelve stat string tabnanny textwrap tokenize weakref",
}


class Bytes(nn.Module):
    """A transformer that predicts each byte from those before it."""

    mask: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.byte, self.place = nn.Embedding(256, WIDTH), nn.Embedding(LENGTH, WIDTH)
        layer = nn.TransformerEncoderLayer(
            WIDTH, HEADS, 4 * WIDTH, dropout=0.0, batch_first=True, norm_first=True
        )
        self.layers = nn.TransformerEncoder(layer, LAYERS, enable_nested_tensor=False)
        self.out = nn.Linear(WIDTH, 256)
        mask = nn.Transformer.generate_square_subsequent_mask(LENGTH)
        self.register_buffer("mask", mask, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        h = self.layers(self.byte(x) + self.place.weight, mask=self.mask, is_causal=True)
        found: Tensor = self.out(h)
        return found


@dataclass(frozen=True)
class Language:
    """Windows of text, in which each byte is predicted from those before it."""

    title: str
    train: TensorDataset
    validation: TensorDataset
    test: TensorDataset
    metric_name: str = "bits per byte"
    direction: Direction = "min"
    batch_size: int = 16
    epochs: int = 1
    facts: dict[str, object] = field(default_factory=dict)

    def build(self, seed: int) -> nn.Module:
        return drawn(seed, Bytes)

    def logits(self, model: nn.Module, batch: Any) -> Tensor:
        (windows,) = batch
        found: Tensor = model(windows[:, :-1].long())
        return found

    def loss(self, model: nn.Module, batch: Any) -> Tensor:
        """Nats per byte."""
        following = batch[0][:, 1:].long()
        return functional.cross_entropy(self.logits(model, batch).flatten(0, 1), following.ravel())

    def metric(self, model: nn.Module, batches: Iterable[Any]) -> float:
        nats, count = 0.0, 0
        for batch in batches:
            nats += float(self.loss(model, batch)) * len(batch[0])
            count += len(batch[0])
        return nats / count / math.log(2)


@cache
def text() -> Language:
    """Of the modules in the list, those that are there; `facts` has their names and hash."""
    folder = Path(sysconfig.get_paths()["stdlib"])
    content, facts, parts = hashlib.sha256(), dict[str, object](), []
    for part, names in MODULES.items():
        there = [name for name in names.split() if (folder / f"{name}.py").is_file()]
        if not there:
            raise ImportError(f"the sources of Python's standard library are not in {folder}")
        sources = [(folder / f"{name}.py").read_bytes().replace(b"\r\n", b"\n") for name in there]
        for name, source in zip(there, sources, strict=True):
            content.update(f"{part} {name} {len(source)}\n".encode() + source)
        facts[f"{part}_modules"] = " ".join(there)
        joined = torch.frombuffer(bytearray(b"".join(sources)), dtype=torch.uint8)
        parts.append(TensorDataset(joined.unfold(0, LENGTH + 1, LENGTH).contiguous()))
    train, validation, test = parts
    facts["sources"] = content.hexdigest()
    return Language(
        "sources of Python’s standard library, byte-level transformer",
        train, validation, test, facts=facts,
    )  # fmt: skip
