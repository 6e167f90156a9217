from __future__ import annotations

from pathlib import Path

import pyarrow.parquet as pq
import pytest

from vidground_core.errors import InputError
from vidground_core.records import Decision, Media, Question, Tally, Verdict
from vidground_core.tables import TableWriter, count, parts, read

QUESTION = Question(
    id="q1",
    text="was grün?",
    answer="b",
    options=("a", "b"),
    media=(Media("v.mp4", start=1.5),),
    group="v",
    source="s",
    tags={"label": "ta"},
)
VERDICT = Verdict("q1", "d", "mean", 0.25, False, {"blind": Tally(4, 1, 1, 1, 1, 0.25)}, {"p_gold": 0.25}, ("one", "two"))
UNJUDGED = Verdict("q2", "d", "mean", None, None)
DECISION = Decision("q1", True, "drop-answerable", "1", "kept", {"blind-vlm": 0.25})


@pytest.mark.parametrize("records", [[QUESTION, Question("q2", "?", "42", kind="numerical")], [VERDICT, UNJUDGED], [DECISION]])
def test_records_come_back_equal(tmp_path: Path, records: list[Question] | list[Verdict] | list[Decision]) -> None:
    with TableWriter(tmp_path, type(records[0]), rows_per_part=1) as table:
        for record in records:
            table.add(record)
    assert list(read(tmp_path, type(records[0]))) == records
    assert (count(tmp_path), len(parts(tmp_path))) == (len(records), len(records))


def test_an_empty_table_has_a_part_with_its_columns(tmp_path: Path) -> None:
    with TableWriter(tmp_path, Question):
        pass
    assert pq.read_schema(parts(tmp_path)[0]).names[:2] == ["id", "question"]
    assert list(read(tmp_path, Question)) == []


def test_nothing_is_left_half_written(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError), TableWriter(tmp_path, Question, rows_per_part=2) as table:
        for index in range(3):
            table.add(Question(str(index), "?", "a"))
        raise RuntimeError
    assert [q.id for q in read(tmp_path, Question)] == ["0", "1"]
    assert not list(tmp_path.glob("*.tmp"))


def test_a_truncated_part_is_said(tmp_path: Path) -> None:
    with TableWriter(tmp_path, Question) as table:
        table.add(QUESTION)
    part = parts(tmp_path)[0]
    part.write_bytes(part.read_bytes()[:-20])
    with pytest.raises(InputError, match=r"part-00000\.parquet: not a readable Parquet file: .*; delete it and run the step again"):
        list(read(tmp_path, Question))
