"""Which optimizers to compare on a task: hard limits, then evidence, then two or three candidates.

Nothing is decided here but by an earlier comparison of the same task: papers speak of other tasks.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from glissade import evidence
from glissade.evidence import Report
from glissade.spec import Spec, specs
from glissade.study.advise import fit, recipes
from glissade.study.advise.earlier import Earlier
from glissade.study.advise.fit import State
from glissade.study.advise.look import LARGE, Look
from glissade.study.advise.reasons import against, plain, start, why
from glissade.study.advise.recipes import Start
from glissade.study.cost import worker as cost_worker
from glissade.study.cost.measure import ALL, reason
from glissade.study.cost.worker import Batch, Bench
from glissade.study.task import Prepared

MOST = 3  # candidates
SMALL = 5_000_000  # parameters up to which a step is tried
LOWER = ("bfloat16", "int8")


@dataclass(frozen=True)
class Candidate:
    """An optimizer worth comparing."""

    optimizer: str  # for -o, with what is tuned left open
    label: str
    start: Start
    state_bytes: int
    needs: int  # bytes at the peak: model, gradients, activations, state
    moved: float  # bytes to and from memory in a step, for each parameter
    step_ms: float | None  # tried, on one thread
    why: tuple[str, ...]
    against: tuple[str, ...]


@dataclass(frozen=True)
class Lower:
    """An optimizer that would fit with its state in fewer bits."""

    label: str
    state_dtype: str
    state_bytes: int
    needs: int


@dataclass
class Advice:
    """All that is advised."""

    look: Look
    limit: int | None  # bytes
    states: list[State]  # of all that could run, the least first
    refused: list[tuple[str, str]]  # label, why
    large: list[State]  # that do not fit
    lower: list[Lower]
    reports: list[Report]
    earlier: list[Earlier]
    decided: Earlier | None = None  # the comparison that settles it
    candidates: list[Candidate] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def needs(self, state: State) -> int:
        """Bytes at the peak with an optimizer's state."""
        return self.look.before_state + state.bytes + state.passing

    @property
    def open_after(self) -> int:
        """Seeds after which a comparison of these very candidates had found no winner; 0: none."""
        names = {x.optimizer for x in self.candidates}
        return max(
            (x.seeds for x in self.earlier
             if not x.changed and names <= {plain(arm) for arm in x.arms}),
            default=0,
        )  # fmt: skip


def advise(
    task: Prepared, batch: Batch, look: Look, limit: int | None, earlier: Sequence[Earlier]
) -> Advice:
    """Limits, evidence and candidates for a task whose model has been looked at."""
    found = Advice(look, limit, [], [], [], [], [], list(earlier))
    by_name: dict[str, State] = {}
    for spec in specs(ALL):
        state = fit.state(spec, look.params)
        by_name[spec.text] = state
        if not state.fine:
            found.refused.append((spec.label, reason(spec, state.why)))
        elif limit is not None and found.needs(state) > limit:
            found.large.append(state)
        else:
            found.states.append(state)
    for some in (found.states, found.large):
        some.sort(key=lambda state: state.bytes)
    found.reports = [x for x in evidence.EVIDENCE if _speaks(x, look, task.train.size)]
    newest = next((x for x in earlier if not x.changed), None)
    if newest is not None and newest.winner is not None:
        found.decided = newest
    found.lower = _lower(found, task.train.size)
    _candidates(found, task, batch, by_name)
    return found


def _speaks(report: Report, look: Look, batch: int) -> bool:
    large = batch >= LARGE or not report.large_batch
    return large and bool(set(report.kinds) & set(look.kinds))


def _lower(found: Advice, batch: int) -> list[Lower]:
    """Of those worth a look that do not fit: in how many bits they would."""
    out = []
    worth = recipes.worth(found.look.kind, batch)
    for state in found.large:
        if state.spec.name not in worth or found.limit is None:
            continue
        for dtype in LOWER:
            low = fit.state(state.spec, found.look.params, dtype)
            if low.fine and found.needs(low) <= found.limit:
                out.append(Lower(state.spec.label, dtype, low.bytes, found.needs(low)))
                break
    return out


def _candidates(found: Advice, task: Prepared, batch: Batch, by_name: dict[str, State]) -> None:
    """Two or three: what an own comparison has left, what evidence and habit name, what fits."""
    beaten: dict[str, str] = {}
    first: list[str] = []
    for one in found.earlier:
        # An optimizer is beaten if it is so with every schedule it had.
        kept = {plain(arm) for arm in one.arms if arm not in one.beaten}
        for x in one.found if not one.changed else ():
            if plain(x.loser) not in kept:
                beaten.setdefault(plain(x.loser), f"{one.labels[x.winner]} beat it in {one.folder}")
        left = [plain(arm) for arm in one.arms if arm not in one.beaten]
        first += left[:1] if one.changed else left  # of something else only a hint
    settled = found.decided is not None
    if found.decided is not None:
        arm = found.decided.winner or ""
        first = [plain(arm)]
        if " @ " in arm:
            found.notes.append(f"It won with a schedule, which belongs to it: {arm}.")
    usually = [] if settled else recipes.worth(found.look.kind, task.train.size)
    names = dict.fromkeys([*first, *usually])
    fine = {state.spec.text for state in found.states}
    saving = () if settled else recipes.SAVING
    tries: list[str] = [*names, *(x for x in saving if x not in names)]
    for number, text in enumerate(tries):
        usual = number < len(names)
        if len(found.candidates) >= (1 if settled else MOST if usual else 2):
            break
        try:
            (spec,) = specs(text)
        except ValueError:
            continue
        state = by_name.get(text) or fit.state(spec, found.look.params)
        fits = found.limit is None or found.needs(state) <= found.limit
        if text not in by_name and state.fine and fits:
            fine.add(text)
        if text not in fine or text in beaten:
            if text in beaten and usual:
                found.notes.append(f"{spec.label} is not among them: {beaten[text]}.")
            continue
        if spec.name == "sophia" and not hasattr(task.task, "logits") and not first:
            continue  # its evidence is for the estimate from logits
        step_ms, error = _tried(found.look, task, batch, spec)
        if error:
            found.refused.append((spec.label, reason(spec, error)))
            continue
        found.candidates.append(_candidate(found, task, spec, state, step_ms))
    if settled and not found.candidates:
        found.decided = None  # what won cannot run here now
        _candidates(found, task, batch, by_name)


def _tried(look: Look, task: Prepared, batch: Batch, spec: Spec) -> tuple[float | None, str]:
    """The time of a step on one thread, or why there is none; large models are not tried."""
    if look.parameters > SMALL or look.sparse or look.sharded:
        return None, ""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with torch.random.fork_rng(devices=[]):
            bench = Bench.of(cost_worker.job_of(task.text, spec.text, batch), None)
            bench.warm()
            return min(bench.step(False).step for _ in range(5)) / 1e6, ""
    except Exception as error:
        return None, cost_worker.said(error)
    finally:
        torch.set_num_threads(before)


def _candidate(
    found: Advice, task: Prepared, spec: Spec, state: State, step_ms: float | None
) -> Candidate:
    batch, look = task.train.size, found.look
    return Candidate(
        spec.text, spec.label, start(found, spec, batch), state.bytes, found.needs(state),
        fit.moved(spec), step_ms, tuple(why(found, spec, batch)),
        tuple(against(found, task, spec, state, look)),
    )  # fmt: skip
