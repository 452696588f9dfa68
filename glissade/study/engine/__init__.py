"""Engines: where the runs of a comparison are made. The table of runs is the same for all."""

from __future__ import annotations

from glissade.study.engine.base import Engine, EngineError, make

__all__ = ["Engine", "EngineError", "make"]
