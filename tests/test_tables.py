from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from vidground_core.columns import QUESTION_SCHEMA, array_of, records_of
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


def test_records_come_back_equal_from_any_batch(tmp_path: Path) -> None:
    questions = [
        Question(
            str(n), "?", "a", ("a",) * (n % 3), media=(Media(f"{n}.mp4", end=float(n)),) * (n % 4), tags={"n": str(n)} if n % 2 else {}
        )
        for n in range(50)
    ]
    verdicts = [
        Verdict(
            str(n),
            "d",
            "mean",
            n / 50 if n % 5 else None,
            n % 2 == 0 if n % 5 else None,
            {"blind": Tally(n, n % 3), "ordered": Tally(1, p_gold=0.5)} if n % 4 else {},
            {"x": float(n)} if n % 3 else {},
            ("e",) * (n % 3),
        )
        for n in range(50)
    ]
    decisions = [Decision(str(n), n % 2 == 0, "p", "1", "r", {"a": 1.0, "b": float(n)} if n % 3 else {}) for n in range(50)]
    for records in (questions, verdicts, decisions):
        folder = tmp_path / type(records[0]).__name__
        with TableWriter(folder, type(records[0]), rows_per_part=20) as table:
            for record in records:
                table.add(record)
        for batch in (1, 7, 1_000):
            assert list(read(folder, type(records[0]), batch=batch)) == records
    sliced = pa.Table.from_pylist([{"id": "x", "question": "?", "answer": "a", "kind": "free-form"}] * 3, schema=QUESTION_SCHEMA)
    pq.write_table(sliced, tmp_path / "old.parquet")
    assert list(read(tmp_path / "old.parquet", Question)) == [Question("x", "?", "a", kind="free-form")] * 3, "what is missing is empty"
    (batch_,) = sliced.slice(1, 1).to_batches()
    assert list(records_of(batch_, Question)) == [Question("x", "?", "a", kind="free-form")]


def test_nested_values_become_arrays() -> None:
    kind = pa.list_(pa.struct([("path", pa.string()), ("at", pa.list_(pa.float64()))]))
    values = [[{"path": "a", "at": [1.0]}, {"path": None, "at": []}], [], [{"path": "b", "at": None}]]
    assert array_of(values, kind).to_pylist() == values
    assert array_of([None, *values], kind).to_pylist() == [None, *values]
    assert array_of([], kind).to_pylist() == []
