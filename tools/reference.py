"""Writes docs/optimizers.md: the registry as a reference, with a guide to which one to take; and
the README's lines that list what there is.

Equations, states and costs are those of the rules; words are those of their documentation,
reports of authors those of `glissade.evidence`. Only the guide's own sentences stand here.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from glissade import curvature, evidence, registry, schedules
from glissade.around import OPTIMIZERS, RESTARTS, SECOND_ORDER, WRAPPERS, is_wrapper
from glissade.describe import WHERE, Argument, Facts, arguments, definitions, facts, needs
from glissade.diff import difference
from glissade.docstrings import Documentation, documentation
from glissade.latex import LATEX, block
from glissade.page import DECAYS, HEAD, rows
from glissade.registry import Entry
from glissade.render import Mathematics
from glissade.statements import short
from glissade.terminal import SIGNS

ROOT = Path(__file__).parents[1]
PATH = ROOT / "docs" / "optimizers.md"
README = ROOT / "README.md"
SCHEDULES = ROOT / "docs" / "schedules.md"

# Those of the package, without the kinds of model that `glissade advise` matches them by.
EVIDENCE = tuple((one.name, one.said, one.scale) for one in evidence.EVIDENCE)


def reference() -> str:
    """The text of docs/optimizers.md."""
    parts = [
        "<!-- Written by `python tools/reference.py`: do not edit. -->",
        "# Optimizers",
        "Every equation, state and cost below is read off the rule that runs, the words off its "
        "documentation. `glissade list` and `glissade show NAME` print the same for one.",
        "[Which one?](#which-one) · [All of them](#all-of-them) · [Weight decay](#weight-decay) · "
        "[One by one](#one-by-one) · [Wrappers](#wrappers) · [With restarts](#with-restarts) · "
        "[Second order](#second-order)",
        *_guide(),
        *_table(),
        *_decays(),
        "## One by one",
        "`p` is the parameter, `g` its gradient, `t` the step counted from 1 for each parameter, "
        "`step` what is subtracted. `=` gives a name to a value, `←` a new value to what had one; "
        "states start at 0. Everything is element by element unless it says otherwise.",
        *(part for entry in registry.ROWS for part in _section(entry)),
        *_wrappers(),
        *_restarts(),
        *_second_order(),
    ]
    return "\n\n".join(parts) + "\n"


def readme(text: str) -> str:
    """The README with its lists of optimizers and of wrappers as they are now."""
    titles = dict.fromkeys(entry.title for entry in registry.ROWS)
    around = [other.name for other in WRAPPERS if is_wrapper(other.name)]
    onto = [other.name for other in WRAPPERS if not is_wrapper(other.name)]
    for head, said in (
        ("optimizers", _code(*titles, *(other.name for other in OPTIMIZERS))),
        (
            "around any of them",
            f"`glissade.wrappers`: {_code(*around)} (`project` onto {_code(*onto)}), as in "
            "`glissade.Optimizer(params, lookahead(lion()))`",
        ),
    ):
        text, count = re.subn(rf"^\| {head} \|.*$", f"| {head} | {said} |", text, flags=re.M)
        if count != 1:
            raise ValueError(f"README.md has {count} lines that begin with '| {head} |': wanted 1")
    return text


def schedule_page(text: str) -> str:
    """docs/schedules.md with its table of schedules as they are now."""
    names = [x for x in schedules.__all__ if x.islower() and not x.startswith("from_")]
    cells = []
    for name in names:
        what = getattr(schedules, name)
        docs = documentation(what)
        signature = inspect.signature(what)
        plain = [p.replace(annotation=p.empty) for p in signature.parameters.values()]
        call = f"`{name}{inspect.Signature(plain)}`"
        cells.append((call, " ".join((docs.title, *docs.notes)), docs.source.rstrip(".")))
    table = _markdown_table(("", "Multiplier", "Source"), cells)
    begin, end = "<!-- written by tools/reference.py: schedules -->", "<!-- end -->"
    before, _, rest = text.partition(begin)
    _, found, after = rest.partition(end)
    if not found:
        raise ValueError(f"docs/schedules.md lacks its markers, {begin} and {end}")
    return f"{before}{begin}\n{table}\n{end}{after}"


def _code(*words: str) -> str:
    return " ".join(f"`{word}`" for word in words)


# The guide


def _guide() -> Iterator[str]:
    yield "## Which one?"
    yield (
        "First what cannot be otherwise, then what somebody has measured. With neither a limit nor "
        "a reason, take AdamW, or SGD with momentum where a recipe for it exists, and "
        "[compare on your own task](comparing.md): `glissade advise my.py:task` says what fits and "
        "what to compare, `glissade compare my.py:task -o adamw,lion,sgd` does so."
    )
    yield "### Hard limits"
    yield (
        "**Memory.** Each number of state for each parameter takes 4 bytes in float32: 4 GB for a "
        "billion parameters, beside as much for the parameters and for their gradients. Rows and "
        "columns are n + m numbers for a matrix of n × m."
    )
    yield _markdown_table(("State", "Optimizers"), _by_state())
    yield (
        "**Time.** A step takes as long as its bytes need to and from memory: the column Bytes in "
        "[the table](#all-of-them)."
    )
    said = [
        f"{_link(entry)} needs {needs(entry.bind())}"
        for entry in registry.ROWS
        if needs(entry.bind())
    ]
    said += [
        f"{_link(entry)} is computed by torch's own functions, and refuses large tensors"
        for entry in registry.ROWS
        if entry.bind().matrix
    ]
    names = [other.name for other in SECOND_ORDER]
    said += [f"[{cls}](#{cls.lower()}) needs a closure that returns the loss" for cls in names]
    yield f"**More than a gradient.** All but these do with gradients: {'; '.join(said)}."
    yield "### Evidence"
    yield (
        "What authors report of their own methods, in papers that the registry cites. None of it "
        "was measured here, and what one task shows another may not."
    )
    cells = []
    for name, said, scale in EVIDENCE:
        entry = registry.lookup(name)
        by = f"{entry.paper.authors} {entry.paper.year}, {_identifier(entry.paper.identifier)}"
        cells.append((_link(entry), said, scale, by))
    yield _markdown_table(("Optimizer", "Reported", "On", "By"), cells)


def _by_state() -> list[tuple[str, str]]:
    """Optimizers by their state: the fewest numbers for each element first."""
    found: dict[tuple[int, str], list[str]] = {}
    for entry in registry.ROWS:
        rule = entry.bind()
        if not rule.matrix:
            known = facts(rule)
            found.setdefault((known.per_element, known.state), []).append(_link(entry))
    return [(state, ", ".join(links)) for (_, state), links in sorted(found.items())]


def _link(entry: Entry) -> str:
    return f"[{entry.label}](#{entry.name})"


def _table() -> Iterator[str]:
    cells, notes = rows(registry.ROWS)
    links = [(f"[`{name}`](#{name})", *rest) for name, *rest in cells]
    yield "## All of them"
    yield _markdown_table(HEAD, links)
    yield (
        "State: numbers kept for each number of a parameter. Bytes: moved to and from memory for "
        "each of them in a step (float32). Passes: over memory, in a usual step."
    )
    yield "\n".join(f"- {note}." for note in notes)


def _decays() -> Iterator[str]:
    yield "## Weight decay"
    yield (
        "`weight_decay=λ, decay=` means one of four things, for every optimizer that takes "
        "`decay`; lr₀ is the lr that the parameter group was made with."
    )
    yield _markdown_table(("decay", ""), ((f'`"{k}"`', said) for k, said in DECAYS.items()))


# One optimizer


def _section(entry: Entry) -> Iterator[str]:
    docs, rule, paper = documentation(entry.rule), entry.bind(), entry.paper
    yield f"### {entry.label}"
    title = docs.title.removeprefix(f"{entry.title}: ")
    yield title[0].upper() + title[1:]
    words = ", ".join(["params", *(f"{k}={v!r}" for k, v in entry.preset.items())])
    yield (
        f"`glissade.{entry.title}({words})`, by {paper.authors} {paper.year}, *{paper.title}*, "
        f"{_identifier(paper.identifier)}."
    )
    yield from docs.notes
    texts = definitions(entry, {})
    for where, form in definitions(entry, {}, LATEX).items():
        if where:
            yield f"For {where}:"
        yield _math(block(form.lines, "aligned"))
    text = "\n".join(map(str, texts.values()))
    if said := [meaning for sign, meaning in SIGNS.items() if sign in text]:
        yield "\n".join(f"- {meaning.removeprefix('…_')}." for meaning in said)
    known = {} if rule.matrix else {n: facts(rule, n) for n in WHERE}
    yield from _costs(known, texts)
    yield _defaults(arguments(entry, {}), next(iter(texts.values())))
    if entry.variants:
        yield "\n".join(_variants(entry))
    if "decay" not in rule.hyper:
        yield "Weight decay is placed as the definition says; there is no choice of `decay`."
    yield from _when(docs)
    if entry.disagreements:
        yield "\n".join(["**Elsewhere.**", "", *(f"- {said}" for said in entry.disagreements)])


def _costs(known: dict[int, Facts], texts: dict[str, Mathematics]) -> Iterator[str]:
    """The state, named as in the equations and as torch has it, and what a step moves."""
    if not known:
        yield "Computed by torch's own functions, not compiled."
    said = []
    for n, one in known.items():
        form = texts.get(WHERE[n]) or texts[""]
        kept = []
        for name, kind in one.states.items():
            symbol, theirs = form.states.get(name, name), one.rule.aliases.get(name)
            also = f" (torch: `{theirs}`)" if theirs else ""
            kept.append(f"{symbol} for each {kind.word}{also}")
        line = f"State: {', '.join(kept) or 'none'}. A step moves {one.cost}."
        if line not in said:
            said.append(line)
    if len(said) < 2:
        yield from said
    else:
        yield from (
            f"For {WHERE[n]}: {x[0].lower()}{x[1:]}" for n, x in zip(WHERE, said, strict=True)
        )


def _defaults(args: Iterable[Argument], form: Mathematics) -> str:
    """A table of the keywords: default, symbol in the equations, meaning and whose it is."""
    symbols = {short(key, form.hyper): value for key, value in form.hyper.items()}
    cells = []
    for a in args:
        own = [symbol for symbol in symbols.get(a.name, ()) if symbol != a.name]
        text = a.text or ("see [above](#weight-decay)" if a.name == "decay" else "")
        cells.append((f"`{a.name}`", f"`{a.value!r}`", ", ".join(own), text))
    return _markdown_table(("Keyword", "Default", "Symbol", ""), cells)


def _variants(entry: Entry) -> Iterator[str]:
    """Whom each variant matches, and the lines in which it differs from the default."""
    usual = inspect.signature(entry.rule).parameters["variant"].default
    yield "**Variants.**"
    yield ""
    for name, whom in entry.variants.items():
        if name == usual:
            yield f'- `"{name}"` (default): {whom}.'
            continue
        if entry.bind(variant=name).matrix:
            yield f'- `"{name}"`: {whom}.'
            continue
        found = difference(entry, (usual, name), {})
        new = dict.fromkeys(
            row.right.strip() for part in found.blocks.values() for row in part if row.mark in "|>"
        )
        lines = ", ".join(f"`{line}`" for line in new)
        values = "".join(f", `{key}={value}`" for key, _, value in found.values)
        yield f'- `"{name}"`: {whom}: {lines}{values}.'


def _identifier(text: str) -> str:
    """The paper's identifier, as a link where it is one."""
    kind, _, rest = text.partition(":")
    if kind == "arXiv":
        return f"[{text}](https://arxiv.org/abs/{rest})"
    if kind == "doi":
        return f"[{text}](https://doi.org/{rest})"
    if kind == "jmlr":
        return f"[{text}](https://jmlr.org/papers/{rest}.html)"
    return f"[{text}](https://{text})" if text.startswith("github.com/") else text


# What is no row


def _wrappers() -> Iterator[str]:
    yield "## Wrappers"
    yield (
        "Rule in, rule out: `glissade.Optimizer(params, lookahead(lion()))`. Their values stand in "
        'the parameter group under the wrapper\'s name: `group["lookahead_k"]`.'
    )
    for other in WRAPPERS:
        yield f"### {other.name}{'' if is_wrapper(other.name) else ' (for project)'}"
        yield from _documented(f"wrappers.{other.name}", other.what)


def _restarts() -> Iterator[str]:
    yield "## With restarts"
    yield "They carry their schedule; [schedules.md](schedules.md) has those for any optimizer."
    for other in RESTARTS:
        yield f"### {other.name}"
        yield from _documented(other.name, other.what)


def _second_order() -> Iterator[str]:
    yield "## Second order"
    for other in SECOND_ORDER:
        yield f"### {other.name}"
        yield from _documented(other.name, other.what)
    for name in ("hutchinson", "gauss_newton_bartlett"):
        yield f"### {name}"
        yield from _documented(f"curvature.{name}", getattr(curvature, name))


def _documented(name: str, what: Callable[..., Any]) -> Iterator[str]:
    docs = documentation(what)
    signature = inspect.signature(what)
    plain = [p.replace(annotation=p.empty) for p in signature.parameters.values()]
    yield docs.title.removeprefix(f"{name}: ")
    yield f"`glissade.{name}{inspect.Signature(plain)}`"
    if docs.formula:
        yield _math(docs.formula)
    yield from docs.notes
    if docs.args:
        yield "\n".join(f"- `{names}`: {text}" for names, text in docs.args.items())
    yield from _when(docs)
    if docs.source:
        yield f"Source: {docs.source}"


def _when(docs: Documentation) -> Iterator[str]:
    if docs.when:
        yield f"**When.** {docs.when}"
    if docs.not_when:
        yield f"**When not.** {docs.not_when}"


# Markdown


def _math(latex: str) -> str:
    """A formula as GitHub takes it verbatim; between ``$$`` it eats backslashes."""
    return f"```math\n{latex}\n```"


def _markdown_table(head: Iterable[str], cells: Iterable[Iterable[str]]) -> str:
    lines = [list(head), *map(list, cells)]
    lines.insert(1, ["---"] * len(lines[0]))
    return "\n".join(
        f"| {' | '.join(x.replace('|', chr(92) + '|') for x in line)} |" for line in lines
    )


if __name__ == "__main__":
    PATH.write_text(reference(), encoding="utf-8")
    SCHEDULES.write_text(schedule_page(SCHEDULES.read_text(encoding="utf-8")), encoding="utf-8")
    README.write_text(readme(README.read_text(encoding="utf-8")), encoding="utf-8")
