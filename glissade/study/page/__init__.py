"""What a comparison found, to look at: the page `report.html` and a picture of each task."""

from __future__ import annotations

from pathlib import Path

from glissade.study.analysis import Analysis
from glissade.study.page.document import write
from glissade.study.page.still import picture


def write_all(folder: Path, analysis: Analysis) -> list[tuple[Path, str]]:
    """The page and the pictures in a folder; returns each with what it is."""
    report = folder / "report.html"
    write(report, analysis)
    written = [(report, "the page: open it in a browser")]
    for i, task in enumerate(analysis.tasks):
        path = folder / ("comparison.png" if i == 0 else f"comparison-{i + 1}.png")
        picture(path, task)
        written.append((path, f"picture of {task.task}" if len(analysis.tasks) > 1 else "picture"))
    return written


__all__ = ["picture", "write", "write_all"]
