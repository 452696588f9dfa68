"""From a graph to passes over memory.

A reduction over elements is known only when its pass has ended, so reductions cut the graph: pass
k computes what needs k reductions one after the other. Between the passes stand *finishes*, which
complete the sums and compute everything smaller than the parameter. A value per element that a
later pass needs is computed again from what is in memory; when each new state is stored is chosen
so that the fewest bytes move.

A total over all tensors cuts a finish in two: at the *break* every tensor adds its share, and the
host goes on with the sum.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from .blocks import BLOCK, CODES, scale_name
from .graph import Kind, Node
from .simplify import SLICED, only_slices, simplify, walk
from .trace import Leaf

_IN_PLACE = ("state", "machine_eps")  # small values that need no computing

Load = tuple[str, str]  # ("p", ""), ("g", "") or ("state", name)
SIZES = {"float32": 4, "float64": 8, "bfloat16": 2, "float16": 2}  # bytes
CODED = 1 + 4 / BLOCK  # of a number in 8 bits, with its part of a scale


@dataclass(frozen=True)
class Pass:
    """One sweep over all elements."""

    sums: tuple[Node, ...]  # reductions per tensor, row or column that this pass feeds
    stores: Mapping[str, Node]  # new states per element that this pass writes
    param: Node | None  # the new parameter, written by the last pass
    known: Mapping[Node, str]  # values that an earlier pass left in the state of this name
    loads: tuple[Load, ...]  # the arrays that it reads

    @property
    def reads(self) -> int:
        """Arrays read."""
        return len(self.loads)

    @property
    def written(self) -> tuple[Load, ...]:
        """The arrays that it writes."""
        states: list[Load] = [("state", name) for name in self.stores]
        return (*states, *([] if self.param is None else [("p", "")]))

    @property
    def writes(self) -> int:
        """Arrays written."""
        return len(self.written)


Place = tuple[int, int]  # of a finish and a round of it


@dataclass(frozen=True)
class Finish:
    """What is completed and computed before pass `k`: values per tensor, row, column ..."""

    rounds: tuple[tuple[Node, ...], ...]  # a break between each two
    stores: Mapping[str, Node]  # small states, written once everything else is done


@dataclass(frozen=True)
class Break:
    """After a round of a finish: where all tensors that take this step wait for each other."""

    after: Place
    totals: Mapping[int, Node]  # that are complete here, by the order in which the rule asks
    numbers: tuple[Node, ...]  # that the host can compute from here on
    guard: Node | None  # whether to go on, if that is known here


@dataclass(frozen=True, eq=False)
class Plan:
    """The passes of one leaf, with a finish before each and one after the last."""

    passes: tuple[Pass, ...]
    finishes: tuple[Finish, ...]
    hosts: tuple[Node, ...]  # numbers computed on the host once a step, in this order
    breaks: tuple[Break, ...]  # and those that come later, in theirs
    totals: tuple[Node, ...]  # over all tensors, in the order in which the rule asks for them
    kinds: Mapping[str, Kind]  # of the states that are read or written
    flat: bool  # no row, column or slice matters: memory order is all there is
    slices_as_rows: bool
    storage: Mapping[str, str] = field(default_factory=dict)  # of states not as they are computed
    shared: Mapping[str, Node] = field(default_factory=dict)  # new values of what is there once

    @property
    def states(self) -> tuple[str, ...]:
        """The states that are read or written."""
        return tuple(self.kinds)

    @property
    def quiet(self) -> int:
        """How many breaks come before anything is written that is there after the step."""
        first = next((k for k, x in enumerate(self.passes) if x.writes), len(self.passes))
        return sum(cut.after[0] <= first for cut in self.breaks)

    @property
    def arrays(self) -> tuple[str, ...]:
        """The same with the scales of those in 8 bits, each as it lies in memory."""
        return (*self.kinds, *(scale_name(x) for x in self.kinds if self.storage.get(x) in CODES))

    @property
    def numbers_per_element(self) -> int:
        """Numbers per element moved to and from memory, all passes together."""
        return sum(p.reads + p.writes for p in self.passes)

    def size(self, array: Load, dtype: str) -> float:
        """Bytes of a number of an array that a pass reads or writes, for parameters of a dtype."""
        what, name = array
        own, kept = SIZES[dtype], self.storage.get(name, "")
        if what != "state":
            return own
        return CODED if kept in CODES else SIZES.get(kept, max(own, 4))

    def bytes_per_element(self, dtype: str) -> float:
        """Bytes per element moved to and from memory, for parameters of a dtype."""
        return sum(self.size(x, dtype) for p in self.passes for x in (*p.loads, *p.written))


def plan(leaf: Leaf, kinds: Mapping[str, Kind], storage: Mapping[str, str] | None = None) -> Plan:
    """Cut the graph of a leaf into passes; `kinds` are those of the trace's states, `storage` says
    which of them lie in memory as what."""
    roots = [leaf.param, *leaf.state.values()]
    guards = [] if leaf.guard is None else [leaf.guard]
    late = [*leaf.totals, *guards, *leaf.shared.values()]
    # A state may be finer than what this leaf gives it: another leaf has rows for it, say.
    slices = only_slices([*roots, *late]) and {kinds[k] for k in leaf.state} <= SLICED
    param, *news = simplify([*roots, *late], slices_as_rows=slices)
    state = dict(zip(leaf.state, news, strict=False))
    late = news[len(state) :]
    totals, late = late[: len(leaf.totals)], late[len(leaf.totals) :]
    guard, values = late[: len(guards)], late[len(guards) :]
    if slices:
        kinds = {name: Kind.ROW if k is Kind.SLICE else k for name, k in kinds.items()}
    made = _Planner(param, state, kinds, slices, totals, guard[0] if guard else None).plan()
    return replace(
        made,
        storage={k: v for k, v in (storage or {}).items() if k in made.kinds},
        shared=dict(zip(leaf.shared, values, strict=True)),
    )


class _Planner:
    def __init__(
        self,
        param: Node,
        state: dict[str, Node],
        kinds: Mapping[str, Kind],
        slices_as_rows: bool,
        totals: Sequence[Node],
        guard: Node | None,
    ) -> None:
        self.param = param
        self.totals = totals
        self.guard = guard
        self.slices_as_rows = slices_as_rows
        self.kinds = kinds
        self.wide = {k: n for k, n in state.items() if kinds[k] is Kind.ELEMENT}
        # A small state that becomes another one is copied before either is stored.
        self.small = {
            k: n.graph.node("mul", (n, n.graph.lift(1.0)), kind=n.kind) if n.op in _IN_PLACE else n
            for k, n in state.items()
            if k not in self.wide
        }
        guards = [] if guard is None else [guard]
        self.nodes = list(
            walk([param, *self.wide.values(), *self.small.values(), *totals, *guards])
        )
        self.depth = self._depths()
        # Nothing may change before the last total is known that this step goes by.
        outputs = [*guards, param, *self.wide.values(), *self.small.values()]
        self.first = max((self.depth[n] for n in walk(outputs) if n.op == "all"), default=0)
        self.last = max(self.depth[n] for n in (param, *self.wide.values()))
        self.last = max([self.last, self.first, *(self.depth[n] - 1 for n in self._sums())])

    def _sums(self) -> list[Node]:
        """Reductions over elements, in order."""
        return [
            n for n in self.nodes
            if n.op in ("sum", "sumsq") and n.args[0].kind is Kind.ELEMENT
        ]  # fmt: skip

    def _depths(self) -> dict[Node, int]:
        """How many passes must have ended before a value can be computed."""
        depth: dict[Node, int] = {}
        for n in self.nodes:
            depth[n] = max((depth[a] for a in n.args), default=0)
            if n.op in ("sum", "sumsq") and n.args[0].kind is Kind.ELEMENT:
                depth[n] += 1
        return depth

    def plan(self) -> Plan:
        best: tuple[Pass, ...] | None = None
        fewest = 0
        ranges = [range(max(self.depth[n], self.first), self.last + 1) for n in self.wide.values()]
        # Latest first: among equals, states are best written beside the parameter.
        for when in itertools.product(*(reversed(r) for r in ranges)):
            passes = self._passes(dict(zip(self.wide, when, strict=True)))
            if passes is None:
                continue
            moved = sum(p.reads + p.writes for p in passes)
            if best is None or moved < fewest:
                best, fewest = passes, moved
        assert best is not None  # writing every state in the last pass always works
        kinds = {n.kind for n in self.nodes}
        states = {n.value for n in self.nodes if n.op == "state"} | {*self.wide, *self.small}
        hosts = self._hosts()
        return Plan(
            passes=best,
            finishes=self._finishes(),
            hosts=tuple(n for n in hosts if not n.late),
            breaks=self._breaks([n for n in hosts if n.late]),
            totals=tuple(self.totals),
            kinds={name: self.kinds[name] for name in sorted(states)},
            flat=kinds <= {Kind.HOST, Kind.TENSOR, Kind.ELEMENT},
            slices_as_rows=self.slices_as_rows,
        )

    def _passes(self, when: Mapping[str, int]) -> tuple[Pass, ...] | None:
        """The passes if each state is written in pass `when`, or None if that cannot work."""
        passes = []
        for k in range(self.last + 1):
            sums = tuple(n for n in self._sums() if self.depth[n] == k + 1)
            stores = {name: self.wide[name] for name, at in when.items() if at == k}
            # A parameter that stays as it is (a step of 0) is not written.
            param = self.param if k == self.last and self.param.op != "p" else None
            known = {self.wide[name]: name for name, at in when.items() if at < k}
            outputs = [*(s.args[0] for s in sums), *stores.values()]
            outputs += [] if param is None else [param]
            loads = self._loads(outputs, known, {n for n, at in when.items() if at < k})
            if loads is None:
                return None
            passes.append(Pass(sums, stores, param, known, loads))
        return tuple(passes)

    def _loads(
        self, outputs: Iterable[Node], known: Mapping[Node, str], overwritten: set[str]
    ) -> tuple[Load, ...] | None:
        """The arrays that computing `outputs` reads; None if one was overwritten before."""
        loads: set[Load] = set()
        stack = list(outputs)
        seen: set[int] = set()
        while stack:
            node = stack.pop()
            if node.kind is not Kind.ELEMENT or id(node) in seen:
                continue
            seen.add(id(node))
            if node.op in ("p", "g"):
                loads.add((node.op, ""))
            elif node in known:
                loads.add(("state", known[node]))
            elif node.op == "state":
                if node.value in overwritten:
                    return None
                loads.add(("state", node.value))
            else:
                stack.extend(node.args)
        return tuple(sorted(loads))

    def _finishes(self) -> tuple[Finish, ...]:
        keep = self._kept()
        # What could be computed before the first pass but is not needed in it waits for its end.
        wanted = [self.param, *self.wide.values()]
        for node in self.nodes:
            if node.kind is Kind.ELEMENT and self.depth[node] == 0:
                wanted += node.args
        wanted += [share for total in self.totals if self.depth[total] == 0 for share in total.args]
        early = any(n in keep and self.depth[n] == 0 for n in wanted)
        due = {n: self.depth[n] or (0 if early else 1) for n in self.nodes if n in keep}
        rounds = self._rounds()
        finishes = []
        for k in range(self.last + 2):
            count = 1 + max((rounds[n] for n in rounds if self.depth[n] == k), default=0)
            values: list[list[Node]] = [[] for _ in range(count)]
            for n, when in due.items():
                if when == k:
                    values[rounds[n] if self.depth[n] == k else 0].append(n)
            stores = self.small if k == self.last + 1 else {}
            finishes.append(Finish(tuple(map(tuple, values)), stores))
        return tuple(finishes)

    def _rounds(self) -> dict[Node, int]:
        """How many breaks must have come in the finish that a value belongs to."""
        rounds: dict[Node, int] = {}
        for n in self.nodes:
            same = [rounds[a] for a in n.args if self.depth[a] == self.depth[n]]
            rounds[n] = max(same, default=0) + (n.op == "all")
        return rounds

    def _breaks(self, numbers: Iterable[Node]) -> tuple[Break, ...]:
        rounds = self._rounds()

        def known(n: Node) -> Place:
            """Where the last total is complete that a number depends on."""
            return max((self.depth[x], rounds[x] - 1) for x in walk([n]) if x.op == "all")

        places = sorted({known(total) for total in self.totals})
        return tuple(
            Break(
                place,
                {i: total for i, total in enumerate(self.totals) if known(total) == place},
                tuple(n for n in numbers if known(n) == place),
                self.guard if self.guard is not None and known(self.guard) == place else None,
            )
            for place in places
        )

    def _kept(self) -> set[Node]:
        """Values smaller than the parameter that get a place in memory of their own."""
        keep: set[Node] = set()

        def small(n: Node) -> bool:
            return n.kind not in (Kind.HOST, Kind.ELEMENT)

        for node in self.nodes:
            if node.op in ("sum", "sumsq", "count"):
                keep.add(node)
            for arg in node.args:
                if small(arg) and arg.kind is not node.kind:
                    keep.add(arg)
        keep.update(n for n in self.small.values() if small(n))
        keep.update(n for n in (self.param, *self.wide.values()) if small(n))
        return {n for n in keep if n.op not in _IN_PLACE}

    def _hosts(self) -> tuple[Node, ...]:
        """Numbers that something other than another number needs."""
        used = [a for n in self.nodes if n.kind is not Kind.HOST for a in n.args]
        used += [self.param, *self.wide.values(), *self.small.values()]
        found = {n: None for n in used if n.kind is Kind.HOST and n.op != "const"}
        return tuple(found)
