"""State that notices when it is replaced, and checkpoints from here and from torch."""

from __future__ import annotations

import weakref
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor

from . import blocks
from .blocks import SCALE
from .rule import Rule

# How an optimizer works, not what it computes: as it was made, whatever is loaded.
OURS = ("state_dtype", "capturable", "differentiable", "foreach", "fused")


class States(defaultdict):  # type: ignore[type-arg]
    """`optimizer.state`. Kernels keep the addresses of states, so whoever puts another tensor in
    a state's place (after loading, say, or to reset it) sets `stale`."""

    def __init__(self, *args: Any) -> None:
        super().__init__(dict, *args)
        self.stale = True

    def __setitem__(self, key: Any, value: Any) -> None:
        self.stale = True
        super().__setitem__(key, value)

    def __delitem__(self, key: Any) -> None:
        self.stale = True
        super().__delitem__(key)

    def clear(self) -> None:
        self.stale = True
        super().clear()

    def pop(self, *args: Any) -> Any:
        self.stale = True
        return super().pop(*args)

    def update(self, *args: Any, **kwargs: Any) -> None:
        self.stale = True
        super().update(*args, **kwargs)

    def __reduce__(self) -> Any:
        return defaultdict, (dict, {p: dict(state) for p, state in self.items()})


class ParamState(dict[str, Any]):
    """The state of one parameter; tells its States when an entry is replaced."""

    def __init__(self, owner: States, values: Mapping[str, Any]) -> None:
        super().__init__(values)
        # Weakly: in a ring, states would wait for the garbage collector to go.
        self._owner = weakref.ref(owner)

    def _changed(self) -> None:
        owner = self._owner()
        if owner is not None:
            owner.stale = True

    def __setitem__(self, key: str, value: Any) -> None:
        self._changed()
        super().__setitem__(key, value)

    def __delitem__(self, key: str) -> None:
        self._changed()
        super().__delitem__(key)

    def clear(self) -> None:
        self._changed()
        super().clear()

    def pop(self, *args: Any) -> Any:
        self._changed()
        return super().pop(*args)

    def update(self, *args: Any, **kwargs: Any) -> None:
        self._changed()
        super().update(*args, **kwargs)

    def __reduce__(self) -> Any:
        return dict, (dict(self),)


def restored(state: Mapping[str, Any]) -> dict[str, Any]:
    """A state's own copy, in the dtype that it was saved in."""
    return {k: v.detach().clone() if isinstance(v, Tensor) else v for k, v in state.items()}


def same_rule(state_dict: Mapping[str, Any], rule: Rule) -> None:
    """Raise ValueError if it is of another rule, whose m may be no m of this one.

    torch's own, and those from before the name was saved, say nothing of it.
    """
    saved = state_dict.get("glissade", {}).get("rule", rule.name)
    if saved != rule.name:
        raise ValueError(
            f"the state_dict is of the rule {saved}, and this optimizer runs {rule.name}: load it "
            f"into an optimizer with {saved} (wrappers count: lookahead(adam) is not adam), or "
            "start anew without loading. If you know that the states mean the same, delete "
            "state_dict['glissade']['rule']"
        )


def prepared(
    state_dict: Mapping[str, Any], groups: Sequence[Mapping[str, Any]], rule: Rule
) -> dict[str, Any]:
    """A state_dict as this optimizer would have written it: names, order and values filled in."""
    same_rule(state_dict, rule)
    saved = list(state_dict["param_groups"])
    if len(saved) != len(groups):
        raise ValueError(
            f"the state_dict has {len(saved)} parameter groups and the optimizer {len(groups)}: "
            "make the optimizer with the same groups before loading"
        )
    state, ready = {}, []
    for number, (theirs, ours) in enumerate(zip(saved, groups, strict=True)):
        ids = _matched(number, theirs, ours)
        for i, p in zip(ids, ours["params"], strict=True):
            if i in state_dict["state"]:
                state[i] = _state(state_dict["state"][i], p, rule, number)
        own = {k: v for k, v in ours.items() if k != "params"}
        base = theirs.get("base_lr", theirs.get("initial_lr", theirs["lr"]))
        mine = {key: own[key] for key in OURS if key in own}
        group = {**own, **theirs, **mine, "base_lr": base, "params": ids}
        decoupled = group.pop("decoupled_weight_decay", None)  # torch's word for it
        if decoupled is not None and "decay" in own:
            group["decay"] = "decoupled" if decoupled else "l2"
        if "param_names" in ours:
            group["param_names"] = ours["param_names"]
        ready.append(group)
    return {"state": state, "param_groups": ready}


def _matched(number: int, theirs: Mapping[str, Any], ours: Mapping[str, Any]) -> list[Any]:
    """The ids of the saved parameters in the order of ours."""
    ids, count = list(theirs["params"]), len(ours["params"])
    if len(ids) != count:
        raise ValueError(
            f"group {number}: the state_dict has {len(ids)} parameters and the optimizer {count}"
        )
    if "param_names" not in theirs or "param_names" not in ours:
        return ids
    by_name = dict(zip(theirs["param_names"], ids, strict=True))
    lost = [name for name in ours["param_names"] if name not in by_name]
    if lost:
        extra = [name for name in by_name if name not in ours["param_names"]]
        raise ValueError(
            f"group {number}: the state_dict has no parameter named {lost[0]!r} ({len(lost)} "
            f"missing); it has {extra[0]!r} instead ({len(extra)} such)"
        )
    return [by_name[name] for name in ours["param_names"]]


def _state(state: Mapping[str, Any], p: Tensor, rule: Rule, number: int) -> dict[str, Any]:
    """One parameter's state under our names (torch's code calls m exp_avg); shapes must fit."""
    ours = {theirs: name for name, theirs in rule.aliases.items()}
    out = {ours.get(key, key): value for key, value in state.items() if value is not None}
    for key, x in out.items():
        if not isinstance(x, Tensor) or x.ndim == 0 or rule.matrix:
            continue
        codes = out.get(key.removesuffix(SCALE))
        if key.endswith(SCALE) and isinstance(codes, Tensor) and codes.dtype in blocks.OF:
            continue  # one for each block: see `Member.fit`
        if x.ndim != p.ndim or any(a not in (1, b) for a, b in zip(x.shape, p.shape, strict=True)):
            raise ValueError(
                f"group {number}: state {key!r} has shape {tuple(x.shape)}, which does not "
                f"fit a parameter of shape {tuple(p.shape)}"
            )
    return out
