from __future__ import annotations

import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import pytest

from vidground_core.errors import InputError
from vidground_core.records import Question, SetAside
from vidground_core.runs.layout import Layout, folder_name
from vidground_core.runs.questions import QuestionTable, complete_questions, table_counts, write_questions
from vidground_core.runs.set_aside import SetAsideLog, read_set_aside
from vidground_core.tables import read


def _question(number: int) -> Question:
    return Question(f"q{number}", f"What is {number}", "a", ("a", "b"), tags={"label": "ta"})


def _write(layout: Layout, rows: Iterator[Question | SetAside] | list[Question | SetAside]) -> QuestionTable:
    return write_questions(layout, rows, SetAsideLog(layout.set_aside_file), rows_per_part=10)


def test_rows_stream_into_shards_in_order(tmp_path: Path) -> None:
    table = _write(Layout(tmp_path), (_question(number) for number in range(25)))
    assert table.parts == (("part-00000.parquet", 10), ("part-00001.parquet", 10), ("part-00002.parquet", 5))
    assert list(read(tmp_path / "questions", Question)) == [_question(number) for number in range(25)]
    assert table == complete_questions(tmp_path / "questions")
    assert table_counts(Layout(tmp_path)) == (25, 0)


def test_a_complete_table_is_not_read_again(tmp_path: Path) -> None:
    def untouchable() -> Iterator[Question]:
        raise AssertionError("the loader was started again")
        yield

    table = _write(Layout(tmp_path), [_question(1)])
    assert _write(Layout(tmp_path), untouchable()) == table


def test_an_interrupted_table_is_written_anew(tmp_path: Path) -> None:
    def interrupted() -> Iterator[Question | SetAside]:
        yield SetAside("a.csv", 1, "no answer")
        yield from (_question(number) for number in range(15))
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        _write(Layout(tmp_path), interrupted())
    assert complete_questions(tmp_path / "questions") is None
    assert table_counts(Layout(tmp_path)) == (0, 1)
    rows: list[Question | SetAside] = [SetAside("a.csv", 1, "no answer"), *(_question(number) for number in range(5))]
    assert _write(Layout(tmp_path), rows).parts == (("part-00000.parquet", 5),)
    assert table_counts(Layout(tmp_path)) == (5, 1)


def test_a_table_with_a_missing_part_is_written_anew(tmp_path: Path) -> None:
    _write(Layout(tmp_path), [_question(number) for number in range(15)])
    (tmp_path / "questions" / "part-00001.parquet").unlink()
    assert _write(Layout(tmp_path), [_question(number) for number in range(15)]).rows == 15


def test_the_digest_depends_on_the_questions(tmp_path: Path) -> None:
    one, same, other = (_write(Layout(tmp_path / name), [_question(number)]) for name, number in (("a", 1), ("b", 1), ("c", 2)))
    assert one.digest == same.digest != other.digest


def test_rows_that_cannot_be_used_are_set_aside_with_their_reason(tmp_path: Path) -> None:
    rows: list[Question | SetAside] = [
        _question(1),
        SetAside("a.csv", 7, "no answer", "q7"),
        Question("q1", "again", "a", ("a", "b"), source="a.csv"),
        Question("", "no id", "a", ("a", "b")),
        Question("q2", "which", "c", ("a", "b")),
        Question("q3", "open", "anything"),
    ]
    assert _write(Layout(tmp_path), rows).rows == 2
    assert read_set_aside(tmp_path / "set_aside.jsonl") == [
        SetAside("a.csv", 7, "no answer", "q7"),
        SetAside("a.csv", None, "row 3: the id 'q1' was seen before, in row 1; ids must be unique", "q1"),
        SetAside("", None, "row 4 has no id", ""),
        SetAside("", None, "row 5: the answer 'c' is none of the options", "q2"),
    ]


def test_a_set_without_any_question_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"1 rows were set aside; the first: no answer; the reasons stand in .*set_aside\.jsonl"):
        _write(Layout(tmp_path), [SetAside("a.csv", 7, "no answer", "q7")])
    assert complete_questions(tmp_path / "questions") is None


def test_memory_does_not_grow_with_the_rows(tmp_path: Path) -> None:
    def peak(rows: int) -> int:
        tracemalloc.start()
        layout = Layout(tmp_path / str(rows))
        write_questions(layout, map(_question, range(rows)), SetAsideLog(layout.set_aside_file), rows_per_part=500)
        (_, most) = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return most

    # Only the ids are held: far less than the rows themselves.
    assert peak(8_000) - peak(2_000) < 6_000 * 250


def test_torn_lines_of_a_killed_process_are_cut_off(tmp_path: Path) -> None:
    log = SetAsideLog(tmp_path / "set_aside.jsonl")
    log.add(SetAside("a.csv", 1, "no answer"))
    with (tmp_path / "set_aside.jsonl").open("a") as out:
        out.write('{"file": "a.csv", "li')
    log = SetAsideLog(tmp_path / "set_aside.jsonl")
    log.add(SetAside("a.csv", 1, "no answer"))
    log.add(SetAside("a.csv", 2, "no question"))
    assert read_set_aside(tmp_path / "set_aside.jsonl") == [SetAside("a.csv", 1, "no answer"), SetAside("a.csv", 2, "no question")]
    assert len(log) == 2


def test_folder_names_are_safe() -> None:
    assert folder_name("recorded:gpt-5") == "recorded--gpt-5"
    assert folder_name("../a b/c") == "..%2Fa%20b%2Fc"
