import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from vidground_core import ConfigError, InputError, Question, SetAside, Tally, Verdict
from vidground_core.evaluation.statistics import rate
from vidground_core.experiments.splits import SplitRule, check_splits, split_rule, summarise
from vidground_core.tables import write_part


def question(number: int, label: str = "", *, options: tuple[str, ...] = ("a", "b")) -> Question:
    return Question(f"q{number}", "?", "a", options, group=f"v{number // 3}", tags={"label": label} if label else {})


def answer(question: Question, *, right: bool | None, tally: Tally | None = None) -> tuple[Question, Verdict]:
    shown = Tally(1, int(bool(right)), **({"refused": 1} if right is None else {})) if tally is None else tally
    return question, Verdict(question.id, "with-video", "all", None if right is None else float(right), right, {"ordered": shown})


def test_accuracy_per_label_with_intervals_clustered_by_group() -> None:
    answers = [answer(question(i, ("ta", "vg", "conflict")[i % 3]), right=i % 2 == 0) for i in range(30)]
    found = summarise(answers, SplitRule(), ("full", "ta", "vg", "conflict"))
    assert {name: split["n"] for name, split in found["splits"].items()} == {"full": 30, "ta": 10, "vg": 10, "conflict": 10}
    full = found["splits"]["full"]
    assert (full["correct"], full["accuracy"], full["groups"]) == (15, 0.5, 10)
    assert full["interval"] == rate([i % 2 == 0 for i in range(30)], [f"v{i // 3}" for i in range(30)]).interval
    assert (found["notes"], found["empty"]) == ([], [])


def test_refused_unparsed_failed_and_missing_media_stay_in_the_denominator() -> None:
    rows = [question(i) for i in range(6)]
    missing = rows[4], Verdict("q4", "with-video", "media not readable", None, None, evidence=("no such file",))
    answers = [
        answer(rows[0], right=True),
        answer(rows[1], right=None, tally=Tally(1, refused=1)),
        answer(rows[2], right=None, tally=Tally(1, unparsed=1)),
        answer(rows[3], right=None, tally=Tally(1, failed=1)),
        missing,
        answer(rows[5], right=False),
    ]
    found = summarise(answers, SplitRule(), ("full",))
    full = found["splits"]["full"]
    assert (full["n"], full["correct"], full["missing_media"], found["missing_media"]) == (6, 1, 1, 1)
    assert full["accuracy"] == pytest.approx(1 / 6)
    assert [full[name] for name in ("refused", "unparsed", "failed")] == [0.2, 0.2, 0.2]


def test_three_empty_answers_beside_a_right_one_are_not_a_hundred_percent() -> None:
    rows = [question(i) for i in range(4)]
    answers = [answer(rows[0], right=True), *(answer(row, right=None, tally=Tally(1, unparsed=1)) for row in rows[1:])]
    assert summarise(answers, SplitRule(), ("full",))["splits"]["full"]["accuracy"] == 0.25


def test_answers_that_cannot_be_checked_are_counted_apart() -> None:
    bare = Question("f", "?", "x", group="v")
    verdict = Verdict("f", "with-video", "all", None, None, evidence=("not asked",))
    found = summarise([answer(question(0), right=True), (bare, verdict)], SplitRule(), ("full",))
    assert found["splits"]["full"]["n"] == 1
    assert found["not_judged"] == 1
    assert found["notes"] == ["1 questions have answers that this version cannot check and are in no split"]


def test_an_empty_split_is_left_out_and_said() -> None:
    found = summarise([answer(question(0, "ta"), right=True)], SplitRule(), ("full", "ta", "vg"))
    assert set(found["splits"]) == {"full", "ta"}
    assert found["empty"] == ["vg"]
    assert found["available"] == ["full", "ta"]


def test_all_wrong_or_all_right_has_the_binomial_bound_over_groups() -> None:
    rows = [question(i) for i in range(21)]
    none, every = (
        summarise([answer(row, right=right) for row in rows], SplitRule(), ("full",))["splits"]["full"] for right in (False, True)
    )
    assert (none["accuracy"], none["groups"]) == (0, 7)
    assert none["interval"] == pytest.approx([0, 1 - 0.025 ** (1 / 7)])
    assert every["interval"] == pytest.approx([0.025 ** (1 / 7), 1])
    gone = (question(30), Verdict("q30", "with-video", "media not readable", None, None))
    seen = summarise([*(answer(row, right=True) for row in rows), gone], SplitRule(), ("full",))["splits"]["full"]["with_media"]
    assert seen["interval"] == every["interval"]


def test_splits_of_which_none_has_a_question_are_refused() -> None:
    rows: list[Question | SetAside] = [SetAside("f", 1, "x", "bad"), question(0, "ta"), question(1, "vg")]
    with pytest.raises(
        ConfigError, match=r"^no benchmark has questions in the split 'fulll'; did you mean 'full'\? there is: full, ta, vg$"
    ):
        check_splits([rows, [question(2)]], SplitRule(), ("fulll",))
    with pytest.raises(ConfigError, match=r"in the split 'vg' or 'ta'; there is: full; --verdicts DIR says which are ta and vg$"):
        check_splits([[question(2)]], SplitRule(), ("vg", "ta"))
    check_splits([[question(2)], rows], SplitRule(), ("conflict", "vg"))


def test_splits_are_read_only_as_far_as_needed() -> None:
    def rows() -> Iterator[Question | SetAside]:
        yield question(0, "ta")
        raise AssertionError

    check_splits([rows()], SplitRule(), ("vg", "ta"))
    check_splits([rows()], SplitRule(), ("full",))


def write(folder: Path, detector: str, said: dict[str, bool | None]) -> None:
    verdicts = [Verdict(name, detector, "any", None if answered is None else 1.0, answered) for name, answered in said.items()]
    write_part(folder / "verdicts" / detector / "part-00000.parquet", verdicts, Verdict)


def test_verdicts_define_ta_and_vg_and_labels_the_rest(tmp_path: Path) -> None:
    write(tmp_path, "one", {"q0": True, "q1": False, "q2": None, "q3": False})
    rule = split_rule(tmp_path)
    assert [rule.of(question(i, label)) for i, label in ((0, "vg"), (1, "ta"), (2, "ta"), (3, "conflict"), (9, "conflict"))] == [
        "ta",
        "vg",
        "",
        "vg",
        "conflict",
    ]
    answers = [answer(question(i), right=True) for i in range(3)]
    found = summarise(answers, rule, ("full", "ta", "vg"))
    assert {name: split["n"] for name, split in found["splits"].items()} == {"full": 3, "ta": 1, "vg": 1}
    assert found["notes"] == [f"1 questions have no verdict of one in {tmp_path} and are in neither ta nor vg"]


def test_any_of_several_judges_makes_ta_unless_one_is_named(tmp_path: Path) -> None:
    write(tmp_path, "one", {"q0": True, "q1": False, "q2": None, "q3": None})
    write(tmp_path, "two", {"q0": False, "q1": False, "q2": True, "q3": None})
    assert split_rule(tmp_path).judged == {"q0": True, "q1": False, "q2": True, "q3": None}
    assert split_rule(tmp_path, "two").judged == {"q0": False, "q1": False, "q2": True, "q3": None}


def test_a_directory_without_verdicts_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="has no verdicts: name the output directory of vg detect, vg audit or vg filter"):
        split_rule(tmp_path)
    write(tmp_path, "blind-vlm", {"q0": True})
    with pytest.raises(InputError, match=r"has no verdicts of a detector 'blind-vl'; did you mean 'blind-vlm'\? there is: blind-vlm"):
        split_rule(tmp_path, "blind-vl")


def test_the_label_is_the_data_set_s_without_verdicts() -> None:
    assert split_rule(None).of(question(0, "TA")) == "ta"
    assert split_rule(None).of(question(0)) == ""


def three_judges(folder: Path) -> None:
    said = {"gpt": (1, 1, 0, 0), "qwen": (1, 0, 1, 0), "recorded:gemini": (1, 0, 0, None)}
    for name, answered in said.items():
        write(folder, name.replace(":", "--"), {f"q{i}": None if yes is None else bool(yes) for i, yes in enumerate(answered)})


@pytest.mark.parametrize(
    ("judge", "ta_when", "ta"),
    [
        ("", "any", ["q0", "q1", "q2"]),
        ("", "all", ["q0"]),
        ("", "2", ["q0"]),
        ("gpt,qwen", "1", ["q0", "q1", "q2"]),
        ("gpt,recorded:gemini", "any", ["q0", "q1"]),
        ("recorded:gemini", "any", ["q0"]),
    ],
)
def test_several_judges_by_a_rule(tmp_path: Path, judge: str, ta_when: str, ta: list[str]) -> None:
    three_judges(tmp_path)
    rule = split_rule(tmp_path, judge, ta_when)
    assert [f"q{i}" for i in range(4) if rule.of(question(i)) == "ta"] == ta
    assert rule.of(question(3)) == ("" if judge == "recorded:gemini" else "vg")


def test_the_rule_s_source_names_judges_rule_and_directories(tmp_path: Path) -> None:
    three_judges(tmp_path)
    assert split_rule(tmp_path, "gpt,qwen").source == f"gpt or qwen in {tmp_path}"
    assert split_rule(tmp_path, "gpt,qwen", "all").source == f"gpt and qwen in {tmp_path}"
    assert split_rule(tmp_path, "", "2").source == f"2 of gpt, qwen, recorded:gemini in {tmp_path}"


def test_verdicts_of_several_directories_are_told_apart_by_the_question_s_text(tmp_path: Path) -> None:
    from vidground_core.runs.layout import Layout
    from vidground_core.runs.questions import write_questions
    from vidground_core.runs.set_aside import SetAsideLog

    for name, answered in (("one", True), ("two", False)):
        folder = tmp_path / name
        made = Question("q0", f"What of {name}?", "a", ("a", "b"))
        write_questions(Layout(folder), [made], SetAsideLog(Layout(folder).set_aside_file))
        write(folder, "judge", {"q0": answered})
    rule = split_rule([tmp_path / "one", tmp_path / "two"])
    assert [rule.of(Question("q0", f"What of {name}?", "a", ("a", "b"))) for name in ("one", "two", "three")] == ["ta", "vg", ""]
    # An audit of several data sets has a directory for each below its own.
    assert split_rule(tmp_path).judged == rule.judged


def test_a_rule_that_cannot_be_met_is_refused(tmp_path: Path) -> None:
    three_judges(tmp_path)
    with pytest.raises(ConfigError, match="--ta-when 'most': expected any, all, or a number of judges from 1 on"):
        split_rule(tmp_path, "", "most")
    with pytest.raises(ConfigError, match="--ta-when 4: there are only 3 judges: gpt, qwen, recorded:gemini"):
        split_rule(tmp_path, "", "4")
    with pytest.raises(InputError, match=r"has no verdicts of a detector 'gpd'; did you mean 'gpt'"):
        split_rule(tmp_path, "gpd,qwen")


@pytest.mark.parametrize(("judge", "ta_when", "flag"), [("q", "any", "--judge 'q'"), ("", "3", "--ta-when '3'")])
def test_a_judge_or_a_rule_without_verdicts_is_refused(judge: str, ta_when: str, flag: str) -> None:
    said = f"{flag}: there are no verdicts; name the output directory of vg detect, vg audit or vg filter by --verdicts DIR"
    with pytest.raises(ConfigError, match=re.escape(said)):
        split_rule((), judge, ta_when)


def test_accuracy_where_the_media_are_there_stands_beside() -> None:
    rows = [question(i) for i in range(4)]
    gone = [(row, Verdict(row.id, "with-video", "media not readable", None, None)) for row in rows[2:]]
    found = summarise([answer(rows[0], right=True), answer(rows[1], right=False), *gone], SplitRule(), ("full",))["splits"]["full"]
    assert (found["n"], found["accuracy"], found["missing_media"]) == (4, 0.25, 2)
    assert (found["with_media"]["n"], found["with_media"]["accuracy"]) == (2, 0.5)
    nothing = summarise(gone, SplitRule(), ("full",))["splits"]["full"]
    assert (nothing["accuracy"], nothing["with_media"]) == (0, {"n": 0, "accuracy": None, "interval": None})
    assert "with_media" not in summarise([answer(rows[0], right=True)], SplitRule(), ("full",))["splits"]["full"]
