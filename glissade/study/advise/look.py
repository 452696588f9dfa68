"""What a task's model is: seen in its modules, in what its forward calls, in its gradients."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from glissade import evidence
from glissade.bench import memory
from glissade.study.advise import fit
from glissade.study.run import tensor_bytes
from glissade.study.task import Prepared

RARE = 0.2  # of a table's rows in one batch: with fewer, most features are rare
TABLE = 100  # rows from which on an embedding is a table of features
LARGE = 4096  # examples: a large batch
TIMED = 0.3  # seconds
CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
EMBEDDINGS = (nn.Embedding, nn.EmbeddingBag)


@dataclass
class Look:
    """A model after a forward and a backward pass."""

    model: nn.Module
    device: str
    kind: str = ""  # of `glissade.evidence`; "" if it is of none
    kinds: tuple[str, ...] = ()  # all that it is of
    because: str = ""
    parameters: int = 0  # elements with a gradient
    params: list[Tensor] = field(default_factory=list)
    dtypes: tuple[str, ...] = ()
    model_bytes: int = 0  # parameters and buffers
    gradient_bytes: int = 0
    activations: int | None = None  # measured: what forward and backward need beside gradients
    sparse: tuple[str, ...] = ()  # parameters with a sparse gradient
    sharded: tuple[str, ...] = ()
    touched: tuple[tuple[str, int, float], ...] = ()  # tables: rows, share of them in one batch
    seconds: float = 0.0  # of forward and backward on one thread
    evaluation: float = 0.0  # of the validation part

    @property
    def before_state(self) -> int:
        """What there is at the peak without an optimizer."""
        return self.model_bytes + self.gradient_bytes + (self.activations or 0)


class _Calls(TorchFunctionMode):
    """Counts what is called of torch."""

    def __init__(self) -> None:
        super().__init__()
        self.counts: Counter[str] = Counter()

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.counts[getattr(func, "__name__", str(func))] += 1
        return func(*args, **(kwargs or {}))


def look(task: Prepared) -> Look:
    """Build the model of seed 0, and take a forward and a backward pass."""
    model = task.build(0)
    model.train()
    batch = next(iter(task.train.over(model, first=True)))
    named = [(name, p) for name, p in model.named_parameters() if p.requires_grad]
    found = Look(model, named[0][1].device.type)

    def gradient() -> None:
        model.zero_grad()
        torch.autograd.backward(task.loss(model, batch))

    calls = _Calls()
    with torch.random.fork_rng(devices=[]):
        with calls:
            loss = task.loss(model, batch)
        torch.autograd.backward(loss)
        del loss
        _gradients(found, named, dict(model.named_modules()))
        model.zero_grad()
        growth = memory.peak(gradient, device=found.device)
        if growth is not None:  # sparse gradients are counted as they are
            held = sum(_held(p.grad) for _, p in named if p.grad is not None)
            found.activations = max(0, growth - held)
        found.seconds = _alone(lambda: _least(gradient, found.device))
        began = time.perf_counter()
        _alone(lambda: task.metric(model, task.validation))
        found.evaluation = time.perf_counter() - began
    model.zero_grad()
    found.params = [p for _, p in named]
    found.parameters = sum(p.numel() for p in found.params)
    found.dtypes = tuple(sorted({str(p.dtype).removeprefix("torch.") for p in found.params}))
    found.model_bytes = fit.bytes_in([*model.parameters(), *model.buffers()])
    found.gradient_bytes = fit.bytes_in(found.params)
    _kinds(found, calls.counts, task.train.size)
    return found


def _gradients(
    found: Look, named: Iterable[tuple[str, Tensor]], modules: dict[str, nn.Module]
) -> None:
    """What their layouts and zeros say."""
    named = list(named)
    found.sparse = tuple(
        name for name, p in named if p.grad is not None and p.grad.layout is not torch.strided
    )
    found.sharded = tuple(name for name, p in named if fit.sharded(p))
    touched = []
    for name, p in named:
        table = isinstance(modules.get(name.rpartition(".")[0]), EMBEDDINGS)
        if table and p.grad is not None and len(p) >= TABLE and name not in found.sharded:
            g = p.grad.coalesce() if p.grad.is_sparse else p.grad
            rows = g.indices().shape[1] if g.is_sparse else int(g.ne(0).any(1).sum())
            touched.append((name, len(p), rows / len(p)))
    found.touched = tuple(touched)


def _held(g: Tensor) -> int:
    """What a gradient takes, sparse or not."""
    if g.layout is torch.strided:
        return tensor_bytes(fit.local(g))
    g = g.coalesce()
    return tensor_bytes([g.indices(), g.values()])


def _alone(what: Callable[[], float]) -> float:
    """On one thread, as a comparison runs."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        return what()
    finally:
        torch.set_num_threads(before)


def _least(gradient: Callable[[], None], device: str) -> float:
    began, best = time.perf_counter(), float("inf")
    while time.perf_counter() - began < TIMED:
        start = time.perf_counter()
        gradient()
        if device == "cuda":
            torch.cuda.synchronize()
        best = min(best, time.perf_counter() - start)
    return best


def _kinds(found: Look, calls: Counter[str], batch: int) -> None:
    """Which kinds of model it is of, and by what that is seen."""
    modules = [*found.model.modules()]

    def count(*kinds: type) -> int:
        return sum(isinstance(m, kinds) for m in modules)

    attention = count(nn.MultiheadAttention) or calls["scaled_dot_product_attention"]
    own = sum("attention" in type(m).__name__.lower() for m in modules)
    norms = count(nn.LayerNorm) or calls["layer_norm"] or calls["rms_norm"]
    by_hand = calls["softmax"] and norms and (calls["matmul"] or calls["bmm"] or calls["einsum"])
    attention = attention or own or (calls["softmax"] if by_hand else 0)
    convolutions = count(*CONVOLUTIONS) or sum(calls[f"conv{n}d"] for n in (1, 2, 3))
    recurrent = count(nn.RNNBase, nn.RNNCellBase)
    tables = count(*EMBEDDINGS) or calls["embedding"] + calls["embedding_bag"]
    linear = count(nn.Linear) or calls["linear"]
    holding = sum(1 for m in modules if any(True for _ in m.parameters(recurse=False)))

    seen = [
        _of(attention, "attention layer"), _of(norms, "LayerNorm", "s") if attention else "",
        _of(convolutions, "convolution"), _of(recurrent, "recurrent layer"),
        _of(tables, "embedding"), _of(linear, "linear layer"),
    ]  # fmt: skip
    rare = [x for x in found.touched if x[2] < RARE]
    kinds = []
    if attention:
        kinds.append(evidence.TRANSFORMER)
        if tables:
            kinds.insert(0, evidence.LANGUAGE)
        elif convolutions:
            kinds.insert(0, evidence.IMAGE_TRANSFORMER)
    elif recurrent:
        kinds.append(evidence.RECURRENT)
    elif convolutions:
        kinds.append(evidence.CONVOLUTIONAL)
    if rare:
        kinds.append(evidence.RARE)
    if not kinds and linear and linear == 1 and holding == 1:
        kinds.append(evidence.LINEAR)
        seen.append("and nothing else with parameters: convex if the loss is, in its outputs")
    if not kinds and linear:
        kinds.append(evidence.PERCEPTRON)
        seen.append("and neither attention, convolutions, recurrence nor embeddings")
    for name, rows, share in rare:
        seen.append(f"of the {rows:,} rows of {name} one batch uses {100 * share:.2g} %")
    found.kinds, found.kind = tuple(kinds), kinds[0] if kinds else ""
    found.because = ", ".join(x for x in seen if x)


def _of(count: int, what: str, plural: str = "s") -> str:
    return f"{count} {what}{plural if count > 1 else ''}" if count else ""
