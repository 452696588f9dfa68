"""Does training in fewer bits cost accuracy? Two tasks, ten seeds, paired differences.

    python examples/low_precision.py --seeds 10

Each optimizer in float32, with states in bfloat16 and in 8 bits, and with everything in bfloat16
(rounded at random). Handwritten digits: a small network, validation error after fifteen epochs.
Text: a byte-level transformer of 137,088 parameters on Python's own standard library, loss on files
that it has not seen, after 200 steps. Each at one learning rate for all ways.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.stats import bootstrap
from torch import Tensor, nn

from glissade import Optimizer, registry
from glissade.study.tasks import Part, digits

WAYS: dict[str, tuple[torch.dtype, dict[str, Any]]] = {
    "float32": (torch.float32, {}),
    "states in bfloat16": (torch.float32, {"state_dtype": "bfloat16"}),
    "states in 8 bits": (torch.float32, {"state_dtype": "int8"}),
    "all in bfloat16": (
        torch.bfloat16,
        {"state_dtype": "bfloat16", "stochastic_rounding": True},
    ),
}
Train = Callable[[str, float, str, int], float]


def made(model: nn.Module, name: str, lr: float, way: str, seed: int) -> Optimizer:
    rule = registry.lookup(name).bind(lr)
    return Optimizer(model.parameters(), rule, rounding_seed=seed, **WAYS[way][1])


# Handwritten digits

DIGITS = {"adam": 3e-3, "adamw": 3e-3, "lion": 5e-4, "lamb": 1e-2, "momentum": 3e-2}
EPOCHS, BATCH = 15, 64
TASK = digits()


def wrong(name: str, lr: float, way: str, seed: int) -> float:
    """Percent of validation images that are taken for another digit."""
    dtype = WAYS[way][0]
    model = TASK.build(seed).to(dtype)
    optimizer = made(model, name, lr, way, seed)
    for batch in TASK.batches(seed, EPOCHS, BATCH):
        optimizer.zero_grad()
        part = Part(batch.inputs.to(dtype), batch.labels)
        torch.autograd.backward(TASK.loss(model, part))
        optimizer.step()
    part = Part(TASK.validation.inputs.to(dtype), TASK.validation.labels)
    return 100 * TASK.evaluate(model, part).error


# Text

TEXT = {"adam": 3e-3, "lion": 5e-4, "lamb": 1e-2}
LENGTH, WIDTH, STEPS, ROWS = 64, 64, 200, 16


class Bytes(nn.Module):
    """Predicts each byte from those before it."""

    def __init__(self) -> None:
        super().__init__()
        self.byte, self.place = nn.Embedding(256, WIDTH), nn.Embedding(LENGTH, WIDTH)
        layer = nn.TransformerEncoderLayer(
            WIDTH, 4, 4 * WIDTH, dropout=0.0, batch_first=True, norm_first=True
        )
        self.layers = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.out = nn.Linear(WIDTH, 256)

    def forward(self, x: Tensor) -> Tensor:
        mask = nn.Transformer.generate_square_subsequent_mask(LENGTH, dtype=self.out.weight.dtype)
        h = self.byte(x) + self.place.weight
        return self.out(self.layers(h, mask=mask, is_causal=True))


def sources() -> tuple[Tensor, Tensor]:
    """The standard library's modules, every tenth kept for validation."""
    files = sorted(Path(os.__file__).parent.glob("*.py"))
    parts = [b"".join(x.read_bytes() for x in files[k::10]) for k in range(10)]
    seen, unseen = b"".join(parts[1:]), parts[0]
    return tuple(torch.frombuffer(bytearray(x), dtype=torch.uint8) for x in (seen, unseen))  # type: ignore[return-value]


SEEN, UNSEEN = sources()


def sample(text: Tensor, count: int, generator: torch.Generator) -> Tensor:
    at = torch.randint(len(text) - LENGTH - 1, (count, 1), generator=generator)
    return text[at + torch.arange(LENGTH + 1)].long()


def loss(model: nn.Module, some: Tensor) -> Tensor:
    scores = model(some[:, :-1]).float()
    return nn.functional.cross_entropy(scores.flatten(0, 1), some[:, 1:].flatten())


def unlike(name: str, lr: float, way: str, seed: int) -> float:
    """Loss on unseen text, in bits per byte."""
    torch.manual_seed(seed)
    model = Bytes().to(WAYS[way][0])
    optimizer = made(model, name, lr, way, seed)
    generator = torch.Generator().manual_seed(seed)
    for step in range(STEPS):
        for group in optimizer.param_groups:
            group["lr"] = lr * min(1, (step + 1) / 30, (STEPS - step) / 100)
        optimizer.zero_grad()
        torch.autograd.backward(loss(model, sample(SEEN, ROWS, generator)))
        optimizer.step()
    with torch.no_grad():
        some = sample(UNSEEN, 256, torch.Generator().manual_seed(0))
        return float(loss(model, some)) / float(np.log(2))


def show(train: Train, rates: dict[str, float], unit: str, seeds: int) -> None:
    for name, lr in rates.items():
        found = {
            way: np.array([train(name, lr, way, seed) for seed in range(seeds)]) for way in WAYS
        }
        for way, errors in found.items():
            line = f"{name:9} {way:19} {errors.mean():.3f} {unit}"
            difference = errors - found["float32"]
            if difference.any():
                low, high = bootstrap((difference,), np.mean, rng=0).confidence_interval
                line += f", {difference.mean():+.3f} (95 % interval {low:+.3f} to {high:+.3f})"
            print(line, flush=True)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--task", choices=["digits", "text", "both"], default="both")
    given = parser.parse_args()
    torch.set_num_threads(1)
    if given.task != "text":
        show(wrong, DIGITS, "% wrong", given.seeds)
    if given.task != "digits":
        show(unlike, TEXT, "bits per byte", given.seeds)


if __name__ == "__main__":
    main()
