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

What is run, what is measured and its threshold are written to `plan.json` before anything runs. A
number is the typical one over seeds (Hodges-Lehmann), with its 95&nbsp;% bootstrap interval in
brackets after it. A measure is *reproduced* if all of the interval is above its threshold, *not
reproduced* if below, else *inconclusive*; the threshold is 0 where no other is named. A claim is
reproduced if all of its measures are, and not reproduced if one of them is not; it is inconclusive
where the best setting lies at an end of its range, too.

The interval reflects the seeds, that is first weights and the order of batches, and nothing else.
All of them share one split of the data: on the digits, one of 360 test images is 0.28 points.
Learning rates are chosen by validation on the same seeds; the luck of that choice is not in it.
Plans that were mended after a first run say so: take their verdicts as exploratory. A number
without an interval comes from a computation without chance.

All of it is small, and on a CPU: a claim that is not reproduced here may hold at the scale of its
paper, and one that is reproduced here may not. Where nothing else is said, batches are of 64,
learning rates are constant and all else is an optimizer's default. Pictures show the validation
part, on which settings are chosen; measures are of the test part.

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
        f"*What was run:* {seeds(one)}{one['scale']}. {one['plan']}",
        f"`glissade claims {name}`: {units.seconds(one['seconds'])} of computing. "
        "[Overview](#overview)",
    ]
    return "\n\n".join(blocks) + "\n"


def seeds(one: dict[str, Any]) -> str:
    return f"{one['seeds']} seeds; " if one["seeds"] > 1 else ""


def _part(part: dict[str, Any]) -> str:
    said = words.measured(
        part["typical"],
        part["interval"],
        part["verdict"],
        part["threshold"],
        len(part["each"]),
        part["base"],
    )
    return f"{part['what']}: {said}: **{part['verdict']}**"


def write(path: Path, records: Sequence[dict[str, Any]], pictures: str) -> None:
    path.write_text(page(records, pictures), encoding="utf-8")
