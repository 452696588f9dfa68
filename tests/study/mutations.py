"""What can happen to a file: bytes that change, and values that do."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from hypothesis import strategies as st

VALUES = (None, True, 0, 3, -1, 2.5, 1e308, 10**400, "x", "", [], [1, "x"], {}, {"a": [None]})


@st.composite
def bytes_changed(draw: st.DrawFn, content: bytes) -> bytes:
    """One place of a file in other bytes: changed, cut off, left out, doubled or added."""
    at = draw(st.integers(0, max(0, len(content) - 1)))
    to = min(len(content), at + draw(st.integers(1, 200)))
    kind = draw(st.sampled_from(["change", "digit", "cut", "leave out", "double", "add"]))
    if kind == "change":
        return content[:at] + draw(st.binary(min_size=1, max_size=3)) + content[at + 1 :]
    if kind == "digit":  # it stays JSON
        digits = [i for i, byte in enumerate(content) if chr(byte).isdigit()]
        if not digits:
            return content
        at = draw(st.sampled_from(digits))
        return content[:at] + str(draw(st.integers(0, 9))).encode() + content[at + 1 :]
    if kind == "cut":
        return content[:at]
    if kind == "leave out":
        return content[:at] + content[to:]
    if kind == "double":
        return content[:to] + content[at:]
    return content[:at] + draw(st.binary(max_size=20)) + content[at:]


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Paths to all that a record holds."""
    items = (
        value.items()
        if isinstance(value, dict)
        else enumerate(value)
        if isinstance(value, list)
        else ()
    )
    for name, x in items:
        yield (*path, name)
        yield from places(x, (*path, name))


@st.composite
def value_changed(draw: st.DrawFn, record: Any) -> Any:
    """A record in which one value is another, or has gone, or has another name."""
    copy = json.loads(json.dumps(record))
    every = [*places(copy)]
    if not every:
        return copy
    *above, name = draw(st.sampled_from(every))
    within = copy
    for x in above:
        within = within[x]
    kind = draw(st.sampled_from(["other", "near", "gone", "renamed"]))
    old = within[name]
    if kind == "gone":
        del within[name]
    elif kind == "renamed" and isinstance(within, dict):
        within[f"{name}_"] = within.pop(name)
    elif kind == "near" and isinstance(old, (int, float)):
        within[name] = old + draw(st.sampled_from([1, -1, 1e-9]))
    else:
        within[name] = draw(st.sampled_from(VALUES))
    return copy


@st.composite
def file_changed(draw: st.DrawFn, content: bytes, lines: bool = False) -> bytes:
    """A file of JSON, or of a JSON object a line, to which something has happened."""
    kind = draw(st.sampled_from(["bytes", "value", *(["lines"] if lines else [])]))
    if kind == "bytes":
        return draw(bytes_changed(content))
    rows = content.splitlines(keepends=True) if lines else [content]
    if not rows:
        return content
    at = draw(st.integers(0, len(rows) - 1))
    if kind == "lines":
        other = draw(st.integers(0, len(rows) - 1))
        rows[at], rows[other] = rows[other], rows[at]
        return b"".join(rows[draw(st.integers(0, 1)) :])
    try:
        record = json.loads(rows[at])
    except ValueError:  # something has happened to it already
        return content
    rows[at] = json.dumps(draw(value_changed(record))).encode() + b"\n"
    return b"".join(rows)
