from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from vidground_core import Decision, InputError, Question, Verdict, load_registry
from vidground_core.errors import RunDirectoryError
from vidground_core.experiments.assembly import Assembly
from vidground_core.experiments.curation import find_source
from vidground_core.experiments.settings import resolve_settings
from vidground_core.records import Tally
from vidground_core.tables import write_part


@pytest.fixture
def assembly() -> Assembly:
    registry = load_registry(restrict="")
    return Assembly(resolve_settings({}, registry), registry)


def _question(name: str) -> Question:
    return Question(name, "What?", "a", ("a", "b"), group=name)


def _filtered(folder: Path, decided: Sequence[tuple[str, bool]], *, status: str = "done", verb: str = "filter") -> Path:
    """A filtered directory with the decisions (id, kept) in order, by hand."""
    for name, kept in (("kept", True), ("dropped", False)):
        write_part(folder / name / "part-00000.parquet", [_question(id_) for id_, keep in decided if keep == kept], Question)
    decisions = [Decision(id_, keep, "p", "2", "why not", {}) for id_, keep in decided]
    write_part(folder / "decisions" / "part-00000.parquet", decisions, Decision)
    verdicts = [Verdict(id_, "j", "all", 1.0, True, {"blind": Tally(2, 1)}) for id_, _ in decided]
    write_part(folder / "verdicts" / "j" / "part-00000.parquet", verdicts, Verdict)
    dataset = {"name": "llava-video", "path": "x.json"}
    detector = {"name": "j", "version": "3", "prompt": "paper", "engines": {"model": "qwen"}}
    resolved = {"detection": {"dataset": dataset, "detectors": {"j": detector}}, "filter": {"name": "p", "version": "2", "m": 2}}
    result = {"policy": "p", "version": "2", "total": len(decided), "kept": 1, "reasons": {"why not": 1}}
    result |= {"expected_false_drops": None, "expected_errors_note": "no"}
    record = {"format": 1, "verb": verb, "status": status, "resolved": resolved, "result": result, "versions": {"python": "3"}}
    (folder / "run.json").write_text(json.dumps(record | {"finished": "then"}))
    return folder


def test_a_filtered_directory_tells_how_it_was_curated(tmp_path: Path, assembly: Assembly) -> None:
    source = find_source(str(_filtered(tmp_path, [("a", True), ("b", False), ("c", True)])), assembly)
    assert [question.id for question in source.questions()] == ["a", "c"]
    assert [(question.id, decision.reason) for question, decision in source.dropped()] == [("b", "why not")]
    curation = source.curation(judges=True)
    assert (curation.source, curation.policy, curation.version, curation.options) == ("llava-video:x.json", "p", "2", {"m": 2})
    (judge,) = curation.judges
    assert (judge.name, judge.version, judge.rule, judge.prompt, judge.model) == ("j", "3", "all", "paper", "qwen")
    assert (judge.n, judge.accuracy, judge.chance, judge.corrected) == (3, 0.5, 0.5, 0.0)
    assert source.curation(judges=False).judges == ()


def test_a_source_of_several_turns_says_so(tmp_path: Path, assembly: Assembly) -> None:
    (note,) = find_source(str(_filtered(tmp_path, [("a", True)])), assembly).notes
    assert note == (
        "llava-video has conversations of several turns: each turn is a row of its own, without the turns before; ids ID, ID-1, … tell"
    )


def test_the_filter_of_a_run_is_found_below_it(tmp_path: Path, assembly: Assembly) -> None:
    _filtered(tmp_path / "filter", [("a", True)])
    (tmp_path / "run.json").write_text(json.dumps({"format": 1, "verb": "run", "status": "done", "resolved": {}}))
    assert find_source(str(tmp_path), assembly).rows == 1


def test_what_cannot_be_exported_is_told(tmp_path: Path, assembly: Assembly) -> None:
    unfinished = _filtered(tmp_path / "u", [("a", True)], status="interrupted")
    with pytest.raises(RunDirectoryError, match=r"is not finished \(interrupted\): run its vg filter again first, it resumes"):
        find_source(str(unfinished), assembly)
    empty = _filtered(tmp_path / "e", [("a", False)])
    with pytest.raises(InputError, match="holds no question to export; the filter kept none"):
        find_source(str(empty), assembly)
    crossed = find_source(str(_filtered(tmp_path / "x", [("a", True), ("b", False)])), assembly)
    write_part(tmp_path / "x" / "dropped" / "part-00000.parquet", [_question("other")], Question)
    with pytest.raises(InputError, match="the decision on 'b' stands where 'other' is; run vg filter again"):
        list(crossed.dropped())
    (tmp_path / "none.jsonl").write_text('{"id": "", "question": "", "answer": ""}\n')
    with pytest.raises(InputError, match="none.jsonl' holds no question to export"):
        find_source(str(tmp_path / "none.jsonl"), assembly)
