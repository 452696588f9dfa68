"""Files of a comparison that are damaged: another result is never taken in silence."""

from __future__ import annotations

import dataclasses
import json
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import typer
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from glissade.study import compare as compare_module
from glissade.study import heatmap as heatmap_module
from glissade.study import page
from glissade.study import run as run_module
from glissade.study.advise import earlier
from glissade.study.design import PHASES, Job, RunKey, RunResult
from glissade.study.export_command import export
from glissade.study.loading import load
from glissade.study.record import fingerprint, unsealed
from glissade.study.run import Probe, execute, probe
from glissade.study.store import Store, StoreError, read_plan, read_runs
from tests.study import mutations, small

TASK = "tests/study/tiny.py"
WORDS = [TASK, "-o", "momentum,adam", "--trials", "2", "--studies", "1", "--seeds", "3"]
FILES = ("plan.json", "runs.jsonl", "summary.json")


class Remembering:
    """An engine that makes each run once, and gives the same again when it is asked again."""

    workers = 1
    made: dict[Job, Any] = {}  # noqa: RUF012

    def run(
        self,
        function: Callable[[Job], Any],
        jobs: Sequence[Job],
        told: Callable[[Any], None],
        go: Callable[[], bool] = lambda: True,
    ) -> None:
        for job in jobs:
            if function is probe:
                told(Probe(job, 0.0, 0.01, 0.0, 0.0))
                continue
            if job not in self.made:
                self.made[job] = function(job)
            told(self.made[job])

    def close(self) -> None: ...


@pytest.fixture(autouse=True, scope="module")
def _quick() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        for module in (compare_module, heatmap_module):
            patch.setattr(module, "make", lambda name, workers: Remembering())
        patch.setattr(run_module, "PROBED", 0.0)
        patch.setattr(page, "write_all", lambda folder, analysis: [])
        yield


def called(command: Callable[..., None], *words: object) -> tuple[int, str]:
    """A command's exit code and output; what it raises is raised here."""
    app = typer.Typer()
    app.command()(command)
    done = CliRunner().invoke(app, [*map(str, words)])
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    return done.exit_code, done.output


def resumed(folder: Path) -> tuple[int, str]:
    return called(compare_module.compare, "--resume", "--out", folder)


def table(folder: Path) -> Any:
    """All that a comparison says, beside the date and the command."""
    record = unsealed(json.loads((folder / "summary.json").read_bytes()), needed=True)
    return {key: value for key, value in record.items() if key != "facts"}


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A comparison that nothing has happened to."""
    folder = tmp_path_factory.mktemp("damage") / "out"
    code, said = called(compare_module.compare, *WORDS, "--out", folder)
    assert code == 0, said
    return folder


@pytest.fixture
def folder(finished: Path, tmp_path: Path) -> Path:
    """A copy of it, to be damaged."""
    return Path(shutil.copytree(finished, tmp_path / "out"))


@settings(max_examples=60)
@given(data=st.data())
def test_damage_changes_no_table_in_silence(finished: Path, data: st.DataObject) -> None:
    damaged(finished, data)


@pytest.mark.slow
@settings(max_examples=2500)
@given(data=st.data())
def test_nor_do_2500_damages(finished: Path, data: st.DataObject) -> None:
    damaged(finished, data)


def damaged(finished: Path, data: st.DataObject) -> None:
    """Resuming makes again what is damaged, or says in one line what is wrong."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(shutil.copytree(finished, Path(name) / "out"))
        for _ in range(data.draw(st.integers(1, 3))):
            file = data.draw(st.sampled_from(FILES))
            path = folder / file
            path.write_bytes(
                data.draw(mutations.file_changed(path.read_bytes(), file == "runs.jsonl"))
            )
        before = {file: (folder / file).read_bytes() for file in FILES}
        code, said = resumed(folder)
        if code == 0:
            assert table(folder) == table(finished)
            return
        assert code == 2, said
        (line,) = [x for x in said.splitlines() if x.startswith("glissade compare: ")]
        assert said.endswith(line + "\n")
        assert "plan.json" in line or "runs.jsonl" in line
        assert {file: (folder / file).read_bytes() for file in FILES} == before


def changed(line: bytes, **values: Any) -> bytes:
    return json.dumps({**json.loads(line), **values}).encode() + b"\n"


def without(line: bytes, name: str) -> bytes:
    record = json.loads(line)
    del record[name]
    return json.dumps(record).encode() + b"\n"


DAMAGE: dict[str, Callable[[bytes], bytes]] = {
    "a number that changed": lambda x: changed(x, quality=0.0),
    "a seed that changed": lambda x: changed(x, seed=7),
    "cut off": lambda x: x[: len(x) // 2] + b"\n",
    "no JSON": lambda x: b"not this\n",
    "no text": lambda x: b"\xff\xfe\n",
    "no object": lambda x: b"[1, 2]\n",
    "nested beyond measure": lambda x: b"[" * 100_000 + b"\n",
    "a text for a number": lambda x: changed(x, test="x"),
    "a number for a list": lambda x: changed(x, losses=3),
    "not a number": lambda x: changed(x, quality=float("nan")),
    "a key that is missing": lambda x: without(x, "losses"),
    "a key with another name": lambda x: changed(without(x, "fit"), fit_=None),
    "a key too many": lambda x: changed(x, more=1),
    "another plan's": lambda x: changed(x, plan="0" * 16),
    "no checksum": lambda x: without(x, "check"),
    "another checksum": lambda x: changed(x, check="0" * 16),
}


@pytest.mark.parametrize("how", DAMAGE)
def test_a_damaged_line_is_taken(how: str, folder: Path, finished: Path) -> None:
    """Of every kind of damage: the run is made again, and the lines are named."""
    path = folder / "runs.jsonl"
    lines = path.read_bytes().splitlines(keepends=True)
    for i in (3, 6, 8):
        lines[i] = DAMAGE[how](lines[i])
    path.write_bytes(b"".join(lines))
    code, said = resumed(folder)
    assert code == 0, said
    told = "3 damaged lines in runs.jsonl (lines 4, 7, 9): these runs are made again"
    assert told in " ".join(said.split())
    assert f"{len(lines) - 3} runs are there already" in said
    assert table(folder) == table(finished)
    assert path.read_bytes().startswith(b"".join(lines))  # nothing is lost for who looks into it


def test_a_long_list_of_damaged_lines_is_cut_short() -> None:
    (note,) = read_runs(b"x\n" * 12, "plan").note("made again")
    numbers = ", ".join(map(str, range(1, 11)))
    assert note == (
        f"12 damaged lines in runs.jsonl (lines {numbers} and 2 more): these runs are made again"
    )


def old(folder: Path, **values: object) -> None:
    """A comparison as it was written before there were checksums."""
    plan = json.loads((folder / "plan.json").read_bytes())
    del plan["checks"]
    (folder / "plan.json").write_text(json.dumps(plan))
    lines = (folder / "runs.jsonl").read_bytes().splitlines()
    lines = [without(line, "check") for line in lines]
    lines[2] = changed(lines[2], **values)
    (folder / "runs.jsonl").write_bytes(b"".join(lines))


def test_a_file_from_before_checksums_is_lost(folder: Path, finished: Path) -> None:
    old(folder)
    before = (folder / "runs.jsonl").read_bytes()
    code, said = resumed(folder)
    assert code == 0, said
    assert "damaged" not in said
    assert (folder / "runs.jsonl").read_bytes() == before
    assert table(folder) == table(finished)


@pytest.mark.parametrize(
    "values", [{"test": "x"}, {"steps": 2.5}, {"validation": [[1, 2]]}, {"phase": "end"},
               {"plan": 3}, {"kind": "walk"}, {"seed": True}, {"quality": 10**400}],
    ids=str,
)  # fmt: skip
def test_wrong_types_in_an_old_file_are_taken(
    values: dict[str, Any], folder: Path, finished: Path
) -> None:
    old(folder, **values)
    code, said = resumed(folder)
    assert code == 0, said
    assert "1 damaged line in runs.jsonl (line 3): this run is made again" in said
    assert table(folder) == table(finished)


def rehashed(record: dict[str, Any], **values: Any) -> dict[str, Any]:
    """A plan that is wrong, with the hash that belongs to it."""
    plan = {**record["plan"], **values}
    return {**record, "plan": plan, "hash": fingerprint(plan)}


PLANS: dict[str, tuple[Callable[[dict[str, Any]], object], str]] = {
    "a number": (lambda x: {"plan": 3}, "plan=3: must be an object"),
    "a list": (lambda x: [1], "it holds [1], where an object belongs"),
    "no hash": (lambda x: {"plan": x["plan"]}, "hash is missing"),
    "a hash that is a number": (lambda x: {**x, "hash": 3}, "hash=3: must be a text"),
    "nothing": (lambda x: {}, "plan is missing"),
    "another hash": (lambda x: {**x, "hash": "0"}, "hash='0' does not belong to its plan"),
    "no settings": (lambda x: {**x, "plan": {}}, "plan.settings is missing"),
    "settings of a number": (
        lambda x: rehashed(x, settings=3), "plan.settings=3: must be an object",
    ),
    "trials of a text": (
        lambda x: rehashed(x, settings={**x["plan"]["settings"], "trials": "many"}),
        "plan.settings.trials='many': must be a whole number",
    ),
    "no trials": (
        lambda x: rehashed(x, settings={**x["plan"]["settings"], "trials": 0}),
        "plan.settings: trials must be at least 1, not 0",
    ),
    "a seed that changed": (
        lambda x: {**x, "plan": {**x["plan"], "settings": {**x["plan"]["settings"], "seed": 1}}},
        "does not belong to its plan",
    ),
}  # fmt: skip


@pytest.mark.parametrize("how", PLANS)
def test_a_damaged_plan_ends_in_a_traceback(how: str, folder: Path) -> None:
    make, said = PLANS[how]
    path = folder / "plan.json"
    path.write_text(json.dumps(make(json.loads(path.read_bytes()))))
    code, output = resumed(folder)
    assert code == 2
    assert output.startswith(f"glissade compare: {path}")
    assert said in output
    assert output.count("\n") == 1
    code, output = called(export, folder, "--to", "tensorboard")
    if "settings" not in how and "trials" not in how:  # an export does not need them
        assert code == 2
        assert str(path) in output
        assert output.count("\n") == 1


def test_a_plan_that_is_no_text(folder: Path) -> None:
    (folder / "plan.json").write_bytes(b"\xff{}")
    code, output = resumed(folder)
    assert (code, output.count("\n")) == (2, 1)
    assert "plan.json is damaged: it is not JSON" in output


def test_an_export_takes_a_damaged_line(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("tensorboard")
    path = folder / "runs.jsonl"
    lines = path.read_bytes().splitlines(keepends=True)
    lines[1] = changed(lines[1], quality=0.0)
    path.write_bytes(b"".join(lines))
    code, said = called(export, folder, "--to", "tensorboard")
    assert code == 0, said
    assert f"{len(lines) - 1} runs written" in said
    told = "1 damaged line in runs.jsonl (line 2): this run is left out until the command that"
    assert f"{told} wrote {folder} is resumed\n" in said


def test_an_export_of_an_old_file_with_a_wrong_optimizer(folder: Path) -> None:
    old(folder, optimizer="adam(")
    code, said = called(export, folder, "--to", "tensorboard")
    assert (code, said.count("\n")) == (2, 1)
    assert "runs.jsonl is damaged" in said


def test_a_map_takes_a_damaged_line(tmp_path: Path) -> None:
    words = [TASK, "-o", "adam", "--points", "2", "--seeds", "1", "--out", tmp_path]
    code, said = called(heatmap_module.heatmap, *words)
    assert code == 0, said
    before = (tmp_path / "heatmap.csv").read_bytes()
    path = tmp_path / "runs.jsonl"
    first, *rest = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([changed(first, quality=0.0), *rest]))
    code, said = called(heatmap_module.heatmap, *words, "--resume")
    assert code == 0, said
    assert "1 damaged line in runs.jsonl (line 1): this run is made again" in said
    assert (tmp_path / "heatmap.csv").read_bytes() == before
    (tmp_path / "plan.json").write_text('{"plan": 3}')
    code, said = called(heatmap_module.heatmap, *words, "--resume")
    assert code == 2
    assert "plan.json is damaged: plan=3: must be an object" in " ".join(said.split())


# What is written can be read

text = st.text(st.characters(codec="utf-8"), max_size=10)
whole = st.integers(0, 2**70)
number = st.floats(allow_nan=False, allow_infinity=False)
perhaps = st.none() | number
RESULTS = st.builds(
    RunResult,
    key=st.builds(RunKey, text, text, st.sampled_from(PHASES), whole, st.integers(-1, 99), whole),
    optimizer=text,
    losses=st.lists(number, max_size=4).map(tuple),
    validation=st.lists(st.tuples(whole, number, number), max_size=3).map(tuple),
    quality=perhaps, test=perhaps, diverged_at=st.none() | whole, error=st.none() | text,
    steps=whole, step_ms=perhaps, state_bytes=whole, seconds=number, fit=perhaps,
)  # fmt: skip


@given(results=st.lists(RESULTS, min_size=1, max_size=4))
def test_what_was_written_is_taken_for_damaged(results: list[RunResult]) -> None:
    class Any_:
        record = {"of": "anything"}  # noqa: RUF012
        hash = fingerprint(record)

        def job(self, key: RunKey) -> Job:
            raise NotImplementedError

    with tempfile.TemporaryDirectory() as name:
        store = Store.open(Path(name), Any_(), resume=False)
        for result in results:
            store.append(result)
        store.close()
        again = Store.open(Path(name), Any_(), resume=True)
        again.close()
    assert not again.notes
    kept: dict[RunKey, RunResult] = {}
    for result in results:
        if result.error is None:
            kept.setdefault(result.key, result)
    assert again.results == kept


def test_a_plan_is_checked_wherever_it_is_read(finished: Path, tmp_path: Path) -> None:
    written = read_plan(finished)
    written.verify()
    with pytest.raises(StoreError, match="does not belong to its plan"):
        dataclasses.replace(written, plan={**written.plan, "confirmed": [1, 1]}).verify()


# Summaries, which `glissade advise` reads


@pytest.fixture(scope="module")
def found(finished: Path) -> tuple[list[earlier.Earlier], list[str]]:
    found = earlier.search(load(TASK), finished)
    assert len(found[0]) == 1
    assert not found[1]
    return found


@settings(max_examples=300)
@given(data=st.data())
def test_advice_from_a_damaged_summary(
    finished: Path, found: tuple[list[earlier.Earlier], list[str]], data: st.DataObject
) -> None:
    """It is what it was, or left out with a note."""
    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / "summary.json"
        content = (finished / "summary.json").read_bytes()
        path.write_bytes(data.draw(mutations.file_changed(content)))
        some, notes = earlier.search(load(TASK), path.parent)
    if some:
        assert not notes
        (one,) = some
        assert dataclasses.replace(one, folder=finished) == found[0][0]
    else:
        (note,) = notes
        assert note.startswith(f"{path} cannot be read (")
        assert note.endswith("): it is left out")


@settings(max_examples=300)
@given(data=st.data())
def test_an_old_summary_with_wrong_types(finished: Path, data: st.DataObject) -> None:
    """Without a checksum a number may be another; what is said of it can be said."""
    record = unsealed(json.loads((finished / "summary.json").read_bytes()))
    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / "summary.json"
        path.write_text(json.dumps(data.draw(mutations.value_changed(record))))
        some, notes = earlier.search(load(TASK), path.parent)
    assert len(some) + len(notes) <= 1
    for one in some:
        assert earlier.said(one)
        assert one.winner is None or one.winner in one.arms


def test_runs_of_a_torchrun_job_are_checked_too() -> None:
    from glissade.study.engine import torchrun
    from glissade.study.typed import Damaged

    record = json.loads(json.dumps(dataclasses.asdict(execute(small_job()))))
    assert torchrun.result_from(record).error is None
    with pytest.raises(Damaged, match=r"key\.seed='x': must be a whole number"):
        torchrun.result_from({**record, "key": {**record["key"], "seed": "x"}})


def small_job() -> Job:
    return dataclasses.replace(small.job(), key=dataclasses.replace(small.job().key, task=TASK))
