"""From a plan to LLVM IR, vectors written out: no loop is left for a vectoriser to guess at.

One function a stage (each pass, each finish that has work) handles one part of the chunks or
tensors; `team.py` calls them in order, the parts shared out over threads. The ends of arrays go
through the same code under a mask, so an element's result does not depend on where it lies. Sums
are taken in double, per chunk, and added in the order of the chunks: any number of threads gives
the same bits.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from llvmlite import ir

from ...graph import Node
from ...plan import Pass, Plan
from ..layout import Layout, stages
from .finishing import Finishing
from .passing import Passing
from .stage import Stage
from .target import Target

NAME = '@"stage"'  # of every function until it is known which others it is compiled with


@dataclass(frozen=True)
class Text:
    """The IR of one stage: two with the same body are the same code."""

    name: str
    body: str
    declares: tuple[str, ...]

    def named(self, name: str) -> str:
        """The function under a name of its own."""
        return self.body.replace(NAME, f'@"{name}"', 1)


def emit(plan: Plan, dtype: str, target: Target) -> list[list[Text]]:
    """The stages in the order they run in, a list for what lies between two breaks; `dtype` is
    that of parameters and gradients."""
    layout = Layout(plan)

    def finish(name: str, values: Sequence[Node], stores: Mapping[str, Node]) -> Text:
        finishing = Finishing(ir.Module(), "stage", layout, dtype, target)
        finishing.emit(values, stores)
        return _text(name, finishing)

    def sweep(name: str, work: Pass) -> Text:
        passing = Passing(ir.Module(), "stage", layout, dtype, target)
        passing.emit(work)
        return _text(name, passing)

    return stages(plan, finish, sweep)


def _text(name: str, stage: Stage) -> Text:
    others = [f for f in stage.module.functions if f is not stage.fn]
    return Text(name, str(stage.fn), tuple(str(f).strip() for f in others))


def module(functions: Iterable[tuple[str, Text]]) -> str:
    """One module of several functions, each under its name."""
    named = list(functions)
    declares = dict.fromkeys(d for _, text in named for d in text.declares)
    return "\n\n".join([*declares, *(text.named(name) for name, text in named)])
