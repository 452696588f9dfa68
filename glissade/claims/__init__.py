"""What is said of optimizers, put to the test: `glissade claims`."""

from __future__ import annotations

from glissade.claims import (
    batches,
    decay,
    ensembles,
    growth,
    lookahead,
    mechanisms,
    pairs,
    regrets,
    schedules,
    sophia,
    variants,
)
from glissade.claims.base import Claim

TOPICS = (
    regrets, decay, schedules, ensembles, pairs, lookahead, batches, growth, variants, sophia,
    mechanisms,
)  # fmt: skip
CLAIMS: dict[str, Claim] = {claim.name: claim for topic in TOPICS for claim in topic.CLAIMS}

__all__ = ["CLAIMS", "Claim"]
