"""What the tests of pictures draw: small, and the same for all."""

from __future__ import annotations

from glissade.draw import surfaces
from glissade.draw.rates import Rates, choose
from glissade.draw.scene import Scene
from glissade.spec import specs

FAMOUS = "sgd,momentum,nesterov,adagrad,adadelta,rmsprop,adam,adamw,lion"


def scene(
    surface: str = "beale",
    optimizers: str = "sgd, lookahead(adam, k=4), lion",
    rates: str = "0.003",
    steps: int = 12,
) -> Scene:
    """A scene as the command would make it."""
    at = surfaces.lookup(surface)
    outcome = choose(at, specs(optimizers), Rates.parse(rates), steps)
    command = f"glissade draw --surface {surface} -o '{optimizers}' --lr {rates} --steps {steps}"
    return Scene(at, outcome, steps, 0, command)
