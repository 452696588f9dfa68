"""What is kept in fewer bits than it is computed in: states, and parameters of half precision.

What a rule returns as a new state is rounded to its storage before anything else of the same step
uses it, so that a later pass, or the next step, finds in memory the very value that was used.

States are rounded up or down at random, so that they are right in the mean: an average that moves
by a thousandth a step would stand still for ever if it were rounded to the nearest of numbers that
are a hundredth apart. The noise is a hash of (seed, step, element): the same on every backend and
for any number of threads.

`glissade.blocks` says what 8 bits stand for.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import torch

from .blocks import CODES, scale_name
from .bounds import divided_by, never_negative
from .checks import nearest
from .graph import Kind, Node
from .simplify import walk
from .trace import Leaf

if TYPE_CHECKING:
    from .rule import Rule

LOWER = ("bfloat16", "int8")
# Of each storage there is; "int8" of what is never negative is "uint8".
DTYPES = {"bfloat16": torch.bfloat16} | {name: code.dtype for name, code in CODES.items()}
FULL = "float32"
Choice = str | tuple[tuple[str, str], ...] | None  # of all states, or by their names


def asked(given: Any) -> Choice:
    """`state_dtype` as it was given, in one form; TypeError or ValueError where it is none."""
    if given is None or given is torch.float32 or given == FULL:
        return None
    if isinstance(given, Mapping):
        pairs = {str(name): asked(value) for name, value in given.items()}
        chosen = tuple(sorted((k, v) for k, v in pairs.items() if isinstance(v, str)))
        return chosen or None
    name = str(given).removeprefix("torch.")
    if name not in LOWER:
        words = ", ".join(map(repr, (FULL, *LOWER)))
        raise ValueError(
            f"state_dtype={given!r}: allowed are {words}, or a dict of them by the names of states"
            f"{nearest(name, (FULL, *LOWER))}"
        )
    return name


def in_codes(choice: Choice) -> bool:
    """Whether any state is to be kept in 8 bits."""
    given = dict(choice).values() if isinstance(choice, tuple) else (choice,)
    return any(kept in CODES for kept in given)


def of_states(
    given: Choice, kinds: Mapping[str, Kind], rule: Rule, leaves: Collection[Leaf]
) -> dict[str, str]:
    """The states that are kept lower, and in what: those with a value for each element, and in
    8 bits those that the rule writes itself.

    Raises:
        ValueError: a name that the rule has no state of, or of a state that cannot be kept so.
    """
    wide = [name for name, kind in kinds.items() if kind is Kind.ELEMENT]
    if given is None or isinstance(given, str):
        found = {} if given is None else dict.fromkeys(wide, given)
    else:
        ours = {theirs: name for name, theirs in rule.aliases.items()}
        found = {ours.get(name, name): dtype for name, dtype in given}
        for name in found:
            _can(name, found[name], kinds, rule)
    found |= rule.keeps
    found = {name: found[name] for name in wide if found.get(name, FULL) != FULL}
    coded = [name for name in found if found[name] in CODES]
    if not coded:
        return found
    for name in coded:
        if scale_name(name) in kinds:
            raise ValueError(
                f"{rule.name}: the state {name!r} cannot be kept in 8 bits: its scales would be "
                f"called {scale_name(name)!r}, as another state is: rename that"
            )
    unsigned = never_negative(leaves, kinds)
    for name in sorted(divided_by(leaves, unsigned).intersection(coded)):
        rest = {x: found[x] for x in coded if x != name and x not in rule.inputs}
        raise ValueError(
            f"{rule.name}: the state {name!r} cannot be kept in 8 bits: something is divided by "
            "it, and nothing shows that it is never negative, so that it may be rounded to 0; "
            f"give state_dtype={rest} or 'bfloat16'"
        )
    return {k: v for k, v in found.items() if k not in coded} | {
        name: "uint8" if name in unsigned else "int8" for name in coded if name not in rule.inputs
    }


def _can(name: str, dtype: str, kinds: Mapping[str, Kind], rule: Rule) -> None:
    """Raise ValueError unless the state that somebody named can be kept in a dtype."""
    if name not in kinds:
        raise ValueError(
            f"{rule.name}: state_dtype names the state {name!r}; it keeps {', '.join(kinds)}"
            f"{nearest(name, kinds)}"
        )
    why = ""
    if kinds[name] is not Kind.ELEMENT:
        why = f"it has one value per {kinds[name].word}, not per element"
    elif name in rule.keeps:
        why = f"{rule.keeps[name]} is what it needs"
    elif name in rule.inputs and dtype in CODES:
        why = "it is written from outside of the step"
    if why:
        raise ValueError(
            f"{rule.name}: state_dtype names the state {name!r} with {dtype!r}, but {why}: leave "
            f"{name!r} out"
        )


PARAMETER = "parameter"  # stands for the storage of the parameter, whatever that is


def rounded(leaf: Leaf, storage: Mapping[str, str], parameter: bool) -> Leaf:
    """The leaf with every new state of `storage` rounded where it is used; and the new parameter,
    at random, where that is asked for."""
    if not storage and not parameter:
        return leaf
    low: dict[int, tuple[str, int]] = {}
    for number, name in enumerate(sorted(storage)):
        node = leaf.state.get(name)
        # What comes from memory as it is (lookahead's first slow weights are the parameter) is
        # not this state's: only its copy is rounded, when it is written.
        if node is not None and node.kind is Kind.ELEMENT and node.args:
            low.setdefault(id(node), (storage[name], number))
    guards = [] if leaf.guard is None else [leaf.guard]
    done: dict[int, Node] = {}
    shared = leaf.shared.values()
    roots = [leaf.step, leaf.param, *leaf.state.values(), *leaf.totals, *guards, *shared]
    for node in walk(roots):
        args = tuple(done[id(a)] for a in node.args)
        graph = node.graph
        new = graph.node(node.op, args, node.value, node.kind, node.bool_) if args else node
        if id(node) in low:
            new = _stored(new, *low[id(node)])
        done[id(node)] = new
    state = {name: done[id(node)] for name, node in leaf.state.items()}
    for number, name in enumerate(sorted(storage)):
        # A code is of this state: what comes from elsewhere is coded for it, and for it alone.
        if storage[name] in CODES and name in state and not _is_stored(state[name], storage[name]):
            state[name] = _stored(state[name], storage[name], number)
    param = done[id(leaf.param)]
    if parameter and param.kind is Kind.ELEMENT and param.args:
        param = _stored(param, PARAMETER, len(storage))
    return replace(
        leaf,
        step=done[id(leaf.step)],
        param=param,
        state=state,
        totals=tuple(done[id(node)] for node in leaf.totals),
        guard=None if leaf.guard is None else done[id(leaf.guard)],
        shared={name: done[id(node)] for name, node in leaf.shared.items()},
    )


def _stored(node: Node, dtype: str, number: int) -> Node:
    """A node rounded to its storage by noise of its own: half of a hash, two share one."""
    key = node.graph.node("key", value=number // 2, kind=Kind.HOST)
    noise = node.graph.node("noise", (key,), kind=Kind.ELEMENT)
    return node.graph.node("stored", (node, noise), (dtype, number % 2), Kind.ELEMENT)


def _is_stored(node: Node, dtype: str) -> bool:
    return node.op == "stored" and bool(node.value[0] == dtype)


# Noise. A key, well mixed by Murmur's last steps (Appleby 2011), plus the place times an odd
# number, mixed once more: a bijection of 32 bits, so that over places it is as even as can be. That
# makes roundings right in the mean. Another round would cost a kernel a tenth of its time.

BITS = 0xFFFFFFFF
SPREAD, FIRST, SECOND = 0x9E3779B1, 0x85EBCA6B, 0xC2B2AE35
LOW_SHIFT, HIGH_SHIFT = 15, 16


def mixed(x: Any) -> Any:
    """32 bits well mixed: of a number, or of each of a tensor of int64."""
    x = x & BITS
    for shift, factor in ((16, FIRST), (13, SECOND)):
        x = ((x ^ (x >> shift)) * factor) & BITS
    return x ^ (x >> 16)


def key(number: int, t: int, seed: int) -> float:
    """What the noise of a step begins with, exact in a double."""
    return float(mixed(mixed(mixed(seed) * SPREAD + t) * SPREAD + number))


def noise(key: float, places: torch.Tensor) -> torch.Tensor:
    """32 random bits for each element, by its place in memory."""
    x = (places * SPREAD + int(key)) & BITS
    x = ((x ^ (x >> LOW_SHIFT)) * FIRST) & BITS
    return x ^ (x >> HIGH_SHIFT)


def stochastic(x: torch.Tensor, bits: torch.Tensor, half: int) -> torch.Tensor:
    """A float32 tensor rounded up or down to bfloat16 by 16 of the noise's bits; still float32."""
    some = (bits >> 16 if half else bits) & 0xFFFF
    whole = x.contiguous().view(torch.int32).to(torch.int64) + some.reshape(x.shape)
    upper = (whole & 0xFFFF0000) - ((whole & 0x80000000) << 1)  # back to a signed number
    out = upper.to(torch.int32).view(torch.float32).reshape(x.shape)
    return torch.where(torch.isnan(x), x, out)
