"""Still pictures and films: sizes, what is written in them, nothing cut off or covered."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import imageio_ffmpeg  # type: ignore[import-untyped,unused-ignore]
import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Text
from PIL import Image

from glissade.draw import film, flat, solid, style
from glissade.draw.scene import Scene
from tests.draw.scenes import FAMOUS, scene

LONG = "sgd(lr=0.9), lookahead(cautious(adam), k=4, alpha=0.25) @ cosine(200), " + FAMOUS
SCENES = {
    "beale": ("beale", "sgd, lookahead(adam, k=4), lion", "0.003", 12),
    "saddle": ("saddle", "sgd, adam", "0.3", 30),
    "ravine": ("ravine", LONG, "0.1", 12),
    "noisy": ("noisy", "sgd, sophia", "0.05", 12),
}


@pytest.fixture(scope="module", params=SCENES)
def made(request: pytest.FixtureRequest) -> Scene:
    return scene(*SCENES[request.param])


def _texts(figure: Figure) -> Iterator[Text]:
    for artist in figure.findobj(Text):
        assert isinstance(artist, Text)
        if artist.get_visible() and artist.get_text().strip():
            yield artist


@pytest.mark.parametrize("dpi", [75, 200])
def test_no_text_is_cut_off_or_small_and_the_legend_is_beside_the_panels(
    made: Scene, dpi: int
) -> None:
    drawn = flat.Flat(made, dpi)
    drawn.show(made.steps)
    canvas: Any = FigureCanvasAgg(drawn.figure)
    canvas.draw()
    page, hidden = drawn.figure.bbox, _hidden(drawn.figure)
    for text in _texts(drawn.figure):
        box = text.get_window_extent(canvas.get_renderer())
        if id(text) not in hidden:
            assert box.x0 >= 0 and box.x1 <= page.x1, text.get_text()  # noqa: PT018
            assert box.y0 >= 0 and box.y1 <= page.y1, text.get_text()  # noqa: PT018
            assert text.get_fontsize() >= 7.2 * 8 / 600 * 72 * 0.9  # type: ignore[operator]
    (legend,) = drawn.figure.legends
    place = legend.get_window_extent(canvas.get_renderer())
    for axes in (drawn.map, drawn.loss):
        assert not place.overlaps(axes.get_window_extent(canvas.get_renderer()))
        assert not place.overlaps(axes.xaxis.label.get_window_extent(canvas.get_renderer()))
    lines = [text.get_text() for text in drawn.figure.texts]
    assert style.FOOTER in lines
    assert made.command.replace(" ", "") in "".join(lines).replace(" ", "")
    places = [text.get_window_extent(canvas.get_renderer()) for text in drawn.figure.texts]
    assert not any(a.overlaps(b) for a, b in itertools.combinations([*places, place], 2))


def _hidden(figure: Figure) -> set[int]:
    """Tick labels outside of their axis' range: matplotlib keeps them, and does not draw them."""
    out = set()
    for axes in figure.axes:
        for axis in (axes.xaxis, axes.yaxis):
            low, high = axis.get_view_interval()
            for tick in (*axis.get_major_ticks(), *axis.get_minor_ticks()):
                if not low <= tick.get_loc() <= high:
                    out |= {id(tick.label1), id(tick.label2)}
    return out


def test_pngs_have_size_and_command(tmp_path: Path) -> None:
    made = scene(*SCENES["ravine"])
    for write, name in ((flat.contour_png, "a.png"), (solid.solid_png, "b.png")):
        path = tmp_path / name
        write(made, path)
        with Image.open(path) as image:
            assert image.width == 1600
            assert 1500 < image.height < 2700
            assert image.text["Command"] == made.command
            assert image.text["Description"] == style.FOOTER
    assert len(list(tmp_path.iterdir())) == 2


def test_films_have_their_frames(tmp_path: Path) -> None:
    of = scene(steps=film.FRAMES + 5)
    gif, mp4 = tmp_path / "a.gif", tmp_path / "a.mp4"
    film.write(of, gif, mp4)
    with Image.open(gif) as image:
        assert image.n_frames == film.FRAMES
        assert image.width == 800
        size = image.size
        assert image.info["comment"].decode() == f"{of.command}\n{style.FOOTER}"
        pauses: list[int] = []
        ends = []
        for i in range(film.FRAMES):
            image.seek(i)
            pauses.append(image.info["duration"])
            if i in (0, film.FRAMES - 1):
                ends.append(np.asarray(image.convert("RGB")))
    assert pauses == [80] * (film.FRAMES - 1) + [2000]
    assert gif.stat().st_size < 6 * 2**20
    moved = (ends[0] != ends[1]).any(axis=2).mean()
    assert 0.001 < moved < 0.2
    frames, seconds = imageio_ffmpeg.count_frames_and_secs(str(mp4))
    assert frames == film.FRAMES + round(film.HOLD * film.RATE)
    assert seconds == pytest.approx(frames / film.RATE, abs=0.2)
    reader = imageio_ffmpeg.read_frames(str(mp4))
    meta = next(reader)
    reader.close()
    assert meta["size"] == size
    assert size[1] % 2 == 0
    assert meta["codec"].startswith("h264")
    assert meta["pix_fmt"].startswith("yuv420p")
    assert mp4.stat().st_size < 6 * 2**20
    assert len(list(tmp_path.iterdir())) == 2


def test_a_gif_has_the_colours_of_its_legend(tmp_path: Path) -> None:
    of = scene(optimizers=FAMOUS, steps=3)
    film.write(of, tmp_path / "a.gif", None)
    with Image.open(tmp_path / "a.gif") as image:
        pixels = np.asarray(image.convert("RGB")).astype(int) @ (1 << 16, 1 << 8, 1)
    assert {int(colour[1:], 16) for colour in style.COLOURS} <= set(np.unique(pixels).tolist())


def test_few_steps_have_a_frame_each() -> None:
    assert len(list(film.frames(scene(steps=4)))) == 5


def test_who_leaves_is_drawn_to_the_edge_and_who_comes_back_is_not_cut() -> None:
    of = scene("ravine", "sgd(lr=0.25), adam(lr=2.0), sgd(lr=0.01)", "tuned", 60)
    wild, swinging, tame = of.runs
    (x0, x1, y0, y1), end = of.surface.box, of.visible(wild)[-1]
    assert end[0] in (x0, x1) or end[1] in (y0, y1)
    assert "diverged" in of.label(wild)
    assert "diverged" not in of.label(tame)
    assert any(not of.surface.inside(*point) for point in swinging.points)
    assert len(of.visible(swinging)) == len(swinging.points)
    assert "1 of 3 diverged (✕)" in of.caption()[0]
    low, high = of.loss_range()
    assert low < tame.losses[0] < high < max(wild.losses)


def test_captions_say_who_is_out_of_the_picture() -> None:
    """Downhill where there is no lowest point, uphill there, and out of a surface that has one."""
    saddle = scene("saddle", "adam(lr=0.5), sgd(lr=1.1), sgd(lr=0.1)", "tuned", 5).caption()
    said = "none of 3 diverged; 1 left the picture downhill, where there is no lowest point; "
    assert f"{said}1 ended outside of the picture. " in saddle[0]
    tuned = scene("saddle", "sgd", "tuned", 12).caption()
    assert "; none left the picture downhill" in tuned[0]
    assert "mean loss over the steps (as far down as the picture goes)" in tuned[1]
    ravine = scene("ravine", "adam(lr=2.0), sgd(lr=0.01)", "tuned", 8).caption()
    assert "none of 2 diverged; 1 ended outside of the picture." in ravine[0]
    assert "downhill" not in " ".join(ravine)


def test_captions_say_what_was_done() -> None:
    text = " ".join(scene("noisy", "sophia, lookahead(sgd)", "shared", 5).caption())
    for words in ("Hutchinson", "slow weights", "noise of deviation 2", "seed 0", "shared by all"):
        assert words in text
    assert "axis of symmetry" in scene("saddle", "sgd").caption()[0]
    assert "10 steps" in scene("saddle", "sgd", steps=10).caption()[0]
