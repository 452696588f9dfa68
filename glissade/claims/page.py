"""The page docs/claims.md: each claim with its verdict, interval, picture and command."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from glissade.claims import words
from glissade.study import units

HEAD = """<!-- Written by `glissade claims --page`: do not edit. -->

# Claims put to the test

What lectures and papers say each method is good for, as small experiments that can fail.

What is run, what is measured and the threshold are in `plan.json` before anything runs. The verdict
follows from the 95&nbsp;% interval of each number, in brackets behind it: *reproduced* if all of it
is above the threshold, *not reproduced* if below, else *inconclusive*; the threshold is 0 where no
other is named. It is the interval of the seeds: learning rates are chosen on the same seeds, by
validation, and the luck of that choice is not in it. A number without an interval is of a
computation without chance; ∞ stands for lost runs.

All of it is small: a claim that is not reproduced here may hold at the scale of its paper, and one
that is reproduced here may not.

`make claims` runs all of them, `glissade claims NAME` one; `glissade claims` lists them.

## Overview
"""
VERDICTS = ("reproduced", "not reproduced", "inconclusive")
SHOWN = 560  # pixels a picture is wide, where the screen has so many


def page(records: Sequence[dict[str, Any]], pictures: str) -> str:
    """The page's text; `pictures` is the folder of the pictures, seen from the page."""
    blocks = [HEAD]
    for verdict in VERDICTS:
        group = [one for one in records if one["verdict"] == verdict]
        if group:
            lines = [f"### {verdict.capitalize()}: {len(group)}", ""]
            lines += [f"- [{one['name']}](#{one['name']}): {one['saying']}" for one in group]
            blocks.append("\n".join(lines) + "\n")
    blocks += [_claim(one, pictures) for one in records]
    return "\n".join(blocks)


def _claim(one: dict[str, Any], pictures: str) -> str:
    name = one["name"]
    picture = f"{pictures}/{name}.png"
    blocks = [
        f"## {name}",
        f"**{one['verdict'].capitalize()}.** {one['saying']}",
        *filter(None, [words.edges(one["edges"])]),
        f"*Source:* {one['source']}.",
        f'[<img src="{picture}" alt="{name}: {one["verdict"]}" width="{SHOWN}">]({picture})',
        "\n".join(f"- {_part(part)}" for part in one["parts"]),
        f"*What was run:* tried on {one['scale']}. {one['plan']}",
        f"`glissade claims {name}`: {units.seconds(one['seconds'])} of computing. "
        "[Overview](#overview)",
    ]
    return "\n\n".join(blocks) + "\n"


def _part(part: dict[str, Any]) -> str:
    said = words.measured(
        part["typical"], part["interval"], part["verdict"], part["threshold"], len(part["each"])
    )
    return f"{part['what']}: {said}: **{part['verdict']}**"


def write(path: Path, records: Sequence[dict[str, Any]], pictures: str) -> None:
    path.write_text(page(records, pictures), encoding="utf-8")
