"""Rule in, rule out: what can be put around any optimizer."""

from .accumulate import accumulate
from .cautious import cautious
from .centralize import centralize
from .clip_norm import clip_norm
from .ema import ema
from .layerwise import layerwise
from .lookahead import lookahead
from .project import ball, box, project, simplex
from .skip_nonfinite import skip_nonfinite

__all__ = [
    "accumulate", "ball", "box", "cautious", "centralize", "clip_norm", "ema", "layerwise",
    "lookahead", "project", "simplex", "skip_nonfinite",
]  # fmt: skip
