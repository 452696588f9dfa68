"""What `glissade advise` says, in words."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from rich.console import Console

from glissade.describe import number
from glissade.evidence import RARE
from glissade.registry import lookup
from glissade.study import units
from glissade.study.advise.advice import Advice, Candidate
from glissade.study.advise.decide import Decision
from glissade.study.advise.earlier import said
from glissade.study.advise.fit import State
from glissade.study.advise.look import LARGE
from glissade.study.advise.reasons import curvature, curved
from glissade.study.prose import hang
from glissade.study.task import Prepared
from glissade.study.units import size

SHOWN, REPORTS = 3, 6  # earlier comparisons; reports of authors


@dataclass
class Page:
    """Four parts: limits, evidence, candidates, the command."""

    console: Console
    task: Prepared
    found: Advice
    decision: Decision | None
    memory: str | None  # as it was typed

    def show(self) -> None:
        self._model()
        self._limits()
        self._evidence()
        self._candidates()
        self._command()

    def _head(self, text: str) -> None:
        self.console.print(f"\n{text}", style="bold green", highlight=False, markup=False)

    def _say(self, text: str, left: int = 2) -> None:
        hang(self.console, "", text, left)

    def _items(self, head: str, texts: Iterable[str], left: int = 2) -> None:
        """A head and lines under it, each with a dash."""
        texts = list(texts)
        if texts and head:
            self._say(head, left)
        for text in texts:
            hang(self.console, "- ", text, left)

    def _line(self, text: str, style: str = "") -> None:
        """A line that is not broken."""
        self.console.print(text, style=style, soft_wrap=True, highlight=False, markup=False)

    # Parts

    def _model(self) -> None:
        task, look = self.task, self.found.look
        self.console.print(
            f"{task.title}: batches of {task.train.size}", style="bold", highlight=False,
            markup=False,
        )  # fmt: skip
        self._head("Your model")
        self._say(kind(look.kinds, look.because))
        if task.train.size >= LARGE:
            self._say(f"The batch is a large one: {task.train.size:,} examples, from {LARGE:,} on.")
        self._say(
            f"{look.parameters:,} parameters in {len(look.params)} tensors, "
            f"{' and '.join(look.dtypes)}, on {look.device}."
        )

    def _limits(self) -> None:
        found, look = self.found, self.found.look
        limit = (
            ""
            if found.limit is None
            else f" to fit into {self.memory}{_also(self.memory, found.limit)}"
        )
        self._head(f"Hard limits{':' if limit else ''}{limit}")
        if look.sparse:
            self._items("", [
                f"{_and(look.sparse)}: sparse gradients, which no optimizer here takes: \"its "
                "gradient is sparse (torch.sparse_coo), which adamw cannot take: make the layer "
                "with sparse=False\". Do that: all gradients, dense, take "
                f"{size(look.gradient_bytes)}, which is reckoned with below. If that is too much, "
                "torch.optim.SparseAdam takes sparse ones."
            ])  # fmt: skip
        if look.sharded:
            self._items("", [
                f"{len(look.sharded)} parameters are sharded (DTensor): figures are for this "
                "process's shards, and no step was tried on them."
            ])  # fmt: skip
        on_top = (
            "activations could not be measured here: they come on top"
            if look.activations is None
            else f"forward and backward on a batch of {self.task.train.size} "
            f"{size(look.activations)} more (measured)"
        )
        self._say(
            f"Before any optimizer: parameters and buffers {size(look.model_bytes)}, gradients "
            f"{size(look.gradient_bytes)}, {on_top}: {size(look.before_state)} in all."
        )
        if found.limit is not None and look.before_state > found.limit:
            self._say(
                "That alone is too much, whatever the optimizer: take a smaller --batch, or "
                "parameters in bfloat16, or recompute activations (torch.utils.checkpoint)."
            )
        self._states("Their state, which comes on top:", found.states)
        if found.large:
            self._states(
                f"Too large for {self.memory}, with what they need in all:", found.large, True
            )
        self._items("They would fit with their state in fewer bits:", [
            f"{x.label}: state_dtype=\"{x.state_dtype}\" keeps {size(x.state_bytes)}, "
            f"{size(x.needs)} in all" for x in found.lower
        ])  # fmt: skip
        self._items("Ask for more than a gradient:", self._more())
        self._items("Cannot run on this:", [f"{label}: {why}" for label, why in found.refused])
        if found.limit is None:
            self._say("Nothing is left out for its size: give --memory, as in --memory 8GB.")

    def _more(self) -> list[str]:
        """Of those that fit: what they need beside gradients, and what half precision loses."""
        found, out = self.found, []
        for state in found.states:
            if curved(state.spec):
                out.append(f"{state.spec.label}: {curvature(state.spec, self.task)}")
            if state.spec.name == "newton":
                n = found.look.parameters
                out.append(
                    f"Newton: a closure that returns the loss; each step takes {n:,} backward "
                    "passes, for a Hessian of all of them"
                )
        if {"bfloat16", "float16"} & set(found.look.dtypes):
            out.append(
                "Parameters in half precision lose changes under a 500th of them: "
                "stochastic_rounding=True (bfloat16), or glissade.wrappers.master_weights, which "
                "keeps 4 bytes more for each"
            )
        return out

    def _states(self, head: str, states: Sequence[State], needs: bool = False) -> None:
        """A line for each size, with all that have it."""
        groups: list[list[State]] = []
        total = max(1, self.found.look.parameters)
        for x in states:
            same = [
                some for some in groups
                if abs(some[0].bytes - x.bytes) <= 0.01 * x.bytes and some[0].passing == x.passing
            ]  # fmt: skip
            same[0].append(x) if same else groups.append([x])
        lines = []
        for some in groups:
            first = some[0]
            passing = f", {size(first.passing)} more in passing" if first.passing else ""
            in_all = f", {size(self.found.needs(first))} in all" if needs else ""
            names = ", ".join(x.spec.label for x in some)
            each = number(first.bytes / total)
            lines.append(
                f"{size(first.bytes)} ({each} bytes a parameter){passing}{in_all}: {names}"
            )
        self._items(head, lines)

    def _evidence(self) -> None:
        found = self.found
        self._head("Evidence")
        if found.earlier:
            self._items("Your own comparisons of this task, which count most:", [
                said(one) for one in found.earlier[:SHOWN]
            ])  # fmt: skip
        else:
            self._say("You have not compared optimizers on this task yet: nothing counts more.")
        if found.reports:
            named = {x.optimizer for x in found.candidates}
            ordered = sorted(found.reports, key=lambda x: x.name not in named)
            self._items("What authors report of their own methods, on models of such a kind:", [
                f"{lookup(x.name).label}: {x.said}; on {x.scale} ({x.source})"
                for x in ordered[:REPORTS]
            ])  # fmt: skip
            self._say("None of it was measured here, and what one task shows another may not.")
        else:
            self._say("No paper cited in this library reports on a model of such a kind.")

    def _candidates(self) -> None:
        found = self.found
        many = len(found.candidates)
        if not many:
            self._head("Candidates: none")
            self._say("Nothing that is worth a look fits. See above for what would change that.")
            return
        self._head("Candidates" if many > 1 else "Candidate")
        if found.decided is not None:
            self._say(
                f"One, as your own comparison has decided it: {found.decided.folder}, and the "
                "task has not changed since."
            )
        elif found.reports:
            own = "What your own comparisons left, then what" if found.earlier else "What"
            self._say(
                f"{own} is usual for such a model and fits; add others to -o where the evidence "
                "speaks for them."
            )
        for place, one in enumerate(found.candidates, 1):
            self._candidate(place, one)
        self._items("", found.notes)

    def _candidate(self, place: int, one: Candidate) -> None:
        self.console.print(f"  {place}. {one.label}", style="bold", highlight=False, markup=False)
        hang(self.console, "begin with   ", one.start.text, 5)
        self._say(one.start.whose[0].upper() + one.start.whose[1:] + ".", 18)
        moved = f"; a step moves {number(one.moved)} bytes a parameter" if one.moved else ""
        took = "" if one.step_ms is None else (
            f", and takes {units.digits(one.step_ms)} ms on one thread "
            f"({_share(one.step_ms, 1e3 * self.found.look.seconds)} of a training step)"
        )  # fmt: skip
        hang(self.console, "state        ", f"{size(one.state_bytes)}{moved}{took}", 5)
        self._items("for it", one.why, 5)
        self._items("against it", one.against, 5)

    def _command(self) -> None:
        found, one = self.found, self.decision
        self._head("What to do next")
        if one is None:
            if found.candidates:
                self._say(f"Train with {found.candidates[0].start.text}.")
            else:
                self._say(f"Change what has to fit into {self.memory}, as said above; ask again.")
            return
        self._say(
            "Nothing above decides between them on your task. This comparison does: "
            f"{one.runs} runs of {one.steps} steps, about {units.seconds(one.seconds)} on this "
            f"machine, {one.workers} at a time:"
        )
        self._line(f"\n  {one.command}\n", "bold")
        self._say(
            f"With {one.seeds} fresh seeds a difference can be declared (from {one.fewest} on)"
            + (
                ", twice as many as in your comparison that found none between them. "
                if found.open_after
                else ". "
            )
            + "Learning rates and decays are tuned there: what is said above is where to look. Add "
            "--dry-run to see its plan first; run `advise` again afterwards."
        )
        if one.small:
            self._say(
                "It is smaller than usual to save time: fewer trials find worse settings, so that "
                "an optimizer that is hard to tune may lose for that reason."
            )
        if found.look.sparse:
            self._say("It runs once the layers are made with sparse=False.")


def kind(kinds: Sequence[str], because: str) -> str:
    """What a model looks like, and by what."""
    if not kinds:
        return (
            f"It is of no kind that is known here ({because or 'no usual layer was found'}): "
            "evidence for other models may not hold for it."
        )
    first = f"It looks like a {kinds[0]}"
    more = [x for x in kinds[1:] if x == RARE]
    return f"{first}{' and a ' + more[0] if more else ''}: it has {because}."


def _share(step: float, gradient: float) -> str:
    share = 100 * step / (step + gradient)
    return f"{share:.0f} %" if share >= 1 else "under 1 %"


def _also(typed: str | None, limit: int) -> str:
    """A decimal limit in binary units."""
    return "" if typed is None or "i" in typed else f" ({size(limit)})"


def _and(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
