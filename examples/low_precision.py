"""Does training in fewer bits cost accuracy? Handwritten digits, ten seeds, paired differences.

    python examples/low_precision.py --seeds 10

Each optimizer in float32, with states in bfloat16, and with everything in bfloat16 (rounded at
random); validation error after fifteen epochs, each at one learning rate for all three.
"""

from __future__ import annotations

import argparse
from typing import Any

import numpy as np
import torch
from scipy.stats import bootstrap

from glissade import Optimizer, registry
from glissade.study.tasks import Part, Task, digits

EPOCHS, BATCH = 15, 64
RATES = {"adamw": 3e-3, "lion": 5e-4, "lamb": 1e-2, "momentum": 3e-2}
WAYS: dict[str, tuple[torch.dtype, dict[str, Any]]] = {
    "float32": (torch.float32, {}),
    "states in bfloat16": (torch.float32, {"state_dtype": "bfloat16"}),
    "all in bfloat16": (
        torch.bfloat16,
        {"state_dtype": "bfloat16", "stochastic_rounding": True},
    ),
}


def error(task: Task, name: str, way: str, seed: int) -> float:
    """Validation error of one run."""
    dtype, options = WAYS[way]
    model = task.build(seed).to(dtype)
    rule = registry.lookup(name).bind(RATES[name])
    optimizer = Optimizer(model.parameters(), rule, rounding_seed=seed, **options)
    for batch in task.batches(seed, EPOCHS, BATCH):
        optimizer.zero_grad()
        part = Part(batch.inputs.to(dtype), batch.labels)
        torch.autograd.backward(task.loss(model, part))
        optimizer.step()
    part = Part(task.validation.inputs.to(dtype), task.validation.labels)
    return task.evaluate(model, part).error


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--seeds", type=int, default=10)
    given = parser.parse_args()
    torch.set_num_threads(1)
    task = digits()
    for name in RATES:
        found = {
            way: np.array([error(task, name, way, seed) for seed in range(given.seeds)])
            for way in WAYS
        }
        for way, errors in found.items():
            line = f"{name:9} {way:19} {100 * errors.mean():.2f} % wrong"
            difference = 100 * (errors - found["float32"])
            if difference.any():
                low, high = bootstrap((difference,), np.mean, rng=0).confidence_interval
                line += (
                    f", {difference.mean():+.2f} points (95 % interval {low:+.2f} to {high:+.2f})"
                )
            print(line, flush=True)


if __name__ == "__main__":
    main()
