"""The state machine: what may be drawn, and when.

`GLISSADE_SEQUENCES_WITHOUT`, words with commas between them, leaves out operations, rules, wrappers
and backends of these names, to look for a second difference beside a known one; `-ONLY` (the same
with `GLISSADE_SEQUENCES_ONLY`) keeps these rules and wrappers alone.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from . import rules
from .pair import settings, tensor_text
from .resumed import Resumed
from .world import Spec, only, without

Function = TypeVar("Function", bound=Callable[..., Any])
WRAPPERS = {
    "accumulate": ("n=2", "n=3"),
    "cautious": ("",),
    "centralize": ("",),
    "clip_norm": ("max_norm=0.7", "max_norm=5.0"),
    "ema": ("decay=0.5", "decay=0.9"),
    "kahan": ("",),
    "layerwise": ("", "phi_bounds=(0.0, 1.5)"),
    "lookahead": ("k=2, alpha=0.5", "k=3, alpha=0.3"),
    "master_weights": ("",),
    "project": (
        "onto=wrappers.box(-0.5, 0.8)", "onto=wrappers.ball(1.5)", "onto=wrappers.simplex()",
    ),
    "skip_nonfinite": ("",),
}  # fmt: skip
OUTERMOST = ("kahan", "master_weights")
SHAPES = ((3,), (2, 3), (4, 1), (), (2, 1, 2), (1, 4))
KINDS = [
    kind
    for kind in (
        "plain", "plain", "plain", "kept", "transposed", "strided", "expanded", "zero", "none",
    )
    if kind not in without()
]  # fmt: skip
SEEDS = st.integers(0, 9999)
HOW = st.lists(st.sampled_from(KINDS), min_size=1, max_size=3)


def _pool(names: Any) -> list[str]:
    names = [name for name in names if name not in without()]
    return [name for name in names if name in only()] or names


@st.composite
def stacks(draw: st.DrawFn, name: str, variant: str) -> tuple[tuple[str, str], ...]:
    """Draw wrappers with their arguments, the outermost first."""
    inside = rules.PRESETS.get((name, variant), ())
    known = [w for w in _pool(WRAPPERS) if w not in inside]
    if not known:
        return ()
    # One list of pairs, so that shrinking takes wrappers out one by one.
    pairs = st.tuples(st.sampled_from(known), st.integers(0, 5))
    some = draw(st.lists(pairs, max_size=4, unique_by=lambda pair: pair[0]))
    outer = [pair for pair in some if pair[0] in OUTERMOST][:1]
    some = [*outer, *(pair for pair in some if pair[0] not in OUTERMOST)]
    return tuple((w, _options(w)[k % len(_options(w))]) for w, k in some)


def _options(wrapper: str) -> list[str]:
    return [o for o in WRAPPERS[wrapper] if not any(word in o for word in without())] or [""]


@st.composite
def specs(draw: st.DrawFn) -> Spec:
    """Draw an optimizer."""
    name = draw(st.sampled_from(_pool(rules.MADE)))
    made = dict(draw(st.sampled_from(rules.MADE[name])))
    presets = "paper" if name in ("ranger", "ralamb", "rangerlars") else ""
    wrappers = draw(stacks(name, made.get("variant", presets)))
    made["lr"] = draw(st.sampled_from((0.05, 0.02, 0.3)))
    if not made.get("l1"):
        made["weight_decay"] = draw(st.sampled_from((0.0, 0.1)))
        if name not in ("lars", "lamb") and draw(st.booleans()):
            kinds = ("l2", "decoupled", "independent", "corrected")
            made["decay"] = draw(st.sampled_from(kinds))
    onto = next((o[14:].partition("(")[0] for w, o in wrappers if w == "project"), "")
    matrix = (name == "adagradfull" and not made.get("l1")) or onto == "simplex"
    backends = [b for b in ("eager", "eager", "cpu") if b not in without()]
    backend = "eager" if matrix else draw(st.sampled_from(backends))
    shapes = tuple(draw(st.lists(st.sampled_from(SHAPES), min_size=1, max_size=3)))
    low = ["float32"]
    if onto != "ball" and "cautious" not in dict(wrappers):
        low.append("bfloat16")
    if rules.ill_conditioned(name, made):
        low = []
    high = 0 if "kahan" in dict(wrappers) else 1 if "master_weights" in dict(wrappers) else 6
    if not high and not low:
        wrappers, high = tuple(pair for pair in wrappers if pair[0] != "kahan"), 1
    dtypes = [d for d in ["float64"] * high + low if d not in without()]
    dtype = draw(st.sampled_from(dtypes or ["float64"]))
    layout = st.sampled_from(("plain", "plain", "transposed"))
    split = draw(st.integers(1, len(shapes)))
    places = range(len(shapes))
    groups = [(tuple(places[:split]), {}), (tuple(places[split:]), draw(owns(made)))]
    return Spec(
        name, made, wrappers, onto, backend, shapes, (dtype,) * len(shapes),
        tuple(draw(layout) for _ in shapes), tuple(g for g in groups if g[0]),
    )  # fmt: skip


@st.composite
def owns(draw: st.DrawFn, made: dict[str, Any]) -> dict[str, Any]:
    """Draw hyperparameters of a group's own."""
    own: dict[str, Any] = {"lr": draw(st.sampled_from((0.15, 0.013)))}
    if not made.get("l1") and draw(st.booleans()):
        own["weight_decay"] = draw(st.sampled_from((0.0, 0.2)))
    if "betas" in made and draw(st.booleans()):
        own["betas"] = (0.7, 0.8)
    return own


def operation(*conditions: Callable[[Any], bool], **given: Any) -> Callable[[Function], Any]:
    """Make a rule of the machine, which the environment may leave out by its name."""

    def made(function: Function) -> Any:
        name = function.__name__
        declare: Any = rule
        out = declare(**given)(function)
        for condition in (*conditions, lambda self: name not in without()):
            out = precondition(condition)(out)
        return out

    return made


def has(wrapper: str) -> Callable[[Any], bool]:
    """Return the condition that a wrapper is around the rule."""
    return lambda self: self.pair.model.has(wrapper)


class Sequences(RuleBasedStateMachine):
    """Drives an optimizer and its model through the same operations."""

    pair: Resumed

    @initialize(spec=specs())
    def start(self, spec: Spec) -> None:
        self.pair = Resumed(spec)

    @rule(how=HOW, seed=SEEDS, closure=st.booleans())
    def step(self, how: list[str], seed: int, closure: bool) -> None:
        self.pair.step(how, seed, closure)

    @rule(seed=SEEDS)
    def steps(self, seed: int) -> None:
        for k in range(3):
            self.pair.step(["plain"], seed + 10 * k)

    @rule(hows=st.lists(HOW, min_size=2, max_size=5), seed=SEEDS)
    def walk(self, hows: list[list[str]], seed: int) -> None:
        for k, how in enumerate(hows):
            self.pair.step(how, seed + 10 * k)

    @operation()
    def empty(self) -> None:
        self.pair.step(["none"], 0)

    @operation(i=st.integers(0, 3))
    def freeze(self, i: int) -> None:
        self.pair.freeze(i)

    @operation(lambda self: len(self.pair.model.groups) < 3, data=st.data())
    def add_group(self, data: st.DataObject) -> None:
        own = data.draw(owns(self.pair.spec.made))
        self.pair.add_group(data.draw(st.sampled_from(SHAPES)), own)

    @operation(data=st.data())
    def change(self, data: st.DataObject) -> None:
        pair = self.pair
        pool = settings(pair.spec, pair)
        key = data.draw(st.sampled_from([k for k in sorted(pool) if k not in without()]))
        value = data.draw(st.sampled_from(pool[key]))
        forms = [f for f in ("", "", "tensor64", "tensor32", "row", "list") if f not in without()]
        text = tensor_text(value, data.draw(st.sampled_from(forms)))
        number = data.draw(st.sampled_from([None, *range(len(pair.model.groups))]))
        pair.set(None if key == "accumulate_n" else number, key, text)

    @operation(lambda self: not self.pair.model.done, on=st.booleans())
    def maximize(self, on: bool) -> None:
        self.pair.set(None, "maximize", repr(on))

    @operation(has("accumulate"), lambda self: len(self.pair.model.groups) > 1)
    def different_windows(self) -> None:
        self.pair.different_windows()

    @operation(how=HOW, seed=SEEDS)
    def raising(self, how: list[str], seed: int) -> None:
        self.pair.raising(how, seed)

    @operation(has("skip_nonfinite"), how=HOW, seed=SEEDS, bad=st.sampled_from(("nan", "inf")))
    def nonfinite(self, how: list[str], seed: int, bad: str) -> None:
        self.pair.nonfinite(how, seed, bad)

    @operation(has("ema"))
    def averages(self) -> None:
        self.pair.averages()

    @operation()
    def schedule(self) -> None:
        self.pair.schedule()

    @operation(
        i=st.integers(0, 3),
        key=st.sampled_from(
            [k for k in ("all", "step", "ema_average", "lookahead_slow") if k not in without()]
        ),
    )
    def forget(self, i: int, key: str) -> None:
        self.pair.forget(i, key)

    @operation()
    def save(self) -> None:
        self.pair.save()

    @operation(lambda self: self.pair.saved is not None)
    def load(self) -> None:
        self.pair.load()

    @operation()
    def reload(self) -> None:
        self.pair.reload()

    @operation(
        way=st.sampled_from(("deepcopy", "pickle", "torch.save", "state_dict")),
        how=HOW, seed=SEEDS, stay=st.booleans(),
    )  # fmt: skip
    def fork(self, way: str, how: list[str], seed: int, stay: bool) -> None:
        self.pair.fork(way, how, seed, stay)

    @operation(
        lambda self: self.pair.takes_torch(), steps=st.integers(1, 4), how=HOW, seed=SEEDS
    )  # fmt: skip
    def load_torch(self, steps: int, how: list[str], seed: int) -> None:
        self.pair.load_torch(steps, how, seed)
