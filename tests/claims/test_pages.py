"""Pictures of claims of every kind, and the page: as narrow as a phone, nothing cut off."""

from __future__ import annotations

import itertools
import json
import math
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from markdown_it import MarkdownIt
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Text
from PIL import Image

from glissade.claims import CLAIMS, lab, page, words
from glissade.claims.base import Claim, Found, Measure, Part
from glissade.claims.charts import Chart, Line, Lines, Maps, Paths
from glissade.claims.picture import drawn, picture
from glissade.study.grid import Map, separable
from glissade.study.units import Units
from tests.waiting import LIMIT

CLAIM = CLAIMS["lamb-large-batch"]
RNG = np.random.default_rng(0)
SEEDS = tuple(0.4 + 0.3 * RNG.standard_normal(10))
AHEAD = "points of test error that lamb is below adam"


def _lines(names: Sequence[str], low: float, high: float, count: int = 7) -> list[Line]:
    x = np.geomspace(low, high, count)
    middle = math.sqrt(low * high)
    return [
        Line(name, x.tolist(), [3 + 0.2 * i + 8 * math.log10(a / middle) ** 2 for a in x])
        for i, name in enumerate(names)
    ]


def _map(label: str, values: np.ndarray) -> Map:
    rates, decays = np.geomspace(3e-4, 3e-2, 5), np.geomspace(1e-5, 3e-2, 5)
    unit = Units.of("validation error, %", "min")
    return Map(
        label, label, tuple(rates), tuple(decays), values, separable(values), unit
    )  # fmt: skip


I, J = np.mgrid[:5, :5]
HOLES = np.where((I == 4) & (J > 2), np.nan, 2.0 + (I + J - 4) ** 2)
T = np.linspace(0, 1, 60)
NAMES = ("radam", "adam", "adam, warm", "sgd", "lion")
LONG = ("amsgrad, counterexample-random", "adam, counterexample-random", "sgd")
CHARTS: dict[str, Chart] = {
    "two lines": Lines(
        "learning rate, times the middle of its range", "validation error, %",
        _lines(("lamb", "adam"), 0.1, 10), log_y=True,
    ),
    "five lines": Lines("learning rate", "loss", _lines(NAMES, 1e-3, 0.1), log_y=True),
    "long names": Lines("rounds", "average regret", _lines(LONG, 10, 1e4, 25)),
    "lost lines": Lines(
        "learning rate", "error, %",
        [Line("a", [1, 2, 3], [3, 2, math.nan]), Line("b", [1, 2, 3], [math.nan] * 3)],
    ),
    "all lost": Lines("learning rate", "error, %", [Line("b", [1, 2], [math.nan] * 2)], log_y=True),
    "far down": Lines(
        "step", "distance to the minimum, as a share of the first one",
        [Line("newton", range(99), [10.0 ** (-x / 9) for x in range(99)])], log_x=False, log_y=True,
    ),
    "all equal": Lines("step", "loss", [Line("sgd", [1, 2, 3], [5.0] * 3)], log_x=False),
    "clouds": Lines(
        "sharpness", "error, %",
        [Line("adam", RNG.random(50).tolist(), RNG.random(50).tolist(), joined=False),
         Line("sgd", RNG.random(50).tolist(), (1 + RNG.random(50)).tolist(), joined=False)],
        log_x=False,
    ),
    "maps": Maps([_map("adamw", 2.0 + (I - 2) ** 2 + (J - 2) ** 2), _map("adam", HOLES)]),
    "lost maps": Maps(
        [_map("sgd with momentum 0.9 and its decay in the gradient", np.full((5, 5), np.nan))]
    ),
    "paths": Paths(
        "rosenbrock",
        [Line("sgd", (-1.5 + 2.5 * T).tolist(), (2.5 - 3 * T + 1.5 * T**2).tolist()),
         Line("adam", (-1.5 + 2.5 * T).tolist(), (2.5 - 1.5 * np.sqrt(T)).tolist())],
    ),
    "paths out": Paths(
        "beale",
        [Line("sgd with a learning rate of 0.3, which is far too much", [1, 9], [1.5, 40]),
         Line("lost", [math.nan], [math.nan]),
         Line("some", [1, 2, 3], [1.5, 1, 0.5], joined=False)],
    ),
}  # fmt: skip


def part(
    what: str, each: Sequence[float], threshold: float = 0.0, base: float | None = None
) -> Part:
    return Part(Measure(what, threshold, base), tuple(each))


PARTS: dict[str, list[Part]] = {
    "one": [part(AHEAD, SEEDS)],
    "four": [
        part("log of validation error, mean over learning rates, that a warm-up brings Adam",
             tuple(-x for x in SEEDS)),
        part("times that Adam's state is Adafactor's", (51.3,) * 10, 4.0),
        part("all equal", (0.0,) * 6), part("without chance", (-12345.678,), -1.0),
    ],
    "single": [part("halvings of the distance", (3.2,), 1.0)],
    "lost": [
        part("one side", (1.0, 2.0, math.inf, math.inf, math.inf, 0.5, 1.2, 1.0)),
        part("all", (-math.inf,) * 6), part("alone", (math.inf,)),
        part("both", (-math.inf, 1.0, math.inf, 2.0, 1.0, 1.5), base=10),
    ],
    "tiny": [
        part("interval", (12345.678, 12345.679, 12345.6785, 12345.678, 12345.68), 12345.0),
        part("values", (1.2e-7, 1.3e-7, 1.1e-7, 2e-7, 1e-7)),
    ],
}  # fmt: skip


def found(claim: Claim, chart: str, parts: str, edges: Sequence[str] = ()) -> Found:
    return Found(claim, PARTS[parts], CHARTS[chart], 123.4, edges)


def _boxes(figure: Figure) -> Iterator[tuple[str, Any]]:
    """Of all text that is seen; matplotlib keeps ticks outside of the axes, and does not draw
    them."""
    canvas: Any = FigureCanvasAgg(figure)
    canvas.draw()
    hidden = set()
    for axis in itertools.chain.from_iterable((x.xaxis, x.yaxis) for x in figure.axes):
        low, high = sorted(axis.get_view_interval())
        for tick in (*axis.get_major_ticks(), *axis.get_minor_ticks()):
            if not axis.get_visible() or not low <= tick.get_loc() <= high:
                hidden |= {id(tick.label1), id(tick.label2)}
    for text in figure.findobj(Text):
        assert isinstance(text, Text)
        if text.get_visible() and text.get_text().strip() and id(text) not in hidden:
            yield text.get_text(), text.get_window_extent(canvas.get_renderer())


CASES = [(chart, "one") for chart in CHARTS] + [("two lines", parts) for parts in PARTS]


@pytest.mark.parametrize(("chart", "parts"), CASES)
def test_no_text_is_cut_off_or_covered(chart: str, parts: str) -> None:
    one = found(CLAIM, chart, parts, ("lamb", "adam"))
    figure = drawn(one, "glissade claims lamb-large-batch").figure
    boxes = list(_boxes(figure))
    for text, box in boxes:
        assert box.x0 >= 0 and box.x1 <= figure.bbox.x1, text  # noqa: PT018
        assert box.y0 >= 0 and box.y1 <= figure.bbox.y1, text  # noqa: PT018
    for (a, one_box), (b, other) in itertools.combinations(boxes, 2):
        wide = min(one_box.x1, other.x1) - max(one_box.x0, other.x0)
        high = min(one_box.y1, other.y1) - max(one_box.y0, other.y0)
        assert wide <= 1 or high <= 1, (a, b)
    said = " ".join(text for text, _ in boxes).replace("\n", " ")
    names = getattr(CHARTS[chart], "lines", None) or CHARTS[chart].maps  # type: ignore[union-attr]
    for name in (one.label for one in names):
        assert name in said
    assert CLAIM.saying in said
    assert "lamb and adam lie at an end of their ranges" in said
    for part in PARTS[parts]:
        assert part.measure.what in said
        assert part.verdict in said
    assert ("interval" in said) == (parts != "single")


@pytest.mark.parametrize("kind", CHARTS)
def test_a_picture_is_written(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    picture(path, found(CLAIM, kind, "four"), "glissade claims lamb-large-batch")
    with Image.open(path) as image:
        assert image.width == 1040
        assert image.info["Command"] == "glissade claims lamb-large-batch"
        assert np.asarray(image.convert("L")).std() > 10


def test_maps_say_how_separable_they_are() -> None:
    figure = drawn(found(CLAIM, "maps", "one"), "").figure
    titles = [axes.get_title(loc="right") for axes in figure.axes]
    assert [x for x in titles if x] == ["R² 1.00", f"R² {separable(HOLES):.2f}"]


@pytest.mark.parametrize(
    ("x", "said"),
    [(0.0, "0"), (-0.0, "0"), (-0.00376, "−0.00376"), (12345.6, "12,300"), (999.9, "1,000"),
     (1.23456e-7, "1.23e−7"), (-4.5e12, "−4.5e12"), (1.0, "1")],
)  # fmt: skip
def test_numbers(x: float, said: str) -> None:
    assert words.number(x) == said


@pytest.mark.parametrize(
    ("typical", "low", "high", "verdict", "said"),
    [
        (0.5, 0.25, 0.75, "reproduced", "0.5 (0.25 to 0.75)"),
        (None, 1.0, None, "reproduced", "∞ (1 to ∞)"),
        (None, None, None, "reproduced", "∞ (∞ to ∞)"),
        (None, None, None, "not reproduced", "−∞ (−∞ to −∞)"),
        (None, None, -2.0, "not reproduced", "−∞ (−∞ to −2)"),
        (1.25, None, None, "inconclusive", "1.25 (−∞ to ∞)"),
        (None, None, None, "inconclusive", "lost runs (−∞ to ∞)"),
    ],
)
def test_what_lost_runs_make_of_numbers(
    typical: float | None, low: float | None, high: float | None, verdict: str, said: str
) -> None:
    assert words.result(typical, (low, high), verdict) == said


# The page

STYLE = """<!doctype html><meta charset="utf-8">
<meta name="viewport" content="width=device-width"><style>
body { margin: 0 auto; padding: 16px; max-width: 900px; box-sizing: border-box;
       font: 16px/1.5 sans-serif; overflow-wrap: break-word }
img { max-width: 100% } ul { padding-left: 2em }
code { font: 85% monospace; padding: .2em .4em; background: #eee; white-space: break-spaces }
</style>"""


def test_a_logarithm_is_said_as_a_factor_too() -> None:
    assert part("x", (1.0,) * 6, base=10).measured == "1 (1 to 1), a factor of 10 (10 to 10)"
    assert part("x", (-2.0,), 1.0, base=2).measured == "−2, a factor of 0.25, threshold 1"
    assert part("x", (math.inf,) * 6, base=2).measured == "∞ (∞ to ∞)"


def _rendered(text: str) -> str:
    """As on GitHub: headings have ids."""
    markdown = MarkdownIt("commonmark").enable("table")
    tokens = markdown.parse(text)
    for token, inline in itertools.pairwise(tokens):
        if token.type == "heading_open":
            kept = (x for x in inline.content.lower() if x.isalnum() or x in " -_")
            token.attrSet("id", "".join(kept).replace(" ", "-"))
    return STYLE + markdown.renderer.render(tokens, markdown.options, {})


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of all claims, with made-up numbers of every kind."""
    folder = tmp_path_factory.mktemp("page")
    (folder / "claims").mkdir()
    kinds = itertools.cycle(itertools.product(("two lines", "maps", "paths", "clouds"), PARTS))
    records = []
    for (name, claim), (chart, parts) in zip(CLAIMS.items(), kinds, strict=False):
        one = found(replace(claim, name=name), chart, parts, ("adam",) if parts == "tiny" else ())
        lab.write(folder, one)
        records.append(json.loads((folder / "found.json").read_text()))
        path = folder / f"{chart} {parts}.png"
        if not path.exists():
            picture(path, one, f"glissade claims {name}")
        shutil.copyfile(path, folder / "claims" / f"{name}.png")
    page.write(folder / "claims.md", records, "claims")
    text = (folder / "claims.md").read_text(encoding="utf-8")
    (folder / "claims.html").write_text(_rendered(text), encoding="utf-8")
    return folder


def test_the_page_says_all_of_each_claim(written: Path) -> None:
    text = (written / "claims.md").read_text(encoding="utf-8")
    assert text.startswith("<!-- Written by `glissade claims --page`: do not edit. -->\n")
    for name, claim in CLAIMS.items():
        assert text.count(f"- [{name}](#{name}): {claim.saying}\n") == 1
        section = text.split(f"\n## {name}\n")[1].split("\n## ")[0]
        for said in (claim.saying, claim.source, claim.plan, claim.scale, f"claims/{name}.png"):
            assert said in section
        assert f"`glissade claims {name}`: 2 min 3 s" in section
        assert "**reproduced**" in section or "**not reproduced**" in section
    counts = [x.rpartition(": ")[2] for x in text.splitlines() if x.startswith("### ")]
    assert sum(map(int, counts)) == len(CLAIMS)
    assert "The best setting of adam lies at an end of its range" in text


@pytest.mark.parametrize("width", [390, 1000])
def test_the_page_reads_on_a_phone_and_a_desk(width: int, written: Path, browser: Any) -> None:
    context = browser.new_context(viewport={"width": width, "height": 844})
    context.set_offline(True)
    context.set_default_timeout(1000 * LIMIT)
    opened = context.new_page()
    said: list[str] = []
    opened.on("console", lambda message: said.append(message.text))
    opened.on("pageerror", lambda error: said.append(str(error)))
    opened.goto((written / "claims.html").as_uri())
    assert opened.evaluate("document.documentElement.scrollWidth") <= width
    images = opened.evaluate("[...document.images].map(x => [x.naturalWidth, x.width])")
    assert len(images) == len(CLAIMS)
    assert all(natural > 0 and 300 < shown <= 560 for natural, shown in images)
    lost = opened.evaluate(
        """[...document.querySelectorAll("a[href^='#']")].map(x => x.hash.slice(1))
           .filter(x => !document.getElementById(x))"""
    )
    assert lost == []
    assert opened.locator("a[href^='#']").count() == 2 * len(CLAIMS)
    assert said == []
    context.close()
