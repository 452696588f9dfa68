"""Checkpoints from here, from earlier versions of the format, and from torch.

Everything in a state_dict is looked at before anything of an optimizer is touched. An error names
the entry that is wrong.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from . import blocks, checks
from .backend.member import real, state_shape
from .blocks import SCALE
from .graph import Kind
from .program import Program, Programs
from .rule import Rule
from .settings import check_alike, check_flags
from .simplify import walk

ENTRY, VERSION = "glissade", 2

# How an optimizer works, not what it computes: as it was made, whatever is loaded.
OURS = ("state_dtype", "capturable", "differentiable", "foreach", "fused")


def restored(state: Mapping[str, Any]) -> dict[str, Any]:
    """Return a state's own copy, in the dtype that it was saved in."""
    return {k: v.detach().clone() if isinstance(v, Tensor) else v for k, v in state.items()}


def same_rule(state_dict: Mapping[str, Any], rule: Rule) -> None:
    """Raise ValueError if it is of another rule, whose m may be no m of this one.

    torch's own, and those from before the name was saved, do not say.
    """
    saved = _entry(state_dict).get("rule", rule.name)
    if saved != rule.name:
        raise ValueError(
            f"the state_dict is of the rule {saved}, and this optimizer runs {rule.name}: load it "
            f"into an optimizer with {saved} (wrappers count: lookahead(adam) is not adam), or "
            "start anew without loading"
        )


def _entry(state_dict: Mapping[str, Any]) -> Mapping[str, Any]:
    """What this package writes beside states and groups; nothing in a checkpoint of torch's."""
    entry = state_dict.get(ENTRY, {})
    if not isinstance(entry, Mapping):
        raise TypeError(f"state_dict[{ENTRY!r}] is a {type(entry).__name__}: it must be a dict")
    version = entry.get("version", VERSION)
    if not checks.is_number(version) or version > VERSION:
        raise ValueError(
            f"state_dict[{ENTRY!r}]['version'] is {version!r}, and this release reads up to "
            f"{VERSION}: install the release that wrote it"
        )
    return entry


def prepared(
    state_dict: Mapping[str, Any], groups: Sequence[Mapping[str, Any]], programs: Programs
) -> dict[str, Any]:
    """Return a state_dict as this optimizer would have written it: names, order and values filled
    in.

    Raises:
        ValueError, TypeError: another rule's or optimizer's states, or an entry that cannot be.
    """
    rule = programs.rule
    saved, states = _parts(state_dict)
    same_rule(state_dict, rule)
    if len(saved) != len(groups):
        raise ValueError(
            f"the state_dict has {len(saved)} parameter groups and the optimizer {len(groups)}: "
            "make the optimizer with the same groups before loading"
        )
    if _entry(state_dict).get("version") == 1:
        saved, states = _from_version_1(saved, states, rule)
    ready = [_group(n, x, y, rule) for n, (x, y) in enumerate(zip(saved, groups, strict=True))]
    check_alike(rule, ready)
    own = ENTRY in state_dict
    state = {}
    for number, (group, ours) in enumerate(zip(ready, groups, strict=True)):
        for place, (i, p) in enumerate(zip(group["params"], ours["params"], strict=True)):
            if i in states:
                where = f"group {number}, parameter {place}"
                state[i] = _state(states[i], p, group, programs, where, own)
    lost = [key for key in states if key not in state]
    if lost:
        raise ValueError(
            f"state_dict['state'] has the key {lost[0]!r}, which is of no parameter: its groups "
            f"name {sorted(map(str, state))[:5]} and so on; load the state_dict as it was saved"
        )
    return {"state": state, "param_groups": ready}


def _parts(state_dict: Any) -> tuple[list[Mapping[str, Any]], Mapping[Any, Any]]:
    """The groups and the states, with the types that they must have."""
    if not isinstance(state_dict, Mapping):
        raise TypeError(f"a state_dict is a dict, not a {type(state_dict).__name__}")
    for key, kind in (("param_groups", Sequence), ("state", Mapping)):
        if not isinstance(state_dict.get(key), kind) or isinstance(state_dict[key], str):
            raise TypeError(
                f"state_dict[{key!r}] is a {type(state_dict.get(key)).__name__}: it must be a "
                f"{'list' if kind is Sequence else 'dict'}, as optimizer.state_dict() returns it"
            )
    for number, group in enumerate(state_dict["param_groups"]):
        if not isinstance(group, Mapping) or not isinstance(group.get("params"), (list, tuple)):
            raise TypeError(
                f"state_dict['param_groups'][{number}]['params'] must be a list of parameters' ids"
            )
    return list(state_dict["param_groups"]), state_dict["state"]


def _group(
    number: int, theirs: Mapping[str, Any], ours: Mapping[str, Any], rule: Rule
) -> dict[str, Any]:
    """A saved group with what this optimizer adds to it; its values have been looked at."""
    own = {k: v for k, v in ours.items() if k != "params"}
    if "lr" not in theirs:
        raise ValueError(f"group {number} of the state_dict has no 'lr'")
    base = theirs.get("base_lr", theirs.get("initial_lr", theirs["lr"]))
    mine = {key: own[key] for key in OURS if key in own}
    # What the optimizer has once begins anew where the checkpoint does not have it.
    group = {**own, **rule.shared, **theirs, **mine, "base_lr": base}
    group["params"] = _matched(number, theirs, ours)
    decoupled = group.pop("decoupled_weight_decay", None)  # torch's word for it
    # As in torch, AdamW stays decoupled where it goes on from Adam's checkpoint.
    if decoupled is not None and rule.hyper.get("decay") == "l2":
        group["decay"] = "decoupled" if decoupled else "l2"
    if "param_names" in ours:
        group["param_names"] = ours["param_names"]
    try:
        rule.check({k: v for k, v in group.items() if k in (*rule.hyper, "base_lr")})
        check_flags(group)
    except (TypeError, ValueError) as error:
        raise type(error)(f"group {number} of the state_dict: {error}") from None
    return group


def _matched(number: int, theirs: Mapping[str, Any], ours: Mapping[str, Any]) -> list[Any]:
    """The ids of the saved parameters in the order of ours."""
    ids, count = list(theirs["params"]), len(ours["params"])
    if len(ids) != count:
        raise ValueError(
            f"group {number}: the state_dict has {len(ids)} parameters and the optimizer {count}"
        )
    if len({*map(repr, ids)}) != count:
        raise ValueError(f"group {number}: 'params' of the state_dict names a parameter twice")
    if "param_names" not in theirs or "param_names" not in ours:
        return ids
    names = theirs["param_names"]
    if not isinstance(names, (list, tuple)) or len(names) != count:
        raise ValueError(f"group {number}: 'param_names' of the state_dict are not {count} names")
    by_name = dict(zip(names, ids, strict=True))
    lost = [name for name in ours["param_names"] if name not in by_name]
    if lost:
        extra = [name for name in by_name if name not in ours["param_names"]]
        raise ValueError(
            f"group {number}: the state_dict has no parameter named {lost[0]!r} ({len(lost)} "
            f"missing); it has {extra[0]!r} instead ({len(extra)} such)"
        )
    return [by_name[name] for name in ours["param_names"]]


def _state(
    state: Any, p: Tensor, group: Mapping[str, Any], programs: Programs, where: str, own: bool
) -> dict[str, Any]:
    """One parameter's state under our names (torch's code calls m exp_avg)."""
    rule = programs.rule
    if not isinstance(state, Mapping):
        raise TypeError(f"{where}: its state is a {type(state).__name__}, and must be a dict")
    ours = {theirs: name for name, theirs in rule.aliases.items()}
    out: dict[Any, Any] = {
        ours.get(key, key): value for key, value in state.items() if value is not None
    }
    if not out:
        return out
    if "step" not in out and not own and rule.aliases:
        out["step"] = torch.tensor(1, device="cpu")  # torch's SGD counts none, and needs none
    out["step"] = _step(out.get("step"), where)
    if rule.matrix:
        _check_matrices(out, p, group, rule, where)
        return out
    values = {k: v if k == "state_dtype" else checks.plain(v) for k, v in group.items()}
    shape = real(p.detach()).shape
    program = programs.of(values, shape)
    for key, x in out.items():
        if key != "step":
            _check_tensor(key, x, program, shape, out, where, own, rule)
    _check_complete(out, program, values, where, rule)
    return out


def _check_matrices(
    state: Mapping[str, Any], p: Tensor, group: Mapping[str, Any], rule: Rule, where: str
) -> None:
    """Raise ValueError or TypeError unless these can be the states of a rule on matrices."""
    for key, x in state.items():
        if key != "step" and not isinstance(x, Tensor):
            raise TypeError(f"{where}: its state {key!r} is a {type(x).__name__}, not a tensor")
    if rule.shapes is None or not int(checks.plain(state["step"])):
        return
    shape = tuple(real(p.detach()).shape)
    wanted = dict(rule.shapes(real(p.detach()).shape, group))
    found = {key: tuple(x.shape) for key, x in state.items() if key != "step"}
    if "(" in rule.name:  # what a wrapper keeps is one for each element, or for the tensor
        others = found.keys() - wanted.keys()
        wanted |= {key: () if found[key] == () else shape for key in others}
    for key in sorted(wanted.keys() | found.keys()):
        if wanted.get(key) != found.get(key):
            raise ValueError(
                f"{where}: its state {key!r} has shape {found.get(key, 'missing')}, and must have "
                f"{wanted.get(key, 'none: it is not kept')}"
            )


def _step(step: Any, where: str) -> Any:
    """A count of steps as we keep it, if it is one."""
    count = checks.plain(step)
    if step is None:
        raise ValueError(f"{where}: its state has no 'step', the number of steps taken")
    if not checks.is_number(count) or not math.isfinite(count) or count < 0 or count % 1:
        raise ValueError(f"{where}: step={count!r} must be a whole number that is 0 or more")
    # A copy: in memory that other processes share they would count ours as well.
    device = step.device if isinstance(step, Tensor) else "cpu"
    return torch.tensor(int(count), dtype=torch.int64, device=device)


def _check_tensor(
    key: str,
    x: Any,
    program: Program,
    shape: torch.Size,
    state: Mapping[str, Any],
    where: str,
    own: bool,
    rule: Rule,
) -> None:
    """Raise ValueError or TypeError unless this may be the state of that name."""
    kind = program.states.get(key)
    if kind is None:
        codes = state.get(key.removesuffix(SCALE))
        scales = key.endswith(SCALE) and isinstance(codes, Tensor) and codes.dtype in blocks.OF
        if own or scales or key in rule.aliases:
            return  # scales: see `Member.fit`; of another value of a hyperparameter; the user's own
        raise ValueError(
            f"{where}: the state_dict has a state {key!r}, which {rule.name} does not keep (it "
            f"keeps {', '.join(program.states) or 'none'}): it is of another optimizer. Load it "
            "into that one, or start anew without loading"
        )
    if not isinstance(x, Tensor):
        raise TypeError(f"{where}: its state {key!r} is a {type(x).__name__}, not a tensor")
    wanted = state_shape(kind, shape)
    if kind is Kind.TENSOR and x.numel() == 1:
        wanted = tuple(x.shape)  # torch keeps some of shape (1,)
    if tuple(x.shape) != wanted and tuple(real(x.detach()).shape) != wanted:
        raise ValueError(
            f"{where}: its state {key!r} has shape {tuple(x.shape)}, and must have {wanted}"
        )


def _check_complete(
    state: Mapping[str, Any], program: Program, values: Mapping[str, Any], where: str, rule: Rule
) -> None:
    """Raise ValueError if a state is missing that the next step goes on from, and that zeros
    cannot stand for: those that start from something else a rule makes where they are absent."""
    t = int(checks.plain(state["step"]))
    if not t:
        return
    leaf = program.leaves[program.choose(t + 1, values, state)]
    nodes = walk([leaf.param, *leaf.state.values()])
    read = {node.value for node in nodes if node.op == "state"} - rule.inputs.keys()
    lost = sorted(read - state.keys())
    if lost:
        theirs = rule.aliases.get(lost[0])
        name = repr(lost[0]) + (f" ({theirs!r} in torch)" if theirs else "")
        raise ValueError(
            f"{where}: the state_dict has taken {t} steps, but has no state {name}, which "
            f"{rule.name} goes on from; it has {', '.join(sorted(map(str, state)))}: load it into "
            "the optimizer that wrote it, or start anew without loading"
        )


def _from_version_1(
    groups: Sequence[Mapping[str, Any]], states: Mapping[Any, Any], rule: Rule
) -> tuple[list[Mapping[str, Any]], Mapping[Any, Any]]:
    """What has changed: `accumulate` counted gradients as steps, for each parameter by itself."""
    if "accumulate_n" not in rule.hyper:
        return list(groups), states
    n = int(checks.plain(groups[0].get("accumulate_n", 1)))
    taken = [int(checks.plain(_step(s.get("step"), "version 1"))) for s in states.values()]
    done = max(taken, default=0) % n
    new = {}
    for (i, state), t in zip(states.items(), taken, strict=True):
        kept = {k: v for k, v in state.items() if done or k != "accumulate_sum"}
        new[i] = {**kept, "step": torch.tensor(t // n, device="cpu")}
    return [{**group, "accumulate_done": done} for group in groups], new
