"""Rule in, rule out: what can be put around any optimizer."""

from .accumulate import accumulate
from .cautious import cautious
from .centralize import centralize
from .clip_norm import clip_norm
from .ema import ema
from .kahan import kahan
from .layerwise import layerwise
from .lookahead import lookahead
from .master_weights import master_weights
from .project import ball, box, project, simplex
from .skip_nonfinite import skip_nonfinite

__all__ = [
    "accumulate", "ball", "box", "cautious", "centralize", "clip_norm", "ema", "kahan",
    "layerwise", "lookahead", "master_weights", "project", "simplex", "skip_nonfinite",
]  # fmt: skip
