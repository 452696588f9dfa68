"""One row an optimizer: what it is, where it comes from, whom its variants match.

A row is all that an optimizer needs beside its rule to get its class, its tests, its line in
`glissade list`, its benchmark and its place in comparisons.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from . import rules
from .checks import nearest
from .docstrings import documentation
from .rule import Rule

if TYPE_CHECKING:
    from .optimizer import Optimizer


class UnknownOptimizer(ValueError):
    """A name that no row has."""


@dataclass(frozen=True)
class Paper:
    """Where an optimizer was published."""

    title: str
    authors: str
    year: int
    identifier: str  # arXiv number, DOI or venue


@dataclass(frozen=True)
class Entry:
    """A row of the registry."""

    name: str  # of the rule, and on the command line
    title: str  # of the class
    rule: Callable[..., Rule]
    paper: Paper
    variants: Mapping[str, str] = field(default_factory=dict)  # variant: whom it matches
    lr_range: tuple[float, float] = (1e-4, 1e-1)  # where a comparison searches
    preset: Mapping[str, Any] = field(default_factory=dict)  # of another row's rule
    disagreements: tuple[str, ...] = ()  # which other library computes what else

    @property
    def label(self) -> str:
        """What tables and pictures call it: the class, or the preset by its own name."""
        return self.name if self.preset else self.title

    @property
    def decay_range(self) -> tuple[float, float] | None:
        """Where a comparison searches for the weight decay; None without one.

        A decay that the step's lr multiplies is searched where lr·decay, in the middle of
        `lr_range`, shrinks weights by a millionth to 3 thousandths a step.
        """
        keywords = inspect.signature(self.rule).parameters
        if "weight_decay" not in keywords:
            return None
        if "decay" not in keywords:  # inside a trust ratio
            return (1e-4, 0.1)
        if keywords["decay"].default != "decoupled":
            return (1e-6, 1e-2)
        middle = (self.lr_range[0] * self.lr_range[1]) ** 0.5
        low, high = (float(f"{shrunk / middle:.1g}") for shrunk in (1e-6, 3e-3))
        return low, high

    @property
    def when(self) -> str:
        """When to reach for it, as its documentation says."""
        return documentation(self.rule).when

    @property
    def not_when(self) -> str:
        """When not to; "" if its documentation does not say."""
        return documentation(self.rule).not_when

    def bind(self, lr: float | None = None, **hyper: Any) -> Rule:
        """The rule with values bound; lr=None is its default."""
        given = {**self.preset, **hyper}
        return self.rule(**given) if lr is None else self.rule(lr, **given)

    def optimizer(
        self,
        params: Iterable[Any],
        lr: float | None = None,
        *,
        backend: str | None = None,
        **hyper: Any,
    ) -> Optimizer:
        """The optimizer on these parameters."""
        from .optimizer import Optimizer

        return Optimizer(params, self.bind(lr, **hyper), backend=backend)


_POLYAK = Paper(
    "Some methods of speeding up the convergence of iteration methods",
    "Polyak",
    1964,
    "doi:10.1016/0041-5553(64)90137-5",
)
_NESTEROV = Paper(
    "A method for solving the convex programming problem with rate O(1/k²)",
    "Nesterov",
    1983,
    "Soviet Math. Dokl. 27",
)
_ROBBINS = Paper(
    "A stochastic approximation method", "Robbins & Monro", 1951, "doi:10.1214/aoms/1177729586"
)
_ADAM = Paper("Adam: a method for stochastic optimization", "Kingma & Ba", 2015, "arXiv:1412.6980")
_DECOUPLED = Paper(
    "Decoupled weight decay regularization", "Loshchilov & Hutter", 2019, "arXiv:1711.05101"
)
_BOUND = Paper(
    "Adaptive gradient methods with dynamic bound of learning rate",
    "Luo et al.",
    2019,
    "arXiv:1902.09843",
)
_TORCH_PAPER = {"torch": "torch.optim", "paper": "the paper's equation"}

ROWS: tuple[Entry, ...] = (
    Entry("sgd", "SGD", rules.sgd, _ROBBINS,
          {**_TORCH_PAPER, "ema": "an averaged velocity"}, (3e-3, 3.0)),
    Entry("momentum", "SGD", rules.sgd, _POLYAK, lr_range=(3e-4, 0.3), preset={"momentum": 0.9}),
    Entry("nesterov", "SGD", rules.sgd, _NESTEROV, lr_range=(3e-4, 0.3),
          preset={"momentum": 0.9, "nesterov": True}),
    Entry("sgdw", "SGDW", rules.sgdw, _DECOUPLED,
          {**_TORCH_PAPER, "ema": "an averaged velocity"}, (3e-3, 3.0)),
    Entry("adagrad", "Adagrad", rules.adagrad,
          Paper("Adaptive subgradient methods for online learning and stochastic optimization",
                "Duchi, Hazan & Singer", 2011, "jmlr:v12/duchi11a"), _TORCH_PAPER, (1e-3, 1.0),
          disagreements=(
              'Keras has ε inside the root, as variant "paper".',
              "Optax has ε inside the root, and its accumulator starts at 0.1 by default.",
          )),
    Entry("rmsprop", "RMSprop", rules.rmsprop,
          Paper("Lecture 6.5: rmsprop", "Tieleman & Hinton", 2012, "Coursera"),
          {**_TORCH_PAPER, "keras": "Keras"},
          disagreements=(
              'Keras has ε inside the root: variant "keras".',
              "Optax has ε inside the root, and a decay of 0.9 by default, where torch's alpha "
              "is 0.99.",
          )),
    Entry("adam", "Adam", rules.adam, _ADAM,
          {"torch": "torch.optim, the paper", "keras": "Keras, the paper's efficient order",
           "inside": "eps inside the root", "inside_hat": "eps inside the corrected root"},
          disagreements=(
              "Keras adds ε to the uncorrected root, in the paper's efficient order: variant "
              '"keras".',
          )),
    Entry("adamw", "AdamW", rules.adamw, _DECOUPLED,
          {"torch": "torch.optim", "keras": "Keras' order of Adam",
           "inside": "eps inside the root", "inside_hat": "eps inside the corrected root"},
          disagreements=(
              'Keras adds ε to the uncorrected root, in the efficient order: variant "keras".',
              "The paper scales its decay by the schedule and not by the base learning rate "
              '(decay "independent"); torch, Keras and Optax by both ("decoupled").',
          )),
    Entry("lion", "Lion", rules.lion,
          Paper("Symbolic discovery of optimization algorithms", "Chen et al.", 2023,
                "arXiv:2302.06675"), lr_range=(1e-5, 1e-2),
          disagreements=(
              "pytorch_optimizer, and any Lion written with torch.sign, leaves a parameter where "
              "it was when its gradient is NaN, because torch.sign(NaN) is 0; here it becomes "
              "NaN.",
          )),
    Entry("radam", "RAdam", rules.radam,
          Paper("On the variance of the adaptive learning rate and beyond", "Liu et al.", 2020,
                "arXiv:1908.03265"),
          {"torch": "torch.optim", "paper": "the paper's equation", "inside": "eps inside the root",
           "official": "the authors' code"},
          disagreements=(
              "Optax adds ε to the corrected root with the threshold ρ ≥ 5: by default it is "
              "none of the variants.",
              "pytorch_optimizer applies no decay at all with weight_decouple=False, and leaves "
              "a decoupled decay out while it leaves the step out.",
          )),
    Entry("adadelta", "Adadelta", rules.adadelta,
          Paper("ADADELTA: an adaptive learning rate method", "Zeiler", 2012, "arXiv:1212.5701"),
          lr_range=(1e-2, 10.0)),
    Entry("adamax", "Adamax", rules.adamax, _ADAM, {**_TORCH_PAPER, "keras": "Keras"}),
    Entry("nadam", "NAdam", rules.nadam,
          Paper("Incorporating Nesterov momentum into Adam", "Dozat", 2016, "ICLR 2016 workshop"),
          {**_TORCH_PAPER, "keras": "Keras"},
          disagreements=(
              "torch keeps the product of its momenta in float32 unless the default dtype is "
              "float64.",
              "Optax corrects m by the next step's 1 − β₁^(t+1), with a constant momentum.",
          )),
    Entry("amsgrad", "AMSGrad", rules.amsgrad,
          Paper("On the convergence of Adam and beyond", "Reddi, Kale & Kumar", 2018,
                "arXiv:1904.09237"),
          {"paper": "the paper's equation", "inside": "eps inside the root",
           "torch": "torch.optim.Adam(amsgrad=True)", "optax": "Optax"},
          disagreements=(
              'Optax takes the largest corrected v (variant "optax"), torch the largest raw v '
              'and then corrects it (variant "torch"); the paper corrects nothing.',
          )),
    Entry("adabelief", "AdaBelief", rules.adabelief,
          Paper("AdaBelief optimizer: adapting stepsizes by the belief in observed gradients",
                "Zhuang et al.", 2020, "arXiv:2010.07468"),
          disagreements=(
              "The released code is rectified as RAdam is by default, and then adds ε to the "
              "uncorrected root.",
          )),
    Entry("adabound", "AdaBound", rules.adabound, _BOUND, {"official": "the authors' code"},
          disagreements=(
              "pytorch_optimizer adds 1e-15 under the root, so that a gradient of 1e-8 or less "
              "is not normalised.",
              "The paper has no bias correction and divides by √t; this is the released code.",
          )),
    Entry("amsbound", "AMSBound", rules.amsbound, _BOUND, {"official": "the authors' code"}),
    Entry("adamod", "AdaMod", rules.adamod,
          Paper("An adaptive and momental bound method for stochastic learning", "Ding et al.",
                2019, "arXiv:1910.12249"), {"official": "the authors' code"},
          disagreements=(
              "pytorch_optimizer's default betas are (0.9, 0.99, 0.9999), of which β₃ is the "
              "third.",
          )),
    Entry("diffgrad", "DiffGrad", rules.diffgrad,
          Paper("diffGrad: an optimization method for convolutional neural networks",
                "Dubey et al.", 2020, "arXiv:1909.11015"),
          {"paper": "the paper's equation", "official": "the authors' code"},
          disagreements=(
              "pytorch_optimizer adds 1e-15 under the root, so that a gradient of 1e-8 or less "
              "is not normalised.",
          )),
    Entry("signum", "Signum", rules.signum,
          Paper("signSGD: compressed optimisation for non-convex problems", "Bernstein et al.",
                2018, "arXiv:1802.04434"), lr_range=(1e-5, 1e-2),
          disagreements=(
              "pytorch_optimizer's SignSGD stands still where the momentum is NaN, because "
              "torch.sign(NaN) is 0.",
          )),
    Entry("lars", "LARS", rules.lars,
          Paper("Large batch training of convolutional networks", "You, Gitman & Ginsburg", 2017,
                "arXiv:1708.03888"),
          {"paper": "LAMB's paper on LARS", "official": "the authors' code"}, (3e-4, 0.3),
          disagreements=(
              "Optax scales the gradient by its trust ratio before a momentum that holds lr, "
              "with ‖g + λ·p‖ in the ratio.",
              "pytorch_optimizer gives scalars and vectors a plain momentum step without decay, "
              "has no ε, and keeps lr outside the velocity.",
          )),
    Entry("lamb", "LAMB", rules.lamb,
          Paper("Large batch optimization for deep learning: training BERT in 76 minutes",
                "You et al.", 2020, "arXiv:1904.00962"), lr_range=(3e-4, 0.3),
          disagreements=(
              "Keras keeps the decay outside the ratio.",
              "pytorch_optimizer corrects the bias of m only, outside the ratio, clamps ‖p‖ to "
              "10 and adds ε to ‖r‖; by default its decay is outside the ratio.",
          )),
    Entry("adafactor", "Adafactor", rules.adafactor,
          Paper("Adafactor: adaptive learning rates with sublinear memory cost", "Shazeer & Stern",
                2018, "arXiv:1804.04235"), _TORCH_PAPER, (1e-3, 1.0),
          disagreements=(
              "Optax factors the largest two dimensions, from 128 up, has no min(lr, 1/√t), and "
              "adds weight decay without the learning rate.",
              "pytorch_optimizer multiplies decoupled decay by RMS(p), caps β₂ by betas[1], and "
              "takes lr either as given or as min(0.01, 1/√t).",
              "torch keeps a NaN in the gradient of a vector to its own element; here the clip "
              "at d makes the whole tensor NaN.",
              "torch divides by zero on an empty tensor.",
              "torch with foreach=False uses the machine ε of a group's first parameter for all "
              "of the group.",
          )),
    Entry("factoredadam", "FactoredAdam", rules.factoredadam,
          Paper("Adafactor: adaptive learning rates with sublinear memory cost", "Shazeer & Stern",
                2018, "arXiv:1804.04235")),
    Entry("sophia", "Sophia", rules.sophia,
          Paper("Sophia: a scalable stochastic second-order optimizer for language model "
                "pre-training", "Liu et al.", 2023, "arXiv:2305.14342"),
          {"paper": "the paper's equation", "official": "the authors' code"}, (1e-5, 1e-2),
          disagreements=(
              "Optax corrects the bias of m, takes h from before this step's estimate (so that "
              "the first step is a sign step), and draws probes of signs.",
              "pytorch_optimizer's SophiaH has no γ: it clips m/max(h, ε) at p = 0.01, which is "
              "this for lr/p and γ = p.",
          )),
    Entry("adagradfull", "AdagradFull", rules.adagradfull,
          Paper("Adaptive subgradient methods for online learning and stochastic optimization",
                "Duchi, Hazan & Singer", 2011, "jmlr:v12/duchi11a"),
          {"mirror": "the paper's mirror descent",
           "dual": "the paper's primal-dual subgradient method"}, (1e-3, 1.0)),
    Entry("yogi", "Yogi", rules.yogi,
          Paper("Adaptive methods for nonconvex optimization", "Zaheer et al.", 2018,
                "NeurIPS 2018"), lr_range=(1e-3, 0.3),
          disagreements=(
              "Optax starts m, too, at the accumulator's initial value, and so moves without a "
              "gradient.",
              "pytorch_optimizer starts m, too, at the accumulator's initial value.",
          )),
    Entry("adopt", "ADOPT", rules.adopt,
          Paper("ADOPT: modified Adam can converge with any β₂ with the optimal rate",
                "Taniguchi et al.", 2024, "arXiv:2411.02853"),
          disagreements=(
              "pytorch_optimizer clips at t^¼ instead of (t − 1)^¼: one step ahead of the "
              "authors' code and of Optax.",
              "The released code leaves a decoupled decay out of the first step, which only sets "
              "v; here every step decays.",
          )),
    Entry("ranger", "Ranger", rules.ranger,
          Paper("Ranger: a synergistic optimizer", "Wright", 2019,
                "github.com/lessw2020/Ranger-Deep-Learning-Optimizer"),
          {"paper": "Lookahead's and RAdam's papers", "official": "the released code"},
          disagreements=(
              "pytorch_optimizer goes uphill (a step of −lr) before rectification with its "
              "default degenerated_to_sgd=False, and centralizes before an l2 decay enters.",
          )),
    Entry("ralamb", "Ralamb", rules.ralamb,
          Paper("Over9000: Ralamb", "Grankin", 2019, "github.com/mgrankin/over9000"),
          lr_range=(3e-4, 0.3)),
    Entry("rangerlars", "RangerLARS", rules.rangerlars,
          Paper("Over9000: RangerLARS", "Grankin", 2019, "github.com/mgrankin/over9000"),
          lr_range=(3e-4, 0.3)),
)  # fmt: skip


@functools.cache
def _by_name() -> dict[str, Entry]:
    return {row.name: row for row in ROWS}


def names() -> tuple[str, ...]:
    """Every name, presets included."""
    return tuple(_by_name())


def compiled() -> tuple[Entry, ...]:
    """The rows whose rules are compiled: all but those on matrices."""
    return tuple(row for row in ROWS if not row.rule().matrix)


def entries() -> tuple[Entry, ...]:
    """The rows that are optimizers of their own, not presets of another."""
    return tuple(row for row in ROWS if not row.preset)


def lookup(name: str) -> Entry:
    """The row of a name; UnknownOptimizer names the nearest known one."""
    found = _by_name().get(name.lower())
    if found is None:
        raise UnknownOptimizer(
            f"unknown optimizer {name!r}; known are {', '.join(names())}"
            f"{nearest(name.lower(), names())}"
        )
    return found
