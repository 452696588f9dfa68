"""`glissade draw` with all its subcommands."""

from __future__ import annotations

from glissade.draw import schedule
from glissade.draw.command import app as draw

__all__ = ["draw"]

for part in (schedule,):
    part.register(draw)
