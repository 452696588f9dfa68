"""From Triton source to functions to launch; Triton compiles each at its first launch."""

from __future__ import annotations

import itertools
import linecache
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import triton
import triton.language as tl

from ...plan import Plan
from . import functions
from .emit import Text, emit, module


@dataclass(frozen=True)
class Stage:
    """One stage: a function to launch, with a program for each chunk or each tensor."""

    run: Any
    per_chunk: bool


@dataclass(frozen=True)
class Kernel:
    """The stages of a plan, in order; a segment is what lies between two breaks."""

    stages: tuple[Stage, ...]
    segments: tuple[slice, ...]
    source: str


_known: dict[str, Any] = {}  # every function of this process, by its text


def compile_plans(wanted: Iterable[tuple[Plan, str]]) -> list[Kernel]:
    """The kernels of plans for a dtype each."""
    kernels = []
    for plan, dtype in wanted:
        segments = emit(plan, dtype)
        texts = [text for segment in segments for text in segment]
        ends = list(itertools.accumulate(map(len, segments), initial=0))
        cuts = tuple(slice(lo, hi) for lo, hi in itertools.pairwise(ends))
        stages = tuple(Stage(function(text), text.per_chunk) for text in texts)
        kernels.append(Kernel(stages, cuts, module(texts)))
    return kernels


def function(text: Text) -> Any:
    """The last function of a text, made once."""
    if text.body not in _known:
        # Triton asks inspect for a function's source, which finds it among the lines of linecache.
        name = f"<glissade {text.name} {len(_known)}>"
        linecache.cache[name] = (len(text.body), None, text.body.splitlines(True), name)
        scope = {"triton": triton, "tl": tl, "f": functions, "__name__": __name__}
        exec(compile(text.body, name, "exec"), scope)
        _known[text.body] = scope[text.name]
    return _known[text.body]
