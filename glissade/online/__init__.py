"""Online convex optimization: regret, measured and bounded.

Each round a learner names a point of a convex set, and then pays that round's loss; its regret is
what it paid more than the best fixed point would have. `play` lets any optimizer of the library
play, `regret` measures against the best point in hindsight, `bound` gives the theorem's bound for
this very run.
"""

from .bounds import Bound, bound
from .comparator import Best, best
from .game import Regret, Run, horizons, play, regret
from .learners import Descent, DualAveraging, ExponentiatedGradient, Learner
from .lineup import learner, learners
from .problems import PROBLEMS, Problem, problem
from .streams import Loss, Stream

__all__ = [
    "PROBLEMS", "Best", "Bound", "Descent", "DualAveraging", "ExponentiatedGradient", "Learner",
    "Loss", "Problem", "Regret", "Run", "Stream", "best", "bound", "horizons", "learner",
    "learners", "play", "problem", "regret",
]  # fmt: skip
