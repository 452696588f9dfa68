"""The page of a comparison works from a file in a browser without a network, and in print."""

from __future__ import annotations

import html
import itertools
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from glissade.study import saying
from glissade.study.page import picture, write
from tests.study import analyses
from tests.study.analyses import EVIL, KINDS
from tests.waiting import LIMIT

PANELS = ("summary", "curves", "differences", "lr", "decay", "budget", "time", "cost")


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Of every kind of analysis."""
    folder = tmp_path_factory.mktemp("pages")
    for name, made in KINDS.items():
        write(folder / f"{name}.html", made())
    return {name: folder / f"{name}.html" for name in KINDS}


def _open(browser: Any, path: Path, width: int = 1280, **more: Any) -> tuple[Any, list[str]]:
    """A page, and what it said or asked for that it should not."""
    height = 844 if width < 500 else 800
    context = browser.new_context(viewport={"width": width, "height": height}, **more)
    context.set_offline(True)
    context.set_default_timeout(1000 * LIMIT)
    page = context.new_page()
    said: list[str] = []
    page.on("console", lambda message: said.append(f"{message.type}: {message.text}"))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on(
        "request",
        lambda asked: asked.url.startswith(("file:", "data:", "blob:")) or said.append(asked.url),
    )
    page.goto(path.as_uri())
    page.wait_for_selector("body[data-ready=yes]")
    return page, said


def _embedded(text: str) -> Any:
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', text, re.DOTALL)
    assert found is not None
    return json.loads(found[1])


@pytest.mark.parametrize("kind", KINDS)
def test_the_data_are_those_of_the_analysis(kind: str, pages: dict[str, Path]) -> None:
    text = pages[kind].read_text(encoding="utf-8")
    assert _embedded(text) == json.loads(json.dumps(KINDS[kind]().record()))
    assert text.count("plotly.js v") == 1
    own = re.sub(r"<script>/\*\*.*?</script>", "", text, flags=re.DOTALL)
    assert len(own) < 2 * 10**6
    assert not re.search(r"<(link|img|iframe)|src=|url\(|https?://", own)


def test_text_from_outside_is_only_text(pages: dict[str, Path]) -> None:
    for kind in ("eight", "lost"):
        text = pages[kind].read_text(encoding="utf-8")
        assert html.escape(EVIL) in text or kind == "lost"
        assert html.escape("<script>x</script>") in text
        assert "<script>alert" not in text
        assert "<script>x" not in text
        assert "<b>bold" not in text


CHARTS = """() => [...document.querySelectorAll(".plot")].map(plot => [
    plot.id, plot.classList.contains("js-plotly-plot"), plot.querySelectorAll(
        ".scatterlayer path, .heatmaplayer image").length])"""
WIDE = "[document.scrollingElement.scrollWidth, innerWidth]"


# The others differ from these in words alone.
@pytest.mark.parametrize("kind", ["lost", "all lost", "cut", "eight", "many"])
def test_every_kind_is_drawn(kind: str, browser: Any, pages: dict[str, Path]) -> None:
    made = KINDS[kind]()
    page, said = _open(browser, pages[kind], 390)
    ids = page.eval_on_selector_all("main section", "all => all.map(x => x.id)")
    expected = ["verdict"]
    for i in range(len(made.tasks)):
        expected += [f"{name}-{i}" for name in PANELS]
    assert ids == [*expected, *(["profiles"] if made.profiles else []), "appendix"]
    charts = page.evaluate(CHARTS)
    assert all(drawn and paths for _, drawn, paths in charts), charts
    for name in ids:
        section = page.locator(f'[id="{name}"]')
        if section.locator("figure").count():
            assert section.locator(".plot").count() or section.locator(".nothing").count() == 1
    for row in made.tasks[0].rows:
        assert row.label in page.inner_text("#summary-0")
    scrolled, inner = page.evaluate(WIDE)
    assert scrolled <= inner
    assert not said
    page.context.close()


@pytest.fixture(scope="module")
def winner(browser: Any, pages: dict[str, Path]) -> Iterator[Any]:
    """A page that is open."""
    page, said = _open(browser, pages["winner"])
    yield page
    assert not said
    page.context.close()


@pytest.mark.parametrize(("width", "height"), [(390, 844), (1280, 800)])
def test_the_verdict_is_seen_first(width: int, height: int, winner: Any) -> None:
    page = winner
    page.set_viewport_size({"width": width, "height": height})
    assert page.inner_text("h1") == KINDS["winner"]().tasks[0].verdict
    box = page.locator("h1").bounding_box()
    assert 0 <= box["y"] < box["y"] + box["height"] < height / 2
    cards = page.locator("#verdict .card")
    assert [x.split("\n")[0] for x in cards.all_inner_texts()] == [
        "Who won?", "By how much?", "How sure?", "At what cost?",
    ]  # fmt: skip
    last = cards.last.bounding_box()
    assert last["y"] + last["height"] < height
    assert saying.RULE in page.inner_text("#verdict")
    page.wait_for_function(
        "[...document.querySelectorAll('.plot')].every(x => x._fullLayout.width === x.clientWidth)"
    )
    scrolled, inner = page.evaluate(WIDE)
    assert scrolled <= inner


def test_charts_fit_and_names_are_apart(winner: Any) -> None:
    page = winner
    clipped = page.evaluate(
        """() => [...document.querySelectorAll(".plot")].flatMap(plot => {
            const a = plot.getBoundingClientRect();
            return [...plot.querySelectorAll("text")].filter(text => {
                const b = text.getBoundingClientRect();
                return b.width && !(b.left >= a.left - 1 && b.right <= a.right + 1
                                    && b.top >= a.top - 1 && b.bottom <= a.bottom + 1);
            }).map(text => [plot.id, text.textContent]); })"""
    )
    assert not clipped
    for name in ("validation-0", "budget-chart-0"):
        tops = page.eval_on_selector_all(
            f"#{name} .annotation-text", "all => all.map(x => x.getBoundingClientRect().top)"
        )
        assert len(tops) == 3
        tops.sort()
        assert all(b - a > 12 for a, b in itertools.pairwise(tops))


def test_toggles(winner: Any) -> None:
    page = winner

    def end(name: str) -> float:
        return float(page.evaluate(f"Math.max(...document.getElementById('{name}').data.at(-1).x)"))

    assert end("validation-0") == analyses.STEPS
    page.click("#curves-0 [data-over=seconds]")
    page.wait_for_function("document.getElementById('validation-0').data.at(-1).x.at(-1) < 1")
    assert end("loss-0") < 1
    kind = "document.getElementById('validation-0')._fullLayout.yaxis.type"
    assert page.evaluate(kind) == "log"
    page.click("#curves-0 [data-scale=linear]")
    page.wait_for_function(f"{kind} === 'linear'")
    page.click("#curves-0 [data-group='1']")
    page.wait_for_function(
        "document.getElementById('loss-0').data.filter(t => t.visible === false).length === 3"
    )
    with page.expect_download() as download:
        page.click("#download")
    assert json.loads(Path(download.value.path()).read_text()) == json.loads(
        json.dumps(KINDS["winner"]().record())
    )


def test_print(browser: Any, pages: dict[str, Path], tmp_path: Path) -> None:
    page, said = _open(browser, pages["winner"], color_scheme="dark")
    back = "getComputedStyle(document.body).backgroundColor"
    assert page.evaluate(back) != "rgb(255, 255, 255)"
    page.pdf(path=tmp_path / "page.pdf")
    assert (tmp_path / "page.pdf").read_bytes().startswith(b"%PDF")
    assert (tmp_path / "page.pdf").stat().st_size > 50_000
    page.emulate_media(media="print")
    page.wait_for_function("document.documentElement.dataset.print === 'yes'")
    assert page.evaluate(back) == "rgb(255, 255, 255)"
    for hidden in (".toggles", ".copy", "details", "#download"):
        assert not any(x.is_visible() for x in page.locator(hidden).all())
    widths = page.eval_on_selector_all(".plot", "all => all.map(x => x._fullLayout.width)")
    assert set(widths) <= {680, 335}
    assert not said
    page.context.close()


def test_cards_say_who_won_in_the_direction_of_the_metric() -> None:
    from glissade.study.page.words import cards, cells

    task = KINDS["accuracy"]().tasks[0]
    who, much, sure, cost = cards(task, 2)
    assert who.main == task.rows[0].label == "SGD"
    assert much.main.endswith("higher")
    assert sure.main.startswith("p = ")
    assert "state" in cost.main
    assert [x["difference"][0] for x in cells(task)[1:]] == ["−", "−"]
    level = cards(KINDS["level"]().tasks[0], 2)
    assert level[0].main == "No one"
    assert level[1].main.startswith("At most ")
    assert level[3].main == "SGD is cheapest"
    assert cards(KINDS["one seed"]().tasks[0], 1)[0].main == "Not known"


def test_lines_to_copy_run() -> None:
    import torch

    import glissade
    from glissade.study.page.words import _python

    model = torch.nn.Linear(2, 2)
    for text in ("adamw(lr=0.01, weight_decay=0.1)", "lookahead(adam(lr=0.01), k=4)"):
        made = eval(_python(text), {"glissade": glissade, "model": model})
        assert isinstance(made, torch.optim.Optimizer)
        assert made.param_groups[0]["lr"] == 0.01


@pytest.mark.parametrize("kind", KINDS)
def test_picture(kind: str, tmp_path: Path) -> None:
    picture(tmp_path / "comparison.png", KINDS[kind]().tasks[0])
    image = Image.open(tmp_path / "comparison.png")
    assert image.width == 1500
    assert 600 < image.height < 1600
    assert len(set(image.convert("L").tobytes())) > 20
