"""What cannot be read is named with its line; what is not there at all is one error with the nearest thing there is."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from vidground_core import InputError, SetAside
from vidground_core.datasets.row_files import (
    Row,
    csv_header,
    find_file,
    first_record,
    is_json_array,
    known_layout,
    read_csv,
    read_json_lines,
    read_parquet,
)


def test_json_lines_name_the_line_and_the_reason(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_bytes(b'\xef\xbb\xbf{"a": 1}\n\n{"a": \xff}\n[1]\n{"a": 2}\n{"a": "cut o')
    rows = list(read_json_lines(path))
    assert [(row.line, row.index, row.values) for row in rows if isinstance(row, Row)] == [(1, 0, {"a": 1}), (5, 1, {"a": 2})]
    aside = [(row.line, row.reason) for row in rows if isinstance(row, SetAside)]
    assert aside[:2] == [(3, "not valid UTF-8 at byte 7 of the line"), (4, "a JSON list, where one object a line is expected")]
    assert aside[2][0] == 6
    assert aside[2][1].startswith("not valid JSON: Unterminated string")


def test_csv_rows_keep_their_line_through_quotes_and_short_rows(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_text('\ufeffa,b\n1,2\n3\n"x\ny",4\n5,"open\n6,7\n', encoding="utf-8")
    rows = list(read_csv(path))
    assert [(row.line, dict(row.values)) for row in rows if isinstance(row, Row)] == [
        (2, {"a": "1", "b": "2"}),
        (5, {"a": "x\ny", "b": "4"}),
        (7, {"a": "5", "b": "open\n6,7\n"}),
    ]
    assert [(row.line, row.reason) for row in rows if isinstance(row, SetAside)] == [(3, "1 cells, where the header has 2")]


def test_a_csv_row_that_swallows_others_says_from_where(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_text('a,b\n"open,2\n3,4\n')
    assert list(read_csv(path)) == [
        SetAside(str(path), 3, "1 cells, where the header has 2; it runs from line 2 to 3, so a quote may be open"),
    ]


def test_a_csv_field_without_end_is_set_aside_and_reading_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_text(f"a,b\n{'x' * 200_000},2\n3,4\n")
    aside, row = read_csv(path)
    assert isinstance(aside, SetAside)
    assert (aside.line, aside.reason) == (2, "not a readable CSV row: field larger than field limit (131072)")
    assert isinstance(row, Row)
    assert (row.line, dict(row.values)) == (3, {"a": "3", "b": "4"})


def test_parquet_rows_that_are_not_text_are_set_aside_alone(tmp_path: Path) -> None:
    path = tmp_path / "rows.parquet"
    broken = pa.array([b"good", b"\xff\xfe", b"also good"]).view(pa.binary()).cast(pa.binary())
    offsets, data = broken.buffers()[1:]
    texts = pa.StringArray.from_buffers(3, offsets, data)
    pq.write_table(pa.table({"id": texts}), path)
    first, second, third = read_parquet(path)
    assert isinstance(first, Row)
    assert isinstance(third, Row)
    assert (first.values["id"], third.values["id"], third.line) == ("good", "also good", 3)
    assert second == SetAside(str(path), 2, "not valid UTF-8")


def test_a_file_that_is_no_parquet_is_one_error(tmp_path: Path) -> None:
    path = tmp_path / "rows.parquet"
    path.write_text("not at all")
    with pytest.raises(InputError, match=r"rows\.parquet: not a readable Parquet file: "):
        list(read_parquet(path))


def test_rows_before_the_first_good_one_are_set_aside_by_what_they_lack(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text('{"id": 1}\n{"id": 2, "q": "?"}\n{"id": 3}\n')
    rows = list(known_layout(read_json_lines(path), path, ("id", "q")))
    assert rows[0] == SetAside(str(path), 1, "no 'q'")
    assert [row.line for row in rows[1:]] == [2, 3]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "there are no rows in it; expected rows with id, question"),
        ("{\n[", "no row can be read; the first, line 1: not valid JSON: "),
        ('{"name": 1, "code": 2}\n', "not this layout: expected the keys id, question, found code, name"),
    ],
)
def test_a_file_without_any_row_of_the_layout_is_one_error(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text(text)
    with pytest.raises(InputError) as error:
        list(known_layout(read_json_lines(path), path, ("id", "question")))
    assert str(error.value).startswith(f"{path}: {message}")


def test_a_missing_path_names_the_nearest_there_is(tmp_path: Path) -> None:
    for name in ("train.csv", "test.csv"):
        (tmp_path / name).touch()
    with pytest.raises(InputError) as error:
        find_file(str(tmp_path / "tset.csv"), loader="nextqa", wants="a CSV file")
    expected = f"did you mean 'test.csv'? in {str(tmp_path)!r} there is: test.csv, train.csv"
    assert str(error.value) == f"nextqa: {str(tmp_path / 'tset.csv')!r} does not exist; {expected}"


def test_a_missing_folder_names_what_its_parent_holds(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    with pytest.raises(InputError, match=r"does not exist; did you mean 'data/'\? in .* there is: data/$"):
        find_file(str(tmp_path / "dta" / "deep" / "x.csv"), loader="nextqa", wants="a CSV file")


def test_an_empty_path_and_a_folder_say_what_is_wanted(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"^nextqa needs a path: write nextqa:PATH, where PATH is a CSV file$"):
        find_file("", loader="nextqa", wants="a CSV file")
    for number in range(10):
        (tmp_path / f"part-{number}.csv").touch()
    with pytest.raises(InputError) as error:
        find_file(str(tmp_path), loader="nextqa", wants="a CSV file")
    assert "is a folder, and nextqa reads a CSV file; in " in str(error.value)
    assert str(error.value).endswith("part-7.csv and 2 more")


def test_the_first_bytes_tell_the_form(tmp_path: Path) -> None:
    lines, array, table = tmp_path / "a.json", tmp_path / "b.json", tmp_path / "c.csv"
    lines.write_text('\n {"a": 1}\n{"b"')
    array.write_text('\ufeff [\n {"a": 2}, ', encoding="utf-8")
    table.write_text('\ufeffx,"y z"\n1,2\n', encoding="utf-8")
    assert [first_record(path) for path in (lines, array, table)] == [{"a": 1}, {"a": 2}, {}]
    assert [is_json_array(path) for path in (lines, array, table)] == [False, True, False]
    assert csv_header(table) == ["x", "y z"]
