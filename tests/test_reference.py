"""docs/optimizers.md is what `python tools/reference.py` writes, and is whole."""

from __future__ import annotations

import re
from types import ModuleType

import pytest

pytest.importorskip("rich")

from glissade import registry, wrappers
from glissade.docstrings import documentation
from glissade.latex import document
from tests.tool import load


def _tool() -> ModuleType:
    return load("reference")


@pytest.fixture(scope="module")
def tool() -> ModuleType:
    return _tool()


@pytest.fixture(scope="module")
def text(tool: ModuleType) -> str:
    found: str = tool.reference()
    return found


def test_the_file_is_what_the_tool_writes(tool: ModuleType, text: str) -> None:
    written = tool.PATH.read_text(encoding="utf-8") == text
    assert written, "docs/optimizers.md is out of date: run `python tools/reference.py`"


def test_the_readme_lists_what_there_is(tool: ModuleType) -> None:
    found = tool.README.read_text(encoding="utf-8")
    written = tool.readme(found) == found
    assert written, "README.md is out of date: run `python tools/reference.py`"
    with pytest.raises(ValueError, match="0 lines"):
        tool.readme("nothing")


def test_the_page_on_schedules_lists_them(tool: ModuleType) -> None:
    found = tool.SCHEDULES.read_text(encoding="utf-8")
    written = tool.schedule_page(found) == found
    assert written, "docs/schedules.md is out of date: run `python tools/reference.py`"
    assert "`cosine(total, floor=0.0)`" in found
    with pytest.raises(ValueError, match="lacks its markers"):
        tool.schedule_page("nothing")


def test_it_says_the_same_twice(text: str) -> None:
    assert _tool().reference() == text


def _sections(text: str) -> dict[str, str]:
    """What stands under each heading, by the anchor that GitHub gives it."""
    parts = re.split(r"^(#{1,6} .*)$", text, flags=re.MULTILINE)
    anchors = [
        re.sub(r"[^\w\- ]", "", head.lstrip("# ").lower()).replace(" ", "-") for head in parts[1::2]
    ]
    assert len(set(anchors)) == len(anchors)
    return dict(zip(anchors, parts[2::2], strict=True))


def test_links_lead_somewhere(text: str) -> None:
    anchors = _sections(text)
    links = re.findall(r"\]\(#([^)]+)\)", text)
    assert len(links) > 2 * len(registry.ROWS)
    assert {*links} <= {*anchors}


def test_tables_are_whole(text: str) -> None:
    """As many cells in each row of a table as in its head."""
    for table in re.findall(r"(?:^\|.*\n)+", text, re.MULTILINE):
        rows = [len(re.split(r"(?<!\\)\|", line)) for line in table.splitlines()]
        assert len(set(rows)) == 1, table


@pytest.mark.parametrize("row", registry.ROWS, ids=lambda row: row.name)
def test_a_section_has_everything(row: registry.Entry, text: str) -> None:
    section = _sections(text)[row.name]
    assert row.paper.title in section
    assert row.paper.identifier in section
    for said in (row.when, row.not_when, *row.disagreements, *documentation(row.rule).notes):
        assert said in section
    for variant, whom in row.variants.items():
        assert re.search(rf'^- `"{variant}"`( \(default\))?: {re.escape(whom)}', section, re.M)
    for names in documentation(row.rule).args:
        for name in names.split(", "):
            assert f"| `{name}` |" in section
    lines = [line for line in document(row, {}).splitlines() if line.startswith("& ")]
    assert lines
    for line in lines:
        assert f"\n{line}\n" in section
    assert "{aligned}" in section
    assert f"[`{row.name}`](#{row.name})" in _sections(text)["all-of-them"]


def test_variants_are_told_by_what_differs(text: str) -> None:
    assert (
        '- `"inside_hat"`: eps inside the corrected root: `step = lr·m̂ / √(v̂ + ε)`.'
        in _sections(text)["adam"]
    )


@pytest.mark.parametrize("name", wrappers.__all__)
def test_wrappers(name: str, text: str) -> None:
    sections = _sections(text)
    section = sections.get(name) or sections[f"{name}-for-project"]
    docs = documentation(getattr(wrappers, name))
    assert docs.title in section
    assert docs.formula in section
    assert f"`glissade.wrappers.{name}(" in section


def test_the_guide_begins_with_limits(text: str) -> None:
    """State in numbers for each element, the fewest first; every optimizer with a plan once."""
    limits = text[text.index("### Hard limits") : text.index("### Evidence")]
    rows = re.findall(r"^\| (\d|rows).* \| (.*) \|$", limits, re.MULTILINE)
    counts = [0 if count == "rows" else int(count) for count, _ in rows]
    assert counts == sorted(counts)
    named = re.findall(r"\(#(\w+)\)", "".join(links for _, links in rows))
    assert sorted(named) == sorted(row.name for row in registry.ROWS if not row.bind().matrix)
    for row in registry.ROWS:
        if row.bind().inputs or row.bind().matrix:
            assert f"(#{row.name})" in limits[limits.index("**More than a gradient.**") :]


def test_evidence_is_cited(tool: ModuleType, text: str) -> None:
    """Each with the paper of its row: who, and when."""
    section = _sections(text)["evidence"]
    for name, said, scale in tool.EVIDENCE:
        paper = registry.lookup(name).paper
        line = next(x for x in section.splitlines() if said in x)
        assert scale in line
        assert f"{paper.authors} {paper.year}" in line
        assert paper.identifier.partition(":")[2] in line


def test_math_stands_in_fences(text: str) -> None:
    """GitHub takes what is in a fence as it is; between dollars it eats backslashes."""
    assert text.count("```") == 2 * text.count("```math\n")
    outside = re.sub(r"```math\n.*?```", "", text, flags=re.DOTALL)
    assert "$" not in outside
    assert "\\leftarrow" not in outside
