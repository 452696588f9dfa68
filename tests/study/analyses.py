"""What comparisons may find, made by hand."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from glissade.study import saying, statistics
from glissade.study.analysis import Analysis, Chosen, Curve, Row, TaskAnalysis, Trial
from glissade.study.design import Settings
from glissade.study.statistics import Difference, Interval
from glissade.study.units import Units

STEPS = 200
EVIL = "Evil </script><script>alert(1)</script> & <b>bold</b>"
LONG = (
    "Lookahead(RAdam, k=5, alpha=0.5) [lr=between(0.001, 0.1)]", "AdamW @ cosine", EVIL,
    "Adafactor without momentum, layerwise", "Lion, centralized and clipped at norm 1", "SGD",
    "Schedule-free AdamW @ warmup(100)", "RAdam",
)  # fmt: skip


def analysis(
    labels: Sequence[str] = ("SGD", "AdamW", "Lion"),
    gap: float = 0.0,
    seeds: int = 8,
    studies: int = 2,
    trials: int = 6,
    direction: str = "min",
    lost: str | None = None,
) -> Analysis:
    """One task; each optimizer is worse than the one before it by `gap`."""
    task = _task(labels, gap, seeds, studies, trials, direction, lost)
    space = {"lr": "between(0.001, 1)", "weight_decay": "between(1e-06, 0.01)"}
    return Analysis(
        plan={
            "settings": {"tasks": ["digits"], "studies": studies},
            "arms": {_name(label): {"label": label, "space": space} for label in labels},
            "tables": [[[0.5]]],
            "versions": {"python": "3.11", "torch": "2.7"},
        },
        hash="0123456789abcdef",
        tasks=(task,),
        profiles=None,
        caveats=("This is a task made by hand.", f"{labels[-1]} failed: <script>x</script>"),
        trials=trials,
        seeds=seeds,
        cut=False,
        seconds=58.8,
        facts={"command": "glissade compare digits -o 'sgd,<b>'", "machine": {"cores": 2}},
    )


def _name(label: str) -> str:
    return label.lower().replace(" ", "")


def _task(
    labels: Sequence[str], gap: float, seeds: int, studies: int, trials: int, direction: str,
    lost: str | None,
) -> TaskAnalysis:  # fmt: skip
    rng = np.random.default_rng(0)
    units = Units.of("error, %" if direction == "min" else "accuracy", direction)

    def metric(less: float) -> float:
        return less if direction == "min" else 1 - less / 100

    rows, all_trials, curves, budget = [], [], [], {}
    tests: dict[str, list[float]] = {}
    for i, label in enumerate(labels):
        arm, gone = _name(label), label == lost
        tests[arm] = [math.inf if gone else 2.5 + gap * i + float(x)
                      for x in rng.normal(0, 0.3, seeds)]  # fmt: skip
        own = _trials(arm, rng, studies, trials, metric, gone)
        all_trials += own
        budget[arm] = [
            [
                units.back(x)
                for x in statistics.expected_best(
                    [units.less(x.quality) for x in own if x.study == study]
                )
            ]
            for study in range(studies)
        ]
        curves += [] if gone else [_curve(arm, seed, i, metric) for seed in range(seeds)]
        ended = tuple(None if gone else metric(x) for x in tests[arm])
        rows.append(_row(arm, label, i, ended, own, units, gone))
    found = _differences(tests)
    rows.sort(key=lambda row: units.less(row.test))
    return TaskAnalysis(
        task="digits", title="by hand", metric="error, %" if direction == "min" else "accuracy",
        direction=direction, steps=STEPS, target=metric(3.0), rows=tuple(rows),
        differences=tuple(found), verdict=saying.verdict(rows, found, units, Settings()),
        trials=tuple(all_trials), curves=tuple(curves), budget=budget,
    )  # fmt: skip


def _trials(
    arm: str, rng: np.random.Generator, studies: int, trials: int,
    metric: Callable[[float], float], gone: bool,
) -> list[Trial]:  # fmt: skip
    found = []
    for study in range(studies):
        best = 1 if trials > 1 else 0
        for trial in range(trials):
            lr, decay = 10 ** rng.uniform(-3, 0), 10 ** rng.uniform(-6, -2)
            quality = None if gone or trial == 0 < trials - 1 else metric(2.5 + abs(math.log10(lr)))
            values = {"lr": float(lr), "weight_decay": float(decay)}
            chosen = trial == best and not gone
            found.append(
                Trial(arm, study, trial, values, quality, 0.1 if quality else None, chosen)
            )
    return found


def _curve(arm: str, seed: int, place: int, metric: Callable[[float], float]) -> Curve:
    ended = seed == 0 and place == 1  # one run diverges
    steps = tuple(range(10, (80 if ended else STEPS) + 1, 10))
    falling = [2.5 + 40 * math.exp(-step / (20 + 5 * place + seed)) for step in steps]
    return Curve(
        arm, seed, steps, tuple(x / 20 for x in falling), steps,
        tuple(0.001 * step * (1 + place) for step in steps), tuple(metric(x) for x in falling),
        81 if ended else None,
    )  # fmt: skip


def _row(
    arm: str, label: str, place: int, tests: tuple[float | None, ...], trials: Sequence[Trial],
    units: Units, gone: bool,
) -> Row:  # fmt: skip
    chosen = tuple(
        Chosen(x.study, x.trial, x.values, f"adamw(lr={x.values['lr']:.4g})", x.quality, ())
        for x in trials if x.chosen
    ) or (Chosen(0, None, {}, "", None, ()),)  # fmt: skip
    times = tuple(None if gone or seed % 3 == 2 else 50 + 10 * seed for seed in range(len(tests)))
    return Row(
        arm=arm, label=label, chosen=chosen, test=units.median(tests) if tests else None,
        tests=tests, validation=None if gone else units.median(tests) if tests else None,
        default=None if gone or not tests else tests[0], defaults=tests,
        steps_to_target=None if gone or not tests else 80.0,
        seconds_to_target=None if gone or not tests else 0.08, times_to_target=times,
        reached=sum(x is not None for x in times), step_ms=None if gone else 0.02 + 0.001 * place,
        run_seconds=None if gone else 0.2, state_bytes=48 * 30**place % 10**6, trials=len(trials),
        trials_lost=sum(x.quality is None for x in trials), runs=len(tests),
        runs_lost=sum(x is None for x in tests), failed=2 if gone else 0,
        error="ValueError: <script>alert(1)</script>" if gone else None,
    )  # fmt: skip


def _differences(tests: dict[str, list[float]]) -> list[Difference]:
    """With intervals that cost no resampling."""
    arms = [arm for arm, own in tests.items() if own]
    found = []
    for i, one in enumerate(arms):
        for other in arms[i + 1 :]:
            d = statistics.paired(tests[one], tests[other])
            middle = float(np.median(d))
            wide = 0.4 if math.isfinite(middle) else 0.0
            interval = Interval(middle - wide, middle + wide) if len(d) > 1 else None
            p = 0.004 if abs(middle) > wide and len(d) > 1 else 0.6
            signed = float(statistics.signed_rank(d))
            each = tuple(map(float, d))
            found.append(Difference(one, other, each, middle, signed, interval, p, p))
    return found


def many(count: int = 4) -> Analysis:
    """So many tasks, of either direction, with profiles."""
    one, other = analysis(gap=1.0), analysis(seeds=4, trials=4, direction="max")
    tasks = tuple(
        replace(
            (one if i % 2 else other).tasks[0], task=f"task {i}", target=None if i == 3 else 3.0
        )
        for i in range(count)
    )
    times = {row.arm: [100.0 + 10 * k, 50.0 / (k + 1), 80.0, math.inf if k == 1 else 90.0]
             for k, row in enumerate(tasks[0].rows)}  # fmt: skip
    return replace(one, tasks=tasks, profiles=statistics.profile(times))


def cut() -> Analysis:
    """The budget ended before the fresh seeds."""
    full = analysis(seeds=0, trials=1)
    return replace(full, cut=True)


KINDS: dict[str, Callable[[], Analysis]] = {
    "level": analysis,
    "winner": lambda: analysis(gap=1.0),
    "two": lambda: analysis(("SGD", "AdamW"), gap=1.0),
    "alone": lambda: analysis(("AdamW",)),
    "lost": lambda: analysis(lost="Lion", gap=1.0),
    "all lost": lambda: analysis(("SGD",), lost="SGD"),
    "cut": cut,
    "one seed": lambda: analysis(seeds=1, studies=1),
    "accuracy": lambda: analysis(gap=0.5, direction="max"),
    "eight": lambda: analysis(LONG, gap=0.2, seeds=4),
    "many": many,
}
