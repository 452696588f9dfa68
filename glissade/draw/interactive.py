"""The interactive picture: one HTML file that needs nothing else, and no network."""

from __future__ import annotations

import html
import json
from pathlib import Path
from string import Template
from typing import Any

import numpy as np
import plotly.graph_objects as go  # type: ignore[import-untyped,unused-ignore]
from plotly.offline import get_plotlyjs  # type: ignore[import-untyped,unused-ignore]
from plotly.subplots import make_subplots  # type: ignore[import-untyped,unused-ignore]

from glissade.draw import style
from glissade.draw.flat import GROUND
from glissade.draw.scene import Array, Scene
from glissade.draw.trajectories import Run

EVERY = 2  # of the grid's lines: 101 x 101 numbers
SIZE_LIMIT = 8 * 2**20  # bytes
SIZE = 14  # of type, in pixels
FAMILY = f"{style.FONT}, Verdana, sans-serif"  # as the page's own text
POWER = 1.25  # times as large plotly writes the numbers of a log axis
PAGE = Path(__file__).with_name("interactive.html")


def write(scene: Scene, path: Path) -> None:
    """Write the page."""
    text = page(scene)
    with style.whole(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def page(scene: Scene) -> str:
    """The page, with plotly's own script in it once."""
    figure = _figure(scene)
    caption = [*scene.caption(), _HOW]
    data = {
        "figure": json.loads(figure.to_json()),
        "runs": [_run(scene, run) for run in scene.runs],
        "steps": scene.steps,
        "first": len(figure.data) - sum(5 if run.slow else 4 for run in scene.runs),
    }
    text = Template(PAGE.read_text(encoding="utf-8")).substitute(
        title=html.escape(scene.title),
        subtitle=html.escape(scene.subtitle),
        caption="\n".join(f"<p>{html.escape(part)}</p>" for part in caption),
        footer=html.escape(style.FOOTER),
        command=html.escape(scene.command),
        steps=scene.steps,
        # "</" could end the script early, wherever it comes from.
        data=json.dumps(data, separators=(",", ":")).replace("</", "<\\/"),
        plotly=get_plotlyjs(),
    )
    return text


_HOW = (
    "A click on a name hides or shows it, a double click shows it alone; pointing at a path tells "
    "the step, the loss and the gradient’s norm."
)


def _run(scene: Scene, run: Run) -> dict[str, Any]:
    """What the page's script draws and moves: one run's points by step."""
    points = scene.visible(run)
    count = len(points)
    norms = np.full(count, np.nan)
    norms[: len(run.norms)] = run.norms[:count]
    return {
        "x": _short(points[:, 0]),
        "y": _short(points[:, 1]),
        "height": _short(scene.losses(run)[:count]),  # on the loss axis
        "loss": _short(np.array(run.losses[:count])),
        "norm": _short(norms),
        "diverged": run.diverged,
        "slow": [_short(axis) for axis in np.array(run.slow[:count]).T],
    }


def _short(values: Array) -> Any:
    """Numbers with seven digits, as lists; None where there is none."""
    if values.ndim > 1:
        return [_short(row) for row in values]
    return [float(f"{v:.7g}") if np.isfinite(v) else None for v in values]


def _figure(scene: Scene) -> go.Figure:
    """Both panels with every trace in place, at the last step."""
    figure = make_subplots(rows=1, cols=2, column_widths=[0.6, 0.4], horizontal_spacing=0.1)
    _ground(figure, scene)
    _points(figure, scene)
    for i, run in enumerate(scene.runs):
        _tracks(figure, scene, i, run)
    x0, x1, y0, y1 = scene.surface.box
    figure.update_xaxes(title_text="x", range=[x0, x1], row=1, col=1, zeroline=False)
    figure.update_yaxes(title_text="y", range=[y0, y1], row=1, col=1, zeroline=False)
    figure.update_xaxes(title_text="step", range=[0, 1.02 * scene.steps], row=1, col=2)
    low, high = scene.loss_range()
    kind = "log" if scene.log_loss else "linear"
    span = [float(np.log10(low)), float(np.log10(high))] if scene.log_loss else [low, high]
    figure.update_yaxes(
        title_text=scene.loss_label, type=kind, range=span, exponentformat="power",
        dtick=1 if scene.log_loss and span[1] - span[0] > 1.5 else None, gridcolor="#E3E3E3",
        tickfont={"size": SIZE / POWER if scene.log_loss else SIZE}, zeroline=False, row=1, col=2,
    )  # fmt: skip
    figure.update_layout(
        template="plotly_white", font={"size": SIZE, "color": "#222", "family": FAMILY},
        hovermode="closest", margin={"l": 60, "r": 15, "t": 12, "b": 50}, showlegend=True,
        legend={"orientation": "h", "yanchor": "top", "y": -0.14, "x": 0, "xanchor": "left",
                "itemsizing": "trace"},
    )  # fmt: skip
    return figure


def _ground(figure: go.Figure, scene: Scene) -> None:
    xs, ys, values = scene.grid
    xs, ys, values = xs[::EVERY], ys[::EVERY], values[::EVERY, ::EVERY]
    heights = scene.height(values)
    figure.add_trace(
        go.Contour(
            x=_short(xs), y=_short(ys), z=_short(heights), customdata=_short(values),
            ncontours=20, showscale=False, line={"width": 0.5, "color": "#7C90A8"},
            colorscale=[[k / (len(GROUND) - 1), colour] for k, colour in enumerate(GROUND)],
            contours={"coloring": "fill"}, name="surface",
            hovertemplate="(%{x:.3g}, %{y:.3g})<br>loss %{customdata:.4g}<extra></extra>",
        ),
        row=1, col=1,
    )  # fmt: skip


def _tracks(figure: go.Figure, scene: Scene, i: int, run: Run) -> None:
    """Path, place, losses, loss now: traces that the page's script fills, by one legend entry."""
    s = style.series(i)
    share = max(1 - i / 9, 0.0)
    line = {"color": s.colour, "width": 1.8 + 2.2 * share, "dash": s.plotly_dash}
    dot = {"color": s.colour, "size": 4}
    mark = {
        "color": s.colour, "symbol": s.plotly_marker, "size": 9 + 5 * share,
        "line": {"color": "white", "width": 1},
    }  # fmt: skip
    told = (
        f"<b>{html.escape(run.spec.label)}</b>, step %{{customdata[0]}}<br>"
        "(%{x:.4g}, %{y:.4g})<br>loss %{customdata[1]:.4g}<br>"
        "gradient’s norm %{customdata[2]:.3g}<extra></extra>"
    )
    common = {
        "name": html.escape(scene.label(run)), "legendgroup": str(i), "showlegend": False,
        "hovertemplate": told,
    }  # fmt: skip
    for col in (1, 2):
        mode = "lines+markers" if col == 1 else "lines"
        here = common | {"showlegend": col == 1}
        figure.add_trace(go.Scatter(mode=mode, line=line, marker=dot, **common), row=1, col=col)
        figure.add_trace(
            go.Scatter(
                mode="lines+markers+text", line=line, marker=mark, cliponaxis=col == 2,
                textfont={"size": 22, "color": "black"}, **here,
            ),
            row=1, col=col,
        )  # fmt: skip
        told = told.replace("(%{x:.4g}, %{y:.4g})<br>", "")
        common["hovertemplate"] = told
    if run.slow:
        slow = {"color": "white", "size": 8, "line": {"color": s.colour, "width": 2}}
        figure.add_trace(
            go.Scatter(
                mode="lines+markers", line=line | {"width": 1, "dash": "dot"}, marker=slow,
                **common | {"hovertemplate": None, "hoverinfo": "skip"},
            ),
            row=1, col=1,
        )  # fmt: skip


def _points(figure: go.Figure, scene: Scene) -> None:
    surface = scene.surface
    kinds = (
        ([surface.start], "start", "circle-open", 15, "black"),
        (surface.minima, "minimum", "star", 16, "#F0E442"),
        (surface.local, "local minimum", "star", 13, "white"),
        (surface.saddles, "saddle point", "cross", 12, "white"),
    )
    for points, name, symbol, size, colour in kinds:
        if points:
            figure.add_trace(
                go.Scatter(
                    x=[x for x, _ in points], y=[y for _, y in points], mode="markers", name=name,
                    legendrank=2000,
                    marker={"symbol": symbol, "size": size, "color": colour,
                            "line": {"color": "black", "width": 1.5}},
                    hovertemplate=f"{name} (%{{x:.6g}}, %{{y:.6g}})<extra></extra>",
                ),
                row=1, col=1,
            )  # fmt: skip
