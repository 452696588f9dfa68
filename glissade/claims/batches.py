"""The size of the batch: what it costs, what it gains, and whom it suits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from glissade.claims import readings
from glissade.claims.base import Claim, Measure, Setup
from glissade.claims.charts import Line, Lines
from glissade.claims.readings import Runs, Values
from glissade.claims.sweeps import ERROR, MLP, SEEDS, SHARE, SHARES, around, ranges
from glissade.study import statistics

TAIWAN = "the lecture on gradient descent optimization"
TRAIN = 1078  # examples of the digits' train part
SMALL, LARGE, EPOCHS = 32, 512, 20


def steps(batch: int, epochs: int = EPOCHS) -> int:
    """In so many epochs, of whole batches."""
    return epochs * (TRAIN // batch)


def _at(
    forms: Mapping[str, str], rates: Mapping[str, Sequence[float]], batches: Sequence[int]
) -> dict[str, Setup]:
    """``name|batch|place``: each optimizer at each batch and learning rate, for equal epochs."""
    return {
        f"{name}|{batch}|{i}": Setup("digits", text.format(lr=lr), steps(batch), batch)
        for name, text in forms.items()
        for batch in batches
        for i, lr in enumerate(rates[f"{name}|{batch}"])
    }


def _best(runs: Runs, name: str, batch: int) -> list[float]:
    """Test errors at the best learning rate of an optimizer with a batch."""
    return readings.tests(runs, readings.best(runs, f"{name}|{batch}"))


def _large(
    name: str, forms: Mapping[str, str], source: str, at: Mapping[str, float], note: str
) -> Claim:
    """Both at a small and a large batch for equal epochs."""
    names = _, old = tuple(forms)
    titles = [readings.titled(of) for of in names]
    rates = {label: around(middle) for label, middle in at.items()}

    def read(runs: Runs) -> Values:
        return [
            readings.less(_best(runs, old, SMALL), _best(runs, old, LARGE)),
            readings.less(*(readings.less(_best(runs, of, SMALL), _best(runs, of, LARGE))
                            for of in names)),
        ]  # fmt: skip

    def chart(runs: Runs) -> Lines:
        labels = [f"{of}|{batch}" for of in names for batch in (LARGE, SMALL)]
        return Lines(SHARE, ERROR, readings.by_setting(runs, labels, SHARES), log_y=True)

    return Claim(
        name,
        f"{titles[0]} keeps its accuracy at large batches better than {titles[1]}, which loses "
        "some.",
        source,
        f"{MLP}, {EPOCHS} epochs with batches of {SMALL} ({steps(SMALL)} steps) and of {LARGE}, "
        f"half of the train part ({steps(LARGE)} steps)",
        "Each at seven learning rates over two decades, with either batch, without schedule or "
        "warm-up; the best by median validation error; by how much its test error is less with "
        "the small batch, in pairs of the same seed. Without a loss there would be nothing to "
        f"keep. (In first runs there was no small batch{note}.) {ranges(rates)}",
        (names[0], old), SEEDS,
        _at(forms, rates, (SMALL, LARGE)),
        [
            Measure(f"points of test error that {titles[1]} loses from a batch of {SMALL} to "
                    f"{LARGE}"),
            Measure(f"points of test error that {titles[0]} loses less than {titles[1]}"),
        ],
        read, chart, tuned=tuple(at),
    )  # fmt: skip


LION = (16, 64, 256)


def _lion() -> Claim:
    """As the paper advises: a rate ten times less, a decay ten times more."""
    forms = {
        "lion": "lion(lr={lr}, weight_decay=1.0)",
        "adamw": "adamw(lr={lr}, weight_decay=0.1)",
    }
    middles = {"lion": 3e-4, "adamw": 3e-3}
    rates = {
        f"{name}|{batch}": around(middle) for name, middle in middles.items() for batch in LION
    }

    def ahead(runs: Runs, batch: int) -> tuple[float, ...]:
        return readings.less(_best(runs, "lion", batch), _best(runs, "adamw", batch))

    def read(runs: Runs) -> Values:
        first, last = LION[0], LION[-1]
        gained = readings.less(ahead(runs, first), ahead(runs, last))
        return [gained, [-x for x in ahead(runs, first)]]

    def chart(runs: Runs) -> Lines:
        drawn = [
            Line(
                readings.titled(name),
                LION,
                [statistics.median(_best(runs, name, batch)) for batch in LION],
            )
            for name in forms
        ]
        return Lines("batch", "test error at the best learning rate, %", drawn)

    return Claim(
        "lion-batch",
        "Lion suits large batches: with small ones (below 64) it is behind AdamW, and it gains as "
        "they grow.",
        f"Chen et al. 2023, arXiv:2302.06675, in {TAIWAN}",
        f"{MLP}, {EPOCHS} epochs with batches of 16, 64 and 256",
        "Lion and AdamW, Lion's rates a tenth and its decay ten times AdamW's, each at seven "
        "learning rates over two decades for each batch; the best by median validation error; its "
        "test error in pairs of the same seed. "
        f"{ranges({of: around(middle) for of, middle in middles.items()})}",
        ("lion", "adamw"), 12, _at(forms, rates, LION),
        [
            Measure(f"points of test error that Lion gains on AdamW from a batch of {LION[0]} to "
                    f"{LION[-1]}"),
            Measure(f"points of test error that AdamW is below Lion with a batch of {LION[0]}"),
        ],
        read, chart, tuned=tuple(rates),
    )  # fmt: skip


CLAIMS = (
    _large(
        "lamb-large-batch", {"lamb": "lamb(lr={lr})", "adam": "adam(lr={lr})"},
        "You et al. 2020, arXiv:1904.00962, as the lectures tell it",
        {f"lamb|{SMALL}": 0.01, f"lamb|{LARGE}": 0.02, f"adam|{SMALL}": 3e-3,
         f"adam|{LARGE}": 1e-2}, "",
    ),
    _large(
        "lars-large-batch",
        {"lars": "lars(lr={lr}, variant='official')", "momentum": "momentum(lr={lr})"},
        "You, Gitman & Ginsburg 2017, arXiv:1708.03888, as the lectures tell it",
        {f"lars|{SMALL}": 1.0, f"lars|{LARGE}": 2.0, f"momentum|{SMALL}": 0.03,
         f"momentum|{LARGE}": 0.1}, ", and LARS was the LAMB paper's form of it",
    ),
    _lion(),
)  # fmt: skip
