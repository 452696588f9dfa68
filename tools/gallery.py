"""Makes docs/gallery.md and its pictures: runs the command printed under each.

python tools/gallery.py            # all (some minutes)
python tools/gallery.py saddle     # those whose name has this in it
python tools/gallery.py --page     # the page alone, from the pictures that are there
"""

from __future__ import annotations

import shlex
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "docs" / "gallery"
PAGE = ROOT / "docs" / "gallery.md"
WIDTH = 800  # pixels: what a page shows, and some
FAMOUS = "sgd,momentum,nesterov,adagrad,adadelta,rmsprop,adam,adamw,lion"


@dataclass(frozen=True)
class Picture:
    """One entry: a command, the files of it that are shown, and what is seen."""

    title: str
    command: str  # without --out
    files: tuple[str, ...]
    text: str
    to_file: str = ""  # commands that write one picture take a file for --out


PICTURES = (
    Picture(
        "Who leaves a saddle",
        f"glissade draw --surface saddle -o {FAMOUS} --formats png,gif",
        ("saddle-contour.png", "saddle-3d.png", "saddle.gif"),
        "SGD, momentum and Nesterov run to the saddle and stay for long: along the axis the "
        "gradient says nothing. Methods that divide by the gradient's size leave at once.",
    ),
    Picture(
        "Who overshoots",
        f"glissade draw --surface beale -o {FAMOUS} --formats png",
        ("beale-contour.png",),
        "Momentum overshoots the turn; Nesterov, which looks ahead, corrects sooner; Adagrad, "
        "RMSprop and Adadelta head straight for the valley.",
    ),
    Picture(
        "Lookahead's two sets of weights, and a second-order step",
        'glissade draw --surface ravine -o "sgd, lookahead(momentum, k=5), momentum, newton(lr=1)" '
        "--formats png",
        ("ravine-contour.png",),
        "The circles are Lookahead's slow weights. Newton is there in one step: a ravine is no "
        "ravine to it.",
    ),
    Picture(
        "One sharp and one flat direction",
        'glissade draw --surface sophia -o "sgd, signum(momentum=0), adam, '
        'sophia(gamma=1, k=1, weight_decay=0), newton" --formats png',
        ("sophia-contour.png",),
        "The toy problem of the Sophia paper. Newton goes to the saddle point between the two "
        "minima.",
    ),
    Picture(
        "Schedules",
        "glissade draw schedule "
        "cosine,warm_restarts,wsd,step_drop,one_cycle,slanted_triangular --steps 10000",
        ("schedules.png",),
        "Each as it is mostly used for so many steps.",
        "schedules.png",
    ),
    Picture(
        "Which learning rate",
        "glissade lrfind digits -o adamw --seeds 3",
        ("lrfind-digits.png",),
        "The range test: the rate grows from step to step.",
        "lrfind-digits.png",
    ),
    Picture(
        "How wide the good range is",
        "glissade draw sweep digits -o sgd,momentum,adam,lion",
        ("sweep-digits.png",),
        "The final loss of whole runs, each at a constant learning rate.",
    ),
    Picture(
        "The landscape of a real model",
        "glissade draw model digits-small -o sgd,adam,lamb",
        ("digits-small-pca.png", "digits-small-filter.png"),
        "The plane in which the paths mostly lie, and what lies off it; and the surroundings of "
        "each end point.",
    ),
    Picture(
        "What ε does",
        "glissade draw effect adam --of eps",
        ("effect-adam-eps.png",),
        "From hardly anything to gradient descent.",
    ),
    Picture(
        "LAMB's trust ratios",
        "glissade draw trust --model digits -o lamb",
        ("trust-digits.png",),
        "What each tensor's step was scaled by.",
    ),
)


def make(picture: Picture) -> None:
    """Run the command and keep its pictures, at the size a page needs."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / picture.to_file if picture.to_file else Path(folder)
        words = [*shlex.split(picture.command)[1:], "--out", str(out)]
        subprocess.run([sys.executable, "-m", "glissade.cli", *words], check=True, cwd=ROOT)
        FOLDER.mkdir(exist_ok=True)
        for name in picture.files:
            source = Path(folder) / name
            if name.endswith(".gif"):
                (FOLDER / name).write_bytes(source.read_bytes())
                continue
            with Image.open(source) as image:
                small = image.convert("RGB").resize(
                    (WIDTH, round(image.height * WIDTH / image.width)), Image.Resampling.LANCZOS
                )
            small.save(FOLDER / name, optimize=True)


def page() -> str:
    """The text of docs/gallery.md."""
    parts = [
        "<!-- Written by `python tools/gallery.py`: do not edit. -->",
        "# Gallery",
        "Every picture is made by the command under it, with the library's own optimizers. "
        "Two-dimensional pictures explain, they do not rank. `glissade draw` also makes MP4, and "
        "an interactive page (`--formats html`) that works offline.",
    ]
    for picture in PICTURES:
        parts += [f"## {picture.title}", picture.text]
        parts += [f"![{picture.title}](gallery/{name})" for name in picture.files]
        parts.append(f"```sh\n{picture.command}\n```")
    return "\n\n".join(parts) + "\n"


def main(words: list[str]) -> None:
    """What the first lines of this file say."""
    if "--page" not in words:
        for picture in PICTURES:
            if not words or any(word in name for word in words for name in picture.files):
                print(picture.command, flush=True)
                make(picture)
    PAGE.write_text(page(), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
