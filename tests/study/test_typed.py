"""Data of JSON that have another type than they should have."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypedDict

import pytest

from glissade.study.typed import Damaged, conform


@dataclass(frozen=True)
class Inner:
    at: int
    each: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        if self.at < 0:
            raise ValueError("at must be 0 or greater")


@dataclass(frozen=True)
class Outer:
    name: str
    size: int | Literal["full"]
    inner: Inner | None
    pairs: list[tuple[int, float]]
    by_name: Mapping[str, bool]


class Open(TypedDict):
    inner: Inner
    more: Any


GOOD = {
    "name": "x", "size": "full", "inner": {"at": 1, "each": [1, 2.5]}, "pairs": [[1, 2]],
    "by_name": {"a": True},
}  # fmt: skip


def test_good_data_come_back_as_the_type() -> None:
    found = conform(Outer, GOOD)
    assert found == Outer("x", "full", Inner(1, (1.0, 2.5)), [(1, 2.0)], {"a": True})
    assert found.inner is not None
    assert type(found.inner.each[0]) is float
    assert conform(Open, {"inner": {"at": 1}, "more": 3, "other": 4}) == {
        "inner": Inner(1), "more": 3, "other": 4,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"name": 3}, "name=3: must be a text"),
        ({"size": True}, "size=True: must be a whole number or 'full'"),
        ({"size": 2.0}, "size=2.0: must be a whole number or 'full'"),
        ({"size": "half"}, "size='half': must be"),
        ({"inner": 3}, "inner=3: must be an object"),
        ({"inner": {}}, "inner.at is missing"),
        ({"inner": {"at": -1}}, "inner: at must be 0 or greater"),
        ({"inner": {"at": 1, "each": [1, None]}}, "inner.each[1]=None: must be a number"),
        ({"inner": {"at": 1, "each": [float("inf")]}}, "inner.each[0]=inf: must be a number"),
        ({"inner": {"at": 1, "each": [10**400]}}, "must be a number"),
        ({"inner": {"at": 1, "eahc": []}}, "inner.eahc is unknown; known are at, each"),
        ({"size": 10**400}, "must be a whole number"),
        ({"pairs": {"a": 1}}, "pairs={'a': 1}: must be a list"),
        ({"pairs": [[1]]}, "pairs[0] holds 1 values, where 2 belong"),
        ({"by_name": {"a": 1}}, "by_name.a=1: must be true or false"),
        ({"by_name": [1]}, "by_name=[1]: must be an object"),
    ],
)
def test_another_type_is_taken(values: dict[str, object], said: str) -> None:
    with pytest.raises(Damaged) as raised:
        conform(Outer, {**GOOD, **values})
    assert said in str(raised.value)


def test_a_missing_key_is_not_missed() -> None:
    with pytest.raises(Damaged, match="more is missing"):
        conform(Open, {"inner": {"at": 1}})
    with pytest.raises(Damaged, match="it=3: must be an object"):
        conform(Open, 3)
