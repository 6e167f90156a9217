"""Replies and judgements from a file: one verdict table a judge, nothing lost in silence."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from vidground_core import ConfigError, InputError, Question
from vidground_core.config import build
from vidground_core.detectors.recorded import Recorded, RecordedConfig, _by_question
from vidground_core.experiments.assembly import Assembly
from vidground_core.experiments.settings import RunSettings
from vidground_core.plugins import load_registry
from vidground_core.records import Verdict
from vidground_core.tables import read
from vidground_core.testing import DetectorContract, FakeEngine, FakeEngineConfig, run_detector

OPTIONS = ("red", "blue", "green", "grey")
QUESTIONS = [Question(f"q{i}", "What colour?", "blue", OPTIONS, group=f"v{i}") for i in range(4)]
FREE = Question("free", "What happens?", "a dog barks", kind="free-form", group="v9")
ENGINE = FakeEngine(FakeEngineConfig())


def write(folder: Path, *rows: dict[str, Any]) -> Path:
    file = folder / "judged.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows) + "\n")
    return file


def recorded(path: Path | str, **options: object) -> Recorded:
    return Recorded(build(RecordedConfig, {"path": str(path), **options}, "detector 'recorded'"))


def judged(path: Path, questions: list[Question] = QUESTIONS, **options: object) -> dict[str, list[Verdict]]:
    found = recorded(path, **options).expand()
    return {each.name: run_detector(each, questions, ENGINE) for each in found}


def test_one_table_a_judge_and_replies_are_read(tmp_path: Path) -> None:
    file = write(
        tmp_path,
        {"id": "q0", "judge": "gpt", "reply": "The answer is B."},
        {"id": "q1", "judge": "gpt", "reply": "C"},
        {"id": "q2", "judge": "gpt", "reply": "I cannot tell without the video."},
        {"id": "q0", "judge": "qwen", "correct": False},
        {"id": "q3", "judge": "qwen", "correct": True},
    )
    found = judged(file)
    assert list(found) == ["recorded:gpt", "recorded:qwen"]
    gpt, qwen = found.values()
    assert [verdict.answered for verdict in gpt] == [True, False, None, None]
    assert [verdict.answered for verdict in qwen] == [False, None, None, True]
    assert {verdict.detector for verdict in gpt} == {"recorded:gpt"}
    assert gpt[2].conditions["recorded"].refused == 1
    assert gpt[3].evidence == ("not covered",)
    assert gpt[3].conditions == {}
    assert gpt[0].evidence == ("recorded: 'The answer is B.', correct",)


def test_lines_of_unknown_questions_and_uncovered_questions_are_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    file = write(tmp_path, *({"id": name, "judge": "gpt", "correct": True} for name in ("q0", "x1", "x1", "x2", "x3", "x4")))
    with caplog.at_level(logging.WARNING, logger="vidground_core"):
        logging.getLogger("vidground_core").propagate = True
        judged(file)
    assert caplog.messages == [
        "recorded:gpt: 5 lines name 4 questions that are not in the data set: 'x1', 'x2', 'x3', …",
        "recorded:gpt: 3 of 4 questions are not covered",
    ]


@pytest.mark.parametrize(
    ("rule", "answered", "text"),
    [
        ("mean", False, "mean > 0.5"),
        ("all", False, "all"),
        ("any", True, "any"),
        (2, True, "at least 2"),
        (3, False, "at least 3"),
        (9, False, "at least 4"),
    ],
)
def test_several_lines_are_trials_under_the_rule(tmp_path: Path, rule: str | int, answered: bool, text: str) -> None:
    file = write(tmp_path, *({"id": "q0", "judge": "qwen", "correct": i < 2} for i in range(4)))
    verdict = judged(file, rule=rule)["recorded:qwen"][0]
    assert (verdict.answered, verdict.rule, verdict.shortcut) == (answered, text, 0.5)
    assert verdict.conditions["recorded"].trials == 4


def test_a_reply_in_another_order_is_read_in_that_order(tmp_path: Path) -> None:
    file = write(
        tmp_path,
        {"id": "q0", "judge": "a", "reply": "A", "order": [1, 2, 3, 0]},
        {"id": "q1", "judge": "a", "reply": "A", "order": [1, 2]},
    )
    first, second, *_ = judged(file)["recorded:a"]
    assert first.answered is True
    assert second.evidence == ("recorded: the order [1, 2] is none of 4 options",)


def test_open_ended_replies_go_by_the_rules_chosen(tmp_path: Path) -> None:
    file = write(tmp_path, {"id": "free", "judge": "a", "reply": "The dog barks."})
    assert judged(file, [FREE])["recorded:a"][0].answered is True
    assert judged(file, [FREE], rules="video-r1")["recorded:a"][0].answered is None
    bare = Question("free", "?", "x")
    assert judged(file, [bare])["recorded:a"][0].evidence == (
        "recorded: 'The dog barks.': multiple choice without options cannot be scored",
    )


def test_judges_can_be_chosen(tmp_path: Path) -> None:
    file = write(tmp_path, {"id": "q0", "judge": "a", "correct": True}, {"id": "q0", "judge": "b", "correct": True})
    assert list(judged(file, judges=("b",))) == ["recorded:b"]
    with pytest.raises(ConfigError, match=r"has no judge 'bb'; did you mean 'b'\? there is: a, b"):
        judged(file, judges=("bb",))


def test_a_changed_file_is_another_run(tmp_path: Path) -> None:
    file = write(tmp_path, {"id": "q0", "judge": "a", "correct": True})
    digest = recorded(file).expand()[0].config.sha256
    assert len(digest) == 64
    write(tmp_path, {"id": "q0", "judge": "a", "correct": False})
    assert recorded(file).expand()[0].config.sha256 != digest
    with pytest.raises(ConfigError, match=f"has the checksum .*, not sha256 = '{digest}'"):
        recorded(file, sha256=digest).expand()


@pytest.mark.parametrize(
    ("line", "text"),
    [
        ("{", "judged.jsonl, line 2: not valid JSON"),
        ("[]", "line 2: expected an object with id, judge and reply or correct, found list"),
        ('{"judge": "a", "correct": true}', "line 2: there is no 'id'; there is: correct, judge; expected id, judge and reply or correct"),
        ('{"id": "q0", "correct": true}', "line 2: there is no 'judge'; there is: correct, id; expected"),
        ('{"id": "q0", "judge": "a"}', "line 2: expected either 'reply' or 'correct', found neither"),
        ('{"id": "q0", "judge": "a", "reply": "A", "correct": true}', "line 2: expected either 'reply' or 'correct', found both"),
        ('{"id": "q0", "judge": "a", "correct": 1}', "line 2: reply is a text and correct is true or false, found 1"),
        ('{"id": "q0", "judge": "a", "reply": "A", "order": "BA"}', "line 2: order = 'BA': expected the places of the options"),
    ],
)
def test_a_line_that_cannot_be_read_is_named(tmp_path: Path, line: str, text: str) -> None:
    file = tmp_path / "judged.jsonl"
    file.write_text('{"id": "q0", "judge": "a", "correct": true}\n' + line + "\n")
    with pytest.raises(InputError) as error:
        recorded(file).expand()
    assert text in str(error.value)


def test_no_file_an_absent_file_and_an_empty_one(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="detector 'recorded' reads a file: --set recorded.path=FILE"):
        recorded("").expand()
    with pytest.raises(InputError, match=r"the recorded judgements '.*none\.jsonl' cannot be read: No such file or directory"):
        recorded(tmp_path / "none.jsonl").expand()
    with pytest.raises(InputError, match=r"the recorded judgements '.*judged\.jsonl' have no line"):
        recorded(write(tmp_path)).expand()


def test_a_judge_may_be_named_as_its_model_is(tmp_path: Path, vg: Callable[..., Any]) -> None:
    rows = [{"id": "q0", "question": "?", "options": ["a", "b"], "answer": "b"}]
    (tmp_path / "rows.jsonl").write_text(json.dumps(rows[0]) + "\n")
    file = write(tmp_path, {"id": "q0", "judge": "Org/Model 7B (4 rotations)", "correct": True})
    vg("detect", tmp_path / "rows.jsonl", "--detector", "recorded", "--set", f"recorded.path={file}", "--out", tmp_path / "out")
    kept = vg("filter", tmp_path / "out", "--policy", "drop-answerable", "--out", tmp_path / "kept", "--json")
    assert kept.code == 0, kept.err
    assert kept.json["reasons"] == {"answered blind by recorded:Org/Model 7B (4 rotations)": 1}


def test_numbers_serve_as_ids(tmp_path: Path) -> None:
    file = write(tmp_path, {"id": 7, "judge": "a", "correct": True})
    assert judged(file, [Question("7", "?", "a", ("a", "b"))])["recorded:a"][0].answered is True


def test_one_setting_stands_for_several_detectors(tmp_path: Path) -> None:
    file = write(tmp_path, {"id": "q0", "judge": "a", "correct": True}, {"id": "q0", "judge": "b", "correct": True})
    settings = RunSettings(detectors=("recorded", "question-only"), options={"recorded": {"path": str(file)}})
    assert [one.name for one in Assembly(settings, load_registry(restrict="")).detectors()] == ["recorded:a", "recorded:b", "question-only"]


def test_detect_filter_and_audit_by_recorded_judges(tmp_path: Path, vg: Callable[..., Any]) -> None:
    rows = [{"id": f"q{i}", "question": "What colour?", "options": list(OPTIONS), "answer": "blue"} for i in range(4)]
    data = tmp_path / "rows.jsonl"
    data.write_text("".join(json.dumps(row) + "\n" for row in rows))
    file = write(
        tmp_path, *({"id": f"q{i}", "judge": judge, "correct": i < right} for judge, right in (("a", 3), ("b", 1)) for i in range(4))
    )
    out = tmp_path / "out"
    ran = vg("detect", str(data), "--detector", "recorded", "--set", f"recorded.path={file}", "--out", out, "--json")
    assert ran.code == 0, ran.err
    assert [one["name"] for one in ran.json["detectors"]] == ["recorded:a", "recorded:b"]
    assert [verdict.answered for verdict in read(out / "verdicts" / "recorded--a", Verdict)] == [True, True, True, False]
    again = vg("detect", str(data), "--detector", "recorded", "--set", f"recorded.path={file}", "--out", out, "--json")
    assert again.json == ran.json
    kept = vg("filter", out, "--policy", "drop-answerable", "--set", "filter.detectors=[recorded:a]", "--out", tmp_path / "kept", "--json")
    assert (kept.json["kept"], kept.json["dropped"]) == (1, 3), kept.err
    write(tmp_path, {"id": "q0", "judge": "a", "correct": True})
    changed = vg("detect", str(data), "--detector", "recorded", "--set", f"recorded.path={file}", "--out", out)
    assert changed.code == 2
    assert "detectors.recorded:a.sha256" in changed.err


class TestRecordedContract(DetectorContract):
    component = Recorded

    @pytest.fixture(autouse=True)
    def _file(self, tmp_path: Path) -> None:
        rows = [{"id": question.id, "judge": "a", "reply": "A"} for question in list(self.corpus)[::2]]
        self.file = write(tmp_path, *rows)

    @property
    def options(self) -> dict[str, Any]:
        return {"path": str(self.file)}


class TestRecordedWithoutAFile(DetectorContract):
    component = Recorded


def test_lines_of_other_judges_are_passed_over_but_not_those_whose_name_is_written_with_escapes(tmp_path: Path) -> None:
    file = tmp_path / "judged.jsonl"
    file.write_text('{"id": "a", "judge": "gpt", "correct": true}\n{"id": "a", "judge": "other", "correct": true}\n'
                    '{"id": "b", "judge": "\\u0067pt", "correct": false}\n{"id": 3, "judge": "gpt", "correct": true}\n')  # fmt: skip
    assert list(_by_question(str(file), ("gpt",))) == ["a", "b", "3"]
    assert list(_by_question(str(file), ())) == ["a", "b", "3"]
