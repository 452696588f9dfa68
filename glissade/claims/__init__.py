"""What is said of optimizers, put to the test: `glissade claims`."""

from __future__ import annotations

from glissade.claims import decay, rates, regrets
from glissade.claims.base import Claim

CLAIMS: dict[str, Claim] = {
    claim.name: claim for claim in (*regrets.CLAIMS, *decay.CLAIMS, *rates.CLAIMS)
}

__all__ = ["CLAIMS", "Claim"]
