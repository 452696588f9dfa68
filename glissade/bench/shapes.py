"""The models whose parameters are stepped, as lists of shapes."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Model:
    """The parameters of a model."""

    name: str
    title: str
    shapes: tuple[Shape, ...]

    @property
    def tensors(self) -> int:
        """How many parameters there are."""
        return len(self.shapes)

    @property
    def elements(self) -> int:
        """How many numbers they hold."""
        return sum(map(math.prod, self.shapes))

    @property
    def ranks(self) -> dict[int, int]:
        """Elements by number of dimensions."""
        out: dict[int, int] = {}
        for shape in self.shapes:
            out[len(shape)] = out.get(len(shape), 0) + math.prod(shape)
        return out

    def parameters(self, dtype: str = "float32", device: str = "cpu") -> list[torch.Tensor]:
        """The parameters, with gradients, of the sizes that training has."""
        like: torch.dtype = getattr(torch, dtype)
        generator = torch.Generator(device).manual_seed(0)

        def normal(shape: Shape, std: float) -> torch.Tensor:
            made = torch.empty(shape, device=device)
            return made.normal_(0.0, std, generator=generator).to(like)

        params = [normal(shape, 0.02).requires_grad_() for shape in self.shapes]
        for p in params:
            p.grad = normal(tuple(p.shape), 0.01)
        return params


def _transformer(width: int, blocks: int, words: int, positions: int) -> tuple[Shape, ...]:
    """GPT-2: two embeddings, 12 tensors a block, and a last norm."""
    d = width
    norm: list[Shape] = [(d,), (d,)]
    block: list[Shape] = [
        *norm, (d, 3 * d), (3 * d,), (d, d), (d,),
        *norm, (d, 4 * d), (4 * d,), (4 * d, d), (d,),
    ]  # fmt: skip
    return ((words, d), (positions, d), *(block * blocks), *norm)


def _perceptron(*widths: int) -> tuple[Shape, ...]:
    layers = zip(widths[1:], widths[:-1], strict=True)
    return tuple(s for out, inner in layers for s in ((out, inner), (out,)))


MODELS: Mapping[str, Model] = {
    model.name: model
    for model in (
        Model("gpt2", "GPT-2 124M", _transformer(768, 12, 50257, 1024)),
        Model("small", "a transformer of 4.3M", _transformer(240, 6, 256, 256)),
        Model("mlp", "an MLP of 17k", _perceptron(64, 96, 64, 48, 32, 10)),
        Model("many", "many small tensors", ((256,),) * 10_000),
        Model("thousand", "a thousand small tensors", ((1024,),) * 1000),
        Model("billion", "a transformer of 1.1B", _transformer(1536, 36, 50257, 1024)),
    )
}
USUAL = ("gpt2", "small", "mlp", "many")
ON_DEVICE = ("gpt2", "billion", "thousand")  # with --device cuda
