"""Rule in, rule out: what can be put around any optimizer."""

from .centralize import centralize
from .layerwise import layerwise
from .lookahead import lookahead

__all__ = ["centralize", "layerwise", "lookahead"]
