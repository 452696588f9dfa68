"""The page works from a file in a browser without a network."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from glissade.draw import interactive
from glissade.draw.scene import Scene
from tests.draw.scenes import scene
from tests.waiting import LIMIT


@pytest.fixture(scope="module")
def of() -> Scene:
    return scene("ravine", "sgd(lr=0.25), lookahead(adam, k=4), lion", "0.1", 40)


@pytest.fixture(scope="module")
def written(of: Scene, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("page") / "ravine.html"
    interactive.write(of, path)
    return path


def test_one_file_that_asks_for_nothing(of: Scene, written: Path) -> None:
    text = written.read_text(encoding="utf-8")
    assert written.stat().st_size < interactive.SIZE_LIMIT
    assert len(list(written.parent.iterdir())) == 1
    assert text.count("plotly.js v") == 1
    own = re.sub(r"<script>/\*\*.*?</script>", "", text, flags=re.DOTALL)
    assert len(own) < 10**6
    assert not re.search(r"(src|href)=|url\(|https?://", own)
    assert "Two-dimensional pictures explain, they do not rank." in own
    assert "glissade draw --surface ravine" in own


def test_text_from_outside_is_only_text(of: Scene) -> None:
    from dataclasses import replace

    evil = replace(of, surface=replace(of.surface, title="</script><b>&x", formula="$x<y"))
    page = interactive.page(evil)
    assert "</script><b>" not in page
    assert "f(x, y) = $x&lt;y" in page


def _open(browser: Any, path: Path, width: int) -> tuple[Any, list[str]]:
    context = browser.new_context(viewport={"width": width, "height": 850})
    context.set_offline(True)
    context.set_default_timeout(1000 * LIMIT)
    page = context.new_page()
    said: list[str] = []
    page.on("console", lambda message: said.append(f"{message.type}: {message.text}"))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("requestfailed", lambda request: said.append(request.url))
    page.goto(path.as_uri())
    page.wait_for_selector("body[data-ready=yes]")
    return page, said


LAST = """() => picture.data.map(
    t => t.type === "scatter" ? [t.x.length, t.x[t.x.length - 1], t.y[t.y.length - 1]] : null)"""
SEEN = "() => picture.data.map(t => t.visible === undefined || t.visible === true)"


def _to(page: Any, step: int) -> Any:
    """Move the slider as a hand would, and wait for the picture."""
    page.evaluate(
        "step => { slider.value = step; slider.dispatchEvent(new Event('input')); }", step
    )
    page.wait_for_function(f"() => !drawing && picture.data[data.first].x.length <= {step + 1}")
    return page.evaluate(LAST)


def test_slider_and_legend(browser: Any, of: Scene, written: Path) -> None:
    page, said = _open(browser, written, 1280)
    first = page.evaluate("data.first")
    for step in (7, 0, 33, 40):
        at = _to(page, step)
        assert page.inner_text("#now") == f"step {step}"
        for place, run in zip((first, first + 4, first + 9), of.runs, strict=True):
            points = of.visible(run)
            n = min(step + 1, len(points))
            heights = of.losses(run)
            assert at[place][0] == n
            for trace in (place, place + 1):
                assert at[trace][1:] == pytest.approx(points[n - 1].tolist(), rel=1e-6)
            for trace in (place + 2, place + 3):
                assert at[trace][1] == n - 1
                assert at[trace][2] == pytest.approx(heights[n - 1], rel=1e-6)
    texts = page.locator(".textpoint").all_text_contents()
    assert [text for text in texts if text] == ["✕"]  # where the first one diverged
    seen = page.evaluate(SEEN)
    assert all(seen)
    toggles = page.locator(".legendtoggle")
    names = page.locator(".legendtext").all_text_contents()
    which = next(i for i, name in enumerate(names) if name.startswith("lookahead"))
    toggles.nth(which).click()
    page.wait_for_function(f"() => picture.data[{first + 4}].visible === 'legendonly'")
    hidden = [i for i, visible in enumerate(page.evaluate(SEEN)) if not visible]
    assert hidden == list(range(first + 4, first + 9))  # path, place, losses, loss, slow weights
    _to(page, 12)
    assert [i for i, visible in enumerate(page.evaluate(SEEN)) if not visible] == hidden
    assert not said


FONTS = """() => [...picture.querySelectorAll('.xtick, .ytick, .x2tick, .y2tick')].map(t => {
    const style = getComputedStyle(t.querySelector('text'));
    return [t.textContent, style.fontSize, style.fontFamily]; })"""


def test_all_numbers_are_in_one_type(browser: Any, tmp_path: Path) -> None:
    """Those of a log axis too, which plotly writes larger."""
    of = scene("ravine", "adam(lr=0.3)", "0.1", 200)
    assert of.log_loss
    interactive.write(of, tmp_path / "log.html")
    page, _ = _open(browser, tmp_path / "log.html", 1280)
    fonts = page.evaluate(FONTS)
    assert any(text.startswith("10\u200b") for text, *_ in fonts)  # a power
    assert {size for _, size, _ in fonts} == {"14px"}
    assert {family.strip('"').partition('"')[0] for *_, family in fonts} == {"DejaVu Sans"}
    assert page.evaluate("getComputedStyle(document.body).fontFamily").startswith('"DejaVu Sans"')


def test_play_runs_to_the_end(browser: Any, written: Path) -> None:
    page, said = _open(browser, written, 1280)
    _to(page, 37)
    page.click("#play")
    page.wait_for_function("() => slider.value === '40' && play.textContent === 'Play'")
    page.wait_for_function("() => picture.data[data.first + 9].x.length === 41")
    assert not said


def test_a_phone_has_everything_in_reach(browser: Any, written: Path) -> None:
    page, said = _open(browser, written, 400)
    assert page.evaluate("document.documentElement.scrollWidth") <= 400
    boxes = page.evaluate(
        """() => ['.xy', '.x2y2', '.legend'].map(c => {
            const b = picture.querySelector(c).getBoundingClientRect();
            return [b.left, b.right, b.top, b.bottom]; })"""
    )
    for left, right, *_ in boxes:
        assert 0 <= left < right <= 400
    (_, _, _, map_end), (_, _, loss_start, loss_end), (_, _, legend_start, _) = boxes
    assert map_end < loss_start
    assert loss_end < legend_start
    assert not said
