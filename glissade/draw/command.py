"""The command `glissade draw`: optimizers on surfaces, as pictures."""

from __future__ import annotations

import math
import shlex
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from glissade.commands import fail
from glissade.draw import desk, own, surfaces
from glissade.draw.surfaces import Surface
from glissade.spec import Spec, specs

if TYPE_CHECKING:
    from glissade.draw.rates import Rates
    from glissade.draw.scene import Scene

FORMATS = ("png", "gif", "mp4", "html")
SURFACES = "saddle,beale"
OPTIMIZERS = "sgd,momentum,nesterov,adagrad,adadelta,rmsprop,adam,adamw,lion"
MODEL_OPTIMIZERS = "sgd,adam,lamb"
MOST_STEPS, MOST_SERIES = 2000, 20

app = typer.Typer(
    name="draw", add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None
)


@dataclass(frozen=True)
class Request:
    """What is to be drawn, checked."""

    surfaces: tuple[Surface, ...]
    names: tuple[str, ...]  # of the surfaces, as they were given
    specs: tuple[Spec, ...]
    rates: Rates
    formats: tuple[str, ...]
    steps: int | None
    placed: tuple[tuple[str, str], ...]  # --start and --box, as they were given
    seed: int
    backend: str | None
    folder: Path

    def command(self, names: Sequence[str]) -> str:
        """The command that draws surfaces of this request again."""
        words = ["glissade", "draw", "--surface", ",".join(names)]
        words += ["-o", ",".join(spec.text for spec in self.specs), "--lr", str(self.rates)]
        if self.steps is not None:
            words += ["--steps", str(self.steps)]
        for option, text in self.placed:
            words += [f"{option}={text}"]  # in one word, as it may begin with a minus
        if self.formats != FORMATS:
            words += ["--formats", ",".join(self.formats)]
        if self.seed:
            words += ["--seed", str(self.seed)]
        if self.backend is not None:
            words += ["--backend", self.backend]
        return shlex.join(words)


@app.callback(invoke_without_command=True)
def draw(
    context: typer.Context,
    surface: Annotated[
        str,
        typer.Option(
            "--surface",
            metavar="NAME[,NAME]",
            help=f"{', '.join(surfaces.names())}, or your own: my.py:function (see above).",
        ),
    ] = SURFACES,
    model: Annotated[
        str | None,
        typer.Option(
            metavar="FILE.py:BUILD",
            help="A real model instead of a surface; `glissade draw model` has its options.",
        ),
    ] = None,
    optimizers: Annotated[
        str,
        typer.Option(
            "-o",
            "--optimizers",
            help="As in 'sgd, lookahead(adam, k=5), newton, adam @ cosine(100)': after @ a "
            "schedule of the learning rate, here to 0 in 100 steps.",
        ),
    ] = OPTIMIZERS,
    lr: Annotated[
        str,
        typer.Option(
            "--lr",
            metavar="RULE",
            help="tuned: each its best one; shared: one for all, best for the median; or a number. "
            "One that is given with an optimizer, as in adam(lr=0.1), is kept.",
        ),
    ] = "tuned",
    steps: Annotated[
        int | None, typer.Option(help="Steps of each  [default: what suits the surface]")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder for the pictures  [default: glissade-out/draw-TIME]")
    ] = None,
    formats: Annotated[
        str, typer.Option(help="png (contours, and 3-D), gif, mp4, html.")
    ] = ",".join(FORMATS),
    start: Annotated[
        str | None, typer.Option(metavar="X,Y", help="Another start: --start=-1,2")
    ] = None,
    box: Annotated[
        str | None, typer.Option(metavar="X0,X1,Y0,Y1", help="What is shown: --box=-2,2,-1,3")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of the noise, where there is any.")] = 0,
    backend: Annotated[
        str | None, typer.Option(help="Backend of every optimizer  [default: chosen for you]")
    ] = None,
) -> None:
    """Draw optimizers on a surface: contours, 3-D, film, interactive page.

    Every optimizer is the library's own, run in float64; the caption says which learning rate each
    got and how it was chosen.

    A surface of your own is a function of two tensors, x and y, that returns their height, computed
    with torch. It may have attributes: box = (x0, x1, y0, y1), start = (x, y), steps, minima = [(x,
    y), ...], title, formula, and bounded = False if it has no lowest point.

    Example: glissade draw --surface saddle,beale -o sgd,momentum,adam --out pictures
    """
    if context.invoked_subcommand is not None:
        return
    if model is not None:
        _refuse(context, "--model", ("surface", "formats", "start", "box", "backend"))
        from glissade.draw.landscape import draw_model  # late: it needs more

        chosen = optimizers if _given(context, "optimizers") else MODEL_OPTIMIZERS
        draw_model(model, chosen, out, steps=200 if steps is None else steps, seed=seed, lr=lr)
        return
    try:
        request = _request(surface, optimizers, lr, steps, out, formats, start, box, seed, backend)
    except ValueError as error:
        fail("draw", str(error), 2)
    began = time.monotonic()
    try:
        written = _draw_all(request)
    except ValueError as error:  # a user's own function, somewhere on the way
        fail("draw", str(error), 2)
    except KeyboardInterrupt:
        fail("draw", "interrupted; what was written is whole", 130)
    except OSError as error:
        fail("draw", f"cannot write in {request.folder}: {error.strerror or error}", 1)
    desk.done(began, written, request.command(request.names), request.folder)


def _given(context: typer.Context, name: str) -> bool:
    """Whether an option stands on the command line."""
    source = context.get_parameter_source(name)
    return source is not None and source.name == "COMMANDLINE"


def _refuse(context: typer.Context, beside: str, names: Sequence[str]) -> None:
    for name in names:
        if _given(context, name):
            fail("draw", f"--{name} does not go with {beside}", 2)


def _request(
    surface: str,
    optimizers: str,
    lr: str,
    steps: int | None,
    out: Path | None,
    formats: str,
    start: str | None,
    box: str | None,
    seed: int,
    backend: str | None,
) -> Request:
    """The options as what they mean; ValueError says what is wrong, and nothing is written."""
    from glissade.draw import style
    from glissade.draw.rates import Rates

    kinds = tuple(dict.fromkeys(_words(formats, "--formats")))
    for kind in kinds:
        if kind not in FORMATS:
            raise ValueError(f"unknown format {kind!r}; known are {', '.join(FORMATS)}")
    if steps is not None and not 1 <= steps <= MOST_STEPS:
        raise ValueError(f"--steps {steps}: allowed are 1 to {MOST_STEPS}")
    rates = Rates.parse(lr)
    at = _numbers(start, 2, "--start", "X,Y")
    area = _numbers(box, 4, "--box", "X0,X1,Y0,Y1")
    names = _words(surface, "--surface")
    found = []
    for name in names:
        if ":" in name or name.endswith(".py"):
            found.append(own.load(name, area, at))  # type: ignore[arg-type]
        else:
            found.append(surfaces.lookup(name).placed(area, at))  # type: ignore[arg-type]
    for one in found:
        if sum(other.name == one.name for other in found) > 1:
            raise ValueError(f"surface {one.name} is named twice: name each only once")
    asked = specs(optimizers)
    if len(asked) > MOST_SERIES:
        raise ValueError(f"{len(asked)} optimizers: {MOST_SERIES} can be told apart in a picture")
    _rehearse(found, asked, backend)
    folder = out or Path("glissade-out") / f"draw-{time.strftime('%Y%m%d-%H%M%S')}"
    style.writable(folder)
    placed = tuple((k, v) for k, v in (("--start", start), ("--box", box)) if v is not None)
    return Request(
        tuple(found), tuple(names), asked, rates, kinds, steps, placed, seed, backend, folder
    )


def _words(text: str, option: str) -> list[str]:
    words = [word.strip() for word in text.split(",") if word.strip()]
    if not words:
        raise ValueError(f"{option} {text!r}: name at least one")
    return words


def _numbers(text: str | None, count: int, option: str, how: str) -> tuple[float, ...] | None:
    if text is None:
        return None
    try:
        numbers = tuple(float(word) for word in text.split(","))
    except ValueError:
        numbers = ()
    if len(numbers) != count or not all(map(math.isfinite, numbers)):
        raise ValueError(f"{option} {text}: write {option}={how}, in numbers")
    return numbers


def _rehearse(found: Sequence[Surface], asked: Sequence[Spec], backend: str | None) -> None:
    """Two steps of everything: what cannot be run says so before a file is written."""
    from glissade.draw.trajectories import follow

    for one in found:
        for spec in asked:
            try:
                follow(one, [(spec, 1e-9)], 2, backend=backend)
            except (TypeError, RuntimeError, NotImplementedError) as error:
                raise ValueError(f"{spec.text} on {one.name}: {error}") from None


def _draw_all(request: Request) -> list[Path]:
    written: list[Path] = []
    for name, surface in zip(request.names, request.surfaces, strict=True):
        with desk.progress(surface.name) as at:
            scene = _scene(request, name, surface, at)
            for line in scene.outcome.warnings:
                typer.echo(f"glissade draw: {surface.name}: {line}", err=True)
            written += _pictures(request, scene, at)
    return written


def _scene(request: Request, name: str, surface: Surface, at: desk.Report) -> Scene:
    from glissade.draw.rates import choose
    from glissade.draw.scene import Scene

    steps = request.steps or surface.steps
    outcome = choose(
        surface,
        request.specs,
        request.rates,
        steps,
        seed=request.seed,
        backend=request.backend,
        tick=lambda t: at("learning rates", (t + 1) / steps),
    )
    return Scene(surface, outcome, steps, request.seed, request.command([name]))


def _pictures(request: Request, scene: Scene, at: desk.Report) -> list[Path]:
    from glissade.draw import film, flat, interactive, solid

    base = request.folder / scene.surface.name
    made: list[Path] = []

    def path(ending: str) -> Path:
        made.append(base.with_name(base.name + ending))
        return made[-1]

    wanted = request.formats
    if "png" in wanted:
        at("png", 0.0)
        flat.contour_png(scene, path("-contour.png"))
        at("png", 0.5)
        solid.solid_png(scene, path("-3d.png"))
    if "gif" in wanted or "mp4" in wanted:
        gif = path(".gif") if "gif" in wanted else None
        mp4 = path(".mp4") if "mp4" in wanted else None
        film.write(scene, gif, mp4, lambda i: at("film", (i + 1) / film.FRAMES))
    if "html" in wanted:
        at("html", 0.0)
        interactive.write(scene, path(".html"))
    return made
