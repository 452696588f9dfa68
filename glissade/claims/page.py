"""The page docs/claims.md: each claim with its verdict, interval, picture and command."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

HEAD = """<!-- Written by `glissade claims --page`: do not edit. -->

# Claims put to the test

What lectures and papers say each method is good for, as small experiments that can fail. For each,
what is run, what is measured and the threshold are in `plan.json` before anything runs; the verdict
follows from the 95 % interval over seeds: *reproduced* if it lies above the threshold, *not
reproduced* if below, else *inconclusive*. All of it is small; a claim that is not reproduced here
may hold at the scale of its paper, and one that is reproduced here may not.

`make claims` runs all of them; `glissade claims NAME` runs one, and `glissade claims` lists them.
"""


def page(records: Sequence[dict[str, Any]], pictures: str) -> str:
    """The page's text; `pictures` is the folder of the pictures, seen from the page."""
    lines = [HEAD, "| claim | verdict | what was measured |", "| --- | --- | --- |"]
    for one in records:
        said = "<br>".join(_part(part) for part in one["parts"])
        lines.append(f"| [{one['name']}](#{one['name']}) | **{one['verdict']}** | {said} |")
    for one in records:
        lines += [
            "", f"## {one['name']}", "",
            f"**{one['verdict'].capitalize()}.** {one['saying']}", "",
            f"[![{one['name']}]({pictures}/{one['name']}.png)]({pictures}/{one['name']}.png)", "",
            *(f"- {_part(part)}: {part['verdict']}" for part in one["parts"]), "",
            *([f"The best learning rate of {' and '.join(one['edges'])} is at an end of its range: "
               "nothing is concluded.", ""] if one["edges"] else []),
            f"Source: {one['source']}. Tried on {one['scale']}. {one['plan']} "
            f"`glissade claims {one['name']}`, {one['seconds']:.0f} s of training.",
        ]  # fmt: skip
    return "\n".join(lines) + "\n"


def _part(part: dict[str, Any]) -> str:
    low, high = (_said(x) for x in part["interval"])
    return f"{part['what']}: {_said(part['typical'])} ({low} to {high})" + (
        f", threshold {part['threshold']:g}" if part["threshold"] else ""
    )


def _said(x: float | None) -> str:
    return "lost runs" if x is None else f"{x:.3g}".replace("-", "−")


def write(path: Path, records: Sequence[dict[str, Any]], pictures: str) -> None:
    path.write_text(page(records, pictures), encoding="utf-8")
