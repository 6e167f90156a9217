"""JSON read window by window gives what `json` gives, and says where a text breaks."""

from __future__ import annotations

import json
import random
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from vidground_core import SetAside
from vidground_core.datasets import json_text
from vidground_core.datasets.row_files import Row, read_json_array, read_json_members

Write = Callable[[str, Any], Path]
VALUES = [{"n": 1}, {"text": 'naïve 走 😀 \\ " ]'}, {"deep": [[], {}, [{"a": None}]]}, {"x": -1.5e-3, "t": True}, {"long": "ab" * 300}]


@pytest.mark.parametrize("window", [1, 2, 3, 5, 17, 4096])
@pytest.mark.parametrize("ascii_only", [True, False])
@pytest.mark.parametrize("indent", [None, 4])
def test_any_window_gives_the_same_rows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, window: int, ascii_only: bool, indent: int | None
) -> None:
    monkeypatch.setattr(json_text, "WINDOW_BYTES", window)
    values = random.Random(window).choices(VALUES, k=20)
    text = "\n" + json.dumps(values, ensure_ascii=ascii_only, indent=indent) + "\n"
    path = tmp_path / "rows.json"
    path.write_bytes(b"\xef\xbb\xbf" + text.encode())
    rows = [row for row in read_json_array(path) if isinstance(row, Row)]
    assert [row.values for row in rows] == values
    assert [row.index for row in rows] == list(range(20))
    if indent:
        begins = [number for number, line in enumerate(text.split("\n"), start=1) if line == "    {"]
        assert [row.line for row in rows] == begins


@pytest.mark.parametrize("window", [1, 4096])
@pytest.mark.parametrize(
    ("text", "read", "line", "reason"),
    [
        ('{"a": 1}', 0, 1, "not a JSON array"),
        ("", 0, 1, "not a JSON array"),
        ('[{"a": 1},\n{"a": 2}', 2, 2, "the file ends inside the array"),
        ('[{"a": 1},\n{"a": "unfinished', 1, 2, "not valid JSON: Unterminated string starting at; nothing after it can be read"),
        ('[{"a": 1},\n{"a": nonsense}, {"a": 3}]', 1, 2, "not valid JSON: Expecting value; nothing after it can be read"),
        ('[{"a": 1},\n"row", 12]', 1, 2, "a JSON str, where an object is expected"),
    ],
)
def test_a_broken_array_gives_the_rows_before_it_and_the_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, window: int, text: str, read: int, line: int, reason: str
) -> None:
    monkeypatch.setattr(json_text, "WINDOW_BYTES", window)
    path = tmp_path / "rows.json"
    path.write_text(text)
    rows = list(read_json_array(path))
    aside = [row for row in rows if isinstance(row, SetAside)]
    assert len(rows) - len(aside) == read
    assert (aside[0].line, aside[0].reason) == (line, reason)


def test_numbers_are_not_cut_at_a_window(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_text, "WINDOW_BYTES", 3)
    path = tmp_path / "members.json"
    path.write_text('{"a": 123456789, "b": true,\n "c": [1]}')
    rows = [row for row in read_json_members(path) if isinstance(row, Row)]
    assert [(row.values["key"], row.values["value"], row.line) for row in rows] == [("a", 123456789, 1), ("b", True, 1), ("c", [1], 2)]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("[]", "not a JSON object"),
        ('{"a": 1,', "the file ends inside the object"),
        ('{"a" 1}', "no value for 'a'"),
        ('{"a": oops}', "not valid JSON: Expecting value; nothing after it can be read"),
    ],
)
def test_a_broken_object_says_where(write: Write, text: str, reason: str) -> None:
    aside = [row for row in read_json_members(write("x.json", text)) if isinstance(row, SetAside)]
    assert [row.reason for row in aside] == [reason]


def test_bytes_that_are_no_text_stay_in_their_row(tmp_path: Path) -> None:
    path = tmp_path / "rows.json"
    path.write_bytes(b'[{"a": "\xff"}, {"a": "b"}]')
    rows = [row.values["a"] for row in read_json_array(path) if isinstance(row, Row)]
    assert rows == ["\udcff", "b"]


def test_a_long_array_is_never_in_memory_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_text, "WINDOW_BYTES", 1 << 16)
    path = tmp_path / "rows.json"
    path.write_text(json.dumps([{"text": "x" * 300, "number": number} for number in range(10_000)]))
    tracemalloc.start()
    try:
        assert sum(1 for _ in read_json_array(path)) == 10_000
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert path.stat().st_size > 3_000_000
    assert peak < 1_000_000
