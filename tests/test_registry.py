"""The registry is complete: each row has its rule, class, oracle and range, and its names."""

from __future__ import annotations

import inspect
import re

import pytest
import torch

import glissade
from glissade import Optimizer, optimizers, registry, rules
from tests.cases import leaf, normal
from tests.oracles.algorithms import RULES
from tests.oracles.installed import DISAGREEMENTS
from tests.oracles.transcriptions import PRESETS

ROWS = pytest.mark.parametrize("row", registry.ROWS, ids=lambda row: row.name)


def test_names_are_unique_and_cover_the_rules() -> None:
    assert len(set(registry.names())) == len(registry.ROWS)
    assert {row.rule.__name__ for row in registry.ROWS} == set(rules.__all__)
    assert {row.title for row in registry.ROWS} == set(optimizers.__all__)
    assert [row.name for row in registry.entries()] == [
        name for name in registry.names() if name not in ("momentum", "nesterov")
    ]


@ROWS
def test_a_row_is_filled_in(row: registry.Entry) -> None:
    assert row.name == row.name.lower()
    assert re.fullmatch(r"arXiv:\d{4}\.\d{5}|doi:.+|jmlr:.+|github\.com/.+|.+\d.*|Coursera",
                        row.paper.identifier)  # fmt: skip
    assert 1950 < row.paper.year <= 2026
    low, high = row.lr_range
    assert 0 < low < high
    assert all(row.variants.values())


@ROWS
def test_it_says_when_to_take_it_and_when_not(row: registry.Entry) -> None:
    """In the rule's documentation, not in the row."""
    assert re.fullmatch(r"Reach for it [^?!]+\.", row.when)
    assert " Not " not in row.when
    assert re.fullmatch(r"Not [^?!]+\.", row.not_when)
    assert f"{row.when} {row.not_when}" in " ".join((row.rule.__doc__ or "").split())


LIBRARIES = {"torch": "torch", "optax": "Optax", "pytorch_optimizer": "pytorch_optimizer"}


@ROWS
def test_disagreements_are_sentences_about_somebody(row: registry.Entry) -> None:
    for said in row.disagreements:
        assert re.match(
            r"(torch|Keras|Optax|pytorch_optimizer|The released code|The paper)\b", said
        )
        assert re.fullmatch(r"[^\n]+[^ .]\.", said)
        quoted = re.findall(r'variant "(\w+)"', said)
        assert set(quoted) <= {*row.variants}, said
    assert len(set(row.disagreements)) == len(row.disagreements)


@ROWS
def test_what_the_oracles_found_otherwise_stands_in_its_row(row: registry.Entry) -> None:
    names = {row.name, {"signum": "signsgd", "sophia": "sophiah"}.get(row.name, row.name)}
    for found in DISAGREEMENTS:
        if names & set(re.findall(r"\w+", found.what.lower())):
            library = LIBRARIES[found.package]
            assert any(library in said for said in row.disagreements), (library, found.how)


@ROWS
def test_an_oracle_knows_it(row: registry.Entry) -> None:
    name = "sgd" if row.preset else row.name
    assert name in RULES or name in PRESETS


@ROWS
def test_variants_are_those_of_the_rule(row: registry.Entry) -> None:
    """Each works, each is another function, and one that is not there is named."""
    made = set()
    for variant in row.variants:
        p = leaf(normal(0, (3, 4)))
        optimizer = row.optimizer([p], 0.01, variant=variant, **_eager_enough(row))
        for t in range(7):
            p.grad = normal(t, (3, 4))
            optimizer.param_groups[0]["lr"] = 0.01 * (t + 1)
            optimizer.step()
        made.add(tuple(p.flatten().tolist()))
    # Keras' RMSprop is the paper's until there is a momentum, which the paper's has not.
    assert len(made) == len(row.variants) - (row.name == "rmsprop")
    if row.variants:
        words = ".*".join(f"'{v}'" for v in row.variants)
        with pytest.raises(ValueError, match=rf"variant='nope' is unknown; allowed are .*{words}"):
            row.bind(variant="nope")


def _eager_enough(row: registry.Entry) -> dict[str, object]:
    """What the variants of a rule differ in."""
    hyper = row.rule().hyper
    if row.name in ("sgd", "sgdw"):
        return {"momentum": 0.9}
    if row.name in ("lars", "adamax", "sophia"):  # not every variant has an eps
        return {}
    return {"eps": 0.1} if isinstance(hyper.get("eps"), float) else {}


@ROWS
def test_its_class_is_the_rule_bound(row: registry.Entry) -> None:
    cls = getattr(glissade, row.title)
    assert issubclass(cls, Optimizer)
    assert issubclass(cls, torch.optim.Optimizer)
    signature = inspect.signature(cls)
    mine = inspect.signature(row.rule).parameters
    assert list(signature.parameters)[: 1 + len(mine)] == ["params", *mine]
    kinds = [p.kind for p in signature.parameters.values()]
    assert kinds[2:] == [inspect.Parameter.KEYWORD_ONLY] * (len(kinds) - 2)
    p, q = leaf(normal(0, (3, 4))), leaf(normal(0, (3, 4)))
    one, other = cls([p], 0.02, **row.preset), row.optimizer([q], 0.02)
    assert one.param_groups[0].keys() == other.param_groups[0].keys()
    for t in range(3):
        p.grad = q.grad = normal(t, (3, 4))
        one.step()
        other.step()
    assert torch.equal(p, q)


@ROWS
def test_defaults_are_the_rules_and_stand_in_the_group(row: registry.Entry) -> None:
    group = getattr(glissade, row.title)([leaf(normal(0, (2,)))]).param_groups[0]
    for key, value in row.rule().hyper.items():
        assert group[key] == value
    assert group["base_lr"] == group["lr"]
    assert not group["maximize"]


def test_ranger_official() -> None:
    hyper = rules.ranger(variant="official").hyper
    assert (hyper["betas"], hyper["eps"], hyper["variant"]) == ((0.95, 0.999), 1e-5, "torch")


@pytest.mark.parametrize(
    ("word", "meant"), [("adamv", "adam"), ("lam", "lamb"), ("ADAMX", "adam"), ("ranges", "ranger")]
)
def test_an_unknown_name_is_answered_with_the_nearest(word: str, meant: str) -> None:
    with pytest.raises(registry.UnknownOptimizer, match=f"unknown optimizer '{word}'.*'{meant}"):
        registry.lookup(word)


def test_names_are_found_in_any_case() -> None:
    assert registry.lookup("AdamW") is registry.lookup("adamw")
