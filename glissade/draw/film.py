"""The picture as a film: GIF by Pillow, MP4 by the encoder that imageio-ffmpeg brings."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import imageio_ffmpeg  # type: ignore[import-untyped,unused-ignore]
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_rgb
from numpy.typing import NDArray
from PIL import Image

from glissade.draw import style
from glissade.draw.flat import Flat
from glissade.draw.scene import Scene, every

DPI = 100
FRAMES = 100
RATE = 12.5  # frames a second: 80 ms, which a GIF can say
GIF_LIMIT = 6 * 2**20  # bytes; a larger one is written anew with half of the frames
HOLD = 2.0  # seconds at the end
COLOURS = 255
TINTS = (0.0, 0.2, 0.4, 0.6, 0.8)  # of white in the colours of lines, for their soft edges

Frame = NDArray[np.uint8]  # (height, width, 3)


def frames(scene: Scene, tick: Callable[[int], None] | None = None) -> Iterator[Frame]:
    """The frames, drawn over one background."""
    flat = Flat(scene, DPI)
    canvas: Any = FigureCanvasAgg(flat.figure)
    for artist in flat.artists:
        artist.set_animated(True)
    canvas.draw()
    background = canvas.copy_from_bbox(flat.figure.bbox)
    for i, step in enumerate(every(scene.steps + 1, FRAMES)):
        if tick is not None:
            tick(i)
        canvas.restore_region(background)
        flat.show(step)
        for artist in flat.artists:
            artist.axes.draw_artist(artist)
        yield np.asarray(canvas.buffer_rgba())[..., :3].copy()


def write(
    scene: Scene,
    gif: Path | None,
    mp4: Path | None,
    tick: Callable[[int], None] | None = None,
) -> None:
    """Write either or both of the same frames."""
    made = list(frames(scene, tick))
    if mp4 is not None:
        _mp4(scene, made, mp4)
    if gif is not None:
        _gif(scene, made, gif)


def _gif(scene: Scene, made: Sequence[Frame], path: Path) -> None:
    """All frames have one palette, so that what stays is stored once; the last stays longer."""
    palette = _palette(made[0])
    images = [
        Image.fromarray(frame).quantize(palette=palette, dither=Image.Dither.NONE) for frame in made
    ]
    pause = 1000 / RATE
    with style.whole(path) as temporary:
        while True:
            times = [round(pause)] * (len(images) - 1) + [round(1000 * HOLD)]
            images[0].save(
                temporary, format="GIF", save_all=True, append_images=images[1:], duration=times,
                loop=0, optimize=False, comment=f"{scene.command}\n{style.FOOTER}".encode(),
            )  # fmt: skip
            if temporary.stat().st_size <= GIF_LIMIT or len(images) < 20:
                break
            images, pause = images[:-1:2] + images[-1:], 2 * pause


def _palette(background: Frame) -> Image.Image:
    """The lines' colours as they are, their tints, and what the background needs besides."""
    lines = np.array([to_rgb(colour) for colour in (*style.COLOURS, "#F0E442")])
    own = [line + tint * (1 - line) for line in lines for tint in TINTS]
    fixed = np.rint(255 * np.array([*own, np.ones(3)])).astype(np.uint8)
    rest = Image.fromarray(background).quantize(COLOURS - len(fixed), dither=Image.Dither.NONE)
    image = Image.new("P", (1, 1))
    image.putpalette(fixed.tobytes() + bytes(rest.getpalette() or [])[: 3 * (COLOURS - len(fixed))])
    return image


def _mp4(scene: Scene, made: Sequence[Frame], path: Path) -> None:
    height, width, _ = made[0].shape
    with style.whole(path) as temporary:
        writer: Any = imageio_ffmpeg.write_frames(
            str(temporary), (width, height), fps=RATE, codec="libx264", pix_fmt_in="rgb24",
            pix_fmt_out="yuv420p", quality=None, macro_block_size=2, ffmpeg_log_level="error",
            output_params=[
                "-crf", "20", "-preset", "veryfast", "-tune", "animation", "-threads", "2",
                "-movflags", "+faststart", "-metadata", f"comment={scene.command}",
                "-metadata", f"title={scene.title}. {style.FOOTER}",
            ],
        )  # fmt: skip
        writer.send(None)
        try:
            for frame in [*made, *[made[-1]] * round(HOLD * RATE)]:
                writer.send(np.ascontiguousarray(frame))
        finally:
            writer.close()
