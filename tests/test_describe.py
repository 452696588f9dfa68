"""The facts of a row: state, bytes, passes, as the plans that run have them."""

from __future__ import annotations

from typing import Any

import pytest

from glissade import registry, rules, wrappers
from glissade.describe import WHERE, arguments, definitions, facts, needs
from glissade.docstrings import documentation
from glissade.graph import Kind
from glissade.rule import Rule


@pytest.mark.parametrize(
    ("rule", "state", "size", "passes"),
    [
        (rules.sgd(), "0", 12, 1),
        (rules.sgd(momentum=0.9), "1", 20, 1),
        (rules.sgd(momentum=0.9, nesterov=True), "1", 20, 1),
        (rules.lion(), "1", 20, 1),
        (rules.adagrad(), "1", 20, 1),
        (rules.rmsprop(), "1", 20, 1),
        (rules.rmsprop(momentum=0.9, centered=True), "3", 36, 1),
        (rules.adam(), "2", 28, 1),
        (rules.adamw(), "2", 28, 1),
        (rules.adam(amsgrad=True), "3", 36, 1),
        (rules.radam(), "2", 28, 1),
        (rules.lamb(), "2", 40, 2),
        (rules.ralamb(), "2", 40, 2),
        (rules.adafactor(), "rows + columns", 24, 3),
        # Every k steps the slow weights are read and written: 8 bytes.
        (rules.ranger(), "3", 28 + 8 / 6, 1),
        (rules.rangerlars(), "3", 40 + 8 / 6, 2),
        (wrappers.lookahead(rules.adam(), k=7), "3", 28 + 8 / 7, 1),
        (wrappers.lookahead(rules.sgd(), k=1), "1", 12 + 8, 1),
        # The mean of the gradient takes a pass of its own; with l2 that is a mean of g + λp.
        (wrappers.centralize(rules.adamw()), "2", 32, 2),
        (wrappers.centralize(rules.adam()), "2", 36, 2),
    ],
)
def test_cost_of_matrices(rule: Rule, state: str, size: float, passes: int) -> None:
    known = facts(rule)
    assert known.state == state
    assert known.bytes() == pytest.approx(size)
    assert known.bytes("float64") == pytest.approx(2 * size)
    assert known.passes == passes


def test_vectors() -> None:
    known = facts(rules.adafactor(), 1)
    assert known.rank_matters
    assert known.states == {"v": Kind.ELEMENT}
    assert (known.state, known.bytes(), known.passes) == ("1", 32, 2)
    assert facts(wrappers.centralize(rules.adam()), 1).bytes() == 28


def test_sweeps() -> None:
    known = facts(rules.lamb())
    first, second = known.paths[known.usual].sweeps
    assert first.reads == ("g", "p", "m", "v")
    assert set(first.writes) == {"m", "v"}
    assert first.sums == {"tensor": 2}
    assert (second.reads, second.writes, second.sums) == (("p", "m", "v"), ("p",), {})
    factored = facts(rules.adafactor())
    assert factored.paths[factored.usual].sweeps[0].sums == {"row": 1, "column": 1, "tensor": 1}


def test_paths() -> None:
    """Which kernels there are, when they run, and which these values never lead to."""
    known = facts(rules.sgd())
    assert [(path.when, path.share, path.taken) for path in known.paths] == [
        ("μ = 0", 1.0, True),
        ("μ ≠ 0 and there is a v", 0.0, False),
        ("μ ≠ 0 and there is no v yet", 0.0, False),
    ]
    known = facts(rules.radam())
    assert known.usual == 0
    assert [path.taken for path in known.paths] == [True, True]
    known = facts(rules.ranger())
    assert sum(path.share for path in known.paths) == pytest.approx(1)
    assert known.paths[known.usual].when == "ρ > 4 and there is a φ and t mod k ≠ 0"


@pytest.mark.parametrize("name", registry.names())
def test_every_row(name: str) -> None:
    """Every row and variant has its facts, its documentation, and every keyword documented."""
    entry = registry.lookup(name)
    options: list[dict[str, Any]] = [{"variant": v} for v in entry.variants] or [{}]
    for given in options:
        for ndim in () if entry.bind().matrix else (1, 2):
            known = facts(entry.bind(**given), ndim)
            assert known.bytes() >= 12
            assert known.passes >= 1
            assert set(known.states) <= set(known.plans[0].kinds) | set().union(
                *(plan.kinds for plan in known.plans)
            )
        docs = documentation(entry.rule)
        assert docs.title.endswith(".")
        assert docs.formula
        assert docs.source
        for arg in arguments(entry, given):
            assert docs.text(arg.name)[1], arg.name
            assert "as in `" not in arg.text


def test_documentation() -> None:
    docs = documentation(rules.adamw)
    assert docs.title == "AdamW: Adam whose weight decay is not divided by the gradient's size."
    assert docs.text("betas")[1] == documentation(rules.adam).text("betas")[1]
    assert docs.text("weight_decay")[1] == "λ; default torch's."
    assert documentation(rules.adafactor).notes[0].startswith("A matrix is")


@pytest.mark.parametrize(
    ("reach", "when", "not_when"),
    [
        ("Reach for it in May. Not in June: it rains.", "Reach for it in May.",
         "Not in June: it rains."),
        ("Reach for it in May. In June\n    it rains. Not for networks. Nor for trees.",
         "Reach for it in May. In June it rains.", "Not for networks. Nor for trees."),
        ("Reach for it where Not-a-Number is. Notable: it rains.",
         "Reach for it where Not-a-Number is. Notable: it rains.", ""),
    ],
)  # fmt: skip
def test_when_and_when_not(reach: str, when: str, not_when: str) -> None:
    def factory() -> None: ...

    factory.__doc__ = f"""Title.

    .. math:: a
              b

    A note.

    {reach}

    >>> 1
    1

    Source: nobody, nowhere.
    """
    docs = documentation(factory)
    assert (docs.when, docs.not_when) == (when, not_when)
    assert (docs.title, docs.formula, docs.notes) == ("Title.", "a b", ("A note.",))
    assert docs.source == "nobody, nowhere."


def test_definitions() -> None:
    """One for all parameters, or one for matrices and one for the rest."""
    assert [*definitions(registry.lookup("adam"), {})] == [""]
    forms = definitions(registry.lookup("adafactor"), {"variant": "paper"})
    assert [*forms] == list(WHERE.values())
    assert forms["matrices"].states == {"R": "R", "C": "C"}
    momentum = definitions(registry.lookup("momentum"), {})[""]
    assert not any("μ = 0" in line for line in momentum.lines)


def test_needs() -> None:
    assert needs(rules.adam()) == ""
    rule = Rule(lambda p, g, s, t, h: (g, {}), {"lr": 1.0, "k": 3}, inputs={"curvature": "k"})
    assert needs(rule) == "curvature every k steps"


def test_state_for_each_element() -> None:
    """Rows, columns and single numbers do not count."""
    assert facts(rules.nadam()).per_element == 2
    assert facts(rules.adafactor()).per_element == 0
    assert facts(rules.adafactor(), 1).per_element == 1
    assert facts(rules.lamb()).cost == "40 bytes, 2 passes"
    assert facts(rules.sgd()).cost == "12 bytes, 1 pass"


def test_arguments() -> None:
    entry = registry.lookup("nesterov")
    values = {arg.name: arg.value for arg in arguments(entry, {"dampening": 0})}
    assert values["momentum"] == 0.9
    assert values["nesterov"] is True
    assert values["dampening"] == 0
    official = arguments(registry.lookup("ranger"), {"variant": "official"})
    values = {arg.name: arg.value for arg in official}
    assert values["betas"] == (0.95, 0.999)  # what None stands for
    assert values["k"] == 6
    assert values["variant"] == "official"


def test_undocumented() -> None:
    def factory(lr: float = 1.0) -> Rule:
        return rules.sgd(lr)

    docs = documentation(factory)
    assert (docs.title, docs.when, docs.not_when, docs.text("lr")) == ("", "", "", ("lr", ""))
