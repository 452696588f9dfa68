"""The models are of the sizes that the figures are quoted for."""

from __future__ import annotations

import pytest
import torch

from glissade.bench.shapes import MODELS


@pytest.mark.parametrize(
    ("name", "tensors", "elements"),
    [("gpt2", 148, 124_439_808), ("small", 76, 4_289_280), ("mlp", 10, 17_466),
     ("many", 10_000, 2_560_000)],
)  # fmt: skip
def test_counts(name: str, tensors: int, elements: int) -> None:
    model = MODELS[name]
    assert (model.tensors, model.elements) == (tensors, elements)
    assert sum(model.ranks.values()) == elements


def test_parameters_have_gradients_and_are_the_same_every_time() -> None:
    first, second = (MODELS["mlp"].parameters() for _ in range(2))
    assert [tuple(p.shape) for p in first] == list(MODELS["mlp"].shapes)
    for p, q in zip(first, second, strict=True):
        assert p.is_leaf
        assert p.requires_grad
        assert torch.equal(p, q)
        assert p.grad is not None
        assert q.grad is not None
        assert torch.equal(p.grad, q.grad)
