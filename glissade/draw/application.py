"""`glissade draw` with all its subcommands."""

from __future__ import annotations

from glissade.draw import effects, landscape, schedule, sweep, trust
from glissade.draw.command import app as draw

__all__ = ["draw"]

for part in (schedule, landscape, sweep, effects, trust):
    part.register(draw)
