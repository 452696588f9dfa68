"""Copies and checkpoints of an optimizer and its model."""

from __future__ import annotations

from collections.abc import Sequence

from .pair import Pair
from .world import bits, literal, numbers

# From the names of torch's states to those of the transcriptions.
TORCH: dict[str, tuple[str, dict[str, str]]] = {
    "sgd": ("SGD", {"momentum_buffer": "v"}),
    "adagrad": ("Adagrad", {"sum": "G"}),
    "rmsprop": ("RMSprop", {"square_avg": "W", "grad_avg": "a", "momentum_buffer": "b"}),
    "adadelta": ("Adadelta", {"square_avg": "W", "acc_delta": "P"}),
    "adam": ("Adam", {"exp_avg": "m", "exp_avg_sq": "v", "max_exp_avg_sq": "v_max"}),
    "adamw": ("AdamW", {"exp_avg": "m", "exp_avg_sq": "v", "max_exp_avg_sq": "v_max"}),
    "adamax": ("Adamax", {"exp_avg": "m", "exp_inf": "u"}),
    "nadam": ("NAdam", {"exp_avg": "m", "exp_avg_sq": "v", "mu_product": "mu_product"}),
    "radam": ("RAdam", {"exp_avg": "m", "exp_avg_sq": "v"}),
    "adafactor": ("Adafactor", {"row_var": "R", "col_var": "C", "variance": "V"}),
}
KEYS = (
    "lr", "momentum", "dampening", "nesterov", "weight_decay", "betas", "eps", "alpha", "centered",
    "rho", "amsgrad", "lr_decay", "initial_accumulator_value", "momentum_decay", "beta2_decay", "d",
    "maximize",
)  # fmt: skip


class Resumed(Pair):
    """A pair that is copied, saved and loaded."""

    def fork(self, way: str, how: Sequence[str], seed: int, stay: bool) -> None:
        """Copy everything, take the same step with both, and go on with one of them."""
        self.calls += 1
        with self.world.explained(f"a copy by {way}"):
            self._copy(way)
        self.feed()
        grads = self.gradients(how, seed)
        feed = self.world.lines[-2] if self.spec.name == "sophia" else ""
        with self.world.explained(f"a step after a copy by {way}"):
            if feed:
                self.world.run(feed.replace("opt.feed", "twin.feed"))
            self.world.run("for p, q in zip(params, copied):\n    q.grad = p.grad")
            self.world.run("opt.step(); twin.step()")
        self.model.step(grads)
        if bits(self.world.params) != bits(self.world.value("copied")):
            check = "print(params, 'is not', copied)"
            raise self.world.mismatch(f"a copy by {way} does not go on bit for bit", check)
        if not stay:
            self.world.run("params, opt = copied, twin")
            self.scheduled = None
        self.check(f"a copy by {way}")

    def _copy(self, way: str) -> None:
        run = self.world.run
        if way == "deepcopy":
            run("copied, twin = copy.deepcopy((params, opt))")
            return
        if way == "pickle":
            run("copied, twin = pickle.loads(pickle.dumps((params, opt)))")
            return
        run("copied = [p.detach().clone().requires_grad_(p.requires_grad) for p in params]")
        groups, start = [], 0
        for group in self.model.groups:
            places = self.places[start : (start := start + len(group.slots))]
            groups.append(f'{{"params": [{", ".join(f"copied[{i}]" for i in places)}]}}')
        opt = f"glissade.Optimizer([{', '.join(groups)}], rule(), backend={self.spec.backend!r})"
        run(f"twin = {opt}")
        source = "kept(written(opt.state_dict()))" if way == "torch.save" else "opt.state_dict()"
        run(f"twin.load_state_dict({source})")

    def save(self) -> None:
        """Write a checkpoint."""
        with self.world.explained("state_dict"):
            self.world.run("checkpoint = written(opt.state_dict())")
        self.world.run("values = [p.detach().clone() for p in params]")
        self.saved = (self.model.snapshot(), list(self.places), self.counted)

    def load(self) -> None:
        """Go back to the checkpoint, if there is one of as many groups."""
        if self.saved is None or self.saved[1] != self.places:
            return
        with self.world.explained("load_state_dict"):
            self.world.run("opt.load_state_dict(kept(checkpoint))")
        self.world.run(
            "with torch.no_grad():\n    for p, q in zip(params, values):\n        p.copy_(q)"
        )
        self.model.restore(self.saved[0])
        self.counted, self.scheduled = self.saved[2], None
        self.check("load_state_dict")

    def reload(self) -> None:
        """Load the optimizer's own state_dict, as it is."""
        with self.world.explained("load_state_dict of its own state_dict"):
            self.world.run("opt.load_state_dict(opt.state_dict())")
        self.check("load_state_dict of its own state_dict")

    def takes_torch(self) -> bool:
        """Tell whether torch's optimizer of this name computes the same."""
        groups = [group.hyper for group in self.model.groups]
        hyper = groups[0]
        usual = "decoupled" if self.spec.name in ("adamw", "adafactor") else "l2"
        return (
            self.spec.name in TORCH
            and hyper.get("variant", "torch") == "torch"
            and hyper["decay"] == usual
            and all(d == "float64" for d in self.spec.dtypes)
            and not any(
                g.hyper.get("nesterov") and not g.hyper["momentum"] for g in self.model.groups
            )
            and not (
                self.spec.name == "sgd" and self.model.has("lookahead")
            )  # torch counts no steps
        )

    def load_torch(self, steps: int, how: Sequence[str], seed: int) -> None:
        """Take over a checkpoint of torch's optimizer of the same name, and its parameters."""
        title, names = TORCH[self.spec.name]
        run, model = self.world.run, self.model
        groups, start = [], 0
        for group in model.groups:
            places = self.places[start : (start := start + len(group.slots))]
            own = {k: group.hyper[k] for k in KEYS if k in group.hyper}
            words = "".join(f", {k!r}: {v!r}" for k, v in own.items())
            groups.append(f'{{"params": [{", ".join(f"theirs[{i}]" for i in places)}]{words}}}')
        run("theirs = [p.detach().clone().requires_grad_() for p in params]")
        run(f"torches = torch.optim.{title}([{', '.join(groups)}], foreach=False)")
        for t in range(steps):
            given: list[str] = []
            for i, p in enumerate(self.world.params):
                g = literal(numbers(seed + 97 * t + 31 * i, tuple(p.shape)))
                given.append(f"theirs[{i}].grad = {'None' if how[i % len(how)] == 'none' else g}")
            run("\n".join([*given, "torches.step()"]))
        with self.world.explained("loading torch's checkpoint"):
            run("opt.load_state_dict(kept(written(torches.state_dict())))")
        run("with torch.no_grad():\n    for p, q in zip(params, theirs):\n        p.copy_(q)")
        theirs = self.world.value("torches")
        for group in model.groups:
            group.hyper["base_lr"] = group.hyper["lr"]
        for i, slot in zip(self.places, model.slots, strict=True):
            q = self.world.value(f"theirs[{i}]")
            held = theirs.state.get(q, {})
            slot.reset()
            slot.put(q.detach().double().numpy().copy())
            slot.t = int(held.get("step", 0))
            for key, name in names.items():
                if held.get(key) is not None:
                    slot.state[name] = held[key].double().numpy().copy()
        model.done = model.skipped = 0
        self.counted = self.counted and title != "SGD"  # whose states hold no count
        self.scheduled = None
        self.check("loading torch's checkpoint")
